"""∂⁺s_k/∂W entry by entry, its contractions, and the gradient as their sum."""

import itertools
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from everygrad.checks.tolerance import FRAMEWORK, assert_close
from everygrad.errors import InputError, TooLargeError, UnknownNameError, UnsupportedError
from everygrad.graph.time import sweep
from everygrad.jacobians import Weight
from everygrad.through_time import Recurrence, adjoints, tensor
from tests.through_time.cells import EXAMPLES, Case, case, step_tensor, terms

EVERY = pytest.mark.parametrize(("name", "masked"), [(n, m) for n in EXAMPLES for m in (False, True)])


def pairs(c: Case):
    return itertools.product(c.example.states, c.params)


@EVERY
def test_every_entry(name, masked):
    c = case(name, T=3, masked=masked)
    run = c.run
    for state, parameter in pairs(c):
        T, expected = tensor(run, wrt=parameter, of=state), step_tensor(c, state, parameter)
        for place in np.ndindex(expected.shape[2:]):
            assert_close(
                T[place], expected[(slice(None), slice(None), *place)], name=f"{state} by {parameter} at {place}"
            )
            if T.J.batch:
                assert_close(T[(1, 0, *place)], expected[(1, 0, *place)])
        for k in range(3):
            assert_close(T.dense(k), expected[k])
        assert_close(T.norm(), np.sqrt((expected**2).sum(tuple(range(2, expected.ndim)))))


def test_the_formula_of_elman_and_its_numbers():
    c = case("elman", T=4, units=3)
    T, values = tensor(c.run, wrt="W"), c.quantities()
    for k, b in itertools.product(range(4), range(2)):
        before = c.initial["h"][b] if k == 0 else values[k - 1]["h"][b]
        for p, q, r in itertools.product(range(3), repeat=3):
            slope = 1 - np.tanh(values[k]["a"][b, p]) ** 2
            assert_close(T[k, b, p, q, r], slope * before[r] if p == q else 0.0)
    assert (T.nnz, T.per_step, T.J.stored) == (9, 6, 6 * 8)
    assert (T.nbytes, T.dense_nbytes) == (6 * 8 * 8, 27 * 8 * 8)


DENSE = {
    "projected": {("h", f"{w}_{g}") for w in "UW" for g in "ifgo"},
    "gru_before": {("h", "U_r"), ("h", "W_r")},
}
"""Where M is dense: another weight lies between the parameter and the state."""


@pytest.mark.parametrize("name", ["elman", "lstm", "projected", "peephole", "gru_after", "gru_before", "leaky"])
def test_it_is_a_weight_for_every_cell(name):
    c = case(name)
    run = c.run
    for state, parameter in pairs(c):
        T, full = tensor(run, wrt=parameter, of=state), step_tensor(c, state, parameter)
        assert T.nnz == np.count_nonzero(full[1, 0])
        if full.any() and c.params[parameter].ndim == 2:
            assert type(T.J) is Weight
            assert (type(T.J.M).__name__ == "Dense") == ((state, parameter) in DENSE.get(name, ()))


def test_1024_units_keep_2048_numbers():
    c = case("elman", T=2, B=1, units=1024)
    run = c.run
    tracemalloc.start()
    T = tensor(run, wrt="W")
    T.norm()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (T.per_step, T.nbytes) == (2048, 2 * 2048 * 8)
    assert (T.nnz, T.dense_nbytes) == (1024**2, 2 * 1024**3 * 8)
    assert peak < 1024**2
    with pytest.raises(TooLargeError, match="would form 1,073,741,824 elements"):
        T.dense(0)


@EVERY
def test_the_gradient_is_the_sum_over_all_steps(name, masked):
    c = case(name, masked=masked)
    c = replace(c, direct={s: g for s, g in c.direct.items() if s in c.example.states})
    g, swept = adjoints(c.recurrence), sweep(c.run, c.direct, c.final)
    for parameter in c.params:
        total = sum(tensor(c.run, wrt=parameter, of=s).total(g[s]) for s in c.example.states)
        assert_close(total, swept.parameters[parameter])
        assert_close(total, terms(c, parameter).sum((0, 1)), name=parameter)


@EVERY
def test_adjoints(name, masked):
    c = case(name, masked=masked)
    g, kept = adjoints(c.recurrence), c.quantities()
    for k in range(len(c.x)):
        rest = replace(
            c,
            x=c.x[k + 1 :],
            direct={q: a[k + 1 :] for q, a in c.direct.items()},
            mask=None if c.mask is None else c.mask[k + 1 :],
        )
        for s in c.example.states:
            for b, q in np.ndindex(kept[k][s].shape):
                moved = {name: kept[k][name].astype(complex) for name in c.example.states}
                moved[s][b, q] += 1e-30j
                later = rest.losses(initial=moved).sum().imag / 1e-30 if k < len(c.x) - 1 else 0.0
                here = c.direct[s][k, b, q] if s in c.direct else 0.0
                here += 0.0 if c.present[k + 1 :, b].any() else c.final[s][b, q]
                assert_close(g[s][k, b, q], here + later if c.present[k, b] else 0.0, 1e-12)


