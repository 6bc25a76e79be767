"""What a pass does with each sample by itself, compiled: against the NumPy engine and the definition."""

import os
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import everygrad as eg
from everygrad.backprop.plan import plan
from everygrad.checks.tolerance import EXACT, SINGLE, assert_close
from everygrad.engines.compiled import kernel, machine, rows, threads
from everygrad.engines.compiled.frame import address
from everygrad.engines.compiled.machine import target
from everygrad.engines.compiled.packing import Packing, pack
from everygrad.engines.compiled.products import panel
from everygrad.engines.compiled.threads import running
from everygrad.errors import NonFiniteError
from everygrad.graph.elementwise import RULES
from tests.backprop.test_straight import feed_forward

pytest.importorskip("llvmlite")
LAYERED = sorted(set(RULES) - {"log", "sqrt", "exp", "power"})


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """Compile however little there is to do."""
    monkeypatch.setattr(rows, "WORTH_COMPILING", 0)


def compiled(net, *arrays, nothing=False):
    """The gradients with the compiled engine, after a look that it really compiled something, or nothing."""
    found = eg.gradients(net, *arrays, engine="compiled")
    graph = net if isinstance(net, eg.Graph) else net.graph
    codes = [code for key, code in plan(graph).codes.items() if key[0] == "compiled"]
    assert ("rows_1(" in codes[-1].text) != nothing, codes[-1].text
    return found


def agree(found, expected, dtype=np.float64):
    limit = EXACT if dtype == np.float64 else SINGLE
    assert list(found) == list(expected)
    for name in expected:
        assert found[name].dtype == expected[name].dtype
        assert_close(found[name], expected[name], limit, name)
    for name in expected.trace:
        assert_close(found.trace[name], expected.trace[name], limit, f"value of {name}")


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=4),
    st.integers(1, 19),
    st.sampled_from(LAYERED),
    st.sampled_from(["softmax_cross_entropy", "binary_cross_entropy", "squared_error"]),
    st.sampled_from([np.float32, np.float64]),
)
def test_feed_forward_networks(sizes, B, activation, loss, dtype):
    net, *arrays = feed_forward(sizes, B, dtype, activation=activation, loss=loss)
    expected = eg.gradients(net, *arrays)
    agree(compiled(net, *arrays), expected, dtype)


@pytest.mark.parametrize("n", [1, 4, 16])
def test_as_many_samples_as_units(n):
    """Shapes alone do not tell a weight from a batch."""
    net, *arrays = feed_forward((n, n, n, n), n)
    agree(compiled(net, *arrays), eg.gradients(net, *arrays))


def residual(x, y, *, W, U, V, b, scale):
    h = eg.ops.tanh(x @ W.T + b)
    g = (h * scale + x) * eg.ops.sigmoid(h @ U.T)
    k = eg.ops.concatenate(g, h)
    return eg.ops.squared_error(eg.ops.silu(g) * h - k @ V.T, y)


def test_a_graph_of_ones_own():
    rng = np.random.default_rng(1)
    net, d = eg.graph(residual), 5
    shapes = {"W": (d, d), "U": (d, d), "V": (d, 2 * d), "b": (d,), "scale": (d,)}
    params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    x, y = rng.normal(size=(7, d)), rng.normal(size=(7, d))
    found, expected = (eg.gradients(net, params, x, y, engine=engine) for engine in ("compiled", "numpy"))
    agree(found, expected)


def shared(x, *, W):
    h = eg.ops.tanh(x @ W)
    return eg.ops.sum(eg.ops.tanh(h @ W) * h)


