"""The sections of the page, each from the record alone; one that has nothing to say is left out."""

from collections.abc import Callable, Sequence

from everygrad.diagnose import THRESHOLDS, LayerUnits
from everygrad.diagnose.units import counted
from everygrad.report import boxes, svg
from everygrad.report.heatmap import image, legend
from everygrad.report.layers import ladder, slopes
from everygrad.report.markup import Markup, details, join, table, tag
from everygrad.report.picture import both_ends
from everygrad.report.picture_sections import distributions, pictured, weights
from everygrad.report.places import DRAWN_STRIPS, Link, Place
from everygrad.report.plots import Axes, Line, plot
from everygrad.report.record import HeatMap, Report
from everygrad.report.tables import (
    Rows,
    check_sentence,
    facts,
    flow_rows,
    gradient_rows,
    headlines,
    layer_rows,
    title,
    training_rows,
    unit_rows,
)
from everygrad.report.time_tables import names_of
from everygrad.report.words import clean, listed, number

WORDS = {"ok": "Healthy", "warning": "Look closer", "error": "Something is wrong"}
NOTHING = Markup("")
MOST_LAYERS = 32
"""Layers drawn one by one."""
MOST_BESIDE = 5
"""Columns of units that leave room for words beside them."""
MOST_ROWS = 240
"""Rows of one table on the page."""


def header(reports: Sequence[Report]) -> Markup:
    """The title, and the verdict in words, on each network if there are several."""
    names = names_of(reports) if len(reports) > 1 else [""]
    places = [Place(report, i, len(reports) > 1) for i, report in enumerate(reports)]
    boxes = [_verdict(place, name) for place, name in zip(places, names, strict=True)]
    verdicts = boxes if len(boxes) == 1 else [tag("div", *boxes, class_="verdicts")]
    theme = tag("button", "Theme: system", type="button", id="theme", class_="live")
    return tag("header", theme, tag("h1", title(reports)), *verdicts)


def _verdict(place: Place, name: str) -> Markup:
    report = place.report
    wrong = report.check is not None and not report.check.ok
    badge = "A gradient is wrong" if wrong else WORDS[report.level]
    headline, advice, others = headlines(report)
    shown = _see(place.verdict())
    main = [
        tag("p", headline, None if advice else join(" ", shown), class_=None if wrong else "lead"),
        tag("p", advice, " ", shown, class_="soft") if advice else None,
    ]
    told = check_sentence(report), " ", _see(place.gradients())
    checked = tag("p", *told, class_="lead" if wrong else None) if report.check is not None else None
    found = [
        tag("li", tag("strong", what), " ", tag("span", then, " ", _see(link), class_="soft"))
        for (what, then), link in zip(others, place.others(), strict=True)
    ]
    return tag(
        "div",
        tag("p", clean(name), class_="who") if name else None,
        tag("p", tag("span", badge, class_="badge")),
        *([checked, *main] if wrong else [*main, checked]),
        tag("ul", *found, class_="findings") if found else None,
        class_=f"verdict {report.level}",
        role="group",
        aria_label=f"Verdict on {clean(name)}" if name else "Verdict",
    )


def _see(link: Link) -> Markup:
    target, words = link
    return tag("a", f"See {words}", href=f"#{target}", class_="see")


def run(report: Report, _: str) -> Markup:
    """What was run."""
    rows = [join(tag("dt", name) if name else None, tag("dd", value)) for name, value in facts(report)]
    return tag("dl", *rows)


def network(report: Report, key: str) -> Markup:
    """The picture, what it means and leaves out, and its numbers."""
    shown = report.picture
    if shown is None:
        return NOTHING
    if shown.kind == "units":
        drawn, left_out = svg.network(shown, report.layers, key), svg.sampled(shown)
        meaning = (
            "A circle is a unit. Its colour is the sign of the mean gradient over the samples, its strength the "
            "square root of the magnitude relative to the largest of its layer, which is written below. Lines are "
            "weights, the wider the more gradient |W·∇a| they carry back."
        )
        rows = [("unit", "mean ∇", "mean |∇|")]
        for c in shown.columns:
            values = zip(c.shown, c.mean, c.magnitude, strict=True)
            rows += [(f"{clean(c.name)}[{i}]", number(float(m), 3), number(float(s), 3)) for i, m, s in values]
        numbers = table("Mean gradient of each unit shown", rows, frozenset({1, 2}))
    else:
        drawn, left_out = boxes.network(shown, key), boxes.sampled(shown)
        meaning = (
            "A box is a quantity with its formula, its shape and the norm of its gradient. An arrow is a use of it: "
            "the wider, the larger the term of the gradient that comes back along it. The terms add up."
        )
        rows = [("quantity", "used by", "norm of the term")]
        rows += [(clean(a.source), clean(a.target), number(a.norm, 3)) for a in shown.arrows]
        numbers = table("The terms of each gradient", rows, frozenset({2}))
    signs = tag(
        "p",
        Markup('<i class="swatch pos"></i> positive &nbsp; <i class="swatch neg"></i> negative'),
        Markup(' &nbsp; <i class="swatch dead"></i> dead unit') if any(any(u.dead) for u in report.layers) else None,
        class_="key",
    )
    written = Markup("\n".join(tag("code", clean(f, 200)) for f in report.formulas))
    lines = tag("pre", written, tabindex="0", role="group", aria_label="Formulas")
    return join(
        tag("p", meaning, class_="soft"),
        tag("p", f"{left_out[:1].upper()}{left_out[1:]}.", class_="note") if left_out else None,
        signs if shown.kind == "units" else None,
        _explorer(report, key, drawn),
        details("The numbers behind the picture", numbers),
        details("The formulas", lines),
    )


