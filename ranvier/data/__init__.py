"""Data: datasets by name, your own files, their division into parts and batches."""

from typing import TYPE_CHECKING

from ranvier.data.batching import batches, permutation
from ranvier.data.errors import DataError, DataWarning
from ranvier.data.files import from_path
from ranvier.data.images import picture
from ranvier.data.registry import Description, describe, load, names
from ranvier.data.source import Dataset, Split, split_off, three_parts
from ranvier.data.text import Vocabulary, character_vocabulary, pad, windows, word_vocabulary
from ranvier.guidance.names import missing_names

__all__ = [
    "DataError",
    "DataWarning",
    "Dataset",
    "Description",
    "Split",
    "Vocabulary",
    "batches",
    "character_vocabulary",
    "describe",
    "from_path",
    "load",
    "names",
    "pad",
    "permutation",
    "picture",
    "split_off",
    "three_parts",
    "windows",
    "word_vocabulary",
]

if not TYPE_CHECKING:  # checkers would let any name pass
    __getattr__ = missing_names(__name__)
