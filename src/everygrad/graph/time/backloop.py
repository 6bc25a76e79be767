"""The loop of backpropagation through time: only what has to be done step by step."""

from collections.abc import Callable, Mapping

from everygrad.engines import Array, namespace
from everygrad.engines.compiled.choice import compiles
from everygrad.engines.loop import Reuse, scan
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.graph import Node
from everygrad.graph.time.loop import MASK, beside, stacked_weights
from everygrad.graph.time.phases import Packed, Task, phases, singly
from everygrad.graph.time.run import Run
from everygrad.graph.time.terms import Arrays, Terms, add, uses
from everygrad.jacobians import Diagonal, Identity

Step = Callable[[Array, Arrays], Array]
"""(∂u/∂v)ᵀ g at one step, from g = ∇u and the arrays of this step."""
Work = Callable[[Arrays, Arrays, Arrays], None]
"""What a task adds to the gradients of this step; the third argument takes what is to be kept of it."""


def backloop(run: Run, found: Arrays, final: Mapping[str, Array], terms: Terms) -> Arrays:
    """Add the total gradients of the loop's quantities to ``found``; return those of the initial states.

    ``found`` holds what arrives from outside of the loop, (time, batch, units) by name; ``final``, what arrives at
    the states after the last step.
    """
    kind, states, todo = run.kind, run.cell.states, phases(run.cell).loop
    looped = {node.name for node in singly(todo)}
    inside = looped | {previous for _, previous in states}
    xs = {name: g for name, g in found.items() if name in inside}
    if run.mask is not None:
        xs[MASK] = run.mask
    shared = {"zero": kind.zeros(())}
    for task in singly(todo):
        shared |= {n: run.values[n] for n in task.inputs if n in run.values and not run.over_time(n)}
    work = [_work(terms, task, inside, xs, shared) for task in reversed(todo)]
    packed = [task for task in todo if isinstance(task, Packed)]
    hidden = {node.name for task in packed for node in task.nodes}
    same = _same(terms, looped, found)
    left_out = hidden | same.keys() | {same[name] for name in hidden if name in same}
    shown = [node.name for node in reversed(singly(todo)) if node.name not in left_out]

    def body(later: Arrays, now: Arrays, everywhere: Arrays) -> tuple[Arrays, Arrays]:
        x = {**everywhere, **now}
        g = {name: now[name] for name in inside if name in now}
        kept: Arrays = {}
        before: Arrays = {}
        for name, previous in states:
            arriving = later[previous]
            if run.mask is not None:  # where there is no step, the state was carried on, and so is its gradient
                present, zero = beside(x[MASK], arriving), x["zero"]
                before[previous] = namespace(arriving).where(present, zero, arriving)
                arriving = namespace(arriving).where(present, arriving, zero)
            if name in looped:
                add(g, name, arriving)
            else:
                kept[name] = arriving
        for add_terms in work:
            add_terms(g, x, kept)
        for _, previous in states:
            if previous in g:
                add(before, previous, g[previous])
            if previous not in before:
                before[previous] = namespace(later[previous]).zeros_like(later[previous])
        return before, {**{name: g[name] for name in shown if name in g}, **kept}

    last = {p: final[n] if n in final else kind.zeros((run.batch, *run.shapes[n])) for n, p in states}
    graph = run.cell.graph
    reuse = None if graph.foreign else Reuse(graph.memo, ("backward", frozenset(shown), run.mask is None))
    first, stacked = scan(body, last, xs, run.steps, True, shared, reuse)
    for task in packed:
        if _joined(task) in stacked:
            terms.note(task, found, stacked[_joined(task)])
    for name in looped & stacked.keys():
        found[name] = stacked[name]
    for name, _ in states:
        if name not in looped:
            add(found, name, stacked[name])
    for name in hidden & same.keys() & found.keys():
        found[same[name]] = found[name]
    found.update({name: found[root] for name, root in same.items() if root in found and name not in hidden})
    for _, previous in states:
        found.pop(previous, None)  # what arrived from outside; the whole is in `first`, and in the state before
    return {name: first[previous] for name, previous in states}


