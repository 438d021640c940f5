"""The model that every peer serves, from a file of arrays, and what else all of their servers share.

It needs torch and numpy alone, so an environment holds nothing but these and its peer. With channels last its pooling
is vectorised, which makes it as fast on a CPU as the product's own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

SIDE, CLASSES, CHANNELS = 28, 10, 32
MAX_BATCH = 64
WEIGHTS, PORT, SPARE_PORT, WORKERS = "PEER_WEIGHTS", "PEER_PORT", "PEER_SPARE_PORT", "PEER_WORKERS"
"""The environment variables in which a server is told its file of weights, its ports, and how many workers."""

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class Network(nn.Module):
    """Pixels uint8 [N, 1, 28, 28] to probabilities float32 [N, 10]: one convolution, one pooling, one linear layer."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.conv = nn.Conv2d(1, CHANNELS, kernel_size=3, padding=1)
        self.linear = nn.Linear(CHANNELS * (SIDE // 2) ** 2, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        pictures = (pixels.float() / 255 - self.mean) / self.std
        hidden = F.max_pool2d(self.conv(pictures.contiguous(memory_format=torch.channels_last)), 2)
        return torch.softmax(self.linear(hidden.flatten(1)), dim=1)


def load() -> Predict:
    """The network on one thread, warm: pixels uint8 [N, 1, 28, 28] to probabilities float32 [N, 10]."""
    torch.set_num_threads(1)
    with np.load(os.environ[WEIGHTS], allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    network = Network(float(arrays.pop("mean")), float(arrays.pop("std")))
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    network.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = network(torch.from_numpy(pixels)).numpy()
        return probabilities

    for count in (1, MAX_BATCH):
        predict(np.zeros((count, 1, SIDE, SIDE), np.uint8))
    return predict


def pixels_of(body: bytes | bytearray) -> NDArray[np.uint8]:
    """Raw bytes, 784 a picture, as [N, 1, 28, 28]; a copy, which torch may call writable."""
    return np.frombuffer(bytearray(body), np.uint8).reshape(-1, 1, SIDE, SIDE)


def answer(row: NDArray[np.float32]) -> dict[str, Any]:
    """What a client is told of one picture, for JSON."""
    return {"index": int(row.argmax()), "probabilities": row.tolist()}


def port() -> int:
    """Where the driver wants the server to listen."""
    return int(os.environ[PORT])


def workers() -> int:
    """How many processes the model is to run in."""
    return int(os.environ[WORKERS])
