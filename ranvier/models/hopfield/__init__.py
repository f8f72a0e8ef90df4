"""Associative memories: networks whose stored patterns attract the states near them.

`Hopfield` has units of two states (Hopfield, 1982), `ContinuousHopfield` graded ones (Hopfield,
1984), and `DenseHopfield` is the modern form, whose update is attention (Ramsauer et al., 2021).
"""

from ranvier.models.hopfield.binary import Hopfield, Recall
from ranvier.models.hopfield.continuous import ContinuousHopfield
from ranvier.models.hopfield.dense import DenseHopfield
from ranvier.models.hopfield.patterns import corrupted
from ranvier.models.hopfield.storage import RULES, Stored, hebbian, pseudo_inverse, storkey

__all__ = [
    "RULES",
    "ContinuousHopfield",
    "DenseHopfield",
    "Hopfield",
    "Recall",
    "Stored",
    "corrupted",
    "hebbian",
    "pseudo_inverse",
    "storkey",
]
