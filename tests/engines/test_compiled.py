"""Compiled loops against the oracle of plain loops, against NumPy, and against functions of many digits."""

import dataclasses
import gc
import logging
import sys
from contextlib import contextmanager

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings

import everygrad as eg
from everygrad.checks.tolerance import EXACT, FRAMEWORK, SINGLE, assert_close
from everygrad.engines.loop import Reuse, scan
from everygrad.errors import InputError
from everygrad.graph import ops
from everygrad.graph.time import cell, run, sweep
from tests.graph.time import cells
from tests.networks.recurrent_autodiff import with_torch
from tests.networks.recurrent_cases import ACTIVATIONS, Case, agree, cases, made
from tests.networks.recurrent_library import OWN, asked, data, network
from tests.networks.recurrent_oracle import plain_loops
from tests.networks.test_recurrent_conformance import agrees

pytest.importorskip("llvmlite", reason="the extra everygrad[compiled] is not installed")

from everygrad.engines.compiled import machine
from everygrad.engines.compiled.threads import running


@contextmanager
def only_compiled():
    """No loop may fall back to NumPy."""

    def refuse(*_):
        raise AssertionError("a loop was not compiled")

    with running("compiled"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("everygrad.engines.program.loops.text_of", refuse)
        patch.setattr("everygrad.engines.loop._step_by_step", refuse)
        yield


def compiled(numbers, dtype=np.float64):
    net = network(numbers.case)
    params = {name: p.astype(dtype) for name, p in numbers.params.items()}
    arrays = [a.astype(dtype) if a.dtype == float else a for a in data(numbers)]
    return eg.gradients(net, params, *arrays, engine="compiled"), eg.gradients(net, params, *arrays)


@settings(max_examples=12)
@given(cases(layers=2).map(lambda case: dataclasses.replace(case, T=max(case.T, 4))))
def test_drawn_networks_equal_plain_loops(case):
    numbers = made(case)
    agrees(compiled(numbers)[0], numbers, plain_loops(numbers))


@pytest.mark.parametrize(
    "settings", [{}, {"lengths": "mask", "initial": True, "read": "each"}], ids=["plain", "masked"]
)
@pytest.mark.parametrize(
    "case",
    [
        *(Case("elman", activation=name) for name in ACTIVATIONS),
        Case("lstm"),
        Case("lstm", projection=2),
        Case("gru"),
        Case("gru", reset="before"),
        *(Case(name) for name in OWN),
    ],
    ids=lambda case: f"{case.cell} {case.activation} {case.projection} {case.reset}",
)
def test_every_cell_is_compiled(case, settings):
    numbers = made(dataclasses.replace(case, **settings, T=7))
    with only_compiled():
        g = eg.gradients(network(numbers.case), numbers.params, *data(numbers), engine="compiled")
        g.direct["h"]
    if case.cell not in OWN:
        agrees(g, numbers, plain_loops(numbers))
        return
    oracle = with_torch(numbers)
    agree(g, asked(numbers, oracle.total), FRAMEWORK, "total")
    agree(g.direct, asked(numbers, oracle.direct), FRAMEWORK, "direct")


SIZES = [
    {"T": 4, "B": 1, "units": 1, "inputs": 1},
    {"T": 40, "B": 2, "units": 16},
    {"T": 6, "B": 3, "units": 17},
    {"T": 5, "B": 33, "units": 33, "bidirectional": True, "lengths": True, "read": "each"},
    {"T": 12, "B": 7, "units": 70},
]


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru", *OWN])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_sizes(cell, sizes):
    numbers = made(Case(cell, **sizes))
    g, reference = compiled(numbers)
    single, _ = compiled(numbers, np.float32)
    rounded = {name: p.astype(np.float32).astype(np.float64) for name, p in numbers.params.items()}
    arrays = [a.astype(np.float32).astype(np.float64) if a.dtype == float else a for a in data(numbers)]
    exact = eg.gradients(network(numbers.case), rounded, *arrays)
    for name in reference:
        assert_close(g[name], reference[name], EXACT, name)
        assert single[name].dtype == np.float32
        assert_close(single[name], exact[name], SINGLE, name)
    for name in reference.direct:
        assert_close(g.direct[name], reference.direct[name], EXACT, name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_the_number_of_threads_changes_no_bit(cell, dtype, monkeypatch):
    monkeypatch.setattr("everygrad.engines.compiled.kernel.WORTH_SPLITTING", 0)
    numbers = made(Case(cell, T=9, B=13, units=21, lengths=True))
    found = []
    for count in (1, 2, 3, 20):
        with running("numpy", count):
            found.append(compiled(numbers, dtype)[0])
    for other in found[1:]:
        for name in found[0]:
            np.testing.assert_array_equal(other[name], found[0][name])
        for name in found[0].trace:
            np.testing.assert_array_equal(other.trace[name], found[0].trace[name])


def wide():
    """Three states of different sizes, parts and joined parts, a quotient, a number for each sample."""

    def step(x, states, p):
        u, v, w = states
        both = ops.concatenate(u, v)
        a = p.U @ x + p.W @ both
        u = ops.tanh(a) / (1.0 + ops.square(u))
        v = ops.tanh(p.P @ u) * v + 0.1
        w = 0.5 * w - ops.relu(p.Q @ v)
        return {"u": u, "v": v, "w": w}

    return cell(step, ("u", "v", "w"))


SHAPES = {"U": (5, 2), "W": (5, 8), "P": (3, 5), "Q": (1, 3)}


@pytest.mark.parametrize("masked", [False, True])
def test_three_states(masked):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(11, 6, 2))
    states = {name: rng.normal(size=(6, n)) for name, n in (("u", 5), ("v", 3), ("w", 1))}
    params = {name: 0.5 * rng.normal(size=shape) for name, shape in SHAPES.items()}
    mask = rng.uniform(size=(11, 6)) < 0.7 if masked else None
    final = {name: rng.normal(size=s.shape) for name, s in states.items()}
    direct = {"u": rng.normal(size=(11, 6, 5))}

    def both():
        ran = run(wide(), x, states, params, mask)
        return ran, sweep(ran, direct, final)

    with only_compiled():
        ran, swept = both()

    # complex step: the loss of these seeds, from another library path
    def loss(values):
        again = run(wide(), values["x"], {n: values[n] for n in states}, {n: values[n] for n in params}, mask)
        count = np.ones((11, 6)) if mask is None else mask
        return (count[..., None] * direct["u"] * again.values["u"]).sum() + sum(
            (final[n] * again.final[n]).sum() for n in final
        )

    given = {"x": x, **states, **params}
    gradient = {"x": swept.total["x"], **swept.initial, **swept.parameters}
    for name, value in given.items():
        direction = rng.normal(size=value.shape)
        change = loss({**given, name: value + 1e-30j * direction}).imag / 1e-30
        assert_close((gradient[name] * direction).sum(), change, EXACT, name)
    plain = loss(given)
    assert_close(
        plain,
        (np.where(True if mask is None else mask[..., None], direct["u"] * ran.values["u"], 0)).sum()
        + sum((final[n] * ran.final[n]).sum() for n in final),
        EXACT,
    )


def test_an_odd_cell(caplog):
    """A dot product, delayed and copied states, a parameter of parameters.

    What goes back through the dot product is not compiled: NumPy does that loop, and the reason can be read.
    """
    arguments = cells.arrays(cells.odd(), 6, 3, 2, 4)
    final = {"s": np.ones((3, 4)), "free": np.full((3, 4), -0.5)}
    ran = run(cells.odd(), **arguments)
    swept = sweep(ran, {}, final)
    with only_compiled():
        again = run(cells.odd(), **arguments)
    for name, value in ran.values.items():
        assert_close(again.values[name], value, EXACT, name)
    with caplog.at_level(logging.DEBUG, "everygrad"), running("compiled"):
        found = sweep(again, {}, final)
    assert "a loop runs on NumPy, not compiled: an array of shape (3, 4, 1)" in caplog.text
    for part in ("total", "initial", "parameters"):
        for name, g in getattr(swept, part).items():
            assert_close(getattr(found, part)[name], g, EXACT, f"{part} {name}")


def test_code_that_goes_takes_nothing_of_others_with_it():
    """Each function has a code generator of its own: LLVM frees it with the code."""
    texts = [f"define void @f{i}(ptr %table, i64 %rows, i64 %steps) {{\n  ret void\n}}\n" for i in range(3)]
    first, second = (machine.function_of.__wrapped__(text, f"f{i}") for i, text in enumerate(texts[:2]))
    del first
    gc.collect()
    third = machine.function_of.__wrapped__(texts[2], "f2")
    second(0, 0, 0)
    third(0, 0, 0)


def test_a_matrix_of_a_product_that_is_also_added():
    rng = np.random.default_rng(2)
    M, h, x = rng.normal(size=(3, 3)), rng.normal(size=(3, 3)), rng.normal(size=(5, 3, 3))

    def body(carry, now, shared):
        new = np.tanh(carry["h"] @ shared["M"] + shared["M"] + now["x"])
        return {"h": new}, {"h": new}

    with running("compiled"):
        found = scan(body, {"h": h}, {"x": x}, 5, shared={"M": M}, reuse=Reuse({}, "key"))[1]["h"]
    for t in range(5):
        h = np.tanh(h @ M + M + x[t])
        assert_close(found[t], h, EXACT)


# -------------------------------------------------------------------------------------------- functions


def of_each(function, a):
    """A function of an array by a compiled loop."""
    with only_compiled():
        y = scan(
            lambda carry, x, _: ({"s": function(x["a"])}, {"y": function(x["a"])}),
            {"s": a},
            {"a": np.broadcast_to(a, (4, *a.shape))},
            4,
            reuse=Reuse({}, "key"),
        )[1]["y"]
    assert y.dtype == a.dtype
    for other in y[1:]:
        np.testing.assert_array_equal(other, y[0])
    return y[0]


def errors(function, exact, a):
    """Largest relative error in units of the last place, against many digits."""
    y = of_each(function, a).ravel()
    worst = 0.0
    with mpmath.workdps(40):
        for number, result in zip(a.ravel().tolist(), y.tolist(), strict=True):
            true = exact(mpmath.mpf(number))
            unit = float(np.spacing(a.dtype.type(abs(float(true)))))
            worst = max(worst, abs(float(mpmath.mpf(result) - true)) / unit)
    return worst


@pytest.mark.parametrize(("dtype", "low", "high"), [(np.float32, -103.0, 88.7), (np.float64, -744.0, 709.7)])
def test_exp_is_right_to_the_last_places(dtype, low, high):
    rng = np.random.default_rng(0)
    a = np.concatenate([rng.uniform(low, high, 1500), rng.uniform(-1, 1, 1500), 2.0 ** -rng.uniform(0, 60, 100)])
    assert errors(np.exp, mpmath.exp, a.reshape(31, 100).astype(dtype)) < 2.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh_is_right_to_the_last_places(dtype):
    rng = np.random.default_rng(1)
    a = np.concatenate([rng.uniform(-20, 20, 1000), rng.uniform(-1, 1, 2000), 10.0 ** -rng.uniform(0, 30, 100)])
    assert errors(np.tanh, mpmath.tanh, a.reshape(31, 100).astype(dtype)) < 3.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_numbers(dtype):
    a = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0, 1e4, -1e4, 90.0, -110.0, 720.0, -760.0]], dtype)
    with np.errstate(all="ignore"):
        for function in (np.exp, np.tanh, lambda z: 1.0 / (1.0 + np.exp(-z)), lambda z: np.minimum(z, 0.0), np.abs):
            expected = function(a)
            actual = of_each(function, a)
            np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
            np.testing.assert_allclose(actual, expected, rtol=1e-6 if dtype == np.float32 else 1e-15)
            np.testing.assert_array_equal(np.signbit(actual[0, 1:]), np.signbit(expected[0, 1:]))


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_saturated_units_keep_the_digits_of_their_slopes(cell):
    numbers = made(Case(cell, T=6, units=9))
    large = {n: 40 * p if n.startswith(("U", "b")) else p for n, p in numbers.params.items()}
    g, reference = compiled(numbers.replace(params=large))
    for name in reference:
        assert_close(g[name], reference[name], EXACT, name)
    for name in (q for q in reference if q.startswith("a")):
        small = np.abs(reference[name]) > 1e-290
        assert (np.abs(g[name] - reference[name])[small] <= 1e-11 * np.abs(reference[name])[small]).mean() > 0.95


