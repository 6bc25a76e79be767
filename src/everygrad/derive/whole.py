"""A whole network: every quantity with its shape, all equations forwards and backwards, all Jacobians."""

from collections.abc import Callable, Iterable

import numpy as np

from everygrad.derive import expr as e
from everygrad.derive.asked import Asked, over_steps, shifted
from everygrad.derive.expr import Expr, Name
from everygrad.derive.oracle import against_oracle, distance, oracle_of
from everygrad.derive.records import Block, Derivation, Equations, Inline, Part, Prose, Table
from everygrad.derive.routes import jacobian
from everygrad.derive.setting import Setting
from everygrad.derive.shown import array, before_the_first, sentence, times
from everygrad.errors import InputError
from everygrad.graph import Graph


def derive_whole(s: Setting) -> Derivation:
    """The derivation of all gradients at once; its last line checks every one."""
    names = [n.name for n in s.written.shown if n.name in s.gradients.arrays and n.name != s.of]
    if not names:
        raise InputError("there is nothing to derive: no quantity has a gradient")
    parts = (_shapes(s), _forward(s), _backward(s), _values(s, names), _jacobians(s))
    how = oracle_of(s)
    verdicts = {name: against_oracle(s, how, name) for name in names}
    worst = max(names, key=lambda name: verdicts[name].error / verdicts[name].tolerance)
    verdict = verdicts[worst]
    ok = all(v.ok for v in verdicts.values())
    count = f"{len(names)} gradient{'s' if len(names) > 1 else ''}"
    says = "agrees" if ok else "DOES NOT AGREE"
    check = sentence(f"the {verdict.how} of {count} {says}: ", *distance(verdict, e.Partial(s.target, s.name(worst))))
    value = {name: s.numbers.gradient(name) for name in names}
    oracle = {name: v.value for name, v in verdicts.items()}
    title = f"All gradients of {'the graph' if isinstance(s.network, Graph) else s.network}"
    return Derivation(
        title, None, tuple(p for p in parts if p.blocks), value, oracle, verdict.error, verdict.tolerance, check, ok
    )


def _quantity(s: Setting, node: str) -> tuple[str, str]:
    """What steps of one quantity have in common: its name; and the letter of the step."""
    return (s.written.times[node][0], "k") if node in s.written.times else (node, "")


def _shapes(s: Setting) -> Part:
    """The dimensions of all quantities, of one sample and in the library's arrays."""
    rows: list[tuple[Inline, ...]] = []
    seen = set()
    T = max((t for _, t in s.written.times.values()), default=-1) + 1
    for node in s.written.shown:
        base, step = _quantity(s, node.name)
        if base in seen:
            continue
        seen.add(base)
        shape = s.written.shape(node.name)
        n = s.name(node.name)
        held = (*((s.samples,) if node.lead else ()), *((T,) if step else ()), *shape)
        role = {"data": "given", "parameter": "parameter", "quantity": "computed"}.get(node.role, node.role)
        gradient = times(shape) if node.name in s.gradients.arrays else "none"
        shown = n if node.name in s.written.initial else Name(n.text, step, (), n.shape)
        rows.append((shown, role, times(shape), gradient, times(held)))
    count = f"{s.samples} sample{'s' if s.samples > 1 else ''}"
    text = f"A gradient has the shape of its quantity. In the library's arrays there is one row for each of {count}"
    text += f", and one for each of {T} steps." if T else "."
    blocks: list[Block] = [Prose(sentence(text, *before_the_first(s), f" {s.origin}" if s.origin else ""))]
    head: tuple[Inline, ...] = ("quantity", "role", "shape", "shape of its gradient", "array of all samples")
    blocks.append(Table(head, tuple(rows)))
    return Part("The quantities and their shapes", tuple(blocks))


def _in_steps(s: Setting, nodes: Iterable[str], right: Callable[[str], Expr | None]) -> list[tuple[list[str], Expr]]:
    """Nodes whose formula is the same but for the step, in order: (nodes, formula with k, or of the only node)."""
    groups: dict[tuple[str, Expr], list[str]] = {}
    for node in nodes:
        formula = right(node)
        if formula is None:
            continue
        base, t = s.written.times.get(node, (node, None))
        groups.setdefault((base, formula if t is None else shifted(formula, t)), []).append(node)
    found = []
    for (_, formula), members in groups.items():
        single = right(members[0])
        assert single is not None  # it was found above
        found.append((members, formula if len(members) > 1 else single))
    return found


