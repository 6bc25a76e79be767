"""Recurrent networks with torch's and JAX's arrays, under jit, with little memory, and over very long sequences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import everygrad as eg
from everygrad.backprop import forward, gradients
from everygrad.checks.tolerance import FRAMEWORK, SINGLE, assert_close
from everygrad.errors import UnsupportedError
from tests.networks.recurrent_cases import Case, cases, drawn, made
from tests.networks.recurrent_library import data, found, network
from tests.networks.recurrent_oracle import plain_loops
from tests.support.jaxpr_size import equations

# ------------------------------------------------------------------------------------------------- libraries


@settings(max_examples=12)
@given(cases(longest=8))
def test_torch_tensors(case):
    numbers = made(case)
    g, reference = found(numbers, torch.from_numpy), found(numbers)
    assert set(g) == set(reference)
    assert set(g.direct) == set(reference.direct)
    for actual, expected in ((g, reference), (g.direct, reference.direct)):
        for name in expected:
            assert isinstance(actual[name], torch.Tensor)
            assert actual[name].dtype == torch.float64
            assert_close(actual[name], expected[name], FRAMEWORK, name)


def in_one_shape(seed: int) -> Case:
    """A drawn network of few different shapes: JAX compiles for each."""
    case = drawn(seed, units=2, layers=2)
    same = {"T": 5, "B": 2, "inputs": 3, "units": 3, "outputs": 3}
    narrow = 2 if case.cell == "lstm" and seed % 2 else None
    return dataclasses.replace(case, **same, embedding=case.embedding and (5, 3), projection=narrow)


@settings(max_examples=4)
@given(st.integers(0, 10**9).map(in_one_shape))
def test_jax_arrays_under_jit(case):
    numbers = made(case)
    reference = found(numbers)
    net = network(case)

    def everything(params, *arrays):
        g = eg.gradients(net, params, *arrays)
        return dict(g), dict(g.direct)

    with jax.enable_x64(True):
        params = {name: jnp.asarray(p) for name, p in numbers.params.items()}
        total, direct = jax.jit(everything)(params, *map(jnp.asarray, data(numbers)))
    assert set(total) == set(reference)
    assert set(direct) == set(reference.direct)
    for actual, expected in ((total, reference), (direct, reference.direct)):
        for name in expected:
            assert isinstance(actual[name], jax.Array)
            assert actual[name].dtype == jnp.float64
            assert_close(actual[name], expected[name], FRAMEWORK, name)


def test_jax_arrays_without_jit():
    numbers = made(Case("elman", lengths=True, read="each", T=3))
    with jax.enable_x64(True):
        g = found(numbers, jnp.asarray)
        for name, reference in found(numbers).items():
            assert isinstance(g[name], jax.Array)
            assert_close(g[name], reference, FRAMEWORK, name)


def test_jax_arrays_of_float32():
    numbers = made(Case("lstm", lengths=True, initial=True, read="each"))
    net = network(numbers.case)
    params = {name: jnp.asarray(p, jnp.float32) for name, p in numbers.params.items()}
    arrays = [jnp.asarray(a, jnp.float32 if a.dtype == float else jnp.int32) for a in data(numbers)]
    g = jax.jit(lambda p, *a: dict(eg.gradients(net, p, *a)))(params, *arrays)
    for name, reference in found(numbers).items():
        assert g[name].dtype == jnp.float32
        assert_close(g[name], reference, SINGLE, name)


def test_jax_differentiates_through_the_scan():
    """The gradient of our loss by JAX is our gradient, and a Hessian-vector product is a difference of gradients."""
    numbers = made(Case("gru", T=4, B=2, units=3, lengths=True, read="each"))
    with jax.enable_x64(True):
        params = {name: jnp.asarray(p) for name, p in numbers.params.items()}
        arrays = [jnp.asarray(a) for a in data(numbers)]
        net, g = network(numbers.case), found(numbers)
        of_loss = jax.jit(jax.grad(lambda p: eg.forward(net, p, *arrays).loss))(params)
        for name, reference in of_loss.items():
            assert_close(g[name], reference, FRAMEWORK, name)
        W = params["W_r"]
        v = np.random.default_rng(0).normal(size=W.shape)

        def of_W(W):
            return eg.gradients(net, {**params, "W_r": W}, *arrays)["W_r"]

        _, hvp = jax.jit(lambda W, v: jax.jvp(of_W, (W,), (v,)))(W, jnp.asarray(v))
    ahead, behind = (
        found(numbers.replace(params={**numbers.params, "W_r": numbers.params["W_r"] + s * 1e-5 * v}))["W_r"]
        for s in (1, -1)
    )
    assert_close(hvp, (ahead - behind) / 2e-5, 1e-7)


# ------------------------------------------------------------------------------------- compiled once for any T


@pytest.mark.parametrize("remember", ["all", "sqrt"])
@pytest.mark.parametrize(
    "case",
    [
        Case("elman"),
        Case("lstm", layers=2, bidirectional=True, lengths=True, initial=True, read="each"),
        Case("gru", lengths="mask", read="mean", embedding=(4, 3)),
    ],
    ids=["elman", "lstm", "gru"],
)
def test_what_jax_compiles_does_not_grow_with_time(case, remember):
    net = network(case, remember)

    def written(T):
        numbers = made(dataclasses.replace(case, T=T))
        arrays = [a.astype(np.float32) if a.dtype == float else a for a in data(numbers)]
        params = {name: p.astype(np.float32) for name, p in numbers.params.items()}
        return jax.make_jaxpr(lambda p, *a: dict(eg.gradients(net, p, *a)))(params, *arrays).jaxpr

    sizes = {T: equations(written(T)) for T in (9, 100, 2500)}
    assert sizes[9] > 50
    assert len(set(sizes.values())) == 1, sizes


# ---------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("T", [1, 2, 10, 17, 100])
@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        ("elman", 2),  # a, h
        ("lstm", 11),  # four a, four gates, c, tanh c, h
        ("gru", 9),  # three a, three gates, W_n h + b_hn, 1 − z, h
    ],
)
def test_numbers_kept(cell, kept, T):
    """All: so many arrays of (T, B, n), and the initial states. sqrt: the states before each of √T segments."""
    B, n = 3, 4
    case = Case(cell, units=n, B=B, T=T)
    states, numbers = len(case.states), made(case)
    everything = forward(network(case), dict(numbers.params), *data(numbers)).runs["l0"]
    little = forward(network(case, "sqrt"), dict(numbers.params), *data(numbers)).runs["l0"]
    assert everything.stored == B * n * (kept * T + states)
    segments = -(-T // (int(np.ceil(np.sqrt(T)))))
    assert little.stored == B * n * states * segments


@settings(max_examples=15)
@given(cases(longest=12))
def test_little_memory_gives_the_same_gradients(case):
    numbers = made(case)
    full, net = found(numbers), network(case, "sqrt")
    g = gradients(net, dict(numbers.params), *data(numbers))
    assert_close(g.loss, full.loss, FRAMEWORK)
    assert set(numbers.params) <= set(g)
    first = "E" if case.embedding else "x"
    assert first in g
    for name in g:
        assert_close(g[name], full[name], FRAMEWORK, name)


def test_direct_gradients_need_all_of_memory():
    numbers = made(Case("lstm"))
    g = gradients(network(numbers.case, "sqrt"), dict(numbers.params), *data(numbers))
    with pytest.raises(UnsupportedError, match="remember='all'"):
        g.direct["x"]


# ------------------------------------------------------------------------------------------------------ time


LONG = Case("elman", units=1, inputs=1, outputs=2, B=1, T=100_000, read="mean", loss="squared_error")


@pytest.fixture(scope="module")
def over_a_long_time():
    return plain_loops(made(LONG)).total


@pytest.mark.slow
@pytest.mark.parametrize("remember", ["all", "sqrt"])
def test_a_hundred_thousand_steps(remember, over_a_long_time):
    """One unit, compiled, against plain loops."""
    numbers, net = made(LONG), network(LONG, remember)
    with jax.enable_x64(True):
        params = {name: jnp.asarray(p) for name, p in numbers.params.items()}
        total = jax.jit(lambda p, *a: dict(eg.gradients(net, p, *a)))(params, *map(jnp.asarray, data(numbers)))
    for name in (*numbers.params, "x", "h"):
        assert_close(total[name], over_a_long_time[name], FRAMEWORK, name)
