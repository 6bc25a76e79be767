"""The row "scan" of the table of operations: a cell over a sequence."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

from everygrad.engines import Array, kind_of, namespace
from everygrad.engines.arrays import contiguous
from everygrad.errors import InputError, UnsupportedError
from everygrad.graph.operation import Operation, Shape, ShapeProblem
from everygrad.graph.steps import counting_shape, kept
from everygrad.graph.time.cell import Cell
from everygrad.graph.time.equations import written
from everygrad.graph.time.loop import MASK, beside
from everygrad.graph.time.run import Run, run
from everygrad.graph.time.segments import Segments, run_segments, sweep_segments
from everygrad.graph.time.sweep import Sweep, sweep
from everygrad.jacobians import Jacobian

Remember = Literal["all", "sqrt"]


@final
class Scan(Operation):
    """One quantity of a cell, run over a sequence: its value at each step, or a state at the end.

    Inputs: x (batch, time, ...), the initial states in the order of the cell (unless ``sizes`` gives their sizes:
    then they are zero), the cell's parameters, and with ``masked`` lengths (batch,) or a mask (batch, time).
    ``quantity``: which one; ``at="all"`` gives (batch, time, units), zero where a sequence has no step,
    ``at="end"`` a state after each sequence's last step, (batch, units). ``reverse`` runs from the last step to
    the first. ``remember="sqrt"`` keeps O(√T) numbers and runs twice. Nodes with the same ``label`` and inputs are
    views of one run, which a pass over the graph makes once; its derivative is backpropagation through time (`sweep`).
    """

    name = "scan"

    def __init__(
        self,
        cell: Cell,
        quantity: str = "h",
        at: Literal["all", "end"] = "all",
        reverse: bool = False,
        remember: Remember = "all",
        masked: bool = False,
        sizes: Mapping[str, int] | None = None,
        label: str = "l0",
    ) -> None:
        states = [name for name, _ in cell.states]
        if quantity not in (cell.quantities if at == "all" else states):
            known = cell.quantities if at == "all" else states
            raise InputError(f"the cell has no {'quantity' if at == 'all' else 'state'} {quantity!r}: {list(known)}")
        if remember not in ("all", "sqrt"):
            raise InputError(f"remember must be 'all' or 'sqrt', got {remember!r}")
        if sizes is not None and set(sizes) != set(states):
            raise InputError(f"sizes must give the size of each state, {states}, got {dict(sizes)}")
        self.cell = cell
        self.quantity = quantity
        self.at = at
        self.reverse = bool(reverse)
        self.remember: Remember = remember
        self.masked = bool(masked)
        self.sizes = None if sizes is None else {name: int(sizes[name]) for name in states}
        self.label = label
        self.counting = len(self.slots) - 1 if self.masked else None
        self.whole = (self.counting,) if self.counting is not None else ()

    @property
    def attributes(self) -> Mapping[str, Any]:
        return {
            "cell": self.cell,
            "quantity": self.quantity,
            "at": self.at,
            "reverse": self.reverse,
            "remember": self.remember,
            "masked": self.masked,
            "sizes": self.sizes,
            "label": self.label,
        }

    @property
    def slots(self) -> tuple[str, ...]:
        """What the cell calls each input: the input, the states (if they are given), the parameters, the mask."""
        states = () if self.sizes is not None else tuple(previous for _, previous in self.cell.states)
        return (self.cell.input, *states, *self.cell.parameters, *((MASK,) if self.masked else ()))

    def same_run(self, other: "Scan") -> bool:
        """Whether the two show quantities of one run, given the same inputs."""
        return {**self.attributes, "quantity": "", "at": ""} == {**other.attributes, "quantity": "", "at": ""}

    def lead(self, leads: Sequence[int]) -> int:
        return 2 if self.at == "all" else 1

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        if leads[0] != 2:
            raise ShapeProblem("scan: the input must be a sequence, (batch, time, features)")
        if len(shapes) != len(self.slots):
            raise ShapeProblem(f"scan takes {len(self.slots)} inputs, {', '.join(self.slots)}; got {len(shapes)}")
        if self.masked:
            counting_shape(self.name, shapes[-1], leads[-1])
        states = [p for _, p in self.cell.states] if self.sizes is None else []
        for slot, lead in list(zip(self.slots, leads, strict=True))[1:]:
            if slot in states and lead != 1:
                raise ShapeProblem(f"scan: the initial state {slot!r} must be one of each sample, (batch, units)")
            if slot in self.cell.parameters and lead:
                raise ShapeProblem(f"scan: {slot!r} must be a parameter, the same for all samples and steps")
        known = dict(zip(self.slots, shapes, strict=True))
        known |= {previous: (self.sizes[name],) for name, previous in self.cell.states if self.sizes}
        for node in self.cell.graph.nodes:
            if node.operation is not None:
                try:
                    known[node.name] = node.operation.shape([known[name] for name in node.inputs], node.leads)
                except ShapeProblem as problem:
                    raise ShapeProblem(
                        f"in the cell, {node.name!r} from ({', '.join(node.inputs)}): {problem}"
                    ) from None
            elif node.constant is not None:
                known[node.name] = ()
        states = self.cell.states
        changed = [
            f"{n!r} has shape {known[p]} before it, {known[n]} after it" for n, p in states if known[n] != known[p]
        ]
        if changed:
            raise ShapeProblem(f"scan: a state must keep its shape in a step: {'; '.join(changed)}")
        return known[self.quantity]

    def differentiable(self, slot: int, xs: Sequence[Array]) -> bool:
        return slot not in self.whole

    def run(self, xs: Sequence[Array], wanted: Sequence[str] = ()) -> Run | Segments:
        """The run behind all quantities; ``wanted``: of which something reads every step."""
        given = dict(zip(self.slots, xs, strict=True))
        x = self.inner(given[self.cell.input])
        states = {name: given[previous] for name, previous in self.cell.states if previous in given}
        if self.sizes is not None:
            kind = kind_of(x)
            states = {name: kind.zeros((x.shape[1], size)) for name, size in self.sizes.items()}
        parameters = {name: given[name] for name in self.cell.parameters}
        mask = self.inner(kept(given[MASK], x.shape[0])) if self.masked else None
        if self.remember == "all":
            return run(self.cell, x, states, parameters, mask)
        return run_segments(self.cell, x, states, parameters, mask, wanted)

    def sweep(
        self, ran: Run | Segments, direct: Mapping[str, Array], final: Mapping[str, Array], carry: bool = True
    ) -> Sweep:
        """The gradients of a run from those of its quantities, (batch, time, units), and of its final states."""
        inner = {name: self.inner(g) for name, g in direct.items()}
        if isinstance(ran, Run):
            return sweep(ran, inner, final, carry)
        if not carry:
            raise UnsupportedError("remember='sqrt' keeps too little for direct gradients: use remember='all'")
        return sweep_segments(ran, inner, final)

    def take(self, ran: Run | Segments) -> Array:
        """This node's value from the run."""
        if self.at == "end":
            return ran.final[self.quantity]
        value = ran.values[self.quantity]
        if ran.mask is not None:
            value = namespace(value).where(beside(ran.mask, value), value, kind_of(value).zeros(()))
        return self.outer(value)

    def inner(self, array: Array) -> Array:
        """(batch, time, ...) in the order of time -> (time, batch, ...) in the order of processing."""
        xp = namespace(array)
        array = xp.permute_dims(array, (1, 0, *range(2, array.ndim)))
        array = xp.flip(array, axis=0) if self.reverse else array
        return contiguous(array)

    def outer(self, array: Array) -> Array:
        """The inverse of `inner`, as a view where the library has one."""
        xp = namespace(array)
        array = xp.flip(array, axis=0) if self.reverse else array
        return xp.permute_dims(array, (1, 0, *range(2, array.ndim)))

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        return self.take(self.run(xs, (self.quantity,) if self.at == "all" else ()))

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        raise UnsupportedError(
            f"{self.quantity!r} of scan {self.label!r} depends on all earlier steps: it has no Jacobian per step. "
            "eg.unroll(net, params, x, y) has that of one step by another; everygrad.through_time the state "
            "Jacobians, the tensor and the credit of each step"
        )

    def formula(self, *operands: str) -> str:
        where = " at its end" if self.at == "end" else ""
        return f"{self.quantity} of the scan {self.label} over {operands[0]}{where}"

    def heading(self, *operands: str) -> str:
        given = dict(zip(self.slots, operands, strict=True))
        start = "zero" if self.sizes is not None else " and ".join(given[p] for _, p in self.cell.states)
        backwards = " backwards" if self.reverse else ""
        counting = f", the steps that count by {given[MASK]}" if self.masked else ""
        return f"scan {self.label} over {operands[0]}{backwards}, from {start}{counting}:"

    def equation(self, name: str, *operands: str) -> str:
        """The cell's own equation of this quantity, with the names of the graph: those of one scan end alike."""
        own = name.removesuffix("_end") if self.at == "end" else name
        suffix = own.removeprefix(self.quantity) if own.startswith(self.quantity) else ""
        if self.at == "end":
            return f"{name} = {self.quantity}{suffix} after the last step"
        before = "[t+1]" if self.reverse else "[t-1]"
        names = {q: q + suffix for q in self.cell.quantities} | {self.quantity: name}
        names |= {slot: o for slot, o in zip(self.slots, operands, strict=True) if slot != MASK}
        names |= {previous: f"{state}{suffix}{before}" for state, previous in self.cell.states}
        return f"{name} = {written(self.cell, names)[self.quantity]}"

    def local_formula(self, slot: int, *operands: str) -> str:
        return f"sum over steps of products of d{self.cell.states[0][0]}_k/d{self.cell.states[0][1]}_k"
