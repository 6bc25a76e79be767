"""JAX arrays in, JAX arrays out; under jit, vmap and grad; and float64 that JAX would silently make float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import everygrad as eg
from everygrad.backprop import forward, gradients, jacobian
from everygrad.checks.tolerance import FRAMEWORK, assert_close
from everygrad.errors import InputError, NonFiniteError
from tests.engines.models import ACTIVATIONS, LOSSES, every_operation, feed_forward


def on_jax(model):
    net, params, data = model
    return net, {name: jnp.asarray(p) for name, p in params.items()}, [jnp.asarray(d) for d in data]


def all_gradients(net):
    return jax.jit(lambda p, *data: dict(eg.gradients(net, p, *data).arrays))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_under_jit(x64, activation):
    net, params, data = feed_forward(activation)
    reference = gradients(net, params, *data)
    compiled = all_gradients(net)(*on_jax((net, params, data))[1:2], *on_jax((net, params, data))[2])
    assert set(compiled) == set(reference)
    for name, array in compiled.items():
        assert array.dtype == jnp.float64
        assert_close(array, reference[name], FRAMEWORK, name)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_under_jit(x64, loss):
    net, params, data = feed_forward(loss=LOSSES[loss])
    _, moved, arrays = on_jax((net, params, data))
    reference = gradients(net, params, *data)
    for name, array in all_gradients(net)(moved, *arrays).items():
        assert_close(array, reference[name], FRAMEWORK, name)


def test_every_other_operation_under_jit(x64):
    graph, params, data = every_operation()
    _, moved, arrays = on_jax((graph, params, data))
    reference = gradients(graph, params, *data)
    for name, array in all_gradients(graph)(moved, *arrays).items():
        assert_close(array, reference[name], FRAMEWORK, name)


def test_against_jax_grad(x64):
    net, params, (x, y) = on_jax(feed_forward("gelu"))

    def loss(p, x):
        h1 = jax.nn.gelu(x @ p["W1"].T + p["b1"], approximate=False)
        a2 = h1 @ p["W2"].T + p["b2"]
        return -jnp.mean(jax.nn.log_softmax(a2)[jnp.arange(len(y)), y])

    of_p, of_x = jax.grad(loss, (0, 1))(params, x)
    g = gradients(net, params, x, y)
    assert_close(g["x"], of_x, FRAMEWORK)
    for name, array in of_p.items():
        assert_close(g[name], array, FRAMEWORK, name)


def test_jit_sees_new_values_and_compiles_once(x64):
    net, params, (x, y) = on_jax(feed_forward())
    traces = []

    @jax.jit
    def step(p, x, y):
        traces.append(1)
        g = eg.gradients(net, p, x, y)
        return {name: p[name] - 0.1 * g[name] for name in p}, g.loss

    by_hand, losses = params, []
    for _ in range(3):
        params, loss = step(params, x, y)
        g = gradients(net, by_hand, x, y)
        by_hand = {name: by_hand[name] - 0.1 * g[name] for name in by_hand}
        assert_close(loss, g.loss, FRAMEWORK)
        losses.append(float(loss))
    assert traces == [1]
    assert losses == sorted(losses, reverse=True)
    for name in params:
        assert_close(params[name], by_hand[name], FRAMEWORK)


def test_jax_differentiates_through_the_closed_form(x64):
    """The gradient of our loss and of our gradient: a Hessian-vector product, against NumPy's differences."""
    net, params, data = feed_forward()
    _, moved, (x, y) = on_jax((net, params, data))
    of_loss = jax.grad(lambda W: eg.forward(net, {**moved, "W1": W}, x, y).loss)(moved["W1"])
    assert_close(of_loss, gradients(net, params, *data)["W1"], FRAMEWORK)
    v = np.random.default_rng(0).normal(size=(4, 5))
    _, hvp = jax.jvp(lambda W: eg.gradients(net, {**moved, "W1": W}, x, y)["W1"], (moved["W1"],), (jnp.asarray(v),))
    ahead, behind = (gradients(net, {**params, "W1": params["W1"] + s * 1e-5 * v}, *data)["W1"] for s in (1, -1))
    assert_close(hvp, (ahead - behind) / 2e-5, 1e-7)


def test_vmap_over_networks(x64):
    net, params, (x, y) = on_jax(feed_forward())
    several = {name: jnp.stack([p, 2 * p, -p]) for name, p in params.items()}
    together = jax.vmap(lambda p: eg.gradients(net, p, x, y)["W1"])(several)
    for i in range(3):
        alone = gradients(net, {name: p[i] for name, p in several.items()}, x, y)["W1"]
        assert_close(together[i], alone, FRAMEWORK)


@pytest.mark.parametrize(("of", "wrt"), [("a2", "W1"), ("h1", "h0"), ("loss", "W1"), ("a2", "b1")])
def test_jacobians_under_jit(x64, of, wrt):
    net, params, data = feed_forward()
    _, moved, arrays = on_jax((net, params, data))
    dense = jax.jit(lambda p, *d: eg.jacobian(net, p, *d, of=of, wrt=wrt).dense())(moved, *arrays)
    assert_close(dense, jacobian(net, params, *data, of=of, wrt=wrt).dense(), FRAMEWORK)


def test_shapes_are_checked_under_jit_too():
    net, params, (x, y) = on_jax(feed_forward(dtype=np.float32))
    with pytest.raises(InputError, match="2 problems"):
        all_gradients(net)({**params, "W1": params["W1"][:, 1:]}, x, y[1:])


def test_labels_and_numbers_are_checked_outside_of_jit():
    net, params, (x, y) = on_jax(feed_forward(dtype=np.float32))
    with pytest.raises(InputError, match=r"class labels must be in \[0, 3\) for 3 outputs, got -1 at index 2"):
        gradients(net, params, x, y.at[2].set(-1))  # JAX alone would clamp an index
    with pytest.raises(NonFiniteError, match=r"the array 'W2' is not finite: W2\[0, 1\] = inf"):
        gradients(net, {**params, "W2": params["W2"].at[0, 1].set(jnp.inf)}, x, y)


def test_float32_without_x64_stays_float32():
    net, params, data = on_jax(feed_forward(dtype=np.float32))
    g = gradients(net, params, *data)
    assert {a.dtype for a in g.arrays.values()} == {np.dtype(np.float32)}
    assert {a.dtype for name, a in g.trace.arrays.items() if name != "y"} == {np.dtype(np.float32)}


def test_float64_of_numpy_with_jax_that_would_narrow_it_is_said_so():
    net, params, (x, y) = feed_forward()
    with pytest.raises(InputError) as caught:
        gradients(net, params, jnp.asarray(x), y)
    assert str(caught.value) == (
        "arguments: 1 problem\n  - 'h0' is a jax array but 'W1' is numpy: use one library for all; "
        "jax.numpy.asarray would silently turn float64 into float32 here: "
        "call jax.config.update('jax_enable_x64', True) first, or use float32 everywhere"
    )
    with pytest.raises(
        InputError, match=r"'h0' is a numpy array but 'W1' is jax: .*silently turn float64 into float32"
    ):
        forward(net, {name: jnp.asarray(p) for name, p in params.items()}, x, jnp.asarray(y))
    with jax.enable_x64(True), pytest.raises(InputError) as caught:
        gradients(net, params, jnp.asarray(x), y)
    assert str(caught.value).endswith("'h0' is a jax array but 'W1' is numpy: use one library for all")
