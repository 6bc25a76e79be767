import numpy as np
import pytest
import torch

from everygrad.backprop import gradients, jacobian
from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError, UnknownNameError, UnsupportedError
from everygrad.graph import graph, ops
from everygrad.jacobians import Dense, Diagonal, Identity, Row, Weight, Zero
from everygrad.networks import FeedForward

NET = FeedForward([4, 5, 3, 2], activation=["tanh", "softplus"])
RNG = np.random.default_rng(0)
PARAMS = {k: v + 0.1 * RNG.normal(size=v.shape) for k, v in NET.init(0).items()}
X, Y = RNG.normal(size=(6, 4)), RNG.integers(0, 2, 6)


def torch_forward(x, params):
    """Every quantity of one sample, in torch."""
    q = {"h0": x}
    h = x
    for i, g in ((1, torch.tanh), (2, torch.nn.functional.softplus), (3, None)):
        q[f"a{i}"] = params[f"W{i}"] @ h + params[f"b{i}"]
        h = q[f"h{i}"] = g(q[f"a{i}"]) if g else q[f"a{i}"]
    return q


def continued(v, name, params):
    """The later quantities from a hidden one on."""
    q = {name: v}
    kind, i = name[0], int(name[1:])
    gs = {1: torch.tanh, 2: torch.nn.functional.softplus}
    h = v if kind == "h" else gs[i](v)
    q[f"h{i}"] = h
    for j in range(i + 1, 4):
        q[f"a{j}"] = params[f"W{j}"] @ h + params[f"b{j}"]
        h = q[f"h{j}"] = gs[j](q[f"a{j}"]) if j in gs else q[f"a{j}"]
    return q


T = {k: torch.tensor(v) for k, v in PARAMS.items()}


@pytest.mark.parametrize("of", ["a1", "h1", "a2", "h2", "a3"])
@pytest.mark.parametrize("wrt", ["h0", "a1", "h1", "a2", "W1", "b1", "W2", "b3"])
def test_every_pair_against_jacrev(of, wrt):
    order = ["h0", "W1", "b1", "a1", "h1", "W2", "b2", "a2", "h2", "W3", "b3", "a3"]
    J = jacobian(NET, PARAMS, X, of=of, wrt=wrt) if order.index(wrt) <= order.index(of) else None
    if J is None:
        return
    dense = np.broadcast_to(J.dense(), (len(X), *J.out_shape, *J.in_shape))
    for n in range(len(X)):
        x = torch.tensor(X[n])
        if wrt in PARAMS:
            reference = torch.func.jacrev(lambda p, x=x: torch_forward(x, {**T, wrt: p})[of])(T[wrt])
        elif wrt == "h0":
            reference = torch.func.jacrev(lambda v: torch_forward(v, T)[of])(x)
        else:
            reference = torch.func.jacrev(lambda v: continued(v, wrt, T)[of])(torch_forward(x, T)[wrt])
        assert_close(dense[n], reference, 1e-12, f"d{of}/d{wrt}")


def test_products_of_the_chain():
    trace_free = {
        name: jacobian(NET, PARAMS, X, of=name[0], wrt=name[1]) for name in [("a3", "h2"), ("h2", "a2"), ("a2", "h1")]
    }
    product = trace_free["a3", "h2"] @ trace_free["h2", "a2"] @ trace_free["a2", "h1"]
    assert_close(product.dense(), jacobian(NET, PARAMS, X, of="a3", wrt="h1").dense())


def test_the_structure_is_kept():
    J = jacobian(NET, PARAMS, X, of="h1", wrt="W1")
    assert isinstance(J, Weight)
    assert isinstance(J.M, Diagonal)
    assert J.stored == len(X) * (5 + 4)
    J = jacobian(NET, PARAMS, X, of="h2", wrt="W1")
    assert isinstance(J, Weight)
    assert isinstance(J.M, Dense)
    assert J.stored == len(X) * (3 * 5 + 4)
    assert isinstance(jacobian(NET, PARAMS, X, of="h1", wrt="a1"), Diagonal)
    assert isinstance(jacobian(NET, PARAMS, X, of="a2", wrt="a2"), Identity)
    assert jacobian(NET, PARAMS, X, of="a2", wrt="h1").A is PARAMS["W2"]


def test_a_sparse_tensor_of_d_1024_stores_two_vectors():
    net = FeedForward([1024, 1024, 2])
    J = jacobian(net, net.init(0), np.ones((1, 1024)), of="h1", wrt="W1")
    assert J.stored == 2 * 1024
    h = np.tanh(net.init(0)["W1"] @ np.ones(1024))
    assert_close(J[3, 3, 7], np.array([1 - h[3] ** 2]))
    assert J[3, 4, 7] == 0