def test_what_is_not_finite_stays_so():
    numbers = made(Case("lstm", T=6, B=3))
    x = numbers.x.copy()
    x[1, 2] = np.nan
    net = network(numbers.case)
    with pytest.raises(eg.errors.NonFiniteError):
        eg.gradients(net, numbers.params, x, numbers.y, engine="compiled")
    trace = eg.forward(net, numbers.params, x, numbers.y, check_finite=False, engine="compiled")
    h = trace["h"]
    assert np.isnan(h[1, 2:]).all()
    assert np.isfinite(np.delete(h, 1, axis=0)).all()
    assert np.isfinite(h[1, :2]).all()


# -------------------------------------------------------------------------------------------- the choice


def test_calls_after_the_second_compile_nothing(monkeypatch):
    numbers = made(Case("lstm", T=8))
    net = network(numbers.case)
    first, second = (eg.gradients(net, numbers.params, *data(numbers), engine="compiled") for _ in range(2))
    monkeypatch.setattr("everygrad.engines.program.loops._machine_code", lambda *_: pytest.fail("compiled again"))
    again = eg.gradients(net, numbers.params, *data(numbers), engine="compiled")
    for name in first:
        np.testing.assert_array_equal(second[name], first[name])
        np.testing.assert_array_equal(again[name], first[name])


