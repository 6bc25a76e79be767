"""What came, what was expected, what to do: every mismatch at once."""

import numpy as np
import pytest

from everygrad.backprop import forward, gradients
from everygrad.backprop.bind import MOST_REMEMBERED
from everygrad.backprop.plan import plan
from everygrad.errors import InputError, NonFiniteError
from everygrad.graph import graph, ops
from everygrad.networks import FeedForward, GraphNetwork


@pytest.fixture
def case():
    net = FeedForward([4, 5, 3])
    rng = np.random.default_rng(0)
    return net, net.init(0), rng.normal(size=(6, 4)), rng.integers(0, 3, 6)


def problems(net, params, *data, error=InputError, **named):
    with pytest.raises(error) as caught:
        gradients(net, params, *data, **named)
    return str(caught.value)


def test_every_wrong_shape_is_listed(case):
    net, params, x, y = case
    text = problems(net, {**params, "W1": params["W1"].T, "b2": np.zeros(4)}, x, y[:5])
    assert text.splitlines() == [
        "arguments: 3 problems",
        "  - 'W1' has shape (4, 5), the network needs (5, 4)",
        "  - 'b2' has shape (4,), the network needs (3,)",
        "  - data of different numbers of samples: 'h0' has 6, 'y' has 5",
    ]


def test_missing_extra_and_non_arrays(case):
    net, params, x, _ = case
    del params["b1"]
    text = problems(net, {**params, "w1": x, "W2": [[1.0]], "loss": x}, x)
    assert text.splitlines() == [
        "arguments: 5 problems",
        "  - unknown parameter 'w1'. Did you mean 'W1'? Known: W1, W2, b1, b2. Leave 'w1' out.",
        "  - unknown parameter 'loss'. Known: W1, W2, b1, b2. Leave 'loss' out.",
        "  - data 'y' is missing: add it to the data",
        "  - parameter 'b1' is missing: add it to params",
        "  - 'W2' is a list, expected an array: numpy.asarray(W2)",
    ]


def test_data_by_name_alias_and_twice(case):
    net, params, x, y = case
    by_name = gradients(net, params, x=x, y=y)
    np.testing.assert_array_equal(by_name["W1"], gradients(net, params, x, y)["W1"])
    assert "'x' was given twice" in problems(net, params, x, y, x=x)
    assert "'h0' was given twice" in problems(net, params, x, y, h0=x)
    assert "unknown data 'z'. Known: h0, y. Leave 'z' out." in problems(net, params, x, y, z=x)
    text = problems(net, params, x, y, y)
    assert text.splitlines()[1] == "  - 3 data arrays were given, the graph takes 2: ['h0', 'y']"


def test_params_must_be_a_mapping(case):
    net, _, x, y = case
    assert problems(net, [x], x, y) == "params must be a dict of arrays by name, got list"


def test_dtypes(case):
    net, params, x, y = case
    text = problems(net, {**params, "W2": params["W2"].astype(np.float32)}, x.astype(int), y)
    assert text.splitlines()[1:] == [
        "  - 'h0' has dtype int64, 'W1' has float64: use one dtype for all",
        "  - 'W2' has dtype float32, 'W1' has float64: use one dtype for all",
    ]
    whole = {k: v.astype(int) for k, v in params.items()}
    assert problems(net, whole, x.astype(int), y).startswith(
        "no floating-point array among {'h0': 'int64', 'y': 'int64',"
    )


def test_nothing_given():
    net = graph(lambda x: ops.reduce(ops.sum(x)))
    assert problems(net, {}) == "arguments: 1 problem\n  - data 'x' is missing: add it to the data"


def test_libraries_must_not_be_mixed(case):
    torch = pytest.importorskip("torch")
    net, params, x, y = case
    text = problems(net, params, torch.tensor(x), y)
    assert text.splitlines()[1] == "  - 'h0' is a torch array but 'W1' is numpy: use one library for all"


def test_batches(case):
    net, params, x, y = case
    text = problems(net, params, x[:0], y[:0])
    assert text.splitlines()[1:] == [
        "  - 'h0' is an empty batch, shape (0, 4): at least one sample is needed",
        "  - 'y' is an empty batch, shape (0,): at least one sample is needed",
    ]
    text = problems(net, params, np.asarray(1.0), y)
    assert text.splitlines()[1] == "  - 'h0' is a single number, expected one row per sample: h0[None]"
    text = problems(net, params, x[0], y[:4])
    assert text.splitlines()[1] == (
        "  - 'a1' from (h0, W1, b1): affine W h + b: h must be a vector, has feature shape ()"
    )
    text = problems(net, params, x[:, :3], y)
    assert text.splitlines()[1:] == [
        "  - 'a1' from (h0, W1, b1): affine W h + b: W has shape (5, 4), so h must have 4 features, has 3"
    ]


def test_labels(case):
    net, params, x, y = case
    assert "'y': class labels must be in [0, 3) for 3 outputs, got 3 at index 2" in problems(
        net, params, x, np.array([0, 1, 3, 0, 4, 1])
    )
    assert "'y': class labels must be integers, got dtype float64" in problems(net, params, x, y.astype(float))
    assert "softmax_cross_entropy: 3 classes need labels of shape ()" in problems(net, params, x, np.eye(4)[y])


