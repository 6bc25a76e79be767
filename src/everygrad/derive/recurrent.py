"""What a recurrent network adds: the sum over steps, the product of state Jacobians, the sparse tensor."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from everygrad.backprop.scans import Family
from everygrad.derive import expr as e
from everygrad.derive.asked import shifted
from everygrad.derive.expr import Expr, Name
from everygrad.derive.records import Block, Equations, Inline, Part, Prose, Table, joined
from everygrad.derive.routes import element, jacobian, of_weight
from everygrad.derive.setting import Setting
from everygrad.derive.shown import array, listed, sentence, times
from everygrad.derive.written import Route
from everygrad.engines import to_numpy
from everygrad.graph.time import Run
from everygrad.through_time import adjoints, state_jacobian, state_product, tensor

MOST_PATHS = 24
MOST_STEPS = 6
CORNER = 3
"""The worked example of the tensor is 3 × 3 × 3: of larger states its first corner."""


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """One scan of the network, in its own words and in those of the unrolled graph."""

    s: Setting
    family: Family

    @cached_property
    def shown(self) -> dict[str, str]:
        """The cell's name of a quantity -> the network's."""
        return {own.quantity: node.name for node, own in self.family.members() if own.at == "all"}

    @cached_property
    def own(self) -> dict[str, str]:
        """The network's name of a parameter -> the cell's."""
        given = zip(self.family.inputs, self.family.scan.slots, strict=True)
        return {name: slot for name, slot in given if slot in self.family.scan.cell.parameters}

    @cached_property
    def states(self) -> list[str]:
        """The network's names of the states."""
        return [self.shown[name] for name, _ in self.family.scan.cell.states]

    def node(self, quantity: str, k: int) -> str:
        """The node of a quantity at the k-th step in the order of processing."""
        steps = self.s.steps_of(quantity)
        return steps[len(steps) - 1 - k if self.family.scan.reverse else k]

    @property
    def count(self) -> int:
        """T."""
        return len(self.s.steps_of(self.states[0]))

    def routes(self, start: str, end: str, k: int) -> list[Route]:
        """The routes from a quantity at step k down to ``end``, through quantities of this step alone."""
        t = self.s.written.times[start][1]
        inside = {n for n, (q, step) in self.s.written.times.items() if step == t and q in self.shown.values()}
        found: list[Route] = []
        todo: list[tuple[str, Route]] = [(start, ())]
        while todo and len(found) <= MOST_PATHS:
            at, route = todo.pop()
            further = []
            for read, routes in self.s.written.routes(at).items():
                for more in routes:
                    if read == end:
                        found.append((*route, *more))
                    elif read in inside:
                        further.append((read, (*route, *more)))
            todo += reversed(further)
        return found


def time_parts(s: Setting, name: str, index: tuple[int, ...]) -> tuple[Part, ...]:
    """The parts of a recurrent network's derivation: of a parameter of a cell, or of a quantity over time."""
    if s.whole is None:
        return ()
    for family in s.whole.trace.plan.scans:
        layer = Layer(s, family)
        if name in layer.own and isinstance(s.whole.trace.runs[family.label], Run):
            if s.of != s.graph.output:
                return (_product(layer), _tensor(layer, name, index))
            return (_over_steps(layer, name), _product(layer), _tensor(layer, name, index), _terms(layer, name))
        if s.written.times.get(name, ("", 0))[0] in layer.shown.values() and s.of == s.graph.output:
            return _direct(layer, name)
    return ()


def _direct(layer: Layer, name: str) -> tuple[Part, ...]:
    """∂L/∂h_k = what the loss says of the step itself + what comes through the later steps."""
    s = layer.s
    assert s.whole is not None  # the caller looked
    quantity, t = s.written.times[name]
    if s.whole.trace.runs[layer.family.label].__class__ is not Run:
        return ()
    direct = to_numpy(s.whole.direct[quantity])[s.sample, t]
    total = np.asarray(to_numpy(s.whole[quantity]))[s.sample, t]
    gradient = e.Partial(s.target, s.name(name))
    rows: tuple[tuple[Inline, ...], ...] = (
        ("direct: by way of its own step", array(direct)),
        ("through the later steps", array(total - direct)),
        ("total", array(total)),
    )
    text = " has two parts: what its own step says, the recurrence cut, and what arrives through the steps after it."
    return (Part("Direct and total", (Prose(sentence(gradient, text)), Table(("part", gradient), rows))),)


def _stacked(layer: Layer, step: str) -> Expr:
    """s_k: the state, or the states one below the other."""
    names = [layer.s.name(layer.node(state, 0)) for state in layer.states]
    each = tuple(Name(n.text, step, (), n.shape) for n in names)
    return each[0] if len(each) == 1 else e.Stack(each)


