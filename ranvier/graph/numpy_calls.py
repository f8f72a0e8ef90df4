"""NumPy's functions called with tensors: operators of an array on the left, or one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ranvier.errors import DTypeError

_OPERATORS = {
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "true_divide": "divide",
    **{
        name: name
        for name in (
            "add", "subtract", "multiply", "divide", "power", "matmul", "equal", "not_equal",
            "less", "less_equal", "greater", "greater_equal",
        )
    },
}  # fmt: skip
"""What NumPy calls where an array or number of its own stands left of an operator."""

_MENDS = {
    "absolute": "rv.abs",
    "amax": "rv.max",
    "amin": "rv.min",
    "clip": "rv.minimum(rv.maximum(x, low), high)",
    "dot": "a @ b",
    "inner": "rv.sum(a * b, -1)",
    "linalg.norm": "rv.sqrt(rv.sum(x * x))",
    "square": "x * x",
    "std": "rv.sqrt(rv.var(x))",
    "true_divide": "a / b",
}
_FORMS = {"shape": "shape", "ndim": "ndim", "size": "size"}


def ufunc(function: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What NumPy's operator gives of an array and a tensor; DTypeError for any other call."""
    from ranvier.graph import functions

    name = _OPERATORS.get(function.__name__)
    if name is None or method != "__call__" or kwargs or len(inputs) != 2:
        raise refusal(function)
    return getattr(functions, name)(*inputs)


def called(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What NumPy may ask of a tensor's form; DTypeError for any other function."""
    if function.__name__ in _FORMS and len(args) == 1 and not kwargs:
        return getattr(args[0], _FORMS[function.__name__])
    raise refusal(function)


def refusal(function: Any) -> DTypeError:
    """The error for a function of NumPy that was given a tensor, with what to use here."""
    import ranvier

    module = getattr(function, "__module__", None) or "numpy"
    name = f"{module}.{function.__name__}".removeprefix("numpy.").removeprefix("_core.")
    known = f"rv.{name}" if name in ranvier.__all__ else ""
    found = _MENDS.get(name, known)
    mend = f"use {found}" if found else "use functions of rv, such as rv.sum and rv.exp"
    return DTypeError(f"np.{name} takes arrays, not tensors of a graph; {mend}")