def test_every_failing_operation_is_listed_but_not_what_follows_from_it():
    def f(x, y, *, V, c):
        u = x + c
        v = V @ x
        w = ops.tanh(u) + ops.tanh(v)
        return ops.squared_error(w, y)

    text = problems(graph(f), {"V": np.ones((2, 5)), "c": np.ones(4)}, np.ones((2, 3)), np.ones((2, 3)))
    assert text.splitlines() == [
        "arguments: 2 problems",
        "  - 'u' from (x, c): add needs equal shapes (or 1 against n), got (3,) and (4,)",
        "  - 'v' from (x, V): affine W h + b: W has shape (2, 5), so h must have 5 features, has 3",
    ]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "at"), [("h0", (2, 1)), ("W1", (4, 0)), ("b1", (3,)), ("W2", (0, 2)), ("b2", (1,))])
def test_the_array_and_the_index_of_a_non_finite_number_are_named(case, bad, name, at):
    net, params, x, y = case
    arrays = {**params, "h0": x}
    arrays[name] = arrays[name].copy()
    arrays[name][at] = bad
    x = arrays.pop("h0")
    text = problems(net, arrays, x, y, error=NonFiniteError)
    index = ", ".join(map(str, at))
    assert text == f"the array {name!r} is not finite: {name}[{index}] = {bad}"


def test_several_non_finite_numbers_are_counted(case):
    net, params, x, y = case
    x = x.copy()
    x[1, 2:] = np.nan
    assert problems(net, params, x, y, error=NonFiniteError).endswith("h0[1, 2] = nan, and 1 more of 24")


def test_a_quantity_that_overflows_is_named_although_the_inputs_are_finite():
    net = graph(lambda x: ops.reduce(ops.sum(ops.exp(x).named("e"))))
    text = problems(net, {}, np.array([[1.0, 1000.0]]), error=NonFiniteError)
    assert text == "the inputs are finite, but the quantity 'e' is not finite: e[0, 1] = inf"
    text = problems(graph(lambda *, x: ops.log(x).named("z")), {"x": np.array(-1.0)}, error=NonFiniteError)
    assert text == "the inputs are finite, but the quantity 'z' is not finite: z = nan"


def test_hidden_infinities_are_seen_although_tanh_swallows_them():
    net = graph(lambda x: ops.reduce(ops.sum(ops.tanh(x))))
    text = problems(net, {}, np.array([[1.0, np.inf]]), error=NonFiniteError)
    assert text == "the array 'x' is not finite: x[0, 1] = inf"


def test_large_but_finite_numbers_pass():
    """The cheap test adds squares, which may overflow although no element is infinite."""
    net = graph(lambda x: ops.reduce(ops.sum(x * 1e-200)))
    assert gradients(net, {}, np.full((1, 2), 1e200)).loss == 2.0


def test_no_check_when_not_wanted(case):
    net, params, x, y = case
    x = np.full_like(x, np.nan)
    assert np.isnan(gradients(net, params, x, y, check_finite=False).loss)


def test_not_a_network():
    assert problems("net", {}) == "expected a network or a graph, got str: eg.graph(f) makes one"


def test_only_what_is_asked_for_is_needed(case):
    net, params, x, _ = case
    trace = forward(net, {k: params[k] for k in ("W1", "b1")}, x, of="h1")
    assert list(trace) == ["h0", "W1", "b1", "a1", "h1"] or set(trace) == {"h0", "W1", "b1", "a1", "h1"}
    np.testing.assert_array_equal(trace["h1"], np.tanh(x @ params["W1"].T + params["b1"]))
    assert len(trace) == 5
    with pytest.raises(InputError, match=r"^'a2' was not computed in this pass: it computed"):
        trace["a2"]
    assert set(forward(net, params, x, of=["h1", "a2"])) >= {"h1", "a2"}
    with pytest.raises(InputError, match=r"^of=\(\) asks for no quantity"):
        forward(net, params, x, of=())


def test_what_fitted_once_is_still_checked_for_its_values(case):
    net, params, x, y = case
    gradients(net, params, x, y)
    assert "class labels must be in [0, 3)" in problems(net, params, x, y + 3)
    assert problems(net, params, x * np.nan, y, error=NonFiniteError).startswith("the array 'h0' is not finite")
    assert "'b1' has shape (4,), the network needs (5,)" in problems(net, {**params, "b1": np.zeros(4)}, x, y)
    gradients(net, params, x, y)


def test_a_graph_shared_by_two_networks_is_checked_for_each():
    g = graph(lambda x, *, W: ops.reduce(ops.sum((W @ x).named("a"))))
    small, large = GraphNetwork(g, "a", {"W": (2, 3)}), GraphNetwork(g, "a", {"W": (4, 3)})
    x, W = np.ones((5, 3)), np.ones((2, 3))
    gradients(small, {"W": W}, x)
    assert "'W' has shape (2, 3), the network needs (4, 3)" in problems(large, {"W": W}, x)


def test_what_is_remembered_stays_bounded():
    net = graph(lambda x: ops.reduce(ops.sum(x)))
    for n in range(1, 3 * MOST_REMEMBERED):
        gradients(net, {}, np.ones((n, 2)))
    assert len(plan(net).fits) <= MOST_REMEMBERED