def _explorer(report: Report, key: str, drawn: Markup) -> Markup:
    """The picture, and beside it the place where the page's script writes about the unit that one points at."""
    figure = tag("figure", tag("div", drawn, class_="wide", tabindex="0", role="group", aria_label="Network"))
    if report.explore is None or not report.explore.layers:
        return figure
    which = key.partition("-")[0].removeprefix("n") or "0"
    look = "explorer beside" if len(report.explore.layers) <= MOST_BESIDE else "explorer"
    return tag("div", figure, tag("div", class_="panel live"), class_=look, data_report=which)


def gradients(report: Report, _: str) -> Markup:
    """The table of all gradients."""
    rows = gradient_rows(report)
    checked = report.check is not None
    caption = f"∂{clean(report.of)}/∂v for every quantity v"
    caption += f", checked against the oracle ({clean(report.check.oracle)})" if report.check is not None else ""
    return _bounded(caption, rows, frozenset({2, 3, 4}) if checked else frozenset({2, 3}), 5 if checked else None)


def _bounded(caption: str, rows: Rows, numbers: frozenset[int], states: int | None = None) -> Markup:
    """A table, of which the first and the last rows if there are very many; it says so."""
    body = both_ends(rows[1:], MOST_ROWS)
    left_out = f"{len(body)} of {len(rows) - 1:,} rows: the first and the last. All are in the JSON form."
    return join(
        tag("p", left_out, class_="note") if len(body) < len(rows) - 1 else None,
        table(caption, [rows[0], *body], numbers, states),
    )


def stream(report: Report, key: str) -> Markup:
    """How much gradient reaches each layer of weights."""
    if len(report.flow) < 2:
        return NOTHING
    shown = both_ends(list(report.flow), MOST_LAYERS)
    left_out = f"{len(shown)} of {len(report.flow):,} layers are drawn: the first and the last."
    rms = "The root mean square of ∇a over units and samples, relative to the layer next to the loss, on a "
    return join(
        tag("p", rms + "logarithmic scale. Red lines are where a verdict begins to warn.", class_="soft"),
        tag("p", left_out, class_="note") if len(shown) < len(report.flow) else None,
        tag(
            "figure",
            tag("div", ladder(tuple(shown), key), class_="wide", tabindex="0", role="group", aria_label="Flow"),
        ),
        details("Numbers", _bounded("Gradient of each layer", flow_rows(report), frozenset({1, 2}))),
    )


def maps(report: Report, key: str) -> Markup:
    """One picture per quantity: units from top to bottom, samples from left to right."""
    if not report.maps:
        return NOTHING
    by_class = any(m.order == "class" for m in report.maps)
    meaning = (
        "Rows are units, columns are samples"
        + (", ordered by class" if by_class else "")
        + ". On the left the quantity, its shade linear; on the right its gradient, whose shade is logarithmic, from "
        "the largest magnitude down to a thousandth of it, where it ends. Colour is the sign."
    )
    missing = report.maps_total - len(report.maps)
    left_out = f"{len(report.maps)} of {report.maps_total:,} quantities are shown: the first and the last."
    return join(
        tag("p", meaning, class_="soft"),
        tag("p", left_out, class_="note") if missing else None,
        tag("div", *(_map(m, f"{key}map-{i}") for i, m in enumerate(report.maps)), class_="cards plots"),
    )


