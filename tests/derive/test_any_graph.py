"""Any quantity of any graph: each is derived, and its last line is a check that agrees."""

from typing import Any

import numpy as np
import pytest

import everygrad as eg
from everygrad.derive.parse import marks
from everygrad.derive.setting import setting
from everygrad.graph.losses import SoftmaxCrossEntropy
from everygrad.graph.operation import Operation
from everygrad.graph.time import cell
from everygrad.jacobians import Dense
from tests.derive.graphs import feedforward, own_cell, skipped

RNG = np.random.default_rng(4)


class Rotate(Operation):
    """An operation of one's own, with a formula in words."""

    name = "rotate"

    def shape(self, shapes, leads):
        return shapes[0]

    def value(self, xs, leads):
        return xs[0][..., ::-1] * np.array([1.0, -1.0])

    def local(self, slot, xs, y, leads):
        return Dense(np.array([[0.0, 1.0], [-1.0, 0.0]]))

    def formula(self, *operands):
        return f"{operands[0]} turned by 90°"

    def local_formula(self, slot, *operands):
        return "R(90°)"


def mixed(x, y, w, *, W, b, c):
    h = eg.ops.concatenate(W @ x + b, x[0] * x[1])
    u = c * h[1:] / (eg.ops.exp(h[:2]) + 1)
    v = eg.ops.apply(Rotate(), u) + eg.ops.dot(h, h)
    z = eg.ops.softplus(v) - u**3 + W.T @ u
    return eg.ops.softmax_cross_entropy(z, y, w)


def step(x, states, p):
    return eg.ops.tanh(p.U @ x + p.b + p.W @ states.h)


def sequence(x, y, *, U, W, b, V):
    s = eg.ops.scan(cell(step), x, {"U": U, "W": W, "b": b}, {"h": 2})
    m = eg.ops.mean_over_time(s["h"])
    return eg.ops.squared_error(V @ (m * s.end["h"]) + eg.ops.at_step(x, 0), y)


def graphs() -> dict[str, tuple[Any, ...]]:
    """network, params, data."""
    found: dict[str, tuple[Any, ...]] = {"skip": skipped()}
    params = {"W": RNG.normal(size=(2, 2)), "b": RNG.normal(size=2), "c": np.array(0.7)}
    found["mixed"] = (eg.graph(mixed), params, RNG.normal(size=(3, 2)), np.array([0, 1, 1]), np.array([1.0, 2.0, 0.5]))
    shapes = {"U": (2, 2), "W": (2, 2), "b": (2,), "V": (2, 2)}
    params = {name: RNG.normal(size=shape) for name, shape in shapes.items()}
    graph = eg.graph(sequence, sequences="x")
    found["sequence"] = (graph, params, RNG.normal(size=(2, 3, 2)), RNG.normal(size=(2, 2)))
    for key, network in {
        "weighted": feedforward(weighted=True),
        "linear": eg.FeedForward([2, 3], bias=False),
        "output": eg.FeedForward([2, 3, 2], "gelu_tanh", loss="squared_error", output="silu"),
        "smoothed": eg.FeedForward([2, 3, 2], loss=SoftmaxCrossEntropy(smoothing=0.1)),
        "gru": eg.Recurrent(eg.GRU(2, 2), 2, "each", initial=True, weighted=True),
        "masked": eg.Recurrent(eg.Elman(2, 2, "relu"), 2, "mean", lengths="mask", layers=2),
        "tokens": eg.Recurrent(eg.LSTM(2, 2), 3, embedding=(4, 2), bidirectional=True),
        "own": own_cell(),
    }.items():
        found[key] = (network,)
    return found


CASES = graphs()


def wanted(s: Any) -> list[str]:
    return [n.name for n in s.written.shown if n.name in s.gradients.arrays and n.name != s.of]


@pytest.mark.slow
@pytest.mark.parametrize("key", CASES)
def test_every_quantity(key: str):
    network, *given = CASES[key]
    options: dict[str, Any] = {} if given else {"samples": 2, "steps": 2}
    params, *data = given or (None,)
    settings = {"of": None, "sample": 0, "numbers": "tenths", "seed": 0, "samples": 1, "steps": 3, "exact": False}
    s = setting(network, params, tuple(data), {}, **{**settings, **options})
    whole = eg.derive(network, None, *given, **options)
    assert whole.ok
    assert set(whole.value) == set(wanted(s))
    seen: set[str] = set()
    for name in wanted(s):
        base = s.written.times.get(name, (name, 0))[0]
        if base in seen:
            continue
        seen.add(base)
        at = tuple(n - 1 for n in s.written.shape(name)) if len(seen) % 2 else ()  # an element of one, all of the next
        d = eg.derive(network, (name, *at), *given, **options)
        assert d.ok, (name, d.check)
        g = np.asarray(s.numbers.gradient(name))
        np.testing.assert_allclose(d.value, g[at] if at else g, rtol=1e-13)
        for output in (d.to_text(), d.to_html()):
            assert not set(output) & set(marks(9))  # no place of an operand is left open
            assert "None" not in output
