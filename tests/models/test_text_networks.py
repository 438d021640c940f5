from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from raytune_app.errors import InputError
from raytune_app.models.embedding import Embedding, EmbeddingMode, Pretrained, lengths
from raytune_app.models.text_bag import TextBag
from raytune_app.models.text_char_cnn import TextCharCnn
from raytune_app.models.text_cnn import TextCnn

V, D, K = 50, 6, 3
MODES: tuple[EmbeddingMode, ...] = get_args(EmbeddingMode)


def seeded(make: Callable[..., nn.Module], **settings: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make(vocabulary_size=V, dimension=D, **settings)


def pretrained() -> Pretrained:
    rng = torch.Generator().manual_seed(1)
    return Pretrained(torch.randn(V, D, generator=rng), torch.arange(V) % 2 == 0)


NETWORKS: dict[str, nn.Module] = {
    "cnn": seeded(TextCnn, classes=K, widths=(1, 2, 3, 5, 9), maps=8),
    "cnn multichannel": seeded(TextCnn, classes=K, maps=8, embedding="multichannel", pretrained=pretrained()),
    "bag": seeded(TextBag, classes=K),
    "char cnn": seeded(TextCharCnn, classes=K, maps=8),
    "char cnn, even pooling": seeded(TextCharCnn, classes=K, maps=8, pool=2, blocks=4, kernel=3),
}

texts = st.lists(st.integers(1, V - 1), min_size=1, max_size=40)
batches = st.lists(texts, min_size=1, max_size=6)
networks = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def padded(batch: list[list[int]], length: int = 0) -> Tensor:
    longest = max(length, *map(len, batch), 0)
    return torch.tensor([text + [0] * (longest - len(text)) for text in batch])


@networks
@given(batch=batches, more=st.integers(0, 60))
def test_padding_never_changes_an_answer(network: nn.Module, batch: list[list[int]], more: int) -> None:
    network.eval()
    with torch.no_grad():
        together = network(padded(batch, max(map(len, batch)) + more))
        alone = torch.cat([network(torch.tensor([text])) for text in batch])
    assert together.shape == (len(batch), K)
    assert torch.allclose(together, alone, atol=1e-6)


@networks
def test_nor_does_it_change_a_gradient(network: nn.Module) -> None:
    batch = [[3], [4, 5], list(range(1, 20))]

    def gradients(ids: Tensor) -> list[Tensor]:
        loss = F.cross_entropy(network.eval()(ids), torch.arange(len(ids)))
        return list(torch.autograd.grad(loss, list(network.parameters())))

    for ours, theirs in zip(gradients(padded(batch)), gradients(padded(batch, 50)), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


@networks
def test_every_token_can_change_the_answer(network: nn.Module) -> None:
    network.eval()
    text = padded([[7] * 11], 15)
    changed = text.repeat(11, 1)
    changed[range(11), range(11)] = 8
    difference = (network(changed) - network(text)).abs().amax(1)
    assert difference.min() > 1e-7, "the first token and the last too"


@pytest.mark.parametrize("length", [1, 2, 7])
def test_the_cnn_looks_at_every_window_that_holds_a_token_of_the_text(length: int) -> None:
    network = seeded(TextCnn, classes=K, widths=(2, 4), maps=5).eval()
    ids = torch.arange(1, 1 + length)
    features = []
    for width, conv in zip((2, 4), network.convolutions, strict=True):
        edge = torch.zeros(width - 1, D)
        places = torch.cat([edge, network.embedding.learned[ids], edge])
        windows = [places[start : start + width] for start in range(length + width - 1)]
        answers = [torch.einsum("wd,mdw->m", window, conv.weight) + conv.bias for window in windows]
        features.append(torch.stack(answers).amax(0).relu())
    expected = network.linear(torch.cat(features))
    assert torch.allclose(network(padded([ids.tolist()], 12))[0], expected, atol=1e-6)


def test_a_filter_whose_every_answer_is_below_that_of_padding_still_gives_its_own() -> None:
    network = seeded(TextCnn, classes=K, widths=(1,), maps=1).eval()
    conv = network.convolutions[0]
    with torch.no_grad():
        conv.weight.copy_(-network.embedding.learned[5][None, :, None])
        conv.bias.fill_(1.0)
        expected = network.linear((1 - network.embedding.learned[5].square().sum()).view(1))
        assert expected.isfinite().all()
        assert torch.allclose(network(padded([[5]], 9))[0], expected, atol=1e-6)


def test_the_bag_is_the_mean_of_the_vectors_and_a_linear_layer() -> None:
    network = NETWORKS["bag"].eval()
    assert isinstance(network, TextBag)
    table = network.embedding.learned
    assert table is not None
    mean = (table[3] + table[9] + table[9]) / 3
    assert torch.allclose(network(torch.tensor([[9, 3, 9, 0, 0]]))[0], network.linear(mean), atol=1e-6)


@networks
def test_a_text_without_a_token_has_a_finite_answer(network: nn.Module) -> None:
    answers = [network.eval()(torch.zeros(2, length, dtype=torch.int64)) for length in (1, 5, 30)]
    assert all(torch.allclose(answer, answers[0]) and answer.isfinite().all() for answer in answers)
    assert lengths(torch.tensor([[0, 0], [4, 0], [4, 4]])).tolist() == [1, 1, 2]


def test_filters_of_both_channels_are_summed() -> None:
    network = NETWORKS["cnn multichannel"].eval()
    assert isinstance(network, TextCnn)
    frozen, learned = network.embedding.frozen, network.embedding.learned
    assert frozen is not None and learned is not None
    with torch.no_grad():
        learned[1:] += torch.randn(V - 1, D, generator=torch.Generator().manual_seed(2))
    ids = torch.tensor([[3, 4, 5, 6, 7, 8]])
    features = []
    for conv in network.convolutions:
        assert isinstance(conv, nn.Conv1d)
        channels = [F.conv1d(table[ids].mT, conv.weight, None, padding=conv.padding[0]) for table in (frozen, learned)]
        assert conv.bias is not None
        features.append((channels[0] + channels[1] + conv.bias[:, None]).amax(2).relu())
    assert torch.allclose(network(ids), network.linear(torch.cat(features, 1)), atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "learns", "stored"),
    [
        ("random", True, ["learned"]),
        ("static", False, ["frozen"]),
        ("non_static", True, ["learned"]),
        ("multichannel", True, ["frozen", "learned"]),
    ],
)
def test_a_mode_decides_what_learns_and_what_is_stored(mode: EmbeddingMode, learns: bool, stored: list[str]) -> None:
    embedding = seeded(Embedding, mode=mode, pretrained=pretrained())
    assert sorted(embedding.state_dict()) == stored
    assert len(list(embedding.parameters())) == learns
    fresh = Embedding(vocabulary_size=V, dimension=D, mode=mode)
    fresh.load_state_dict(embedding.state_dict())
    ids = torch.arange(V).view(2, -1)
    assert torch.equal(fresh(ids), embedding(ids))


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "random"])
def test_known_rows_are_the_pretrained_ones_and_the_others_have_their_variance(mode: EmbeddingMode) -> None:
    rng = torch.Generator().manual_seed(1)
    given = Pretrained(0.3 * torch.randn(4000, 30, generator=rng) + 0.1, torch.arange(4000) % 4 != 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        embedding = Embedding(vocabulary_size=4000, dimension=30, mode=mode, pretrained=given)
    for table in (embedding.frozen, embedding.learned):
        if table is not None:
            assert torch.equal(table[given.known], given.matrix[given.known])
            drawn = table.detach()[~given.known][1:]
            assert float(drawn.var()) == pytest.approx(0.09, rel=0.02)
            assert float(drawn.abs().max()) == pytest.approx(math.sqrt(3 * 0.09), rel=0.02), "uniform"
            assert float(drawn.mean()) == pytest.approx(0, abs=0.01)


def test_random_takes_no_notice_of_pretrained_vectors() -> None:
    embedding = seeded(Embedding, mode="random", pretrained=pretrained())
    assert torch.equal(embedding.learned, seeded(Embedding).learned)
    assert embedding.learned.abs().max() <= 0.25


@pytest.mark.parametrize(("mode", "optimizer"), [*itertools.product(MODES, ["sgd", "adam", "adamw"])])
def test_the_padding_row_is_zero_and_never_learns_nor_does_a_frozen_table(mode: EmbeddingMode, optimizer: str) -> None:
    network = seeded(TextCnn, classes=K, maps=8, embedding=mode, pretrained=pretrained())
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    make: Any = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimizer]
    steps = make(network.parameters(), lr=0.1, weight_decay=0.1, fused=True)
    for _ in range(3):
        steps.zero_grad()
        loss = F.cross_entropy(network(padded([[4, 5], [2, 3, 4, 5, 6, 7]], 20)), torch.tensor([0, 1]))
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        steps.step()
    for name, table in network.embedding.named_parameters():
        assert not table[0].any()
        assert not torch.equal(table, before[f"embedding.{name}"])
    if network.embedding.frozen is not None:
        assert torch.equal(network.embedding.frozen, before["embedding.frozen"])
        assert not network.embedding.frozen[0].any()


