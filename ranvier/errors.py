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


class ArgumentError(InputError, TypeError):
    """An argument that a function or class does not have, lacks, or was given twice."""


class MissingNameError(RanvierError, AttributeError):
    """A name that a module or an object does not have; the sentence is made when it is shown."""

    def __init__(self, *args: object, name: str = "", obj: object = None) -> None:
        super().__init__(*args)
        self.name, self.obj = name, obj

    def __str__(self) -> str:
        from ranvier.guidance.names import sentence

        return bounded(str(self.args[0]) if self.args else sentence(self.obj, str(self.name)))


class MissingImportError(RanvierError, ImportError):
    """A name that is to be imported from a module that does not have it."""


class MissingKeyError(RanvierError, KeyError):
    """A quantity that was not measured."""

    def __str__(self) -> str:
        return str(self.args[0])  # not its repr, as for other keys


class NonFiniteError(RanvierError, ArithmeticError):
    """The first operation of a checked run that produced NaN or infinity."""


class CompileError(RanvierError):
    """Machine code that could not be produced or loaded."""


class CacheError(RanvierError):
    """A cache entry that is truncated, altered or belongs to something else."""
