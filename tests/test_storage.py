"""One contract for every file system: files appear whole or not at all, and nothing leaves the root."""

from __future__ import annotations

import os
import pickle
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from raytune_app import appended
from raytune_app.errors import InputError, NotFoundError, StorageError
from raytune_app.filesystem import is_object_store
from raytune_app.storage import Storage, StudyPaths, default_uri
from tests.s3_server import S3Server


@pytest.fixture(params=["path", "file URI", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A local path, the same as a URI, a file system in memory that cannot append, and an S3 server."""
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        return Storage(server.uri())
    uri = {"path": str(tmp_path), "file URI": tmp_path.as_uri(), "memory": "mock:///bucket"}[request.param]
    return Storage(uri)


@contextmanager
def full_disk(free_bytes: int) -> Iterator[None]:
    """Within it a file of this process may have this many bytes: the system refuses the rest as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_is_written_is_read(place: Storage) -> None:
    place.write("a/b/text.txt", "schön")
    place.write("a/b/bytes", b"\x00\xff")
    place.write_json("a/value.json", {"b": [1, None], "a": "ü"})
    assert place.read_text("a/b/text.txt") == "schön"
    assert place.read("a/b/bytes") == b"\x00\xff"
    assert place.read_json("a/value.json") == {"a": "ü", "b": [1, None]}
    assert (place.files("a/b"), place.folders("a"), place.files("a")) == (["bytes", "text.txt"], ["b"], ["value.json"])


def test_a_second_write_replaces_the_first(place: Storage) -> None:
    place.write("file", "a long first content")
    place.write("file", "short")
    assert place.read_text("file") == "short"


def test_lines_are_appended_in_order(place: Storage) -> None:
    for line in ("one", "zwei ü", "three"):
        place.append("log/events.jsonl", line)
    assert place.read_text("log/events.jsonl") == "one\nzwei ü\nthree\n"


def test_what_is_written_anew_forgets_the_lines_before(place: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appended, "PART_BYTES", 8)
    for line in ("one", "two", "three", "four"):
        place.append("log.jsonl", line)
    place.write("log.jsonl", "new\n")
    place.append("log.jsonl", "last")
    assert place.read_text("log.jsonl") == "new\nlast\n"


def test_only_a_name_for_lines_is_appended_to(place: Storage) -> None:
    with pytest.raises(InputError, match="cannot be appended") as caught:
        place.append("log.txt", "x")
    assert ".jsonl" in str(caught.value.remedy)


def test_equal_values_give_equal_bytes_and_nan_is_refused(place: Storage) -> None:
    place.write_json("a", {"x": 1, "y": 2})
    place.write_json("b", {"y": 2, "x": 1})
    assert place.read("a") == place.read("b")
    with pytest.raises(ValueError, match="JSON compliant"):
        place.write_json("a", float("nan"))
    assert place.read("a") == place.read("b")


def test_a_folder_moves_as_a_whole_and_never_onto_another(place: Storage) -> None:
    place.write("draft/model.json", "{}")
    place.move("draft", "final")
    assert (place.exists("draft"), place.files("final")) == (False, ["model.json"])
    place.write("draft/model.json", "[]")
    with pytest.raises(StorageError, match="exists already"):
        place.move("draft", "final")


def test_a_deleted_folder_is_gone_and_deleting_nothing_is_fine(place: Storage) -> None:
    place.write("a/b/c", "")
    place.delete("a")
    place.delete("a")
    assert not place.exists("a/b/c")


def test_what_is_not_there_is_not_found_or_empty(place: Storage) -> None:
    assert (place.files("none"), place.folders("none"), place.exists("none")) == ([], [], False)
    with pytest.raises(NotFoundError, match=r"none\S* does not exist") as caught:
        place.read("none")
    assert caught.value.remedy


@pytest.mark.parametrize("path", ["/etc/passwd", "..", "../other", "a/../../b", "a/..", "a\0b"])
def test_no_path_leaves_the_root(path: str, place: Storage) -> None:
    for call in (place.read, place.exists, place.files, place.folders, place.delete, place.full):
        with pytest.raises(InputError, match=r"leaves the storage|is the storage itself"):
            call(path)
    for write in (place.write, place.append, place.move):
        with pytest.raises(InputError, match=r"leaves the storage|is the storage itself"):
            write(path, "x")


@pytest.mark.parametrize("path", ["", ".", "/", "./"])
def test_the_root_itself_is_never_written_moved_or_deleted(path: str, place: Storage) -> None:
    place.write("kept", "")
    with pytest.raises(InputError, match="storage"):
        place.delete(path)
    with pytest.raises(InputError, match="storage"):
        place.write(path, "x")
    with pytest.raises(InputError, match="storage"):
        place.move(path, "elsewhere")
    assert place.files("") == ["kept"]


def test_what_is_damaged_is_named(place: Storage) -> None:
    place.write("bad", b"\xff\xfe{")
    with pytest.raises(StorageError, match=r"bad\S* is not JSON"):
        place.read_json("bad")
    with pytest.raises(StorageError, match=r"bad\S* is not UTF-8"):
        place.read_text("bad")


def test_a_folder_is_no_file_and_a_file_no_folder(place: Storage) -> None:
    if is_object_store(place.fs):
        pytest.skip("an object store has no folders: any name may stand beside any other")
    place.write("a/b", "")
    for call in (lambda: place.read("a"), lambda: place.write("a", ""), lambda: place.write("a/b/c", "")):
        with pytest.raises(StorageError):
            call()
    assert place.read("a/b") == b""


def test_a_location_is_what_a_person_can_open(tmp_path: Path) -> None:
    place = Storage(str(tmp_path / "with space#and%20"))
    place.write("a/b", "x")
    assert Path(place.location("a/b")).read_text() == "x"
    assert Storage("mock:///bucket").location("a/b") == "mock:///bucket/a/b"


def test_another_process_opens_the_same_storage(tmp_path: Path) -> None:
    place = Storage(str(tmp_path))
    place.write("a", "x")
    assert pickle.loads(pickle.dumps(place)).read_text("a") == "x"  # noqa: S301  # as Ray sends it to a process of ours


def test_a_full_disk_is_an_error_and_the_old_file_stands(tmp_path: Path) -> None:
    place = Storage(str(tmp_path))
    place.write("model", "old")
    with full_disk(4096), pytest.raises(StorageError, match="model: File too large") as caught:
        place.write("model", b"x" * 100_000)
    assert "free space" in str(caught.value.remedy)
    assert place.read("model") == b"old"
    assert os.listdir(tmp_path) == ["model"]  # noqa: PTH208  # hidden temporary files too


def test_a_failing_flush_is_an_error_and_the_old_file_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    place = Storage(str(tmp_path))
    place.write("model", "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="No space left"):
        place.write("model", "new")
    assert place.read("model") == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_line_that_finds_the_disk_full_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    place = Storage(str(tmp_path))
    place.append("log.jsonl", "first")
    with full_disk(50), pytest.raises(StorageError):
        place.append("log.jsonl", "x" * 100)
    place.append("log.jsonl", "second")
    assert place.read_text("log.jsonl") == "first\nsecond\n"


def test_a_line_cut_short_by_a_crash_spoils_no_later_one(place: Storage) -> None:
    place.write("log.jsonl", '{"whole": 1}\n{"cut')
    place.append("log.jsonl", '{"later": 2}')
    assert place.read_text("log.jsonl").splitlines() == ['{"whole": 1}', '{"cut', '{"later": 2}']


@pytest.mark.parametrize("uri", ["nope://x/y", "/dev/null/x", "/proc/none", "a\0b"])
def test_a_storage_that_cannot_be_used_says_so_at_once(uri: str) -> None:
    with pytest.raises(StorageError, match="cannot be used") as caught:
        Storage(uri)
    assert "--storage" in str(caught.value.remedy)


def test_a_relative_path_stays_where_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = Storage("here")
    monkeypatch.chdir("/")
    place.write("a", "x")
    assert (tmp_path / "here" / "a").read_text() == "x"


def test_the_default_is_the_variable_or_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTUNE_STORAGE", "s3://bucket/runs")
    assert default_uri() == "s3://bucket/runs"
    monkeypatch.delenv("RAYTUNE_STORAGE")
    assert default_uri() == str(Path.home() / ".raytune")


def test_every_part_of_a_study_lies_in_its_folder() -> None:
    paths = StudyPaths("x-1")
    parts = [getattr(paths, name) for name, value in vars(StudyPaths).items() if isinstance(value, property)]
    assert len(parts) >= 8
    assert {part.partition("x-1")[0] for part in parts} == {"studies/"}
    assert len(set(parts)) == len(parts)


def test_a_listing_survives_folders_that_come_and_go_meanwhile(tmp_path: Path) -> None:
    """The folder is there before or after the listing, so every answer is one of these two."""
    place, done = Storage(str(tmp_path)), threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            (tmp_path / "a").mkdir()
            (tmp_path / "a/b").mkdir()
            (tmp_path / "a/b").rmdir()
            (tmp_path / "a").rmdir()

    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(come_and_go)
        try:
            seen = [(tuple(place.folders("a")), tuple(place.files_below(""))) for _ in range(3000)]
        finally:
            done.set()
    going.result()
    assert set(seen) <= {((), ()), (("b",), ())}
