"""Runs and sweeps of random cells with torch's and JAX's arrays, in float32, in segments, compiled, and very long."""

import io
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from everygrad.checks.tolerance import FRAMEWORK, SINGLE, assert_close
from everygrad.graph import ops
from everygrad.graph.time import cell, run, sweep
from everygrad.graph.time.segments import run_segments, sweep_segments
from tests.support.jaxpr_size import equations
from tests.through_time.programs import program
from tests.through_time.test_any_cell import Numbers, numbers


def moved(given: Numbers, make) -> Numbers:
    """The same numbers as arrays of another library."""

    def all_of(arrays):
        return {name: make(array) for name, array in arrays.items()}

    mask = None if given.mask is None else make(given.mask)
    parts = (all_of(part) for part in (given.states, given.params))
    return Numbers(make(given.x), *parts, mask, all_of(given.direct), all_of(given.final))


def everything(made, given: Numbers):
    """All gradients, in one mapping."""
    swept = sweep(run(made, given.x, given.states, given.params, given.mask), given.direct, given.final)
    parts = {"total": swept.total, "initial": swept.initial, "parameter": swept.parameters}
    return {f"{part} {name}": array for part, arrays in parts.items() for name, array in arrays.items()}


def narrow(array):
    return array.astype(np.float32) if array.dtype == np.float64 else array


@settings(max_examples=40)
@given(st.integers(0, 10**9))
def test_torch_tensors(seed):
    made, given = program(seed).cell(), numbers(program(seed), seed)
    reference, found = everything(made, given), everything(made, moved(given, torch.from_numpy))
    assert found.keys() == reference.keys()
    for name, array in found.items():
        assert isinstance(array, torch.Tensor)
        assert array.dtype == torch.float64
        assert_close(array, reference[name], FRAMEWORK, name)


@settings(max_examples=6)
@given(st.integers(0, 10**9))
def test_jax_arrays_under_jit(seed):
    made, given = program(seed).cell(), numbers(program(seed), seed)
    reference = everything(made, given)
    with jax.enable_x64(True):
        arrays = moved(given, jnp.asarray)
        found = jax.jit(lambda *parts: everything(made, Numbers(*parts)))(*vars(arrays).values())
    assert found.keys() == reference.keys()
    for name, array in found.items():
        assert isinstance(array, jax.Array)
        assert array.dtype == jnp.float64
        assert_close(array, reference[name], FRAMEWORK, name)


@settings(max_examples=40)
@given(st.integers(0, 10**9))
def test_float32_is_close_to_float64_of_the_rounded_numbers(seed):
    made, given = program(seed).cell(), moved(numbers(program(seed), seed), narrow)
    wide = moved(given, lambda array: array.astype(float) if array.dtype == np.float32 else array)
    found, reference = everything(made, given), everything(made, wide)
    largest = max(np.abs(array).max(initial=0) for array in reference.values())
    for name, array in found.items():
        assert array.dtype == np.float32
        # a sum of terms that cancel has the error of its terms: those are the other gradients of this network
        if np.abs(reference[name]).max(initial=0) > 1e-2 * largest:
            assert_close(array, reference[name], SINGLE, name)


