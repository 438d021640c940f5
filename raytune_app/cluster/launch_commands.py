"""What a cluster file makes of a machine: the commands it runs there, and the environment they run in."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

ROLES = ("head", "worker")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)

Config = Mapping[str, Any]


def setup(config: Config, role: str) -> list[str]:
    """The commands that prepare a machine of this role, in their order."""
    keys = ("initialization_commands", "setup_commands", f"{role}_setup_commands")
    return [str(command) for key in keys for command in config.get(key) or ()]


def starts(config: Config, role: str) -> list[str]:
    """The commands that start Ray on a machine of this role."""
    return [
        str(command)
        for command in config.get(f"{role}_start_ray_commands") or ()
        if any(_words_of_start(words) for words in _simple_commands(str(command)))
    ]


def options(command: str) -> dict[str, str]:
    """The options of `ray start` by name, without dashes; one without a value is empty."""
    found = dict[str, str]()
    for words in _simple_commands(command):
        rest = _words_of_start(words)
        for index, word in enumerate(rest):
            name, equals, value = word.removeprefix("--").partition("=")
            if word.startswith("--"):
                after = rest[index + 1] if index + 1 < len(rest) else "--"
                found[name] = value if equals or after.startswith("--") else after
    return found


def environment(config: Config, role: str, command: str = "") -> dict[str, str]:
    """The variables of a machine of this role: those of its container, and those that `command` sets for Ray."""
    found = dict(_container_variables(config, role))
    for words in _simple_commands(command):
        exported = words[:1] == ["export"]
        before = words[1:] if exported else words
        assigned = [word for word in before if _ASSIGNMENT.fullmatch(word)]
        leading = before[: len(assigned)] == assigned
        if exported or (leading and (_words_of_start(words) or len(assigned) == len(words))):
            found |= dict(word.split("=", 1) for word in assigned)
    return found


def mounted(config: Config, folder: str) -> bool:
    """Whether the containers of all machines see this folder of the machine, by the same name."""
    volumes = [volume.split(":") for volume in _values(_run_options(config, ""), "--volume", "-v")]
    same = [PurePosixPath(volume[0]) for volume in volumes if len(volume) > 1 and volume[0] == volume[1]]
    return any(PurePosixPath(folder).is_relative_to(each) for each in same)


def _run_options(config: Config, role: str) -> list[str]:
    docker = config.get("docker") or {}
    given = [*(docker.get("run_options") or ()), *(docker.get(f"{role}_run_options") or ())]
    return shlex.split(" ".join(map(str, given)))


def _container_variables(config: Config, role: str) -> Iterator[tuple[str, str]]:
    for assignment in _values(_run_options(config, role), "--env", "-e"):
        name, _, value = assignment.partition("=")
        yield name, value


def _values(words: list[str], *names: str) -> Iterator[str]:
    """Of an option that is given many times, as `--env X` or `--env=X`."""
    for word, after in itertools.pairwise([*words, ""]):
        if word in names:
            yield after
        elif word.startswith(tuple(f"{name}=" for name in names)):
            yield word.partition("=")[2]


def _simple_commands(command: str) -> list[list[str]]:
    """The words of each command of a line of shell, as far as set-up lines go."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    lexer.commenters = ""
    found: list[list[str]] = [[]]
    for word in lexer:
        if word.strip(";&|"):
            found[-1].append(word)
        else:
            found.append([])
    return found


def _words_of_start(words: list[str]) -> list[str]:
    """What follows `ray start`; empty if it is another command. Its own words are kept, so that it is never empty."""
    for index in range(len(words) - 1):
        if words[index].rpartition("/")[2] == "ray" and words[index + 1] == "start":
            return words[index:]
    return []
