"""Vocabularies, padding and windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from data_files import says

from ranvier.data import Split, Vocabulary, character_vocabulary, pad, windows, word_vocabulary
from ranvier.data.text import split_words


def test_characters_go_there_and_back() -> None:
    vocabulary = character_vocabulary(["hello", "été\n"])
    assert vocabulary.symbols == tuple(sorted("helotét\n" + "")[:1]) + tuple("ehlot") + ("é",)
    ids = vocabulary.encode("thé\n")
    assert ids.dtype == np.int32
    assert vocabulary.decode(ids) == "thé\n"
    assert vocabulary.encode("").shape == (0,)


def test_an_unknown_character() -> None:
    text = (
        "the vocabulary has no 'z'; leave it out of the text, or build the vocabulary with '<unk>'"
    )
    with says(text):
        character_vocabulary(["abc"]).encode("az")
    vocabulary = character_vocabulary(["abc"], ("<pad>", "<unk>"))
    assert vocabulary.encode("azc").tolist() == [2, 1, 4]
    assert vocabulary.decode([0, 2, 1, 4, 0]) == "a<unk>c"


def test_words_are_ranked_by_frequency() -> None:
    vocabulary = word_vocabulary(["the cat, the dog", "a dog"])
    assert vocabulary.symbols == ("<pad>", "<unk>", "<s>", "</s>", "dog", "the", ",", "a", "cat")
    assert vocabulary.encode("the bird").tolist() == [5, 1]
    assert word_vocabulary(["b b a"], size=5).symbols[4:] == ("b",)
    assert len(vocabulary) == 9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop!", ["Don't", "stop", "!"]),
        ("l'été, (enfin) 1910.", ["l'été", ",", "(", "enfin", ")", "1910", "."]),
        ("'quoted'", ["'", "quoted", "'"]),
        ("it\u2019s", ["it\u2019s"]),
        (" \n\t", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_decoded_words_read_like_a_sentence() -> None:
    sentence = "Don't (ever) say so: it is late, isn't it?"
    vocabulary = word_vocabulary([sentence])
    assert vocabulary.decode([2, *vocabulary.encode(sentence), 3, 0, 0]) == sentence


@pytest.mark.parametrize("text", ["a ' b", "'a' b", "( a ) , b", "a.b!c", "\u201ca\u201d - b"])
def test_encoding_what_was_decoded_gives_the_same_ids(text: str) -> None:
    vocabulary = word_vocabulary([text])
    ids = vocabulary.encode(text)
    assert vocabulary.encode(vocabulary.decode(ids)).tolist() == ids.tolist()


@pytest.mark.parametrize("number", [-1, 3])
def test_an_id_out_of_range(number: int) -> None:
    with says(f"the id {number} is outside a vocabulary of 3; use 0 to 2"):
        character_vocabulary(["abc"]).decode([0, number])


def test_a_symbol_that_stands_twice() -> None:
    with says("the symbol 'a' stands twice in a vocabulary; name it once"):
        Vocabulary(("a", "b", "a"))


def test_json_goes_there_and_back() -> None:
    for vocabulary in (character_vocabulary(["abc"]), word_vocabulary(["a b"])):
        assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
    assert character_vocabulary("a").to_json() == {"unit": "character", "symbols": ["a"]}


@pytest.mark.parametrize(
    "content",
    [{}, {"unit": "byte", "symbols": []}, {"unit": "word"}, {"unit": "word", "symbols": [1]}],
)
def test_json_of_something_else(content: dict[str, Any]) -> None:
    text = (
        'a vocabulary is {"unit": "character" or "word", "symbols": [strings]}; '
        "take it from Vocabulary.to_json"
    )
    with says(text):
        Vocabulary.from_json(content)


def test_pad_fills_and_cuts() -> None:
    table, lengths = pad([np.array([1, 2]), np.array([], int), np.array([3, 4, 5, 6])], 3, 9)
    assert table.dtype == lengths.dtype == np.int32
    assert table.tolist() == [[1, 2, 9], [9, 9, 9], [3, 4, 5]]
    assert lengths.tolist() == [2, 0, 3]


def test_windows_of_a_text() -> None:
    stream = Split(np.arange(7), np.arange(1, 8))
    rows = windows(stream, 3)
    assert isinstance(rows.inputs, np.ndarray)
    assert isinstance(rows.targets, np.ndarray)
    assert rows.inputs.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert rows.targets.tolist() == [[1, 2, 3], [4, 5, 6]]
    overlapping = windows(stream, 5, stride=1)
    assert isinstance(overlapping.inputs, np.ndarray)
    assert overlapping.inputs[:, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(("length", "stride"), [(8, 1), (0, 1), (2, 0)])
def test_windows_that_do_not_fit(length: int, stride: int) -> None:
    text = (
        f"windows of {length} positions, {stride} apart, do not fit a text of 7; "
        "use a shorter window, 1 or more"
    )
    with says(text):
        windows(Split(np.arange(7), np.arange(7)), length, stride)
