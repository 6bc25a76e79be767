"""The derivation of one gradient: its consumers, one term for each, and how the terms are collected."""

from typing import Any

import numpy as np

from everygrad.derive import expr as e
from everygrad.derive.asked import Asked, Use, collected, components, element_name, grouped, shifted, summed, term
from everygrad.derive.collected import collected_parts
from everygrad.derive.expr import Expr, Name
from everygrad.derive.formula import simplest
from everygrad.derive.oracle import against_oracle, last_line, oracle_of
from everygrad.derive.records import Block, Derivation, Equations, Inline, Part, Prose, Table, joined
from everygrad.derive.routes import at_element, element
from everygrad.derive.setting import Setting
from everygrad.derive.shown import array, before_the_first, number, sentence, substituted, times
from everygrad.derive.text import inline
from everygrad.errors import InputError
from everygrad.graph.losses import Loss, Reduce
from everygrad.paths.records import Path
from everygrad.paths.search import network_paths

MOST_ROWS = 12
MOST_KNOWN = 12
"""Gradients of quantities nearer to the loss that are derived first; of more only the nearest to what is asked."""


def derive_one(s: Setting, name: str, index: tuple[int, ...], more: tuple[Part, ...] = ()) -> Derivation:
    """The whole derivation; ``more``: parts that belong before the result."""
    if name not in s.gradients.arrays:
        kind = "is on no path to" if s.gradients.trace[name].dtype.kind == "f" else "holds whole numbers, no path to"
        raise InputError(f"{name!r} {kind} {inline(s.target)}: there is no derivative with respect to it")
    asked = Asked(s, name, index)
    question = e.Partial(s.target, s.name(name, asked.letters if index else ()))
    parts = [_question(asked)]
    if asked.uses:
        parts += [_consumers(asked), _chain(asked), _known(asked), _factors(asked), *collected_parts(asked)]
    parts += [*more, _result(asked)]
    verdict = against_oracle(s, oracle_of(s), name, index)
    value = _value(s, name, index)
    return Derivation(
        inline(question),
        question,
        tuple(part for part in parts if part.blocks),
        value,
        verdict.value,
        verdict.error,
        verdict.tolerance,
        last_line(s, name, index, verdict),
        verdict.ok,
    )


def _value(s: Setting, name: str, index: tuple[int, ...]) -> Any:
    found = np.asarray(s.numbers.gradient(name))
    return found[index] if index or not found.ndim else found


def _question(asked: Asked) -> Part:
    s, name = asked.s, asked.name
    element_ = s.name(name, asked.letters)
    rows: list[tuple[Inline, ...]] = []
    for node in (name, s.of):
        what = "a parameter, shared by all samples" if not s.numbers.of_samples(node) and node != s.of else ""
        what = what if s.graph.by_name[node].role == "parameter" else ""
        value = s.numbers.value(node)
        rows.append((s.name(node), times(s.written.shape(node)), array(value), what))
    rows.insert(1, (e.Partial(s.target, s.name(name)), times(asked.shape), "", "has the shape of its quantity"))
    blocks: list[Block] = []
    is_loss = isinstance(s.graph.by_name[s.of].operation, Loss | Reduce) or s.of == "loss"
    loss = f"the {'loss' if is_loss else 'quantity'} that is differentiated"
    text: list[Inline] = ["Asked is ", e.Partial(s.target, element_), ": how ", s.target, f", {loss}, changes with "]
    text += [element_, "." if asked.index or not asked.shape else ", for every element of it at once."]
    if s.samples > 1:
        text.append(
            f" The batch has {s.samples} samples; "
            + ("all of them share this parameter." if asked.over_samples else f"shown is sample {s.sample}.")
        )
    text += before_the_first(s)
    if s.origin:
        text.append(" " + s.origin)
    blocks.append(Prose(sentence(*text)))
    if s.graph.by_name[name].operation is not None:
        blocks.append(Equations((e.equal(s.name(name), s.written.formula(name)),)))
    blocks.append(Table(("quantity", "shape", "value", ""), tuple(rows)))
    return Part("What is asked, and its shape", tuple(blocks))


def _consumers(asked: Asked) -> Part:
    s = asked.s
    v = s.name(asked.name, asked.letters)
    blocks: list[Block] = []
    lines: list[Expr] = []
    words: list[Inline] = []
    for uses, left, right, where in grouped(asked):
        use = uses[0]
        shape = s.written.shape(use.consumer)
        line = e.equal(left, right)
        lines.append(e.Phrase((line, e.Words(f"   for {where}"))) if where else line)
        p = asked.component(use)
        if p and right != at_element(right, p):
            assert isinstance(left, Name)
            lines.append(e.equal(Name(left.text, left.step, p, left.shape), at_element(right, p)))
        count = "1 component" if use.own or not shape else f"all {int(np.prod(shape))} components"
        words.append(f"{count} of " if shape else "")
        words[-1:] = [words[-1], left] if words[-1] else [left]
        words.append("; ")
    n = len({use.consumer for use in asked.uses})
    blocks.append(
        Prose(
            sentence(
                v,
                f" is read by {n} {'quantity' if n == 1 else 'quantities'}. Whatever it does to ",
                s.target,
                " it does through them: each use is the first step of a path.",
            )
        )
    )
    blocks.append(Equations(tuple(lines)))
    tail: list[Inline] = ["A change of it reaches "]
    tail += words[:-1]
    blocks.append(Prose(sentence(*tail, ".")))
    blocks += _paths(asked)
    return Part("Who consumes it: the paths", tuple(blocks))


