"""Ten graphs, each with a question: feed-forward, recurrent, a cell of one's own, a function, formulas."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import everygrad as eg
from everygrad.derive import Derivation
from everygrad.derive.formula import formula_setting
from everygrad.derive.setting import Setting, setting

LECTURE = "y1 = x**2; y2 = x**3; z = log(y1*y2)"


def feedforward(**options: Any) -> eg.FeedForward:
    return eg.FeedForward([3, 4, 2], **options)


def rational() -> eg.FeedForward:
    return eg.FeedForward([3, 2, 2], activation="relu", loss="squared_error")


def leaky(x, states, parameters):
    p = parameters
    a = p.U @ x + p.b + p.W @ states.h
    return 0.9 * states.h + 0.1 * eg.ops.tanh(a)


def own_cell() -> eg.Recurrent:
    cell = eg.Cell(leaky, inputs=2, states={"h": 3}, parameters={"U": (3, 2), "b": (3,), "W": (3, 3)})
    return eg.Recurrent(cell, 2, "each")


def skip(x, y, *, W1, b1, W2):
    h1 = eg.ops.gelu(W1 @ x + b1)
    a2 = W2 @ h1 + x
    return eg.ops.squared_error(a2, y)


def skipped() -> tuple[eg.Graph, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    params = {name: rng.integers(-9, 10, shape) / 10 for name, shape in (("W1", (3, 2)), ("b1", (3,)), ("W2", (2, 3)))}
    return eg.graph(skip), params, rng.integers(-9, 10, (2, 2)) / 10, rng.integers(-9, 10, (2, 2)) / 10


@dataclass(frozen=True)
class Case:
    """A graph and a question."""

    network: Any
    wrt: str | None
    options: dict[str, Any]
    given: tuple[Any, ...] = ()

    def derive(self) -> Derivation:
        return eg.derive(self.network, self.wrt, *self.given, **self.options)

    def setting(self) -> Setting:
        """The pass that the derivation's numbers come from."""
        if isinstance(self.network, str):
            exact = self.options.get("exact", False)
            values = {name: x for name, x in self.options.items() if name not in ("of", "exact")}
            return formula_setting(self.network, values, self.wrt, self.options.get("of"), exact)[0]
        options = {"of": None, "sample": 0, "numbers": "tenths", "seed": 0, "samples": 1, "steps": 3, "exact": False}
        params, *data = self.given or (None,)
        return setting(self.network, params, tuple(data), {}, **{**options, **self.options})


def _case(network: Any, wrt: str | None = None, given: tuple[Any, ...] = (), **options: Any) -> Case:
    return Case(network, wrt, options, given)


TEN = {
    "unit": _case(feedforward(), "h1[2]"),
    "preactivation": _case(feedforward(activation="sigmoid"), "a1", samples=2),
    "weight": _case(feedforward(loss="binary_cross_entropy"), "W2[1,2]", samples=3),
    "exact": _case(rational(), "W1[0,1]", exact=True, samples=2),
    "whole": _case(feedforward(activation="leaky_relu")),
    "elman": _case(eg.Recurrent(eg.Elman(2, 3), 2), "W[1,2]"),
    "lstm": _case(eg.Recurrent(eg.LSTM(2, 3), 2, "mean"), "c[1,0]"),
    "gru": _case(eg.Recurrent(eg.GRU(2, 3, reset="before"), 2), "W_n", seed=1),
    "own": _case(own_cell()),
    "formula": _case(LECTURE, "x", x=2.0),
}
ALL = {
    **TEN,
    "function": _case(skipped()[0], "h1[1]", skipped()[1:]),
    "bidirectional": _case(eg.Recurrent(eg.Elman(2, 2), 2, layers=2, bidirectional=True), "W_l0_reverse"),
    "of_state": _case(eg.Recurrent(eg.Elman(2, 3), 2), "W[1,2]", of="h[2,1]"),
    "lengths": _case(eg.Recurrent(eg.GRU(2, 2), 2, lengths=True), "h[0]", samples=2),
    "tokens": _case(eg.Recurrent(eg.LSTM(2, 2), 2, "each", embedding=(5, 2)), "E"),
    "projection": _case(eg.Recurrent(eg.LSTM(2, 3, projection=2), 2), "W_f[0,1]", samples=2),
    "long": _case(eg.Recurrent(eg.Elman(1, 2), 2), "U[1,0]", steps=9),
    "mean": _case(feedforward(loss="squared_error"), "b1[0]", samples=3),
    "quotient": _case("u = a/(a + b); z = u**2 + sin(u)*exp(-b)", "b", a=1.5, b=0.5),
    "softplus": _case("z = softplus(x) + gelu(x) + elu(x) + sqrt(x)", "x", x=0.7),
}