def test_one_matrix_for_two_products():
    rng = np.random.default_rng(2)
    net, params, x = eg.graph(shared), {"W": rng.normal(size=(6, 6))}, rng.normal(size=(6, 6))
    seed = np.ones(6)
    traces = [eg.forward(net, params, x, engine=engine) for engine in ("compiled", "numpy")]
    found, expected = (eg.backprop.backward(trace, seed=seed) for trace in traces)
    agree(found, expected)


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_row(strange):
    net, params, x, y = feed_forward((5, 8, 4), 9)
    x[3, 2] = strange
    with pytest.raises(NonFiniteError, match=r"h0\[3, 2\]"):
        eg.gradients(net, params, x, y, engine="compiled")
    found = eg.gradients(net, params, x, y, engine="compiled", check_finite=False)
    expected = eg.gradients(net, params, x, y, check_finite=False)
    other = np.arange(9) != 3
    for name in ("a1", "h1", "a2"):
        np.testing.assert_array_equal(np.isnan(found[name]), np.isnan(expected[name]))
        assert_close(found[name][other], expected[name][other], EXACT, name)


def test_saturated_units():
    net, params, x, y = feed_forward((3, 6, 2), 8, activation="tanh")
    params["W1"] *= 40.0
    expected = eg.gradients(net, params, x, y)
    assert (np.abs(expected.trace["h1"]) == 1.0).any()
    found = compiled(net, params, x, y)
    live = expected["a1"] != 0.0
    assert_close(found["a1"][live] / expected["a1"][live], np.ones(live.sum()), 1e-12, "each slope by itself")


def test_the_same_bits_with_any_number_of_threads_and_at_every_call(monkeypatch):
    monkeypatch.setattr(kernel, "WORTH_SPLITTING", 0)
    monkeypatch.setattr("everygrad.engines.compiled.packing.WORTH_SPLITTING", 0)
    net, *arrays = feed_forward((20, 33, 17, 5), 37, activation="gelu")
    first = compiled(net, *arrays)
    for count in (1, 2, 3, 5):
        with running("numpy", count):
            again = compiled(net, *arrays)
        for name in first:
            np.testing.assert_array_equal(again[name], first[name])


def test_results_of_one_call_are_not_overwritten_by_the_next():
    net, params, x, y = feed_forward((200, 300, 5), 150)
    first = compiled(net, params, x, y)
    kept = {name: first[name].copy() for name in first} | {f"value of {n}": first.trace[n].copy() for n in first.trace}
    compiled(net, params, x + 1.0, y)
    for name in first:
        np.testing.assert_array_equal(first[name], kept[name])
        np.testing.assert_array_equal(first.trace[name], kept[f"value of {name}"])


def test_arrays_with_gaps_and_arrays_that_cannot_be_written_to():
    net, params, x, y = feed_forward((6, 8, 3), 10)
    expected = eg.gradients(net, params, x, y)
    wide = np.zeros((20, 12))
    wide[::2, ::2] = x
    odd = {name: np.asfortranarray(p) for name, p in params.items()}
    for p in odd.values():
        p.setflags(write=False)
    agree(compiled(net, odd, wide[::2, ::2], y), expected)
    agree(compiled(net, odd, x[::-1][::-1], y), expected)


def test_numbers_that_are_computed_or_stand_in_the_text():
    """NumPy gives numbers where it sums up, plain ones stand in the text: their memory must stay where it is."""
    net, params, x, y = feed_forward((20, 30, 3), 40, weighted=True)
    w = np.random.default_rng(3).random(40) + 0.1
    agree(compiled(net, params, x, y, w), eg.gradients(net, params, x, y, w))
    net = eg.graph(lambda x, y, *, W, k: eg.ops.squared_error(1.5 + eg.ops.square(W @ x) * eg.ops.exp(k), y))
    rng = np.random.default_rng(4)
    for dtype in (np.float64, np.float32):
        params = {"W": rng.normal(size=(6, 6)).astype(dtype), "k": np.array(0.3, dtype)}
        x = rng.normal(size=(40, 6)).astype(dtype)
        agree(compiled(net, params, x, x), eg.gradients(net, params, x, x), dtype)


