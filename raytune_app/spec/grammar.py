"""The grammar of an experiment file: one frozen class a section, unknown keys forbidden.

A scalar under `model`, `train` or `augment` is a value or, in place, a search domain such as
`{loguniform: [1.0e-4, 1.0e-1]}`. `reading.resolve` puts sampled values where the domains stood, so training code never
meets a domain and may trust the annotations below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from raytune_app.spec.domains import Domain
from raytune_app.spec.values import (
    Fraction,
    Integer,
    Keyword,
    Name,
    NonNegative,
    Number,
    Option,
    Positive,
    Tunable,
    no_bool,
)

TUNABLE_SECTIONS = ("model", "train", "augment")


class Section(BaseModel):
    """A part of the experiment file: frozen, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class DataSpec(Section):
    """Which data, how it is split, and the picture size the network sees."""

    name: Literal["mnist", "fashion_mnist", "kmnist", "cifar10", "image_folder"]
    path: str | None = None
    """Where the files are: needed by `image_folder`; for the others a folder to look in before a download."""
    validation: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    """Share of the training part held out, stratified by label and drawn by `seed`, to choose between trials."""
    train_limit: Annotated[Integer, Field(ge=1)] | None = None
    """Use only this many training pictures (a stratified sample, before the split); the test part is never cut."""
    image_size: Annotated[Integer, Field(ge=4, le=1024)] | None = None
    """Height and width in pixels that the network sees; others are padded or cropped at the centre. None: as stored."""


class TutorialCnnSpec(Section):
    """The tutorial's network: one convolution, one max pooling, one linear layer, no activation."""

    name: Literal["tutorial_cnn"]
    channels: Tunable[Annotated[Integer, Field(ge=1, le=1024)]] = 32


class ConvNetSpec(Section):
    """Blocks of convolution, batch norm, activation, pooling, dropout; then a linear layer."""

    name: Literal["conv_net"]
    blocks: Tunable[Annotated[Integer, Field(ge=1, le=5)]] = 2
    width: Tunable[Annotated[Integer, Field(ge=1, le=1024)]] = 32
    """Channels of the first block; each further block has twice as many."""
    kernel: Tunable[Annotated[Literal[1, 3, 5, 7], BeforeValidator(no_bool)]] = 3
    batch_norm: Tunable[bool] = True
    dropout: Tunable[Fraction] = 0.0
    activation: Tunable[Literal["relu", "gelu", "silu"]] = "relu"


class CustomModelSpec(Section):
    """A user's own network: `factory: module:function`, called as `function(signature, **options)`."""

    name: Literal["custom"]
    factory: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    options: dict[Keyword, Tunable[Option]] = {}


ModelSpec = Annotated[TutorialCnnSpec | ConvNetSpec | CustomModelSpec, Field(discriminator="name")]


class TrainSpec(Section):
    """How one trial is trained. Defaults are the tutorial's."""

    epochs: Annotated[Integer, Field(ge=1, le=100_000)] = 10
    batch_size: Tunable[Annotated[Integer, Field(ge=1, le=65_536)]] = 100
    optimizer: Tunable[Literal["adam", "adamw", "sgd", "rmsprop"]] = "adam"
    lr: Tunable[Positive] = 0.001
    beta1: Tunable[Fraction] = 0.9
    beta2: Tunable[Fraction] = 0.999
    eps: Tunable[Positive] = 1e-8
    momentum: Tunable[Fraction] = 0.0
    nesterov: Tunable[bool] = False
    weight_decay: Tunable[NonNegative] = 0.0
    schedule: Tunable[Literal["constant", "cosine", "one_cycle"]] = "constant"
    l1: Tunable[NonNegative] = 0.0
    l2: Tunable[NonNegative] = 0.0
    label_smoothing: Tunable[Fraction] = 0.0
    clip_norm: Tunable[Positive | None] = None
    patience: Tunable[Annotated[Integer, Field(ge=1)]] | None = None
    """Stop a trial after this many epochs without a better objective. None: never."""
    speed: Literal["auto", "plain"] = "auto"
    """`auto` measures precision, memory format and compilation once per study; `plain` is float32 as written."""


class AugmentSpec(Section):
    """Random changes of the training pictures, drawn anew for each picture and epoch. All off by default."""

    crop_padding: Tunable[Annotated[Integer, Field(ge=0, le=64)]] = 0
    """Pad by this many pixels, then cut a window of the network's size at a random place."""
    flip: Tunable[Annotated[Number, Field(ge=0, le=1)]] = 0.0
    """Probability of mirroring left to right."""
    shift: Tunable[Annotated[Number, Field(ge=0, le=0.5)]] = 0.0
    """Largest shift in each direction, as a share of the picture's size."""
    rotate: Tunable[Annotated[Number, Field(ge=0, le=180)]] = 0.0
    """Largest rotation, degrees."""
    scale: Tunable[Fraction] = 0.0
    """Sizes are drawn from [1 - scale, 1 + scale]."""


