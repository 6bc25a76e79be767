import numpy as np
import pytest

from everygrad.backprop import Gradients, backward, contributions, forward, gradients
from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError, NonFiniteError, UnknownNameError
from everygrad.graph import graph, ops
from everygrad.networks import FeedForward
from tests.backprop.oracle import by_loops


def setup(sizes=(4, 5, 3), activation="tanh", B=6, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    net = FeedForward(list(sizes), activation=activation)
    params = {k: (v + 0.1 * rng.normal(size=v.shape)).astype(dtype) for k, v in net.init(seed, dtype).items()}
    x = rng.normal(size=(B, sizes[0])).astype(dtype)
    return net, params, x, rng.integers(0, sizes[-1], B)


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
@pytest.mark.parametrize("sizes", [(4, 5, 3), (3, 2), (1, 1, 1), (2, 3, 3, 3, 2)], ids=str)
@pytest.mark.parametrize("B", [1, 6])
def test_every_quantity_against_plain_loops(sizes, activation, B):
    net, params, x, y = setup(sizes, activation, B)
    g = gradients(net, params, x, y)
    loss, reference = by_loops(params, x, y, activation)
    assert_close(g.loss, np.asarray(loss))
    assert set(g) == set(reference) | {"loss"}
    for name, value in reference.items():
        assert_close(g[name], value, name=name)
    assert g["loss"] == 1.0


def test_float32_stays_float32_and_is_close():
    net, params, x, y = setup((8, 16, 16, 4), B=9)
    wide = gradients(net, params, x, y)
    narrow = gradients(net, {k: v.astype(np.float32) for k, v in params.items()}, x.astype(np.float32), y)
    for name in wide:
        assert narrow[name].dtype == np.float32
        assert_close(narrow[name], wide[name], 1e-5, name)
    assert narrow.loss.dtype == np.float32


def test_two_backward_calls_give_the_same_bits():
    net, params, x, y = setup()
    trace = forward(net, params, x, y)
    first, second = backward(trace), backward(trace)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_arguments_are_not_written_to():
    net, params, x, y = setup()
    copies = {k: v.copy() for k, v in params.items()}, x.copy(), y.copy()
    gradients(net, params, x, y)
    for k, v in copies[0].items():
        np.testing.assert_array_equal(params[k], v)
    np.testing.assert_array_equal(x, copies[1])
    np.testing.assert_array_equal(y, copies[2])


def residual(x, y, *, W1, W2, c):
    a1 = W1 @ x
    h1 = ops.tanh(a1)
    a2 = W2 @ h1 + x  # one path through the weights, one around them
    gated = a2 * c * x
    return ops.squared_error(gated, y)


def residual_case(B=3, n=4):
    rng = np.random.default_rng(5)
    params = {"W1": rng.normal(size=(n, n)), "W2": rng.normal(size=(n, n)), "c": rng.normal(size=n)}
    return graph(residual), params, rng.normal(size=(B, n)), rng.normal(size=(B, n))


def test_a_skip_connection_adds_its_path():
    net, params, x, y = residual_case()
    g = gradients(net, params, x, y)
    W1, W2, c = params["W1"], params["W2"], params["c"]
    for n in range(len(x)):
        h = np.tanh(W1 @ x[n])
        a2 = W2 @ h + x[n]
        out = a2 * c * x[n]
        d_out = 2 * (out - y[n]) / len(x)
        d_a2 = d_out * c * x[n]
        d_x = W1.T @ (W2.T @ d_a2 / np.cosh(W1 @ x[n]) ** 2) + d_a2 + d_out * a2 * c
        assert_close(g["x"][n], d_x)
        assert_close(g["a2"][n], d_a2)
    assert_close(g["y"], -g["gated"])


def test_contributions_are_the_terms_of_rule_1():
    net, params, x, y = residual_case()
    g = gradients(net, params, x, y)
    assert list(contributions(g, "x")) == ["a1", "a2", "gated"]
    for name in g:
        terms = contributions(g, name)
        if name == g.of:
            assert terms == {}
        else:
            assert_close(sum(terms.values()), g[name], name=name)
    assert_close(contributions(g, "x")["a2"], g["a2"])
    assert_close(contributions(g, "x")["a1"], g["a1"] @ params["W1"])


def test_a_consumer_that_uses_a_quantity_twice_is_listed_twice():
    def f(x):
        h = x * x
        return ops.reduce(ops.sum(h), reduction="sum")

    x = np.array([[2.0, -3.0]])
    terms = contributions(gradients(graph(f), {}, x), "x")
    assert list(terms) == ["h", "h (2)"]
    for term in terms.values():
        np.testing.assert_array_equal(term, x)


def test_tied_weights_collect_both_uses():
    def f(x, *, W):
        return ops.squared_error(W.T @ ops.tanh(W @ x), x)

    rng = np.random.default_rng(0)
    W, x = rng.normal(size=(2, 3)), rng.normal(size=(4, 3))
    g = gradients(graph(f), {"W": W}, x)

    def loss(W):
        return np.mean(np.sum((np.tanh(x @ W.T) @ W - x) ** 2, 1))

    reference = np.zeros_like(W)
    for at in np.ndindex(W.shape):
        moved = W.astype(complex)
        moved[at] += 1e-30j
        reference[at] = loss(moved).imag / 1e-30
    assert_close(g["W"], reference)


def test_reduction_none_gives_each_sample_its_own_gradient():
    def f(x, y, *, W):
        return ops.softmax_cross_entropy(W @ x, y, reduction="none")

    rng = np.random.default_rng(0)
    W, x, y = rng.normal(size=(3, 2)), rng.normal(size=(4, 2)), np.array([0, 1, 2, 0])
    g = gradients(graph(f), {"W": W}, x, y)
    assert g.loss.shape == (4,)
    for n in range(4):
        alone = gradients(graph(f), {"W": W}, x[n : n + 1], y[n : n + 1])
        assert_close(g["x"][n], alone["x"][0])
    assert str(g).splitlines()[0] == f"loss = 4 values, sum {g.loss.sum():.6g}"


def test_a_seed_makes_a_vector_jacobian_product():
    net, params, x, _ = setup()
    trace = forward(net, params, x, of="a2")
    seed = np.random.default_rng(1).normal(size=trace["a2"].shape)
    g = backward(trace, of="a2", seed=seed)
    assert_close(g["h1"], seed @ params["W2"])
    assert_close(g["W2"], seed.T @ trace["h1"])
    with pytest.raises(InputError, match=r"^'a2' is not one number but has shape \(6, 3\): give seed="):
        backward(trace, of="a2")
    message = r"^seed has shape \(6, 2\) and dtype float64, must be like 'a2': \(6, 3\), float64$"
    with pytest.raises(InputError, match=message):
        backward(trace, of="a2", seed=seed[:, :2])
    with pytest.raises(InputError, match="dtype float32, must be like"):
        backward(trace, of="a2", seed=seed.astype(np.float32))


def test_what_the_loss_does_not_depend_on_has_gradient_zero():
    def f(x, unused, *, W, alone):
        return ops.reduce(ops.sum(W @ x))

    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(2, 3)), rng.normal(size=(1, 3))
    g = gradients(graph(f), {"W": W}, x)
    assert list(g) == ["x", "W", "affine_1", "sum_1", "loss"]

    def cut(x, *, W):
        return ops.reduce(ops.sum(0 * (W @ x)))

    g = gradients(graph(cut), {"W": W}, x)
    np.testing.assert_array_equal(g["W"], np.zeros((1, 3)))


