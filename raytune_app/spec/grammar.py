"""The grammar of an experiment file: its sections, and the whole.

`trial` describes what one trial is made of, `study` how a study goes about its trials; everyone else imports both from
here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field

from raytune_app.spec.domains import Domain
from raytune_app.spec.study import (
    COSTS,
    AshaPromotionSpec,
    AshaSpec,
    BudgetSpec,
    ConfirmSpec,
    FailuresSpec,
    FifoSpec,
    FoldsSpec,
    HyperbandSpec,
    KeepSpec,
    MedianSpec,
    Metric,
    Mode,
    ObjectiveSpec,
    ParallelSpec,
    Pb2Spec,
    PbtSpec,
    PickSpec,
    PopulationSpec,
    RegisterSpec,
    ResourcesSpec,
    RungsSpec,
    SchedulerSpec,
    SearchSpec,
)
from raytune_app.spec.trial import (
    PICTURE_AUGMENT,
    TEXT_AUGMENT,
    AugmentSpec,
    ConvNetSpec,
    CustomModelSpec,
    DataSpec,
    ModelSpec,
    NoModelSpec,
    Section,
    TextBagSpec,
    TextCharCnnSpec,
    TextCnnSpec,
    TextModelSpec,
    TokensSpec,
    TrainSpec,
    TutorialCnnSpec,
)
from raytune_app.spec.values import FACTORY, Integer, Keyword, Name, Option, Tunable

__all__ = [
    "COSTS",
    "PICTURE_AUGMENT",
    "TEXT_AUGMENT",
    "AshaPromotionSpec",
    "AshaSpec",
    "AugmentSpec",
    "BudgetSpec",
    "ConfirmSpec",
    "ConvNetSpec",
    "CustomModelSpec",
    "DataSpec",
    "Experiment",
    "FailuresSpec",
    "FifoSpec",
    "FoldsSpec",
    "HyperbandSpec",
    "KeepSpec",
    "MedianSpec",
    "Metric",
    "Mode",
    "ModelSpec",
    "NoModelSpec",
    "ObjectiveSpec",
    "ParallelSpec",
    "Pb2Spec",
    "PbtSpec",
    "PickSpec",
    "PopulationSpec",
    "RegisterSpec",
    "ResourcesSpec",
    "RungsSpec",
    "SchedulerSpec",
    "SearchSpec",
    "Section",
    "TextBagSpec",
    "TextCharCnnSpec",
    "TextCnnSpec",
    "TextModelSpec",
    "TokensSpec",
    "TrainSpec",
    "TutorialCnnSpec",
]

TUNABLE_SECTIONS = ("model", "train", "augment", "params")


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _as_folds(value: Any) -> Any:
    return {"k": value} if isinstance(value, int | str) else value


class Experiment(Section):
    """A whole experiment file."""

    name: Annotated[Name, Field(max_length=40)]
    """A study's id adds day, time and four digits to it, and has to be a safe name too."""
    seed: Annotated[Integer, Field(ge=0, lt=2**31)] = 0
    data: DataSpec
    model: ModelSpec = NoModelSpec()
    train: TrainSpec = TrainSpec()
    augment: AugmentSpec = AugmentSpec()
    trial: Annotated[str, Field(pattern=FACTORY)] | None = None
    """A user's own training in the place of ours: `module:function`, a generator of metrics, one mapping an epoch."""
    params: dict[Keyword, Tunable[Option]] = Field(default_factory=dict)
    """What the user's own training is configured by."""
    objectives: Annotated[tuple[ObjectiveSpec, ...], BeforeValidator(_as_list), Field(min_length=1, max_length=2)] = (
        Field(default=(ObjectiveSpec(),), alias="objective")
    )
    """One, or a list of two; the first is the one that single best values are told of."""
    pick: PickSpec = PickSpec()
    search: SearchSpec = SearchSpec()
    scheduler: SchedulerSpec = FifoSpec(name="fifo")
    trials: Annotated[Integer, Field(ge=1, le=1_000_000)] | None = None
    """How many configurations to try, for PBT and PB2 the population. None: 10, or all of them for grid search."""
    folds: Annotated[FoldsSpec, BeforeValidator(_as_folds)] | None = None
    confirm: ConfirmSpec | None = None
    resources: ResourcesSpec = ResourcesSpec()
    parallel: ParallelSpec | None = None
    budget: BudgetSpec = BudgetSpec()
    failures: FailuresSpec = FailuresSpec()
    keep: KeepSpec = KeepSpec()
    register_as: RegisterSpec | None = Field(default=None, alias="register")

    @property
    def objective(self) -> ObjectiveSpec:
        """The first objective."""
        return self.objectives[0]

    def domains(self) -> dict[str, Domain]:
        """The search domains by dotted path (`train.lr`), in the file's order."""
        return dict(_find_domains({name: getattr(self, name) for name in TUNABLE_SECTIONS}, ""))

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `reading.parse` turns into an equal experiment; safe for JSON and YAML."""
        plain: dict[str, Any] = _plain(self)
        if len(self.objectives) == 1:
            (plain["objective"],) = plain["objective"]
        return plain

    def to_yaml(self) -> str:
        """The resolved experiment: every default written out."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)


def _find_domains(value: Any, path: str) -> Iterator[tuple[str, Domain]]:
    if isinstance(value, Domain):
        yield path, value
    elif isinstance(value, Mapping | Section):
        for key, item in (value.__dict__ if isinstance(value, Section) else value).items():
            yield from _find_domains(item, f"{path}.{key}" if path else str(key))


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return {field.alias or name: _plain(getattr(value, name)) for name, field in type(value).model_fields.items()}
    if isinstance(value, Domain):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, StrEnum) else value
