"""The bundled datasets: MNIST, tiny Shakespeare, the CMU dictionary, and verses."""

from __future__ import annotations

import numpy as np

from ranvier.data.bundle import read_bundled
from ranvier.data.idx import pair, parse_idx
from ranvier.data.source import Array, Dataset, Split, split_off, three_parts
from ranvier.data.text import character_vocabulary

MNIST_VALIDATION = 5000
MNIST_PREPROCESS = {"scale": 1 / 255, "mean": [0.1307], "std": [0.3081]}
TEXT_PART = 0.05

_SEED = 0


def mnist() -> Dataset:
    """Handwritten digits: uint8[n, 28, 28, 1], 55,000 + 5,000 + 10,000."""
    train, validation = split_off(_mnist_part("train"), MNIST_VALIDATION, _SEED)
    digits = tuple("0123456789")
    return Dataset("mnist", train, validation, _mnist_part("t10k"), digits, MNIST_PREPROCESS)


def _mnist_part(part: str) -> Split:
    images, labels = f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"
    return pair(
        parse_idx(read_bundled(images), 3, images),
        parse_idx(read_bundled(labels), 1, labels),
        images,
        labels,
    )


def tiny_shakespeare() -> Dataset:
    """A text as character ids int32[n]; the target of each is the character that follows.

    The first 90 % of the text are for training, the next 5 % for validation, the last 5 % for
    testing. `classes` are the 65 characters, and `preprocess` holds the vocabulary;
    `ranvier.data.text.windows` cuts the stream into rows.
    """
    text = read_bundled("tinyshakespeare.txt.gz").decode("ascii")
    vocabulary = character_vocabulary([text])
    ids = vocabulary.encode(text)
    train, validation, test = np.split(ids, (len(ids) * 90 // 100, len(ids) * 95 // 100))
    return Dataset(
        "tiny-shakespeare",
        following(train),
        following(validation),
        following(test),
        vocabulary.symbols,
        {"vocabulary": vocabulary.to_json()},
    )


def following(ids: Array) -> Split:
    """Return the split whose inputs are ids [n - 1] and whose targets are what follows each."""
    return Split(ids[:-1], ids[1:])


def cmudict() -> Dataset:
    """Spelling to pronunciation: words and their phones, "B AW1 T", both arrays of strings.

    A word with several pronunciations has a row for each, all in the same part: 90 %, 5 % and
    5 % of the words, at random.
    """
    lines = read_bundled("cmudict.dict.gz").decode("ascii").splitlines()
    entries = [line.partition("#")[0].split(None, 1) for line in lines]
    words = np.array([word.partition("(")[0] for word, _ in entries])
    phones = np.array([spoken.strip() for _, spoken in entries])
    return Dataset("cmudict", *three_parts(Split(words, phones), _SEED, words, TEXT_PART))


def verses() -> Dataset:
    """English and French sentences of at most 14 words, both arrays of strings.

    English sentences that are equal are in the same part: 90 %, 5 % and 5 % of them, at random.
    """
    lines = read_bundled("verses.en-fr.tsv.gz").decode("utf-8").splitlines()
    _, english, french = (np.array(column) for column in zip(*map(_fields, lines), strict=True))
    return Dataset("verses", *three_parts(Split(english, french), _SEED, english, TEXT_PART))


def _fields(line: str) -> list[str]:
    return line.split("\t")


def teacher() -> Dataset:
    """Ten numbers and ten functions of them, float32[n, 10]: 20,000 + 2,000 + 2,000.

    The functions are those of a fixed random network with one hidden layer of 20 tanh units,
    so a student can learn them (Gardner & Derrida, 1989); the numbers are uniform in [-1, 1).
    """
    rng = np.random.Generator(np.random.Philox(_SEED))
    hidden = rng.random((10, 20)) * 4 - 2
    out = (rng.random((20, 10)) * 2 - 1) / 2
    inputs = (rng.random((24000, 10)) * 2 - 1).astype(np.float32)
    targets = (np.tanh(inputs.astype(np.float64) @ hidden) @ out).astype(np.float32)
    whole = Split(inputs, targets)
    train, validation = whole.take(slice(0, 20000)), whole.take(slice(20000, 22000))
    return Dataset("teacher", train, validation, whole.take(slice(22000, None)))
