"""One formula, three libraries: every operation gives the same values, gradients and Jacobians."""

import numpy as np
import pytest

from everygrad.backprop import forward, gradients, jacobian
from everygrad.checks import check
from everygrad.checks.tolerance import EXACT, FRAMEWORK, SINGLE, assert_close, relative_error
from everygrad.engines import to_numpy
from everygrad.graph import ELEMENTWISE
from tests.engines.conftest import MAKE, TYPES
from tests.engines.models import ACTIVATIONS, LOSSES, every_operation, feed_forward

TOLERANCES = {np.float64: FRAMEWORK, np.float32: SINGLE}


def assert_agree(engine, model, reference_model, dtype):
    """Every value and every gradient, of this library and dtype, against NumPy in float64."""
    net, params, data = model
    before = [a.copy() for a in (*params.values(), *data)]
    make = MAKE[engine]
    moved = {name: make(p) for name, p in params.items()}
    arrays = [make(d) for d in data]
    g = gradients(net, moved, *arrays)
    reference = gradients(reference_model[0], reference_model[1], *reference_model[2])
    assert list(g) == list(reference)
    for name in g:
        assert isinstance(g[name], TYPES[engine])
        assert str(g[name].dtype).removeprefix("torch.") == np.dtype(dtype).name
        assert_close(g[name], reference[name], TOLERANCES[dtype], f"gradient of {name}")
        assert_close(g.trace[name], reference.trace[name], TOLERANCES[dtype], name)
    assert str(g).startswith(f"{g.of} = ")
    for a, copy in zip((*map(to_numpy, moved.values()), *map(to_numpy, arrays)), before, strict=True):
        np.testing.assert_array_equal(a, copy)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(engine, activation, dtype):
    if engine == "numpy" and dtype is np.float64:
        net, params, data = feed_forward(activation)
        check(net, params, *data).raise_if_wrong()  # what the others are compared with
        return
    assert_agree(engine, feed_forward(activation, dtype=dtype), feed_forward(activation), dtype)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(engine, loss, dtype):
    assert_agree(engine, feed_forward(loss=LOSSES[loss], dtype=dtype), feed_forward(loss=LOSSES[loss]), dtype)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "squared_error"])
def test_target_distributions_and_sample_weights(engine, loss):
    model = feed_forward("elu", loss, labels=False, weighted=True)
    assert_agree(engine, model, model, np.float64)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
def test_every_other_operation(engine, dtype):
    assert_agree(engine, every_operation(dtype), every_operation(), dtype)


@pytest.mark.parametrize("name", ["log", "sqrt", *ACTIVATIONS])
def test_saturated_slopes(engine, name):
    """Each entry by itself: the small slopes of saturated units have their digits in every library."""
    op = ELEMENTWISE[name]()
    points = np.array([1e-8, 0.3, 2.0, 12.0, 30.0])
    points = points if name in ("log", "sqrt", "exp", "power") else np.concatenate([-points[::-1], points])
    a = MAKE[engine](points)
    h = op.value([a], [0])
    value, slope = op.value([points], [0]), op.derivative(points, op.value([points], [0]))
    for got, expected in ((h, value), (op.derivative(a, h), slope)):
        for x, y in zip(to_numpy(got), expected, strict=True):
            assert relative_error(x, y) <= EXACT * 10


@pytest.mark.parametrize(
    ("of", "wrt"), [("a2", "W1"), ("h1", "h0"), ("a2", "b2"), ("loss", "W1"), ("loss", "h1"), ("a2", "a1")]
)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
def test_jacobians(engine, of, wrt, dtype):
    net, params, data = feed_forward(dtype=dtype)
    make = MAKE[engine]
    J = jacobian(net, {name: make(p) for name, p in params.items()}, *map(make, data), of=of, wrt=wrt)
    reference = jacobian(*feed_forward()[:2], *feed_forward()[2], of=of, wrt=wrt)
    assert repr(J).split("(")[0] == repr(reference).split("(")[0]
    assert (J.nnz, J.out_shape, J.in_shape) == (reference.nnz, reference.out_shape, reference.in_shape)
    dense = J.dense()
    assert isinstance(dense, TYPES[engine])
    assert str(dense.dtype).removeprefix("torch.") == np.dtype(dtype).name
    assert_close(dense, reference.dense(), TOLERANCES[dtype])
    assert_close(J.norm(), reference.norm(), TOLERANCES[dtype])
    v = np.random.default_rng(0).normal(size=(*reference.batch, *reference.in_shape))
    g = np.random.default_rng(1).normal(size=(*reference.batch, *reference.out_shape))
    assert_close(J.push(make(v.astype(dtype))), reference.push(v), TOLERANCES[dtype])
    assert_close(J.pull(make(g.astype(dtype))), reference.pull(g), TOLERANCES[dtype])


def test_a_trace_of_a_hidden_quantity_needs_no_target(engine):
    net, params, data = feed_forward()
    trace = forward(net, {name: MAKE[engine](p) for name, p in params.items()}, MAKE[engine](data[0]), of="a2")
    assert_close(trace["a2"], forward(net, params, data[0], of="a2")["a2"], FRAMEWORK)
