"""Which names may become a folder, a URL segment or a job: the one rule for studies, models and aliases."""

from __future__ import annotations

import re

from raytune_app.errors import InputError

PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
REMEDY = "use 1 to 63 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit, without '..'"


def is_name(text: str) -> bool:
    """True if `text` is safe as a folder name: no slash, no `..`, no upper case, no leading dot."""
    return bool(PATTERN.fullmatch(text)) and ".." not in text


def check_name(text: str, noun: str) -> str:
    """Return `text` if it is a name, else raise InputError naming the noun (`study`, `model`, ...)."""
    if not is_name(text):
        raise InputError(f"{noun} name {text!r} is not allowed", REMEDY)
    return text