class Metric(StrEnum):
    """What a study can optimise, measured on the validation part after each epoch."""

    ACCURACY = "accuracy"
    LOSS = "loss"
    MACRO_PRECISION = "macro_precision"
    MACRO_RECALL = "macro_recall"
    MACRO_F1 = "macro_f1"


class Mode(StrEnum):
    """Whether more of a metric is better, or less."""

    MAX = "max"
    MIN = "min"


def _mode_of(objective: dict[str, Any]) -> Mode:
    return Mode.MIN if objective["metric"] is Metric.LOSS else Mode.MAX


class ObjectiveSpec(Section):
    """What makes one trial better than another."""

    metric: Metric = Metric.ACCURACY
    mode: Mode = Field(default_factory=_mode_of)
    """Follows from the metric: `min` for `loss`, `max` for the others."""

    @model_validator(mode="after")
    def _mode_looks_for_the_best(self) -> Self:
        right = _mode_of({"metric": self.metric})
        if self.mode is not right:
            raise ValueError(
                f"mode {self.mode} would look for the worst {self.metric}; leave mode out or set it to {right}"
            )
        return self

    @property
    def sign(self) -> int:
        """+1 if larger is better, -1 if smaller is."""
        return 1 if self.mode is Mode.MAX else -1


class SearchSpec(Section):
    """Where configurations come from: drawn at random by seed, or every combination of listed values."""

    name: Literal["random", "grid"] = "random"


class FifoSpec(Section):
    """Every trial runs to its last epoch."""

    name: Literal["fifo"]


class AshaSpec(Section):
    """Asynchronous successive halving, stopping variant (Li et al., MLSys 2020)."""

    name: Literal["asha"]
    grace: Annotated[Integer, Field(ge=1)] = 1
    """Epochs every trial gets before the first decision."""
    reduction: Annotated[Integer, Field(ge=2, le=64)] = 3
    """At each rung the best 1/reduction go on; the next rung lies `reduction` times as many epochs later."""


SchedulerSpec = Annotated[FifoSpec | AshaSpec, Field(discriminator="name")]


class ResourcesSpec(Section):
    """What one trial takes, and how many run at once."""

    cpus: Annotated[Integer, Field(ge=1)] = 1
    gpus: Annotated[Number, Field(ge=0)] | Literal["auto"] = "auto"
    """GPUs for one trial; a fraction shares one. `auto`: a whole GPU where there is one, none where there is none."""
    concurrent: Annotated[Integer, Field(ge=1)] | None = None
    """At most this many trials at once. None: as many as fit."""

    @model_validator(mode="after")
    def _gpus_are_shareable(self) -> Self:
        if isinstance(self.gpus, float) and self.gpus > 1 and not self.gpus.is_integer():
            raise ValueError(f"gpus {self.gpus} spans GPUs with a fraction; use a fraction below 1 or a whole number")
        return self


class BudgetSpec(Section):
    """What ends a study early, whichever comes first; all off by default."""

    wall_time_s: Positive | None = None
    epochs: Annotated[Integer, Field(ge=1)] | None = None
    """Epochs trained over all trials."""
    target: Number | None = None
    """Stop as soon as a trial's objective is at least this good."""


class RegisterSpec(Section):
    """Under which name the winner becomes a model version, and which alias then points to it."""

    model: Name
    alias: Name | None = "champion"


class Experiment(Section):
    """A whole experiment file."""

    name: Annotated[Name, Field(max_length=40)]
    """A study's id adds day, time and four digits to it, and has to be a safe name too."""
    seed: Annotated[Integer, Field(ge=0, lt=2**31)] = 0
    data: DataSpec
    model: ModelSpec
    train: TrainSpec = TrainSpec()
    augment: AugmentSpec = AugmentSpec()
    objective: ObjectiveSpec = ObjectiveSpec()
    search: SearchSpec = SearchSpec()
    scheduler: SchedulerSpec = FifoSpec(name="fifo")
    trials: Annotated[Integer, Field(ge=1, le=1_000_000)] | None = None
    """How many configurations to try. None: 10 for random search, all of them for grid search."""
    resources: ResourcesSpec = ResourcesSpec()
    budget: BudgetSpec = BudgetSpec()
    register_as: RegisterSpec | None = Field(default=None, alias="register")

    def domains(self) -> dict[str, Domain]:
        """The search domains by dotted path (`train.lr`), in the file's order."""
        tunable = {section: getattr(self, section).__dict__ for section in TUNABLE_SECTIONS}
        return dict(_find_domains(tunable, ""))

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `reading.parse` turns into an equal experiment; safe for JSON and YAML."""
        plain: dict[str, Any] = _plain(self)
        return plain

    def to_yaml(self) -> str:
        """The resolved experiment: every default written out."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)


def _find_domains(value: Any, path: str) -> Iterator[tuple[str, Domain]]:
    if isinstance(value, Domain):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _find_domains(item, f"{path}.{key}" if path else str(key))


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return {field.alias or name: _plain(getattr(value, name)) for name, field in type(value).model_fields.items()}
    if isinstance(value, Domain):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value.value if isinstance(value, StrEnum) else value
