"""The datasets by name: the training part split for a study, and the sealed test part for its final evaluation."""

from __future__ import annotations

import numpy as np

from raytune_app.data import cifar, image_folder, mnist
from raytune_app.data.arrays import Arrays, Training, fingerprint, pixel_moments
from raytune_app.data.source import Source
from raytune_app.data.split import stratified_sample, stratified_split
from raytune_app.spec.grammar import DataSpec


def load_training(data: DataSpec, seed: int) -> Training:
    """Read the training part, sample `train_limit` of it, and hold out the validation share; both stratified by `seed`.

    Raises:
        DataError: a file is missing, truncated or corrupt, or a class is too small to split.
    """
    source = _source(data)
    arrays = source.train()
    rng = np.random.default_rng([seed, 0])
    kept = stratified_sample(arrays.labels, data.train_limit or len(arrays), rng, source.classes)
    train, validation = stratified_split(arrays.labels[kept], data.validation, rng, source.classes)
    part = arrays.take(kept[train])
    mean, std = pixel_moments(part.images)
    held_out = arrays.take(kept[validation])
    return Training(part, held_out, source.classes, mean, std, fingerprint(arrays, source.classes))


def load_test(data: DataSpec) -> Arrays:
    """Read the sealed test part, whole: only the final evaluation of a winner may call this.

    Raises:
        DataError: a file is missing, truncated or corrupt.
    """
    return _source(data).test()


def _source(data: DataSpec) -> Source:
    match data.name:
        case "mnist":
            return mnist.mnist(data.path)
        case "fashion_mnist":
            return mnist.fashion_mnist(data.path)
        case "kmnist":
            return mnist.kmnist(data.path)
        case "cifar10":
            return cifar.cifar10(data.path)
        case "image_folder":
            assert data.path is not None and data.image_size is not None, "the spec's rules demand both"
            return image_folder.image_folder(data.path, data.image_size)
