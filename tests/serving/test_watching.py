"""Who watches requests: the log and the traces say what happened, and neither can hurt a request."""

import asyncio
import base64
import fcntl
import gzip
import json
import logging
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from serving.versions.dataplane import DataPlane
from serving.watch.request_log import KEPT, MAX_EXAMPLES, RequestLog
from serving.watch.traces import Traces
from serving.watch.watching import NOTE, Note, Watcher, Watching, watched, watched_call, watchers
from serving.web.rest import Rest
from serving.wire.pictures import Pictures
from serving.wire.texts import Texts

SECRET = "my pin is 1234"


class Length:
    """Calls a text long or short."""

    name = "length"
    version = 7
    inputs = Texts()
    labels = ("short", "long")
    example_s = 0.0

    def predict(self, texts: list[str]) -> np.ndarray:
        if "break" in texts:
            raise ValueError(SECRET)
        long = np.array([0.75 if len(text) > 3 else 0.0 for text in texts], np.float32)
        return np.stack([1 - long, long], axis=1)


class Level:
    name = "level"
    version = 1
    inputs = Pictures((1, 2, 2))
    labels = ("dark", "bright")
    example_s = 0.0

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.tile(np.array([0.25, 0.75], np.float32), (len(images), 1))


def post(
    who: Sequence[Watcher], content: str | bytes | list[str], path: str = "length/classify", **headers: str
) -> int:
    """The status of one request to an endpoint that `who` watches."""
    plane = DataPlane()
    plane.serve(Length())
    plane.serve(Level())
    body: dict[str, Any] = {"json": content} if isinstance(content, list) else {"content": content}

    async def run() -> int:
        transport = httpx.ASGITransport(watched(Rest(plane), who))
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
            answer = await client.post(f"/v2/models/{path}", **body, headers=headers)
            return answer.status_code

    return asyncio.run(run())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


def lines(log: RequestLog, file: Path) -> list[dict[str, Any]]:
    log.flush()
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_without_a_watcher_the_application_is_left_as_it_is() -> None:
    application = Rest(DataPlane())
    assert watchers(Watching()) == []
    assert watched(application, []) is application


def test_a_line_says_who_answered_what_how_surely_and_how_fast_but_not_what_was_asked(file: Path) -> None:
    log = RequestLog(file)
    assert post([log], SECRET, **{"x-request-id": "order-5"}) == 200
    (line,) = lines(log, file)
    assert (line["id"], line["model"], line["version"], line["status"]) == ("order-5", "length", "7", 200)
    assert (line["examples"], line["labels"], line["confidence"]) == (1, ["long"], [0.75])
    assert line["body_bytes"] == len(SECRET)
    assert line["answer_bytes"] > 10
    assert line["ms"] > 0
    assert line["time"].endswith("+00:00")
    assert SECRET not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_was_asked_is_written_only_on_demand(file: Path) -> None:
    log = RequestLog(file, with_inputs=True)
    post([log], SECRET)
    post([log], bytes([1, 2, 3, 4]), "level/classify", **{"content-type": "application/octet-stream"})
    text, picture = lines(log, file)
    assert text["inputs"] == [SECRET]
    assert picture["inputs"]["shape"] == [1, 1, 2, 2]
    assert base64.b64decode(picture["inputs"]["base64"]) == bytes([1, 2, 3, 4])


def test_a_request_that_failed_is_a_line_too_without_why(file: Path) -> None:
    log = RequestLog(file, with_inputs=True)
    assert post([log], "break") == 500
    assert post([log], b"\xff") == 400
    assert [(line["status"], line["body_bytes"]) for line in lines(log, file)] == [(500, 5), (400, 1)]
    assert SECRET not in file.read_text()


def test_only_requests_for_an_answer_are_written(file: Path) -> None:
    log = RequestLog(file)
    assert post([log], "", "length/other") == 404
    assert post([log], "ok") == 200
    assert len(lines(log, file)) == 1


def test_of_a_large_request_the_first_answers_are_told_and_all_are_counted(file: Path) -> None:
    log = RequestLog(file)
    post([log], ["a"] * (MAX_EXAMPLES + 50))
    (line,) = lines(log, file)
    assert line["examples"] == MAX_EXAMPLES + 50
    assert len(line["labels"]) == len(line["confidence"]) == MAX_EXAMPLES


def note(number: int) -> Note:
    return Note("/v2/models/length/classify", f"{number:06}", {})


def test_a_sample_is_drawn_fairly(file: Path) -> None:
    log = RequestLog(file, sample=0.25)
    for number in range(4000):
        if log.wants():
            log(note(number))
    kept = [int(line["id"]) for line in lines(log, file)]
    assert 850 < len(kept) < 1150
    assert 850 < 2 * len([number for number in kept if number < 2000]) < 1150


def test_of_a_request_outside_the_sample_nothing_is_noted(file: Path) -> None:
    log = RequestLog(file, sample=0)
    assert post([log], "good") == 200
    log.flush()
    assert not file.exists()


