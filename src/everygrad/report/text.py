"""A report as plain text: the verdict, time, the table of all gradients, the units, the training."""

from collections.abc import Sequence

from everygrad.diagnose.units import counted
from everygrad.report.record import Report
from everygrad.report.tables import (
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
from everygrad.report.time_tables import FEW_STEPS, compared_rows, credit_rows, spectrum_rows, step_rows, time_rows
from everygrad.report.words import clean


def to_text(report: Report, *others: Report) -> str:
    """The report for a terminal or a log: no escape sequences, numbers aligned on the right.

    With ``others`` what differs comes first, then each network.
    """
    reports = [report, *others]
    parts = [] if not others else [_headed(title(reports), _table(compared_rows(reports)))]
    for each in reports:
        parts += _parts(each)
    return "\n\n".join(parts) + "\n"


def _parts(report: Report) -> list[str]:
    headline, advice, others = headlines(report)
    told = [" ".join(filter(None, [headline, advice])), check_sentence(report)]
    if report.check is not None and not report.check.ok:
        told.reverse()
    parts = [_headed(title([report]), [f"{report.level.upper()}: {told[0]}", told[1]])]
    if others:
        parts.append("\n".join(f"- {text}\n  {then}" for text, then in others))
    parts.append(_aligned(facts(report)))
    for layer in report.time:
        name = clean(layer.name)
        parts.append(_headed(f"Over time, {name}", _table(step_rows(layer, FEW_STEPS))))
        parts.append("\n".join(_table(time_rows(layer))))
        parts.append("\n".join(_table(spectrum_rows(layer))))
        parts += ["\n".join(_table(credit_rows(c))) for c in layer.credit]
    parts.append(_headed("All gradients", _table(gradient_rows(report))))
    for head, table in (("From layer to layer", flow_rows(report)), ("Activations", layer_rows(report))):
        if len(table) > 1:
            parts.append(_headed(head, _table(table)))
    rows, rest = unit_rows(report)
    if len(rows) > 1:
        more = [f"and {counted(rest, 'unit')} more"] if rest else []
        parts.append(_headed("Dead and saturated units", [*_table(rows), *more]))
    epochs = training_rows(report)
    if len(epochs) > 1:
        parts.append(_headed("Training", _table(epochs)))
    return parts


def _headed(head: str, lines: Sequence[str]) -> str:
    return "\n".join([head, "=" * len(head), *filter(None, lines)])


def _aligned(pairs: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in pairs)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns; a column is numbers, hence on the right, if its cells begin like one."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = [all(_numeric(row[i]) for row in rows[1:]) for i in range(len(rows[0]))]
    lines = [
        "  ".join(f"{c:>{w}}" if r else f"{c:<{w}}" for c, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in rows
    ]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _numeric(cell: str) -> bool:
    return cell[:1] in set("0123456789-–") or cell in ("", "NaN", "Infinity")
