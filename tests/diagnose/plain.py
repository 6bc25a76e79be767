"""An Elman network and an LSTM by plain loops from their equations, as the arrays that the rules read."""

import math

import numpy as np

from everygrad.diagnose import Keeper, Squash, Unrolled
from everygrad.graph.elementwise import Elementwise


def elman(
    W: np.ndarray, a_in: np.ndarray, loss_gradient: np.ndarray, activation: str = "tanh", reverse: bool = False
) -> Unrolled:
    """h_t = g(a_in_t + W h_{t−1}) with h_0 = 0; a_in and the loss gradient of h are (batch, time, units)."""
    g, slope = {
        "tanh": (math.tanh, lambda a: 1 - math.tanh(a) ** 2),
        "relu": (lambda a: max(a, 0.0), lambda a: float(a > 0)),
    }[activation]
    B, T, n = a_in.shape
    a, h = np.zeros((B, T, n)), np.zeros((B, T, n))
    total_h, total_a = np.zeros((B, T, n)), np.zeros((B, T, n))
    order = list(range(T))[:: -1 if reverse else 1]
    for b in range(B):
        before = [0.0] * n
        for t in order:
            for p in range(n):
                a[b, t, p] = a_in[b, t, p] + sum(W[p, q] * before[q] for q in range(n))
                h[b, t, p] = g(a[b, t, p])
            before = list(h[b, t])
        arriving = [0.0] * n
        for t in reversed(order):
            for p in range(n):
                total_h[b, t, p] = loss_gradient[b, t, p] + arriving[p]
                total_a[b, t, p] = total_h[b, t, p] * slope(a[b, t, p])
            arriving = [sum(total_a[b, t, p] * W[p, q] for p in range(n)) for q in range(n)]
    direct_a = loss_gradient * np.vectorize(slope)(a)
    return Unrolled(
        label="l0",
        states=("h",),
        values={"a": a, "h": h},
        total={"a": total_a, "h": total_h},
        direct={"a": direct_a, "h": loss_gradient},
        squashes={"h": Squash("a", Elementwise(activation))},
        recurrent={"W": W},
        reverse=reverse,
    )


def accumulator(f: np.ndarray, last: np.ndarray) -> Unrolled:
    """c_t = f_t c_{t−1} + 1, h_t = c_t: an LSTM whose other gates are open, f (batch, time, units) given.

    The loss speaks to the last step only: the gradient of c_t is last · f_{t+1} ... f_T.
    """
    B, T, n = f.shape
    c, total = np.zeros((B, T, n)), np.zeros((B, T, n))
    for b in range(B):
        for j in range(n):
            before = 0.0
            for t in range(T):
                before = f[b, t, j] * before + 1.0
                c[b, t, j] = before
            arriving = last[b, j]
            for t in reversed(range(T)):
                total[b, t, j] = arriving
                arriving *= f[b, t, j]
    direct = np.zeros((B, T, n))
    direct[:, -1] = last
    a_f = np.log(f) - np.log1p(-f)
    return Unrolled(
        label="l0",
        states=("c",),
        values={"a_f": a_f, "f": f, "c": c},
        total={"c": total},
        direct={"c": direct},
        suffix="_l0",
        squashes={"f": Squash("a_f", Elementwise("sigmoid"))},
        keepers={"c": Keeper("f")},
    )
