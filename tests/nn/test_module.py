"""Modules: state at the first call, paths, sharing, freezing, reading and writing weights."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from helpers import close, normal, value

import ranvier as rv
from ranvier import nn
from ranvier.errors import DTypeError, InputError, ShapeError
from ranvier.nn import initializers
from ranvier.nn.trace import current, stream, trace


class Block(nn.Module):
    """A layer of one's own: state in a list, a dict and as an attribute; no super().__init__."""

    def __init__(self, depth: int) -> None:
        self.layers = [nn.Linear(4) for _ in range(depth)]
        self.heads = {"a": nn.Linear(2), "b": nn.Linear(2)}
        self.scale = rv.Parameter(np.ones(4, np.float32))

    def __call__(self, x: rv.Tensor) -> rv.Tensor:
        for layer in self.layers:
            x = rv.relu(layer(x))
        return self.encode(x * self.scale) + self.heads["b"](x)

    def encode(self, x: rv.Tensor) -> rv.Tensor:
        return self.heads["a"](x)


BLOCK_PATHS = [
    *("layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"),
    *("heads.a.weight", "heads.a.bias", "heads.b.weight", "heads.b.bias", "scale"),
]


def test_paths_are_attribute_names() -> None:
    net = nn.Sequential(Block(2), nn.Tanh(), Block(2), out=nn.Linear(3))
    assert net.names == ("block1", "tanh1", "block2", "out")
    assert net.build((5, 4)).shape == (5, 3)
    wanted = [f"block{i}.{p}" for i in (1, 2) for p in BLOCK_PATHS]
    assert list(net.parameters()) == [*wanted, "out.weight", "out.bias"]
    assert list(net[0].parameters()) == BLOCK_PATHS
    assert net["block2"].layers[1].path == "block2.layers.1"
    label = net.parameters()["block2.heads.a.weight"].label
    assert label == "block2.heads.a.weight"


def test_modules_appended_to_a_list_later_get_paths_too() -> None:
    block = Block(1)
    block.layers.append(nn.Linear(4))
    block.build((2, 4))
    assert list(block.parameters()) == BLOCK_PATHS
    assert block.layers[1].path == "layers.1"


def test_a_second_call_shares_the_state() -> None:
    net = nn.Sequential(nn.Linear(3), nn.BatchNorm(), nn.Linear(2))
    net.build((4, 5))
    first = net.states()
    net.build((7, 5), seed=1)
    assert all(net.states()[path] is state for path, state in first.items())


def test_a_method_called_alone_keeps_the_paths() -> None:
    whole, part = Block(1), Block(1)
    whole.build((2, 4), seed=3)
    with trace(seed=3):
        part.encode(rv.input((2, 4)))
    close(part.heads["a"].weights["weight"], whole.heads["a"].weights["weight"], 0)
    assert part.heads["a"].path == "heads.a"


def test_one_module_in_two_places_is_one() -> None:
    shared = nn.Linear(4)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    net.build((2, 4))
    assert list(net.parameters()) == ["linear1.weight", "linear1.bias"]
    assert list(net.modules()) == ["", "linear1", "relu1"]


def test_a_module_outlives_its_network() -> None:
    net = nn.Sequential(nn.Linear(4))
    encoder = net[0]
    assert encoder.path == "linear1"
    del net
    gc.collect()
    assert encoder.path == ""
    larger = nn.Sequential(encoder=encoder, head=nn.Linear(2))
    larger.build((3, 4))
    assert list(larger.parameters())[:2] == ["encoder.weight", "encoder.bias"]


def test_a_module_may_know_what_holds_it() -> None:
    net = nn.Sequential(nn.Linear(4))
    net[0].owner = net
    net.build((2, 4))
    assert list(net.parameters()) == ["linear1.weight", "linear1.bias"]
    assert (net.path, net[0].path) == ("", "linear1")


def test_sequential_is_indexed_and_iterated() -> None:
    net = nn.Sequential(nn.Linear(3), rv.relu, head=nn.Linear(2))
    assert len(net) == 3 == len(list(net))
    assert net.names == ("linear1", "relu1", "head")
    assert net[0] is net["linear1"] is net.linear1
    assert net[-1] is net.head
    net.build((2, 4))
    first = net[:2]
    assert first.build((2, 4)).shape == (2, 3)
    assert first.parameters()["linear1.weight"] is net.linear1.weight
    with pytest.raises(InputError, match=r"^there is no module 'x'; there are linear1, relu1, he"):
        net["x"]
    with pytest.raises(InputError, match="two modules are called 'linear1'; rename one"):
        nn.Sequential(nn.Linear(3), linear1=nn.Linear(3))