def written(J, shape):
    """A result written out for every step and sample."""
    return np.broadcast_to(J.dense().reshape((*J.batch, *shape[2:])), shape)


@EVERY
def test_contractions_with_vectors_and_matrices(name, masked):
    c, rng = case(name, T=3, masked=masked), np.random.default_rng(5)
    run = c.run
    for state, parameter in pairs(c):
        T, full = tensor(run, wrt=parameter, of=state), step_tensor(c, state, parameter)
        for axis, letter in zip(range(2, full.ndim), "pqr", strict=False):
            if name == "turned" and parameter == "W" and letter != "p":
                continue
            for x in (rng.normal(size=full.shape[axis]), rng.normal(size=(3, 2, full.shape[axis]))):
                every = np.broadcast_to(x, (3, 2, full.shape[axis]))
                expected = (
                    full * every.reshape(*(n if i in (0, 1, axis) else 1 for i, n in enumerate(full.shape)))
                ).sum(axis)
                found = written(T.contract(letter, x), expected.shape)
                assert_close(found, expected, name=f"{state} by {parameter} over {letter}")
            X = rng.normal(size=(4, full.shape[axis]))
            expected = np.moveaxis(np.tensordot(full, X, ([axis], [1])), -1, axis)
            contracted = T.contract(letter, X)
            assert_close(written(contracted, expected.shape), expected)
            if type(T.J) is Weight:
                assert type(contracted) is Weight
        V = np.array(rng.normal(size=full.shape[3:]))
        assert_close(T.push(V), (full * V).sum(tuple(range(3, full.ndim))))


def test_contractions_stay_factored():
    c = case("elman", T=3, B=2, inputs=40, units=50)
    T = tensor(c.run, wrt="U")
    assert T.contract("p", np.ones(50)).stored == 6 * (50 + 40)
    assert T.contract("q", np.ones(50)).stored == 6 * (50 + 40)
    assert T.contract("r", np.ones(40)).stored == 6 * 50
    assert T.contract("r", np.ones((7, 40))).stored == 6 * (50 + 7)


def test_against_torch_jacrev():
    c = case("gru_after", B=1)
    leaves = {k: torch.tensor(v) for k, v in c.params.items()}

    def step(p, h, x):
        r, z = (torch.sigmoid(p[f"U_{g}"] @ x + p[f"b_{g}"] + p[f"W_{g}"] @ h) for g in "rz")
        n = torch.tanh(p["U_n"] @ x + p["b_n"] + r * (p["W_n"] @ h + p["b_hn"]))
        return (1 - z) * n + z * h

    h = torch.tensor(c.initial["h"][0])
    for k in range(len(c.x)):
        x = torch.tensor(c.x[k, 0])
        reference = torch.func.jacrev(step)(leaves, h, x)
        for parameter in c.params:
            assert_close(tensor(c.run, wrt=parameter).dense(k)[0], reference[parameter], FRAMEWORK, parameter)
        h = step(leaves, h, x)


def test_what_is_refused():
    T = tensor(case("elman").run, wrt="U")
    with pytest.raises(UnknownNameError, match=r"unknown axis 's'. Known: p, q, r"):
        T.contract("s", np.ones(3))
    with pytest.raises(InputError, match=r"over 'r': got shape \(3,\), expected a vector \(2,\) or \(5, 2, 2\)"):
        T.contract("r", np.ones(3))
    with pytest.raises(InputError, match=r"over 'p': got shape \(5, 3, 3\)"):
        T.contract("p", np.ones((5, 3, 3)))
    with pytest.raises(InputError, match=r"g has shape \(5, 3\), expected \(5, 2, 3\)"):
        T.total(np.ones((5, 3)))
    with pytest.raises(UnknownNameError, match=r"unknown parameter of the cell 'w'. Did you mean 'W'"):
        tensor(case("elman").run, wrt="w")
    with pytest.raises(UnknownNameError, match="unknown state 'x'"):
        tensor(case("elman").run, wrt="W", of="x")
    with pytest.raises(IndexError, match="takes 3 indices"):
        T[0, 0]
    with pytest.raises(UnsupportedError, match="is not a Weight: contract over 'p', or take dense"):
        tensor(case("turned").run, wrt="W").contract("r", np.ones(3))
    with pytest.raises(InputError, match="the gradient of the states needs the gradient that arrives"):
        adjoints(Recurrence(case("elman").run))


def test_as_text_and_as_json():
    c = case("elman", T=3)
    T = tensor(c.run, wrt="U")
    norms = np.sqrt((step_tensor(c, "h", "U") ** 2).sum((2, 3, 4)))
    lines = str(T).splitlines()
    assert lines[0] == (
        "∂⁺h_k/∂U, 3 x 3 x 2: 6 of 18 entries can be nonzero, 5 numbers stored for each step and sample "
        "(240 of 864 bytes)"
    )
    middle = [f"{x:.4g}" for x in (norms[2].min(), np.median(norms[2]), norms[2].max())]
    assert lines[-1].split() == ["2", *middle]
    record = T.as_dict()
    assert_close(np.array(record.pop("norm")), norms)
    assert record == {
        "state": "h",
        "parameter": "U",
        "nnz": 6,
        "stored_per_step": 5.0,
        "nbytes": 240,
        "dense": 864,
    }
