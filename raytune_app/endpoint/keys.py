"""API keys: a file of hashes, one JSON object a line, and the keys it stands for, which nobody keeps but their owner.

    {"name": "phone", "scope": "infer", "sha256": "9f86d0...", "rate": "100/s"}

A key is 256 random bits, so plain SHA-256 hides it: nobody can try enough keys for a slow hash to matter, and a slow
one would let strangers make the endpoint work.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from raytune_app.errors import InputError, NotFoundError
from raytune_app.names import PATTERN

MAX_KEYS = 256
"""In one file; a request is compared with each."""

PREFIX = "raytune_"
"""How a key begins, so that scanners for leaked secrets know it."""

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_RATE = re.compile(r"([1-9][0-9]{0,6})/([smh])")
_MAKE = "make it with: raytune key new --scope infer --file FILE"


class Scope(StrEnum):
    """What a key may do; who may administer may also ask."""

    INFER = "infer"
    ADMIN = "admin"


def _checked_rate(rate: str) -> str:
    if not _RATE.fullmatch(rate):
        raise ValueError("a rate is written like 100/s, 600/m or 5000/h")
    return rate


class Key(BaseModel):
    """One line of the file.

    Attributes:
        name: whom it was given to; shown in logs.
        sha256: of the key, in hexadecimal.
        rate: at most so many requests; None: as many as the endpoint can answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=f"^{PATTERN.pattern}$")
    scope: Scope
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    rate: Annotated[str, AfterValidator(_checked_rate)] | None = None

    @property
    def limit(self) -> tuple[int, float] | None:
        """So many requests in so many seconds."""
        found = _RATE.fullmatch(self.rate or "")
        return None if found is None else (int(found[1]), SECONDS[found[2]])


def digest(key: str) -> str:
    """What the file keeps of a key."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def read_keys(file: Path) -> tuple[Key, ...]:
    """The keys of a file.

    Raises:
        NotFoundError: there is no such file.
        InputError: it cannot be read, others may write to it, or a line of it is wrong; none of it is repeated.
    """
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise InputError(f"others may write to the keys' file {file}", f"run: chmod 600 {file}")
            text = opened.read().decode()
    except FileNotFoundError as error:
        raise NotFoundError(f"the keys' file {file} does not exist", _MAKE) from error
    except (OSError, ValueError) as error:
        raise InputError(f"the keys' file {file} cannot be read as text", _MAKE) from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    keys = tuple(_read(file, number, line) for number, line in lines)
    if len({key.name for key in keys}) < len(keys):
        raise InputError(f"two keys of {file} have one name", "rename one")
    if not keys or len(keys) > MAX_KEYS:
        raise InputError(f"{file} has {len(keys)} keys, not 1 to {MAX_KEYS}", _MAKE)
    return keys


def _read(file: Path, number: int, line: str) -> Key:
    try:
        return Key.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the line"
        raise InputError(f"{file}, line {number}, {where}: {first['msg']}", _MAKE) from error


def new_key(file: Path, name: str, scope: Scope, rate: str | None = None) -> str:
    """Make a key, add its hash to the file, and return the key itself: it is nowhere else.

    The file is made if it does not exist, for its owner alone; it is replaced as a whole, so nobody ever reads half.

    Raises:
        InputError: the file is wrong, has a key of that name, or cannot be written; or the name or rate is wrong.
    """
    keys = read_keys(file) if file.exists() else ()
    secret = PREFIX + secrets.token_urlsafe(32)
    try:
        key = Key(name=name, scope=scope, sha256=digest(secret), rate=rate)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InputError(f"the {first['loc'][0]} is wrong: {first['msg']}", "see raytune key new --help") from error
    if any(each.name == name for each in keys):
        raise InputError(f"{file} has a key named {name!r}", "choose another --name, or remove its line")
    if len(keys) >= MAX_KEYS:
        raise InputError(f"{file} has {MAX_KEYS} keys", "remove the lines of those no longer used")
    _write(file, [*keys, key])
    return secret


def _write(file: Path, keys: Sequence[Key]) -> None:
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.writelines(f"{key.model_dump_json(exclude_none=True)}\n" for key in keys)
        beside.replace(file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"{file} cannot be written: {error.strerror}", "choose another --file") from error
