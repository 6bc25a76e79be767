"""The oracle: recurrent networks and their gradients by plain loops over samples and steps, from the equations.

Padding is not masked here, it is never visited: a sample's steps are the list of those that count. So is "reverse": the
same list, from its end. The *direct* gradients are those with nothing arriving through later steps of the same layer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from tests.networks.recurrent_cases import Case, Layer, Made

Vector = np.ndarray
Step = dict[str, Vector]


@dataclass(frozen=True)
class Found:
    """The loss, and by name every value, total and direct gradient: (B, T, n) over time, zero at padding."""

    loss: float
    total: Mapping[str, np.ndarray]
    direct: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]


def sigmoid(a: Vector) -> Vector:
    return 1 / (1 + np.exp(-a))


def sigmoid_slope(a: Vector) -> Vector:
    return 1 / (2 + np.exp(a) + np.exp(-a))


def tanh_slope(a: Vector) -> Vector:
    return 1 / np.cosh(a) ** 2


_C, _D = np.sqrt(2 / np.pi), 0.044715


def _gelu_tanh_slope(a: Vector) -> Vector:
    u = _C * (a + _D * a**3)
    return 0.5 * (1 + np.tanh(u)) + 0.5 * a * tanh_slope(u) * _C * (1 + 3 * _D * a**2)


# name -> g, g'
ACTIVATIONS: dict[str, tuple[Callable[[Vector], Vector], Callable[[Vector], Vector]]] = {
    "tanh": (np.tanh, tanh_slope),
    "sigmoid": (sigmoid, sigmoid_slope),
    "identity": (lambda a: a, lambda a: np.ones_like(a)),
    "relu": (lambda a: np.maximum(a, 0), lambda a: 1.0 * (a > 0)),
    "leaky_relu": (lambda a: np.where(a > 0, a, 0.01 * a), lambda a: np.where(a > 0, 1.0, 0.01)),
    "elu": (lambda a: np.where(a > 0, a, np.exp(a) - 1), lambda a: np.where(a > 0, 1.0, np.exp(a))),
    "gelu": (
        lambda a: a * 0.5 * (1 + erf(a / np.sqrt(2))),
        lambda a: 0.5 * (1 + erf(a / np.sqrt(2))) + a * np.exp(-(a**2) / 2) / np.sqrt(2 * np.pi),
    ),
    "gelu_tanh": (lambda a: 0.5 * a * (1 + np.tanh(_C * (a + _D * a**3))), _gelu_tanh_slope),
    "silu": (lambda a: a * sigmoid(a), lambda a: sigmoid(a) + a * sigmoid_slope(a)),
    "softplus": (lambda a: np.log(1 + np.exp(a)), sigmoid),
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda a: -np.sin(a)),
}


def pre_activation(p: Step, gate: str, x: Vector, h: Vector) -> Vector:
    """a = U x + b + W h, unit by unit."""
    U, W = p[f"U{gate}"], p[f"W{gate}"]
    a = np.zeros(len(U), np.result_type(x, h))
    for j in range(len(U)):
        a[j] = np.dot(U[j], x) + np.dot(W[j], h) + (p[f"b{gate}"][j] if f"b{gate}" in p else 0.0)
    return a


def gradients_of_affine(p: Step, gate: str, da: Vector, x: Vector, h: Vector, into: Step) -> tuple[Vector, Vector]:
    """Add to the gradients of U, W, b; return what x and h receive."""
    into[f"U{gate}"] += np.outer(da, x)
    into[f"W{gate}"] += np.outer(da, h)
    if f"b{gate}" in p:
        into[f"b{gate}"] += da
    return p[f"U{gate}"].T @ da, p[f"W{gate}"].T @ da


# ------------------------------------------------------------------------------------ the three cells, one step


def elman(case: Case, p: Step, x: Vector, s: Step) -> Step:
    a = pre_activation(p, "", x, s["h"])
    return {"a": a, "h": ACTIVATIONS[case.activation][0](a)}


def elman_back(case: Case, p: Step, x: Vector, s: Step, q: Step, d: Step, into: Step) -> tuple[Step, Vector, Step]:
    g = {"h": d["h"], "a": d["h"] * ACTIVATIONS[case.activation][1](q["a"])}
    dx, dh = gradients_of_affine(p, "", g["a"], x, s["h"], into)
    return g, dx, {"h": dh}


def lstm(case: Case, p: Step, x: Vector, s: Step) -> Step:
    q = {f"a_{k}": pre_activation(p, f"_{k}", x, s["h"]) for k in "ifgo"}
    q |= {k: np.tanh(q["a_g"]) if k == "g" else sigmoid(q[f"a_{k}"]) for k in "ifgo"}
    q["c"] = q["f"] * s["c"] + q["i"] * q["g"]
    m = q["o"] * np.tanh(q["c"])
    q["h"] = p["R"] @ m if case.projection else m
    return q


def lstm_back(case: Case, p: Step, x: Vector, s: Step, q: Step, d: Step, into: Step) -> tuple[Step, Vector, Step]:
    dm = d["h"]
    if case.projection:
        into["R"] += np.outer(d["h"], q["o"] * np.tanh(q["c"]))
        dm = p["R"].T @ d["h"]
    dc = d["c"] + dm * q["o"] * tanh_slope(q["c"])
    g = {"h": d["h"], "c": dc, "o": dm * np.tanh(q["c"]), "f": dc * s["c"], "i": dc * q["g"], "g": dc * q["i"]}
    dx, dh = np.zeros(len(x)), np.zeros(len(s["h"]))
    for k in "ifgo":
        g[f"a_{k}"] = g[k] * (tanh_slope if k == "g" else sigmoid_slope)(q[f"a_{k}"])
        of_x, of_h = gradients_of_affine(p, f"_{k}", g[f"a_{k}"], x, s["h"], into)
        dx, dh = dx + of_x, dh + of_h
    return g, dx, {"h": dh, "c": dc * q["f"]}


def gru(case: Case, p: Step, x: Vector, s: Step) -> Step:
    h = s["h"]
    q = {f"a_{k}": pre_activation(p, f"_{k}", x, h) for k in "rz"}
    q |= {k: sigmoid(q[f"a_{k}"]) for k in "rz"}
    from_input = p["U_n"] @ x + p.get("b_n", 0.0)
    if case.reset == "after":
        q["a_n"] = from_input + q["r"] * (p["W_n"] @ h + p.get("b_hn", 0.0))
    else:
        q["a_n"] = from_input + p["W_n"] @ (q["r"] * h)
    q["n"] = np.tanh(q["a_n"])
    q["h"] = (1 - q["z"]) * q["n"] + q["z"] * h
    return q


def gru_back(case: Case, p: Step, x: Vector, s: Step, q: Step, d: Step, into: Step) -> tuple[Step, Vector, Step]:
    h = s["h"]
    g = {"h": d["h"], "z": d["h"] * (h - q["n"]), "n": d["h"] * (1 - q["z"])}
    g["a_n"] = g["n"] * tanh_slope(q["a_n"])
    dx, dh = p["U_n"].T @ g["a_n"], d["h"] * q["z"]
    into["U_n"] += np.outer(g["a_n"], x)
    if "b_n" in p:
        into["b_n"] += g["a_n"]
    if case.reset == "after":
        product = p["W_n"] @ h + p.get("b_hn", 0.0)
        g["r"] = g["a_n"] * product
        into["W_n"] += np.outer(g["a_n"] * q["r"], h)
        if "b_hn" in p:
            into["b_hn"] += g["a_n"] * q["r"]
        dh = dh + p["W_n"].T @ (g["a_n"] * q["r"])
    else:
        into["W_n"] += np.outer(g["a_n"], q["r"] * h)
        of_product = p["W_n"].T @ g["a_n"]
        g["r"] = of_product * h
        dh = dh + of_product * q["r"]
    for k in "rz":
        g[f"a_{k}"] = g[k] * sigmoid_slope(q[f"a_{k}"])
        of_x, of_h = gradients_of_affine(p, f"_{k}", g[f"a_{k}"], x, h, into)
        dx, dh = dx + of_x, dh + of_h
    return g, dx, {"h": dh}


CELLS = {"elman": (elman, elman_back), "lstm": (lstm, lstm_back), "gru": (gru, gru_back)}


# --------------------------------------------------------------------------------------- one layer over time


def steps_that_count(mask: np.ndarray, reverse: bool) -> list[int]:
    """The steps of one sample in the order in which the layer reads them."""
    steps = [t for t in range(len(mask)) if mask[t]]
    return steps[::-1] if reverse else steps


def layer_forward(made: Made, layer: Layer, X: np.ndarray) -> dict[str, np.ndarray]:
    """Every quantity, and "h_prev", "c_prev": the state before each step."""
    case, p = made.case, made.cell(layer)
    B, T = made.mask.shape
    values = {k: np.zeros((B, T, case.width(k))) for k in case.quantities}
    values |= {f"{k}_prev": np.zeros((B, T, case.size(k))) for k in case.states}
    for b in range(B):
        s = {k: made.initial[f"{k}0{layer.suffix}"][b] for k in case.states}
        for t in steps_that_count(made.mask[b], layer.reverse):
            q = CELLS[case.cell][0](case, p, X[b, t], s)
            for k in case.quantities:
                values[k][b, t] = q[k]
            for k in case.states:
                values[f"{k}_prev"][b, t] = s[k]
            s = {k: q[k] for k in case.states}
    return values


def layer_backward(
    made: Made, layer: Layer, X: np.ndarray, values: Mapping[str, np.ndarray], direct: np.ndarray, carry: bool
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Gradients of the layer's quantities, parameters and initial states, and of its input.

    ``direct`` is what h receives from above at each step; without ``carry`` nothing else arrives.
    """
    case, p = made.case, made.cell(layer)
    B, T = made.mask.shape
    found = {k + layer.suffix: np.zeros((B, T, case.width(k))) for k in case.quantities}
    into = {k: np.zeros_like(v) for k, v in p.items()}
    of_X = np.zeros(X.shape)
    for k in case.states:
        found[f"{k}0{layer.suffix}"] = np.zeros((B, case.size(k)))
    for b in range(B):
        later = {k: np.zeros(case.size(k)) for k in case.states}
        for t in reversed(steps_that_count(made.mask[b], layer.reverse)):
            s = {k: values[f"{k}_prev"][b, t] for k in case.states}
            q = {k: values[k][b, t] for k in case.quantities}
            arriving = {k: later[k] if carry else 0 * later[k] for k in case.states}
            arriving["h"] = arriving["h"] + direct[b, t]
            g, of_X[b, t], later = CELLS[case.cell][1](case, p, X[b, t], s, q, arriving, into)
            for k in case.quantities:
                found[k + layer.suffix][b, t] = g[k]
        for k in case.states:
            found[f"{k}0{layer.suffix}"][b] = later[k]
    return found | {k + layer.suffix: v for k, v in into.items()}, of_X