def test_the_loss_with_respect_to_samples_and_parameters():
    g = gradients(NET, PARAMS, X, Y)
    J = jacobian(NET, PARAMS, X, Y, of="loss", wrt="h2")
    assert isinstance(J, Row)
    assert_close(J.dense(), g["h2"])
    for name in ("W1", "b2", "W3"):
        J = jacobian(NET, PARAMS, X, Y, of="loss", wrt=name)
        assert J.batch == ()
        assert_close(J.dense(), g[name])


def test_several_paths_are_summed():
    def f(x, *, W, v):
        a = W @ x
        return (ops.tanh(a) + a * v + x).named("b")

    rng = np.random.default_rng(1)
    params = {"W": rng.normal(size=(3, 3)), "v": rng.normal(size=3)}
    x = rng.normal(size=(4, 3))
    J = jacobian(graph(f), params, x, of="b", wrt="x").dense()
    for n in range(4):
        D = np.diag(1 / np.cosh(params["W"] @ x[n]) ** 2 + params["v"])
        assert_close(J[n], D @ params["W"] + np.eye(3))
    J = jacobian(graph(f), params, x, of="b", wrt="W").dense()
    for n in range(4):
        for p, q, r in np.ndindex(3, 3, 3):
            D = 1 / np.cosh(params["W"] @ x[n]) ** 2 + params["v"]
            assert J[n, p, q, r] == pytest.approx((p == q) * D[p] * x[n, r], rel=1e-12)


def test_a_vector_made_from_a_number_for_all_samples():
    def f(x, *, W, v):
        L = ops.reduce(ops.sum(W @ x))
        return v * L

    rng = np.random.default_rng(1)
    W, v, x = rng.normal(size=(2, 3)), rng.normal(size=2), rng.normal(size=(4, 3))
    J = jacobian(graph(f), {"W": W, "v": v}, x, of="loss", wrt="W").dense()
    for p, q, r in np.ndindex(2, 2, 3):
        assert J[p, q, r] == pytest.approx(v[p] * x[:, r].mean(), rel=1e-12)
    J = jacobian(graph(f), {"W": W, "v": v}, x, of="loss", wrt="x").dense()
    for n, p, r in np.ndindex(4, 2, 3):
        assert J[n, p, r] == pytest.approx(v[p] * W[:, r].sum() / 4, rel=1e-12)


def test_what_mixes_samples_is_refused():
    def f(x, *, W):
        L = ops.reduce(ops.sum(W @ x))
        return x * L

    with pytest.raises(UnsupportedError) as error:
        jacobian(graph(f), {"W": np.ones((2, 3))}, np.ones((4, 3)), of="loss", wrt="x")
    assert str(error.value) == (
        "the path from 'x' to 'loss' goes through 'L', which mixes all samples: there is no Jacobian per sample"
    )


def test_zero_unknown_and_whole_numbers():
    J = jacobian(graph(lambda x, y: {"u": x * 2, "v": y * x}), {}, np.ones((2, 3)), np.ones((2, 3)), of="u", wrt="x")
    np.testing.assert_array_equal(J.dense(), 2 * np.eye(3) * np.ones((2, 1, 1)) if J.batch else 2 * np.eye(3))
    with pytest.raises(InputError, match=r"^'a1' does not depend on 'h2': the Jacobian is zero, and 'h2' has no value"):
        jacobian(NET, PARAMS, X, of="a1", wrt="h2")
    J = jacobian(
        graph(lambda x, *, c: (x * c, ops.sin(x) * (c * c))[1]), {"c": np.ones(3)}, np.ones((2, 3)), of="loss", wrt="c"
    )
    assert J.in_shape == (3,)
    with pytest.raises(UnknownNameError, match="Did you mean 'h2'"):
        jacobian(NET, PARAMS, X, of="h22", wrt="h1")
    with pytest.raises(InputError, match=r"^'y' holds whole numbers: there is no derivative with respect to it$"):
        jacobian(NET, PARAMS, X, Y, of="loss", wrt="y")


def test_independent_quantities_have_jacobian_zero():
    def f(x, *, c):
        u = c * c
        return x * u + ops.sin(x)

    J = jacobian(graph(f), {"c": np.ones(3)}, np.ones((2, 3)), of="loss", wrt="u")
    assert J.in_shape == (3,)
    trace_of_both = graph(lambda x, z: {"u": x * 2, "both": x * z})
    J = jacobian(trace_of_both, {}, np.ones((2, 3)), np.ones((2, 3)), of="both", wrt="z")
    assert not isinstance(J, Zero)