def test_the_files_are_bounded_and_the_newest_lines_are_kept(file: Path) -> None:
    log = RequestLog(file, max_bytes=2000, every_s=0)
    for number in range(500):
        log(note(number))
        log.flush()
    files = sorted(file.parent.iterdir())
    assert [each.name for each in files] == [file.name, *(f"{file.name}.{i}" for i in range(1, KEPT + 1))]
    assert max(each.stat().st_size for each in files) <= 2000
    kept = [json.loads(line)["id"] for each in (*reversed(files[1:]), file) for line in each.read_text().splitlines()]
    assert kept == [f"{number:06}" for number in range(500 - len(kept), 500)], "without a gap"


def test_several_processes_share_a_file_without_tearing_a_line(file: Path) -> None:
    logs = [RequestLog(file, max_bytes=20_000, every_s=0.001) for _ in range(3)]
    for number in range(300):
        logs[number % 3](note(number))
    for log in logs:
        log.flush()
    found = [json.loads(line)["id"] for each in file.parent.iterdir() for line in each.read_text().splitlines()]
    assert len(found) > 150
    assert len(set(found)) == len(found)


def test_a_process_that_waits_while_another_moves_the_file_away_writes_to_the_new_one(file: Path) -> None:
    log = RequestLog(file, every_s=0)
    with file.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        log(note(1))
        time.sleep(0.2)  # it waits for the lock now; if not yet, it finds the new file anyway
        file.rename(file.with_name("moved"))
    assert [line["id"] for line in lines(log, file)] == ["000001"]
    assert file.with_name("moved").read_bytes() == b""


def test_a_log_that_cannot_be_written_says_so_once_and_answers_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[str]()
    monkeypatch.setattr(logging.getLogger("ray.serve"), "warning", lambda text, *values: told.append(text % values))
    log = RequestLog(tmp_path / "gone" / "requests.jsonl")
    for _ in range(3):
        assert post([log], "good") == 200
        log.flush()
    assert len(told) == 1
    assert "request log" in told[0]


def test_a_watcher_that_breaks_hurts_nobody(file: Path) -> None:
    class Broken:
        def wants(self) -> bool:
            return True

        def __call__(self, note: Note) -> None:
            raise RuntimeError(SECRET)

    log = RequestLog(file)
    assert post([Broken(), log], "good") == 200
    assert len(lines(log, file)) == 1


def test_a_note_ends_with_its_request(file: Path) -> None:
    met = list[Note | None]()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        met.append(NOTE.get())

    async def run() -> None:
        scope = {"type": "http", "path": "/v2/models/length/classify", "headers": []}
        await watched(application, [RequestLog(file)])(scope, _never, _never)
        met.append(NOTE.get())

    asyncio.run(run())
    assert met[0] is not None
    assert met[1] is None


async def _never(*message: Any) -> Any:
    raise AssertionError("nobody asked")


def test_a_call_of_grpc_is_noted_too(file: Path) -> None:
    class Context:
        def __init__(self, code: grpc.StatusCode | None = None) -> None:
            self._code = code

        def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
            return [("x-request-id", "order-5"), ("other-bin", b"\xff")]

        def code(self) -> grpc.StatusCode | None:
            return self._code

    async def method(stream: Any, context: Any) -> bytes:
        if context.code() is not None:
            raise grpc.aio.AbortError
        plane = DataPlane()
        plane.serve(Length())
        return await plane.classify("length", None, "text/plain", b"good")

    log = RequestLog(file)
    noting = watched_call(method, "grpc/infer", [log])

    async def called(code: grpc.StatusCode | None = None) -> bytes:
        return await noting(None, Context(code))

    assert asyncio.run(called()).startswith(b'{"model":"length"')
    for code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL):
        with pytest.raises(grpc.aio.AbortError):
            asyncio.run(called(code))
    good, *bad = lines(log, file)
    assert (good["id"], good["status"], good["labels"], good["body_bytes"]) == ("order-5", 200, ["long"], 4)
    assert [line["status"] for line in bad] == [404, 500]
    assert watched_call(method, "grpc/infer", []) is method


class Collector:
    """Takes traces as OpenTelemetry's collector does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the base class calls it so
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


def test_a_request_is_a_span_with_what_it_spent_its_time_on_below_it(collector: Collector) -> None:
    traces = Traces(collector.url)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert post([traces], "good", traceparent=parent) == 200
    traces.stop()
    spans = {span.name: span for span in collector.spans}
    assert list(spans) == ["read", "queue", "compute", "classify"]
    request = spans.pop("classify")
    assert request.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    attributes = {each.key: each.value for each in request.attributes}
    assert attributes["raytune.model"].string_value == "length"
    assert attributes["http.response.status_code"].int_value == 200
    assert {span.parent_span_id for span in spans.values()} == {request.span_id}
    moments = [moment for span in spans.values() for moment in (span.start_time_unix_nano, span.end_time_unix_nano)]
    whole = [request.start_time_unix_nano, *moments, request.end_time_unix_nano]
    assert whole == sorted(whole)
    assert spans["compute"].end_time_unix_nano > spans["compute"].start_time_unix_nano


def test_a_failed_request_is_a_span_of_an_error_and_says_nothing_internal(collector: Collector) -> None:
    traces = Traces(collector.url)
    assert post([traces], "break") == 500
    traces.stop()
    (span,) = collector.spans
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert SECRET not in str(span)


def test_a_collector_that_is_not_there_hurts_nobody(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    traces = Traces(collector.url)
    collector.stop()
    assert post([traces], "good") == 200
    traces.stop()
