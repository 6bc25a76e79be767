"""One sentence about a network's gradients, and the findings behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from everygrad.backprop import Gradients
from everygrad.diagnose.culprit import way_back
from everygrad.diagnose.finding import GRAVITY, Finding, Level, worst
from everygrad.diagnose.flow import LayerFlow, flow
from everygrad.diagnose.over_time import LayerOverTime, over_time
from everygrad.diagnose.rules import findings
from everygrad.diagnose.thresholds import THRESHOLDS, Thresholds
from everygrad.diagnose.time_rules import findings_over_time
from everygrad.diagnose.units import counted, units
from everygrad.diagnose.unrolled import unrolled


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
    """Whether the gradient reaches every layer and every step, and if not, where it is lost.

    Looks for numbers that are not finite, layers and units that are dead or saturated, gradients that
    are exactly zero, vanish or explode from layer to layer or over time (`verdict_over_time`), and a huge or a
    vanishing loss. Cost: `units`, `over_time`, and one norm for each quantity.
    """
    layers, stream = units(gradients, thresholds), flow(gradients)
    recurrent = [over_time(layer, thresholds) for layer in unrolled(gradients)]
    found = findings(gradients, layers, stream, recurrent, thresholds)
    return _verdict(found, _healthy_over_time(recurrent, thresholds) if recurrent else _healthy(stream, thresholds))


def verdict_over_time(layers: Sequence[LayerOverTime], thresholds: Thresholds = THRESHOLDS) -> Verdict:
    """Whether the gradient reaches every step of every recurrent layer, in the order of the network.

    Looks for numbers that are not finite, gates and states that are stuck, dead units, layers that get nothing, and
    gradients that vanish or explode over time or from layer to layer; the layer, the step and the quantity that
    make it so are named. Cost: little, the measuring is done by `over_time`.
    """
    return _verdict(findings_over_time(layers, thresholds), _healthy_over_time(layers, thresholds))


def _verdict(found: list[Finding], healthy: str) -> Verdict:
    found = sorted(found, key=lambda finding: -GRAVITY.index(finding.level))  # stable: causes stay before effects
    level = worst(finding.level for finding in found)
    return Verdict(level, found[0].text if level != "ok" else healthy, tuple(found))


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


def _healthy_over_time(layers: Sequence[LayerOverTime], thresholds: Thresholds) -> str:
    ways = [(layer, way_back(layer)) for layer in layers]
    least = min(((float(way.ratio.min()), i) for i, (_, way) in enumerate(ways) if way.steps), default=None)
    if least is None:
        return "Nothing is wrong with the gradients."
    layer, way = ways[least[1]]
    at = int(way.ratio.argmin())
    names = [layer.named(state) for layer in layers for state in layer.states]
    reached = f"Healthy: the gradient reaches {counted(layer.steps, 'step')} of {', '.join(names)}."
    if len(way.steps) == 1:
        return reached
    return (
        f"{reached} The least is {way.ratio[at]:.2g} of what arrives at step {way.reference[at]}, at step "
        f"{way.steps[at]} of {layer.label} (healthy: {thresholds.forgotten:g} to {thresholds.exploding:g})."
    )