def test_numbers_that_a_loop_reads():
    o = eg.ops
    shapes = {"U": (5, 3), "W": (5, 5), "k": (), "j": ()}
    cell = eg.Cell(lambda x, s, p: o.tanh(p.U @ x + p.W @ s.h) * p.k + p.j, 3, {"h": 5}, shapes)

    def f(x, y, *, U, W, k, j, V):
        parameters = {"U": U, "W": W, "k": o.exp(k), "j": o.square(j)}
        return o.squared_error(V @ o.scan(cell.cell, x, parameters, {"h": 5}).end["h"], y)

    rng = np.random.default_rng(0)
    params = {name: np.asarray(rng.normal(size=shape)) for name, shape in {**shapes, "V": (2, 5)}.items()}
    net, x, y = eg.graph(f, sequences=("x",)), rng.normal(size=(6, 9, 3)), rng.normal(size=(6, 2))
    expected = eg.gradients(net, params, x, y)
    for _ in range(3):
        agree(eg.gradients(net, params, x, y, engine="compiled"), expected)


def test_batches_of_any_size_share_their_code():
    net, params, *_ = feed_forward((4, 5, 3), 6)
    before = machine.function_of.cache_info().misses
    for n in (7, 9, 11, 30, 31):
        _, _, x, y = feed_forward((4, 5, 3), n)
        agree(compiled(net, params, x, y), eg.gradients(net, params, x, y))
    assert machine.function_of.cache_info().misses <= before + 1


def test_little_work_is_left_to_numpy(monkeypatch):
    monkeypatch.undo()
    net, *arrays = feed_forward((4, 5, 3), 6)
    found, expected = compiled(net, *arrays, nothing=True), eg.gradients(net, *arrays)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


# ------------------------------------------------------------------------------------------ reductions


@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 70])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_of_any_width(width, dtype):
    rng = np.random.default_rng(width)
    net = eg.graph(lambda x, y, *, W: eg.ops.softmax_cross_entropy(x @ W.T, y))
    params = {"W": rng.normal(size=(width, 4)).astype(dtype)}
    x, y = rng.normal(size=(11, 4)).astype(dtype), rng.integers(0, width, 11)
    found, expected = compiled(net, params, x, y), eg.gradients(net, params, x, y)
    agree(found, expected, dtype)


def test_of_equal_logits_the_first_counts():
    net = eg.graph(lambda x, y, *, W: eg.ops.softmax_cross_entropy(x @ W.T, y))
    x, y = np.ones((3, 2)), np.array([0, 5, 19])
    for large in (0.0, 300.0, -300.0):
        params = {"W": np.full((20, 2), large)}
        agree(compiled(net, params, x, y), eg.gradients(net, params, x, y))


# ------------------------------------------------------------------------------------------ packing


@settings(max_examples=60)
@given(st.integers(1, 150), st.integers(1, 150), st.sampled_from(["C", "F", "gaps", "turned"]), st.sampled_from("fd"))
def test_packed_matrices(depth, columns, order, kind):
    rng = np.random.default_rng(depth)
    matrix = rng.normal(size=(2 * depth, 2 * columns)).astype(kind)[:depth, :columns]
    matrix = {
        "C": np.ascontiguousarray(matrix),
        "F": np.asfortranarray(matrix),
        "gaps": matrix,
        "turned": np.ascontiguousarray(matrix)[::-1, ::-1],
    }[order]
    goal = target(matrix.itemsize)
    packing = Packing(matrix.shape, goal)
    place = np.full(packing.nbytes // matrix.itemsize, np.nan, kind)
    pack([packing.job(address(matrix), matrix.strides, address(place))], matrix.size)
    width = panel(goal)
    expected = np.zeros((-(-columns // width), depth, width), kind)
    for p, k, c in np.ndindex(expected.shape):
        if p * width + c < columns:
            expected[p, k, c] = matrix[k, p * width + c]
    np.testing.assert_array_equal(place.reshape(expected.shape), expected)


# ------------------------------------------------------------------------------------------ threads


@pytest.mark.skipif(sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs two processors of Linux")
def test_threads_leave_the_callers_processor_alone():
    everywhere = os.sched_getaffinity(0)
    workers = threads._Workers(1, "test")
    for _ in range(3):  # before the first job there is no thread yet
        [job] = workers.start([lambda: os.sched_getaffinity(0)])
        elsewhere = job.result()
    assert elsewhere == everywhere - {workers._caller}
    assert os.sched_getaffinity(0) == everywhere
