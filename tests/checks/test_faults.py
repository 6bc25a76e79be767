"""The checker is checked: planted mistakes are caught, and called by their names."""

import numpy as np
import pytest

import everygrad as eg
from everygrad.checks import check
from everygrad.graph.losses import SquaredError
from tests.checks.operations import Layer, Skip, Tanh, two_layers


def network(loss="softmax_cross_entropy", sizes=(4, 4, 4, 3), batch=5, activation="tanh", **more):
    net = eg.FeedForward(list(sizes), activation, loss, **more)
    rng = np.random.default_rng(11)
    params = {name: rng.standard_normal(w.shape) for name, w in net.init(0).items()}
    y = (
        rng.integers(0, sizes[-1], batch)
        if loss == "softmax_cross_entropy"
        else rng.standard_normal((batch, sizes[-1]))
    )
    data = [rng.standard_normal((batch, sizes[0])), y]
    if more.get("weighted"):
        data.append(rng.uniform(0.5, 2.0, batch))
    return net, params, data


def by_hand(params, x, y, mistake=None):
    """Backpropagation through the network above, written out, with a mistake of one's choice."""
    a, h, g = {}, {0: x}, {}
    for i in (1, 2, 3):
        a[i] = h[i - 1] @ params[f"W{i}"].T + params[f"b{i}"]
        h[i] = np.tanh(a[i])
    p = np.exp(a[3] - a[3].max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    e = np.eye(3)[y]
    g["a3"] = (e - p if mistake == "sign at the output" else p - e) / (1 if mistake == "1/B" else len(x))
    for i in (3, 2, 1):
        W = params[f"W{i}"]
        g[f"W{i}"] = g[f"a{i}"].T @ h[i - 1]
        g[f"b{i}"] = g[f"a{i}"].sum(0)
        g[f"h{i - 1}"] = g[f"a{i}"] @ (W.T if mistake == "W and Wᵀ" and i == 2 else W)
        if i > 1:
            slope = 1.0 - np.tanh(h[i - 1] if mistake == "g′ at h" and i == 2 else a[i - 1]) ** 2
            g[f"a{i - 1}"] = g[f"h{i - 1}"] * slope
    return g


def test_a_formula_without_mistake_is_right():
    net, params, (x, y) = network()
    result = check(net, params, x, y, gradients=by_hand(params, x, y))
    assert result.ok, result
    assert len(result.rows) == 12


@pytest.mark.parametrize(
    ("mistake", "culprit", "fault", "follow"),
    [
        ("sign at the output", "a3", "wrong sign", 11),
        ("1/B", "a3", "5 times the right gradient: the 1/B of the mean is missing (B = 5)", 11),
        ("W and Wᵀ", "h1", "W2 and its transpose are confused (∇h1 = W2ᵀ ∇a2)", 4),
        ("g′ at h", "a1", "g′ is taken at h1 instead of a1", 3),
    ],
)
def test_a_mistake_in_a_formula_and_what_follows_from_it(mistake, culprit, fault, follow):
    net, params, (x, y) = network()
    result = check(net, params, x, y, gradients=by_hand(params, x, y, mistake))
    assert not result.ok
    assert result.culprit == culprit
    assert result.row(culprit).fault == fault
    wrong = [row for row in result.rows if not row.ok and row.name != culprit]
    assert len(wrong) == follow
    assert all(row.fault.startswith("follows from ") for row in wrong)
    assert "from it" in result.verdict


def planted(net, params, data, **wrong):
    g = {name: array.copy() for name, array in eg.gradients(net, params, *data).items()}
    return check(net, params, *data, gradients={**g, **{name: change(g) for name, change in wrong.items()}})


ONE = {
    "sign": ("W2", lambda g: -g["W2"], "wrong sign"),
    "transposed": ("W2", lambda g: g["W2"].T, "transposed"),
    "zero": ("W2", lambda g: 0 * g["W2"], "it is zero: the path through a2 is dropped"),
    "bias averaged": ("b1", lambda g: g["b1"] / 5, "averaged over the samples instead of summed (B = 5)"),
    "1/B twice": ("a3", lambda g: g["a3"] / 5, "the 1/B of the mean is there twice (B = 5)"),
    "K-fold": ("W3", lambda g: 3 * g["W3"], "K times: the mean over the outputs is missing (K = 3)"),
    "1/K": ("W3", lambda g: g["W3"] / 3, "divided by the number of outputs once too often (K = 3)"),
    "two": ("a2", lambda g: 2 * g["a2"], "2 times the right gradient: a factor 1/2 is missing"),
    "half": ("a2", lambda g: g["a2"] / 2, "0.5 times the right gradient: a factor 2 is missing"),
    "any factor": ("a2", lambda g: 1.25 * g["a2"], "1.25 times the right gradient"),
    "minus two": ("a2", lambda g: -2 * g["a2"], "wrong sign, and 2 times the right gradient"),
    "swapped": ("W1", lambda g: g["W2"], "swapped: it is the gradient of W2"),
    "g′ forgotten": ("a2", lambda g: g["h2"], "g′ is forgotten"),
    "g′ twice": ("a2", lambda g: g["a2"] ** 2 / g["h2"], "g′ is applied twice"),
    "nan": ("h1", lambda g: np.where(np.arange(4) == 2, np.nan, g["h1"]), "5 of 20 entries are not finite, the first"),
}


@pytest.mark.parametrize(("name", "change", "fault"), ONE.values(), ids=ONE)
def test_one_wrong_gradient_is_caught_and_named(name, change, fault):
    net, params, data = network()
    result = planted(net, params, data, **{name: change})
    assert [row.name for row in result.rows if not row.ok] == [name]
    assert result.culprit == name
    assert fault in result.row(name).fault
    assert "local derivative" not in result.row(name).fault  # the library's own is right


def test_every_quantity_in_turn_of_the_wrong_sign():
    net, params, data = network()
    for name in eg.gradients(net, params, *data):
        result = planted(net, params, data, **{name: lambda g, name=name: -g[name]})
        assert result.culprit == name
        assert result.row(name).fault == (
            "the gradient of loss with respect to itself is 1" if name == "loss" else "wrong sign"
        )


def test_two_quantities_swapped():
    net, params, data = network()
    result = planted(net, params, data, W1=lambda g: g["W2"], W2=lambda g: g["W1"])
    assert result.culprit == "W2"  # the later layer is the first in the backward sweep
    assert result.row("W2").fault == "swapped: it is the gradient of W1"
    assert result.row("W1").fault == "swapped: it is the gradient of W2"
    assert "Wrong by itself: W1" in result.verdict


def test_the_pre_activation_in_place_of_the_activation():
    net, params, data = network()
    trace = eg.forward(net, params, *data)
    result = planted(net, params, data, W2=lambda g: g["a2"].T @ trace["a1"])
    assert result.row("W2").fault.startswith("a1 stands in place of h1")


def test_only_one_sample_in_the_sum():
    net, params, data = network()
    trace = eg.forward(net, params, *data)
    result = planted(
        net, params, data, W2=lambda g: np.outer(g["a2"][-1], trace["h1"][-1]), b2=lambda g: g["a2"][0].copy()
    )
    assert result.row("W2").fault == "only the last sample is in it: the sum over the samples is missing"
    assert result.row("b2").fault == "only the first sample is in it: the sum over the samples is missing"


def test_where_an_unknown_mistake_is():
    net, params, data = network()

    def one(g):
        wrong = g["W2"].copy()
        wrong[1, 3] += 0.5
        return wrong

    def row(g):
        wrong = g["h1"].copy()
        wrong[2] += [1.0, 2.0, -1.0, 0.5]
        return wrong

    def column(g):
        return g["a2"] + np.array([0.0, 0.3, 0.0, 0.0]) * np.arange(1, 6)[:, None]

    g = eg.gradients(net, params, *data)
    alone = planted(net, params, data, W2=one).row("W2").fault
    assert alone == f"one entry is off: [1, 3] is {g['W2'][1, 3] + 0.5:.6g}, must be {g['W2'][1, 3]:.6g}"
    assert planted(net, params, data, h1=row).row("h1").fault.startswith("only the row 2 is off, in 4 entries: [2, 1]")
    assert "only the column 1 is off, in 5 entries: [4, 1]" in planted(net, params, data, a2=column).row("a2").fault
    assert (
        "4 of 4 entries are off, no mistake" in planted(net, params, data, b1=lambda g: np.arange(4.0)).row("b1").fault
    )


SHAPES = {
    "missing transpose": (
        "W3",
        lambda g: g["W3"].T,
        "it has shape (4, 3), must have (3, 4), that of the quantity: it looks transposed",
    ),
    "sum over samples missing": ("b2", lambda g: g["a2"].copy(), "the sum over the 5 samples looks missing"),
    "summed over samples": ("a2", lambda g: g["a2"].sum(0), "it looks summed over the samples"),
    "other": ("b2", lambda g: np.zeros(9), "it has shape (9,), must have (4,)"),
}


@pytest.mark.parametrize(("name", "change", "fault"), SHAPES.values(), ids=SHAPES)
def test_a_wrong_shape_is_a_wrong_row(name, change, fault):
    net, params, data = network()
    result = planted(net, params, data, **{name: change})
    assert [row.name for row in result.rows if not row.ok] == [name]
    assert result.culprit == name
    assert fault in result.row(name).fault
    assert result.row(name).error == float("inf")


def test_sample_weights_forgotten():
    net, params, (x, y, w) = network(SquaredError(), weighted=True)
    plain = eg.gradients(eg.FeedForward([4, 4, 4, 3], loss="squared_error"), params, x, y)
    g = {name: plain[name] for name in ("a3", "h2", "W3", "W1")}
    result = check(net, params, x, y, w, gradients=g)
    assert result.culprit == "a3"
    assert "each sample has a factor of its own" in result.row("a3").fault
    sums = {"a3": eg.gradients(net, params, x, y, w)["a3"] * w.sum()}
    fault = check(net, params, x, y, w, gradients=sums).row("a3").fault
    assert f"the division by the sum of the sample weights is missing ({w.sum():.6g})" in fault


def test_k_times_the_gradient_of_ones_own_loss():
    """The mean over the outputs in the value, their sum in the derivative."""
    net, params, data = network(SquaredError(outputs="mean", half=True), activation="relu")
    other = eg.FeedForward([4, 4, 4, 3], "relu", SquaredError(outputs="sum", half=True))
    result = check(net, params, *data, gradients=dict(eg.gradients(other, params, *data)))
    assert result.culprit == "a3"
    assert result.row("a3").fault == "3 times the right gradient: K times: the mean over the outputs is missing (K = 3)"
    only = {name: g for name, g in eg.gradients(other, params, *data).items() if name[0] in "Wb"}
    result = check(net, params, *data, gradients=only)
    assert not any(row.ok for row in result.rows)
    assert all("K times" in row.fault for row in result.rows)


def skip(x, y, *, W1, W2):
    h1 = eg.ops.tanh(W1 @ x)
    a2 = W2 @ h1
    s2 = a2 + h1
    return eg.ops.squared_error(s2, y)


def skipping():
    rng = np.random.default_rng(5)
    params = {"W1": rng.standard_normal((3, 3)), "W2": rng.standard_normal((3, 3))}
    return eg.graph(skip), params, [rng.standard_normal((4, 3)), rng.standard_normal((4, 3))]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda g, W2: g["a2"] @ W2, "the path through s2 is dropped"),
        (lambda g, W2: g["s2"].copy(), "the path through a2 is dropped"),
        (lambda g, W2: g["a2"] @ W2 + 2 * g["s2"], "the path through s2 is counted twice"),
        (lambda g, W2: g["a2"] @ W2 - g["s2"], "the path through s2 has the wrong sign"),
        (lambda g, W2: g["a2"] @ W2.T + g["s2"], "W2 and its transpose are confused (∇h1 = W2ᵀ ∇a2)"),
    ],
)
def test_a_path_of_a_skip_connection(change, fault):
    graph, params, data = skipping()
    g = eg.gradients(graph, params, *data)
    result = check(graph, params, *data, gradients={**g, "h1": change(g, params["W2"])})
    assert result.culprit == "h1"
    assert result.row("h1").fault == fault


