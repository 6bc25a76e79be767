"""The collected form: one element first, then the vector, then the matrix; and why the transpose appears."""

import numpy as np

from everygrad.derive import expr as e
from everygrad.derive.asked import Asked, Use, collected, components, element_name, over_steps
from everygrad.derive.expr import Expr, Name, Transpose
from everygrad.derive.records import Block, Inline, Part, Prose, joined
from everygrad.derive.routes import element, entry, is_scalar
from everygrad.derive.shown import array, number, sentence, substituted, times

MOST_WRITTEN = 6


def collected_parts(asked: Asked) -> list[Part]:
    """One part for the element, one for the vector (or the matrix of a weight), one for all samples at once."""
    parts = [_element(asked)]
    if asked.shape:
        parts.append(_vector(asked))
        parts.append(_samples(asked))
    return parts


def _column(use: Use) -> Expr | None:
    """W of a consumer a = W v + b, of which the element meets a column."""
    route = [edge for edge in use.route if edge.kind != "one"]
    single = len(route) == 1 and route[0].kind == "matrix"
    return route[0].formula if single and isinstance(route[0].formula, Name | Transpose) else None


def _element(asked: Asked) -> Part:
    s, v = asked.s, element_name(asked)
    pieces: list[Expr] = []
    dots: list[Expr] = []
    columns: list[tuple[Expr, Expr, Expr]] = []
    for use in asked.uses:
        p = asked.component(use)
        factor = element(use.route, p, asked.letters)
        u = s.name(use.consumer, p)
        one = factor if use.consumer == s.of else e.times(e.Partial(s.target, u), factor)
        one = e.Big("Σ", ",".join(p), one) if p and not use.own else one
        over = asked.over_samples and s.numbers.of_samples(use.consumer)
        pieces.append(e.Big("Σ", "n", one) if over else one)
        W = _column(use)
        if W is not None:
            column = entry(W, (":", asked.letters[0]))
            dots.append(e.Product((Transpose(column), e.Partial(s.target, s.name(use.consumer))), "@"))
            columns.append((W, column, s.name(use.consumer)))
        else:
            dots.append(pieces[-1])
    left = e.Partial(s.target, v)
    lines: list[Expr] = [e.equal(left, e.plus(*pieces))]
    blocks: list[Block] = []
    written = _written_out(asked)
    if written is not None:
        lines.append(e.equal(None, written))
        numbers = substituted(written, s, s.sample)
        if numbers != written:
            lines.append(e.equal(None, numbers))
    if asked.index or not asked.shape:
        lines.append(e.equal(None, number(np.asarray(s.numbers.gradient(asked.name))[asked.index])))
    blocks.append(joined(lines))
    if columns:
        W, column, u = columns[0]
        text: list[Inline] = ["Down the components of ", u, " the factors are the entries of ", column]
        text += [", the column of ", W, " that multiplies ", v, ". So each sum is an inner product with that column:"]
        blocks += [Prose(sentence(*text)), joined([e.equal(left, e.plus(*dots)), *_dot_numbers(asked, dots)])]
    return Part("Collected, one element", tuple(blocks))


def _dot_numbers(asked: Asked, dots: list[Expr]) -> list[Expr]:
    """The inner products with numbers."""
    if not asked.index or len(dots) > MOST_WRITTEN:
        return []
    s, found = asked.s, []
    for use, dot in zip(asked.uses, dots, strict=True):
        if _column(use) is None:
            found.append(substituted(dot, s, s.sample))
            continue
        column = array(s.numbers.column(use.route, asked.index, s.sample))
        found.append(e.Product((Transpose(column), array(s.numbers.gradient(use.consumer))), "@"))
    value = number(np.asarray(s.numbers.gradient(asked.name))[asked.index])
    return [e.equal(None, e.plus(*found)), e.equal(None, value)]


def _written_out(asked: Asked) -> Expr | None:
    """The sum with every term of it, if there are few."""
    s = asked.s
    if not (asked.index or not asked.shape) or asked.over_samples:
        return None
    found: list[Expr] = []
    for use in asked.uses:
        for p in components(asked, use):
            factor = element(use.route, p, asked.letters)
            name = s.name(use.consumer, p)
            found.append(factor if use.consumer == s.of else e.times(e.Partial(s.target, name), factor))
    return e.plus(*found) if len(found) <= MOST_WRITTEN else None


