"""The sections about distributions and weights, from the record alone."""

from collections.abc import Sequence

from everygrad.report.block import block
from everygrad.report.heatmap import image, legend
from everygrad.report.markup import Markup, details, join, table, tag
from everygrad.report.picture import both_ends
from everygrad.report.picture_records import Distribution, TensorPicture, WeightMap
from everygrad.report.record import Report
from everygrad.report.ridges import ridges
from everygrad.report.tables import Rows
from everygrad.report.time_sections import MOST_LAYERS
from everygrad.report.words import clean, listed, number, percent, shape


def distributions(report: Report, key: str) -> Markup:
    """Histograms of the values and of the gradients of each layer."""
    groups = [("", report.distributions)]
    for layer in both_ends(list(report.time), MOST_LAYERS):
        groups.append((clean(layer.name) if len(report.time) > 1 or report.distributions else "", layer.distributions))
    groups = [(name, shown) for name, shown in groups if shown]
    if not groups:
        return Markup("")
    every = [one for _, shown in groups for one in shown]
    sampled = [one for one in every if one.seen < one.total]
    note = f"Of {len(sampled)} quantities a part is looked at: {sampled[0].seen:,} numbers of each." if sampled else ""
    figures = []
    for i, (name, shown) in enumerate(groups):
        title = f"Distributions {name or 'by quantity'}"
        figures.append(
            tag(
                "figure",
                tag("figcaption", tag("h3", name)) if name else None,
                tag(
                    "div",
                    ridges(shown, title, f"{key}d{i}"),
                    class_="wide",
                    tabindex="0",
                    role="group",
                    aria_label=title,
                ),
            )
        )
    return join(
        tag("p", DISTRIBUTIONS_MEANING, class_="soft"),
        tag("p", note, class_="note") if note else None,
        *figures,
        details("Numbers", table("Values and gradients", distribution_rows(every), frozenset(range(1, 8)))),
    )


DISTRIBUTIONS_MEANING = (
    "How often each number occurs, over units, samples and steps; heights are square roots of counts, so that rare "
    "numbers are seen. Values are on a linear scale of their own, gradients on one logarithmic scale to both sides of "
    "0: blue is negative, orange positive, grey what is nearer to 0 than the marked number, and 0 itself."
)


def distribution_rows(shown: Sequence[Distribution]) -> Rows:
    """Quantiles of the values and of the gradients of each quantity."""
    head = ("quantity", "values 5 %", "median", "95 %", "∇ 5 %", "∇ 95 %", "median |∇|", "∇ exactly 0")
    rows: Rows = [head]
    for d in shown:
        v, g = d.value.quantiles, d.gradient.quantiles
        numbers = [number(x, 3) for x in (v[1], v[2], v[3], g[1], g[3], d.gradient.magnitude)]
        rows.append((clean(d.name), *numbers, percent(d.gradient.zeros / max(d.seen, 1))))
    return rows


def weights(report: Report, key: str) -> Markup:
    """The gradient of each weight matrix, and the derivative by one of them as the tensor it is."""
    layers = both_ends(list(report.time), MOST_LAYERS)
    tensors = [t for t in (report.tensor, *(layer.tensor for layer in layers)) if t is not None]
    if not report.weights and not tensors:
        return Markup("")
    parts: list[object] = []
    if report.weights:
        left_out = f"{len(report.weights)} of {report.weights_total:,} matrices are shown: the first and the last."
        parts += [
            tag("p", WEIGHTS_MEANING, class_="soft"),
            tag("p", left_out, class_="note") if len(report.weights) < report.weights_total else None,
            tag("div", *(_matrix(w, f"{key}weight-{i}") for i, w in enumerate(report.weights)), class_="matrices"),
        ]
    if tensors:
        parts += [
            tag("h3", "The derivative by a weight matrix"),
            tag("p", TENSOR_MEANING, class_="soft"),
            tag("div", *(_tensor(t, f"{key}tensor-{i}") for i, t in enumerate(tensors)), class_="cards"),
        ]
    return join(*parts)