def _over_steps(layer: Layer, name: str) -> Part:
    """∂L_t/∂W = Σ_k ∂L_t/∂s_t · ∂s_t/∂s_k · ∂⁺s_k/∂W, with the shape of every factor."""
    s = layer.s
    W, L = s.name(name), Name("L_t")
    s_t, s_k = Name("s", "t"), Name("s", "k")
    d = sum(s.written.shape(layer.node(state, 0))[0] for state in layer.states)
    shape = s.written.shape(name)
    factors = [e.Partial(L, s_t), e.Partial(s_t, s_k), e.Partial(s_k, W, immediate=True)]
    whole = e.equal(e.Partial(L, W), e.Big("Σ", "k", e.Product(tuple(factors), "*"), "0", "t"))
    what: list[Inline] = ["The same sum, sorted by time. ", s_k, " is the state after step k"]
    if len(layer.states) > 1:
        what += [", here ", e.equal(s_k, _stacked(layer, "k"))]
    what += [", and ", L, " the part of the loss that is read at step t. ", e.Partial(s_k, W, immediate=True)]
    what += [" is the immediate derivative: the state before the step is held constant. k runs over all steps up to t:"]
    words = ("what the loss says of the state at step t", "from step k to step t", "the sparse tensor", "like ")
    dims = (f"1 × {d}", f"{d} × {d}", times((d, *shape)), times(shape))
    rows: list[tuple[Inline, ...]] = [
        (factor, dim, word) for factor, dim, word in zip(factors, dims[:3], words[:3], strict=True)
    ]
    rows.append((e.Partial(L, W), dims[3], "the product, like the parameter itself"))
    cell = layer.family.scan.cell
    nodes = [layer.node(q, layer.count - 1) for q in layer.shown.values() if q not in layer.states]
    for node in [*(layer.node(state, layer.count - 1) for state in layer.states), *nodes]:
        n = s.name(node)
        rows.append((Name(n.text, "k", (), n.shape), times(s.written.shape(node)), "at each step"))
    for parameter in layer.own:
        rows.append((s.name(parameter), times(s.written.shape(parameter)), "the same at each step"))
    x = s.steps_of(layer.family.inputs[layer.family.scan.slots.index(cell.input)])
    if x:
        rows.append((Name(s.name(x[0]).text, "k", (), None), times(s.written.shape(x[0])), "at each step"))
    return Part(
        "Through time: the sum over k, and all shapes",
        (Prose(sentence(*what)), Equations((whole,)), Table(("quantity", "shape", ""), tuple(rows))),
    )


def _jacobian_formula(layer: Layer, state: str, other: str, k: int) -> Expr | None:
    """∂state_k/∂other_{k−1} as a sum of products of matrices; None if it is zero."""
    start, end = layer.node(state, k), layer.node(other, k - 1)
    routes = layer.routes(start, end, k)
    if not routes or len(routes) > MOST_PATHS:
        return None
    t = layer.s.written.times[start][1]
    return e.plus(*(shifted(jacobian(route), t) for route in routes))


def _product(layer: Layer) -> Part:
    """∂s_t/∂s_k = Π ∂s_j/∂s_{j−1}: formula and numbers."""
    s, T = layer.s, layer.count
    s_t, s_k, s_j, s_i = (Name("s", step) for step in ("t", "k", "j", "j-1"))
    lines: list[Expr] = [
        e.equal(e.Partial(s_t, s_k), e.Big("Π", "j", e.Partial(s_j, s_i), "k+1", "t")),
    ]
    if T < 2:
        text = "There is only one step here, so the product is empty."
        return Part("The Jacobian product", (Prose((text,)), Equations(tuple(lines))))
    for state in layer.states:
        for other in layer.states:
            formula = _jacobian_formula(layer, state, other, T - 1)
            if formula is not None:
                t = s.written.times[layer.node(state, T - 1)][1]
                u, v = s.name(layer.node(state, T - 1)), s.name(layer.node(other, T - 2))
                lines.append(e.equal(e.Partial(shifted(u, t), shifted(v, t)), formula))
    blocks: list[Block] = [
        Prose(
            ("From one step to the next by the chain rule, over several their product, the later step on the left:",)
        ),
        Equations(tuple(lines)),
    ]
    J = state_jacobian(s.whole, layer=layer.family.label)
    d = J.shape[-1]
    if d <= 8:
        numbers: list[Expr] = []
        first = max(1, T - 2)
        for k in range(first, T):
            u, v = Name("s", str(k)), Name("s", str(k - 1))
            numbers.append(e.equal(e.Partial(u, v), array(np.asarray(J.dense(k))[s.sample])))
        if T > 2:
            product = state_product(s.whole, layer=layer.family.label, t=T - 1, k=T - 3)
            found = np.asarray(product.mantissa)[s.sample] * np.exp(np.asarray(product.log_scale)[s.sample])
            a, b, c = (Name("s", str(k)) for k in (T - 1, T - 2, T - 3))
            parts = e.Product((e.Partial(a, b), e.Partial(b, c)), "*")
            numbers.append(e.equal(e.Partial(a, c), parts, array(found)))
        order = " (steps in the order in which the layer reads)" if layer.family.scan.reverse else ""
        blocks += [Prose((f"With the numbers{order}:",)), Equations(tuple(numbers))]
    return Part("The Jacobian product", tuple(blocks))


