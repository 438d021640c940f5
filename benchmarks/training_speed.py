"""Images a second of `fit` against the tutorial's own loop: same network, same augmentation, one thread.

    python benchmarks/training_speed.py [--images 6000] [--repeats 9]

The tutorial's loop is a DataLoader over PIL pictures with torchvision's transforms one picture at a time, nn.MaxPool2d
and Adam, batches of 100. Both sides train on the same real MNIST digits, in turn, so that other work on the machine
meets both alike; the result is the ratio of each pair.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Iterator

import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from raytune_app.data.arrays import Arrays, Training
from raytune_app.data.catalog import load_training
from raytune_app.spec import parse
from raytune_app.training.run import Run
from raytune_app.training.timing import choose_speed

CPU = torch.device("cpu")
GOAL = 2.5

EXPERIMENT = parse(
    {
        "name": "training-speed",
        "data": {"name": "mnist", "image_size": 32},
        "model": {"name": "tutorial_cnn"},
        "train": {"epochs": 10, "batch_size": 100, "optimizer": "adam", "lr": 0.001},
        "augment": {"crop_padding": 4, "flip": 0.5},
    }
)


class Pictures(Dataset[tuple[Tensor, int]]):
    """As torchvision's MNIST hands them out: a PIL picture through the tutorial's transforms, and its label."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self._transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.RandomCrop(32, padding=4),
                transforms.ToTensor(),
                transforms.Normalize((0.1307,), (0.3081,)),
            ]
        )

    def __len__(self) -> int:
        return len(self._arrays)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self._arrays.images[index, 0])
        return self._transform(picture), int(self._arrays.labels[index])


class TextCNN(nn.Module):
    """The tutorial's network, by its own name, for 32x32 pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(32 * 16 * 16, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        hidden = self.pool(self.conv1(pictures))
        logits: Tensor = self.fc(hidden.view(hidden.size(0), -1))
        return logits


def tutorial_loop(arrays: Arrays) -> Iterator[float]:
    """Images a second of each epoch of the tutorial's loop."""
    loader = DataLoader(Pictures(arrays), batch_size=100, shuffle=True)
    network, criterion = TextCNN(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    while True:
        started, total_loss, right = time.perf_counter(), 0.0, 0
        for pictures, labels in loader:
            optimizer.zero_grad()
            outputs = network(pictures)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            total_loss += loss.item()
            right += int((outputs.argmax(1) == labels).sum().item())
        yield len(arrays) / (time.perf_counter() - started)


def our_loop(data: Training) -> Iterator[float]:
    """Images a second of each epoch of `fit`, at the speed that a study would choose."""
    choice = choose_speed(EXPERIMENT, data, CPU)
    print(f"speed chosen: {choice.speed.to_dict()}")
    run = Run(EXPERIMENT, data, seed=0, device=CPU, speed=choice.speed)
    while True:
        yield run.train_epoch().examples_per_s


def processor() -> str:
    """The processor's name as the system gives it."""
    return str(torch.cpu.get_capabilities().get("cpu_name") or platform.machine())


def main() -> None:
    """Print each pair, then mean, standard deviation and ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=6000, help="training pictures an epoch")
    parser.add_argument("--repeats", type=int, default=9, help="epochs of each side that count")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = load_training(
        EXPERIMENT.data.model_copy(update={"train_limit": args.images + 100, "validation": 100 / (args.images + 100)}),
        0,
    )
    print(f"{processor()}, one thread, torch {torch.__version__}, torchvision {torchvision.__version__}")
    theirs, ours = tutorial_loop(data.pictures[0]), our_loop(data)
    next(theirs), next(ours)  # warm
    pairs = [(next(theirs), next(ours)) for _ in range(args.repeats)]
    for number, (slow, fast) in enumerate(pairs, 1):
        print(f"pair {number}: tutorial {slow:8.0f} images/s   fit {fast:8.0f} images/s   ratio {fast / slow:.2f}")
    for name, values in (("tutorial", [a for a, _ in pairs]), ("fit", [b for _, b in pairs])):
        mean, spread = statistics.mean(values), statistics.stdev(values)
        print(f"{name:<9}n={len(values)}  mean {mean:.0f}  sd {spread:.0f} images/s")
    ratios = [fast / slow for slow, fast in pairs]
    print(
        f"ratio    n={len(ratios)}  mean {statistics.mean(ratios):.2f}  sd {statistics.stdev(ratios):.2f}"
        f"  min {min(ratios):.2f}  (goal: at least {GOAL})"
    )


if __name__ == "__main__":
    main()
