"""What a replica does when its configuration changes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from raytune_app.errors import CorruptModelError, InputError, NotFoundError, NotReadyError
from raytune_app.registry import Draft, Registry
from serving.versions.ledger import MemoryBoard
from serving.versions.replica import Arguments, Replica, UserConfig

MakeDraft = Callable[..., Draft]


@pytest.fixture
def replica(registry: Registry, make_draft: MakeDraft) -> Replica:
    """Version 1 is good, version 2 is damaged, version 3 does not reproduce its golden samples."""
    for _ in range(2):
        registry.register("mnist", make_draft())
    Path(registry.storage.full("models/mnist/2/weights.safetensors")).write_bytes(b"damaged")
    registry.register("mnist", Draft(make_draft(5).model, make_draft(5).weights, make_draft(6).golden, ""))
    return Replica(Arguments(storage=registry.storage.uri))


def change(replica: Replica, **models: int) -> None:
    asyncio.run(replica.change(UserConfig.model_validate({"models": models})))


def test_a_replica_is_ready_once_its_model_answers(replica: Replica) -> None:
    with pytest.raises(NotReadyError):
        replica.plane.ready()
    change(replica, mnist=1)
    assert replica.plane.versions() == {"mnist": 1}
    replica.plane.ready()


@pytest.mark.parametrize(("version", "file"), [(2, r"weights\.safetensors"), (3, r"golden\.safetensors")])
def test_with_nothing_to_keep_a_bad_version_stops_the_start(replica: Replica, version: int, file: str) -> None:
    with pytest.raises(CorruptModelError, match=file):
        change(replica, mnist=version)


@pytest.mark.parametrize(("version", "file"), [(2, r"weights\.safetensors"), (3, r"golden\.safetensors")])
def test_with_a_version_to_keep_a_bad_one_is_refused_without_showing_where_it_lies(
    replica: Replica, registry: Registry, version: int, file: str
) -> None:
    change(replica, mnist=1)
    change(replica, mnist=version)
    with pytest.raises(NotReadyError, match=rf"models/mnist/{version}/{file}") as caught:
        replica.plane.model_ready("mnist", str(version))
    assert registry.storage.root not in caught.value.message
    assert replica.plane.versions() == {"mnist": 1}


def test_a_refusal_is_forgotten_with_the_next_configuration(
    replica: Replica, registry: Registry, make_draft: MakeDraft
) -> None:
    change(replica, mnist=1)
    change(replica, mnist=2)
    Path(registry.storage.full("models/mnist/2/weights.safetensors")).write_bytes(make_draft().weights)
    change(replica, mnist=2)
    assert replica.plane.model_ready("mnist", "2")["ready"]


def test_a_model_that_is_no_longer_wanted_is_gone(replica: Replica, registry: Registry, make_draft: MakeDraft) -> None:
    registry.register("other", make_draft())
    change(replica, mnist=1, other=1)
    change(replica, other=1)
    assert replica.plane.versions() == {"other": 1}


@pytest.mark.parametrize("config", [{}, {"models": {"mnist": "x"}}, {"models": {}, "more": 1}, {"models": None}])
def test_a_configuration_that_is_not_one_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        UserConfig.model_validate(config)


def test_one_bad_model_does_not_take_down_a_good_one(
    replica: Replica, registry: Registry, make_draft: MakeDraft
) -> None:
    registry.register("good", make_draft())
    asyncio.run(replica.change(UserConfig.model_validate({"models": {"good": 1}})))
    asyncio.run(replica.change(UserConfig.model_validate({"models": {"good": 1, "missing": 7}})))
    assert replica.plane.versions() == {"good": 1}
    with pytest.raises(NotReadyError):
        replica.plane.model_ready("missing", None)


def test_models_of_texts_and_of_pictures_answer_side_by_side(
    replica: Replica, registry: Registry, make_text_draft: MakeDraft
) -> None:
    registry.register("mood", make_text_draft())
    change(replica, mnist=1, mood=1)
    datatypes = [replica.plane.model_metadata(name, None)["inputs"][0]["datatype"] for name in ("mnist", "mood")]
    assert datatypes == ["UINT8", "BYTES"]
    text = asyncio.run(replica.plane.classify("mood", None, "text/plain", b"a funny film"))
    picture = asyncio.run(replica.plane.classify("mnist", None, "application/octet-stream", bytes(784)))
    assert (b'"good"' in text, b'"class 9"' in picture) == (True, True)


def traffic(champion: int, challenger: int, **more: Any) -> UserConfig:
    rollout = {"challenger": challenger, "share": 0.5, **more}
    return UserConfig.model_validate({"models": {"mnist": {"champion": champion, "rollout": rollout}}})


def test_a_challenger_is_loaded_beside_the_champion_and_promoted_without_loading_it_again(
    replica: Replica, registry: Registry, make_draft: MakeDraft
) -> None:
    good = registry.register("mnist", make_draft(1))
    asyncio.run(replica.change(traffic(1, good)))
    assert list(replica.plane.held("mnist")) == [1, good]
    challenger = replica.plane.held("mnist")[good]
    change(replica, mnist=good)
    assert replica.plane.held("mnist") == {good: challenger}


def test_a_challenger_that_is_refused_leaves_the_champion_alone(replica: Replica) -> None:
    asyncio.run(replica.change(traffic(1, 2)))
    assert replica.plane.traffic()["mnist"].rollout is None
    assert list(replica.plane.held("mnist")) == [1]
    with pytest.raises(NotReadyError, match="weights"):
        replica.plane.model_ready("mnist", "2")


def test_a_version_of_another_signature_is_refused(
    replica: Replica, registry: Registry, make_draft: MakeDraft, make_text_draft: MakeDraft
) -> None:
    other = registry.register("mnist", make_text_draft())
    change(replica, mnist=1)
    change(replica, mnist=other)
    assert replica.plane.versions() == {"mnist": 1}
    with pytest.raises(NotReadyError, match="takes"):
        replica.plane.model_ready("mnist", str(other))


def test_a_client_may_load_more_and_every_process_follows(
    registry: Registry, make_draft: MakeDraft, make_text_draft: MakeDraft
) -> None:
    first, second = registry.register("mnist", make_draft()), registry.register("mnist", make_draft(1))
    registry.register("mood", make_text_draft())
    board = MemoryBoard()
    replicas = [Replica(Arguments(storage=registry.storage.uri), board, name) for name in "ab"]
    for each in replicas:
        change(each, mnist=first)
    asyncio.run(replicas[0].load("mnist", second))
    asyncio.run(replicas[0].load("mood", None))
    asyncio.run(replicas[1].exchange())
    for each in replicas:
        assert list(each.plane.held("mnist")) == [first, second]
        assert each.plane.versions() == {"mnist": first, "mood": 1}
    asyncio.run(replicas[1].unload("mood", None))
    asyncio.run(replicas[1].unload("mnist", second))
    asyncio.run(replicas[0].exchange())
    for each in replicas:
        assert list(each.plane.held("mnist")) == [first]
        assert each.plane.versions() == {"mnist": first}


def test_what_is_served_cannot_be_unloaded_by_a_client_and_what_is_not_there_cannot_be_loaded(replica: Replica) -> None:
    change(replica, mnist=1)
    with pytest.raises(InputError, match="not loaded by a client"):
        asyncio.run(replica.unload("mnist", 1))
    with pytest.raises(NotFoundError):
        asyncio.run(replica.load("nobody", None))
    with pytest.raises(NotReadyError):
        asyncio.run(replica.load("mnist", 2))
    with pytest.raises(InputError, match="not loaded by a client"):
        asyncio.run(replica.unload("mnist", 2))
    assert list(replica.plane.held("mnist")) == [1]