def test_results_of_one_call_are_not_overwritten_by_the_next():
    numbers = made(Case("lstm", T=50, B=8, units=40))
    first, _ = compiled(numbers)
    kept = {name: first[name].copy() for name in first} | {f"value {n}": first.trace[n].copy() for n in first.trace}
    compiled(numbers.replace(x=numbers.x + 1))
    for name in first:
        np.testing.assert_array_equal(first[name], kept[name])
    for name in first.trace:
        np.testing.assert_array_equal(first.trace[name], kept[f"value {name}"])


def test_an_unknown_engine():
    numbers = made(Case("elman"))
    with pytest.raises(InputError, match=r"unknown engine 'compield'\. Did you mean 'compiled'"):
        eg.forward(network(numbers.case), numbers.params, *data(numbers), engine="compield")


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    numbers = made(Case("elman"))
    with pytest.raises(InputError, match=r"pip install 'everygrad\[compiled\]'"):
        eg.gradients(network(numbers.case), numbers.params, *data(numbers), engine="compiled")


def test_other_libraries_are_refused():
    import torch

    numbers = made(Case("elman"))
    params = {name: torch.from_numpy(p) for name, p in numbers.params.items()}
    with pytest.raises(InputError, match="for NumPy arrays"):
        eg.gradients(network(numbers.case), params, *map(torch.from_numpy, data(numbers)), engine="compiled")