# -------------------------------------------------------------------------------------------- the network


def loss_and_slope(made: Made, z: Vector, y: np.ndarray) -> tuple[float, Vector]:
    """One sample at one step: ℓ and ∂ℓ/∂z."""
    if made.case.loss == "squared_error":
        return float(np.sum((z - y) ** 2)), 2 * (z - y)
    e = np.exp(z - z.max())
    p = e / e.sum()
    return -float(np.log(p[y])), np.array([p[k] - (k == y) for k in range(len(p))])


def read_out(made: Made, H: np.ndarray, forward: int) -> tuple[float, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """The loss, the prediction z, ∂L/∂H and the gradients of V, b_V and of the prediction z.

    The last step of a half that runs backwards is the first one in time. ``forward``: how many units run forward.
    """
    case, V = made.case, made.params["V"]
    B, T = made.mask.shape
    each = case.read == "each"
    c = made.coefficients
    loss, of_H = 0.0, np.zeros(H.shape)
    z = np.zeros((B, T, case.outputs) if each else (B, case.outputs))
    found = {"V": np.zeros(V.shape), "b_V": np.zeros(case.outputs), "prediction": np.zeros(z.shape)}
    for b in range(B):
        steps = [t for t in range(T) if made.mask[b, t]]
        for place in steps if each else [None]:
            at = b if place is None else (b, place)
            if case.read == "last":
                h = np.concatenate([H[b, steps[-1], :forward], H[b, steps[0], forward:]])
            else:
                h = sum(H[b, t] for t in steps) / len(steps) if place is None else H[b, place]
            z[at] = V @ h + made.params["b_V"]
            one, slope = loss_and_slope(made, z[at], made.y[at])
            loss += c[at] * one
            dz = found["prediction"][at] = c[at] * slope
            found["V"] += np.outer(dz, h)
            found["b_V"] += dz
            dh = V.T @ dz
            if case.read == "last":
                of_H[b, steps[-1], :forward] += dh[:forward]
                of_H[b, steps[0], forward:] += dh[forward:]
            else:
                for t in steps if place is None else [place]:
                    of_H[b, t] += dh / len(steps) if place is None else dh
    return loss, z, of_H, found


def plain_loops(made: Made) -> Found:
    """The whole network: forward from below, backward from above."""
    case = made.case
    X = made.params["E"][made.x] if case.embedding else np.where(made.mask[..., None], made.x, 0.0)
    inputs, kept, values = [], [], {}
    for level in range(case.layers):
        halves = [layer for layer in case.stack if layer.level == level]
        inputs.append(X)
        kept.append([(layer, layer_forward(made, layer, X)) for layer in halves])
        for layer, v in kept[-1]:
            values |= {k + layer.suffix: v[k] for k in case.quantities}
        X = np.concatenate([v["h"] for _, v in kept[-1]], axis=-1)
    loss, values["prediction"], of_X, total = read_out(made, X, case.output)
    direct: dict[str, np.ndarray] = {}
    for X, halves in zip(reversed(inputs), reversed(kept), strict=True):
        above, of_X, direct_of_X = of_X, np.zeros(X.shape), np.zeros(X.shape)
        for i, (layer, v) in enumerate(halves):
            arriving = above[..., i * case.output : (i + 1) * case.output]
            found, more = layer_backward(made, layer, X, v, arriving, carry=True)
            total, of_X = total | found, of_X + more
            found, more = layer_backward(made, layer, X, v, arriving, carry=False)
            direct, direct_of_X = direct | found, direct_of_X + more
    name = "embedded" if case.embedding else "x"
    total[name], direct[name] = of_X, direct_of_X
    if case.embedding:
        total["E"] = np.zeros(case.embedding)
        for b, t in np.ndindex(made.x.shape):
            total["E"][made.x[b, t]] += of_X[b, t]
    return Found(loss, total, direct, values)
