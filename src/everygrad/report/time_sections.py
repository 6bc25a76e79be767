"""What the page shows of recurrent layers: one card for each, side by side, all of one kind on one scale."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from everygrad.diagnose import THRESHOLDS
from everygrad.diagnose.units import counted
from everygrad.engines import Array
from everygrad.engines.shapes import Float
from everygrad.report.heatmap import image, legend
from everygrad.report.markup import Markup, details, join, table, tag
from everygrad.report.picture import both_ends
from everygrad.report.plots import Axes, Line, plot
from everygrad.report.record import Report
from everygrad.report.time_record import CreditTable, LayerInTime, StepMap
from everygrad.report.time_tables import (
    compared_rows,
    credit_tables_of,
    jacobian_rows,
    map_rows,
    names_of,
    product_rows,
    quantity_rows,
    spectrum_rows,
    step_rows,
    time_rows,
)
from everygrad.report.words import clean, number

MOST_LAYERS = 8
"""Layers of one network that are drawn: the first and the last."""
MOST_LINES = 8
"""Lines of one plot."""


@final
@dataclass(frozen=True, slots=True)
class Card:
    """One recurrent layer on the page: its heading, and the prefix that makes its pictures' names unique.

    ``report`` is the place of its network among those of the page, ``walked`` whether single steps of it are in the
    record.
    """

    heading: str
    key: str
    layer: LayerInTime
    report: int
    walked: bool


def cards(reports: Sequence[Report]) -> list[Card]:
    """The layers to draw; with several networks their names stand in front of the layers'."""
    found = []
    for i, (report, name) in enumerate(zip(reports, names_of(reports), strict=True)):
        labels = {steps.label for steps in report.explore.steps} if report.explore is not None else set()
        for j, layer in enumerate(both_ends(list(report.time), MOST_LAYERS)):
            inside = clean(layer.label, 40) if len(report.time) > 1 else "" if len(reports) > 1 else layer.name
            head = " · ".join(filter(None, [clean(name, 40) if len(reports) > 1 else "", inside]))
            found.append(Card(head, f"t{i}-{j}-", layer, i, layer.label in labels))
    return found


def over_time(reports: Sequence[Report]) -> Markup:
    """All about time, of one network or of several next to each other; empty if none is recurrent."""
    shown = cards(reports)
    if not shown:
        return Markup("")
    parts: list[object] = []
    for name, heading, meaning, draw in (
        ("dies", "Where the gradient of the loss dies", _dies_meaning(), _dies),
        ("gates", "Gates", GATES_MEANING, _gates),
        ("slopes", "Slopes of the activations", SLOPES_MEANING, _slopes),
        ("inside", "The gradient at each quantity", QUANTITIES_MEANING, _quantities),
        ("units", "Unit by unit", UNITS_MEANING, _units),
        ("walk", "Step by step", WALK_MEANING, _walk),
        ("credit", "Which step gets the credit", CREDIT_MEANING, _credit),
        ("jacobians", "From one state to the next", JACOBIAN_MEANING, _jacobians),
    ):
        figures = _figures(shown, draw, name)
        if figures:
            head = [tag("h3", heading), tag("p", meaning, class_="soft")]
            group = [*head, tag("div", *figures, class_="cards plots")]
            parts += [tag("div", *group, class_="group live")] if draw is _walk else group
    missing = sum(len(report.time) for report in reports) - len(shown)
    note = f"{missing:,} more recurrent layers are in the JSON form." if missing else ""
    tables = [
        details(
            f"Numbers of {card.heading or card.layer.label}",
            tag("div", *_tables(card.layer), id=f"{card.key}numbers", class_="inside"),
        )
        for card in shown
    ]
    return join(tag("p", note, class_="note") if note else None, *parts, *tables)


def _tables(layer: LayerInTime) -> list[Markup]:
    """The numbers behind the curves and maps, at a few steps."""
    rows = quantity_rows(layer)
    found = [
        table("Quantities over time", time_rows(layer), frozenset(range(2, 9))),
        table("The states step by step", step_rows(layer), frozenset(range(5))),
        table("The curves at some of the steps", rows, frozenset(range(1, len(rows[0])))),
    ]
    for m in layer.maps:
        rows = map_rows(layer, m)
        found.append(table(f"Root mean square of ∇{clean(m.name)} by unit", rows, frozenset(range(1, len(rows[0])))))
    for rows in credit_tables_of(layer):
        found.append(table("Norms of the terms of the weights' gradients", rows, frozenset(range(1, len(rows[0])))))
    found.append(table("State Jacobians", spectrum_rows(layer), frozenset({1})))
    if layer.spectrum is not None:
        found.append(table("State Jacobians step by step", jacobian_rows(layer.spectrum), frozenset(range(1, 5))))
        found.append(table("State Jacobians multiplied", product_rows(layer.spectrum), frozenset(range(1, 3))))
    return found


