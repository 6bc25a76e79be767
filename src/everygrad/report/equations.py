"""The equations of a recurrent layer's cell."""

from everygrad.graph.time import Cell
from everygrad.graph.time.equations import written


def equations(cell: Cell, suffix: str = "") -> tuple[str, ...]:
    """``a = U x + b + W h_prev``, ``h = tanh(a)``: one line for each quantity with a name, which gets the suffix."""
    names = {name: name + suffix for name in (*cell.quantities, *(p for _, p in cell.states), *cell.parameters)}
    return tuple(f"{names[name]} = {text}" for name, text in written(cell, names).items())