@settings(max_examples=40)
@given(st.integers(0, 10**9))
def test_segments_give_what_the_whole_run_gives(seed):
    what = program(seed)
    made, given = what.cell(), numbers(what, seed)
    whole = sweep(run(made, given.x, given.states, given.params, given.mask), given.direct, given.final)
    parts = run_segments(made, given.x, given.states, given.params, given.mask, wanted=tuple(given.direct))
    again = sweep_segments(parts, given.direct, given.final)
    segments = -(-len(given.x) // parts.size)
    states = segments * len(what.states) + len(given.x) * len(given.direct)
    assert parts.stored == states * given.x.shape[1] * what.units
    assert (parts.size - 1) ** 2 < len(given.x) <= parts.size**2
    assert set(again.total) == {"x", *given.direct} & set(whole.total)
    for name, array in again.total.items():
        assert_close(array, whole.total[name], FRAMEWORK, name)
    for name in what.states:
        assert_close(again.initial[name], whole.initial[name], FRAMEWORK, name)
    for name, array in again.parameters.items():
        assert_close(array, whole.parameters.get(name, np.zeros_like(array)), FRAMEWORK, name)


def test_segments_in_which_a_sequence_has_no_step():
    """A cell that is not defined at zero never sees what stands in the padding, nor a zero in its place."""

    def f(x, states, p):
        a = p.U @ (1.0 / x) + p.W @ states.h
        return ops.tanh(a)

    rng = np.random.default_rng(0)
    params = {"U": rng.normal(size=(3, 2)), "W": rng.normal(size=(3, 3))}
    mask = np.arange(9)[:, None] < np.array([9, 2])
    x = np.where(mask[..., None], rng.uniform(1, 2, size=(9, 2, 2)), np.nan)
    start, g = {"h": rng.normal(size=(2, 3))}, {"h": rng.normal(size=(9, 2, 3))}
    whole = sweep(run(cell(f), x, start, params, mask), g)
    parts = sweep_segments(run_segments(cell(f), x, start, params, mask, ("h",)), g)
    for name in ("x", "h"):
        assert_close(parts.total[name], whole.total[name], FRAMEWORK, name)
    for name in params:
        assert_close(parts.parameters[name], whole.parameters[name], FRAMEWORK, name)


# --------------------------------------------------------------------------------------------- any length


def leaky(x, states, p):
    a = p.U @ x + p.W @ states.h
    return 0.5 * states.h + 0.5 * ops.tanh(a)


@pytest.mark.parametrize("remember", ["all", "sqrt"])
def test_what_jax_compiles_does_not_grow_with_time(remember):
    made = cell(leaky)

    def written(T):
        def f(x, h, U, W, g):
            if remember == "all":
                return dict(sweep(run(made, x, {"h": h}, {"U": U, "W": W}), {"h": g}).parameters)
            return dict(sweep_segments(run_segments(made, x, {"h": h}, {"U": U, "W": W}), {"h": g}).parameters)

        shapes = [(T, 2, 3), (2, 4), (4, 3), (4, 4), (T, 2, 4)]
        return jax.make_jaxpr(f)(*(jnp.zeros(shape, jnp.float32) for shape in shapes))

    sizes = {T: equations(written(T).jaxpr) for T in (9, 100, 10_000)}
    assert sizes[9] > 20
    assert len(set(sizes.values())) == 1, sizes


def one_unit(T: int, kind) -> dict[str, np.ndarray]:
    """All that a sweep over T steps finds, with the arrays that ``kind`` makes."""
    rng = np.random.default_rng(0)
    x, g = (kind(rng.normal(size=(T, 1, 1))) for _ in range(2))
    given = {"U": kind(np.array([[0.7]])), "W": kind(np.array([[0.9]]))}
    swept = sweep(run(cell(leaky), x, {"h": kind(np.zeros((1, 1)))}, given), {"h": g})
    return {"h": swept.total["h"][:, 0, 0], "h0": swept.initial["h"], **swept.parameters}


def two_recurrences(T: int) -> dict[str, np.ndarray]:
    """The same, written out for one unit."""
    rng = np.random.default_rng(0)
    x, g = (rng.normal(size=T) for _ in range(2))
    h, slopes, total, later = np.zeros(T + 1), np.zeros(T), np.zeros(T), 0.0
    for t in range(T):
        a = 0.7 * x[t] + 0.9 * h[t]
        h[t + 1], slopes[t] = 0.5 * h[t] + 0.5 * np.tanh(a), 0.5 / np.cosh(a) ** 2
    for t in reversed(range(T)):
        total[t] = g[t] + later
        later = total[t] * (0.5 + slopes[t] * 0.9)
    of_a = total * slopes
    return {
        "h": total,
        "h0": np.array([[later]]),
        "U": np.array([[of_a @ x]]),
        "W": np.array([[of_a @ h[:-1]]]),
    }


@pytest.mark.parametrize(("kind", "T"), [(np.asarray, 2_000), (torch.from_numpy, 2_000), (jnp.asarray, 100_000)])
def test_long_sequences(kind, T):
    with jax.enable_x64(True):
        found = one_unit(T, kind)
    for name, reference in two_recurrences(T).items():
        assert_close(found[name], reference, FRAMEWORK, name)


@pytest.mark.slow
def test_a_hundred_thousand_steps_with_numpy():
    """In a process of its own: here, each call of a function with shapes in its signature is checked."""
    code = f"""
import sys
import numpy as np
sys.path[:0] = {sys.path!r}
from tests.through_time.test_any_cell_engines import one_unit
np.savez(sys.stdout.buffer, **one_unit(100_000, np.asarray))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    found = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    for name, reference in two_recurrences(100_000).items():
        assert_close(found[name], reference, FRAMEWORK, name)