def compared(reports: Sequence[Report]) -> Markup:
    """The networks in one table; empty if there is one only."""
    if len(reports) < 2:
        return Markup("")
    rows = compared_rows(reports)
    return table("What differs", rows, frozenset(range(1, len(rows[0]))))


Draw = Callable[[Card, Sequence[Card]], Sequence[tuple[str, Markup, str]]]
"""A card and all of them (for common scales) -> figures: what stands beside the heading, the picture, what is below."""


def _figures(shown: Sequence[Card], draw: Draw, name: str) -> list[Markup]:
    """The figures of all cards; the first of a card has the id ``t0-0-name``, the next ``t0-0-name-1``."""
    found = []
    for card in shown:
        for i, (beside, drawn, below) in enumerate(draw(card, shown)):
            heading = " · ".join(filter(None, [card.heading, beside]))
            found.append(
                tag(
                    "figure",
                    tag("figcaption", tag("h4", heading)),
                    drawn,
                    tag("p", below, class_="soft small") if below else None,
                    class_="card",
                    id=f"{card.key}{name}-{i}" if i else f"{card.key}{name}",
                )
            )
    return found


def _points(layer: LayerInTime, values: Float[Array, " shown"]) -> tuple[tuple[float, float], ...]:
    return tuple((float(t), float(v)) for t, v in zip(layer.at, values, strict=True))


def _dies_meaning() -> str:
    return (
        "The root mean square of the states' gradient at each step, relative to the largest that arrives directly. "
        "Direct is what the loss says of a step itself (nothing, at steps without a loss); total is that and all "
        "that comes back through later steps. "
        f"Below the red line, {THRESHOLDS.forgotten:g}, a verdict begins to warn."
    )


def _relative(layer: LayerInTime) -> tuple[np.ndarray, np.ndarray]:
    """Total and direct gradients of the states, relative to the largest direct one."""
    there = layer.direct[np.isfinite(layer.direct)]
    largest = float(there.max(initial=0.0)) or 1.0
    return layer.total / largest, layer.direct / largest


def _dies(card: Card, shown: Sequence[Card]) -> list[tuple[str, Markup, str]]:
    drawn = [np.concatenate(_relative(other.layer)) for other in shown]
    numbers = [float(v) for values in drawn for v in values if 0 < v < math.inf]
    span = (min(numbers), max(numbers)) if numbers else None
    total, direct = _relative(card.layer)
    lines = [Line("total", _points(card.layer, total), 0)]
    if np.nansum(direct > 0):
        lines.append(Line("direct", _points(card.layer, direct), 1))
    axes = Axes("logarithmic", "step", span, THRESHOLDS.forgotten, _horizon(card.layer))
    title = f"Gradient of {card.layer.name} over the steps"
    return [("", plot(title, lines, axes, card.key + "dies"), _left(card.layer))]


def _horizon(layer: LayerInTime) -> tuple[float, str] | None:
    """Where the gradient of the last step with a loss has fallen to 1 %, if all sequences are as long."""
    speaking = [t for t, direct in zip(layer.at, layer.direct, strict=True) if direct > 0]
    if layer.horizon is None or not math.isfinite(layer.horizon) or not speaking or len(set(layer.present)) > 1:
        return None
    return (speaking[0] + layer.horizon if layer.reverse else speaking[-1] - layer.horizon), "1 % of the last loss"


def _left(layer: LayerInTime) -> str:
    """In words: what is left at the far end, the horizon, and where nothing arrives directly."""
    total, direct = _relative(layer)
    there = [i for i in range(len(layer.at)) if math.isfinite(total[i])]
    if not there:
        return ""
    end = there[-1] if layer.reverse else there[0]
    said = f"{number(float(total[end]), 2)} of it is left at step {layer.at[end]}"
    if layer.horizon is not None and math.isfinite(layer.horizon):
        said += f"; what the last loss says has fallen to 1 % after {number(layer.horizon, 3)} steps, the horizon"
    elif layer.horizon is not None:
        said += "; what the last loss says has not fallen to 1 % there"
    silent = sum(float(direct[i]) == 0 for i in there)
    if silent:
        said += f". The direct gradient is exactly 0 at {silent} of {len(there)}"
    return f"{said}."


