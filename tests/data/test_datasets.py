from __future__ import annotations

import gzip
import pickle
import shutil
import urllib.error
from pathlib import Path

import numpy as np
import pytest

from raytune_app.data import download, mnist
from raytune_app.data.arrays import Arrays, fingerprint, pixel_moments
from raytune_app.data.catalog import load_test, load_training
from raytune_app.errors import DataError
from raytune_app.spec.grammar import DataSpec


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAYTUNE_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_embedded_mnist_is_the_original_and_split_as_asked(digits: Arrays) -> None:
    data = load_training(DataSpec(name="mnist", validation=0.1), seed=0)
    assert (len(data.train), len(data.validation), len(digits)) == (54_000, 6_000, 10_000)
    assert data.pictures[0].images.shape[1:] == (1, 28, 28)
    assert data.classes == tuple("0123456789")
    assert data.mean == pytest.approx((0.1307,), abs=2e-4)
    assert data.std == pytest.approx((0.3081,), abs=2e-4)


def test_training_and_test_pictures_do_not_overlap(digits: Arrays) -> None:
    data = load_training(DataSpec(name="mnist"), seed=0)
    seen = {picture.tobytes() for part in data.pictures for picture in part.images}
    assert not any(picture.tobytes() in seen for picture in digits.images)


def test_train_limit_keeps_the_fingerprint_and_the_seed_decides(idx_folder: Path) -> None:
    spec = DataSpec(name="mnist", path=str(idx_folder), train_limit=200, validation=0.25)
    one, again, other = (load_training(spec, seed) for seed in (0, 0, 1))
    assert (len(one.train), len(one.validation)) == (150, 50)
    assert np.array_equal(one.pictures[0].images, again.pictures[0].images)
    assert not np.array_equal(one.pictures[0].images, other.pictures[0].images)
    assert one.fingerprint == other.fingerprint


def test_training_never_opens_the_test_files(idx_folder: Path) -> None:
    spec = DataSpec(name="mnist", path=str(idx_folder))
    assert len(load_training(spec, 0).train) == 450
    with pytest.raises(DataError, match="t10k-images"):
        load_test(spec)


def test_the_data_folder_of_the_environment_is_used(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = idx_folder / "root"
    shutil.copytree(idx_folder, root / "mnist", ignore=shutil.ignore_patterns("root"))
    monkeypatch.setenv("RAYTUNE_DATA_DIR", str(root))
    assert len(load_training(DataSpec(name="mnist"), 0).train) == 450


def test_torchvisions_own_folders_are_read(idx_folder: Path) -> None:
    raw = idx_folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in idx_folder.glob("*.gz"):
        (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    data = load_training(DataSpec(name="fashion_mnist", path=str(idx_folder)), 0)
    assert len(data.train) == 450
    assert data.classes[0] == "T-shirt/top"


def test_a_corrupt_embedded_file_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(mnist.BUILTIN, tmp_path / "copy")
    monkeypatch.setattr(mnist, "BUILTIN", tmp_path / "copy")
    victim = tmp_path / "copy" / "train-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(victim.read_bytes()))
    content[100] ^= 1
    victim.write_bytes(gzip.compress(content, 1))
    with pytest.raises(DataError, match=r"train-labels.*md5") as caught:
        load_training(DataSpec(name="mnist"), 0)
    assert "install" in str(caught.value.remedy)


def test_pictures_without_their_labels_are_refused(idx_folder: Path) -> None:
    labels = idx_folder / "train-labels-idx1-ubyte.gz"
    content = gzip.decompress(labels.read_bytes())
    labels.write_bytes(gzip.compress(content[:4] + (400).to_bytes(4, "big") + content[8:408]))
    with pytest.raises(DataError, match="500 train pictures but 400 labels"):
        load_training(DataSpec(name="mnist", path=str(idx_folder)), 0)


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist", "cifar10"])
def test_without_network_a_download_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        load_training(DataSpec.model_validate({"name": name}), 0)
    assert "RAYTUNE_DATA_DIR" in str(caught.value.remedy)


def test_an_unwritable_cache_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be downloaded"):
        download.download("KMNIST", tmp_path / "file")


def test_a_cifar_file_with_another_checksum_is_never_opened(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        (folder / name).write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(DataError, match="cifar-10-batches-py"):
        load_training(DataSpec(name="cifar10", path=str(tmp_path)), 0)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("it was unpickled",)


def test_the_fingerprint_sees_pixels_labels_shapes_and_classes(digits: Arrays) -> None:
    part = digits.take(np.arange(10))
    images, labels = part.images.copy(), part.labels.copy()
    images[3, 0, 14, 14] ^= 1
    labels[3] = (labels[3] + 1) % 10
    versions = [
        fingerprint(part, "0123456789"),
        fingerprint(Arrays(images, part.labels), "0123456789"),
        fingerprint(Arrays(part.images, labels), "0123456789"),
        fingerprint(Arrays(part.images.reshape(10, 1, 14, 56), part.labels), "0123456789"),
        fingerprint(part, "1023456789"),
    ]
    assert len(set(versions)) == len(versions)
    assert fingerprint(digits.take(np.arange(10)), "0123456789") == versions[0]


def test_pixel_moments_are_those_of_the_scaled_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1500, 3, 4, 4), np.uint8)
    images[:, 2] = 7
    mean, std = pixel_moments(images)
    scaled = images / 255
    assert mean == pytest.approx(scaled.mean((0, 2, 3)))
    assert std[:2] == pytest.approx(scaled.std((0, 2, 3))[:2])
    assert std[2] == 1.0
