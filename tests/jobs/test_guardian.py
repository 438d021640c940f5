"""What becomes of a submitted study when its driver ends, in one way or another."""

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

from raytune_app.errors import InputError, StorageError
from raytune_app.jobs import guardian, taking
from raytune_app.jobs.guardian import Guardian, driver_command
from raytune_app.jobs.order import JobOrder
from raytune_app.jobs.queue import Ticket
from raytune_app.jobs.taking import take_over
from raytune_app.jobs.tickets import Tickets
from raytune_app.spec import parse
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.folder import StudyFolder, take_up
from raytune_app.tuning.liveness import is_lost, read_status
from raytune_app.tuning.mailbox import Command, Order, send

MakeOrder = Callable[..., JobOrder]
NAME = "small-20260101-000000-0000"


class Store:
    """The part of Ray's key-value store that tickets use."""

    def __init__(self) -> None:
        self.content: dict[bytes, bytes] = {}

    def internal_kv_put(self, key: bytes, value: bytes, *_: object) -> None:
        self.content[key] = value

    def internal_kv_get(self, key: bytes, *_: object) -> bytes:
        return self.content[key]

    def internal_kv_keys(self, prefix: bytes, *_: object) -> list[bytes]:
        return [key for key in self.content if key.startswith(prefix)]

    def internal_kv_del(self, key: bytes, *_: object) -> None:
        self.content.pop(key, None)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_S", "SETTLE_S", "BEAT_S"):
        monkeypatch.setattr(guardian, name, 0.02)
    monkeypatch.setattr(taking, "LOOK_S", 0.02)
    monkeypatch.setattr(taking, "FREE_S", 0.1)
    monkeypatch.setattr(guardian, "REST_S", (0.01,))


@pytest.fixture
def tickets() -> Tickets:
    store = Store()
    return Tickets("nowhere", lambda _: store)


@pytest.fixture
def make_order(storage: Storage) -> MakeOrder:
    experiment = parse({"name": "small", "data": {"name": "mnist"}, "model": {"name": "tutorial_cnn"}, "trials": 1})

    def make(**changes: Any) -> JobOrder:
        content = {
            "study": NAME, "job": NAME, "storage": storage.uri, "spec": experiment.to_dict(), "edits": (),
            "user": "anna", "priority": 0, "submitted": "2026-01-01T00:00:00+00:00", "retries": 2,
        }  # fmt: skip
        return JobOrder(**{**content, **changes})

    return make


def _run(order: JobOrder, tickets: Tickets, script: str) -> tuple[int, StudyFolder]:
    folder, before = take_over(order, tickets)
    count = Path(folder.storage.full("runs"))
    begin = f"import os, sys; open({str(count)!r}, 'a').write('x')\n"
    code = Guardian(order, folder, tickets, [sys.executable, "-c", begin + script], before).run()
    assert tickets.all() == []
    return code, folder


def _ends(folder: StudyFolder, state: str, *, settled: bool = True) -> str:
    path = folder.storage.full(folder.paths.state)
    change = f"c | dict(state={state!r}, settled={settled})"
    begin = f"import json, pathlib; p = pathlib.Path({path!r}); c = json.loads(p.read_text())"
    return f"{begin}; p.write_text(json.dumps({change}))"


def _runs(storage: Storage) -> int:
    return len(storage.read("runs"))


def test_a_driver_that_dies_is_started_again_so_often_and_no_more(
    make_order: MakeOrder, tickets: Tickets, storage: Storage
) -> None:
    code, folder = _run(make_order(), tickets, "os.kill(os.getpid(), 9)")
    assert (code, _runs(storage)) == (1, 3)
    record = folder.record()
    assert (record["state"], record["reason"]) == ("failed", "its driver ended with SIGKILL")
    assert record["job"]["attempt"] == 3