GATES_MEANING = (
    "The mean value of each gate over units and sequences: at 1 a gate is open, at 0 it is shut. A forget gate "
    "(or the z of a GRU) of 0.9 keeps 35 % of a state over ten steps, one of 0.5 a thousandth."
)


def _gates(card: Card, _: Sequence[Card]) -> list[tuple[str, Markup, str]]:
    gates = [s for s in card.layer.series if s.kind == "gate"][:MOST_LINES]
    if not gates:
        return []
    lines = [Line(s.name, _points(card.layer, s.mean), COLOURS[i]) for i, s in enumerate(gates)]
    axes = Axes("linear", "step", (0.0, 1.0))
    stuck = [f"{s.saturated:,} of {counted(s.units, 'unit')} of {clean(s.name)}" for s in gates if s.saturated]
    below = f"Stuck at 0 or 1: {', '.join(stuck)}." if stuck else ""
    return [("", plot(f"Mean gates of {card.layer.name}", lines, axes, card.key + "gates"), below)]


SLOPES_MEANING = (
    "The mean slope |g′(a)| of the activations that the states go through: what the gradient is multiplied by at each "
    "step. Near 0 the activation is flat and lets little through."
)


def _slopes(card: Card, shown: Sequence[Card]) -> list[tuple[str, Markup, str]]:
    rows = [s for s in card.layer.series if s.slope is not None and s.kind != "gate"][:MOST_LINES]
    lines = [Line(s.name, _points(card.layer, s.slope), COLOURS[i]) for i, s in enumerate(rows) if s.slope is not None]
    if not lines:
        return []
    drawn = [s for other in shown for s in other.layer.series if s.slope is not None and s.kind != "gate"]
    tops = [float(np.nanmax(s.slope, initial=0.0)) for s in drawn if s.slope is not None]
    axes = Axes("linear", "step", (0.0, max(1.0, *(t for t in tops if math.isfinite(t)))))
    off = [f"{s.dead:,} dead" for s in rows if s.dead] + [f"{s.saturated:,} saturated" for s in rows if s.saturated]
    below = f"Units: {', '.join(off)}." if off else ""
    return [("", plot(f"Mean slopes of {card.layer.name}", lines, axes, card.key + "slopes"), below)]


QUANTITIES_MEANING = (
    "The root mean square of ∂L/∂v per unit and sequence, total, of states, gates and the input, on a "
    "logarithmic scale."
)


def _quantities(card: Card, _: Sequence[Card]) -> list[tuple[str, Markup, str]]:
    rows = [s for s in card.layer.series if s.kind != "other" and s.total is not None]
    lines = [
        Line(s.name, _points(card.layer, s.total), COLOURS[i])
        for i, s in enumerate(rows[:MOST_LINES])
        if s.total is not None and np.nansum(s.total)
    ]
    if len(lines) < 2:
        return []
    axes = Axes("logarithmic", "step")
    return [("", plot(f"Gradients inside {card.layer.name}", lines, axes, card.key + "inside"), "")]


UNITS_MEANING = (
    "Rows are units of a state, columns are steps: the root mean square of the gradient over the sequences. The shade "
    "is logarithmic, from the largest down to a thousandth of it."
)


def _units(card: Card, _: Sequence[Card]) -> list[tuple[str, Markup, str]]:
    return [(f"∇{clean(m.name)}", _step_map(card.layer, m), "") for m in card.layer.maps]


def _step_map(layer: LayerInTime, m: StepMap) -> Markup:
    rows = f"{len(m.rows)} of {m.units:,} units" if len(m.rows) < m.units else counted(m.units, "unit")
    what = f"Heat map of the gradient of {clean(m.name)}: {rows}, {counted(layer.steps, 'step')}"
    return join(image(m.values, m.largest, f"{what}, largest {number(m.largest, 3)}."), legend(m.largest, signed=False))


WALK_MEANING = (
    "One sample, one step, one unit: what is in the cell there, the total and the direct gradient of each quantity, "
    "and which consumers give a state its gradient. Each term is the sum over all paths through that consumer."
)


