"""Units that let no gradient pass: one finding for each level, whatever the reason is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from everygrad.diagnose.finding import Finding, Level, milder
from everygrad.diagnose.thresholds import Thresholds
from everygrad.diagnose.units import counted


@final
@dataclass(frozen=True, slots=True)
class Blocked:
    """So many units of one quantity that are dead or saturated, and why.

    ``seen`` is how often each unit was looked at; ``harmless``: they let a gradient through all the same.
    """

    name: str
    count: int
    units: int
    seen: int
    reason: str
    layer: str = ""
    harmless: bool = False


def findings_of(
    kind: str, members: Sequence[Blocked], whole: float, advice: str, thresholds: Thresholds
) -> list[Finding]:
    """One finding per level: the first of the members, which come backwards from the loss, and the others' names.

    ``whole`` is the share of the units from which it is an error. With few samples, or if it does no harm, it is
    one level milder.
    """
    by_level: dict[Level, list[Blocked]] = {}
    for member in members:
        share = member.count / max(member.units, 1)
        level: Level = "error" if share >= whole else "warning" if share >= thresholds.unit_share else "ok"
        few = member.seen < thresholds.few_samples
        for _ in range(few + member.harmless):
            level = milder(level)
        if member.count and not (few and level == "ok"):
            by_level.setdefault(level, []).append(member)
    found = []
    for level, (first, *rest) in by_level.items():
        size = counted(first.units, "unit")
        who = f"All {size}" if first.count == first.units > 1 else f"{first.count:,} of {size}"
        text = f"{who} of {first.name} {'is' if first.count == 1 else 'are'} {kind}: {first.reason}."
        others = ", ".join(f"{other.name} ({other.count:,} of {other.units:,})" for other in rest)
        found.append(
            Finding(
                kind,
                level,
                first.name,
                f"{text} Likewise {others}." if others else text,
                first.count / first.units,
                whole if level == "error" else thresholds.unit_share,
                advice,
                first.layer,
            )
        )
    return found
