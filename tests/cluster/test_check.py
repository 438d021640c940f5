# ruff: noqa: S104, S108  # places and addresses are fed, none is used
"""Every fact that costs work or lets others in is found, with a remedy; a healthy cluster has none."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import raytune_app
from raytune_app.cluster import probe, survey
from raytune_app.cluster.check import Severity, findings
from raytune_app.cluster.probe import MARK, Request, missing_notes, node_facts, storage_facts, token_facts, versions

GB = 2**30
Facts = dict[str, Any]


def _node(name: str, *, head: bool = False) -> Facts:
    return {
        "id": name * 8,
        "name": name,
        "address": f"10.0.0.{len(name)}",
        "head": head,
        "error": None,
        "resources": {"CPU": 0 if head else 8, "GPU": 0 if head else 1, "object_store_memory": 4 * GB},
        "python": "3.11.9",
        "ray": "2.60.0",
        "raytune": "0.4.0",
        "torch": "2.15.0",
        "token": {"mode": "token", "file": "/home/ray/.ray/auth_token", "readable": False},
        "kubernetes": False,
        "listening": [["127.0.0.1", 8265], ["10.0.0.4", 6379]],
        "disk": {"path": "/tmp", "total": 150 * GB, "free": 90 * GB},
        "shm": {"path": "/dev/shm", "total": 8 * GB, "free": 8 * GB},
        "gpus_seen": None if head else 1,
        "storage": {"uri": "s3://bucket/raytune", "missing": [], "error": None},
        "clock": {"ahead_s": 0.01, "error_s": 0.002},
    }


def _healthy() -> Facts:
    versions = {"python": "3.11.12", "ray": "2.60.0", "raytune": "0.4.0", "torch": "2.15.0"}
    storage: Facts = {"uri": "s3://bucket/raytune", "missing": [], "error": None, "unseen": []}
    return {
        "open": False,
        "failed": None,
        "skew": {"ahead_s": 0.4, "error_s": 0.6},
        "here": {**versions, "token": {"mode": "token", "file": "t", "readable": False}, "storage": dict(storage)},
        "driver": {**versions, "storage": dict(storage)},
        "gcs": "10.0.0.4:6379",
        "dashboard": "127.0.0.1:8265",
        "nodes": [_node("head", head=True), _node("worker")],
    }


def _set(*path: Any) -> Callable[[Facts], None]:
    """`_set("nodes", 1, "ray", "2.59.0")` puts that there."""

    def change(facts: Facts) -> None:
        *way, last, value = path
        place: Any = facts
        for step in way:
            place = place[step]
        place[last] = value

    return change


FULL_DISK = {"path": "/tmp", "total": 150 * GB, "free": 7 * GB}
PROBLEMS = {
    "no token": (_set("open", True), "asks for no token"),
    "the job failed": (_set("failed", "No module named ray"), "No module named ray"),
    "a node that runs nothing": (_set("nodes", 1, "error", "RaySystemError: x"), "worker .*cannot run a task"),
    "a token that others read there": (_set("nodes", 1, "token", "readable", True), "others may read .*worker"),
    "a token that others read here": (_set("here", "token", "readable", True), "others may read .*here"),
    "another Ray": (_set("nodes", 1, "ray", "2.59.0"), r"Ray is 2\.59\.0 on worker"),
    "another Ray of the driver": (_set("driver", "ray", "2.59.0"), "Ray is .* on the driver's machine"),
    "another Python": (_set("nodes", 1, "python", "3.12.1"), r"Python is 3\.12\.1 on worker"),
    "another raytune": (_set("nodes", 1, "raytune", "0.3.0"), r"raytune is 0\.3\.0 on worker"),
    "no torch": (_set("nodes", 1, "torch", None), "torch is missing on worker"),
    "storage out of reach": (_set("nodes", 1, "storage", "error", "OSError: no"), "worker .*cannot use .*OSError: no"),
    "another folder of that name": (_set("nodes", 1, "storage", "missing", ["driver"]), "worker .*not shared"),
    "notes that do not come back": (_set("driver", "storage", "unseen", ["workerworker"]), "wrote .*not shared"),
    "two storages": (_set("nodes", 1, "storage", "uri", "s3://other"), "differs between the machines"),
    "a clock that is fast": (_set("nodes", 1, "clock", "ahead_s", 40.0), "clock of worker .* is 40 s"),
    "a clock that is slow": (_set("nodes", 1, "clock", "ahead_s", -40.0), "clock of worker .* is 40 s"),
    "another time than here": (_set("skew", "ahead_s", -3600.0), "cluster's clock is 3,599 s"),
    "the dashboard for all": (_set("nodes", 0, "listening", [["0.0.0.0", 8265]]), "dashboard listens on every"),
    "the dashboard for all, by IPv6": (_set("nodes", 0, "listening", [["::", 8265]]), "dashboard listens on every"),
    "a full disk": (_set("nodes", 1, "disk", FULL_DISK), r"worker .*7\.0 GB free"),
    "a small /dev/shm": (_set("nodes", 1, "shm", "total", GB // 16), "/dev/shm of worker"),
}
NOTES = {
    "raytune comes with each job": (_set("nodes", 1, "raytune", None), "raytune is not installed on worker"),
    "another torch": (_set("nodes", 1, "torch", "2.14.0"), r"torch is 2\.14\.0 on worker"),
    "no GPU": (_set("nodes", 1, "resources", {"CPU": 8}), "no GPU is there"),
    "GPUs that nobody sees": (_set("nodes", 1, "gpus_seen", None), "worker .*offers GPU: 1"),
    "storage that is not here": (_set("here", "storage", "error", "no access"), "this machine does not share"),
    "Ray's port": (_set("nodes", 0, "listening", [["0.0.0.0", 6379]]), "Ray's own port 6379"),
    "Serve's port": (_set("nodes", 1, "listening", [["0.0.0.0", 8404]]), "port 8404 of worker .*statistics"),
}


def _found(change: Callable[[Facts], None] | None = None) -> list[Any]:
    facts = copy.deepcopy(_healthy())
    if change:
        change(facts)
    return findings(json.loads(json.dumps(facts)))


def test_a_healthy_cluster_has_no_findings() -> None:
    assert _found() == []


@pytest.mark.parametrize(("change", "said"), PROBLEMS.values(), ids=PROBLEMS)
def test_each_fault_is_one_problem_with_a_remedy(change: Callable[[Facts], None], said: str) -> None:
    (finding,) = [each for each in _found(change) if each.severity is Severity.PROBLEM]
    assert re.search(said, finding.what), finding.what
    assert finding.remedy


@pytest.mark.parametrize(("change", "said"), NOTES.values(), ids=NOTES)
def test_what_may_be_meant_so_is_a_note(change: Callable[[Facts], None], said: str) -> None:
    (finding,) = _found(change)
    assert finding.severity is Severity.NOTE
    assert re.search(said, finding.what), finding.what


def test_a_patch_release_of_python_does_not_matter() -> None:
    assert not _found(_set("nodes", 1, "python", "3.11.1"))


def test_on_kubernetes_the_operator_needs_the_dashboard() -> None:
    def change(facts: Facts) -> None:
        facts["nodes"][0] |= {"kubernetes": True, "listening": [["0.0.0.0", 8265]]}

    assert [finding.severity for finding in _found(change)] == [Severity.NOTE]


def test_an_uncertain_clock_is_given_the_benefit_of_the_doubt() -> None:
    assert not _found(_set("nodes", 1, "clock", {"ahead_s": 3.0, "error_s": 1.5}))


def test_a_cluster_that_nobody_looked_at_has_the_findings_that_are_certain() -> None:
    (finding,) = findings(survey.closed(is_open=True))
    assert "asks for no token" in finding.what


def test_problems_come_first() -> None:
    def change(facts: Facts) -> None:
        facts["nodes"][1] |= {"torch": "2.14.0", "ray": "2.59.0"}
        facts["open"] = True

    severities = [finding.severity for finding in _found(change)]
    assert severities == sorted(severities, key=[Severity.PROBLEM, Severity.NOTE].index)
    assert len(severities) == 3


class TestFacts:
    """What a node tells of itself."""

    def test_they_travel_as_json(self) -> None:
        facts = json.loads(json.dumps(node_facts("a", Request())))
        assert facts["ray"] and facts["disk"]["total"] > facts["disk"]["free"] > 0
        assert facts["storage"]["error"] is None

    def test_an_editable_package_tells_the_version_of_its_source(self) -> None:
        assert versions()["raytune"] == raytune_app.__version__

    def test_what_is_not_installed_has_no_version(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probe, "PACKAGES", ("no-such-package",))
        assert versions() == {"no-such-package": None}

    @pytest.mark.parametrize(("mode", "readable"), [(0o600, False), (0o640, True), (0o604, True)])
    def test_who_may_read_the_token_is_told_and_the_token_never(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, readable: bool
    ) -> None:
        file = tmp_path / "token"
        file.write_text("the-secret")
        file.chmod(mode)
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
        monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
        assert token_facts()["readable"] is readable
        monkeypatch.setenv("RAY_AUTH_TOKEN", "the-secret")
        assert "the-secret" not in json.dumps(node_facts("a", Request()))


class TestStorage:
    """Notes tell whether a folder is the same folder everywhere."""

    def test_who_shares_it_finds_the_notes_of_the_others(self, tmp_path: Path) -> None:
        assert storage_facts("driver", Request(str(tmp_path), "f"))["error"] is None
        assert storage_facts("node", Request(str(tmp_path), "f", ("driver",)))["missing"] == []
        assert missing_notes(str(tmp_path), "f", ["driver", "node"]) == []

    def test_who_does_not_is_found_out_and_leaves_nothing_behind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(probe, "SETTLE_S", 0)
        assert storage_facts("node", Request(str(tmp_path), "f", ("driver",)))["missing"] == ["driver"]
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_not_mounted_is_not_made(self, tmp_path: Path) -> None:
        facts = storage_facts("node", Request(str(tmp_path / "mnt"), "f"))
        assert "FileNotFoundError" in facts["error"]
        assert not (tmp_path / "mnt").exists()

    def test_an_address_of_no_storage_is_a_fact_and_no_error(self) -> None:
        assert storage_facts("node", Request("nonsense://x", "f"))["error"]


class Jobs:
    """A Jobs API that answers with a log."""

    def __init__(self, log: str) -> None:
        self.log, self.told = log, dict[str, Any]()

    def submit_job(self, **told: Any) -> str:
        self.told = told
        return str(told["submission_id"])

    def get_job_status(self, job: str) -> Any:
        return type("Status", (), {"is_terminal": lambda _: True})()

    def get_job_logs(self, job: str) -> str:
        return self.log


@pytest.fixture
def _quiet_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "answers_anyone", lambda _: False)
    monkeypatch.setattr(survey, "_skew", lambda _: None)


@pytest.mark.usefixtures("_quiet_head")
class TestByJob:
    """What is asked travels in the environment, and what is printed comes back."""

    def test_facts_come_out_of_the_log(self, tmp_path: Path) -> None:
        jobs = Jobs(f"noise\n{MARK}{json.dumps({'nodes': [], 'gcs': 'a:1'})}\nmore noise")
        facts = survey.by_job(jobs, "http://head:8265", str(tmp_path))
        assert (facts["gcs"], facts["failed"]) == ("a:1", None)
        assert list(tmp_path.iterdir()) == [], "the notes are taken away"

    def test_the_command_is_fixed_whatever_the_storage_is_called(self, tmp_path: Path) -> None:
        storage = tmp_path / "$(touch x); `y`"
        storage.mkdir()
        jobs = Jobs("")
        survey.by_job(jobs, "http://head:8265", str(storage))
        assert jobs.told["entrypoint"] == survey.ENTRYPOINT
        asked = json.loads(jobs.told["runtime_env"]["env_vars"][probe.VARIABLE])
        assert (asked["storage"], asked["notes"]) == (str(storage), ["here"])

    def test_a_job_that_fails_says_why(self) -> None:
        facts = survey.by_job(Jobs("Traceback\nModuleNotFoundError: psutil\n"), "http://head:8265")
        (finding,) = [each for each in findings(facts) if each.severity is Severity.PROBLEM]
        assert "ModuleNotFoundError: psutil" in finding.what

    def test_nothing_is_run_on_a_cluster_that_is_open_to_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(survey, "answers_anyone", lambda _: True)
        jobs = Jobs("")
        assert survey.by_job(jobs, "http://head:8265")["open"]
        assert not jobs.told