@pytest.mark.parametrize(
    ("mistake", "fault"),
    [
        ("sign", "wrong sign"),
        ("at_h", "g′ is taken at h1 instead of a1"),
        ("forgotten", "g′ is forgotten (∇a1 = ∇h1 ⊙ g′(a1))"),
        ("twice", "g′ is applied twice (∇a1 = ∇h1 ⊙ g′(a1))"),
        ("value", "g stands in place of g′ (∇a1 = ∇h1 ⊙ g′(a1))"),
        ("third", "3 times the right gradient"),
    ],
)
@pytest.mark.parametrize("oracle", ["complex", "difference"])
def test_an_operation_with_a_wrong_local_derivative(mistake, fault, oracle):
    graph, params, data = two_layers(Tanh(mistake))
    result = check(graph, params, *data, oracle=oracle)
    assert result.culprit == "a1"
    blamed = f" (the local derivative of the operation 'tanh_{mistake}' in h1 with respect to a1 is wrong)"
    assert result.row("a1").fault == fault + blamed
    assert {row.name for row in result.rows if not row.ok} >= {"a1", "b1", "W1", "x"}
    assert all(result.row(name).fault.startswith("follows from ") for name in ("b1", "W1", "x"))
    assert all(result.row(name).ok for name in ("a2", "h1", "W2"))


