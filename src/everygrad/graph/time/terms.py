"""What the uses of a cell's quantities add to gradients, all steps at once."""

from collections.abc import Callable
from functools import cache

from everygrad.engines import Array
from everygrad.graph.graph import Node
from everygrad.graph.time.loop import divided, stacked_weights
from everygrad.graph.time.phases import Packed, Task
from everygrad.graph.time.run import Run
from everygrad.jacobians import Dense, Identity, Weight

Arrays = dict[str, Array]


def add(found: Arrays, name: str, g: Array) -> None:
    """One more term of a gradient."""
    found[name] = found[name] + g if name in found else g


def uses(run: Run, node: Node) -> list[tuple[int, str]]:
    """The (slot, name) pairs through which a gradient can pass."""
    return [(i, name) for i, name in enumerate(node.inputs) if run.differentiable(node, i)]


class Terms:
    """Sends gradients from quantities to what they were computed from, in one product for all steps."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.local = cache(run.local)  # a slope is taken once, whoever asks for it in this sweep
        self._joined: dict[tuple[int, ...], tuple[list[Array | None], Array]] = {}

    def send(self, task: Task, found: Arrays, to: Callable[[str], bool] = lambda name: True) -> None:
        """Add a task's terms to the gradients of its inputs, of those that ``to`` accepts."""
        if isinstance(task, Packed):
            if any(node.name in found for node in task.nodes):
                self._send_packed(task, found, to)
        elif task.name in found:
            for slot, name in uses(self.run, task):
                if to(name):
                    J = self.local(task.name, slot)
                    add(found, name, J.pull(found[task.name], total=task.leads[slot] == 0))

    def _send_packed(self, task: Packed, found: Arrays, to: Callable[[str], bool]) -> None:
        g = self.joined(task, found)
        if to(task.vector):
            add(found, task.vector, Dense(stacked_weights(task, self.run.values)).pull(g))
        columns = Weight(Identity(self.run.kind, (g.shape[-1],)), self.run.array(task.vector)).pull(g, total=True).T
        for name, part in zip(task.weights, divided(self._sizes(task), columns), strict=True):
            if to(name):
                add(found, name, part.T)

    def _sizes(self, task: Packed) -> list[int]:
        return [self.run.shapes[node.name][0] for node in task.nodes]

    def joined(self, task: Packed, found: Arrays) -> Array:
        """The gradients of packed nodes side by side; the same ones are joined once."""
        each = [found.get(node.name) for node in task.nodes]
        key = tuple(map(id, each))
        if key not in self._joined:
            lead = (self.run.steps, self.run.batch)
            whole = [
                self.run.kind.zeros((*lead, *self.run.shapes[node.name])) if g is None else g
                for node, g in zip(task.nodes, each, strict=True)
            ]
            self._joined[key] = each, whole[0] if len(whole) == 1 else self.run.kind.xp.concat(whole, axis=-1)
        return self._joined[key][1]

    def note(self, task: Packed, found: Arrays, g: Array) -> None:
        """``g`` is the joined gradient of these nodes: take its parts, and remember whose parts they are."""
        each: list[Array | None] = list(divided(self._sizes(task), g))
        found.update({node.name: part for node, part in zip(task.nodes, each, strict=True)})
        self._joined[tuple(map(id, each))] = each, g
