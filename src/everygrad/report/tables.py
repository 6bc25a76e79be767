"""The tables of a report as rows of words, shared by all forms; the first row is the head."""

from collections.abc import Sequence

from everygrad.diagnose.units import counted
from everygrad.report.picture import both_ends
from everygrad.report.record import Report
from everygrad.report.words import clean, number, percent, shape, some

MOST_UNITS = 20
"""Dead and saturated units listed one by one."""
MOST_EPOCHS = 100
"""Epochs listed one by one."""
MOST_NORMS = 12
"""Gradient norms listed for each epoch."""

Rows = list[tuple[str, ...]]


def title(reports: Sequence[Report]) -> str:
    """The title of one report, or of several networks side by side."""
    if len(reports) == 1:
        return clean(reports[0].title)
    data = {report.data.name for report in reports if report.data is not None}
    return f"Gradients of {len(reports)} networks" + (f" on {clean(data.pop())}" if len(data) == 1 else "")


def check_sentence(report: Report) -> str:
    """Whether the gradients are right, in one sentence; "" if that was not checked."""
    check = report.check
    if check is None:
        return ""
    largest = f"largest relative error {number(check.largest_error, 2)} at {clean(check.largest_at)}"
    if check.ok:
        who = "The gradient agrees" if check.quantities == 1 else f"All {check.quantities:,} gradients agree"
        return f"{who} with the oracle ({clean(check.oracle)}): {largest}."
    where = f" at {clean(check.culprit)}" if check.culprit else ""
    why = f": {clean(check.fault, 300)}" if check.fault else ""
    return f"A gradient is wrong{where}{why} (oracle: {clean(check.oracle)}; {largest})."


def headlines(report: Report) -> tuple[str, str, list[tuple[str, str]]]:
    """The verdict, what to try ("" if nothing is wrong), and the other findings with what to try."""
    told = [(clean(f.text, 500), clean(f.advice, 500)) for f in report.verdict.findings]
    if report.verdict.level != "ok":
        return told[0][0], told[0][1], told[1:]
    headline = clean(report.verdict.headline, 500).removeprefix("Healthy: ")
    return headline[:1].upper() + headline[1:], "", told


def facts(report: Report) -> list[tuple[str, str]]:
    """What was run: (name, value)."""
    data = report.data
    pairs = []
    if data is not None:
        pairs.append(("Data", ", ".join(filter(None, [clean(data.name), clean(data.source, 200)]))))
        size = [counted(data.rows, "row")] if data.rows is not None else []
        size += [counted(len(data.features), "feature")] if data.features else []
        size += [clean(data.task)] if data.task else []
        pairs += [("", ", ".join(size))] if size else []
        if data.classes:
            pairs.append(("Classes", f"{len(data.classes):,}: {some(data.classes)}"))
    pairs.append(("Network", clean(report.network, 300)))
    pairs.append(("Parameters", f"{report.parameters:,}, {clean(report.dtype)}, {clean(report.library)}"))
    if report.time:
        steps = " and ".join(f"{n:,}" for n in dict.fromkeys(layer.steps for layer in report.time))
        pairs.append(("Sequences", f"{report.samples:,} in this report, of {steps} steps"))
    else:
        pairs.append(("Samples", f"{report.samples:,} in this report"))
    if report.loss is not None:
        pairs.append(("Loss", f"{number(report.loss, 6)} = {clean(report.loss_formula)}"))
    if report.accuracy is not None:
        pairs.append(("Accuracy", f"{percent(report.accuracy)} of these samples"))
    if report.r_squared is not None:
        pairs.append(("R²", f"{number(report.r_squared)} on these samples"))
    best = report.best_epoch
    if best is not None and best.validation_accuracy is not None:
        where = f"epoch {best.epoch} of {counted(len(report.history), 'epoch')}"
        pairs.append(("Held-out accuracy", f"{percent(best.validation_accuracy)} ({where}, lowest validation loss)"))
    elif best is not None and best.validation_loss is not None:
        pairs.append(("Held-out loss", f"{number(best.validation_loss)} (epoch {best.epoch})"))
    return pairs


