"""Philox4x32-10: the published vectors, the order of the elements, uniforms and bytes."""

from __future__ import annotations

import numpy as np
import pytest

import ranvier as rv
from ranvier.errors import ShapeError
from ranvier.graph.ops.random import philox_words

Words = tuple[int, ...]

ONES = 0xFFFFFFFF
KNOWN: list[tuple[Words, Words, Words]] = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
"""Counter, key and result: the known-answer vectors that Random123 publishes."""


def philox(counter: Words, key: Words) -> Words:
    """One block, as the paper writes it, in whole numbers of Python."""
    a, b, c, d = counter
    low, high = key
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (
            (second >> 32) ^ b ^ low,
            second & ONES,
            (first >> 32) ^ d ^ high,
            first & ONES,
        )
        low, high = (low + 0x9E3779B9) & ONES, (high + 0xBB67AE85) & ONES
    return a, b, c, d


def expected_word(element: int, seed: int, stream: int, step: int) -> int:
    """The word at one element, by the layout that the module documents."""
    group, rest = divmod(element, 64)
    word, lane = divmod(rest, 16)
    block = 16 * group + lane
    key = (seed & ONES, (seed >> 32 & ONES) ^ stream)
    return philox((block & ONES, block >> 32, step & ONES, step >> 32 & ONES), key)[word]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers_of_the_scalar_function(counter: Words, key: Words, result: Words) -> None:
    assert philox(counter, key) == result


def test_known_answer_of_the_first_block() -> None:
    words = philox_words(64, seed=0, stream=0, step=0)
    assert tuple(int(w) for w in words[::16]) == KNOWN[0][2]


@pytest.mark.parametrize(
    ("seed", "stream", "step"),
    [
        (0, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
        (2**40 + 5, 2**32 - 1, 2**35 + 7),
        (-1, 3, -1),
        (2**63 - 1, 0, 2**63 - 1),
        (-(2**63), 12345, 6),
    ],
)
def test_every_word_stands_where_it_is_documented(seed: int, stream: int, step: int) -> None:
    words = philox_words(203, seed, stream, step)
    assert words.dtype == np.uint32
    assert words.tolist() == [expected_word(i, seed, stream, step) for i in range(203)]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 63, 64, 65, 200])
def test_a_shorter_draw_is_a_prefix(count: int) -> None:
    assert np.array_equal(philox_words(count, 5, 6, 7), philox_words(300, 5, 6, 7)[:count])


def test_key_parts_tell_streams_apart() -> None:
    draws = {
        philox_words(4, seed, stream, step).tobytes()
        for seed in (0, 1, 2**32)
        for stream in (0, 2)
        for step in (0, 1, 2**32)
    }
    assert len(draws) == 18


@pytest.mark.parametrize("shape", [(), (1,), (7, 3), (2, 0), (5, 1, 9)])
def test_bits_are_the_words(shape: tuple[int, ...]) -> None:
    words = philox_words(int(np.prod(shape)), 9, 4, 2)
    found = rv.random_bits(shape, 9, 2, 4, rv.int32).numpy()
    assert found.dtype == np.int32
    assert np.array_equal(found.reshape(-1).view(np.uint32), words)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 255, 257])
def test_bytes_are_those_of_the_words_lowest_first(count: int) -> None:
    words = [int(w) for w in philox_words(-(-count // 4), 9, 4, 2)]
    wanted = [word >> shift & 255 for word in words for shift in (0, 8, 16, 24)][:count]
    assert rv.random_bits((count,), 9, 2, 4, rv.uint8).numpy().tolist() == wanted


def test_uniforms_are_the_high_bits_of_the_words() -> None:
    words = philox_words(100, 3, 1, 0).astype(np.float64)
    double = rv.random_uniform((100,), 3, 0, 1, rv.float64).numpy()
    assert np.array_equal(double, words / 2**32)
    single = rv.random_uniform((100,), 3, 0, 1).numpy()
    assert single.dtype == np.float32
    assert np.array_equal(single, np.floor(words / 2**8) / 2**24)


@pytest.mark.parametrize("dtype", [rv.float32, rv.float64])
def test_uniforms_lie_in_the_unit_interval_and_spread_evenly(dtype: np.dtype) -> None:
    values = rv.random_uniform((64, 1000), 1, 0, 0, dtype).numpy().astype(np.float64)
    assert values.min() >= 0
    assert values.max() < 1
    assert abs(values.mean() - 0.5) < 5 * (1 / 12 / values.size) ** 0.5
    counts = np.histogram(values, 16, (0, 1))[0]
    chi_squared = ((counts - values.size / 16) ** 2).sum() / (values.size / 16)
    assert chi_squared < 45  # 15 degrees of freedom: exceeded once in ten thousand seeds


def test_seed_and_step_may_be_tensors() -> None:
    step = rv.Buffer(5, rv.int64)
    drawn = rv.random_uniform((3,), rv.constant(2), step + 1, 0)
    assert np.array_equal(drawn.numpy(), rv.random_uniform((3,), 2, 6, 0).numpy())
    step.value = np.int64(6)
    assert np.array_equal(drawn.numpy(), rv.random_uniform((3,), 2, 7, 0).numpy())


def test_seed_and_step_must_be_whole_scalars() -> None:
    with pytest.raises(ShapeError, match="seed must be an int64 scalar"):
        rv.random_uniform((3,), rv.constant([1, 2]), 0, 0)
    with pytest.raises(ShapeError, match="step must be an int64 scalar"):
        rv.random_bits((3,), 0, rv.constant(1.0), 0, rv.uint8)