WEIGHTS_MEANING = (
    "∂L/∂W, entry by entry: the row is the unit that the weight goes to, the column the one it comes from. Colour is "
    "the sign, orange for positive and blue for negative; the shade is relative to the largest of the matrix: "
    "logarithmic, down to a thousandth of it, for a gradient, linear for a weight."
)


def _matrix(w: WeightMap, key: str) -> Markup:
    name, (rows, columns), size = clean(w.name), w.shape, shape(w.shape)
    if w.every != (1, 1):
        size += f" in {shape(w.values.shape)} cells of {shape(w.every)} entries: the largest |∇| of each, with its sign"
    what = f"Heat map of the gradient of {name}, {shape(w.shape)}, largest magnitude {number(w.largest, 3)}."
    parts: list[object] = [pictured(f"∇{name}", image(w.values, w.largest, what, square=True))]
    said = ""
    if w.weight is not None and w.weight_largest is not None:
        what = f"Heat map of {name} itself, largest magnitude {number(w.weight_largest, 3)}."
        parts.append(pictured(name, image(w.weight, w.weight_largest, what, "linear", square=True)))
        said = f" Largest |{name}| {number(w.weight_largest, 3)}."
    zeros = f"{w.zeros:,} of {rows * columns:,} entries are" if w.zeros else "no entry is"
    told = f"Largest |∇| {number(w.largest, 3)} at {name}[{w.at[0]}, {w.at[1]}]; {zeros} exactly 0.{said}"
    return tag(
        "figure",
        tag("figcaption", tag("h3", name), tag("p", size, class_="soft")),
        tag("div", *parts, class_="pair"),
        tag("p", told, class_="soft small"),
        class_="card",
        id=key,
    )


def pictured(name: str, drawn: Markup, scale: Markup | None = None) -> Markup:
    """One of two pictures that stand beside each other: its name, the picture, its scale."""
    return tag("div", tag("p", name, class_="small"), drawn, scale)


TENSOR_MEANING = (
    "The derivative of a vector by a matrix has three indices: element p of the vector by the entry in row q and "
    "column r of the matrix. Entry [q, r] only enters a[q], so all but the plane p = q of the block is 0. Nothing of "
    "the block is ever stored but the two vectors it is made of."
)


def _tensor(t: TensorPicture, key: str) -> Markup:
    p, q, r = t.shape
    state, weight, before, multiplied = (clean(n, 30) for n in (t.state, t.weight, t.before, t.multiplied))
    step = "" if t.step is None else f", step {t.step:,}"
    mark = "∂" if t.step is None else "∂⁺"
    slope = f"∂{state}[p]/∂{before}[p]" if t.state != t.before else "1"
    rule = f"T[p, q, r] = {mark}{state}[p]/∂{weight}[q, r] = {slope} · {multiplied}[r] if p = q, else 0"
    size = f"{p * q * r:,} entries, {t.nonzero:,} on the plane, known from {t.stored:,} numbers"
    cells = "" if t.plane.shape == (p, r) else f" Drawn in {shape(t.plane.shape)} cells, the largest magnitude of each."
    numbers = [f"{multiplied}[r] = {listed(t.vector)}"]
    if t.state != t.before:
        numbers.insert(0, f"{slope} = {listed(t.slope)}")
    return tag(
        "figure",
        tag("figcaption", tag("h3", f"{mark}{state}/∂{weight}"), tag("p", rule, class_="soft")),
        block(t, key),
        legend(t.largest, bool((t.plane < 0).any()), "linear"),
        tag("p", f"{size}. At sample {t.sample:,}{step}.{cells}", class_="soft small"),
        details("Numbers", *(tag("p", line, class_="small") for line in numbers)),
        class_="card",
        id=f"{key}-card",
    )
