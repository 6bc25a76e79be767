"""`compiled`: the same record as `gradients`, of JAX arrays, compiled once for each combination of shapes."""

from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import everygrad as eg
from everygrad.checks.tolerance import FRAMEWORK, assert_close
from everygrad.errors import InputError, NonFiniteError
from tests.engines.models import every_operation, feed_forward
from tests.networks.recurrent_cases import Case, made
from tests.networks.recurrent_library import data, network

face = import_module("everygrad.backprop.compiled")  # the room has a function of this name

RECURRENT = {
    "elman": Case("elman"),
    "lstm": Case("lstm", bidirectional=True, lengths=True, initial=True, read="each", weighted=True),
    "gru": Case("gru", lengths="mask", read="mean", embedding=(4, 3)),
}


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def recurrent(name, remember="all"):
    numbers = made(RECURRENT[name])
    return network(numbers.case, remember), dict(numbers.params), data(numbers)


MODELS = {
    "feed-forward": feed_forward,
    "every operation": every_operation,
    **{name: lambda name=name: recurrent(name) for name in RECURRENT},
    "square root of memory": lambda: recurrent("lstm", "sqrt"),
}


def moved(params, arrays):
    return {name: jnp.asarray(p) for name, p in params.items()}, [jnp.asarray(a) for a in arrays]


@pytest.mark.parametrize("model", MODELS)
def test_the_same_record(model):
    net, params, arrays = MODELS[model]()
    params = {name: params[name] for name in getattr(net, "graph", net).parameters}  # in the order of the graph
    reference = eg.gradients(net, params, *arrays)
    moved_params, moved_arrays = moved(params, arrays)
    g = eg.compiled(net)(moved_params, *moved_arrays)
    assert isinstance(g, eg.Gradients)
    assert (list(g), list(g.trace), g.of) == (list(reference), list(reference.trace), reference.of)
    for found, expected in ((g, reference), (g.trace, reference.trace)):
        for name, array in expected.items():
            assert isinstance(found[name], jax.Array)
            assert not isinstance(found[name], jax.core.Tracer)
            assert_close(found[name], array, FRAMEWORK, name)
    if model == "square root of memory":
        return
    assert set(g.direct) == set(reference.direct)
    for name, array in reference.direct.items():
        assert_close(g.direct[name], array, FRAMEWORK, f"direct {name}")
    for name in reference:
        terms = eg.contributions(g, name)
        for consumer, term in eg.contributions(reference, name).items():
            assert_close(terms[consumer], term, FRAMEWORK, f"{name} through {consumer}")


@pytest.mark.parametrize("model", ["feed-forward", "lstm"])
def test_compiled_once_for_each_shape(model, monkeypatch):
    made_so_far = []
    backward = face.backward

    def counted(trace, **options):
        made_so_far.append(1)
        return backward(trace, **options)

    monkeypatch.setattr(face, "backward", counted)
    net, params, arrays = MODELS[model]()
    net = (
        type(net)(**{name: getattr(net, name) for name in ("sizes", "loss")})
        if model == "feed-forward"
        else _again(net)
    )
    params, arrays = moved(params, arrays)
    f = eg.compiled(net)
    for i in range(4):
        new = [a * (1 + 0.1 * i) if a.dtype == float and a.ndim == arrays[0].ndim else a for a in arrays]
        other = {name: p + 0.01 * i for name, p in params.items()}
        g = f(other, *new)
        reference = eg.gradients(net, {n: np.asarray(p) for n, p in other.items()}, *map(np.asarray, new))
        for name in reference:
            assert_close(g[name], reference[name], FRAMEWORK, name)
    assert made_so_far == [1]
    eg.compiled(net)(params, *arrays)  # a second one is the first
    assert made_so_far == [1]
    fewer = [a[:-1] for a in arrays]
    for _ in range(2):
        g = f(params, *fewer)
    assert made_so_far == [1, 1]
    reference = eg.gradients(net, {n: np.asarray(p) for n, p in params.items()}, *map(np.asarray, fewer))
    for name in reference:
        assert_close(g[name], reference[name], FRAMEWORK, name)
    again = f(params, *arrays)  # the record of the first shapes is still theirs
    assert again["x"].shape == arrays[0].shape
    assert made_so_far == [1, 1]


def _again(net):
    """The same network with a graph of its own."""
    fields = (
        "cell",
        "outputs",
        "read",
        "depth",
        "bidirectional",
        "loss",
        "lengths",
        "initial",
        "embedding",
        "weighted",
    )
    values = {name: getattr(net, name) for name in fields}
    return eg.Recurrent(layers=values.pop("depth"), **values)


def test_labels_shapes_and_numbers_are_looked_at():
    net, params, arrays = feed_forward()
    params, (x, y) = moved(params, arrays)
    f = eg.compiled(net)
    for _ in range(2):
        with pytest.raises(InputError, match=r"class labels must be in \[0, 3\) for 3 outputs, got -1 at index 2"):
            f(params, x, y.at[2].set(-1))
        with pytest.raises(InputError, match="'W1' has shape"):
            f({**params, "W1": params["W1"].T}, x, y)
        with pytest.raises(NonFiniteError, match=r"the array 'W2' is not finite: W2\[0, 1\] = inf"):
            f({**params, "W2": params["W2"].at[0, 1].set(jnp.inf)}, x, y)
        f(params, x, y)
    g = f({**params, "W2": params["W2"].at[0, 1].set(jnp.inf)}, x, y, check_finite=False)
    assert not np.isfinite(np.asarray(g["W1"])).all()


def test_an_overflow_inside_is_named():
    def f(x, *, W):
        return eg.ops.sum(eg.ops.exp(W @ x))

    with pytest.raises(NonFiniteError, match="the inputs are finite, but the quantity"):
        eg.compiled(eg.graph(f))({"W": jnp.full((1, 1), 1000.0)}, jnp.ones((2, 1)))


def test_data_by_name_and_second_names():
    net, params, arrays = feed_forward()
    params, (x, y) = moved(params, arrays)
    by_name = eg.compiled(net)(params, y=y, x=x)
    np.testing.assert_array_equal(by_name["x"], eg.compiled(net)(params, x, y)["h0"])


def test_other_arrays_are_refused():
    net, params, arrays = feed_forward()
    with pytest.raises(InputError, match=r"compiled passes are for JAX arrays, got those of numpy: use eg\.gradients"):
        eg.compiled(net)(params, *arrays)


def test_inside_of_jit_it_is_a_part_of_it():
    net, params, arrays = recurrent("elman")
    reference = eg.gradients(net, params, *arrays)
    params, arrays = moved(params, arrays)
    f = eg.compiled(net)
    found = jax.jit(lambda p, *d: dict(f(p, *d)))(params, *arrays)
    for name in reference:
        assert_close(found[name], reference[name], FRAMEWORK, name)


def test_float32():
    net, params, arrays = feed_forward(dtype=np.float32)
    params, arrays = moved(params, arrays)
    g = eg.compiled(net)(params, *arrays)
    assert {a.dtype for a in g.values()} == {np.dtype(np.float32)}