def _tensor(layer: Layer, name: str, index: tuple[int, ...]) -> Part:
    """∂⁺s_k[p]/∂W[q,r]: the rule p = q, and a worked example."""
    s, k = layer.s, layer.count - 1
    letters = tuple(map(str, index)) or ("q", "r")[: len(s.written.shape(name))]
    lines: list[Expr] = []
    rule = True
    blocks: list[Block] = []
    for state in layer.states:
        start = layer.node(state, k)
        routes = layer.routes(start, name, k)
        if not routes or len(routes) > MOST_PATHS:
            continue
        t = s.written.times[start][1]
        u = s.name(start, ("p",))
        left = e.Partial(shifted(u, t), s.name(name, letters), immediate=True)
        own = all(of_weight(route) for route in routes)
        rule = rule and own
        p = ("p",)
        right = e.plus(*(shifted(element(route, p, letters), t) for route in routes))
        condition = e.equal(Name("p"), Name(letters[0]))
        lines.append(e.equal(left, e.Cases(((right, condition), (e.ZERO, None))) if own else right))
    if not lines:
        return Part("", ())
    W = s.name(name)
    if rule and len(letters) == 2:
        text = ["Only row p of ", W, " enters component p of the state: the tensor is zero unless p = q."]
    else:
        text = ["The immediate derivative of a state's component p by an element of ", W, ":"]
    blocks += [Prose(sentence(*text)), Equations(tuple(lines))]
    T = tensor(s.whole, wrt=layer.own[name], layer=layer.family.label)
    if len(s.written.shape(name)) == 2:
        blocks += _worked(layer, name, T, k)
    return Part("The sparse tensor: p = q", tuple(blocks))


def _worked(layer: Layer, name: str, T: Any, k: int) -> list[Block]:
    """The first 3 × 3 × 3 of the last step, slice by slice."""
    s = layer.s
    dense = T.J.at(k).sample(s.sample) if T.J.batch else T.J
    shape = tuple(min(CORNER, n) for n in (*dense.out_shape, *dense.in_shape))
    corner = np.array([[[dense[p, q, r] for r in range(shape[2])] for q in range(shape[1])] for p in range(shape[0])])
    state = layer.states[0]
    node = layer.node(state, k)
    whole = (*dense.out_shape, *dense.in_shape)
    lines: list[Expr] = []
    for p in range(shape[0]):
        u = s.name(node, (str(p),))
        lines.append(e.equal(e.Partial(u, s.name(name), immediate=True), array(corner[p])))
    what = "of all of it" if shape == whole else f"of its first {times(shape)} entries"
    text = (
        f"A worked example, the last step read: the slices p = 0, …, {shape[0] - 1} {what}. "
        f"The tensor of one step has {times(whole)} = {int(np.prod(whole)):,} entries; {T.nnz:,} can be nonzero, "
        f"and is known from {T.per_step:,.0f} numbers."
    )
    return [Prose((text,)), Equations(tuple(lines))]


def _terms(layer: Layer, name: str) -> Part:
    """What each step k adds: g_k contracted with the tensor, and the sum over k."""
    s, T = layer.s, layer.count
    whole = s.whole
    label = layer.family.label
    g = adjoints(whole, layer=label)
    W = s.name(name)
    cell_states = [state for state, _ in layer.family.scan.cell.states]
    tensors = {state: tensor(whole, wrt=layer.own[name], of=state, layer=label) for state in cell_states}
    terms = []
    for k in range(T):
        total = 0.0
        for state, found in tensors.items():
            J = found.J.at(k)
            total = total + np.asarray(J.pull(np.asarray(g[state])[k], total=True))
        terms.append(total)
    s_k = Name("s", "k")
    gradient = e.Partial(s.target, W)
    right = e.Big("Σ", "k", e.times(e.Partial(s.target, s_k), e.Partial(s_k, W, immediate=True)), "0", str(T - 1))
    over = f", summed over the {s.samples} samples" if s.samples > 1 else ""
    rows: list[tuple[Inline, ...]] = []
    for k in range(T) if T <= MOST_STEPS else [*range(MOST_STEPS - 2), T - 1]:
        rows.append((str(k), array(terms[k])))
    if T > MOST_STEPS:
        rest = sum(terms[MOST_STEPS - 2 : T - 1])
        rows.insert(-1, (f"{MOST_STEPS - 2} to {T - 2}", array(rest)))
    rows.append(("sum", array(np.asarray(s.numbers.gradient(name)))))
    states = listed([Name(s.name(layer.node(state, 0)).text) for state in layer.states])
    text: list[Inline] = ["The loss reaches step k as ", e.Partial(s.target, s_k), " (of "]
    text += [
        *states,
        " at step k, taken as independent of each other). Contracted with the tensor it is an outer product",
    ]
    text += [" for each sample, the term of that step" + over + ":"]
    return Part(
        "The term of each step",
        (Prose(sentence(*text)), joined([e.equal(gradient, right)]), Table(("k", "term"), tuple(rows))),
    )
