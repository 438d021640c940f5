from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as reference

from raytune_app.models.picture_classifier import PictureClassifier, fit
from raytune_app.models.signature import PictureSignature, signature_from_dict

SIGNATURE = PictureSignature(3, 8, ("a", "b"), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))


class Keep(nn.Module):
    """Hands on what it is given."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures


def pixels(height: int, width: int) -> Tensor:
    return torch.randint(256, (4, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_signature_survives_json() -> None:
    assert signature_from_dict(json.loads(json.dumps(SIGNATURE.to_dict()))) == SIGNATURE


@pytest.mark.parametrize("size", [4, 7, 8, 9, 28])
@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (7, 12), (12, 7)])
def test_pictures_are_padded_or_cropped_at_the_centre(shape: tuple[int, int], size: int) -> None:
    fitted = fit(pixels(*shape), size)
    assert fitted.shape == (4, 3, size, size)
    theirs = reference.center_crop(pixels(*shape), [size, size])
    if all((side - size) % 2 == 0 for side in shape):
        assert torch.equal(fitted, theirs)


def test_an_odd_pixel_goes_right_and_down() -> None:
    assert fit(torch.ones(1, 1, 1, 1), 2).flatten().tolist() == [1, 0, 0, 0]
    assert fit(torch.arange(9.0).view(1, 1, 3, 3), 2).flatten().tolist() == [0, 1, 3, 4]


def test_the_network_sees_normalised_pictures_whatever_the_type() -> None:
    classifier, raw = PictureClassifier(Keep(), SIGNATURE), pixels(8, 8)
    expected = reference.normalize(raw / 255, list(SIGNATURE.mean), list(SIGNATURE.std))
    assert torch.allclose(classifier(raw), expected, atol=1e-5)
    assert torch.equal(classifier(raw), classifier(raw.float()))


def test_the_state_is_the_networks_alone() -> None:
    classifier = PictureClassifier(nn.Linear(2, 2), SIGNATURE)
    assert list(classifier.state_dict()) == ["network.weight", "network.bias"]
