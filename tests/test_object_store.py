"""Storage on an S3 server: what differs from a disk, and what goes wrong with servers."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raytune_app import appended, filesystem
from raytune_app.errors import CorruptModelError, InputError, StorageError
from raytune_app.registry import Draft, Registry
from raytune_app.storage import Storage
from tests.s3_server import CREDENTIALS, S3Server, s3_server

DRAFT = Draft(model={"network": {"name": "tutorial_cnn"}}, weights=b"weights", golden=b"golden", card="# card\n")


@pytest.fixture
def place(s3: S3Server) -> Storage:
    return Storage(s3.uri())


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(appended, "PART_BYTES", 100)
    return 100


def test_a_location_opens_what_it_names(place: Storage) -> None:
    place.write("models/mnist/1/model.json", "{}")
    again = Storage(place.location("models/mnist"))
    assert again.files_below("") == ["1/model.json"]
    assert again.uri.partition("?")[0] == f"{place.uri.partition('?')[0]}/models/mnist"


def test_another_process_opens_the_same_storage(place: Storage) -> None:
    place.write("a", "x")
    assert pickle.loads(pickle.dumps(place)).read_text("a") == "x"  # noqa: S301  # as Ray sends it to a process of ours
    program = "import sys; from raytune_app.storage import Storage; print(Storage(sys.argv[1]).read_text('a'))"
    told = subprocess.run([sys.executable, "-c", program, place.uri], capture_output=True, text=True, check=True)
    assert told.stdout == "x\n"


def test_nothing_secret_travels_with_a_storage(place: Storage) -> None:
    travelling = pickle.dumps(place) + pickle.dumps(place.fs) + repr(vars(place)).encode()
    assert not [word for word in CREDENTIALS.values() if word.encode() in travelling]


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIA123:hidden@bucket/folder",
        "s3://AKIA123@bucket/folder",
        "s3://bucket/folder?access_key=hidden",
        "s3://bucket/folder?secret_key=hidden&scheme=http",
        "s3://bucket/folder?session_token=hidden",
        f"s3://bucket/folder?endpoint_override={quote('http://me:hidden@127.0.0.1:9000', safe='')}",
        "gs://bucket/folder?access_token=hidden",
        "hdfs://me:hidden@host/folder",
    ],
)
def test_a_uri_with_credentials_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(StorageError, match="credentials") as caught:
        Storage(uri)
    assert "AWS_ACCESS_KEY_ID" in str(caught.value.remedy) and "every node" in str(caught.value.remedy)
    assert "hidden" not in f"{caught.value} {caught.value.remedy}" and "AKIA" not in str(caught.value)


def test_an_option_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(StorageError, match="'endpoint'") as caught:
        Storage("s3://bucket/folder?endpoint=127.0.0.1")
    assert "endpoint_override" in str(caught.value.remedy)


def test_a_bucket_that_is_not_there_is_named(s3: S3Server) -> None:
    with pytest.raises(StorageError, match="no bucket 'nowhere'") as caught:
        Storage(s3.uri(bucket="nowhere").replace("&allow_bucket_creation=true", ""))
    assert caught.value.remedy


def test_a_silent_or_missing_server_is_one_line_and_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "SILENCE_S", 1.0)
    monkeypatch.setattr(filesystem, "GCS_RETRY_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as closed:
        ports = [listener.getsockname()[1] for listener in (silent, closed)]
        closed.close()
        for port in ports:
            _is_one_line(lambda port=port: Storage(S3Server(port, Path()).uri()), "can be reached")  # type: ignore[misc]
        _is_one_line(
            lambda: Storage(f"gs://anonymous@b/f?scheme=http&endpoint_override=127.0.0.1:{ports[1]}").files(""),
            "can be reached",
        )


def test_a_server_that_goes_away_is_one_line_and_a_remedy(tmp_path: Path, s3: S3Server) -> None:
    with s3_server(tmp_path) as server:
        place = Storage(server.uri())
        place.append("log.jsonl", "x")
        append = place.appender("log.jsonl")
    _is_one_line(lambda: append("y"), "can be reached")
    _is_one_line(lambda: place.read("log.jsonl"), "can be reached")


def test_a_server_that_refuses_names_the_variables(tmp_path: Path, s3: S3Server) -> None:
    with s3_server(tmp_path, INITIAL_NO_AUTH_ACTION_COUNT="0") as server:
        uri = server.uri().replace("&allow_bucket_creation=true", "")
        _is_one_line(lambda: Storage(uri), "AWS_ACCESS_KEY_ID")


def _is_one_line(call: Callable[[], object], remedy: str) -> None:
    with pytest.raises(StorageError) as caught:
        call()
    assert remedy in str(caught.value.remedy)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_an_appended_line_costs_one_bounded_put(s3: S3Server, small_parts: int) -> None:
    place = Storage(s3.uri("bounded"))
    append = place.appender("log.jsonl")
    append("line 0")
    before = len(s3.requests())
    lines = [f"line {number}" for number in range(100)]
    for line in lines[1:]:
        append(line)
    assert {request.split()[0] for request in s3.requests()[before:]} == {"PUT"}
    assert len(s3.requests()) == before + 99
    assert max(appended.part_sizes(place.fs, place.full("log.jsonl")).values()) <= small_parts
    assert place.read_text("log.jsonl").splitlines() == lines


@settings(max_examples=40)
@given(writers=st.lists(st.lists(st.text(max_size=40).map(repr).filter(str.isascii), max_size=8), max_size=5))
def test_a_row_of_parts_reads_as_one_file_whoever_went_on_with_it(writers: list[list[str]]) -> None:
    place = Storage("mock:///bucket")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(appended, "PART_BYTES", 60)
        for lines in writers:
            append = place.appender("folder/log.jsonl")
            for line in lines:
                append(line)
    written = [line for lines in writers for line in lines]
    if written:
        assert place.read_text("folder/log.jsonl").splitlines() == written


def test_a_log_copied_to_a_disk_reads_and_goes_on(place: Storage, tmp_path: Path, small_parts: int) -> None:
    lines = [f"a line of some length {number}" for number in range(20)]
    for line in lines[:15]:
        place.append("s/log.jsonl", line)
    here = Storage(str(tmp_path))
    for name in place.files("s"):
        (tmp_path / name).write_bytes(place.fs.open_input_stream(place.full(f"s/{name}")).read())
    for line in lines[15:]:
        here.append("log.jsonl", line)
    assert len(here.files("")) > 2
    assert here.read_text("log.jsonl").splitlines() == lines


_APPENDING = """
import sys
from raytune_app import appended
from raytune_app.storage import Storage
appended.PART_BYTES = 300
append, number = Storage(sys.argv[1]).appender("log.jsonl"), 0
try:
    while True:
        append(f"line {number} {'x' * 20}")
        print(number, flush=True)
        number += 1
