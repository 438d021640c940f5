from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raytune_app.errors import InputError
from raytune_app.models.catalog import build, parameter_count
from raytune_app.models.conv_net import ConvNet
from raytune_app.models.signature import PictureSignature
from raytune_app.models.tutorial_cnn import TutorialCnn
from raytune_app.spec.grammar import ConvNetSpec, CustomModelSpec, TutorialCnnSpec

TUTORIAL = TutorialCnnSpec(name="tutorial_cnn")


def signature(size: int = 28, channels: int = 1) -> PictureSignature:
    return PictureSignature(channels, size, tuple("0123456789"), (0.13,) * channels, (0.31,) * channels)


def conv_net(**settings: Any) -> ConvNetSpec:
    return ConvNetSpec(name="conv_net", **settings)


def batch(size: int = 28, channels: int = 1) -> Tensor:
    return torch.randint(256, (3, channels, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("size", "inputs"), [(28, 32 * 14 * 14), (32, 32 * 16 * 16), (7, 32 * 3 * 3)])
def test_the_tutorials_network_has_its_layers_and_takes_any_size(size: int, inputs: int) -> None:
    network = build(TUTORIAL, signature(size), 0).network
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == {
        "conv.weight": (32, 1, 3, 3), "conv.bias": (32,), "linear.weight": (10, inputs), "linear.bias": (10,),
    }  # fmt: skip


def test_the_tutorials_network_computes_what_its_layers_say() -> None:
    network = TutorialCnn(in_channels=1, image_size=28, classes=10)
    pictures = batch().float()
    expected = network.linear(F.max_pool2d(network.conv(pictures), 2).flatten(1))
    assert torch.allclose(network(pictures), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_block_is_convolution_batch_norm_activation_pooling(activation: str, batch_norm: bool) -> None:
    classifier = build(conv_net(blocks=1, width=4, activation=activation, batch_norm=batch_norm), signature(), 0)
    modules = list(classifier.network.modules())
    conv = next(module for module in modules if isinstance(module, nn.Conv2d))
    norm = next((module for module in modules if isinstance(module, nn.BatchNorm2d)), nn.Identity())
    linear = next(module for module in modules if isinstance(module, nn.Linear))
    pictures = (batch().float() / 255 - 0.13) / 0.31
    expected = linear(F.max_pool2d(getattr(F, activation)(norm(conv(pictures))), 2).flatten(1))
    assert torch.allclose(classifier(batch()), expected, atol=1e-4)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("pictures", [0, 1, 7])
def test_a_fused_block_is_its_layers_one_after_the_other(pictures: int, channels_last: bool) -> None:
    """Values, gradients and names; at 29 pixels the last row and column belong to no window."""
    fused = build(conv_net(width=4, batch_norm=False, dropout=0.0), signature(29), 0).network
    plain = copy.deepcopy(fused)
    assert isinstance(plain, ConvNet)
    plain.blocks = nn.Sequential(*(nn.Sequential(*block.children()) for block in plain.blocks.children()))
    assert fused.state_dict().keys() == plain.state_dict().keys()
    outputs = []
    for network in (fused, plain):
        network.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        generator = torch.Generator().manual_seed(1)
        outputs.append(network(torch.randn(pictures, 1, 29, 29, generator=generator)))
        outputs[-1].square().sum().backward()
    assert torch.allclose(outputs[0], outputs[1], atol=1e-5)
    for (name, ours), (_, other) in zip(fused.named_parameters(), plain.named_parameters(), strict=True):
        assert ours.grad is not None and other.grad is not None
        assert torch.allclose(ours.grad, other.grad, rtol=1e-3, atol=1e-4), name
    with torch.inference_mode():
        generator = torch.Generator().manual_seed(1)
        assert torch.allclose(fused(torch.randn(pictures, 1, 29, 29, generator=generator)), outputs[0], atol=1e-5)


@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
def test_each_block_doubles_the_width_and_halves_the_side(blocks: int) -> None:
    classifier = build(conv_net(blocks=blocks, width=4, kernel=5, dropout=0.1), signature(32, 3), 0)
    convs = [module for module in classifier.modules() if isinstance(module, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [4 * 2**block for block in range(blocks)]
    assert classifier(batch(32, 3)).shape == (3, 10)
    assert parameter_count(classifier) == sum(tensor.numel() for tensor in classifier.parameters())


def test_more_blocks_than_the_picture_can_be_halved_is_an_error() -> None:
    assert build(conv_net(blocks=4), signature(28), 0)(batch()).shape == (3, 10)
    with pytest.raises(InputError, match="5 blocks") as caught:
        build(conv_net(blocks=5), signature(28), 0)
    assert "at most 4" in str(caught.value.remedy)


@pytest.mark.parametrize("spec", [TUTORIAL, conv_net(dropout=0.5)])
def test_the_seed_alone_decides_the_weights(spec: TutorialCnnSpec | ConvNetSpec) -> None:
    before = torch.random.get_rng_state()
    one, again, other = (torch.cat([p.flatten() for p in build(spec, signature(), s).parameters()]) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


CUSTOM = """
from torch import nn

def linear(signature, *, bias=True):
    inputs = signature.channels * signature.image_size ** 2
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, len(signature.classes), bias=bias))

def wrong_shape(signature):
    return nn.Flatten()

def not_a_network(signature):
    return 3

def broken(signature):
    raise KeyError("oh")

def small(signature):
    return nn.Sequential(nn.Flatten(), nn.Linear(5, 10))
"""


@pytest.fixture
def custom_module(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_networks.py").write_text(CUSTOM)
    (tmp_path / "my_broken_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))


def custom(factory: str, **options: Any) -> CustomModelSpec:
    return CustomModelSpec(name="custom", factory=factory, options=options)


@pytest.mark.usefixtures("custom_module")
def test_a_users_factory_gets_the_signature_and_its_options() -> None:
    classifier = build(custom("my_networks:linear", bias=False), signature(), 0)
    assert classifier.training
    assert parameter_count(classifier) == 7840
    assert classifier(batch()).shape == (3, 10)


@pytest.mark.usefixtures("custom_module")
@pytest.mark.parametrize(
    ("factory", "options", "message"),
    [
        ("no_such_module:make", {}, "no_such_module"),
        ("my_networks:missing", {}, "has no missing"),
        ("my_broken_module:make", {}, "ZeroDivisionError"),
        ("my_networks:broken", {}, "KeyError"),
        ("my_networks:linear", {"depth": 3}, "depth"),
        ("my_networks:not_a_network", {}, "int"),
        ("my_networks:wrong_shape", {}, r"\(2, 784\).*\(2, 10\)"),
        ("my_networks:small", {}, "fails on pictures"),
    ],
)
def test_a_factory_that_cannot_be_used_is_one_clear_error(factory: str, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build(custom(factory, **options), signature(), 0)
    assert caught.value.remedy