def _walk(card: Card, _: Sequence[Card]) -> list[tuple[str, Markup, str]]:
    """The place for what the page's script draws of the record's single steps."""
    if not card.walked:
        return []
    return [("", tag("div", class_="steps", data_report=card.report, data_layer=card.layer.label), "")]


CREDIT_MEANING = (
    "∂L/∂W is a sum of terms: one for each step t with a loss and each step k at which W acted. Shown is the norm of "
    "each term: over k if there is one loss, else with t from top to bottom and k from left to right, the shade "
    "logarithmic."
)


def _credit(card: Card, shown: Sequence[Card]) -> list[tuple[str, Markup, str]]:
    tables = card.layer.credit
    if not tables or any(len(c.rows) > 1 for c in tables):
        return [(f"∇{clean(c.weight)}", _credit_map(c), _credit_words(c)) for c in tables]
    largest = [float(c.largest) for other in shown for c in other.layer.credit if c.largest]
    least = [float(v) for other in shown for c in other.layer.credit for v in c.values.ravel() if v > 0]
    span = (min(least), max(largest)) if least and largest else None
    lines = [
        Line(c.weight, tuple((float(k), float(v)) for k, v in zip(c.columns, c.values[0], strict=True)), COLOURS[i])
        for i, c in enumerate(tables)
    ]
    drawn = plot(f"Credit of {card.layer.name}", lines, Axes("logarithmic", "step", span), card.key + "credit")
    return [(f"the loss at step {tables[0].rows[0]}", drawn, "")]


def _credit_map(c: CreditTable) -> Markup:
    rows, columns = c.values.shape
    what = f"Heat map of the norms of the terms of the gradient of {clean(c.weight)}: {rows} by {columns} steps"
    return join(image(c.values, c.largest, f"{what}, largest {number(c.largest, 3)}."), legend(c.largest, signed=False))


def _credit_words(c: CreditTable) -> str:
    last = c.values[-1]
    every = f", in ranges of {c.every} steps" if c.every > 1 else ""
    return (
        f"Losses at {counted(len(c.rows), 'step')} from {c.rows[0]} to {c.rows[-1]}{every}. Of the last one, step "
        f"{c.columns[int(last.argmax())]} gets most, {number(float(last.max()), 2)}, and step {c.columns[0]} "
        f"{number(float(last[0]), 2)}."
    )


JACOBIAN_MEANING = (
    "What is left of a change of the state at step k in the last state: the norm of ∂s_T/∂s_k (the product of "
    "the state Jacobians), and what it can be at most by the norms of the weights and the slopes; then the "
    "singular values and the spectral radius of single steps: below 1 a direction shrinks."
)


def _jacobians(card: Card, shown: Sequence[Card]) -> list[tuple[str, Markup, str]]:
    found = card.layer.spectrum
    if found is None:
        return []
    back = [float(k) for k in found.back]
    lines = [
        Line("‖∂s_T/∂s_k‖", tuple(sorted(zip(back, map(float, found.log_norm), strict=True))), 0),
        Line("at most", tuple(sorted(zip(back, map(float, found.log_bound), strict=True))), 1),
    ]
    others = [o.layer.spectrum for o in shown if o.layer.spectrum is not None]
    norms = [float(v) for s in others for v in s.log_norm if math.isfinite(v)]
    axes = Axes("powers", "step", (min(norms), max(norms)) if norms else None)
    exponent = number(found.exponents[0], 3) if found.exponents else "–"
    always = "" if found.always is None else f" A step multiplies by at most {number(found.always, 3)} for any input."
    said = f"Largest Lyapunov exponent {exponent} per step; median of {counted(found.sequences, 'sequence')}.{always}"
    first = plot(f"State Jacobians of {card.layer.name} multiplied", lines, axes, card.key + "product")
    values = [("largest σ", found.largest), ("middle σ", found.middle), ("least σ", found.smallest)]
    values.append(("radius", found.radius))
    at = [float(t) for t in found.at]
    each = [
        Line(name, tuple(sorted(zip(at, map(float, v), strict=True))), COLOURS[i]) for i, (name, v) in enumerate(values)
    ]
    second = plot(f"Singular values of {card.layer.name}", each, Axes("linear", "step", (0.0, 1.0)), card.key + "sigma")
    return [("∂s_T/∂s_k", first, said), ("∂s_t/∂s_t−1", second, "")]


COLOURS = (2, 1, 4, 3, 5, 7, 8, 6)
"""Numbers of line styles, so that neighbours differ in colour and in dashes."""