def test_the_gradient_of_a_target_that_enters_with_whole_numbers_is_refused():
    net, params, x, y = setup()
    g = gradients(net, params, x, y)
    with pytest.raises(InputError, match=r"^'y' has no gradient: it is not on the way to 'loss', or made of whole"):
        g["y"]
    with pytest.raises(UnknownNameError, match="Did you mean 'h1'"):
        g["h11"]
    h = gradients(graph(lambda x: ops.reduce(2 * ops.sum(x))), {}, x)
    with pytest.raises(
        InputError, match=r"^'constant_1' has no gradient: it is a constant\. Those that have: x, sum_1"
    ):
        h["constant_1"]


def test_the_record_is_a_mapping_with_aliases_and_a_table():
    net, params, x, y = setup((4, 5, 3), B=6)
    g = gradients(net, params, x, y)
    assert isinstance(g, Gradients)
    assert list(g) == ["h0", "W1", "b1", "a1", "h1", "W2", "b2", "a2", "loss"]
    assert len(g) == 9
    assert g["x"] is g["h0"]
    rows = {name: (role, shape, size) for name, role, shape, size in g.rows()}
    assert rows["W1"][:2] == ("parameter", (5, 4))
    assert rows["h0"][:2] == ("data", (6, 4))
    assert rows["a1"][:2] == ("quantity", (6, 5))
    assert rows["W1"][2] == pytest.approx(np.sqrt(sum(v * v for v in g["W1"].ravel().tolist())), rel=1e-14)
    lines = str(g).splitlines()
    assert lines[0] == f"loss = {g.loss:.6g}"
    assert lines[1].split() == ["quantity", "shape", "norm", "of", "gradient"]
    assert set(lines[2]) == {"-"}
    assert lines[4].split() == ["W1", "5", "x", "4", f"{rows['W1'][2]:.4g}"]
    assert lines[-1].split() == ["loss", "number", "1"]
    assert repr(g) == f"Gradients(loss = {g.loss:.6g}; {', '.join(g)})"


def test_the_html_table_escapes_names():
    g = gradients(graph(lambda x: {"<b>": ops.reduce(ops.sum(x))}), {}, np.ones((1, 2)))
    html = g._repr_html_()
    assert html.startswith("<table><caption>&lt;b&gt; = 2</caption>")
    assert "<td>&lt;b&gt;</td><td>number</td><td>1</td>" in html
    assert "<b>" not in html
    assert html.count("<tr>") == 1 + len(g)


def test_ten_thousand_layers_deep():
    def f(x, *, c):
        h = x
        for _ in range(5_000):
            h = ops.tanh(h + c)
        return ops.reduce(ops.sum(h))

    x, c = np.array([[0.3]]), np.array([0.01])
    g = gradients(graph(f), {"c": c}, x)
    h, slope_x, slope_c = 0.3, 1.0, 0.0
    for _ in range(5_000):
        h = np.tanh(h + 0.01)
        factor = 1 / np.cosh(np.arctanh(h)) ** 2
        slope_x, slope_c = slope_x * factor, (slope_c + 1) * factor
    assert_close(g["c"], np.array([slope_c]), 1e-12)
    assert abs(g["x"][0, 0] - slope_x) < 1e-12


def test_a_gradient_that_is_not_finite_names_the_quantity():
    net = graph(lambda x: ops.reduce(ops.sum(ops.sqrt(x))))
    with pytest.raises(NonFiniteError) as error:
        gradients(net, {}, np.array([[1.0, 0.0]]))
    assert str(error.value) == "all values are finite, but the gradient of 'x' is not finite: x[0, 1] = inf"
    g = gradients(net, {}, np.array([[1.0, 0.0]]), check_finite=False)
    np.testing.assert_array_equal(g["x"], [[0.5, np.inf]])