except KeyboardInterrupt:
    append("the end")
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_line_that_was_written_is_lost_or_torn_however_its_writer_ends(end: signal.Signals, place: Storage) -> None:
    with subprocess.Popen([sys.executable, "-c", _APPENDING, place.uri], stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            acknowledged = [int(writer.stdout.readline()) for _ in range(40)]
            writer.send_signal(end)
            acknowledged += [int(line) for line in writer.stdout.read().splitlines()]
        finally:
            writer.kill()
    lines = place.read_text("log.jsonl").splitlines()
    whole = [line for line in lines if line != "the end"]
    assert whole == [f"line {number} {'x' * 20}" for number in range(len(whole))]
    assert len(whole) - len(acknowledged) in {0, 1}, "at most the line that was being written"
    assert (lines[-1] == "the end") is (end is signal.SIGINT)


@pytest.mark.parametrize("arrived", [False, True])
def test_after_a_put_that_failed_the_log_goes_on_from_what_arrived(
    arrived: bool, place: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fs: Any, target: str, content: bytes) -> None:
        if arrived:
            filesystem.put(fs, target, content)
        raise OSError("no answer")

    append = place.appender("log.jsonl")
    append("first")
    with monkeypatch.context() as broken:
        broken.setattr(appended, "put", fail)
        with pytest.raises(StorageError):
            append("second")
    append("third")
    assert place.read_text("log.jsonl").splitlines() == ["first", *["second"][: int(arrived)], "third"]


class Interrupted:
    """A file system on which Ctrl-C comes between opening a stream and writing to it."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def open_output_stream(self, target: str) -> Any:
        stream = self._fs.open_output_stream(target)
        signal.raise_signal(signal.SIGINT)
        return stream


class Changing:
    """A file system on which a file is replaced each time between opening it and reading it, so many times."""

    type_name = "s3"

    def __init__(self, place: Storage, contents: list[bytes]) -> None:
        self._place, self._contents = place, contents

    def open_input_file(self, source: str) -> Any:
        file = self._place.fs.open_input_file(source)
        if self._contents:
            self._place.write("file", self._contents.pop(0))
        return file


@pytest.mark.parametrize("contents", [[b"short"], [b"longer than before"], [b"x", b"yy", b"zzz"]])
def test_what_is_replaced_while_it_is_read_is_read_whole(contents: list[bytes], place: Storage) -> None:
    place.write("file", b"a first one")
    read = filesystem.read_whole(Changing(place, list(contents)), place.full("file"))
    assert read == contents[-1]


def test_what_never_stays_the_same_is_an_error(place: Storage) -> None:
    place.write("file", b"")
    endless = Changing(place, [b"x" * size for size in range(1, 2 * filesystem.READS)])
    with pytest.raises(OSError, match="faster"):
        filesystem.read_whole(endless, place.full("file"))


def test_ctrl_c_in_the_middle_of_a_put_leaves_the_whole_of_it(place: Storage) -> None:
    place.write("file", "before")
    with pytest.raises(KeyboardInterrupt):
        filesystem.put(Interrupted(place.fs), place.full("file"), b"after")
    assert place.read("file") == b"after"


def test_a_model_lives_its_life_in_a_bucket(place: Storage, tmp_path: Path) -> None:
    registry = Registry(place)
    assert [registry.register("mnist", DRAFT) for _ in range(3)] == [1, 2, 3]
    for version in (1, 3):
        registry.promote("mnist", version)
    assert registry.aliases("mnist") == {"champion": 3}
    assert registry.rollback("mnist") == 1
    assert registry.find("mnist").version == 1
    registry.add_to_card("mnist@1", "measured")
    registry.find("mnist").export(tmp_path / "mnist")
    assert sorted(os.listdir(tmp_path / "mnist")) == sorted(place.files("models/mnist/1"))  # noqa: PTH208  # all files
    place.write("models/mnist/2/weights.safetensors", b"other")
    with pytest.raises(CorruptModelError, match=r"weights\.safetensors"):
        registry.promote("mnist", 2)
    assert [event["action"] for event in registry.history("mnist")] == ["promote", "promote", "rollback"]


def test_a_model_of_a_bucket_is_not_exported_over_a_folder(place: Storage, tmp_path: Path) -> None:
    registry = Registry(place)
    registry.register("mnist", DRAFT)
    with pytest.raises(InputError, match="exists already"):
        registry.find("mnist").export(tmp_path)


@pytest.fixture(autouse=True)
def _few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "ATTEMPTS", 2)
