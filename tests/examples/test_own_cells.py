"""The cells of examples/own_cells.py: values and gradients against plain loops in complex numbers."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import everygrad as eg
from everygrad.checks.tolerance import assert_close

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_cells.py"
STEP = 1e-30


@pytest.fixture(scope="module")
def cells():
    spec = importlib.util.spec_from_file_location("own_cells", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CELLS


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# One step for one sample, from the equations. ``tap(name, value)`` gives the value on, perturbed if that is wanted.


def leaky(x, s, p, tap):
    a = tap("a", p["U"] @ x + p["b"] + p["W"] @ s["h"])
    r = sigmoid(p["rate"])
    return {"h": tap("h", (1 - r) * s["h"] + r * np.tanh(a))}


def peephole(x, s, p, tap):
    h, c = s["h"], s["c"]
    a = {k: p[f"U_{k}"] @ x + p[f"b_{k}"] + p[f"W_{k}"] @ h for k in "ifgo"}
    i, f = tap("i", sigmoid(a["i"] + p["p_i"] * c)), tap("f", sigmoid(a["f"] + p["p_f"] * c))
    c = tap("c", f * c + i * tap("g", np.tanh(a["g"])))
    o = tap("o", sigmoid(a["o"] + p["p_o"] * c))
    return {"c": c, "h": tap("h", o * np.tanh(c))}


def minimal(x, s, p, tap):
    f = tap("f", sigmoid(p["U_f"] @ x + p["b_f"] + p["W_f"] @ s["h"]))
    n = tap("n", np.tanh(p["U_n"] @ x + p["b_n"] + p["W_n"] @ (f * s["h"])))
    return {"h": tap("h", (1 - f) * s["h"] + f * n)}


STEPS = {"leaky": leaky, "peephole": peephole, "minimal": minimal}
SUFFIXES = ("_l0", "_l1")


def loss(cell, step, params, data, name=None, place=()):
    """Of two stacked layers over sequences of different length, read at each step; one number may be perturbed."""

    def seen(key, at, value):
        if name == key and place[: len(at)] == at:
            value = np.array(value, dtype=complex)
            value[place[len(at) :]] += 1j * STEP
        return value

    params = {key: seen(key, (), value) for key, value in params.items()}
    total = 0.0
    for b, length in enumerate(data["lengths"]):
        h = [seen("x", (b, t), data["x"][b, t]) for t in range(length)]
        for suffix in SUFFIXES:
            p = {key.removesuffix(suffix): value for key, value in params.items() if key.endswith(suffix)}
            s = {k: seen(f"{k}0{suffix}", (b,), data[f"{k}0{suffix}"][b]) for k in cell.states}
            for t in range(length):
                s = step(h[t], s, p, lambda q, value, at=(b, t), end=suffix: seen(q + end, at, value))
                h[t] = s["h"]
        for t in range(length):
            out = params["V"] @ h[t] + params["b_V"]
            total = total + ((out - data["y"][b, t]) ** 2).sum() * data["weight"][b, t]
    return total / sum(data["weight"][b, :n].sum() for b, n in enumerate(data["lengths"]))


@pytest.mark.parametrize("name", STEPS)
def test_every_gradient_of_a_cell_of_ones_own(cells, name):
    cell, rng = cells[name], np.random.default_rng(2)
    settings = {"layers": 2, "read": "each", "loss": "squared_error", "lengths": True, "initial": True}
    net = eg.Recurrent(cell, outputs=2, weighted=True, **settings)
    params = {key: 0.5 * rng.normal(size=shape) for key, shape in net.shapes.items()}
    B, T = 3, 4
    data = {"x": rng.normal(size=(B, T, 3)), "y": rng.normal(size=(B, T, 2)), "lengths": np.array([4, 1, 3])}
    data["weight"] = rng.uniform(0.5, 2, (B, T))
    data |= {f"{k}0{s}": rng.normal(size=(B, n)) for s in SUFFIXES for k, n in cell.states.items()}
    g = eg.gradients(net, params, **data)
    assert_close(np.asarray(g.loss), np.asarray(loss(cell, STEPS[name], params, data)))
    quantities = [q + s for s in SUFFIXES for q in cell.cell.quantities]
    for key in [*params, "x", *(f"{k}0{s}" for s in SUFFIXES for k in cell.states), *quantities]:
        expected = np.zeros(g[key].shape)
        for place in np.ndindex(expected.shape):
            expected[place] = np.imag(loss(cell, STEPS[name], params, data, key, place)) / STEP
        assert_close(g[key], expected, name=key)
    padding = np.arange(T) >= data["lengths"][:, None]
    for key in ("x", *quantities):
        np.testing.assert_array_equal(g[key][padding], 0.0, err_msg=key)


@pytest.mark.parametrize("name", STEPS)
def test_every_quantity_at_each_step(cells, name):
    cell, rng = cells[name], np.random.default_rng(3)
    net = eg.Recurrent(cell, outputs=2)
    params = {key: 0.5 * rng.normal(size=shape) for key, shape in net.shapes.items()}
    x = rng.normal(size=(2, 5, 3))
    trace = eg.forward(net, params, x, of="out")
    for b in range(2):
        s = {k: np.zeros(n) for k, n in cell.states.items()}
        for t in range(5):
            q = {}
            s = STEPS[name](x[b, t], s, params, lambda key, value, q=q: q.setdefault(key, value))
            assert set(q) == set(cell.cell.quantities)
            for key, value in q.items():
                assert_close(trace[key][b, t], value, name=key)


def test_the_example_runs():
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("Recurrent")] == [
        "Recurrent leaky 3-(h 6), read last, softmax_cross_entropy, 80 parameters",
        "Recurrent peephole 3-(h 6, c 6), read last, softmax_cross_entropy, 272 parameters",
        "Recurrent minimal 3-(h 6), read last, softmax_cross_entropy, 134 parameters",
    ]
    assert sum("first step" in line for line in lines) == 2 + 6 + 3
