"""Every path and every atomic write, on pyarrow's file systems: a local or NFS folder, `s3://`, `gs://`.

A file appears whole or not at all: on a local disk it is written beside its place, flushed and renamed; an object
store's put is atomic by itself. Nothing else in the package joins paths of a study or a model.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from raytune_app.errors import InputError, NotFoundError, StorageError

LISTINGS = 100  # of one folder, before one that never stays as it is counts as a fault


def default_uri() -> str:
    """`RAYTUNE_STORAGE` if set, else `~/.raytune`."""
    return os.environ.get("RAYTUNE_STORAGE") or str(Path.home() / ".raytune")


@dataclass(frozen=True, slots=True)
class StudyPaths:
    """Where the parts of one study lie, relative to the storage root."""

    study: str

    @property
    def folder(self) -> str:
        return f"studies/{self.study}"

    def __truediv__(self, part: str) -> str:
        return f"{self.folder}/{part}"

    @property
    def spec(self) -> str:
        return self / "spec.yaml"

    @property
    def state(self) -> str:
        return self / "study.json"

    @property
    def events(self) -> str:
        return self / "events.jsonl"

    @property
    def warm_start(self) -> str:
        return self / "warm_start.json"

    @property
    def trials(self) -> str:
        return self / "trials.parquet"

    @property
    def winner(self) -> str:
        return self / "winner.json"

    @property
    def report(self) -> str:
        return self / "report.html"

    @property
    def tune(self) -> str:
        return self / "tune"

    @property
    def tensorboard(self) -> str:
        return self / "tensorboard"


class Storage:
    """A folder tree with atomic writes, addressed by relative paths.

    Args:
        uri: an absolute or relative local path, or a URI that pyarrow knows (`s3://bucket/folder`).

    Raises:
        StorageError: the URI is not understood, or the folder cannot be made or read.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri if "://" in uri else str(Path(uri).expanduser().absolute())
        try:
            self.fs, root = pafs.FileSystem.from_uri(self.uri)
            self.root = root.rstrip("/")
            self.fs.create_dir(self.root, recursive=True)
        except (OSError, ValueError) as error:
            raise StorageError(
                f"storage {uri!r} cannot be used: {error}",
                "give a writable folder or a URI such as s3://bucket/folder with --storage",
            ) from error

    def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
        return Storage, (self.uri,)

    @property
    def is_local(self) -> bool:
        return isinstance(self.fs, pafs.LocalFileSystem)

    def location(self, path: str) -> str:
        """What a person or another library calls this path: an absolute path or a full URI."""
        return f"{self.root}/{path}" if self.is_local else f"{self.uri.rstrip('/')}/{path}"

    def full(self, path: str) -> str:
        """The path as the pyarrow file system wants it. Raises InputError for a path that leaves the root."""
        if path.startswith("/") or ".." in path.split("/") or "\0" in path:
            raise InputError(f"path {path!r} leaves the storage", "use a path inside the storage")
        return f"{self.root}/{path}"

    def exists(self, path: str) -> bool:
        with self._errors(path):
            info = self.fs.get_file_info(self.full(path))
        return bool(info.type != pafs.FileType.NotFound)

    def read(self, path: str) -> bytes:
        """The whole file. Raises NotFoundError or StorageError."""
        with self._errors(path), self.fs.open_input_stream(self.full(path)) as stream:
            return bytes(stream.read())

    def read_text(self, path: str) -> str:
        """The whole file as UTF-8. Raises NotFoundError or StorageError."""
        try:
            return self.read(path).decode()
        except UnicodeDecodeError as error:
            raise StorageError(f"{self.location(path)} is not UTF-8", "restore the file from a copy") from error

    def read_json(self, path: str) -> Any:
        """The file as JSON. Raises NotFoundError, or StorageError if it is not JSON."""
        try:
            return json.loads(self.read(path))
        except ValueError as error:
            raise StorageError(f"{self.location(path)} is not JSON: {error}", "restore the file from a copy") from error

    def write(self, path: str, content: bytes | str) -> None:
        """Write a whole file atomically. Raises StorageError, for a full disk too; then the old file still stands."""
        content = content.encode() if isinstance(content, str) else content
        target = self._below(path)
        with self._errors(path):
            self.fs.create_dir(target.rpartition("/")[0], recursive=True)
            if self.is_local:
                _write_local(Path(target), content)
            else:
                with self.fs.open_output_stream(target) as stream:
                    stream.write(content)

    def write_json(self, path: str, value: object) -> None:
        """JSON with sorted keys and no NaN, so that the same value gives the same bytes."""
        self.write(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")

    def append(self, path: str, line: str) -> None:
        """Append one line, whole or not at all; a line that a crash cut short stays alone on its line.

        An object store has no append: there the file is written again as a whole. Raises StorageError.
        """
        content = line.encode() + b"\n"
        if self.is_local:
            target = Path(self._below(path))
            with self._errors(path):
                target.parent.mkdir(parents=True, exist_ok=True)
                _append_local(target, content)
        else:
            self.write(path, (self.read(path) if self.exists(path) else b"") + content)

    def files_below(self, path: str) -> list[str]:
        """The paths, relative to `path`, of all files below it, sorted; empty if there is no such path."""
        start = len(self.full(path)) + 1
        return sorted(info.path[start:] for info in self._list(path, recursive=True) if info.is_file)

    def folders(self, path: str) -> list[str]:
        """The names of the folders directly below `path`, sorted; empty if there is no such path."""
        return sorted(info.base_name for info in self._list(path) if info.type == pafs.FileType.Directory)

    def files(self, path: str) -> list[str]:
        """The names of the files directly below `path`, sorted; empty if there is no such path."""
        return sorted(info.base_name for info in self._list(path) if info.is_file)

    def move(self, source: str, target: str) -> None:
        """Rename a file or folder. Raises StorageError if the target exists."""
        if self.exists(target):
            raise StorageError(f"{self.location(target)} exists already", "choose another name")
        with self._errors(source):
            self.fs.move(self._below(source), self._below(target))

    def delete(self, path: str) -> None:
        """Delete a folder and all below it; nothing happens if there is none."""
        folder = self._below(path)
        if self.exists(path):
            with self._errors(path):
                self.fs.delete_dir(folder)

    def _below(self, path: str) -> str:
        """`full`, for what may not happen to the root itself."""
        if not path.strip("/."):
            raise InputError(f"path {path!r} is the storage itself", "name a file or folder inside it")
        return self.full(path)

    def _list(self, path: str, *, recursive: bool = False) -> list[pafs.FileInfo]:
        """What is below `path`.

        A folder that another process makes or deletes meanwhile fails pyarrow's own listing, in spite of
        `allow_not_found`; the next listing sees it, or sees that it is gone.
        """
        selector = pafs.FileSelector(self.full(path), allow_not_found=True, recursive=recursive)
        with self._errors(path):
            for _ in range(LISTINGS - 1):
                try:
                    return list(self.fs.get_file_info(selector))
                except FileNotFoundError:
                    continue
            return list(self.fs.get_file_info(selector))

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise NotFoundError(f"{self.location(path)} does not exist", "check the name and --storage") from error
        except OSError as error:
            raise StorageError(
                f"{self.location(path)}: {error.strerror or error}", "free space or check permissions, then try again"
            ) from error


def _write_local(target: Path, content: bytes) -> None:
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


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