def _map(m: HeatMap, key: str) -> Markup:
    units, samples = m.values.shape
    size = [f"{units} of {m.units:,} units" if units < m.units else counted(units, "unit")]
    size += [f"{samples} of {m.samples:,} samples" if samples < m.samples else counted(samples, "sample")]
    name = clean(m.name)
    description = f"Heat map of the gradient of {name}: {', '.join(size)}, largest magnitude {number(m.largest, 3)}."
    rows: Rows = [("unit", "mean", "mean |∇|", "largest |∇|", "at sample")]
    for i, row in enumerate(m.rows):
        numbers = (number(float(v[i]), 3) for v in (m.value_mean, m.mean, m.peak))
        rows.append((f"{name}[{row}]", *numbers, str(int(m.peak_at[i]))))
    signed = bool((m.value < 0).any())
    told = f"Heat map of {name} itself, the same units and samples, largest magnitude {number(m.value_largest, 3)}."
    return tag(
        "figure",
        tag("figcaption", tag("h3", name), tag("p", clean(m.formula, 40), " · ", ", ".join(size), class_="soft")),
        tag(
            "div",
            pictured(name, image(m.value, m.value_largest, told, "linear"), legend(m.value_largest, signed, "linear")),
            pictured(f"∇{name}", image(m.values, m.largest, description), legend(m.largest)),
            class_="pair",
        ),
        details("Numbers", table(f"{name} and its gradient by unit", rows, frozenset({1, 2, 3, 4}))),
        class_="card",
        id=key,
    )


def units(report: Report, key: str) -> Markup:
    """The layers of activations, the slopes of their units, and the dead and saturated ones."""
    if not report.layers:
        return NOTHING
    rows, rest = unit_rows(report)
    shown = both_ends(list(report.layers), DRAWN_STRIPS)
    strips = [
        tag("figure", tag("figcaption", _range(layer)), slopes(layer, f"{key}s{i}"), id=f"{key}unit-{i}")
        for i, layer in enumerate(shown)
    ]
    noticed = (
        join(
            table("Dead and saturated units", rows, frozenset(range(2, 8)), states=1),
            tag("p", f"and {counted(rest, 'unit')} more.", class_="note") if rest else None,
        )
        if len(rows) > 1
        else tag("p", "No unit is dead or saturated on these samples.")
    )
    return join(
        tag(
            "p",
            "A unit is dead if the slope of its activation is exactly 0 for every sample, saturated if it is below "
            f"{THRESHOLDS.flat_slope:.0%} of the steepest for at least {THRESHOLDS.saturated_unit:.0%} of them. "
            "A dead unit passes on no gradient, a saturated one hardly any.",
            class_="soft",
        ),
        _bounded("Activations by layer", layer_rows(report), frozenset(range(2, 9))),
        tag("h3", "Mean slope of each unit, relative to the steepest of its layer"),
        tag("div", *strips, class_="strips"),
        details("Numbers", *(tag("p", f"{clean(one.name)}: {listed(one.slope)}", class_="small") for one in shown)),
        tag("h3", "Units to look at"),
        noticed,
    )


def _range(layer: LayerUnits) -> str:
    slopes = f"{number(float(layer.slope.min()), 2)} to {number(float(layer.slope.max()), 2)}"
    return f"{clean(layer.name)} = {clean(layer.activation)}({clean(layer.before)}), mean slopes from {slopes}"


def training(report: Report, key: str) -> Markup:
    """Loss, accuracy and the norms of the gradients over the epochs."""
    epochs = report.history
    if not epochs:
        return NOTHING

    def line(label: str, colour: int, values: list[float | None]) -> list[Line]:
        points = tuple((float(e.epoch), v) for e, v in zip(epochs, values, strict=True) if v is not None)
        return [Line(label, points, colour)] if points else []

    loss = line("training", 0, [e.loss for e in epochs]) + line("held out", 1, [e.validation_loss for e in epochs])
    right = line("training", 0, [_percent(e.accuracy) for e in epochs])
    right += line("held out", 1, [_percent(e.validation_accuracy) for e in epochs])
    names = list(dict.fromkeys(name for e in epochs for name in e.gradient_norms))
    weights = both_ends([n for n in names if not n.startswith("b")] or names, 8)
    norms = [part for i, n in enumerate(weights) for part in line(n, 2 + i, [e.gradient_norms.get(n) for e in epochs])]
    plots = [("Loss", loss, Axes("logarithmic")), ("Accuracy in %", right, Axes("linear"))]
    plots += [("Norm of the gradient of each layer", norms, Axes("logarithmic"))]
    figures = [
        tag("figure", tag("figcaption", tag("h3", name)), plot(name, lines, axes, f"{key}p{i}"), class_="card")
        for i, (name, lines, axes) in enumerate(plots)
        if lines
    ]
    rows = training_rows(report)
    return join(
        tag("div", *figures, class_="cards plots"),
        details("The numbers behind the curves", table("Epochs", rows, frozenset(range(1, len(rows[0]))))),
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


SECTIONS: tuple[tuple[str, str, Callable[[Report, str], Markup]], ...] = (
    ("run", "What was run", run),
    ("network", "Network", network),
    ("gradients", "All gradients", gradients),
    ("flow", "From layer to layer", stream),
    ("maps", "Values and gradients by unit and sample", maps),
    ("distributions", "Distributions", distributions),
    ("weights", "Weights", weights),
    ("units", "Units", units),
    ("training", "Training", training),
)
"""Key, heading, and what is shown of one report; its keys begin with those of the report, to stay unique."""
