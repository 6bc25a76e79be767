"""The table of paths, for the terminal and for a notebook: every column of products adds up."""

import math
from collections.abc import Sequence
from html import escape

from everygrad.paths.records import Path, Paths, shortened, show_count, unit_label

MOST_STEPS = 12
"""The most steps of a formula's path that are written out."""


def number(x: float) -> str:
    """Six digits."""
    return f"{x + 0.0:.6g}"  # + 0.0: no −0


def percent(share: float) -> str:
    """A share of the gradient; empty if the gradient is 0."""
    return f"{100 * share:.1f} %" if math.isfinite(share) else ""


def product_text(path: Path) -> str:
    """The product; one that underflows in floating point as a power of ten."""
    if path.product == 0 and math.isfinite(path.log10):
        sign = "-" if sum(f < 0 for f in path.factors) % 2 else ""
        return f"{sign}10^{path.log10:.1f}"
    return number(path.product)


def derivative(p: Paths) -> str:
    """∂loss/∂h1[3], or dz/dx for a formula of one variable."""
    of, wrt = unit_label(p.of), unit_label(p.wrt)
    return f"d{of}/d{wrt}" if p.formula and len(p.values) == 1 else f"∂{of}/∂{wrt}"


def headline(p: Paths) -> str:
    """What was asked, its value, and how many paths there are."""
    where = f" (sample {p.sample} of {p.samples})" if p.sample is not None and p.samples > 1 else ""
    paths = "1 path" if p.count == 1 else f"{show_count(p.count)} paths"
    shown = f", the {len(p.paths)} largest shown" if p.others and p.paths else ""
    return f"{derivative(p)} = {number(p.total)}{where}: {paths}{shown}"


def remainder_label(p: Paths) -> str:
    """``1,014 other paths``."""
    return "1 other path" if p.others == 1 else f"{show_count(p.others)} other paths"


def table(p: Paths) -> list[tuple[str, ...]]:
    """The table's cells: a head, a line for each path, one for the remainder, one for the total."""
    several = p.sample is None and any(path.sample is not None for path in p.paths)
    sample = ("sample",) if several else ()
    lines: list[tuple[str, ...]] = [("", "path", *sample, "factors", "product", "share")]
    for i, path in enumerate(p.paths, start=1):
        cell = ("" if path.sample is None else str(path.sample),) if several else ()
        factors = " · ".join(shortened(tuple(f"{f + 0.0:.4g}" for f in path.factors)))
        lines.append((str(i), str(path), *cell, factors, product_text(path), percent(path.share)))
    blank = ("",) * len(sample)
    if p.others:
        share = p.remainder / p.total if p.total else math.nan
        lines.append(("", remainder_label(p), *blank, "", number(p.remainder), percent(share)))
    lines.append(("", "all paths: the gradient", *blank, "", number(p.total), percent(1.0 if p.total else math.nan)))
    return lines


def to_text(p: Paths) -> str:
    """The table as text; for a formula every step with its derivative in symbols and numbers."""
    if p.formula:
        return _formula_text(p)
    head, *body = _aligned(table(p), right=(-2, -1))
    return "\n".join([headline(p), head, "-" * max(map(len, [head, *body])), *body])


def _formula_text(p: Paths) -> str:
    at = ", ".join(f"{name} = {value:.6g}" for name, value in p.values.items())
    lines = [p.formula, f"at {at}: {unit_label(p.of)} = {number(p.value)}"]
    lines.append(f"{derivative(p)} = {number(p.total)}{_as_sum(p)}")
    if not p.count:
        lines.append(f"no path leads from {unit_label(p.wrt)} to {unit_label(p.of)}")
    for path in p.paths:
        share = f" ({percent(path.share)})" if percent(path.share) else ""
        steps = [
            (f"    ∂{_bare(v)}/∂{_bare(u)}", f"= {symbols}", f"= {number(factor)}" if number(factor) != symbols else "")
            for u, v, symbols, factor in zip(path.labels, path.labels[1:], path.formulas, path.factors, strict=False)
        ]
        if len(steps) > MOST_STEPS:
            left_out = len(steps) - MOST_STEPS
            steps[MOST_STEPS // 2 : -MOST_STEPS // 2] = [(f"    ... {left_out} more steps ...", "", "")]
        steps.append(("    product", "", f"= {product_text(path)}{share}"))
        lines += ["", f"  {path}", *_aligned(steps, right=())]
    if p.others:
        lines += ["", f"  {remainder_label(p)}: {number(p.remainder)}"]
    return "\n".join(lines)


def _as_sum(p: Paths) -> str:
    """`` = 1 + 1.5``: the gradient as the sum over its paths, if they fit on a line."""
    if p.count < 2 or len(p.paths) > 10:
        return ""
    terms = [product_text(path) for path in p.paths]
    if p.others:
        terms.append(number(p.remainder))
    signed = [f"- {t[1:]}" if t.startswith("-") else f"+ {t}" for t in terms]
    rest = f" ({remainder_label(p)} last)" if p.others else ""
    return f" = {' '.join([terms[0], *signed[1:]])}{rest}"


def _bare(label: str) -> str:
    return label if label.isidentifier() else f"({label})"


def _aligned(lines: Sequence[tuple[str, ...]], right: tuple[int, ...]) -> list[str]:
    columns = len(lines[0])
    widths = [max(len(line[c]) for line in lines) for c in range(columns)]
    flush = {c % columns for c in right}
    return [
        "  ".join(
            x.rjust(w) if c in flush else x.ljust(w) for c, (x, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def to_html(p: Paths) -> str:
    """The table as HTML, every text escaped; a formula's factors with their symbols."""
    head, *body = table(p)
    if p.formula:
        column = head.index("factors")
        for i, path in enumerate(p.paths):
            pairs = zip(path.formulas, path.factors, strict=True)
            cells = tuple(s if s == number(f) else f"{s} = {number(f)}" for s, f in pairs)
            body[i] = (*body[i][:column], " · ".join(f"({c})" for c in shortened(cells)), *body[i][column + 1 :])
    caption = " ".join([p.formula, headline(p)]) if p.formula else headline(p)
    columns = "".join(f"<th scope='col'>{escape(c)}</th>" for c in head)
    rows = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in line) + "</tr>" for line in body)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"
