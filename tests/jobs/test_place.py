"""Before a study is sent: whether the nodes can see its storage, and whether all its code travels."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raytune_app.errors import InputError, StorageError
from raytune_app.jobs.place import shared_storage
from raytune_app.jobs.submit import check_modules, submit
from raytune_app.spec import parse

ALONE = "node1348Dfd15Ffb8C22C00387F66779Fe345C9D2Ad3E46Dd3679059C190"
EXPERIMENT = {"name": "own", "data": {"name": "mnist"}, "trial": "pace:train", "objective": {"metric": "score"}}


def _cluster(*addresses: str, types: tuple[str, ...] = (ALONE,)) -> Any:
    """A client of a cluster with these nodes."""
    nodes = [{"ip": address, "raylet": {"state": "ALIVE"}} for address in addresses]
    nodes.append({"ip": "10.9.9.9", "raylet": {"state": "DEAD"}})
    answers = {
        "/nodes?view=summary": {"data": {"summary": nodes}},
        "/api/cluster_status": {
            "data": {"clusterStatus": {"autoscalerReport": {"activeNodes": dict.fromkeys(types, 1)}}}
        },
    }
    return SimpleNamespace(_do_request=lambda _, path: SimpleNamespace(json=lambda: answers[path]))


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYTUNE_STORAGE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_default_folder_is_for_a_cluster_of_this_machine_alone(tmp_path: Path) -> None:
    assert shared_storage(_cluster("127.0.0.1"), None) == str(tmp_path / ".raytune")
    for cluster in (_cluster("127.0.0.1", "10.0.0.7"), _cluster("127.0.0.1", types=("headNode",))):
        with pytest.raises(InputError, match="a folder of this one") as refused:
            shared_storage(cluster, None)
        assert "s3://" in str(refused.value.remedy)


def test_a_storage_that_somebody_chose_is_looked_at_when_the_study_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shared_storage(_cluster("10.0.0.7"), "/mnt/shared") == "/mnt/shared"
    assert shared_storage(_cluster("10.0.0.7"), "s3://bucket/x") == "s3://bucket/x"
    monkeypatch.setenv("RAYTUNE_STORAGE", "/mnt/other")
    assert shared_storage(_cluster("10.0.0.7"), None) == "/mnt/other"
    with pytest.raises(StorageError, match="credentials") as refused:
        shared_storage(_cluster("10.0.0.7"), "s3://anna:hidden@bucket/x")
    assert "hidden" not in str(refused.value)


def test_a_module_that_nobody_sends_is_missed_here(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"trial: the module 'pace' is in none of the folders") as refused:
        check_modules(parse(EXPERIMENT), [tmp_path])
    assert "--with" in str(refused.value.remedy)
    (tmp_path / "pace.py").write_text("")
    check_modules(parse(EXPERIMENT), [tmp_path])
    check_modules(parse({**EXPERIMENT, "trial": "pytest:train"}), [])  # installed, perhaps there too


def test_what_only_this_machine_has_is_not_sent_for(tmp_path: Path) -> None:
    folder = {"name": "image_folder", "path": "pictures", "image_size": 28}
    content = {"name": "own", "data": folder, "model": {"name": "tutorial_cnn"}}
    with pytest.raises(InputError, match=r"data\.path: pictures") as refused:
        submit(_cluster("127.0.0.1"), str(tmp_path), experiment=parse(content))
    assert "share" in str(refused.value.remedy)
