from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytune_app.data.arrays import Arrays
from raytune_app.data.catalog import load_test, load_training
from raytune_app.errors import DataError
from raytune_app.spec.grammar import DataSpec


def spec(folder: Path, size: int = 28) -> DataSpec:
    return DataSpec(name="image_folder", path=str(folder), image_size=size, validation=0.25)


def sealed_part(folder: Path) -> Arrays:
    examples = load_test(spec(folder))
    assert isinstance(examples, Arrays)
    return examples


def test_pixels_and_labels_are_those_of_the_files(picture_folder: Path) -> None:
    data = load_training(spec(picture_folder), 0)
    assert data.classes == ("3", "5", "8")
    files = sorted((picture_folder / "train").glob("*/*.png"))
    stored = {(np.asarray(Image.open(file)).tobytes(), int(file.parent.name)) for file in files}
    parts = [*data.pictures, sealed_part(picture_folder)]
    found = {
        (image.tobytes(), int(data.classes[label]))
        for part in parts
        for image, label in zip(part.images, part.labels, strict=True)
    }
    assert found == stored
    assert sum(map(len, parts)) == len(files) == 60


def test_the_sealed_part_does_not_depend_on_the_seed(picture_folder: Path) -> None:
    sealed = {image.tobytes() for image in sealed_part(picture_folder).images}
    assert 3 <= len(sealed) <= 12, "about a tenth of sixty, and one of each class at least"
    for seed in range(3):
        data = load_training(spec(picture_folder), seed)
        assert not sealed & {image.tobytes() for part in data.pictures for image in part.images}


def test_adding_a_picture_moves_no_other_across_the_seal(picture_folder: Path) -> None:
    before = {image.tobytes() for image in sealed_part(picture_folder).images}
    for index in range(5):
        Image.new("L", (28, 28), 40 * index).save(picture_folder / "train" / "8" / f"new-{index}.png")
    after = load_training(spec(picture_folder), 0)
    seen = {image.tobytes() for part in after.pictures for image in part.images}
    assert not seen & before


def test_a_test_folder_is_the_test_part(picture_folder: Path) -> None:
    shutil.copytree(picture_folder / "train", picture_folder / "test")
    data = load_training(spec(picture_folder), 0)
    assert (len(data.train) + len(data.validation), len(load_test(spec(picture_folder)))) == (60, 60)


def test_a_test_class_that_train_lacks_is_refused(picture_folder: Path) -> None:
    shutil.copytree(picture_folder / "train", picture_folder / "test")
    (picture_folder / "test" / "3").rename(picture_folder / "test" / "three")
    with pytest.raises(DataError, match="three"):
        load_training(spec(picture_folder), 0)


def test_the_first_file_decides_between_grey_and_colour(picture_folder: Path) -> None:
    first = picture_folder / "train" / "3" / "00.png"
    Image.open(first).convert("RGB").save(first)
    data = load_training(spec(picture_folder), 0)
    assert data.pictures[0].images.shape[1] == 3
    assert len(data.mean) == 3


def test_other_sizes_are_scaled_and_cropped_at_the_centre(picture_folder: Path) -> None:
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 200
    for file in (picture_folder / "train" / "3").iterdir():
        Image.fromarray(wide).save(file)
    data = load_training(spec(picture_folder, 20), 0)
    assert data.pictures[0].images.shape[1:] == (1, 20, 20)
    assert np.all(data.pictures[0].images[data.train.labels == 0][:, :, 2:-2, 2:-2] == 200)


def _png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return header + struct.pack(">I", 100) + b"IDAT"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"GIF89a", "not a PNG or JPEG"),
        (b"", "not a PNG or JPEG"),
        (_png_header(20_000, 20_000), "8192"),
        (_png_header(9_000, 3), "8192"),
    ],
)
def test_a_file_that_is_no_usable_picture_is_named(picture_folder: Path, content: bytes, message: str) -> None:
    for file in (picture_folder / "train" / "5").iterdir():
        file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_training(spec(picture_folder), 0)
    assert "train/5/" in caught.value.message


def test_a_truncated_picture_is_named(picture_folder: Path) -> None:
    for file in (picture_folder / "train" / "5").iterdir():
        file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(DataError, match=r"train/5/\d\d.png is truncated"):
        load_training(spec(picture_folder), 0)


def test_missing_and_empty_folders_are_named(picture_folder: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        load_training(spec(picture_folder / "nowhere"), 0)
    for file in (picture_folder / "train" / "8").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="train/8 has no"):
        load_training(spec(picture_folder), 0)
