"""Every path and every atomic write, on pyarrow's file systems: a local or NFS folder, `s3://`, `gs://`.

A file appears whole or not at all: on a local disk it is written beside its place, flushed and renamed; an object
store's put is atomic by itself. What grows by lines is a row of parts there (see `appended`), and reads as one file.
Nothing else in the package joins paths of a study or a model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from raytune_app import appended, filesystem
from raytune_app.appended import Place
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
    def status(self) -> str:
        return self / "status.json"

    @property
    def commands(self) -> str:
        return self / "commands"

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
        uri: an absolute or relative local path, or a URI that pyarrow knows (`s3://bucket/folder?region=...`).

    Raises:
        StorageError: the URI is not understood or carries credentials, no server answers, or the folder cannot be made.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri if "://" in uri else str(Path(uri).expanduser().absolute())
        try:
            self.fs, self.root = filesystem.open_filesystem(self.uri)
            self._made: set[str] = set()
            self._make_folder(self.root)
        except (OSError, ValueError) as error:
            what, remedy = filesystem.told(error) if isinstance(error, OSError) else (str(error), "")
            given = "give a writable folder or a URI such as s3://bucket/folder with --storage"
            remedy = f"{remedy}, or {given}" if remedy else given
            raise StorageError(f"storage {uri!r} cannot be used: {what}", remedy) from error

    def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
        return Storage, (self.uri,)

    @property
    def is_local(self) -> bool:
        return isinstance(self.fs, pafs.LocalFileSystem)

    def location(self, path: str) -> str:
        """What a person or another library calls this path: an absolute path or a full URI."""
        if self.is_local:
            return f"{self.root}/{path}"
        base, mark, options = self.uri.partition("?")
        return f"{base.rstrip('/')}/{path}{mark}{options}"

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
        """The whole file, one that was appended to with all its lines. Raises NotFoundError or StorageError."""
        target = self.full(path)
        with self._errors(path):
            if path.endswith(appended.SUFFIX):
                return appended.read(self.fs, target)
            return filesystem.read_whole(self.fs, target)

    def read_on(self, path: str, place: Place) -> tuple[bytes, Place]:
        """The whole lines that were appended after `place`, and the place after them; none if there is no file yet.

        What was read before is not read again. Raises StorageError.
        """
        with self._errors(path):
            return appended.read_on(self.fs, self.full(path), place)

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
            self._make_folder(target.rpartition("/")[0])
            if path.endswith(appended.SUFFIX):
                appended.remove_later_parts(self.fs, target)
            if self.is_local:
                filesystem.write_local(Path(target), content)
            else:
                filesystem.put(self.fs, target, content)

    def write_json(self, path: str, value: object) -> None:
        """JSON with sorted keys and no NaN, so that the same value gives the same bytes."""
        self.write(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")

    def append(self, path: str, line: str) -> None:
        """Append one line, whole or not at all; a line that a crash cut short stays alone on its line.

        An object store has no append: of two writers at the very same moment one line may be lost there. Whoever is
        the only writer of a file keeps an `appender`. Raises StorageError; InputError if it is no `.jsonl` file.
        """
        self.appender(path)(line)

    def appender(self, path: str) -> Callable[[str], None]:
        """`append` for the only writer of a file: on an object store it need not read before each line."""
        target = self._below(path)
        if not path.endswith(appended.SUFFIX):
            raise InputError(f"lines cannot be appended to {path!r}", f"use a name that ends with {appended.SUFFIX}")
        row = appended.Row(self.fs, target) if not self.is_local else appended.LocalRow(self.fs, target)

        def append(line: str) -> None:
            with self._errors(path):
                self._make_folder(target.rpartition("/")[0])
                row.append(line.encode() + b"\n")

        return append

    def files_below(self, path: str) -> list[str]:
        """The paths, relative to `path`, of all files below it, sorted; empty if there is no such path."""
        start = len(self.full(path).rstrip("/")) + 1
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
            self._made.clear()
            if not filesystem.is_object_store(self.fs):
                self.fs.move(self._below(source), self._below(target))
                return
            for name in self.files_below(source):
                self._make_folder(self._below(f"{target}/{name}").rpartition("/")[0])
                self.fs.copy_file(self._below(f"{source}/{name}"), self._below(f"{target}/{name}"))
            self.fs.delete_dir(self._below(source))

    def delete(self, path: str) -> None:
        """Delete a folder and all below it; nothing happens if there is none."""
        folder = self._below(path)
        if self.exists(path):
            with self._errors(path):
                self._made.clear()
                self.fs.delete_dir(folder)

    def delete_file(self, path: str) -> None:
        """Delete one file; nothing happens if there is none."""
        with suppress(NotFoundError), self._errors(path):
            self.fs.delete_file(self._below(path))

    def _make_folder(self, folder: str) -> None:
        if filesystem.must_make_folders(self.fs) and folder not in self._made:
            self.fs.create_dir(folder, recursive=True)
            if not self.is_local:  # a disk is quickly asked, and another process may have removed it
                self._made.add(folder)

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
            what, remedy = filesystem.told(error)
            raise StorageError(f"{self.location(path)}: {what}", remedy) from error
