from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomAffine, RandomCrop, RandomHorizontalFlip
from torchvision.transforms.v2 import functional as reference

from raytune_app.data import augment
from raytune_app.data.arrays import Arrays
from raytune_app.data.augment import Augmentation


@pytest.fixture(scope="session")
def batch(digits: Arrays) -> Tensor:
    return torch.from_numpy(digits.images[:64].copy())


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augmentation(**changes: float) -> Augmentation:
    settings = {"crop_padding": 0, "flip": 0.0, "shift": 0.0, "rotate": 0.0, "scale": 0.0, "size": 32, **changes}
    return Augmentation(**settings)  # type: ignore[arg-type]  # the integers are integers


def test_nothing_asked_nothing_changed(batch: Tensor) -> None:
    assert augmentation()(batch, rng()) is batch


def test_the_crops_are_torchvisions_crops_all_equally_likely() -> None:
    picture = torch.arange(25, dtype=torch.uint8).view(1, 1, 5, 5) + 1
    count = 4000
    ours = augment.random_crop(picture.expand(count, 1, 5, 5), 6, 2, rng())
    found = Counter(crop.numpy().tobytes() for crop in ours)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transform = RandomCrop(6, padding=2)
        wanted = {transform(picture[0]).numpy().tobytes() for _ in range(1000)}
    assert set(found) == wanted
    assert len(found) == 16
    expected = count / 16
    assert sum((n - expected) ** 2 / expected for n in found.values()) < 37.7  # chi square, 15 degrees, p = 0.001


def test_each_picture_of_a_batch_is_cut_at_its_own_place(batch: Tensor) -> None:
    top, left = torch.arange(64) % 5, torch.arange(64) // 5 % 5
    padded = torch.nn.functional.pad(batch, (4, 4, 4, 4))
    crops = augment.crop(padded, top, left, 32)
    for index in range(64):
        assert torch.equal(crops[index], reference.crop(padded[index], int(top[index]), int(left[index]), 32, 32))


def test_a_crop_pads_further_if_the_window_needs_it(batch: Tensor) -> None:
    assert augment.random_crop(batch, 40, 1, rng()).shape == (64, 1, 40, 40)


def test_flip_mirrors_exactly_the_chosen_pictures(batch: Tensor) -> None:
    chosen = torch.arange(64) % 3 == 0
    flipped = augment.flip(batch, chosen)
    assert torch.equal(flipped[chosen], reference.horizontal_flip(batch[chosen]))
    assert torch.equal(flipped[~chosen], batch[~chosen])


@pytest.mark.parametrize("probability", [0.2, 0.5, 1.0])
def test_flips_are_as_frequent_as_torchvisions(probability: float) -> None:
    picture = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    ours = augmentation(flip=probability)(picture.expand(4000, 1, 1, 2), rng())[:, 0, 0, 1].float().mean()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transform = RandomHorizontalFlip(probability)
        theirs = np.mean([int(transform(picture)[0, 0, 1]) for _ in range(4000)])
    assert float(ours) == pytest.approx(theirs, abs=0.04)


@pytest.mark.parametrize(
    ("angle", "right", "down", "scale"),
    [(0, 0, 0, 1), (30, 0, 0, 1), (-170, 0, 0, 1), (0, 3, -5, 1), (0, 0, 0, 0.6), (0, 0, 0, 1.7), (25, -4, 2, 1.3)],
)
@pytest.mark.parametrize("shape", [(28, 28), (20, 32)])
def test_affine_equals_torchvisions_with_the_same_parameters(
    batch: Tensor, angle: float, right: float, down: float, scale: float, shape: tuple[int, int]
) -> None:
    pictures = reference.resize(batch, list(shape)).float()
    column = [torch.full((64,), float(value)) for value in (angle, right, down, scale)]
    ours = augment.affine(pictures, *column)
    theirs = reference.affine(
        pictures, angle, [right, down], scale, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR, fill=None
    )
    assert torch.allclose(ours, theirs, atol=0.05)


def test_affine_changes_each_picture_by_its_own_parameters(batch: Tensor) -> None:
    pictures, angles = batch.float(), torch.linspace(-90, 90, 64)
    zeros, ones = torch.zeros(64), torch.ones(64)
    together = augment.affine(pictures, angles, zeros, zeros, ones)
    for index in (0, 20, 63):
        one = slice(index, index + 1)
        alone = augment.affine(pictures[one], angles[one], zeros[one], zeros[one], ones[one])
        assert torch.allclose(together[one], alone, atol=1e-3)


def test_random_affine_is_distributed_as_torchvisions() -> None:
    """Centre of mass and mass of a blob, which tell shift and scale; off-centre, which tells rotation."""
    picture = torch.zeros(1, 1, 32, 32)
    picture[..., 14:22, 18:24] = 255.0
    count = 1500
    ours = augmentation(shift=0.1, rotate=30, scale=0.2)(picture.expand(count, 1, 32, 32), rng())
    transform = RandomAffine(30, (0.1, 0.1), (0.8, 1.2), interpolation=InterpolationMode.BILINEAR)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torch.stack([transform(picture[0]) for _ in range(count)])
    a, b = (_blob_statistics(pictures) for pictures in (ours, theirs))
    assert torch.allclose(a.mean(0), b.mean(0), atol=0.25)
    assert torch.allclose(a.std(0), b.std(0), rtol=0.1)


def _blob_statistics(pictures: Tensor) -> Tensor:
    """[B, 3]: mean row, mean column, square root of the mass."""
    mass = pictures.sum((1, 2, 3))
    places = torch.arange(32.0)
    rows = (pictures.sum((1, 3)) * places).sum(1) / mass
    columns = (pictures.sum((1, 2)) * places).sum(1) / mass
    return torch.stack([rows, columns, (mass / 255).sqrt()], dim=1)


def test_the_generator_alone_decides_and_the_input_stays_as_it_was(batch: Tensor) -> None:
    before, state = batch.clone(), torch.random.get_rng_state()
    everything = augmentation(crop_padding=4, flip=0.5, shift=0.1, rotate=20, scale=0.1)
    one, again, other = (everything(batch, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(batch, before)
    assert torch.equal(torch.random.get_rng_state(), state)
