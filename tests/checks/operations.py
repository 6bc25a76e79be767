"""Operations that are wrong on purpose, and small networks made of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import everygrad as eg
from everygrad.graph import Operation
from everygrad.jacobians import Dense, Diagonal, Identity, Weight, Zero


class Own(Operation):
    """A user's operation of one input, element by element."""

    def shape(self, shapes: Sequence[Any], leads: Sequence[int]) -> Any:
        return shapes[0]

    def formula(self, *operands: str) -> str:
        return f"{self.name}({', '.join(operands)})"

    def local_formula(self, slot: int, *operands: str) -> str:
        return "?"


class Tanh(Own):
    """tanh with a local derivative that is a choice: right, or a mistake."""

    def __init__(self, mistake: str) -> None:
        self.name = f"tanh_{mistake}"
        self.mistake = mistake

    def value(self, xs, leads):
        return np.tanh(xs[0])

    def local(self, slot, xs, y, leads):
        slope = 1.0 - y * y
        wrong = {
            "right": slope,
            "sign": -slope,
            "at_h": 1.0 - np.tanh(y) ** 2,
            "forgotten": np.ones_like(slope),
            "twice": slope * slope,
            "value": y,
            "third": 3.0 * slope,
        }
        return Diagonal(wrong[self.mistake], 1)


class Layer(Own):
    """a = W h with a mistake in ∂a/∂h or ∂a/∂W."""

    def __init__(self, mistake: str) -> None:
        self.name = f"layer_{mistake}"
        self.mistake = mistake

    def shape(self, shapes, leads):
        return shapes[1][:1]

    def value(self, xs, leads):
        return xs[0] @ xs[1].T

    def local(self, slot, xs, y, leads):
        h, W = xs
        if slot == 0:
            return Dense(W.T if self.mistake == "transpose" else W)
        identity = Identity(Dense(W).kind, (W.shape[0],))
        return Weight(identity, 2.0 * h if self.mistake == "twice" else h)


class Skip(Own):
    """y = u + tanh(v), whose local derivative forgets u."""

    name = "skip"

    def lead(self, leads):
        return 1

    def value(self, xs, leads):
        return xs[0] + np.tanh(xs[1])

    def local(self, slot, xs, y, leads):
        if slot == 0:
            return Zero(Dense(np.eye(2)).kind, y.shape[1:], y.shape[1:])
        return Diagonal(1.0 - np.tanh(xs[1]) ** 2, 1)


class Centre(Own):
    """h − mean of h over the samples: it mixes them, which the local derivative (identity) does not know."""

    name = "centre"

    def value(self, xs, leads):
        return xs[0] - np.mean(xs[0], axis=0)

    def local(self, slot, xs, y, leads):
        return Identity(Dense(xs[0]).kind, xs[0].shape[1:])


class Smooth(Own):
    """Values that the complex step cannot see through: √(h² + 1) by way of |·| or of a conjugate."""

    def __init__(self, how: str) -> None:
        self.name = f"smooth_{how}"
        self.how = how

    def value(self, xs, leads):
        h = xs[0]
        if self.how == "abs":
            return np.sqrt(np.abs(h) ** 2 + 1.0)
        if self.how == "conj":
            return np.sqrt(np.conj(h) ** 2 + 1.0)
        if self.how == "real":
            return np.sqrt(h**2 + 1.0) * (2.0 if np.iscomplexobj(h) else 1.0)
        if np.iscomplexobj(h):
            raise TypeError("no complex numbers here")
        return np.sqrt(h**2 + 1.0)

    def local(self, slot, xs, y, leads):
        return Diagonal(xs[0] / y, 1)


def two_layers(hidden: Operation, batch: int = 5, n: int = 4, seed: int = 0) -> tuple[Any, dict, tuple]:
    """x → a1 = W1 x + b1 → h1 = hidden(a1) → a2 = W2 h1 → mean squared error."""

    def f(x, y, *, W1, b1, W2):
        a1 = W1 @ x + b1
        h1 = eg.ops.apply(hidden, a1)
        a2 = W2 @ h1
        return eg.ops.squared_error(a2, y)

    rng = np.random.default_rng(seed)
    params = {"W1": rng.standard_normal((n, 3)), "b1": rng.standard_normal(n), "W2": rng.standard_normal((2, n))}
    return eg.graph(f), params, (rng.standard_normal((batch, 3)), rng.standard_normal((batch, 2)))


def numbers(net, rng, batch: int, scale: float = 1.0):
    """Parameters with biases that are not zero, data, and labels or targets."""
    params = {name: scale * rng.standard_normal(w.shape) / np.sqrt(w.shape[-1]) for name, w in net.init(0).items()}
    x = rng.standard_normal((batch, net.sizes[0]))
    if net.loss.name == "softmax_cross_entropy":
        return params, x, rng.integers(0, net.sizes[-1], batch)
    return params, x, rng.uniform(0.0, 1.0, (batch, net.sizes[-1]))
