"""The verdict on the recurrent layers of a watched model: over time, call by call, and whether it holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import final

from everygrad.adapters.watched.agreement import ROUNDING, Agreement
from everygrad.adapters.watched.records import Part
from everygrad.diagnose import Finding, LayerOverTime, Verdict, over_time, verdict_over_time, worst
from everygrad.diagnose.finding import GRAVITY


@final
@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """One layer and direction of one call: its name in the report, its module, and which call of it (from 0)."""

    label: str
    module: str
    call: int
    part: Part


def verdict_of(parts: Sequence[Labelled], compared: Iterable[Agreement]) -> Verdict:
    """Where the gradient dies or explodes over time; an error if autograd delivered other gradients.

    Calls of one module are no layers on top of each other: the first calls of all modules are looked at together,
    then the second ones, and so on.
    """
    rounds: dict[int, list[LayerOverTime]] = {}
    calls: dict[str, list[int]] = {}
    for one in parts:
        numbers = calls.setdefault(one.module, [])
        if one.call not in numbers:
            numbers.append(one.call)
    repeated = {module: numbers for module, numbers in calls.items() if len(numbers) > 1}
    for one in parts:
        measured = over_time(one.part.unrolled(one.label))
        place = f"{one.module}[{one.call}]" if one.module in repeated else one.module
        if repeated or len(calls) > 1:
            measured = replace(measured, suffix=f"{measured.suffix} of {place}")
        rounds.setdefault(calls[one.module].index(one.call), []).append(measured)
    verdicts = [verdict_over_time(layers) for layers in rounds.values()]
    found = _once([finding for verdict in verdicts for finding in verdict.findings])
    level, headline = worst(verdict.level for verdict in verdicts), verdicts[0].headline
    if level != "ok":
        headline = next(finding.text for finding in found if finding.level == level)
    if repeated:
        counts = " and ".join(f"the {len(numbers)} calls of {module}" for module, numbers in repeated.items())
        note = f"{counts[0].upper()}{counts[1:]} are looked at one by one, and not joined into one sequence"
        headline = f"{headline} {note}{' (here the first)' if level == 'ok' else ''}."
    wrong = disagreement(compared)
    if wrong is not None:
        return Verdict("error", wrong.text, (wrong, *found))
    return Verdict(level, headline, tuple(found))


def disagreement(compared: Iterable[Agreement]) -> Finding | None:
    """An error that names the weights to which autograd delivered other gradients; None if there are none."""
    wrong = [row for row in compared if not row.ok]
    if not wrong:
        return None
    shown = ", ".join(f"{row.name} ({row.error:.1g})" for row in wrong)
    return Finding(
        "not autograd's",
        "error",
        wrong[0].name,
        f"Not autograd's: it delivered other gradients than come through the watched calls: {shown}.",
        max(row.error for row in wrong),
        max(ROUNDING.values()),
        "Such a parameter has another use (a penalty on the weights, a module that is not watched), or a hook changes "
        "its gradient or that of the layer's output, or torch.autograd.grad did not ask for it.",
    )


def _once(found: Iterable[Finding]) -> list[Finding]:
    """Worst first; what is found of one quantity in several calls of a module is said once."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in sorted(found, key=lambda one: -GRAVITY.index(one.level)):
        groups.setdefault((finding.kind, finding.where.split("[")[0].split(" at step")[0]), []).append(finding)
    return [
        first if not others else replace(first, text=f"{first.text} Much the same in {len(others)} more calls.")
        for first, *others in groups.values()
    ]
