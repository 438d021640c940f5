"""Files that grow by lines; where nothing can be appended they are a row of bounded parts, each put as a whole.

    events.jsonl, events.1.jsonl, events.2.jsonl, ...

A put replaces a part in one step, so a line that was written is never lost and none is torn. A part is final as soon as
the next one exists. A local disk appends, but goes on with a row that was copied from an object store. Only names that
end with `.jsonl` have parts: readers of other files need not look for them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs as pafs

from raytune_app.filesystem import is_object_store, put

PART_BYTES = 64 * 1024
"""The most that is written again with a line; a longer line is a part of its own."""
SUFFIX = ".jsonl"
_READERS = 16


@dataclass(frozen=True, slots=True)
class Place:
    """How far an appended file has been read: the part, and the bytes of it."""

    part: int = 0
    offset: int = 0


class Row:
    """The one writer of an appended file on an object store; it reads only before its first line.

    Args:
        fs: where.
        target: the file's full path.
    """

    def __init__(self, fs: pafs.FileSystem, target: str) -> None:
        self._fs = fs
        self._target = target
        self._last: tuple[int, bytes] | None = None

    def append(self, content: bytes) -> None:
        """Add whole lines. Raises OSError; then what was there before still stands."""
        part, known = self._last or self._find()
        if known and not known.endswith(b"\n"):  # a log that a crash cut short before it was copied here
            known += b"\n"
        elif known and len(known) + len(content) > PART_BYTES:
            part, known = part + 1, b""
        self._last = None  # whether a put that failed or was interrupted came through is not known
        put(self._fs, _name(self._target, part), known + content)
        self._last = part, known + content

    def _find(self) -> tuple[int, bytes]:
        sizes = part_sizes(self._fs, self._target)
        part = max(sizes, default=0)
        return part, _read(self._fs, _name(self._target, part), 0) if part in sizes else b""


class LocalRow:
    """A writer of an appended file on a local disk; there may be several.

    Args:
        fs: the local file system.
        target: the file's full path.
    """

    def __init__(self, fs: pafs.FileSystem, target: str) -> None:
        self._fs = fs
        self._target = target

    def append(self, content: bytes) -> None:
        """Add whole lines. Raises OSError; then the file is what it was."""
        last = 0
        if Path(_name(self._target, 1)).exists():
            last = max(part_sizes(self._fs, self._target))
        _append_local(Path(_name(self._target, last)), content)


def read(fs: pafs.FileSystem, target: str) -> bytes:
    """All parts as one. Raises FileNotFoundError if there is none."""
    sizes = part_sizes(fs, target)
    if 0 not in sizes:
        raise FileNotFoundError(target)
    return _read_parts(fs, target, dict.fromkeys(sorted(sizes), 0))


def read_on(fs: pafs.FileSystem, target: str, place: Place) -> tuple[bytes, Place]:
    """The lines that were added after `place`, and the place after them; one listing if there are none."""
    sizes = {part: size for part, size in sorted(part_sizes(fs, target).items()) if part >= place.part}
    # A mounted disk's listing may be older than its file, so there only opening the file tells.
    if not sizes or (is_object_store(fs) and sizes == {place.part: place.offset}):
        return b"", place
    offsets = {part: place.offset if part == place.part else 0 for part in sizes}
    last = max(offsets)
    before = _read_parts(fs, target, {part: offset for part, offset in offsets.items() if part != last})
    content, after = read_on_file(fs, _name(target, last), offsets[last])
    return before + content, Place(last, after)


def read_on_file(fs: pafs.FileSystem, target: str, offset: int) -> tuple[bytes, int]:
    """The whole lines of one file after `offset`, and the offset after them. Raises FileNotFoundError."""
    content = _read(fs, target, offset)
    whole = content[: content.rfind(b"\n") + 1]
    return whole, offset + len(whole)


def part_sizes(fs: pafs.FileSystem, target: str) -> Mapping[int, int]:
    """The size of each part there is, by number."""
    folder, _, name = target.rpartition("/")
    pattern = re.compile(rf"{re.escape(name.removesuffix(SUFFIX))}(?:\.([1-9]\d*))?{re.escape(SUFFIX)}")
    files = fs.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
    found = ((pattern.fullmatch(file.base_name), file) for file in files if file.is_file)
    return {int(match[1] or 0): file.size for match, file in found if match}


def remove_later_parts(fs: pafs.FileSystem, target: str) -> None:
    """What a file that is written anew must not go on with, last part first."""
    for part in sorted(part_sizes(fs, target), reverse=True):
        if part:
            fs.delete_file(_name(target, part))


def _name(target: str, part: int) -> str:
    return f"{target.removesuffix(SUFFIX)}.{part}{SUFFIX}" if part else target


def _read_parts(fs: pafs.FileSystem, target: str, offsets: Mapping[int, int]) -> bytes:
    if not offsets:
        return b""
    with ThreadPoolExecutor(min(_READERS, len(offsets))) as pool:
        return b"".join(pool.map(lambda each: _read(fs, _name(target, each[0]), each[1]), offsets.items()))


def _read(fs: pafs.FileSystem, target: str, offset: int) -> bytes:
    with fs.open_input_file(target) as file:
        if offset >= file.size():
            return b""
        file.seek(offset)
        return bytes(file.read())


def _append_local(target: Path, content: bytes) -> None:
    with target.open("ab+", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            content = content if file.read(1) == b"\n" else b"\n" + content
        try:
            while content:  # a disk that fills up takes a part first
                content = content[file.write(content) :]
        except OSError:
            file.truncate(end)
            raise
