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


TEXT_DATA = frozenset({"sentences/sentiment", "sentences/topic", "text_file"})
"""The data sets of texts."""


class DataSpec(Section):
    """Which data, how it is split, and the picture size the network sees."""

    name: Literal[
        "mnist",
        "fashion_mnist",
        "kmnist",
        "cifar10",
        "image_folder",
        "sentences/sentiment",
        "sentences/topic",
        "text_file",
    ]
    path: str | None = None
    """Where the files are: needed by `image_folder` and `text_file`; for the others a folder to look in before a
    download."""
    validation: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    """Share of the training part held out, stratified by label and drawn by `seed`, to choose between trials."""
    train_limit: Annotated[Integer, Field(ge=1)] | None = None
    """Use only this many training examples (a stratified sample, before the split); the test part is never cut."""
    image_size: Annotated[Integer, Field(ge=4, le=1024)] | None = None
    """Height and width in pixels that the network sees; others are padded or cropped at the centre. None: as stored."""
    neutral: bool = False
    """Of `sentences/sentiment`: whether there is a third class between negative and positive."""
    validation_path: str | None = None
    """Of `text_file`: a file of texts to choose between trials, in the place of a share of the training texts."""
    test_path: str | None = None
    """Of `text_file`: the sealed test part. None: about a tenth of the texts of `path`, chosen by their hash."""
    text: str = "text"
    """Of `text_file`: the column of the texts."""
    label: str = "label"
    """Of `text_file`: the column of the labels, texts or whole numbers."""
    encoding: str = "utf-8"
    """Of `text_file`, Parquet excepted."""
    leakage: Literal["error", "warn", "drop"] = "error"
    """Of `text_file`: what to do where a text to learn from also stands in the test part."""

    @property
    def is_text(self) -> bool:
        """Whether the examples are texts; else they are pictures."""
        return self.name in TEXT_DATA


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


class TokensSpec(Section):
    """How texts become tokens; see `data.tokens.TokenizerSettings`."""

    kind: Tunable[Literal["word", "char", "char_ngram"]] = "word"
    lower: Tunable[bool] = True
    ngram: Tunable[Annotated[Integer, Field(ge=2, le=5)]] = 3
    """Characters of a `char_ngram`."""
    max_size: Tunable[Annotated[Integer, Field(ge=3, le=10_000_000)]] = 20_000
    """Rows of the embedding table, padding and unknown included."""
    min_count: Tunable[Annotated[Integer, Field(ge=1, lt=2**31)]] = 1
    """Tokens that occur less often in the training texts are unknown."""
    max_length: Tunable[Annotated[Integer, Field(ge=1, le=1_000_000)]] = 256
    """Tokens of a text; the rest is cut off."""


class CharTokensSpec(TokensSpec):
    """The same, of characters unless told otherwise."""

    kind: Tunable[Literal["word", "char", "char_ngram"]] = "char"
    max_length: Tunable[Annotated[Integer, Field(ge=1, le=1_000_000)]] = 1024


Embeddings = Literal["random", "static", "non_static", "multichannel"]


class TextCnnSpec(Section):
    """Filters over neighbouring tokens, each one's maximum over the text, a linear layer (Kim 2014)."""

    name: Literal["text_cnn"]
    tokens: TokensSpec = TokensSpec()
    dimension: Tunable[Annotated[Integer, Field(ge=1, le=4096)]] = 128
    """Of a token's vector; with `vectors` that of the file."""
    widths: Annotated[tuple[Annotated[Integer, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=8)] = (3, 4, 5)
    """Of the filters, in tokens."""
    maps: Tunable[Annotated[Integer, Field(ge=1, le=4096)]] = 100
    """Filters of each width."""
    dropout: Tunable[Fraction] = 0.5
    max_norm: Tunable[Positive | None] = 3.0
    """Bound of the linear layer's weights for a class. None: none."""
    embedding: Tunable[Embeddings] = "random"
    """`static` and `non_static` begin with the file's vectors, `multichannel` does both at once."""
    vectors: str | None = None
    """A file of vectors: word2vec (text or binary), GloVe or fastText's .vec, gzipped or not."""


class TextBagSpec(Section):
    """The mean of the tokens' vectors and a linear layer: the baseline (fastText, 2016)."""

    name: Literal["text_bag"]
    tokens: TokensSpec = TokensSpec()
    dimension: Tunable[Annotated[Integer, Field(ge=1, le=4096)]] = 128
    dropout: Tunable[Fraction] = 0.0
    embedding: Tunable[Embeddings] = "random"
    vectors: str | None = None


class TextCharCnnSpec(Section):
    """Blocks of convolution over characters, with pooling between (after Zhang, Zhao, LeCun 2015)."""

    name: Literal["text_char_cnn"]
    tokens: CharTokensSpec = CharTokensSpec()
    dimension: Tunable[Annotated[Integer, Field(ge=1, le=4096)]] = 32
    blocks: Tunable[Annotated[Integer, Field(ge=1, le=8)]] = 3
    maps: Tunable[Annotated[Integer, Field(ge=1, le=4096)]] = 128
    kernel: Tunable[Annotated[Literal[3, 5, 7, 9], BeforeValidator(no_bool)]] = 5
    pool: Tunable[Annotated[Integer, Field(ge=2, le=8)]] = 3
    dropout: Tunable[Fraction] = 0.5


class CustomModelSpec(Section):
    """A user's own network: `factory: module:function`, called as `function(signature, **options)`."""

    name: Literal["custom"]
    factory: Annotated[str, Field(pattern=FACTORY)]
    options: dict[Keyword, Tunable[Option]] = {}
    tokens: TokensSpec | None = None
    """For texts; None: the defaults."""


class NoModelSpec(Section):
    """A study of a user's own training (`trial:`) needs no network of ours."""

    name: Literal["none"] = "none"


TextModelSpec = TextCnnSpec | TextBagSpec | TextCharCnnSpec
"""The networks for texts."""

ModelSpec = Annotated[
    TutorialCnnSpec | ConvNetSpec | TextModelSpec | CustomModelSpec | NoModelSpec, Field(discriminator="name")
]


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
    class_weights: Tunable[Literal["none", "balanced"]] = "none"
    """`balanced`: in the loss an example counts N / (K * examples of its class), so that rare classes are learnt."""
    clip_norm: Tunable[Positive | None] = None
    patience: Tunable[Annotated[Integer, Field(ge=1)]] | None = None
    """Stop a trial after this many epochs without a better objective. None: never."""
    speed: Literal["auto", "plain"] = "auto"
    """`auto` measures precision, memory format and compilation once per study; `plain` is float32 as written."""


PICTURE_AUGMENT = ("crop_padding", "flip", "shift", "rotate", "scale")
TEXT_AUGMENT = ("word_dropout", "swap")


class AugmentSpec(Section):
    """Random changes of the training examples, drawn anew for each one and each epoch. All off by default."""

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
    word_dropout: Tunable[Fraction] = 0.0
    """Of a text: probability that a token becomes unknown."""
    swap: Tunable[Fraction] = 0.0
    """Of a text: probability that a token changes places with the next one."""
