"""The tables about recurrent layers, and those that compare networks, as rows of words; the first row is the head."""

from collections.abc import Sequence

import numpy as np

from everygrad.engines import Array
from everygrad.engines.shapes import Float
from everygrad.report.record import Report
from everygrad.report.tables import Rows
from everygrad.report.time_record import CreditTable, LayerInTime, Spectrum, StepMap
from everygrad.report.words import clean, number, percent

MOST_STEPS = 16
"""Steps listed one by one; of more, so many at equal distances."""
FEW_STEPS = 9


def names_of(reports: Sequence[Report]) -> list[str]:
    """What each network is called beside the others: its name, with a number if two have the same."""
    names = [report.name for report in reports]
    return [f"{n} ({names[: i + 1].count(n)})" if names.count(n) > 1 else n for i, n in enumerate(names)]


def compared_rows(reports: Sequence[Report]) -> Rows:
    """One column for each network: what it is, how good it is, what the verdict is, what is left of the gradient."""
    recurrent = any(report.time for report in reports)
    rows: Rows = [
        ("", *(clean(name, 40) for name in names_of(reports))),
        ("Verdict", *(report.verdict.level for report in reports)),
        ("Gradients checked", *(_checked(report) for report in reports)),
        ("Parameters", *(f"{report.parameters:,}" for report in reports)),
        ("Loss", *(number(report.loss) for report in reports)),
    ]
    for name, values in (
        ("Accuracy", [report.accuracy for report in reports]),
        ("Held-out accuracy", [_best_accuracy(report) for report in reports]),
    ):
        if any(v is not None for v in values):
            rows.append((name, *map(percent, values)))
    if any(report.r_squared is not None for report in reports):
        rows.append(("R²", *(number(report.r_squared) for report in reports)))
    if recurrent:
        rows.append(("Steps", *(f"{r.time[0].steps:,}" if r.time else "–" for r in reports)))
        rows.append(("Left at the first step", *(_least(report) for report in reports)))
        rows.append(("Fallen to 1 % after", *(_horizon(report) for report in reports)))
    return rows


def _checked(report: Report) -> str:
    if report.check is None:
        return "–"
    return f"{report.check.quantities:,} right" if report.check.ok else "wrong"


def _best_accuracy(report: Report) -> float | None:
    return None if report.best_epoch is None else report.best_epoch.validation_accuracy


def left(layer: LayerInTime) -> float | None:
    """The total gradient of the states at the far end of the way back / the largest direct one."""
    there = [i for i, v in enumerate(layer.total) if np.isfinite(v)]
    largest = float(np.nanmax(layer.direct, initial=0.0))
    if not there or not largest:
        return None
    return float(layer.total[there[-1] if layer.reverse else there[0]]) / largest


def _least(report: Report) -> str:
    found = [v for v in map(left, report.time) if v is not None]
    return number(min(found, default=None), 2)


def _horizon(report: Report) -> str:
    found = [layer.horizon for layer in report.time if layer.horizon is not None]
    return f"{horizon(min(found))}" if found else "–"


def horizon(steps: float) -> str:
    """A horizon in words."""
    return "never" if np.isinf(steps) else f"{number(steps, 3)} steps"


def time_rows(layer: LayerInTime) -> Rows:
    """Each quantity of a layer: its mean value, its gradient at the first and the last step, its stuck units."""
    head = ("quantity", "kind", "units", "mean", "total, first step", "total, last step", "direct, last step")
    rows: Rows = [(*head, "saturated", "dead")]
    for s in layer.series:
        rows.append(
            (
                clean(s.name),
                s.kind,
                f"{s.units:,}",
                number(_mean(s.mean, layer.present), 3),
                number(_end(s.total, 0), 3),
                number(_end(s.total, -1), 3),
                number(_end(s.direct, -1), 3),
                f"{s.saturated:,}" if s.activation else "–",
                f"{s.dead:,}" if s.activation else "–",
            )
        )
    return rows


def step_rows(layer: LayerInTime, most: int = MOST_STEPS) -> Rows:
    """The states at some of the steps: total, direct, what one step back multiplies by, relative to the largest."""
    largest = float(np.nanmax(layer.direct, initial=0.0)) or 1.0
    step = "step" if layer.every == 1 else f"steps from (ranges of {layer.every})"
    rows: Rows = [(step, "total", "direct", "total, relative", "factor from the next step")]
    for i in _some([i for i, there in enumerate(layer.present) if there], most):
        total, direct = float(layer.total[i]), float(layer.direct[i])
        gain = None if np.isnan(layer.gain[i]) else float(layer.gain[i])
        shown = (number(total), number(direct), number(total / largest, 3), number(gain, 3))
        rows.append((f"{layer.at[i]:,}", *shown))
    return rows


