"""What one trial is made of: data, network, training, augmentation. One frozen class a section, unknown keys forbidden.

A scalar under `model`, `train`, `augment` or `params` is a value or, in place, a search domain such as
`{loguniform: [1.0e-4, 1.0e-1]}`. `reading.resolve` puts sampled values where the domains stood, so training code never
meets a domain and may trust the annotations below.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from raytune_app.spec.values import (
    FACTORY,
    Fraction,
    Integer,
    Keyword,
    NonNegative,
    Number,
    Option,
    Positive,
    Tunable,
    no_bool,
)


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
    factory: Annotated[str, Field(pattern=FACTORY)]
    options: dict[Keyword, Tunable[Option]] = {}


class NoModelSpec(Section):
    """A study of a user's own training (`trial:`) needs no network of ours."""

    name: Literal["none"] = "none"


ModelSpec = Annotated[TutorialCnnSpec | ConvNetSpec | CustomModelSpec | NoModelSpec, Field(discriminator="name")]


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
