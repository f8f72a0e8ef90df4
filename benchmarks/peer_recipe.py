"""LeNet-5's recipe in PyTorch: `python peer_recipe.py torchvision|loader|tensors EPOCHS SEED`.

The same network, initial distribution, batches' size, optimizer, schedule, penalty, validation
after each epoch and test at the end as `ranvier train lenet5`. `torchvision` feeds it by
DataLoader as PyTorch's own examples do, from torchvision's MNIST through its transforms; `loader`
by DataLoader from a leaner dataset, of bytes that are scaled sample by sample; both with as many
workers as is fastest (none, measured). `tensors` indexes one tensor in memory by a permutation.
Prints one JSON line.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

DATA = Path(__file__).parents[1] / "ranvier/data/bundled"
MEAN, STD = 0.1307, 0.3081
BATCH = 128
PEAK_RATE, MOMENTUM, PENALTY = 0.2, 0.9, 1e-4

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


def unpacked(name: str) -> bytes:
    """A bundled IDX file."""
    return gzip.decompress((DATA / f"{name}.gz").read_bytes())


def idx(name: str, offset: int) -> np.ndarray:
    """The numbers of a bundled IDX file behind its header."""
    return np.frombuffer(unpacked(name), np.uint8, offset=offset)


def part(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [n, 28, 28] and labels int64 [n] of a part of MNIST."""
    pictures = idx(f"{name}-images-idx3-ubyte", 16).reshape(-1, 28, 28)
    return pictures, idx(f"{name}-labels-idx1-ubyte", 8).astype(np.int64)


class Digits(Dataset):
    """One picture at a time, scaled, as tutorials do it."""

    def __init__(self, pictures: np.ndarray, labels: np.ndarray) -> None:
        self.pictures, self.labels = torch.from_numpy(pictures), labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        picture = self.pictures[i].unsqueeze(0).to(torch.float32).div(255)
        return picture.sub_(MEAN).div_(STD), int(self.labels[i])


class InMemory:
    """Batches gathered from tensors that are scaled once."""

    def __init__(self, pictures: np.ndarray, labels: np.ndarray, shuffle: bool) -> None:
        scaled = torch.from_numpy(pictures).unsqueeze(1).to(torch.float32).div_(255)
        self.x, self.y = scaled.sub_(MEAN).div_(STD), torch.from_numpy(labels)
        self.shuffle = shuffle

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        n = len(self.y)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        return ((self.x[rows], self.y[rows]) for rows in order.split(BATCH))


def vision() -> tuple[Dataset, Dataset]:
    """MNIST for training and test as torchvision has it: Pillow pictures, scaled tensors."""
    from torchvision import datasets, transforms

    scaled = [transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))]
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "MNIST/raw")
        raw.mkdir(parents=True)
        for packed in DATA.glob("*-ubyte.gz"):
            (raw / packed.stem).write_bytes(unpacked(packed.stem))
        return tuple(
            datasets.MNIST(folder, train=train, transform=transforms.Compose(scaled))
            for train in (True, False)
        )


def parts(mode: str) -> tuple[Batches, Batches, Batches]:
    """Training, validation and test, each an iterable of batches that begins anew each epoch."""
    order = np.random.default_rng(0).permutation(60_000)
    held, rest = order[:5000], order[5000:]
    (pictures, labels), test = part("train"), part("t10k")
    if mode == "tensors":
        return (
            InMemory(pictures[rest], labels[rest], True),
            InMemory(pictures[held], labels[held], False),
            InMemory(*test, False),
        )
    bare = Digits(pictures, labels), Digits(*test)
    whole, test_set = vision() if mode == "torchvision" else bare
    return (
        DataLoader(Subset(whole, rest.tolist()), BATCH, shuffle=True),
        DataLoader(Subset(whole, held.tolist()), BATCH),
        DataLoader(test_set, BATCH),
    )


def network() -> nn.Sequential:
    """LeNet-5 with the initial distributions of ours."""
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return net


def measured(net: nn.Module, data: Batches) -> tuple[float, float]:
    """Loss and accuracy."""
    net.eval()
    loss = right = count = 0.0
    with torch.no_grad():
        for x, y in data:
            found = net(x)
            loss += float(nn.functional.cross_entropy(found, y, reduction="sum"))
            right += float((found.argmax(1) == y).sum())
            count += len(y)
    net.train()
    return loss / count, right / count


def main(mode: str, epochs: int, seed: int) -> None:
    """Train and print what came of it."""
    torch.manual_seed(seed)
    train, held, test = parts(mode)
    net = network()
    weights = [p for p in net.parameters() if p.ndim > 1]
    rule = torch.optim.SGD(net.parameters(), PEAK_RATE, MOMENTUM)
    steps = epochs * -(-55000 // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        rule, PEAK_RATE, total_steps=steps, cycle_momentum=False
    )
    for _ in range(epochs):
        for x, y in train:
            rule.zero_grad(set_to_none=True)
            penalty = PENALTY * sum((w * w).sum() for w in weights)
            (nn.functional.cross_entropy(net(x), y) + penalty).backward()
            rule.step()
            schedule.step()
        measured(net, held)
    loss, accuracy = measured(net, test)
    print(json.dumps({"test_loss": loss, "test_error": 1 - accuracy}))


if __name__ == "__main__":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_flush_denormal(True)
    started = perf_counter()
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print(f"{perf_counter() - started:.1f} s after the imports", file=sys.stderr)
