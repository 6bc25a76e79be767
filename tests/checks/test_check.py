"""Right networks are found right, to 1e-13, by every oracle, with nothing left out."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import everygrad as eg
from everygrad.checks import check
from everygrad.checks.tolerance import DIFFERENCE, EXACT, FRAMEWORK, SINGLE, assert_close
from everygrad.errors import InputError
from everygrad.graph import ELEMENTWISE
from everygrad.graph.losses import BinaryCrossEntropy, SoftmaxCrossEntropy, SquaredError
from tests.checks.operations import Centre, Smooth, Tanh, numbers, two_layers

POSITIVE = {"log", "sqrt", "power"}
REDUCTIONS = ("mean", "sum", "none")


def right(result, tol: float = EXACT) -> float:
    """Every row is right without the help of the rounding clause; the largest error."""
    assert result.ok, result
    assert result.culprit is None
    assert all(row.fault is None and "cancel" not in row.how for row in result.rows)
    worst = max(row.error for row in result.rows)
    assert worst <= tol, result
    return worst


@pytest.mark.parametrize("activation", sorted(ELEMENTWISE))
def test_every_activation(activation):
    rng = np.random.default_rng(1)
    net = eg.FeedForward([4, 6, 5, 3], activation=activation)
    params, x, y = numbers(net, rng, 4)
    if activation in POSITIVE:  # positive weights and data keep a positive; log needs h > 0 too
        params, x = {name: 1.0 + np.abs(w) for name, w in params.items()}, 1.0 + np.abs(x)
    result = check(net, params, x, y)
    right(result)
    assert [row.name for row in result.rows] == list(eg.gradients(net, params, x, y))[:-1]
    assert all(row.checked == int(np.prod(row.shape)) for row in result.rows)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "elu", "gelu", "gelu_tanh", "silu", "softplus"])
def test_saturated_units(activation):
    """Pre-activations up to ±30 and beyond: 1 − h² would have no digit left."""
    net = eg.FeedForward([2, 6, 3], activation=activation)
    params, x, y = numbers(net, np.random.default_rng(2), 4)
    params["W1"] *= 0.0
    params["b1"] = np.array([-33.0, -30.0, -15.0, 12.0, 29.0, 34.0])
    result = check(net, params, x, y, quantities=["h1", "a1", "b1", "W1"])
    right(result)
    each = eg.gradients(net, params, x, y)["a1"]
    for unit in range(6):  # each alone, so that the large slopes do not hide the small ones
        params["b1"] = np.full(6, [-33.0, -30.0, -15.0, 12.0, 29.0, 34.0][unit])
        right(check(net, params, x, y, quantities=["a1", "b1"]))
    assert np.isfinite(each).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("confident", [1.0, 50.0])
@pytest.mark.parametrize("kind", ["labels", "distributions", "smoothed", "binary", "hard", "mean", "squared", "half"])
def test_every_loss(reduction, weighted, confident, kind):
    rng = np.random.default_rng(3)
    loss = {
        "labels": SoftmaxCrossEntropy(reduction),
        "distributions": SoftmaxCrossEntropy(reduction),
        "smoothed": SoftmaxCrossEntropy(reduction, smoothing=0.1),
        "binary": BinaryCrossEntropy(reduction),
        "hard": BinaryCrossEntropy(reduction),
        "mean": SquaredError(reduction, outputs="mean"),
        "squared": SquaredError(reduction),
        "half": SquaredError(reduction, half=True),
    }[kind]

    def f(z, y, w, *, c):
        scaled = z * c
        return eg.ops.apply(loss, scaled, y, *([w] if weighted else []))

    z = rng.permutation(np.linspace(-1.0, 1.0, 15)).reshape(5, 3)
    z[0] = [1.0, -1.0, 0.9]
    y = rng.uniform(0.0, 1.0, (5, 3))
    if kind == "labels":
        y = rng.integers(0, 3, 5)
    elif kind in ("distributions", "smoothed"):
        y = rng.dirichlet(np.ones(3), 5)
    elif kind == "hard":
        y = (y > 0.5).astype(float)
    w = rng.uniform(0.1, 2.0, 5)
    result = check(eg.graph(f), {"c": np.array([confident])}, z, y, *([w] if weighted else []))
    right(result)
    names = {row.name for row in result.rows}
    assert ("y" in names) == (kind != "labels")
    assert ("w" in names) == weighted


def test_a_confident_network_that_is_right_and_one_that_is_wrong():
    for label in (0, 1):
        net = eg.FeedForward([2, 2])
        params = {"W1": np.array([[50.0, 0.0], [0.0, -50.0]]), "b1": np.zeros(2)}
        result = check(net, params, np.array([[1.0, 1.0]]), np.array([label]))
        right(result)
        expected = np.exp(-100.0) if label == 0 else 1.0
        assert result.row("a1").norm == pytest.approx(np.sqrt(2.0) * expected, rel=1e-12)


@st.composite
def networks(draw):
    depth = draw(st.integers(0, 3))
    sizes = draw(st.lists(st.integers(1, 5), min_size=depth + 2, max_size=depth + 2))
    names = ["tanh", "sigmoid", "relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "softplus", "sin", "identity"]
    activation = draw(st.lists(st.sampled_from(names), min_size=depth, max_size=depth))
    reduction = draw(st.sampled_from(REDUCTIONS))
    loss = draw(st.sampled_from([SoftmaxCrossEntropy, BinaryCrossEntropy, SquaredError]))
    return sizes, activation, loss, reduction, draw(st.booleans())


def build(drawn):
    """Outside the strategy, where the type checker of the tests may use the random module."""
    sizes, activation, loss, reduction, bias = drawn
    return eg.FeedForward(sizes, activation, loss(reduction), bias=bias)


@given(networks(), st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=50)
@example(([1, 1], [], SquaredError, "mean", True), 1, 0)
@example(([3, 1, 1, 2], ["tanh", "relu"], SoftmaxCrossEntropy, "mean", True), 1, 7)
@example(([2, 1], [], SoftmaxCrossEntropy, "mean", True), 3, 7)  # one class: the loss is always zero
def test_any_network(drawn, batch, seed):
    net = build(drawn)
    result = check(net, *numbers(net, np.random.default_rng(seed), batch))
    assert result.ok, result
    for row in result.rows:
        assert row.error <= EXACT or "cancel" in row.how  # the sum over the samples of a saturated layer


@given(networks(), st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=15)
def test_float32_is_compared_with_double(drawn, batch, seed):
    net = build(drawn)
    params, x, y = numbers(net, np.random.default_rng(seed), batch)
    single = {name: w.astype(np.float32) for name, w in params.items()}
    result = check(net, single, x.astype(np.float32), y.astype(np.float32) if y.dtype.kind == "f" else y)
    assert result.ok, result
    assert {row.tolerance for row in result.rows} == {SINGLE}


def test_the_reference_of_float32_is_that_of_the_same_numbers_in_double():
    net = eg.FeedForward([3, 5, 2])
    params, x, y = numbers(net, np.random.default_rng(0), 4)
    single, x32 = {name: w.astype(np.float32) for name, w in params.items()}, x.astype(np.float32)
    exact = eg.gradients(net, {n: w.astype(np.float64) for n, w in single.items()}, x32.astype(np.float64), y)
    result = check(net, single, x32, y, gradients=dict(exact), tol=1e-13)
    assert result.ok, result


def skip(x, y, *, W1, W2):
    a1 = W1 @ x
    h1 = eg.ops.tanh(a1)
    a2 = W2 @ h1 + h1 + x
    h2 = eg.ops.concatenate(a2[1:], h1[0], a2)
    return eg.ops.squared_error(h2 * h2, y)


def test_a_graph_of_ones_own_with_skip_connections():
    rng = np.random.default_rng(0)
    params = {"W1": rng.standard_normal((3, 3)), "W2": rng.standard_normal((3, 3))}
    x, y = rng.standard_normal((4, 3)), rng.standard_normal((4, 6))
    result = check(eg.graph(skip), params, x, y)
    right(result)
    assert {"x", "a1", "h1", "a2", "h2", "y", "W1", "W2"} <= {row.name for row in result.rows}
    right(check(eg.graph(skip), params, x, y, oracle="difference"), DIFFERENCE)


def test_tied_weights_and_a_formula_without_samples():
    def f(x, *, W, c):
        h = eg.ops.sin(W @ x)
        r = W.T @ h - x
        return eg.ops.reduce(eg.ops.dot(r, r) * c**3 / (1 + eg.ops.exp(-c)))

    rng = np.random.default_rng(0)
    right(check(eg.graph(f), {"W": rng.standard_normal((2, 5)), "c": np.array(0.7)}, rng.standard_normal((3, 5))))

    def z(*, x):
        return eg.ops.log(x**2 * x**3)

    result = check(eg.graph(z), {"x": np.array(2.0)})
    right(result)
    assert result.row("x").norm == pytest.approx(2.5, rel=1e-15)


def test_a_users_own_operation():
    graph, params, data = two_layers(Tanh("right"))
    right(check(graph, params, *data))
    right(check(graph, params, *data, oracle="difference"), DIFFERENCE)


def test_finite_differences():
    net = eg.FeedForward([3, 5, 4, 2], activation="sigmoid")
    result = check(net, *numbers(net, np.random.default_rng(0), 6), oracle="difference")
    assert 1e-15 < right(result, DIFFERENCE) < 1e-10
    assert result.oracle == "finite differences"


def test_the_relu_at_zero():
    """The complex step takes relu′(0) = 0; differences straddle the kink, leave the entries out, and say so."""
    net = eg.FeedForward([2, 3, 2], activation="relu")
    params, x, y = numbers(net, np.random.default_rng(0), 4)
    x[0] = 0.0
    params["b1"] = np.array([0.0, 1.0, -1.0])
    assert eg.gradients(net, params, x, y)["a1"][0, 0] == 0.0
    right(check(net, params, x, y))
    result = check(net, params, x, y, oracle="difference")
    right(result, DIFFERENCE)
    assert result.row("a1").how == "11 of 12 entries; 1 left out, at a kink or lost in rounding"
    assert result.row("h1").how == "all 12 entries"
    broken = dict(eg.gradients(net, params, x, y))
    broken["a1"] = broken["a1"] * np.where(np.arange(3) == 1, 1.5, 1.0)
    assert check(net, params, x, y, gradients=broken, oracle="difference").culprit == "a1"


def test_a_mapping_and_a_function_as_oracle():
    net = eg.FeedForward([3, 4, 2])
    params, x, y = numbers(net, np.random.default_rng(0), 5)
    g = eg.gradients(net, params, x, y)
    result = check(net, params, x, y, oracle={"W1": g["W1"], "x": g["h0"]})
    assert [(row.name, row.tolerance) for row in result.rows] == [("h0", FRAMEWORK), ("W1", FRAMEWORK)]
    assert result.ok
    assert result.oracle == "oracle given"

    def twice(trace):
        assert_close(trace["a1"], g.trace["a1"])
        return {"W2": 2.0 * g["W2"]}

    assert check(net, params, x, y, oracle=twice).culprit == "W2"


def test_torch_as_oracle():
    torch = pytest.importorskip("torch")
    net = eg.FeedForward([3, 4, 2])
    params, x, y = numbers(net, np.random.default_rng(0), 5)

    def autograd(trace):
        leaves = {name: torch.tensor(trace[name], requires_grad=True) for name in ("W1", "b1", "W2", "b2", "h0")}
        a1 = leaves["h0"] @ leaves["W1"].T + leaves["b1"]
        a2 = torch.tanh(a1) @ leaves["W2"].T + leaves["b2"]
        torch.nn.functional.cross_entropy(a2, torch.tensor(y)).backward()
        return {name: leaf.grad for name, leaf in leaves.items()}

    assert len(check(net, params, x, y, oracle=autograd).rows) == 5
    assert check(net, params, x, y, oracle=autograd).ok


def test_a_network_of_torch_tensors():
    torch = pytest.importorskip("torch")
    net = eg.FeedForward([3, 4, 2])
    params, x, y = numbers(net, np.random.default_rng(0), 5)
    tensors = {name: torch.tensor(w) for name, w in params.items()}
    right(check(net, tensors, torch.tensor(x), torch.tensor(y)))


def test_a_large_quantity_is_sampled_and_one_wrong_entry_is_still_seen():
    net = eg.FeedForward([24, 20, 3])
    params, x, y = numbers(net, np.random.default_rng(0), 6)
    only = {"quantities": ["W1", "W2", "h0"], "limit": 300}
    calls = []
    result = check(net, params, x, y, progress=lambda *call: calls.append(call), **only)
    right(result)
    assert result.row("W1").how == "256 of 480 entries and 8 directions"
    assert result.row("W1").checked == 256
    assert [result.row(name).how for name in ("h0", "W2")] == ["all 144 entries", "all 60 entries"]
    assert ("W1", 1, 256) in calls
    assert [call for call in calls if call[1] == call[2]] == [("h0", 144, 144), ("W1", 256, 256), ("W2", 60, 60)]
    assert check(net, params, x, y, **only).rows == result.rows
    g = dict(eg.gradients(net, params, x, y))
    for position in (0, 211, 479):
        wrong = g["W1"].copy()
        wrong.reshape(-1)[position] += 1e-6 * np.linalg.norm(wrong)
        seen = check(net, params, x, y, gradients={**g, "W1": wrong}, quantities=["W1"], limit=20)
        assert seen.row("W1").how == "20 of 480 entries and 8 directions"
        assert seen.culprit == "W1"
        assert 1e-7 < seen.row("W1").error < 1e-5
    assert check(net, params, x, y, quantities=["W1"], limit=20, oracle="difference").ok


def test_samples_that_an_operation_mixes_are_noticed():
    """Centre subtracts the mean over the batch: its local derivative is wrong, however right each sample looks."""
    graph, params, data = two_layers(Centre())
    result = check(graph, params, *data)
    assert result.culprit == "a1"
    h1 = eg.gradients(graph, params, *data)["h1"]
    expected = h1 - h1.mean(axis=0)
    fixed = {**eg.gradients(graph, params, *data), "a1": expected, "b1": expected.sum(0), "W1": expected.T @ data[0]}
    assert check(graph, params, *data, gradients=fixed, quantities=["W1", "a1", "h1"], tol=1e-13).ok


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("abs", "gives real numbers for complex input"),
        ("conj", "no finite difference confirms"),
        ("real", "another real part"),
        ("refuses", "does not take NumPy arrays of these dtypes"),
    ],
)
def test_an_operation_that_the_complex_step_cannot_see_through(how, message):
    graph, params, data = two_layers(Smooth(how))
    with pytest.raises(InputError, match=f"'h1': the operation 'smooth_{how}' .*{message}.*oracle='difference'"):
        check(graph, params, *data)
    right(check(graph, params, *data, oracle="difference"), DIFFERENCE)
    g = eg.gradients(graph, params, *data)
    if how != "refuses":  # an oracle of one's own needs no complex numbers, nor do the faults
        assert check(graph, params, *data, gradients={"a1": -g["a1"]}, oracle=g).row("a1").fault == "wrong sign"


def test_terms_that_cancel_are_not_called_wrong():
    """At the minimum of a regression the gradient is rounding; a wrong sign a little away from it is still seen."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 3)), rng.standard_normal((50, 2))
    net = eg.FeedForward([3, 2], loss="squared_error", bias=False)
    best = np.linalg.lstsq(x, y, rcond=None)[0].T
    result = check(net, {"W1": best}, x, y)
    assert result.ok, result
    assert result.row("W1").norm < 1e-14
    assert "its terms cancel" in result.row("W1").how
    near = {"W1": best + 1e-9}
    assert check(net, near, x, y).ok
    g = eg.gradients(net, near, x, y)
    wrong = check(net, near, x, y, gradients={"W1": -g["W1"]})
    assert wrong.row("W1").fault == "wrong sign"


def test_a_gradient_that_is_zero_by_symmetry_is_not_called_wrong():
    """One sample, a weighted mean: (ℓ − L) / w is zero, which the oracle finds but for its own rounding."""
    net = eg.FeedForward([5, 3], loss="squared_error", weighted=True)
    for seed in range(8):
        params, x, y = numbers(net, np.random.default_rng(seed), 1)
        result = check(net, params, 5.0 * x, y, np.array([0.3 + 0.1 * seed]))
        assert result.ok, result
        assert result.row("weight").norm == 0.0


def test_gradients_that_vanish_are_compared_to_the_end():
    """Thirty saturated layers: 1e-250, far below what an absolute step would see."""
    net = eg.FeedForward([2] * 31, loss="squared_error")
    params = net.init(0)
    for name in params:
        params[name] = params[name] * 0.5 + (10.0 if name[0] == "b" else 0.0)
    result = check(net, params, np.ones((2, 2)), np.ones((2, 2)))
    right(result)
    assert 0.0 < result.row("W1").norm < 1e-200
