"""The loop forward: a cell's values, step by step, of what has to be done step by step."""

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import accumulate, pairwise

from everygrad.engines import Array, namespace
from everygrad.engines.loop import Arrays, Reuse, scan
from everygrad.engines.pool import matmul
from everygrad.graph.operation import Shape
from everygrad.graph.time.cell import Cell
from everygrad.graph.time.phases import Packed, Task, singly

MASK = "mask of the steps"
"""Among the arrays of a loop; no quantity has a name with spaces."""


def loop(
    cell: Cell,
    tasks: tuple[Task, ...],
    kept: Collection[str],
    values: Arrays,
    shapes: dict[str, Shape],
    first: Arrays,
    mask: Array | None,
) -> Arrays:
    """Run the tasks step by step, add the values that are ``kept``, and return the states after the last step.

    ``shapes`` takes the feature shapes of all quantities of the loop.
    """
    looped = {node.name for node in singly(tasks)}
    shared = {name: value for name, value in values.items() if not cell.graph.by_name[name].lead}
    read = {name for node in singly(tasks) for name in node.inputs} | {name for name, _ in cell.states}
    xs = {name: value for name, value in values.items() if name in read and name not in shared}
    if mask is not None:
        xs[MASK] = mask
    given = [*((n, v.shape) for n, v in shared.items()), *((n, v.shape[2:]) for n, v in xs.items())]
    given += [(n, v.shape[1:]) for n, v in first.items()]
    known = cell.graph.memo.setdefault("feature shapes in the loop", {}).setdefault(tuple(given), {})
    steps = [step_of(task, values, 0, shared) for task in tasks]
    # without a mask, what is carried is the new state itself
    carried = {previous: name for name, previous in cell.states if mask is not None or name not in looped}
    keep = [node.name for node in singly(tasks) if node.name in kept and node.name not in carried.values()]

    def body(before: Arrays, x: Arrays, everywhere: Arrays) -> tuple[Arrays, Arrays]:
        now = {**everywhere, **x, **before}
        for step in steps:
            step(now)
        after = {previous: now[name] for name, previous in cell.states}
        if mask is not None:
            after = {n: namespace(s).where(beside(x[MASK], s), s, before[n]) for n, s in after.items()}
        if not known:
            known.update({name: tuple(now[name].shape[1:]) for name in looped})
        return after, {**{n: now[n] for n in keep}, **{p: after[p] for p in carried}}

    at = {previous: previous if previous in carried else name for name, previous in cell.states}
    reuse = None if cell.graph.foreign else Reuse(cell.graph.memo, ("forward", frozenset(keep), mask is None))
    before = {kept: previous for previous, kept in at.items()}
    last, stacked = scan(body, first, xs, values[cell.input].shape[0], False, shared, reuse, before)
    shapes.update(known)
    values.update({name: stacked[name] for name in keep})
    for name, previous in cell.states:
        states = stacked[at[previous]]  # s_0 ... s_T: both are views of it
        values[previous] = states[:-1]
        if name in looped:
            values[name] = states[1:]
    return last


def step_of(
    task: Task, given: Mapping[str, Array], extra: int, shared: Arrays | None = None
) -> Callable[[Arrays], None]:
    """A function that adds a task's values; ``extra`` leading axes (1 when all steps are taken at once).

    ``given`` has the parameters: packed weights are joined here, once, not at each step. They are added to ``shared``,
    from where the function reads them, unless that is None.
    """
    if isinstance(task, Packed):
        vector, names = task.vector, [node.name for node in task.nodes]
        key, sizes = f"weights of {vector}", [given[name].shape[0] for name in task.weights]
        weights = {key: stacked_weights(task, given).T}
        if shared is not None:
            shared |= weights

        def packed(values: Arrays) -> None:
            W = values.get(key, weights[key])
            values.update(zip(names, divided(sizes, matmul(values[vector], W)), strict=True))

        return packed
    assert task.operation is not None
    name, inputs, value = task.name, task.inputs, task.operation.value
    leads = tuple(lead + extra if lead else 0 for lead in task.leads)

    def single(values: Arrays) -> None:
        values[name] = value([values[i] for i in inputs], leads)

    return single


def divided(sizes: Iterable[int], whole: Array) -> list[Array]:
    """Views of consecutive parts of the last axis, of these sizes."""
    ends = list(accumulate(sizes, initial=0))
    if len(ends) == 2:
        return [whole]
    return [whole[..., start:stop] for start, stop in pairwise(ends)]


def stacked_weights(task: Packed, values: Mapping[str, Array]) -> Array:
    """[W_i; W_f; ...], one below the other."""
    weights = [values[name] for name in task.weights]
    return weights[0] if len(weights) == 1 else namespace(weights[0]).concat(weights, axis=0)


def beside(mask: Array, like: Array) -> Array:
    """A mask with as many axes as an array has: (*lead) -> (*lead, 1, ...)."""
    more = like.ndim - mask.ndim
    return namespace(mask).reshape(mask, (*mask.shape, *(1,) * more)) if more else mask
