"""Which version of a model answers a request: the champion, or for a share of the requests a challenger.

The choice is a hash of the request's key, so one user meets one version for as long as a rollout lasts, on every
replica, and nothing has to be remembered. Pure: no Ray, no files, no clock.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from raytune_app.rollout.guard import Rules

_SPAN = 2**64


class Mode(StrEnum):
    """What a rollout does with its challenger."""

    CANARY = "canary"  # answers a share; the guard promotes it or takes it back
    AB = "ab"  # answers a share; the guard only takes it back
    SHADOW = "shadow"  # sees a share and answers nobody; the guard promotes it or takes it back


class Rollout(BaseModel):
    """A challenger beside the champion.

    Attributes:
        share: of the requests, those that the challenger answers (or sees, as a shadow).
        started_at: Unix time.
        rules: by which the guard decides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    challenger: int = Field(ge=1)
    mode: Mode = Mode.CANARY
    share: float = Field(default=0.05, gt=0, le=1)
    started_at: float = 0.0
    rules: Rules = Rules()


class Traffic(BaseModel):
    """Who answers for one model; a bare version number means that version and no other.

    Attributes:
        champion: the version that answers unless a request names another.
        rollout: a challenger, if one is being tried.
        also: more versions in memory; they answer requests that name them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    champion: int = Field(ge=1)
    rollout: Rollout | None = None
    also: tuple[int, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_version(cls, value: Any) -> Any:
        return {"champion": value} if isinstance(value, int) else value

    @model_validator(mode="after")
    def _two_versions(self) -> Self:
        if self.rollout is not None and self.rollout.challenger == self.champion:
            raise ValueError(f"version {self.champion} cannot be its own challenger")
        return self

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version that must be in memory, the champion first."""
        challenger = () if self.rollout is None else (self.rollout.challenger,)
        return tuple(dict.fromkeys((self.champion, *challenger, *self.also)))

    def without(self, versions: Collection[int]) -> Traffic:
        """The same without these versions, none of which is the champion."""
        rollout = None if self.rollout is None or self.rollout.challenger in versions else self.rollout
        return Traffic(champion=self.champion, rollout=rollout, also=tuple(v for v in self.also if v not in versions))

    def holding(self, versions: Collection[int]) -> Traffic:
        """The same with these versions in memory too."""
        return Traffic(champion=self.champion, rollout=self.rollout, also=tuple(dict.fromkeys((*self.also, *versions))))

    def chosen(self, model: str, key: bytes | None) -> int | None:
        """The challenger if this request is one of its share, else None; without a key the choice is by chance."""
        rollout = self.rollout
        if rollout is None:
            return None
        place = random.random() if key is None else position(model, rollout.challenger, key)
        return rollout.challenger if place < rollout.share else None


def position(model: str, challenger: int, key: bytes) -> float:
    """Where a key stands in [0, 1): evenly spread, and anew for each challenger."""
    salt = f"{model}@{challenger}:".encode()
    return int.from_bytes(blake2b(salt + key, digest_size=8).digest(), "big") / _SPAN