def _vector(asked: Asked) -> Part:
    s = asked.s
    left, right = e.Partial(s.target, s.name(asked.name)), collected(asked)
    short = over_steps(asked)
    lines: list[Expr] = [e.equal(left, e.Big("Σ", "n", short) if asked.over_samples else short)]
    if short != right and len(asked.uses) <= MOST_WRITTEN and not asked.over_samples:
        lines.append(e.equal(None, right))
    blocks: list[Block] = []
    matrix = next((W for use in asked.uses if (W := _column(use)) is not None), None)
    words: list[Inline] = []
    if matrix is not None:
        shape = asked.shape[0]
        use = next(use for use in asked.uses if _column(use) is not None)
        out = s.written.shape(use.consumer)
        turned = matrix.of if isinstance(matrix, Transpose) else Transpose(matrix)
        words = ["Element j needs column j of ", matrix, ". The columns of ", matrix, " are the rows of ", turned]
        words += [f", so all elements at once are one product of shapes ({shape} × {out[0]})({out[0]}) → ({shape}):"]
    elif any(edge.kind == "weight" for use in asked.uses for edge in use.route):
        q, r = asked.shape
        words = [
            f"Row q and column r: the product of component q of a column and component r of a row, which is the "
            f"outer product, of shapes ({q} × 1)(1 × {r}) → ({q} × {r}). Nothing of size {q} × {q} × {r} is formed:"
        ]
    elif all(use.own for use in asked.uses):
        many = [edge.formula for use in asked.uses for edge in use.route if edge.kind == "diagonal"]
        words = ["Every element meets only its own: "]
        words += [
            "the product is element by element, ⊙."
            if any(not is_scalar(f) for f in many)
            else "the vectors pass as they are."
        ]
        words += [" As a matrix the Jacobian is diagonal." if many else ""]
    else:
        words = ["All elements at once:"]
    blocks.append(Prose(sentence(*words)))
    if not asked.over_samples:
        shown = substituted(right, s, s.sample)
        if shown != right and sum(isinstance(n, e.Number) for n in e.walk(shown)) <= 120:
            lines.append(e.equal(None, shown))
    lines.append(e.equal(None, array(s.numbers.gradient(asked.name))))
    blocks.append(joined(lines))
    title = "Collected, the matrix" if len(asked.shape) == 2 else "Collected, the vector"
    return Part(f"{title}, and the numbers put in", tuple(blocks))


def _samples(asked: Asked) -> Part:
    """All samples at once: the gradients of the samples as the rows of a matrix."""
    s = asked.s
    if not asked.uses or any(edge.kind in ("spread", "selection", "other") for u in asked.uses for edge in u.route):
        return Part("", ())
    terms = []
    for use in asked.uses:
        g = _rows(e.Partial(s.target, s.name(use.consumer))) if use.consumer != s.of else e.ONE
        if g is e.ONE or not s.numbers.of_samples(use.consumer):
            return Part("", ())
        for edge in use.route:
            f = edge.formula
            match edge.kind:
                case "matrix":
                    g = e.times(g, f, sign="@")
                case "weight":
                    g = e.times(Transpose(g), _rows(f), sign="@")
                case "diagonal":
                    g = e.times(f, g) if is_scalar(f) else e.times(g, _rows(f), sign="⊙")
                case "one":
                    if len(asked.shape) == 1 and not s.numbers.of_samples(asked.name) and edge is use.route[-1]:
                        g = e.Call("sum over the rows of ", (g,))
                case _:
                    return Part("", ())
        terms.append(g)
    right = e.plus(*terms)
    if any(edge.kind == "matrix" for u in asked.uses for edge in u.route) and len(asked.shape) == 1:
        why: list[Inline] = [" In rows the transposed product reads (Wᵀg)ᵀ = gᵀW: the weight stands on the right."]
    else:
        why = []
    left = e.Partial(s.target, s.name(asked.name))
    left = left if not s.numbers.of_samples(asked.name) else _rows(left)
    lines: list[Expr] = [e.equal(left, right)]
    uses = asked.uses
    if s.samples > 1 and len(uses) == 1 and len(asked.shape) <= 2:
        shown = _numbers(asked, right)
        if shown is not None:
            lines.append(e.equal(None, shown))
        of_samples = s.numbers.of_samples(asked.name)
        values = [s.numbers.gradient(asked.name, n) for n in range(s.samples)]
        lines.append(e.equal(None, array(np.array(values) if of_samples else s.numbers.gradient(asked.name))))
    text = f"The library keeps one row for each sample ({s.samples} here), as programs do."
    return Part("The matrix of all samples", (Prose(sentence(text, *why)), joined(lines)))


def _rows(of: Expr) -> Expr:
    return e.Call("rows", (of,))


def _numbers(asked: Asked, right: Expr) -> Expr | None:
    s = asked.s

    def change(node: Expr) -> Expr:
        if isinstance(node, e.Call) and node.function == "rows":
            each = [substituted(node.arguments[0], s, n) for n in range(s.samples)]
            if not all(isinstance(m, e.Matrix) for m in each):
                return node
            return e.Matrix(tuple(tuple(row[0] for row in m.rows) for m in each if isinstance(m, e.Matrix)))
        return e.mapped(node, change)

    if s.samples > 8 or times(asked.shape).count("×") > 1:
        return None
    shown = substituted(change(right), s, s.sample)
    return shown if not any(isinstance(n, e.Call) and n.function == "rows" for n in e.walk(shown)) else None