def _some(items: Sequence[int], most: int) -> list[int]:
    """At most so many at equal distances, the first and the last among them."""
    last = len(items) - 1
    return list(items) if last < most else [items[last * j // (most - 1)] for j in range(most)]


def spectrum_rows(layer: LayerInTime) -> Rows:
    """The state Jacobians in a few numbers."""
    found = layer.spectrum
    rows: Rows = [("of the state Jacobians", "")]
    rows += [(f"eigenvalue of {clean(name)}, largest magnitude", number(size)) for name, size in layer.radius.items()]
    if layer.horizon is not None:
        rows.append(("gradient has fallen to 1 % after", horizon(layer.horizon)))
    if found is not None:
        rows.append(("largest singular value of ∂s_t/∂s_t−1, mean", number(float(found.largest.mean()))))
        rows.append(("spectral radius of ∂s_t/∂s_t−1, mean", number(float(found.radius.mean()))))
        rows.append(("‖∂s_T/∂s_0‖", power(float(found.log_norm[-1]))))
        rows.append(("at most (norms of weights and slopes)", power(float(found.log_bound[-1]))))
        rows += [(f"Lyapunov exponent {i + 1}", number(e)) for i, e in enumerate(found.exponents)]
    return rows


def credit_rows(credit: CreditTable, most: int = FEW_STEPS) -> Rows:
    """Norms of the terms of a weight's gradient: steps where it acted, and the last steps whose loss speaks."""
    t = range(max(0, len(credit.rows) - 3), len(credit.rows))
    every = f" (ranges of {credit.every} steps)" if credit.every > 1 else ""
    rows: Rows = [(f"∇{clean(credit.weight)}, acting at{every}", *(f"loss at {credit.rows[i]}" for i in t))]
    for k in _some(range(len(credit.columns)), most):
        rows.append((f"{credit.columns[k]:,}", *(number(float(credit.values[i, k])) for i in t)))
    return rows


def quantity_rows(layer: LayerInTime, most: int = FEW_STEPS) -> Rows:
    """What is drawn of the quantities at some of the steps: means of gates, slopes of activations, gradients."""
    gates = [(f"mean {clean(s.name)}", s.mean) for s in layer.series if s.kind == "gate"]
    slopes = [(f"slope of {clean(s.name)}", s.slope) for s in layer.series if s.slope is not None and s.kind != "gate"]
    totals = [(f"∇{clean(s.name)}", s.total) for s in layer.series if s.kind != "other" and s.total is not None]
    columns = [*gates, *slopes, *totals]
    rows: Rows = [("step", *(name for name, _ in columns))]
    for i in _some([i for i, there in enumerate(layer.present) if there], most):
        rows.append((f"{layer.at[i]:,}", *(number(float(values[i]), 3) for _, values in columns)))
    return rows


def map_rows(layer: LayerInTime, m: StepMap, most: int = FEW_STEPS) -> Rows:
    """Some of the units of a state: the gradient at the first and the last step shown, and where it is largest."""
    rows: Rows = [("unit", f"step {layer.at[0]:,}", f"step {layer.at[-1]:,}", "largest", "at step")]
    for i in _some(range(len(m.rows)), most):
        values = m.values[i]
        peak = int(np.argmax(np.where(np.isnan(values), -1.0, values)))
        numbers = (number(float(v), 3) for v in (values[0], values[-1], values[peak]))
        rows.append((f"{clean(m.name)}[{m.rows[i]}]", *numbers, f"{layer.at[peak]:,}"))
    return rows


def jacobian_rows(found: Spectrum, most: int = FEW_STEPS) -> Rows:
    """Singular values and the spectral radius of the state Jacobian at some of the steps."""
    rows: Rows = [("step", "largest σ", "middle σ", "least σ", "spectral radius")]
    for i in _some(range(len(found.at)), most):
        values = (found.largest, found.middle, found.smallest, found.radius)
        rows.append((f"{found.at[i]:,}", *(number(float(v[i]), 3) for v in values)))
    return rows


def product_rows(found: Spectrum, most: int = FEW_STEPS) -> Rows:
    """‖∂s_T/∂s_k‖ and what it is at most, at some of the steps k."""
    rows: Rows = [("k", "‖∂s_T/∂s_k‖", "at most")]
    for i in _some(range(len(found.back)), most):
        rows.append((f"{found.back[i]:,}", power(float(found.log_norm[i])), power(float(found.log_bound[i]))))
    return rows


def credit_tables_of(layer: LayerInTime, most: int = FEW_STEPS) -> list[Rows]:
    """The credit of all weights in one table if there is one loss, else in one for each."""
    tables = layer.credit
    if not tables or len({c.columns for c in tables}) > 1 or any(len(c.rows) > 1 for c in tables):
        return [credit_rows(c, most) for c in tables]
    every = f" (ranges of {tables[0].every} steps)" if tables[0].every > 1 else ""
    rows: Rows = [(f"acting at{every}", *(f"∇{clean(c.weight)}" for c in tables))]
    for k in _some(range(len(tables[0].columns)), most):
        rows.append((f"{tables[0].columns[k]:,}", *(number(float(c.values[0, k]), 3) for c in tables)))
    return [rows]


def power(log10: float) -> str:
    """A number that is given by its logarithm, as people write it; it may be beyond those of the machine."""
    if not np.isfinite(log10):
        return "0" if log10 < 0 else number(log10)
    return number(10.0**log10, 3) if abs(log10) < 300 else f"10^{log10:.1f}"


def _mean(values: Float[Array, " shown"], present: Sequence[int]) -> float | None:
    """Over the steps that a sequence has; not finite if one of the numbers there is not."""
    there = values[np.array(present) > 0]
    with np.errstate(invalid="ignore"):
        return float(there.mean()) if there.size else None


def _end(values: Float[Array, " shown"] | None, which: int) -> float | None:
    there = None if values is None else values[~np.isnan(values)]
    return None if there is None or not there.size else float(there[which])
