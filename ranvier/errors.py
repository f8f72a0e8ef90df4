"""The exceptions that Ranvier raises; each message says what, where and how to mend it."""

_LONGEST = 1000
_END = 300
"""Characters of a message, and of those that its end has, where it says how to mend things."""


def bounded(message: str) -> str:
    """Return a message without its middle where it is too long to read.

    It may quote what a file or a caller gave: thousands of names, or one of a megabyte.
    """
    if len(message) <= _LONGEST:
        return message
    return f"{message[: _LONGEST - _END]} … {message[-_END:]}"


class RanvierError(Exception):
    """Base of every error that Ranvier raises on purpose."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(bounded(each) if isinstance(each, str) else each for each in args))


class ShapeError(RanvierError, ValueError):
    """Shapes that do not fit each other or the operation."""


class DTypeError(RanvierError, TypeError):
    """A dtype that the operation does not take, or two dtypes that differ."""


class GraphError(RanvierError):
    """A graph that breaks a rule of its own, found by the verifier."""


class InputError(RanvierError, ValueError):
    """An argument of a program or function that is missing, unknown or out of range."""


class NonFiniteError(RanvierError, ArithmeticError):
    """The first operation of a checked run that produced NaN or infinity."""


class CompileError(RanvierError):
    """Machine code that could not be produced or loaded."""


class CacheError(RanvierError):
    """A cache entry that is truncated, altered or belongs to something else."""
