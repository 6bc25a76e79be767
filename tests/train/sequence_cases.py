"""An Elman network on sequences of different length as a graph of one's own, and its loss by torch, step by step."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch

from everygrad.graph import ops
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import Loss, SoftmaxCrossEntropy, SquaredError
from everygrad.graph.symbol import Builder
from everygrad.graph.time import Cell, cell
from everygrad.networks import GraphNetwork

Read = Literal["last", "each"]


def elman(activation: str) -> Cell:
    """a = U x + b + W h_prev, h = g(a)."""

    def step(x, states, parameters):
        p = parameters
        a = p.U @ x + p.b + p.W @ states.h
        return ops.apply(Elementwise(activation), a)

    return cell(step)


def elman_network(
    read: Read,
    counting: Literal["lengths", "mask"] | None = "lengths",
    weighted: bool = False,
    loss: Loss | None = None,
    sizes: tuple[int, int, int] = (2, 4, 3),
    initial: bool = False,
    activation: str = "tanh",
) -> tuple[GraphNetwork, dict[str, np.ndarray]]:
    """h_t = tanh(U x_t + b + W h_{t−1}), z = V h + d; data x, y, lengths or mask, weight, h0."""
    inputs, units, outputs = sizes
    builder = Builder()
    at_steps = 2 if read == "each" else 1
    x = builder.given("x", "data", lead=2)
    y = builder.given("y", "data", lead=at_steps)
    counts = None if counting is None else builder.given(counting, "data", lead=1 if counting == "lengths" else 2)
    weight = builder.given("weight", "data", lead=at_steps) if weighted else None
    h0 = builder.given("h0", "data") if initial else units
    parameters = {name: builder.given(name, "parameter") for name in ("U", "b", "W", "V", "d")}
    inner = {name: parameters[name] for name in ("U", "b", "W")}
    scanned = ops.scan(elman(activation), x, inner, {"h": h0}, counts)
    h = scanned["h"] if read == "each" else scanned.end["h"]
    z = (parameters["V"] @ h + parameters["d"]).named("z")
    if read == "each" and counts is not None:
        y = ops.keep_steps(y, counts)
        weight = ops.step_weight(z, counts, weight)
    operands = (z, y) if weight is None else (z, y, weight)
    output = builder.apply(loss or SoftmaxCrossEntropy(), *operands, name="loss")
    shapes = {"U": (units, inputs), "b": (units,), "W": (units, units), "V": (outputs, units), "d": (outputs,)}
    rng = np.random.default_rng(3)
    start = {name: rng.normal(size=shape) * 0.7 for name, shape in shapes.items()}
    return GraphNetwork(builder.graph(output), "z", shapes), start


def torch_loss(read: Read, squared: bool = False):
    """The mean loss over sequences, or over the steps that count, weighted: loops over samples and steps."""

    def loss(p: Mapping[str, torch.Tensor], x, y, lengths, weight) -> torch.Tensor:
        total, mass = torch.zeros((), dtype=x.dtype), torch.zeros((), dtype=x.dtype)
        for n in range(len(x)):
            h = torch.zeros(p["W"].shape[0], dtype=x.dtype)
            for t in range(int(lengths[n])):
                h = torch.tanh(p["U"] @ x[n, t] + p["b"] + p["W"] @ h)
                if read == "each" or t == int(lengths[n]) - 1:
                    target, w = (y[n, t], weight[n, t]) if read == "each" else (y[n], weight[n])
                    z = p["V"] @ h + p["d"]
                    term = ((z - target) ** 2).sum() if squared else torch.nn.functional.cross_entropy(z, target)
                    total, mass = total + w * term, mass + w
        return total / mass

    return loss


def sequences(n: int = 23, time: int = 6, seed: int = 1) -> dict[str, np.ndarray]:
    """x (n, time, 2), labels y (n,) and steps (n, time) of three classes, lengths, weights; NaN in the padding of x."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, time + 1, size=n)
    used = np.arange(time) < lengths[:, None]
    return {
        "x": np.where(used[..., None], rng.normal(size=(n, time, 2)), np.nan),
        "y": np.arange(n) % 3,
        "steps": np.where(used, rng.integers(0, 3, size=(n, time)), -1),
        "lengths": lengths,
        "mask": used,
        "weight": rng.integers(0, 3, size=n) * 0.7,
        "step_weight": np.where(used, rng.integers(0, 3, size=(n, time)) * 0.7, np.nan),
        "h0": rng.normal(size=(n, 4)),
    }


def padded(array: np.ndarray, steps: int) -> np.ndarray:
    """More padding behind, of what must never be looked at."""
    nothing = {"f": np.nan, "i": -7, "b": False}[array.dtype.kind]
    return np.concatenate([array, np.full((len(array), steps, *array.shape[2:]), nothing, array.dtype)], axis=1)


SQUARED = SquaredError()
