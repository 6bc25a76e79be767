"""The cases as the library's networks, and what it finds by the oracles' names."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from everygrad.backprop import Gradients, gradients
from everygrad.graph import ops
from everygrad.networks import GRU, LSTM, Cell, Elman, Recurrent
from tests.networks.recurrent_cases import Case, Made


def leaky(x: Any, states: Any, p: Any) -> Any:
    a = p.U @ x + p.b + p.W @ states.h
    return 0.7 * states.h + 0.3 * ops.tanh(a)


def peephole(x: Any, states: Any, p: Any) -> Any:
    h, c = states
    a_i = p.U_i @ x + p.b_i + p.W_i @ h + p.p_i * c
    a_f = p.U_f @ x + p.b_f + p.W_f @ h + p.p_f * c
    a_g = p.U_g @ x + p.b_g + p.W_g @ h
    i, f, g = ops.sigmoid(a_i), ops.sigmoid(a_f), ops.tanh(a_g)
    c = f * c + i * g
    a_o = p.U_o @ x + p.b_o + p.W_o @ h + p.p_o * c
    o = ops.sigmoid(a_o)
    return {"h": o * ops.tanh(c), "c": c}


def minimal(x: Any, states: Any, p: Any) -> Any:
    h = states.h
    a_f = p.U_f @ x + p.b_f + p.W_f @ h
    f = ops.sigmoid(a_f)
    a_n = p.U_n @ x + p.b_n + p.W_n @ (f * h)
    n = ops.tanh(a_n)
    return (1 - f) * h + f * n


OWN = {"leaky": leaky, "peephole": peephole, "minimal": minimal}


@cache
def network(case: Case, remember: str = "all") -> Recurrent:
    """The case; made once, for its graph and plans are."""
    first = case.stack[0].inputs
    cell: Any
    if case.cell == "elman":
        cell = Elman(first, case.units, case.activation, case.bias)
    elif case.cell == "lstm":
        cell = LSTM(first, case.units, case.projection, case.bias)
    elif case.cell == "gru":
        cell = GRU(first, case.units, case.reset, case.bias)
    else:
        cell = Cell(OWN[case.cell], first, {k: case.size(k) for k in case.states}, case.cell_shapes)
    return Recurrent(
        cell,
        case.outputs,
        case.read,
        case.layers,
        case.bidirectional,
        case.loss,
        case.lengths,
        case.initial,
        case.embedding,
        case.weighted,
        remember,
    )


def data(numbers: Made) -> list[np.ndarray]:
    """The data arrays in the order in which the network takes them."""
    case = numbers.case
    arrays = [numbers.x, numbers.y]
    if case.lengths:
        arrays.append(numbers.mask if case.lengths == "mask" else numbers.lengths)
    if numbers.weight is not None:
        arrays.append(numbers.weight)
    return arrays + (list(numbers.initial.values()) if case.initial else [])


def found(numbers: Made, make: Callable[[np.ndarray], Any] = lambda array: array) -> Gradients:
    """The library's gradients, of arrays that ``make`` makes."""
    params = {name: make(array) for name, array in numbers.params.items()}
    return gradients(network(numbers.case), params, *map(make, data(numbers)))


def asked(numbers: Made, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An oracle's arrays by the library's names, without those of initial states that were not given."""
    starts = set() if numbers.case.initial else set(numbers.initial)
    prediction = network(numbers.case).prediction
    return {prediction if k == "prediction" else k: v for k, v in arrays.items() if k not in starts}
