"""A storage folder counts as shared if every machine reads what is written here, and writes what is read here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from raytune_app.cluster import shared
from raytune_app.cluster.shared import Machine, check_seen, compare, look, other_machines
from raytune_app.errors import InputError
from raytune_app.storage import Storage

NEAR, FAR = Machine("a" * 8, "near", "10.0.0.2"), Machine("b" * 8, "far", "10.0.0.3")


@pytest.fixture(autouse=True)
def _disks_settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "SETTLE_S", 0.0)


@pytest.fixture
def place(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "here"))


def seeing(roots: Mapping[Machine, Path], before: Callable[[str], object] = str) -> shared.Ask:
    """Each machine looks at a folder of its own in the place of the storage's."""

    def ask(machines: Collection[Machine], root: str, folder: str, word: str) -> dict[Machine, str]:
        before(folder)
        return {machine: look(str(roots[machine]), folder, word, machine.node) for machine in machines}

    return ask


def test_one_folder_for_all_is_shared_and_stays_as_it_was(place: Storage) -> None:
    root = Path(place.root)
    place.write("studies/s-1/study.json", "{}")
    compare(place, [NEAR, FAR], seeing({NEAR: root, FAR: root}))
    assert [path.name for path in root.iterdir()] == ["studies"]


def test_the_machines_that_see_no_or_another_folder_are_named_with_the_remedy(place: Storage, tmp_path: Path) -> None:
    other, third = tmp_path / "other", Machine("c" * 8, "fine", "10.0.0.4")
    other.mkdir()
    roots = {NEAR: tmp_path / "none", FAR: other, third: Path(place.root)}
    with pytest.raises(InputError, match=r"near \(10\.0\.0\.2\) has no such folder") as caught:
        compare(place, list(roots), seeing(roots))
    assert "far (10.0.0.3) has another folder there" in caught.value.message and "fine" not in caught.value.message
    assert "NFS" in str(caught.value.remedy) and "s3://" in str(caught.value.remedy)
    assert not (tmp_path / "none").exists(), "a folder that is not mounted must not appear as an empty one"
    assert not any(other.iterdir()) and not any(Path(place.root).iterdir())


def test_a_machine_that_says_nothing_stands_in_nobodys_way(place: Storage, tmp_path: Path) -> None:
    gone = Machine("c" * 8, "gone", "10.0.0.4")
    near = seeing({NEAR: Path(place.root), FAR: tmp_path / "none"})

    def ask(machines: Collection[Machine], root: str, folder: str, word: str) -> dict[Machine, str | None]:
        return {**near([each for each in machines if each is not gone], root, folder, word), gone: None}

    compare(place, [NEAR, gone], ask)
    with pytest.raises(InputError, match="far"):
        compare(place, [FAR, gone], ask)


def test_a_copy_that_only_reads_the_same_is_found_out(place: Storage, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    ask = seeing({FAR: copy}, before=lambda _: shutil.copytree(place.root, copy))
    with pytest.raises(InputError, match="writes to another folder"):
        compare(place, [FAR], ask)


def test_a_folder_that_is_not_a_folder_there_is_named(place: Storage, tmp_path: Path) -> None:
    def block(folder: str) -> None:
        (Path(place.root) / folder / FAR.node).mkdir()

    with pytest.raises(InputError, match=r"far .* cannot use it: Is a directory"):
        compare(place, [FAR], seeing({FAR: Path(place.root)}, before=block))


def test_of_many_machines_the_first_are_named_and_the_others_counted(place: Storage, tmp_path: Path) -> None:
    machines = [Machine(f"n{number}", f"worker-{number}", f"10.0.1.{number}") for number in range(40)]
    with pytest.raises(InputError, match=r"worker-4 .* and 35 more") as caught:
        compare(place, machines, seeing(dict.fromkeys(machines, tmp_path / "none")))
    assert len(caught.value.message) < 500


def node(name: str, address: str, **changes: Any) -> dict[str, Any]:
    known = {"Alive": True, "NodeManagerHostname": name, "Resources": {"CPU": 2.0}, "Labels": {}}
    return {**known, "NodeID": f"id-{name}", "NodeManagerAddress": address, **changes}


def test_asked_is_one_node_of_each_other_machine_that_may_run_trials() -> None:
    nodes = [
        node("head", "10.0.0.1"),
        node("head-too", "10.0.0.1"),
        node("one", "10.0.0.2"),
        node("one-too", "10.0.0.2"),
        node("dead", "10.0.0.3", Alive=False),
        node("no-cpu", "10.0.0.4", Resources={"memory": 1.0}),
        node("gpu", "10.0.0.5", Labels={"zone": "far"}),
    ]
    assert [machine.name for machine in other_machines(nodes, "id-head", {})] == ["one", "gpu"]
    assert [machine.name for machine in other_machines(nodes, "id-head", {"zone": "far"})] == ["gpu"]
    assert other_machines(nodes[:2], "id-head", {}) == []


@pytest.mark.parametrize("spelt", [str, Path.as_uri])
def test_a_trial_s_machine_without_the_study_refuses_in_the_same_words(
    spelt: Callable[[Path], str], tmp_path: Path
) -> None:
    root = tmp_path / "with space"
    with pytest.raises(InputError, match="not shared by all machines") as caught:
        check_seen(spelt(root), "studies/s-1")
    assert "NFS" in str(caught.value.remedy)
    assert not root.exists()
    Storage(str(root)).write("studies/s-1/study.json", "{}")
    check_seen(spelt(root), "studies/s-1")
    check_seen("s3://bucket/folder", "studies/s-1")
