"""A training loop of your own, beside the file that tunes it: raytune run experiments/own_training.yaml."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

from raytune_app.training.user import TrialContext


def train(context: TrialContext) -> Iterator[dict[str, float]]:
    """Train an epoch, write down all there is to remember, yield a mapping of metrics; and again."""
    torch.manual_seed(context.seed)
    params, state = context.params, context.folder / "state.safetensors"
    parts = context.data.train, context.data.validation
    images, unseen = (torch.tensor(part.images, device=context.device).flatten(1) / 255 for part in parts)
    labels, truth = (torch.tensor(part.labels, device=context.device) for part in parts)
    net = nn.Sequential(nn.Linear(images.shape[1], params["hidden"]), nn.ReLU(), nn.Linear(params["hidden"], 10))
    weights = dict(net.to(context.device).named_parameters())
    sgd = torch.optim.SGD(weights.values(), lr=params["lr"], momentum=0.9)
    if context.epoch:  # a trial that goes on: the file that this function wrote is there again
        saved = load_file(state, str(context.device))
        net.load_state_dict({name: saved[name] for name in weights})
        sgd.state.update({weight: {"momentum_buffer": saved[f"momentum.{name}"]} for name, weight in weights.items()})
    for epoch in range(context.epoch, context.experiment.train.epochs):
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(context.seed + epoch))
        for start in range(0, len(order), params["batch"]):
            rows = order[start : start + params["batch"]]
            sgd.zero_grad()
            torch.autograd.backward(cross_entropy(net(images[rows]), labels[rows]))
            sgd.step()
        momenta = {f"momentum.{name}": sgd.state[weight]["momentum_buffer"] for name, weight in weights.items()}
        save_file({**net.state_dict(), **momenta}, state)
        with torch.no_grad():
            answers = net(unseen)
        right = (answers.argmax(1) == truth).double().mean()
        yield {"right": float(right), "surprise": float(cross_entropy(answers, truth))}
