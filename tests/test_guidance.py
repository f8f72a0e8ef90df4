"""Every public call and name that does not fit is met by one sentence, whose mend exists."""

from __future__ import annotations

import gc
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import nn
from ranvier.errors import ArgumentError, MissingKeyError, MissingNameError, RanvierError
from ranvier.guidance import arguments, words
from ranvier.training.loop.history import History

FACES = (
    rv, nn, nn.initializers, rv.optim, rv.losses, rv.metrics, rv.schedules, rv.regularization,
    rv.training, rv.data, rv.datasets,
)  # fmt: skip
MADE_WITHIN = ("Options", "Program", "RateSearch", "Description", "Named", "undone")
"""What the library makes or calls, and users do not."""


def calls() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function, class and method of the library, by name."""
    for face in FACES:
        listed = getattr(face, "__all__", None)
        for name, value in list(vars(face).items()):
            made = getattr(value, "__module__", "") == face.__name__
            own = made if listed is None else name in listed
            if name.startswith("_") or not own or name in MADE_WITHIN:
                continue
            if isinstance(value, type) and issubclass(value, BaseException):
                continue
            if inspect.isfunction(value):
                yield f"{face.__name__}.{name}", value
            elif isinstance(value, type) and value.__module__.startswith("ranvier"):
                if "__init__" in vars(value):
                    yield f"{face.__name__}.{name}", value.__init__
                for label, method in vars(value).items():
                    public = not label.startswith("_") and label not in MADE_WITHIN
                    if inspect.isfunction(method) and public:
                        yield f"{face.__name__}.{name}.{label}", method


CALLS = dict(calls())


def takes_any(call: Callable[..., Any]) -> bool:
    parameters = inspect.signature(call).parameters.values()
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def test_the_calls_are_found() -> None:
    assert len(CALLS) > 200
    for name in ("ranvier.nn.Linear", "ranvier.relu", "ranvier.Model.fit", "ranvier.optim.Adam"):
        assert name in CALLS


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if not takes_any(call)])
def test_an_unknown_argument_is_met_by_a_sentence(name: str) -> None:
    call = CALLS[name]
    method = next(iter(inspect.signature(call).parameters), "") == "self"
    with pytest.raises(ArgumentError, match="has no argument 'quux'; ") as caught:
        call(*([object()] if method else []), quux=1)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_an_unknown_name_is_met_by_a_sentence(face: Any) -> None:
    with pytest.raises(MissingNameError, match="has no 'quux'; "):
        face.quux  # noqa: B018
    assert not hasattr(face, "quux")
    assert getattr(face, "quux", 3) == 3


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: nn.Linear(featurs=3), "Linear has no argument 'featurs'; use features=…"),
        (lambda: nn.Linear(), "Linear lacks features; it takes features, use_bias, init"),
        (lambda: nn.Flatten(1), "Flatten keeps the batch axis and joins all others: "),
        (lambda: nn.GELU(approximate="tanh"), "GELU has no argument 'approximate'; it takes none"),
        (lambda: rv.sum([1.0], dim=0), "sum has no argument 'dim'; use axis=…"),
        (lambda: rv.optim.Adam(1, 0, 0, 0, 0), "Adam takes learning_rate, beta1, beta2, epsilon "),
        (lambda: rv.optim.Adam(beta_1=0.5), "Adam has no argument 'beta_1'; use beta1=…"),
        (lambda: rv.Model(nn.Linear(1), treads=2), "Model has no argument 'treads'; use threads=…"),
        (
            lambda: rv.Model(nn.Linear(1)).fit([[1.0]], [1.0], lr=0.1),
            "fit has no argument 'lr'; give it to the optimizer",
        ),
        (
            lambda: rv.Model(nn.Linear(1)).fit([[1.0]], [1.0], loss="huber"),
            "fit has no argument 'loss'; pass loss=… to rv.Model",
        ),
        (lambda: rv.Model(nn.Linear(1), "adam", "huber"), "there is no loss 'adam'; which is an "),
        (lambda: rv.Model(nn.Linear(1), "rmse"), "there is no loss 'rmse'; use 'mean_squared_"),
        (lambda: rv.Model(nn.Linear(1), optimizer="ADAM"), "there is no 'ADAM' here; use 'adam'"),
        (lambda: nn.Embedding(9, 2, 0), "Embedding takes count, width by position; pass init by "),
        (lambda: nn.MaxPool(pool_size=2), "MaxPool has no argument 'pool_size'; use window=…"),
        (lambda: nn.initializers.Normal(0.0, 0.1), "Normal takes deviation by position, not 2"),
        (lambda: nn.Linear(3, init="he_normal"), "Linear: init is 'he_normal'; use nn.ini"),
        (lambda: nn.Sequential(nn.Linear(3), "relu"), "function1 is the text 'relu', for which"),
        (lambda: rv.datasets.load("MNIST"), "there is no dataset 'MNIST'; use 'mnist'"),
        (lambda: rv.datasets.load("fashion_mnist"), "there is no dataset 'fashion_mnist'; use"),
        (lambda: nn.LINEAR, "nn has no 'LINEAR'; use nn.Linear"),
        (lambda: rv.Linear, "rv has no 'Linear'; use nn.Linear"),
        (lambda: rv.Adam, "rv has no 'Adam'; use rv.optim.Adam"),
        (lambda: nn.EarlyStopping, "nn has no 'EarlyStopping'; use rv.training.EarlyStopping"),
        (lambda: nn.Linnear, "nn has no 'Linnear'; use Linear"),
        (lambda: rv.optim.Adan, "optim has no 'Adan'; use Adam"),
        (lambda: rv.constant(1.0).reshap(1), "Tensor has no 'reshap'; use reshape"),
        (lambda: History([{"loss": 1.0}])["val_loss"], "'val_loss' was not measured; there are "),
        (lambda: History([{"validation_loss": 1.0}])["val_loss"], "'val_loss' was not measured; u"),
        (lambda: History([{"validation_accuracy": 1}])["val_acc"], "'val_acc' was not measured; u"),
    ],
)  # fmt: skip
def test_sentences(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(RanvierError) as caught:
        call()
    assert str(caught.value).startswith(text)


def test_there_is_one_object_of_each_function() -> None:
    """Nothing holds what a wrapper wraps, so that functions can be told by identity."""
    functions = {name: call for name, call in CALLS.items() if "." not in call.__qualname__}
    for name, call in functions.items():
        wrapped = call.__wrapped__
        holders = [each for each in gc.get_referrers(wrapped) if isinstance(each, dict)]
        keys = {key for each in holders for key, value in each.items() if value is wrapped}
        # The wrapper's attribute, and local variables of calls that tests have kept.
        assert keys <= {"__wrapped__", "call", "wrapped"}, name


def test_a_type_error_inside_a_call_stays_what_it_is() -> None:
    class Broken(nn.Module):
        def __init__(self, size: int) -> None:
            self.size = size + "1"  # type: ignore[operator]

    with pytest.raises(TypeError, match="unsupported operand") as caught:
        Broken(3)
    assert not isinstance(caught.value, RanvierError)


def test_classes_of_ones_own_are_explained_too() -> None:
    class Net(nn.Module):
        def __init__(self, size: int, dropout: float = 0.0) -> None:
            self.hidden = nn.Linear(size)

        def __call__(self, words: rv.Tensor, places: rv.Tensor) -> rv.Tensor:
            return self.hidden(words) + self.hidden(places)

    with pytest.raises(ArgumentError, match=r"^Net has no argument 'dropuot'; use dropout=…$"):
        Net(3, dropuot=0.1)  # type: ignore[call-arg]
    inputs = {"words": np.ones((4, 2), np.float32), "place": np.ones((4, 2), np.float32)}
    model = rv.Model(Net(3), engine="reference")
    with pytest.raises(ArgumentError, match="Net has no argument 'place'; use places=…"):
        model.fit(inputs, np.ones((4, 3), np.float32))


def test_signatures_stay() -> None:
    assert list(inspect.signature(nn.Linear).parameters) == ["features", "use_bias", "init"]
    assert list(inspect.signature(rv.relu).parameters) == ["x"]
    assert inspect.signature(rv.optim.SGD).parameters["learning_rate"].default == 0.01
    assert rv.Model.fit.__doc__
    assert rv.relu.__name__ == "relu"


def mends() -> dict[str, str]:
    """Every sentence of the tables that names a counterpart, by the word that it is for."""
    found = {f"name {word}": text for word, text in words.NAMES.items()}
    found |= {f"attribute {word}": text for word, text in words.ATTRIBUTES.items()}
    found |= {f"value {word}": text for word, text in words.ADVICE.items()}
    found |= {f"argument {word}": text for word, text in arguments.ADVICE.items()}
    for title, table in {**words.IN_MODULES, **words.IN_CLASSES}.items():
        found |= {f"{title}.{word}": text for word, text in table.items()}
    for several in (arguments.OF_CALL, arguments.MISSING, arguments.TWICE):
        found |= {f"{owner}({word})": text for (owner, word), text in several.items()}
    return found


@pytest.mark.parametrize("mend", mends().values(), ids=mends())
def test_what_a_mend_names_exists(mend: str) -> None:
    named = re.findall(r"\b(rv|nn)((?:\.[A-Za-z_]\w*)+)", mend)
    for root, path in named:
        owner: Any = {"rv": rv, "nn": nn}[root]
        for part in path[1:].split("."):
            owner = getattr(owner, part)


def test_the_tables_name_what_there_is() -> None:
    taken = {each for call in CALLS.values() for each in inspect.signature(call).parameters}
    for word, meant in arguments.SAME.items():
        assert taken & set(meant), word
    known = {*rv.losses.LOSSES, *rv.metrics.METRICS, *rv.metrics.EPOCH_METRICS, "rmsprop"}
    for meant in words.VALUES.values():
        assert meant.removeprefix("validation_") in known


def test_results_are_dictionaries_that_explain_what_they_lack() -> None:
    model = rv.Model(nn.Linear(1), engine="reference")
    found = model.evaluate(np.ones((4, 2), np.float32), np.ones((4, 1), np.float32))
    assert isinstance(found, dict)
    assert found.get("accuracy") is None
    with pytest.raises(MissingKeyError, match="'acuracy' was not measured; there are loss"):
        found["acuracy"]
    with pytest.raises(KeyError, match="quantities are by name: 'loss'"):
        found[0]  # type: ignore[index]


def test_the_tables_cost_the_import_nothing() -> None:
    code = "import sys, ranvier; print([m for m in sys.modules if m.startswith('ranvier.gui')])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ranvier.guidance.calls" in shown.stdout
    assert "words" not in shown.stdout
    assert "arguments" not in shown.stdout


@pytest.mark.parametrize(
    "line", ["from ranvier.nn import Dense", "from ranvier.nn import Linear, Conv2d"]
)
def test_importing_a_foreign_name(line: str) -> None:
    with pytest.raises(ImportError, match=r"^nn has no '(Dense|Conv2d)'; use nn\."):
        exec(line, {})
    with pytest.raises(ImportError, match="cannot import name 'quux'"):
        exec("from ranvier.nn import quux", {})


def test_parts_are_imported_when_asked_for() -> None:
    code = (
        "import sys, ranvier as rv\n"
        "assert not {'ranvier.models', 'ranvier.experiments'} & set(sys.modules)\n"
        "print(rv.models.get('mlp').name, 'sgd' in rv.experiments.NAMES)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["mlp", "True"]