# ---------------------------------------------------------------- initial values


def built(seed: int, **named: nn.Module) -> dict[str, np.ndarray]:
    net = nn.Sequential(**named)
    net.build((2, 6), seed=seed)
    return dict(net.weights)


def test_initial_values_depend_on_seed_and_path_alone() -> None:
    first = built(0, a=nn.Linear(6), b=nn.Linear(6))
    again = built(0, b=nn.Linear(6), a=nn.Linear(6))
    other = built(1, a=nn.Linear(6), b=nn.Linear(6))
    for path, array in first.items():
        assert array.tobytes() == again[path].tobytes()
    assert not np.array_equal(first["a.weight"], first["b.weight"])
    assert not np.array_equal(first["a.weight"], other["a.weight"])


def test_initial_values_are_the_same_tomorrow() -> None:
    rng = initializers.generator(7, "conv1.weight")
    assert rng.integers(0, 2**63) == 863211343197350431
    assert stream("dropout1") == 1560401551


@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        (initializers.GlorotNormal(), (2 / 1300) ** 0.5),
        (initializers.GlorotUniform(), (2 / 1300) ** 0.5),
        (initializers.HeNormal(), (2 / 900) ** 0.5),
        (initializers.HeUniform(), (2 / 900) ** 0.5),
        (initializers.LeCunNormal(2), 2 * (1 / 900) ** 0.5),
        (initializers.LeCunUniform(2), 2 * (1 / 900) ** 0.5),
        (initializers.Normal(0.3), 0.3),
        (initializers.Uniform(0.3), 0.3 / 3**0.5),
    ],
)
def test_variance_of_initializers(init: initializers.Initializer, deviation: float) -> None:
    shape = (3, 3, 100, 400 // 9)  # fan-in 900, fan-out 396
    if "Glorot" in type(init).__name__:
        shape = (900, 400)
    array = init(initializers.generator(0, "w"), shape)
    assert array.dtype == np.float32
    assert abs(array.std() / deviation - 1) < 0.02
    assert abs(array.mean()) < deviation * 0.02


def test_orthogonal_and_constants() -> None:
    rng = initializers.generator(0, "w")
    tall = initializers.Orthogonal(2.0)(rng, (3, 3, 4, 5)).reshape(36, 5)
    close(tall.T @ tall, 4 * np.eye(5))
    wide = initializers.Orthogonal()(rng, (4, 9))
    close(wide @ wide.T, np.eye(4))
    assert initializers.ones(rng, (2,)).tolist() == [1, 1]
    with pytest.raises(ShapeError, match=r"^weights of shape \(3,\) have no fans; use Normal"):
        initializers.HeNormal()(rng, (3,))


# ---------------------------------------------------------------- weights


def net_of_two() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(3), nn.Tanh(), nn.Linear(2))
    net.build((2, 4))
    return net


def test_weights_are_read_and_written_by_path() -> None:
    net = net_of_two()
    net.weights["linear1.weight"] = normal(4, 3)
    close(net.weights["linear1.weight"], normal(4, 3), 0)
    copy = net.weights["linear1.bias"]
    copy[:] = 9
    assert net.weights["linear1.bias"].tolist() == [0, 0, 0]
    assert repr(net.weights).splitlines()[0] == "linear1.weight: float32[4, 3]"


def test_writing_weights_is_checked() -> None:
    net = net_of_two()
    with pytest.raises(ShapeError, match=r"^linear1.weight has shape \(4, 3\), the array \(3, 4\)"):
        net.weights["linear1.weight"] = normal(3, 4)
    with pytest.raises(DTypeError, match=r"linear1.bias is float32, the array int64; convert"):
        net.weights["linear1.bias"] = np.zeros(3, np.int64)
    with pytest.raises(InputError, match=r"no weights at 'linear1.wait'; near it are linear1.wei"):
        net.weights["linear1.wait"]


