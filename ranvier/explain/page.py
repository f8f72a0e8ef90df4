"""The page of an explanation: the numbers as data, and the script that draws them."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from ranvier.explain.explanation import Explanation, Step

_DIGITS = 5
_SMALL = 400
"""Units of a drawn network up to which numbers are given in full."""


def page(found: Explanation) -> str:
    """Return the page as one HTML document without any reference to elsewhere."""
    folder = files("ranvier.explain")
    style = (files("ranvier.report") / "style.css").read_text("utf-8")
    own = (folder / "explain.css").read_text("utf-8")
    script = (folder / "explain.js").read_text("utf-8")
    data = json.dumps(_data(found), separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>One sample, forward and back</title>\n<style>\n{style}{own}</style>\n</head>\n"
        f"<body>\n<h1>One sample, forward and back</h1>\n{_head(found)}\n"
        '<div id="network"></div>\n<div id="detail" aria-live="polite"></div>\n'
        '<div id="layers"></div>\n'
        "<footer>Written by Ranvier. δ is the derivative of the loss with respect to what a unit "
        "gives; all numbers come from the compiled program.</footer>\n"
        f'<script id="data" type="application/json">{data}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _head(found: Explanation) -> str:
    words = [f"loss {found.loss:.6g}"]
    if found.target is not None and found.target.size <= 10:
        words.append(f"target {_named(found, found.target)}")
    if found.prediction.size <= 20:
        numbers = ", ".join(f"{value:.4g}" for value in found.prediction.ravel())
        words.append(f"prediction {numbers}")
    return f"<p>{escape('; '.join(words))}</p>"


def _named(found: Explanation, target: np.ndarray) -> str:
    if target.ndim == 0 and target.dtype.kind in "iu" and int(target) < len(found.classes):
        return found.classes[int(target)]
    return ", ".join(f"{value:g}" for value in target.ravel())


def _data(found: Explanation) -> dict[str, Any]:
    digits = 9 if sum(step.output.size for step in found.steps) <= _SMALL else _DIGITS
    return {"layers": [_layer(step, digits) for step in found.steps]}


def _layer(step: Step, digits: int) -> dict[str, Any]:
    parameters = {
        name: {
            "shape": list(value.shape),
            "value": _numbers(value, digits),
            "gradient": _numbers(step.gradients[name], digits),
        }
        for name, value in step.weights.items()
    }
    return {
        "path": step.path,
        "kind": step.kind,
        "in": {"shape": list(step.inputs.shape), "value": _numbers(step.inputs, digits)},
        "out": {
            "shape": list(step.output.shape),
            "value": _numbers(step.output, digits),
            "delta": _numbers(step.delta, digits),
        },
        "parameters": parameters,
        "window": step.window,
    }


def _numbers(values: np.ndarray, digits: int) -> list[float]:
    return [float(f"{value:.{digits}g}") for value in np.asarray(values, np.float64).ravel()]
