"""Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as
easy as 1, 2, 3", 2011). The same seed, stream and step give the same bits in every engine.

The key is (low word of the seed, high word of the seed xor stream), the counter (block low,
block high, step low, step high). A block yields four words. Word `w` of block `b` stands at
element 64 * (b // 16) + 16 * w + b % 16, so that a vector unit fills 16 neighbours at once.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.tensor import Array, Op, Shape, Tensor
from ranvier.records import dataclass

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox_words(count: int, seed: int, stream: int, step: int) -> np.ndarray:
    """Return `count` uint32 words for a 64-bit seed, a 32-bit stream and a 64-bit step."""
    groups = -(-count // 64)
    block = np.arange(groups * 16, dtype=np.uint64)
    counter = [block & _LOW, block >> _HALF, *(np.full_like(block, w) for w in _split(step))]
    key_low, key_high = _split(seed)
    keys = [key_low, key_high ^ stream]
    for _ in range(ROUNDS):
        first = np.uint64(MULTIPLIERS[0]) * counter[0]
        second = np.uint64(MULTIPLIERS[1]) * counter[2]
        counter = [
            (second >> _HALF) ^ counter[1] ^ np.uint64(keys[0]),
            second & _LOW,
            (first >> _HALF) ^ counter[3] ^ np.uint64(keys[1]),
            first & _LOW,
        ]
        keys = [(k + add) & 0xFFFFFFFF for k, add in zip(keys, KEY_STEPS, strict=True)]
    words = np.stack(counter).astype(np.uint32).reshape(4, groups, 16)
    return words.transpose(1, 0, 2).reshape(-1)[:count]


def _split(value: int) -> tuple[int, int]:
    value &= 0xFFFFFFFFFFFFFFFF
    return value & 0xFFFFFFFF, value >> 32


@dataclass(frozen=True)
class Random(Op):
    """Base: inputs (seed, step), both int64 scalars; `stream` tells draws of one step apart."""

    arity = 2
    differentiable = False
    shape: Shape
    dtype: DType
    stream: int

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        for label, tensor in zip(("seed", "step"), inputs, strict=True):
            if tensor.shape != () or tensor.dtype != dtypes.int64:
                raise ShapeError(
                    f"{self.name}: the {label} must be an int64 scalar, not {tensor.dtype} "
                    f"of shape {tensor.shape}"
                )
        if not 0 <= self.stream < 2**32:
            raise ShapeError(f"{self.name}: stream {self.stream} does not fit 32 bits")
        return self.shape, self.dtype

    def words(self, count: int, seed: Array, step: Array) -> np.ndarray:
        """Return the first `count` words of the stream."""
        return philox_words(count, int(seed), self.stream, int(step))


class RandomBits(Random):
    """Uniformly distributed int32 words, or uint8: the same words, four bytes from each."""

    name = "random_bits"

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        if self.dtype not in (dtypes.int32, dtypes.uint8):
            raise DTypeError(f"random_bits gives int32 or uint8, not {self.dtype}")
        return super().infer(*inputs)

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        count = prod(self.shape)
        words = self.words(-(-count * self.dtype.itemsize // 4), *arrays)
        return xp.asarray(words.astype("<u4").view(self.dtype)[:count].reshape(self.shape))


class RandomUniform(Random):
    """Floats uniform in [0, 1): 24 random bits for float32, 32 for float64."""

    name = "random_uniform"

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        if not dtypes.is_floating(self.dtype):
            raise DTypeError(f"random_uniform gives float32 or float64, not {self.dtype}")
        return super().infer(*inputs)

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        words = self.words(prod(self.shape), *arrays).reshape(self.shape)
        if self.dtype == dtypes.float32:
            return xp.asarray((words >> np.uint32(8)).astype(np.float32) * np.float32(2**-24))
        return xp.asarray(words.astype(np.float64) * 2.0**-32)
