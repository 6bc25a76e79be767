"""Cells for the tests, written as a user would write them."""

import numpy as np

from everygrad.graph import ops
from everygrad.graph.time import Cell, cell


def elman() -> Cell:
    def step(x, states, parameters):
        p = parameters
        a = p.U @ x + p.b + p.W @ states.h
        return ops.tanh(a)

    return cell(step)


def lstm() -> Cell:
    def step(x, states, parameters):
        h, c = states
        p = parameters
        a_i = p.U_i @ x + p.b_i + p.W_i @ h
        a_f = p.U_f @ x + p.b_f + p.W_f @ h
        a_g = p.U_g @ x + p.b_g + p.W_g @ h
        a_o = p.U_o @ x + p.b_o + p.W_o @ h
        i, f, g, o = ops.sigmoid(a_i), ops.sigmoid(a_f), ops.tanh(a_g), ops.sigmoid(a_o)
        c = f * c + i * g
        h = o * ops.tanh(c)
        return h, c

    return cell(step, ("h", "c"))


def odd() -> Cell:
    """Every kind of node: a state that is only read a step later, a state that needs no state, a quantity that
    nothing needs, a parameter of parameters, a number, selections, a dot product, a state copied, one returned twice.
    """

    def step(x, states, parameters):
        s, delayed, *_ = states
        p = parameters
        rate = ops.sigmoid(p.r)  # of parameters alone
        free = ops.tanh(p.V @ x)  # needs no state
        mixed = ops.concatenate(s[1:], s[:1]) * rate
        score = ops.dot(mixed, free)
        a = p.U @ x + p.W @ mixed + 0.5 * delayed
        (ops.square(a) / (1.0 + ops.exp(s))).named("watched")  # nothing needs it
        new = s + rate * (ops.tanh(a) * score - s)
        return {"s": new, "delayed": s, "free": free, "twice": new}

    return cell(step, ("s", "delayed", "free", "twice"))


def arrays(made: Cell, steps: int, batch: int, inputs: int, units: int, seed: int = 0) -> dict[str, object]:
    """Random arguments of `run` for these cells, every state of ``units`` units."""
    rng = np.random.default_rng(seed)

    def shape(name: str) -> tuple[int, ...]:
        return {"U": (units, inputs), "V": (units, inputs), "W": (units, units)}.get(name[0], (units,))

    return {
        "x": rng.normal(size=(steps, batch, inputs)),
        "states": {name: rng.normal(size=(batch, units)) for name, _ in made.states},
        "parameters": {name: rng.normal(size=shape(name)) for name in made.parameters},
    }
