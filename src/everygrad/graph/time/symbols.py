"""A scan among the symbols of a function: ``ops.scan(cell, x, ...)``."""

from collections.abc import Mapping
from typing import Any, final

from everygrad.errors import InputError
from everygrad.graph.sequence import KeepSteps
from everygrad.graph.symbol import Symbol
from everygrad.graph.time.cell import Cell
from everygrad.graph.time.scan import Remember, Scan


@final
class Scanned:
    """The quantities of a cell over a sequence, as symbols: ``s["h"]`` at each step, ``s.end["h"]`` after the last."""

    def __init__(self, steps: Mapping[str, Symbol], end: Mapping[str, Symbol]) -> None:
        self.steps = steps
        self.end = end

    def __getitem__(self, name: str) -> Symbol:
        if name not in self.steps:
            raise InputError(f"the cell has no quantity {name!r}: it has {', '.join(self.steps)}")
        return self.steps[name]


def scan(
    cell: Cell,
    x: Symbol,
    parameters: Mapping[str, Symbol],
    initial: Mapping[str, Symbol] | Mapping[str, int],
    lengths: Symbol | None = None,
    reverse: bool = False,
    remember: Remember = "all",
    label: str = "l0",
    suffix: str = "",
) -> Scanned:
    """A cell over the sequence ``x`` (batch, time, features).

    ``parameters``: a symbol for each of the cell's; ``initial``: for each state a symbol (batch, units), or its size
    as a number, and then it begins at zero. ``lengths`` (batch,) or a mask (batch, time). Quantities are named as in
    the cell, with the ``suffix``; ``label`` names the scan and differs from those of others in the graph. Raises
    `InputError` if a parameter or a state is missing or not the cell's.
    """
    if not isinstance(cell, Cell):
        hint = ": give its .cell" if isinstance(getattr(cell, "cell", None), Cell) else ""
        raise InputError(f"scan takes a Cell, the graph of one step, got {cell!r}{hint}")
    states = [name for name, _ in cell.states]
    for what, given, names in (("parameters", parameters, cell.parameters), ("initial states", initial, states)):
        if set(given) != set(names):
            raise InputError(f"{what} of the scan: the cell has {list(names)}, got {sorted(given)}")
    begins = [initial[name] for name in states]
    at_zero = not any(isinstance(s, Symbol) for s in begins)
    if not at_zero and not all(isinstance(s, Symbol) for s in begins):
        raise InputError("initial states: give symbols for all, or sizes for all")
    if lengths is not None and x._record()["role"] == "data":
        x = x.builder.apply(KeepSteps(), x, lengths)  # what the user put into the padding may be anything
    inputs = [x, *([] if at_zero else begins), *(parameters[name] for name in cell.parameters)]
    inputs += [] if lengths is None else [lengths]
    settings: dict[str, Any] = {"reverse": reverse, "remember": remember, "masked": lengths is not None, "label": label}
    settings["sizes"] = initial if at_zero else None
    apply = x.builder.apply
    # all steps of a quantity are there to be looked at; with "sqrt" they cost memory, so only if they are used
    steps = {q: apply(Scan(cell, q, **settings), *inputs, name=q + suffix) for q in cell.quantities}
    end = {s: apply(Scan(cell, s, "end", **settings), *inputs, name=f"{s}{suffix}_end") for s in states}
    return Scanned(steps, end)