def test_load_weights_writes_all_or_nothing() -> None:
    source, net = net_of_two(), net_of_two()
    arrays = {path: array + 1 for path, array in source.weights.items()}
    before = dict(net.weights)
    with pytest.raises(ShapeError):
        net.load_weights({**arrays, "linear2.bias": np.zeros(5, np.float32)})
    assert all(np.array_equal(net.weights[path], before[path]) for path in before)
    assert net.load_weights(arrays) == list(arrays)
    assert all(np.array_equal(net.weights[path], arrays[path]) for path in arrays)


def test_partial_loading() -> None:
    net = net_of_two()
    arrays = {"linear1.bias": np.ones(3, np.float32), "other": np.zeros(1, np.float32)}
    with pytest.raises(InputError, match=r"lack linear1.weight, .* have besides other; pass part"):
        net.load_weights(arrays)
    assert net.load_weights(arrays, partial=True) == ["linear1.bias"]
    assert net.weights["linear1.bias"].tolist() == [1, 1, 1]
    with pytest.raises(InputError, match="no path of the arrays is one of the network's"):
        net.load_weights({"x": normal(1)}, partial=True)


def test_freezing_takes_parameters_out() -> None:
    net = net_of_two()
    assert net.freeze("linear1.*") == ["linear1.weight", "linear1.bias"]
    assert list(net.parameters()) == ["linear2.weight", "linear2.bias"]
    assert len(net.parameters(frozen=True)) == 4
    assert net.unfreeze("*.bias") == ["linear1.bias", "linear2.bias"]
    assert list(net.parameters()) == ["linear1.bias", "linear2.weight", "linear2.bias"]
    with pytest.raises(InputError, match=r"^no parameter matches 'conv\*'; they are linear1.weig"):
        net.freeze("conv*")
    with pytest.raises(InputError, match="none are built yet; call build"):
        nn.Linear(3).freeze()


# ---------------------------------------------------------------- errors and the trace


def test_a_shape_error_in_a_module_of_ones_own_names_it() -> None:
    class Wrong(nn.Module):
        def __call__(self, x: rv.Tensor) -> rv.Tensor:
            return x + np.ones(3, np.float32)

    with pytest.raises(ShapeError) as caught:
        nn.Sequential(nn.Tanh(), wrong=Wrong()).build((2, 4))
    assert str(caught.value) == (
        "wrong: shapes (2, 4) and (3,) do not broadcast; "
        "aligned at the right, axes must be equal or 1"
    )


def test_names_of_the_module_itself_are_refused() -> None:
    with pytest.raises(InputError, match=r"Sequential.weights: every module has 'weights'"):
        nn.Sequential(weights=nn.Linear(3))


def test_state_of_another_shape_or_kind_is_refused() -> None:
    layer = nn.Module()
    layer.param("gain", (3,), initializers.ones)
    assert layer.param("gain", (3,), initializers.zeros) is layer.gain
    with pytest.raises(ShapeError, match="gain has been 3 since the first call, this call needs 4"):
        layer.param("gain", (4,), initializers.ones)
    with pytest.raises(InputError, match="the attribute 'gain' is taken"):
        layer.buffer("gain", (3,), initializers.ones)
    with pytest.raises(InputError, match="Module defines no __call__; add one"):
        layer(rv.input((2,)))


def test_the_trace_ends_with_its_block() -> None:
    assert not current().training
    with trace(training=True, seed=1) as outer:
        with trace(training=False):
            assert not current().training
        assert current() is outer
    assert not current().training
    wrong = trace(training=True, step=rv.constant(0.0))
    with pytest.raises(ShapeError, match="trace: the step must be an int64 scalar"), wrong:
        pass


def test_a_program_input_may_be_the_seed_of_a_built_network_only() -> None:
    net, seed = nn.Sequential(nn.Linear(64), nn.Dropout()), rv.input((), rv.int64)
    x = rv.constant(np.ones((4, 8), np.float32))
    refused = pytest.raises(InputError, match=r"^linear1: the trace's seed is computed")
    with trace(training=True, seed=seed, step=rv.constant(0)), refused:
        net(x)
    net.build(x)
    with trace(training=True, seed=seed, step=rv.constant(0)):
        y = net(x)
    program = rv.compile({"seed": seed}, {"y": y}, engine="reference")
    assert not np.array_equal(program(seed=0)["y"], program(seed=1)["y"])
    with trace(seed=rv.Buffer(np.int64(5))):
        close(value(nn.Linear(3)(x)), value(nn.Linear(3).build(x, seed=5)), 0)
