"""The datasets by name: the training part split for a study, and the sealed test part for its final evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raytune_app.data import cifar, image_folder, mnist, sentences, user_texts
from raytune_app.data.arrays import Arrays, Examples, Training, fingerprint, pixel_moments
from raytune_app.data.source import Source
from raytune_app.data.split import stratified_sample, stratified_split
from raytune_app.data.texts import TextSource
from raytune_app.errors import DataError
from raytune_app.spec.grammar import DataSpec


def load_training(data: DataSpec, seed: int) -> Training:
    """Read the training part, sample `train_limit` of it, and hold out the validation share; both stratified by `seed`.

    Where the validation part has a file of its own nothing is held out.

    Raises:
        DataError: a file is missing, truncated or corrupt, or a class is too small to split.
    """
    source = _source(data)
    examples = source.train()
    print_of_all = fingerprint(examples, source.classes)
    rng = np.random.default_rng([seed, 0])
    kept = stratified_sample(examples.labels, data.train_limit or len(examples), rng, source.classes)
    if not isinstance(source, TextSource) or source.validation is None:
        train, validation = stratified_split(examples.labels[kept], data.validation, rng, source.classes)
        part, held_out = examples.take(kept[train]), examples.take(kept[validation])
    else:
        held_out = source.validation()
        part = examples.take(kept)
        print_of_all += fingerprint(held_out, source.classes)
    mean, std = pixel_moments(part.images) if isinstance(part, Arrays) else ((), ())
    return Training(part, held_out, source.classes, mean, std, print_of_all)


def load_test(data: DataSpec, classes: Sequence[str] | None = None) -> Examples:
    """Read the sealed test part, whole: only the final evaluation of a winner may call this.

    Args:
        classes: those that the answers are of; None where there are none yet.

    Raises:
        DataError: a file is missing, truncated or corrupt, or the data have other classes by now.
    """
    source = _source(data)
    if classes is not None and tuple(classes) != source.classes:
        said = f"the data have the classes {', '.join(source.classes)}, the model {', '.join(classes)}"
        raise DataError(said, "put the data back as they were, or train the model again")
    return source.test()


def _source(data: DataSpec) -> Source | TextSource:
    return _of_texts(data) if data.is_text else _of_pictures(data)


def _of_pictures(data: DataSpec) -> Source:
    match data.name:
        case "mnist":
            return mnist.mnist(data.path)
        case "fashion_mnist":
            return mnist.fashion_mnist(data.path)
        case "kmnist":
            return mnist.kmnist(data.path)
        case "cifar10":
            return cifar.cifar10(data.path)
    assert data.path is not None and data.image_size is not None, "the spec's rules demand both"
    return image_folder.image_folder(data.path, data.image_size)


def _of_texts(data: DataSpec) -> TextSource:
    match data.name:
        case "sentences/sentiment":
            return sentences.sentiment(neutral=data.neutral)
        case "sentences/topic":
            return sentences.topic()
    return user_texts.user_texts(data)
