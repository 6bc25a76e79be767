"""One sentence about a network's gradients, and the findings behind it."""

import math
from dataclasses import dataclass
from typing import final

from everygrad.backprop import Gradients
from everygrad.diagnose.finding import GRAVITY, Finding, Level, worst
from everygrad.diagnose.flow import LayerFlow, flow
from everygrad.diagnose.rules import findings
from everygrad.diagnose.thresholds import THRESHOLDS, Thresholds
from everygrad.diagnose.units import units


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst level of the findings, the headline of the worst one, and all of them, worst first."""

    level: Level
    headline: str
    findings: tuple[Finding, ...]

    @property
    def culprit(self) -> str | None:
        """The quantity where it goes wrong, or None if nothing does."""
        return self.findings[0].where if self.level != "ok" else None

    def __str__(self) -> str:
        lines = [f"{self.level}: {self.headline}"]
        for finding in self.findings:
            lines += [f"  - {finding.text}", f"    {finding.advice}"]
        return "\n".join(lines)


def verdict(gradients: Gradients, thresholds: Thresholds = THRESHOLDS) -> Verdict:
    """Whether the gradient reaches every layer, and if not, where it is lost.

    Looks for numbers that are not finite, layers and units that are dead or saturated, gradients that
    are exactly zero, vanish or explode from layer to layer, and a huge or a vanishing loss. Cost: `units`,
    and one norm for each quantity.
    """
    layers, stream = units(gradients, thresholds), flow(gradients)
    found = findings(gradients, layers, stream, thresholds)
    found.sort(key=lambda finding: -GRAVITY.index(finding.level))  # stable: causes stay before effects
    level = worst(finding.level for finding in found)
    return Verdict(level, found[0].text if level != "ok" else _healthy(stream, thresholds), tuple(found))


def _healthy(stream: tuple[LayerFlow, ...], thresholds: Thresholds) -> str:
    if not stream or stream[-1].rms == 0:
        return "Nothing is wrong with the gradients."
    if len(stream) == 1:
        return f"Healthy: the gradient reaches {stream[0].name}, the only layer."
    end = max(stream[:-1], key=lambda row: abs(math.log(row.ratio)) if row.ratio else math.inf)
    return (
        f"Healthy: the gradient reaches all {len(stream)} layers. {end.name} gets {end.ratio:.2g} times that of "
        f"{stream[-1].name} (healthy: {thresholds.vanishing:g} to {thresholds.exploding:g})."
    )
