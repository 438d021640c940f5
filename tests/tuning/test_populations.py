"""Populations of eight over twenty seeds: nobody fails, and a copy is as good as what it copied."""

import math
import random
from pathlib import Path
from typing import Any

import pytest

from raytune_app.spec import parse
from raytune_app.tuning.view import TrialState
from tests.tuning.world import World

NOISE = 0.01


class Climbers(World):
    """Members whose state is their skill: an epoch adds most near a learning rate of 0.01, nothing is forgotten."""

    def advance(self, state: str, values: dict[str, Any]) -> str:
        skill = 0.0 if state.startswith("seed") else float(state)
        return repr(skill + 0.1 * math.exp(-((math.log10(values["train.lr"]) + 2) ** 2)))


def _score(state: str, epoch: int, values: dict[str, Any]) -> float:
    return float(state) + NOISE * random.Random(state).random()


@pytest.mark.parametrize("lockstep", [True, False])
@pytest.mark.parametrize("name", ["pbt", "pb2"])
def test_no_member_fails_and_no_score_drops_at_a_copy(name: str, lockstep: bool, tmp_path: Path) -> None:
    copies = 0
    for seed in range(20):
        experiment = parse(
            {
                "name": "pop",
                "seed": seed,
                "data": {"name": "mnist"},
                "model": {"name": "tutorial_cnn"},
                "train": {"epochs": 12, "lr": {"loguniform": [1e-5, 1.0], "perturb": True}},
                "scheduler": {"name": name, "interval": 3, "lockstep": lockstep},
                "trials": 8,
            }
        )
        world = Climbers(experiment, tmp_path / str(seed), slots=3, score=_score)
        trials = world.run().view.trials
        assert [trial.state for trial in trials.values()] == [TrialState.FINISHED] * 8
        for trial in trials.values():
            scores = {row["epoch"]: row["accuracy"] for row in trial.epochs}
            assert sorted(scores) == list(range(1, 13)), "an epoch is missing or was trained twice"
            for stint in trial.stints:
                if stint.reason == "copied":
                    copies += 1
                    assert stint.source is not None
                    source = next(row for row in trials[stint.source].epochs if row["epoch"] == stint.source_epoch)
                    assert scores[stint.epoch + 1] >= source["accuracy"] - NOISE
    assert copies >= 40