def _range(s: Setting, nodes: list[str]) -> str:
    steps = sorted(s.written.times[node][1] for node in nodes)
    if steps == list(range(steps[0], steps[-1] + 1)):
        return f"k = {steps[0]}, …, {steps[-1]}" if len(steps) > 2 else f"k = {steps[0]}, {steps[-1]}"
    return "k = " + ", ".join(map(str, steps))


def _line(s: Setting, nodes: list[str], left: Expr, right: Expr) -> Expr:
    if len(nodes) == 1:
        return e.equal(left, right)
    line = e.equal(shifted(left, s.written.times[nodes[0]][1]), right)
    return e.Phrase((line, e.Words(f"   for {_range(s, nodes)}")))


def _forward(s: Setting) -> Part:
    computed = [n.name for n in s.written.shown if n.operation is not None]
    lines = [_line(s, nodes, s.name(nodes[0]), right) for nodes, right in _in_steps(s, computed, s.written.formula)]
    return Part("Forwards: the values", (Equations(tuple(lines)),))


def _backward(s: Setting) -> Part:
    """Every gradient from those of its consumers, from the loss backwards."""
    order = [n.name for n in reversed(s.written.shown) if n.name in s.gradients.arrays and n.name != s.of]

    def right(node: str) -> Expr | None:
        asked = Asked(s, node, ())
        return over_steps(asked) if asked.uses else None

    lines = []
    for nodes, formula in _in_steps(s, order, right):
        n = s.samples > 1 and not s.numbers.of_samples(nodes[0])
        formula = e.Big("Σ", "n", formula) if n else formula
        lines.append(_line(s, nodes, e.Partial(s.target, s.name(nodes[0])), formula))
    text = "Rule 1 for every quantity: the sum over its consumers. Rule 2 at a weight: Wᵀ for what it multiplies, "
    text += "an outer product for itself. Rule 3 at a nonlinearity: element by element."
    if s.samples > 1:
        text += " Parameters collect the terms of all samples n."
    return Part("Backwards: the gradients", (Prose((text,)), Equations(tuple(lines))))


def _values(s: Setting, names: list[str]) -> Part:
    """The numbers, if the network is small."""
    if sum(np.size(s.numbers.gradient(name)) for name in names) > 400:
        return Part("", ())
    rows: list[tuple[Inline, ...]] = []
    for name in names:
        rows.append((s.name(name), array(s.numbers.value(name)), array(s.numbers.gradient(name))))
    rows.append((s.target, array(s.numbers.value(s.of)[s.of_index] if s.of_index else s.numbers.value(s.of)), ""))
    of = f", of sample {s.sample}" if s.samples > 1 else ""
    v = Name("v")
    return Part(f"The numbers{of}", (Table((v, "value", e.Partial(s.target, v)), tuple(rows)),))


def _jacobians(s: Setting) -> Part:
    """∂u/∂v for neighbours, with shapes."""
    found: dict[tuple[Expr, Expr], list[tuple[str, str, Expr]]] = {}
    for node in s.written.shown:
        for read, routes in (s.written.routes(node.name) if node.operation is not None else {}).items():
            formula: Expr = e.plus(*(jacobian(route) for route in routes))
            line: Expr = e.Partial(s.name(node.name), s.name(read))
            t = s.written.times.get(node.name, ("", None))[1]
            key = (line, formula) if t is None else (shifted(line, t), shifted(formula, t))
            found.setdefault(key, []).append((node.name, read, formula))
    rows: list[tuple[Inline, ...]] = []
    for (line, formula), pairs in found.items():
        of, wrt, single = pairs[0]
        if len(pairs) == 1:
            line, formula = e.Partial(s.name(of), s.name(wrt)), single
        shape = (*s.written.shape(of), *s.written.shape(wrt))
        rows.append((line, times(shape), formula, f"{int(np.prod(shape, dtype=int)):,}"))
    text = (
        "Of one sample, rows for the quantity above, columns for the one below; of a weight its own two indices last."
    )
    head: tuple[Inline, ...] = ("Jacobian", "shape", "formula", "entries")
    return Part("The Jacobians between neighbours", (Prose((text,)), Table(head, tuple(rows))))
