"""Versions are numbered upwards, never twice; they prove their integrity, and aliases go back the way they came."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.errors import CorruptModelError, InputError, NotFoundError, StorageError
from raytune_app.manifest import FILES
from raytune_app.registry import Draft, Registry
from raytune_app.rollout.traffic import Mode, Rollout
from raytune_app.storage import Storage

DRAFT = Draft(model={"network": {"name": "tutorial_cnn"}}, weights=b"weights", golden=b"golden", card="# card\n")


def path_of(registry: Registry, file: str, version: int = 1) -> Path:
    return Path(registry.storage.full(f"models/mnist/{version}/{file}"))


def test_versions_count_from_one(registry: Registry) -> None:
    assert [registry.register("mnist", DRAFT) for _ in range(3)] == [1, 2, 3]
    assert registry.versions("mnist") == [1, 2, 3]
    assert registry.models() == ["mnist"]


def test_a_version_folder_holds_exactly_the_contracted_files(registry: Registry) -> None:
    registry.register("mnist", DRAFT)
    assert registry.storage.files("models/mnist/1") == sorted([*FILES, "MODEL_CARD.md", "manifest.json"])


def test_what_is_registered_is_found_again(registry: Registry) -> None:
    registry.register("mnist", DRAFT)
    found = registry.find("mnist@1")
    files = found.read()
    assert (files["weights.safetensors"], files["golden.safetensors"]) == (b"weights", b"golden")
    assert files["MODEL_CARD.md"].decode() == DRAFT.card
    assert found.model["network"] == DRAFT.model["network"]
    assert (found.model["schema_version"], found.model["name"], found.model["version"]) == (1, "mnist", 1)


def test_writers_at_once_get_different_versions_and_keep_their_own_content(registry: Registry) -> None:
    together = threading.Barrier(8)

    def register(content: int) -> tuple[int, int]:
        together.wait()
        return registry.register("mnist", Draft({}, str(content).encode(), b"", "")), content

    with ThreadPoolExecutor(8) as pool:
        registered = dict(pool.map(register, range(8)))
    assert len(registered) == 8
    assert sorted(registered) == registry.versions("mnist")
    for version, content in registered.items():
        assert registry.find(f"mnist@{version}").read()["weights.safetensors"] == str(content).encode()


@pytest.mark.parametrize("file", [*FILES, "manifest.json"])
def test_a_damaged_file_is_named(registry: Registry, file: str) -> None:
    registry.register("mnist", DRAFT)
    found = registry.find("mnist@1")
    path = path_of(registry, file)
    path.write_bytes(path.read_bytes()[:-2] + b"!")
    with pytest.raises(CorruptModelError, match=file):
        found.verify()


@pytest.mark.parametrize("file", [*FILES, "manifest.json"])
def test_a_missing_file_is_named(registry: Registry, file: str) -> None:
    registry.register("mnist", DRAFT)
    found = registry.find("mnist@1")
    path_of(registry, file).unlink()
    with pytest.raises(CorruptModelError, match=file):
        found.verify()


def test_a_folder_without_a_manifest_is_not_a_version(registry: Registry) -> None:
    registry.register("mnist", DRAFT)
    path_of(registry, "manifest.json").unlink()
    assert registry.versions("mnist") == []
    assert registry.register("mnist", DRAFT) == 2  # what is there is not overwritten


def test_a_version_of_another_schema_is_refused(registry: Registry) -> None:
    registry.register("mnist", DRAFT)
    path = path_of(registry, "model.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(CorruptModelError, match="schema version"):
        registry.find("mnist@1")


def test_no_version_remains_of_a_write_that_failed(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Storage.write

    def full_disk(self: Storage, path: str, content: bytes | str) -> None:
        if path.endswith("golden.safetensors"):
            raise StorageError("no space left", "free space")
        write(self, path, content)

    monkeypatch.setattr(Storage, "write", full_disk)
    with pytest.raises(StorageError, match="no space"):
        registry.register("mnist", DRAFT)
    monkeypatch.undo()
    assert registry.versions("mnist") == []
    assert registry.register("mnist", DRAFT) == 1


@pytest.mark.parametrize("name", ["../x", "a/b", "", "UPPER", ".hidden", "a..b"])
def test_a_name_that_is_no_folder_name_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(InputError):
        registry.register(name, DRAFT)
    with pytest.raises(InputError):
        registry.find(f"{name}@1")


def test_a_plain_name_is_the_champion_and_else_the_newest(registry: Registry) -> None:
    for _ in range(3):
        registry.register("mnist", DRAFT)
    assert registry.find("mnist").version == 3
    registry.promote("mnist", 2)
    assert registry.find("mnist").version == 2
    assert registry.find("mnist@champion").version == 2


@pytest.mark.parametrize("ref", ["mnist@2", "mnist@0", "mnist@challenger", "fashion", "mnist@-1"])
def test_an_unknown_reference_says_what_there_is(registry: Registry, ref: str) -> None:
    registry.register("mnist", DRAFT)
    with pytest.raises(NotFoundError) as caught:
        registry.find(ref)
    assert "mnist" in str(caught.value.remedy) or "1" in str(caught.value.remedy)


def test_a_corrupt_version_is_not_promoted(registry: Registry) -> None:
    registry.register("mnist", DRAFT)
    path_of(registry, "weights.safetensors").write_bytes(b"others")
    with pytest.raises(CorruptModelError, match=r"weights\.safetensors"):
        registry.promote("mnist", 1)
    assert registry.aliases("mnist") == {}


def test_rollback_without_an_earlier_version_changes_nothing(registry: Registry) -> None:
    registry.register("mnist", DRAFT)
    registry.promote("mnist", 1)
    with pytest.raises(NotFoundError, match="no earlier version"):
        registry.rollback("mnist")
    assert registry.aliases("mnist") == {"champion": 1}


def test_an_alias_cannot_look_like_a_version(registry: Registry) -> None:
    registry.register("mnist", DRAFT)
    with pytest.raises(InputError, match="looks like a version"):
        registry.promote("mnist", 1, alias="7")


@given(promotions=st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_rollbacks_undo_promotions_one_by_one(tmp_path_factory: pytest.TempPathFactory, promotions: list[int]) -> None:
    registry = Registry(Storage(str(tmp_path_factory.mktemp("law"))))
    for _ in range(4):
        registry.register("mnist", DRAFT)
    path: list[int] = []
    for version in promotions:
        registry.promote("mnist", version)
        if not path or path[-1] != version:
            path.append(version)
    for earlier in reversed(path[:-1]):
        assert registry.rollback("mnist") == earlier == registry.find("mnist").version


def test_every_move_of_an_alias_stays_in_the_history(registry: Registry) -> None:
    for _ in range(2):
        registry.register("mnist", DRAFT)
        registry.promote("mnist", len(registry.versions("mnist")))
    registry.rollback("mnist")
    moves = [(event["action"], event["version"]) for event in registry.history("mnist")]
    assert moves == [("promote", 1), ("promote", 2), ("rollback", 1)]


def test_an_export_is_the_same_verified_folder(registry: Registry, tmp_path: Path) -> None:
    registry.register("mnist", DRAFT)
    found = registry.find("mnist")
    found.export(tmp_path / "out")
    for file in [*FILES, "manifest.json"]:
        assert (tmp_path / "out" / file).read_bytes() == path_of(registry, file).read_bytes()
    with pytest.raises(InputError, match="exists already"):
        found.export(tmp_path / "out")


def test_a_corrupt_version_is_not_exported(registry: Registry, tmp_path: Path) -> None:
    registry.register("mnist", DRAFT)
    path_of(registry, "weights.safetensors").write_bytes(b"others")
    with pytest.raises(CorruptModelError):
        registry.find("mnist").export(tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


def test_a_stray_folder_and_a_torn_alias_line_disturb_nobody(registry: Registry) -> None:
    registry.register("mnist", DRAFT)
    registry.promote("mnist", 1)
    registry.storage.write("models/Backup/1/file", b"stray")
    for line in ('{"alias": "cham', "{}", "[1]"):
        registry.storage.append("models/mnist/aliases.jsonl", line)
    assert registry.models() == ["mnist"]
    assert registry.find("mnist").version == registry.find("mnist@1").version == 1
    assert registry.aliases("mnist") == {"champion": 1}


def test_a_version_number_of_thousands_of_digits_is_not_found(registry: Registry) -> None:
    registry.register("mnist", DRAFT)
    with pytest.raises(NotFoundError):
        registry.find("mnist@" + "9" * 5000)


def test_a_rollout_lasts_until_any_move_of_the_champion(registry: Registry) -> None:
    for _ in range(3):
        registry.register("mnist", DRAFT)
    registry.promote("mnist", 1)
    rollout = Rollout(challenger=2, mode=Mode.SHADOW, share=0.5, started_at=7.0)
    registry.start_rollout("mnist", rollout)
    assert registry.rollout("mnist") == rollout
    assert registry.aliases("mnist") == {"champion": 1}
    assert registry.end_rollout("mnist", "too slow") == 2
    assert registry.rollout("mnist") is None
    assert registry.history("mnist")[-1]["reason"] == "too slow"
    for move in (lambda: registry.promote("mnist", 3), lambda: registry.rollback("mnist")):
        registry.start_rollout("mnist", rollout)
        move()
        assert registry.rollout("mnist") is None
    assert registry.aliases("mnist") == {"champion": 1}


def test_a_rollout_needs_a_champion_and_another_version(registry: Registry) -> None:
    registry.register("mnist", DRAFT)
    with pytest.raises(NotFoundError, match="no champion"):
        registry.start_rollout("mnist", Rollout(challenger=1))
    registry.promote("mnist", 1)
    with pytest.raises(InputError, match="champion itself"):
        registry.start_rollout("mnist", Rollout(challenger=1))
    with pytest.raises(NotFoundError, match="no version"):
        registry.start_rollout("mnist", Rollout(challenger=9))
    with pytest.raises(NotFoundError, match="being tried"):
        registry.end_rollout("mnist", "")


def test_a_card_may_grow_and_the_version_still_proves_itself(registry: Registry) -> None:
    registry.register("mnist", DRAFT)
    registry.add_to_card("mnist@1", "## Evaluation\n")
    registry.add_to_card("mnist@1", "## Another\n")
    files = registry.find("mnist@1").read()
    assert files["MODEL_CARD.md"].decode() == "# card\n\n## Evaluation\n\n## Another\n"
    assert files["weights.safetensors"] == DRAFT.weights
