"""Studies submitted to a real cluster, a head and two workers that declare a GPU each, and what may befall them."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from raytune_app.client import Client
from raytune_app.storage import Storage
from raytune_app.tuning.liveness import read_status
from tests.e2e.cluster_life import Laptop, check_nothing_was_lost, driver, events, kinds, nodes_of
from tests.e2e.ray_nodes import RayNodes

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]

QUARTER = {"resources": {"cpus": 1, "gpus": 0.25}}


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with RayNodes({"RAYTUNE_STUDIES_PER_USER": "2"}) as started:
        for _ in range(2):
            started.add_worker(cpus=4, gpus=1)
        yield started


@pytest.fixture
def laptop(nodes: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laptop:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(nodes.token_file))
    return Laptop(nodes, tmp_path, Storage(str(tmp_path / "shared")))


def test_four_trials_share_each_gpu_of_two_nodes_and_two_studies_do_not_mix(laptop: Laptop) -> None:
    (meeting := laptop.home / "meeting").mkdir()
    params = {"sleep_s": 0.1, "x": {"uniform": [0, 1]}, "meeting": str(meeting), "together": 8}
    spec = laptop.spec("wide", trials=8, train={"epochs": 3}, params=params, **QUARTER)
    small = laptop.spec("small", trials=2, train={"epochs": 2})
    wide, other = laptop.submit(spec, laptop.code("first")), laptop.submit(small, laptop.code("second"))
    most: list[int] = []

    def look() -> bool:
        waiting = (read_status(other) or {}).get("waiting", [])
        most.append(len(waiting))
        return {other.record()["state"], wide.record()["state"]} == {"finished"}

    laptop.until(look, "both studies finished")
    check_nothing_was_lost(wide, trials=8, epochs=3)
    assert sorted(len(trials) for trials in nodes_of(wide).values()) == [4, 4]
    assert len({(row["host"], row["pid"]) for row in kinds(wide, "epoch")}) == 8
    for study, mark in ((wide, "first"), (other, "second")):
        assert {event["text"].split()[0] for event in kinds(study, "output")} == {mark}
    assert max(most) > 0, "nobody was told that the second study's trials wait for the first one's CPUs"


def test_a_driver_that_is_killed_is_started_again_and_goes_on(laptop: Laptop) -> None:
    study = laptop.submit(laptop.spec("killed", train={"epochs": 6}), laptop.code("only"))
    laptop.until(lambda: len(kinds(study, "checkpoint")) >= 6, "some epochs were saved")
    driver(study).send_signal(signal.SIGKILL)
    assert laptop.ended(study)["job"]["attempt"] == 2
    check_nothing_was_lost(study, trials=4, epochs=6)
    assert len(kinds(study, "study_resumed")) == 1


def test_a_stopped_study_frees_all_and_goes_on_as_a_new_job(laptop: Laptop) -> None:
    study = laptop.submit(laptop.spec("stopped", train={"epochs": 8}), laptop.code("only"))
    laptop.until(lambda: len(kinds(study, "checkpoint")) >= 4, "some epochs were saved")
    told = json.loads(laptop.raytune("stop", study.study, "--json").stdout)
    assert told["state"] == "stopped" and told["reason"].startswith("stopped by ")
    laptop.until(lambda: _free(laptop) == 8, "all CPUs are free again", deadline_s=20)
    laptop.raytune("resume", study.study, "--with", str(laptop.code("only")), "--address", laptop.nodes.url)
    laptop.until(lambda: kinds(study, "study_resumed"), "the study went on")
    laptop.ended(study)
    check_nothing_was_lost(study, trials=4, epochs=8)


def test_a_job_that_ray_stops_ends_in_good_order(laptop: Laptop) -> None:
    study = laptop.submit(laptop.spec("interrupted", train={"epochs": 30}), laptop.code("only"))
    laptop.until(lambda: len(kinds(study, "checkpoint")) >= 4, "some epochs were saved")
    from raytune_app.jobs.client import connect_jobs

    connect_jobs(laptop.nodes.url).stop_job(study.study)
    assert laptop.ended(study, "stopped")["reason"] == "interrupted"
    assert events(study)[-1]["event"] == "study_ended"


def test_one_trial_is_stopped_and_the_others_go_on(laptop: Laptop) -> None:
    study = laptop.submit(laptop.spec("trimmed", trials=2, train={"epochs": 8}), laptop.code("only"))
    laptop.until(lambda: {row["trial"] for row in kinds(study, "epoch")} == {0, 1}, "both trials train")
    laptop.raytune("stop", study.study, "--trial", "1")
    laptop.ended(study)
    ended = {event["trial"]: event["state"] for event in kinds(study, "trial_ended")}
    assert ended == {0: "finished", 1: "stopped"}


def test_the_third_study_of_a_user_waits_is_told_so_and_can_be_stopped(laptop: Laptop) -> None:
    code, spec = laptop.code("only"), laptop.spec("patient", trials=1, train={"epochs": 40})
    first, second = (laptop.submit(spec, code) for _ in range(2))
    third, urgent = laptop.submit(spec, code), laptop.submit(spec, code, "--priority", "5")
    laptop.until(lambda: third.record()["job"]["ahead"] == 1, "the urgent one stands before the third")
    listed = laptop.raytune("studies").stdout
    assert "1 study before it" in listed and "the next in the queue" in listed, listed
    for study in (urgent, third):
        laptop.raytune("stop", study.study)
        assert study.record()["state"] == "stopped" and not events(study)
    for study in (first, second):
        laptop.until(partial(kinds, study, "epoch"), "it began")
        laptop.raytune("pause", study.study)
        assert study.record()["state"] == "paused"


def test_a_study_that_cannot_begin_says_why_in_its_record(laptop: Laptop) -> None:
    study = laptop.submit(laptop.spec("greedy", resources={"cpus": 99, "gpus": 0}), laptop.code("only"))
    assert "asks for 99 CPUs, the cluster has 4 on a node" in laptop.ended(study, "failed")["reason"]
    assert "99 CPUs" in laptop.raytune("show", study.study).stdout


def test_a_node_that_dies_costs_an_epoch_at_most(laptop: Laptop) -> None:
    """The last of this cluster's tests: a node of it is gone afterwards."""
    study = laptop.submit(laptop.spec("bereft", trials=8, train={"epochs": 8}, **QUARTER), laptop.code("only"))
    laptop.until(lambda: len(kinds(study, "checkpoint")) >= 8 and len(nodes_of(study)) == 2, "both nodes train")
    laptop.nodes.kill("worker-3")
    laptop.ended(study)
    check_nothing_was_lost(study, trials=8, epochs=8)
    assert any("fault" in event and not event["fault"] for event in kinds(study, "trial_interrupted"))


def test_ten_lines_of_python_do_the_same(laptop: Laptop) -> None:
    client = Client(laptop.storage.uri, laptop.nodes.url)
    study = client.submit(laptop.spec("notebook", trials=2), {"train.epochs": 2}, folders=[laptop.code("only")])
    study.wait(120)
    assert study.best()["metric"] == "score"
    assert len(study.frame()) == 2 and len(study.epochs()) == 4
    assert [one.study for one in client.studies()] == [study.id]


def _free(laptop: Laptop) -> float:
    answer = laptop.nodes.get("/api/cluster_status").json()
    usage = answer["data"]["clusterStatus"]["loadMetricsReport"]["usage"]
    used, total = usage["CPU"]
    return float(total - used)