def test_a_driver_that_brings_the_study_to_an_end_is_left_alone(
    make_order: MakeOrder, tickets: Tickets, storage: Storage
) -> None:
    order = make_order()
    end = _ends(StudyFolder(storage, StudyPaths(NAME)), "finished")
    script = f"if len(open({storage.full('runs')!r}).read()) < 2: os.kill(os.getpid(), 9)\n{end}"
    code, folder = _run(order, tickets, script)
    assert (code, _runs(storage), folder.record()["state"]) == (0, 2, "finished")


def test_what_is_refused_is_not_tried_again_and_says_why(
    make_order: MakeOrder, tickets: Tickets, storage: Storage
) -> None:
    script = "print('error: no such data', file=sys.stderr); print('  mend it', file=sys.stderr); sys.exit(2)"
    code, folder = _run(make_order(), tickets, script)
    assert (code, _runs(storage)) == (1, 1)
    assert (folder.record()["state"], folder.record()["reason"]) == ("failed", "no such data")


@pytest.mark.parametrize(("order", "state"), [(Order.STOP, "stopped"), (Order.PAUSE, "paused")])
def test_a_study_that_waits_can_be_stopped_and_never_starts(
    order: Order, state: str, make_order: MakeOrder, tickets: Tickets, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTUNE_STUDIES", "1")
    tickets.put(Ticket("other", "ben", 0, "2025", runs=True, beat_s=time.time() + 1000))
    folder, _ = take_over(make_order(), tickets)
    waiting = Guardian(make_order(), folder, tickets, [sys.executable, "-c", "raise SystemExit(9)"])
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(waiting.run()))
    thread.start()
    send(folder, Command(order, "anna"))
    thread.join(timeout=20)
    assert (codes, folder.record()["state"]) == ([0], state)
    assert [ticket.study for ticket in tickets.all()] == ["other"]


def test_a_job_that_is_stopped_starts_no_driver_again(
    make_order: MakeOrder, tickets: Tickets, storage: Storage
) -> None:
    folder, _ = take_over(make_order(), tickets)
    runs = storage.full("runs")
    script = f"""
import sys, time, signal
signal.signal(2, lambda *_: sys.exit(1))
open({runs!r}, 'a').write('x')
time.sleep(30)
"""
    job = Guardian(make_order(), folder, tickets, [sys.executable, "-c", script])

    def stop_like_ray() -> None:  # which tells every process of the job
        deadline_s = time.monotonic() + 20
        while not Path(runs).exists() and time.monotonic() < deadline_s:
            time.sleep(0.01)
        job.stop()
        for child in psutil.Process().children():
            if runs in " ".join(child.cmdline()):
                child.send_signal(signal.SIGINT)

    thread = threading.Thread(target=stop_like_ray)
    thread.start()
    code = job.run()
    thread.join()
    assert (code, folder.record()["state"], _runs(storage)) == (0, "stopped", 1)


def test_a_job_that_is_stopped_between_two_drivers_starts_no_other(
    make_order: MakeOrder, tickets: Tickets, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guardian, "REST_S", (60.0,))
    folder, _ = take_over(make_order(), tickets)
    script = f"import os; open({storage.full('runs')!r}, 'a').write('x'); os.kill(os.getpid(), 9)"
    job = Guardian(make_order(), folder, tickets, [sys.executable, "-c", script])
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if "once more" in text:
            job.stop()

    monkeypatch.setattr(guardian, "_say", say)
    assert (job.run(), folder.record()["state"], _runs(storage)) == (0, "stopped", 1)


