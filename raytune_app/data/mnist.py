"""MNIST and the datasets made in its image: four IDX files. MNIST itself is embedded; the others are downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from raytune_app.data.arrays import Arrays
from raytune_app.data.download import download
from raytune_app.data.idx import read_idx
from raytune_app.data.source import Source, cache_folder, given_folder
from raytune_app.errors import DataError

BUILTIN = Path(__file__).parent / "builtin" / "mnist"

_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


@dataclass(frozen=True, slots=True)
class Folder:
    """Four IDX files: where they lie, how to mend them, and their md5 where it is known."""

    path: Path
    remedy: str
    md5: Mapping[str, str] = field(default_factory=dict)

    def read(self, part: str, classes: tuple[str, ...]) -> Arrays:
        """`train` or `t10k` as Arrays. Raises DataError naming the file."""
        images = self._read(f"{part}-images-idx3-ubyte", 3)
        labels = self._read(f"{part}-labels-idx1-ubyte", 1)
        if len(images) != len(labels):
            raise DataError(f"{self.path}: {len(images)} {part} pictures but {len(labels)} labels", self.remedy)
        if labels.max() >= len(classes):
            raise DataError(f"{self.path}: {part} label {labels.max()} of {len(classes)} classes", self.remedy)
        return Arrays(images[:, None], labels.astype(np.int64))

    def _read(self, name: str, ndim: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        packed, plain = self.path / f"{name}.gz", self.path / name
        path = plain if plain.exists() and not packed.exists() else packed
        return read_idx(path, ndim=ndim, remedy=self.remedy, md5=self.md5.get(name))


def mnist(path: str | None) -> Source:
    """Handwritten digits, 60,000 + 10,000 of 28x28: from the user's folder if one is given, else the embedded copy."""
    folder = given_folder(path, "mnist")
    if folder is None:
        return _source(Folder(BUILTIN, "install raytune-app again: this file is part of it", _MD5), _DIGITS)
    return _source(_in(folder, "MNIST", "leave data.path out to use the embedded copy"), _DIGITS)


def fashion_mnist(path: str | None) -> Source:
    """Pictures of clothes, 60,000 + 10,000 of 28x28 (Xiao, Rasul, Vollgraf 2017)."""
    return _downloaded(path, "fashion_mnist", "FashionMNIST", _CLOTHES)


def kmnist(path: str | None) -> Source:
    """Cursive Japanese characters, 60,000 + 10,000 of 28x28 (Clanuwat et al. 2018)."""
    return _downloaded(path, "kmnist", "KMNIST", _KANA)


def _downloaded(path: str | None, name: str, torchvision_name: str, classes: tuple[str, ...]) -> Source:
    folder = given_folder(path, name)
    if folder is None:
        folder = cache_folder()
        download(torchvision_name, folder)
    return _source(_in(folder, torchvision_name, "leave data.path out to download it"), classes)


def _in(folder: Path, torchvision_name: str, otherwise: str) -> Folder:
    nested = folder / torchvision_name / "raw"
    return Folder(nested if nested.is_dir() else folder, f"put the original there, or {otherwise}")


def _source(folder: Folder, classes: tuple[str, ...]) -> Source:
    return Source(classes, lambda: folder.read("train", classes), lambda: folder.read("t10k", classes))