@pytest.mark.parametrize(
    ("matrix", "known", "message"),
    [
        (torch.ones(V, 4), torch.ones(V, dtype=torch.bool), f"are {V} of 4 numbers, the network needs {V} of {D}"),
        (torch.ones(9, D), torch.ones(9, dtype=torch.bool), f"are 9 of {D}"),
        (torch.ones(V, D), torch.zeros(V, dtype=torch.bool), "no token"),
    ],
)
def test_pretrained_vectors_that_do_not_fit_are_refused(matrix: Tensor, known: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TextCnn(vocabulary_size=V, classes=K, dimension=D, embedding="static", pretrained=Pretrained(matrix, known))
    assert caught.value.remedy


@given(scale=st.floats(0, 1e6), bound=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_after_constrain_no_row_is_above_the_bound_and_none_below_it_was_moved(
    scale: float, bound: float, seed: int
) -> None:
    network = seeded(TextCnn, classes=20, maps=30, max_norm=bound)
    with torch.no_grad():
        rows = torch.randn(20, 90, generator=torch.Generator().manual_seed(seed))
        network.linear.weight.copy_(rows * torch.linspace(0, scale, 20)[:, None])
        before = network.linear.weight.clone()
        network.constrain()
        after = network.linear.weight.clone()
        network.constrain()
    norms = before.norm(dim=1)
    assert (after.norm(dim=1) <= bound).all()
    assert (after.double().norm(dim=1) <= bound).all()
    assert torch.equal(after[norms < 0.999 * bound], before[norms < 0.999 * bound])
    assert torch.allclose(after[norms > bound].norm(dim=1), torch.tensor(bound), rtol=1e-5)
    assert torch.allclose(F.normalize(after), F.normalize(before), atol=1e-5), "the direction stays"
    assert torch.equal(network.linear.weight, after), "twice is once"


def test_without_a_bound_nothing_is_constrained() -> None:
    network = seeded(TextCnn, classes=K, max_norm=None)
    with torch.no_grad():
        network.linear.weight.fill_(100)
    network.constrain()
    assert (network.linear.weight == 100).all()


@pytest.mark.parametrize("make", [TextCnn, TextBag, TextCharCnn])
def test_dropout_is_for_training_alone(make: Callable[..., nn.Module]) -> None:
    network, ids = seeded(make, classes=K, dropout=0.5), padded(16 * [[1, 2, 3, 4, 5]])
    assert not torch.equal(network.train()(ids), network(ids))
    assert torch.equal(network.eval()(ids), network(ids))


@pytest.mark.parametrize("make", [TextCnn, TextCharCnn])
def test_the_order_of_tokens_matters_to_a_cnn(make: Callable[..., nn.Module]) -> None:
    network = seeded(make, classes=K).eval()
    assert not torch.allclose(network(torch.tensor([[1, 2, 3, 4]])), network(torch.tensor([[4, 3, 2, 1]])), atol=1e-6)