def layered(mistake):
    def f(x, y, *, W1, W2):
        h1 = eg.ops.tanh(W1 @ x)
        a2 = eg.ops.apply(Layer(mistake), h1, W2)
        return eg.ops.squared_error(a2, y)

    rng = np.random.default_rng(5)
    params = {"W1": rng.standard_normal((3, 3)), "W2": rng.standard_normal((3, 3))}
    return eg.graph(f), params, [rng.standard_normal((4, 3)), rng.standard_normal((4, 3))]


def test_an_operation_that_confuses_its_matrix_with_the_transpose():
    graph, params, data = layered("transpose")
    result = check(graph, params, *data)
    assert result.culprit == "h1"
    assert result.row("h1").fault.startswith(
        "W2 and its transpose are confused (∇h1 = W2ᵀ ∇a2) (the local derivative of"
    )
    assert result.row("W2").ok


def test_an_operation_with_a_wrong_derivative_by_its_weight():
    graph, params, data = layered("twice")
    result = check(graph, params, *data)
    assert [row.name for row in result.rows if not row.ok] == ["W2"]
    assert "2 times the right gradient" in result.row("W2").fault
    assert "the operation 'layer_twice' in a2 with respect to W2" in result.row("W2").fault


def test_an_operation_that_drops_a_path():
    def f(x, y, *, W1):
        h1 = eg.ops.tanh(W1 @ x)
        v = h1 * h1
        s = eg.ops.apply(Skip(), h1, v)
        return eg.ops.squared_error(s, y)

    rng = np.random.default_rng(5)
    data = [rng.standard_normal((4, 3)), rng.standard_normal((4, 3))]
    result = check(eg.graph(f), {"W1": rng.standard_normal((3, 3))}, *data)
    assert result.culprit == "h1"
    assert result.row("h1").fault.startswith(
        "the path through s is dropped (the local derivative of the operation 'skip'"
    )


def test_the_same_wrong_operation_twice_is_blamed_twice():
    def f(x, y, *, W1, W2, W3):
        a1 = W1 @ x
        h1 = eg.ops.apply(Tanh("at_h"), a1)
        a2 = W2 @ h1
        h2 = eg.ops.apply(Tanh("at_h"), a2)
        return eg.ops.squared_error(W3 @ h2, y)

    rng = np.random.default_rng(5)
    params = {name: rng.standard_normal((3, 3)) for name in ("W1", "W2", "W3")}
    result = check(eg.graph(f), params, rng.standard_normal((4, 3)), rng.standard_normal((4, 3)))
    assert result.culprit == "a2"
    assert all("g′ is taken at" in result.row(name).fault for name in ("a1", "a2"))
    assert result.row("h1").fault == "follows from a2"


def test_a_wrong_entry_in_a_quantity_too_large_to_see_whole():
    net, params, data = network(sizes=(30, 20, 3))
    g = {name: array.copy() for name, array in eg.gradients(net, params, *data).items()}
    g["W1"][7, 5] += 1.0
    result = check(net, params, *data, gradients=g, limit=100)
    assert result.culprit == "W1"
    assert "one entry is off: [7, 5]" in result.row("W1").fault
