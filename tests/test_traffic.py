"""Who answers a request: the same key meets the same version, and the share is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from raytune_app.rollout.traffic import Mode, Rollout, Traffic, position

CANARY = Traffic(champion=1, rollout=Rollout(challenger=2, share=0.2))


@given(st.binary(max_size=100))
def test_a_key_stands_at_one_place_in_zero_to_one(key: bytes) -> None:
    assert 0 <= position("mnist", 2, key) < 1
    assert position("mnist", 2, key) == position("mnist", 2, key)


def test_a_share_of_the_keys_meets_the_challenger_and_always_the_same_ones() -> None:
    keys = [f"user-{number}".encode() for number in range(5000)]
    first = [CANARY.chosen("mnist", key) for key in keys]
    assert set(first) == {None, 2}
    assert first.count(2) / len(keys) == pytest.approx(0.2, abs=0.025)
    assert first == [CANARY.chosen("mnist", key) for key in keys]


def test_who_is_tried_on_differs_from_rollout_to_rollout_but_grows_with_the_share() -> None:
    keys = [f"user-{number}".encode() for number in range(2000)]
    wider = Traffic(champion=1, rollout=Rollout(challenger=2, share=0.5))
    other = Traffic(champion=1, rollout=Rollout(challenger=3, share=0.2))
    chosen = {key for key in keys if CANARY.chosen("mnist", key)}
    assert chosen < {key for key in keys if wider.chosen("mnist", key)}
    assert len(chosen & {key for key in keys if other.chosen("mnist", key)}) < 0.5 * len(chosen)


def test_without_a_key_the_share_is_kept_by_chance() -> None:
    assert sum(CANARY.chosen("mnist", None) == 2 for _ in range(5000)) / 5000 == pytest.approx(0.2, abs=0.03)
    assert Traffic(champion=1).chosen("mnist", None) is None


def test_a_bare_number_is_a_version_alone() -> None:
    assert Traffic.model_validate(3) == Traffic(champion=3)
    assert Traffic.model_validate(Traffic(champion=3).model_dump(mode="json")) == Traffic(champion=3)


def test_the_versions_in_memory_are_named_once_and_the_champion_first() -> None:
    traffic = Traffic(champion=5, rollout=Rollout(challenger=2, mode=Mode.AB), also=(2, 5, 7))
    assert traffic.versions == (5, 2, 7)
    assert traffic.without({2, 7}).versions == (5,)
    assert traffic.holding([9, 5]).versions == (5, 2, 7, 9)


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_is_more_than_nothing_and_at_most_all(share: float) -> None:
    with pytest.raises(ValidationError):
        Rollout(challenger=2, share=share)


def test_a_version_is_not_its_own_challenger() -> None:
    with pytest.raises(ValidationError, match="own challenger"):
        Traffic(champion=2, rollout=Rollout(challenger=2))