def _paths(asked: Asked) -> list[Block]:
    """How many paths there are to the loss, and the largest."""
    s = asked.s
    if not (asked.index or not asked.shape) or sum(a.size for a in s.gradients.trace.arrays.values()) > 20_000:
        return []
    trace = s.gradients.trace
    given = {n.name: trace[n.name] for n in trace.nodes if n.role == "parameter"}
    data = {n.name: trace[n.name] for n in trace.nodes if n.role == "data"}
    try:
        found = network_paths(
            s.graph,
            given,
            **data,
            wrt=(asked.name, *asked.index),
            of=(s.of, *s.of_index) if s.of_index else s.of,
            k=3,
            sample=s.sample if s.numbers.of_samples(asked.name) else None,
        )
    except (InputError, TypeError):
        return []  # a name that is an argument's too: the paths are left out
    if not found.count or s.exact:
        return []
    many = "1 path leads" if found.count == 1 else f"{found.count:,} paths lead"
    text = f"In all, {many} from it to "
    rows: list[tuple[Inline, ...]] = [(_path(s, path), number(path.product)) for path in found.paths]
    if found.others:
        rows.append((f"{found.others:,} other paths", number(found.remainder)))
    rows.append(("all paths: the gradient", number(found.total)))
    return [
        Prose(sentence(text, s.target, ", and the gradient is the sum of their products:")),
        Table(("path", "product of its factors"), tuple(rows)),
    ]


def _path(s: Setting, path: Path) -> str:
    """The units of a path that have a name, from start to end."""
    units = [(str(name), tuple(map(str, index))) for name, *index in path.units]
    shown = " → ".join(inline(s.name(name, index)) for name, index in units if name not in s.written.hidden)
    several = path.sample is not None and s.samples > 1
    return f"{shown} (sample {path.sample})" if several else shown


def _chain(asked: Asked) -> Part:
    """Σ over consumers and their components of ∂L/∂u · ∂u/∂v, general and written out."""
    s = asked.s
    v = s.name(asked.name, asked.letters)
    general: list[Expr] = []
    for uses, _, _, where in grouped(asked):
        use = uses[0]
        p = asked.component(use)
        u = s.name(use.consumer, p)
        if where:
            u = shifted(u, s.written.times[use.consumer][1])  # type: ignore[assignment]
        factor = e.Partial(u, v)
        one: Expr = factor if use.consumer == s.of else e.times(e.Partial(s.target, u), factor)
        if p and not use.own:
            one = e.Big("Σ", ",".join(p), one)
        if asked.over_samples and s.numbers.of_samples(use.consumer):
            one = e.Big("Σ", "n", one)
        if where:
            one = summed(one, where)
        general.append(one)
    left = e.Partial(s.target, v)
    blocks: list[Block] = [
        Prose(sentence("One term for each consumer: what it does to ", s.target, ", times what ", v, " does to it."))
    ]
    lines: list[Expr] = [e.equal(left, e.plus(*general))]
    written = [term(asked, use, p) for use in asked.uses for p in components(asked, use)]
    many = len(written) <= 40 and len(written) > 1 and (asked.index or len(written) > len(general))
    if many and not asked.over_samples and e.plus(*written) != e.plus(*general):
        lines.append(e.equal(None, e.plus(*written)))
    blocks.append(joined(lines))
    return Part("The chain rule, one term for each consumer", tuple(blocks))


