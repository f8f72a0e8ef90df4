"""The exceptions that Ranvier raises; each message says what, where and how to mend it."""


class RanvierError(Exception):
    """Base of every error that Ranvier raises on purpose."""


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