def _same(terms: Terms, looped: set[str], found: Arrays) -> dict[str, str]:
    """name -> the quantity whose gradient it shares: read once, by a sum, and by nobody outside the loop."""
    same: dict[str, str] = {}
    run = terms.run
    states = {name for name, _ in run.cell.states}
    for node in reversed(run.cell.graph.nodes):
        users = run.cell.graph.consumers[node.name]
        if node.name in looped and node.name not in states and node.name not in found and len(users) == 1:
            user, slot = users[0]
            if user in looped and _passes_on(terms, user, slot):
                same[node.name] = same.get(user, user)
    return same


def _passes_on(terms: Terms, name: str, slot: int) -> bool:
    """Whether the local Jacobian is the identity; slopes are not taken to see that."""
    operation = terms.run.cell.graph.by_name[name].operation
    sloped = isinstance(operation, Elementwise) and operation.name != "identity"
    return not sloped and isinstance(terms.local(name, slot), Identity)


def _joined(task: Packed) -> str:
    return f"products of {task.vector}"


def _work(terms: Terms, task: Task, inside: set[str], xs: Arrays, shared: Arrays) -> Work:
    """A task's part of one step. What it needs is added to ``xs``, or to ``shared`` if all steps have the same."""
    if isinstance(task, Packed):
        return _packed_work(terms.run, task, shared)
    steps = [(name, _at_step(terms, task, slot, xs, shared)) for slot, name in uses(terms.run, task) if name in inside]

    def work(g: Arrays, x: Arrays, kept: Arrays) -> None:
        if task.name in g:
            for name, step in steps:
                add(g, name, step(g[task.name], x))

    return work


def _packed_work(run: Run, task: Packed, shared: Arrays) -> Work:
    names, key = [node.name for node in task.nodes], _joined(task)
    weights = f"weights of {task.vector}"
    shared[weights] = stacked_weights(task, run.values)
    shared |= {f"zeros for {name}": run.kind.zeros((run.batch, *run.shapes[name])) for name in names}

    def work(g: Arrays, x: Arrays, kept: Arrays) -> None:
        if any(name in g for name in names):
            each = [g[name] if name in g else x[f"zeros for {name}"] for name in names]
            kept[key] = each[0] if len(each) == 1 else namespace(each[0]).concat(each, axis=-1)
            add(g, task.vector, kept[key] @ x[weights])

    return work


def _at_step(terms: Terms, node: Node, slot: int, xs: Arrays, shared: Arrays) -> Step:
    """The pull of one local Jacobian at one step. Slopes are taken for all steps at once where that can be.

    In a compiled loop they cost less at each step: that saves writing and reading an array of all steps.
    """
    run, operation = terms.run, node.operation
    assert operation is not None
    if compiles(run.kind) and operation.local_reads != "shapes":
        return _asked_again(run, node, slot, xs, shared)
    J = terms.local(node.name, slot)
    if isinstance(J, Identity):
        return lambda g, x: g
    again = f", use {slot + 1}" if node.inputs.count(node.inputs[slot]) > 1 else ""
    key = f"slope of {node.name} by {node.inputs[slot]}{again}"
    if isinstance(J, Diagonal) and J.batch in ((), (run.steps, run.batch)):
        (xs if J.batch else shared)[key] = J.d
        return lambda g, x: g * x[key]
    if not J.batch:
        return lambda g, x: J.pull(g)
    return _asked_again(run, node, slot, xs, shared)


def _asked_again(run: Run, node: Node, slot: int, xs: Arrays, shared: Arrays) -> Step:
    """The pull of a local Jacobian that is asked for at each step: of any structure, an own operation's, say."""
    operation = node.operation
    assert operation is not None
    keys = [f"values of {name}" for name in (*node.inputs, node.name)]
    for key, name in zip(keys, (*node.inputs, node.name), strict=True):
        (xs if run.over_time(name) else shared)[key] = run.array(name)

    def step(g: Array, x: Arrays) -> Array:
        *inputs, y = (x[key] for key in keys)
        return operation.local(slot, inputs, y, node.leads).pull(g)

    return step