def gradient_rows(report: Report) -> Rows:
    """All gradients: quantity, shape, norm, and, if they were checked, the error and the verdict."""
    checked = report.check is not None
    head = ("quantity", "role", "shape", "norm of gradient")
    rows: Rows = [(*head, "relative error", "verdict", "entries checked") if checked else head]
    for q in report.quantities:
        row = (clean(q.name), q.role, shape(q.shape), number(q.norm))
        outcome = "not checked" if q.ok is None else "ok" if q.ok else "wrong"
        reason = f"{outcome}: {clean(q.fault, 200)}" if q.fault else outcome
        rows.append((*row, number(q.error, 2), reason, clean(q.how)) if checked else row)
    return rows


def flow_rows(report: Report) -> Rows:
    """Each layer of weights: the RMS of ∇a, and its ratio to the last layer's."""
    rows: Rows = [("layer", "RMS of ∇a", "relative to the last")]
    return rows + [(clean(row.name), number(row.rms), number(row.ratio, 3)) for row in report.flow]


def layer_rows(report: Report) -> Rows:
    """Each activation: units, mean slope, dead and saturated units, mean ∇a."""
    rows: Rows = [("layer", "activation", "units", "mean slope", "flat", "dead", "saturated", "mean |∇h|", "mean |∇a|")]
    for layer in report.layers:
        rows.append(
            (
                clean(layer.name),
                clean(layer.activation),
                f"{len(layer):,}",
                number(float(layer.slope.mean()), 3),
                "–" if layer.flat is None else percent(float(layer.flat.mean())),
                f"{sum(layer.dead):,}",
                f"{sum(layer.saturated):,}",
                number(float(layer.grad_h.mean()), 3),
                number(float(layer.grad_a.mean()), 3),
            )
        )
    return rows


def unit_rows(report: Report) -> tuple[Rows, int]:
    """The dead and saturated units, dead ones first, then the flattest; and how many are left out."""
    head = ("unit", "state", "mean slope", "slope 0", "flat", "mean |∇h|", "mean |∇a|", "share of ‖∇a‖²")
    found = []
    for place, layer in enumerate(report.layers):
        for i in range(len(layer)):
            if layer.status(i):
                found.append((not layer.dead[i], float(layer.slope[i]), place, i))
    found.sort()
    rows: Rows = [head]
    for _, _, place, i in found[:MOST_UNITS]:
        layer = report.layers[place]
        rows.append(
            (
                clean(layer.labels[i]),
                layer.status(i),
                number(float(layer.slope[i]), 3),
                percent(float(layer.zero[i])),
                "–" if layer.flat is None else percent(float(layer.flat[i])),
                number(float(layer.grad_h[i]), 3),
                number(float(layer.grad_a[i]), 3),
                percent(float(layer.share[i])),
            )
        )
    return rows, len(found) - len(rows) + 1


def training_rows(report: Report) -> Rows:
    """The epochs, at equal distances if there are many, always with the first, the best and the last."""
    epochs = report.history
    if not epochs:
        return []
    optional = [
        ("accuracy", [percent(e.accuracy) for e in epochs], any(e.accuracy is not None for e in epochs)),
        (
            "validation loss",
            [number(e.validation_loss) for e in epochs],
            any(e.validation_loss is not None for e in epochs),
        ),
        (
            "validation accuracy",
            [percent(e.validation_accuracy) for e in epochs],
            any(e.validation_accuracy is not None for e in epochs),
        ),
    ]
    columns = [(name, cells) for name, cells, known in optional if known]
    weights = both_ends(list(dict.fromkeys(name for e in epochs for name in e.gradient_norms)), MOST_NORMS)
    rows: Rows = [("epoch", "loss", *(name for name, _ in columns), *(f"‖∇{clean(name)}‖" for name in weights))]
    for i in _some_epochs(report):
        norms = (number(epochs[i].gradient_norms.get(name), 3) for name in weights)
        rows.append((str(epochs[i].epoch), number(epochs[i].loss), *(cells[i] for _, cells in columns), *norms))
    return rows


def _some_epochs(report: Report) -> list[int]:
    count = len(report.history)
    if count <= MOST_EPOCHS:
        return list(range(count))
    best = next(i for i, row in enumerate(report.history) if row is report.best_epoch)
    return sorted({count * i // MOST_EPOCHS for i in range(MOST_EPOCHS)} | {best, count - 1})