def _known(asked: Asked) -> Part:
    """The gradients of the consumers, and of all between them and the loss, from the loss backwards."""
    s = asked.s
    needed = {use.consumer for use in asked.uses} - {s.of}
    order = [n.name for n in reversed(s.written.shown) if n.name in s.gradients.arrays]
    on_path = s.graph.between(asked.name, s.of)
    chain = [n for n in order if n in on_path and n not in (asked.name, s.of)]
    shown = chain if len(chain) <= MOST_KNOWN else [n for n in chain if n in needed][-MOST_KNOWN:]
    lines: list[Expr] = []
    notes: list[Inline] = []
    for node in shown:
        there = Asked(s, node, ())
        gradient = e.Partial(s.target, s.name(node))
        if not there.uses:
            continue
        right = collected(there)
        lines.append(e.equal(gradient, right, *_numbers(asked, right), array(s.numbers.gradient(node))))
    if not lines:
        return Part("", ())
    text = "By the same rule, from the loss backwards, with the numbers put in"
    left_out = len(chain) - len(shown)
    notes.append(
        f"{text} ({left_out} more lie between; shown are those next to what is asked):" if left_out else f"{text}:"
    )
    hot = [s.written.operands(n)[1] for n in s.gradients.trace.nodes if s.written.one_hot(n)]
    blocks: list[Block] = [Prose(sentence(*notes)), Equations(tuple(lines))]
    if hot and any(part in hot for line in lines for part in e.walk(line)):
        blocks.append(Prose(sentence(hot[0], " is 1 at the class of the sample and 0 elsewhere.")))
    return Part("The gradients of the consumers, from the loss backwards", tuple(blocks))


def _numbers(asked: Asked, right: Expr) -> list[Expr]:
    """The right-hand side with numbers, if they fit on a line or two."""
    shown = substituted(right, asked.s, asked.s.sample)
    size = sum(isinstance(n, e.Number) for n in e.walk(shown))
    return [shown] if size <= 60 and not isinstance(shown, e.Matrix | e.Number) else []


def _factors(asked: Asked) -> Part:
    """Each ∂u/∂v: its formula, and the numbers of one element."""
    s = asked.s
    lines: list[Expr] = []
    rules: list[Inline] = []
    for uses, left, _, where in grouped(asked):
        use = uses[0]
        p = asked.component(use)
        assert isinstance(left, Name)
        u = Name(left.text, left.step, p, left.shape)
        formula = element(use.route, p, asked.letters)
        if where:
            formula = shifted(formula, s.written.times[use.consumer][1])
        simple = _simplified(asked, use)
        lines.append(e.equal(e.Partial(u, s.name(asked.name, asked.letters)), formula, *simple))
        if use.own and asked.shape and s.written.shape(use.consumer):
            rules = ["; for every other component it is 0."]
    blocks: list[Block] = [Equations(tuple(lines))]
    if rules:
        other = "p ≠ q" if len(asked.shape) == 2 else "another index"
        blocks.append(Prose((f"Only the component with the same index is met: with {other} the derivative is 0.",)))
    if asked.index or not asked.shape:
        blocks += _table(asked)
    return Part("Each factor: its formula and its value", tuple(blocks))


def _simplified(asked: Asked, use: Use) -> list[Expr]:
    """Of a typed formula the factor in its simplest form."""
    made = asked.s.made
    if made is None:
        return []
    found = simplest(made, use.route)
    return [found] if inline(found) != inline(element(use.route, (), ())) else []


def _table(asked: Asked) -> list[Block]:
    """A row for each component of each consumer (and sample): ∂L/∂u, ∂u/∂v, their product."""
    s, v = asked.s, element_name(asked)
    rows: list[tuple[Inline, ...]] = []
    products: list[Any] = []
    samples = range(s.samples) if asked.over_samples else [s.sample]
    for use in asked.uses:
        several = asked.over_samples and s.numbers.of_samples(use.consumer)
        for n in samples if several or not asked.over_samples else [s.sample]:
            column = np.asarray(s.numbers.column(use.route, asked.index, n))
            g = np.asarray(s.numbers.gradient(use.consumer, n))
            for p in components(asked, use):
                at = tuple(map(int, p))
                product = g[at] * column[at]
                products.append(product)
                name: Expr = s.name(use.consumer, p)
                label: tuple[Inline, ...] = (str(n), name) if asked.over_samples else (name,)
                rows.append((*label, number(g[at]), number(column[at]), number(product)))
    total = np.asarray(s.numbers.gradient(asked.name))[asked.index]
    width = len(rows[0])
    if len(rows) > MOST_ROWS:
        left_out = sum(products[MOST_ROWS - 1 :], start=0 * products[0])
        count = len(rows) - MOST_ROWS + 1
        rows = [*rows[: MOST_ROWS - 1], (f"{count} other terms", *("",) * (width - 2), number(left_out))]
    rows.append(("sum", *("",) * (width - 2), number(total)))
    head: tuple[Inline, ...] = ("sample",) if asked.over_samples else ()
    u = e.Name("u")
    return [Table((*head, u, e.Partial(s.target, u), e.Partial(u, v), "product"), tuple(rows))]


def _result(asked: Asked) -> Part:
    s = asked.s
    lines: list[Expr] = [e.equal(e.Partial(s.target, s.name(asked.name)), array(s.numbers.gradient(asked.name)))]
    if asked.index:
        lines.append(e.equal(e.Partial(s.target, element_name(asked)), number(_value(s, asked.name, asked.index))))
    return Part("The result", (Equations(tuple(lines)),))