def test_somebody_who_stops_the_study_between_two_drivers_is_heard(
    make_order: MakeOrder, tickets: Tickets, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guardian, "REST_S", (60.0,))
    order = make_order()
    folder, _ = take_over(order, tickets)
    send(folder, Command(Order.STOP_TRIAL, "anna", 1))  # not for the guardian
    monkeypatch.setattr(
        guardian, "_say", lambda text: send(folder, Command(Order.PAUSE, "anna")) if "once more" in text else None
    )
    job = Guardian(order, folder, tickets, [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert (job.run(), folder.record()["state"]) == (0, "paused")


def test_a_study_that_a_driver_refuses_to_change_is_as_it_was(
    make_order: MakeOrder, tickets: Tickets, storage: Storage
) -> None:
    take_over(make_order(), tickets)[0].update(state="finished", settled=True)
    script = "print('error: not safe', file=sys.stderr); sys.exit(2)"
    code, folder = _run(make_order(spec=None, job="second"), tickets, script)
    record = folder.record()
    assert (code, record["state"], record["reason"]) == (1, "finished", "second was refused: not safe")


def test_what_was_asked_of_an_earlier_driver_is_forgotten(
    make_order: MakeOrder, tickets: Tickets, storage: Storage
) -> None:
    folder, _ = take_over(make_order(), tickets)
    folder.update(state="stopped")
    send(folder, Command(Order.STOP, "anna"))
    code, _ = _run(make_order(spec=None, job="second"), tickets, _ends(folder, "finished"))
    assert (code, _runs(storage), folder.record()["state"]) == (0, 1, "finished")


def test_what_was_finished_and_not_registered_is_tried_again(
    make_order: MakeOrder, tickets: Tickets, storage: Storage
) -> None:
    order = make_order()
    folder = StudyFolder(storage, StudyPaths(NAME))
    first, second = _ends(folder, "finished", settled=False), _ends(folder, "finished")
    runs = storage.full("runs")
    script = f"if len(open({runs!r}).read()) < 2:\n    {first}; os.kill(os.getpid(), 9)\n{second}"
    assert _run(order, tickets, script)[0] == 0
    assert _runs(storage) == 2


def test_a_store_and_a_storage_that_are_away_for_a_moment_end_nothing(
    make_order: MakeOrder, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    put, calls = store.internal_kv_put, [0]

    def sometimes(key: bytes, value: bytes, *rest: object) -> None:
        calls[0] += 1
        if calls[0] % 2:
            raise RuntimeError("the head is busy")
        put(key, value)

    store.internal_kv_put = sometimes  # type: ignore[method-assign]  # a fault put in
    monkeypatch.setattr(guardian, "take", _away)
    end = _ends(StudyFolder(storage, StudyPaths(NAME)), "finished")
    code, folder = _run(make_order(), Tickets("nowhere", lambda _: store), end)
    assert (code, folder.record()["state"]) == (0, "finished")


def test_a_study_that_waits_gives_a_sign_of_life_and_is_lost_without(
    make_order: MakeOrder, tickets: Tickets, storage: Storage
) -> None:
    folder, _ = take_over(make_order(), tickets)
    waiting = Guardian(make_order(), folder, tickets, ["none"])
    waiting._renew(runs=False)
    status = read_status(folder)
    assert status is not None and not is_lost(folder.record(), status)
    long_ago = {**status, "time": "2026-01-01T00:00:00+00:00"}
    assert is_lost(folder.record(), long_ago)


def _away(_: StudyFolder) -> NoReturn:
    raise StorageError("the bucket does not answer")


def test_a_study_that_somebody_works_on_is_not_taken_over(
    make_order: MakeOrder, tickets: Tickets, storage: Storage
) -> None:
    folder, _ = take_over(make_order(), tickets)
    take_up(folder, "data")  # by this process, which lives
    again = make_order(spec=None, job="second")
    with pytest.raises(InputError, match="being worked on"):
        take_over(again, tickets)
    folder.update(state="stopped")
    tickets.put(Ticket(NAME, "anna", 0, "2026", runs=False, beat_s=time.time()))
    with pytest.raises(InputError, match="being worked on"):
        take_over(again, tickets)
    tickets.remove(NAME)
    assert take_over(again, tickets)[0].record()["job"]["id"] == "second"


def test_no_text_of_a_users_reaches_a_shell(make_order: MakeOrder) -> None:
    order = make_order(edits=("budget.epochs=$(touch /tmp/x)",))
    command = driver_command(JobOrder.from_text(order.to_text()))
    assert command[-1] == "budget.epochs=$(touch /tmp/x)"
    assert command[:4] == [sys.executable, "-m", "raytune_app", "resume"]
