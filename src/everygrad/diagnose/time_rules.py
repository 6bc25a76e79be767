"""The rules for recurrent layers: each names the layer, the quantity and the step where it goes wrong."""

from collections.abc import Sequence

import numpy as np

from everygrad.diagnose.blocked import Blocked, findings_of
from everygrad.diagnose.culprit import Cause, Turn, fall, rise, way_back, why_it_falls, why_it_grows
from everygrad.diagnose.finding import Finding, Level
from everygrad.diagnose.over_time import LayerOverTime, Series, Slopes
from everygrad.diagnose.thresholds import Thresholds
from everygrad.diagnose.units import counted
from everygrad.engines import Array
from everygrad.engines.shapes import Bool, Float


def findings_over_time(layers: Sequence[LayerOverTime], thresholds: Thresholds) -> list[Finding]:
    """Everything that was found in layers given in the order of the network, causes before effects.

    Numbers that are not finite leave no other rule a say. A gradient that is directly zero at a step without a
    loss is as it should be and no finding.
    """
    broken = not_finite_over_time(layers)
    if broken is not None:
        return [broken]
    found = [*dead(layers, thresholds), *saturated(layers, thresholds), unheard(layers)]
    found += [vanishing(layers, thresholds), exploding(layers, thresholds), *between(layers, thresholds)]
    return [finding for finding in found if finding is not None]


def place(layer: LayerOverTime, name: str, step: int) -> str:
    """``f_l0 at step 12``."""
    return f"{layer.named(name)} at step {step}"


def not_finite_over_time(layers: Sequence[LayerOverTime]) -> Finding | None:
    """NaN or infinity: the first value in the order of processing, else the first gradient backwards."""
    for layer in layers:
        for step in reversed(layer.backwards()):
            for series in layer.series:
                if series.broken_values[step]:
                    return _not_finite(layer, series, step, int(series.broken_values[step]), "the value of")
    for layer in reversed(layers):
        for step in layer.backwards():
            for series in reversed(layer.series):
                if series.broken_gradients is not None and series.broken_gradients[step]:
                    return _not_finite(layer, series, step, int(series.broken_gradients[step]), "the gradient of")
    return None


def _not_finite(layer: LayerOverTime, series: Series, step: int, count: int, what: str) -> Finding:
    where = place(layer, series.name, step)
    size = int(layer.samples[step]) * series.units
    return Finding(
        "not finite",
        "error",
        where,
        f"Not finite: {what} {where} holds NaN or infinity in {count:,} of {size:,} places, and all that follows "
        "from it.",
        float(count),
        0.0,
        "Clip the norm of the gradient, lower the learning rate, scale the data; look for a log, square root or "
        f"division at 0 in what {layer.named(series.name)} is computed from.",
        layer.label,
        step,
    )


def dead(layers: Sequence[LayerOverTime], thresholds: Thresholds) -> list[Finding]:
    """Units whose slope is exactly 0 at every step of every sequence."""
    why = "the slope of {activation} is exactly 0 at every step of {samples}, so no gradient passes"
    members = [
        _blocked(layer, series, np.array(s.dead), why)
        for layer, series, s in _activations(layers)
        if s.switches or s.unit_flat is None
    ]
    advice = (
        "A higher bias or smaller weights in front of it, a lower learning rate, or leaky_relu, which keeps a slope."
    )
    return findings_of("dead", members, 1.0, advice, thresholds)


def saturated(layers: Sequence[LayerOverTime], thresholds: Thresholds) -> list[Finding]:
    """Gates that stick at 0 or 1 and states at ±1 for nearly all steps of all sequences, underflow included.

    A gate that is stuck open lets the gradient through, and only cannot learn: one level milder.
    """
    why = (
        f"the slope of {{activation}} is below {thresholds.flat_slope:.0%} of its steepest at "
        f"{thresholds.saturated_unit:.0%} or more of the steps of {{samples}} (its mean there: {{mean:.3g}})"
    )
    members = []
    for layer, series, s in _activations(layers):
        if s.unit_flat is not None and not s.switches:
            stuck = np.logical_or(s.dead, s.saturated)
            is_open = series.is_gate and bool(stuck.any()) and series.unit_mean[stuck].mean() > 0.5
            members.append(_blocked(layer, series, stuck, why, bool(is_open)))
    advice = (
        "Smaller weights or inputs in front of it, layer norm, a bias nearer to 0, or a lower learning rate; "
        "an orthogonal W keeps states small."
    )
    return findings_of("saturated", members, thresholds.layer_share, advice, thresholds)


def _activations(layers: Sequence[LayerOverTime]) -> list[tuple[LayerOverTime, Series, Slopes]]:
    return [(layer, s, s.slopes) for layer in reversed(layers) for s in layer.series if s.slopes is not None]


def _blocked(
    layer: LayerOverTime, series: Series, units: Bool[Array, " units"], why: str, harmless: bool = False
) -> Blocked:
    assert series.slopes is not None  # only activations are looked at
    reason = why.format(
        activation=series.slopes.activation,
        samples=counted(int(layer.samples.max(initial=0)), "sequence"),
        mean=float(series.unit_mean[units].mean()) if units.any() else 0.0,
    )
    seen = int(layer.samples.sum())
    name = layer.named(series.name)
    return Blocked(name, int(units.sum()), series.units, seen, reason, layer.label, harmless)


def unheard(layers: Sequence[LayerOverTime]) -> Finding | None:
    """A layer whose states get no gradient at all, at any step."""
    for layer in reversed(layers):
        if layer.steps and not np.nansum(layer.total):
            state = layer.named(layer.states[0])
            return Finding(
                "zero gradient",
                "warning",
                state,
                f"The gradient of {state} is exactly 0 at each of its {counted(layer.steps, 'step')}: nothing that the "
                "layer does reaches the loss.",
                0.0,
                0.0,
                "Look at what multiplies it behind the layer: weights that are all 0, dead units, a detached state.",
                layer.label,
            )
    return None


def vanishing(layers: Sequence[LayerOverTime], thresholds: Thresholds) -> Finding | None:
    """A gradient that shrinks on its way back through time: the layer, the step and what makes it shrink."""
    turns = [(layer, fall(way_back(layer), thresholds)) for layer in reversed(layers)]
    found = [(layer, turn) for layer, turn in turns if turn is not None]
    if not found:
        return None
    cause = why_it_falls(*found[0], thresholds)
    gone = min(turn.ratio for _, turn in found) < thresholds.vanished
    limits = thresholds.forgotten, thresholds.vanished if gone else thresholds.forgotten
    return _turned("vanishing", gone, limits, found, cause, ("vanishes", "vanished" if gone else "vanishing", "below"))


def exploding(layers: Sequence[LayerOverTime], thresholds: Thresholds) -> Finding | None:
    """A gradient that grows on its way back through time: the layer, the step and what makes it grow."""
    turns = [(layer, rise(way_back(layer), thresholds)) for layer in reversed(layers)]
    found = [(layer, turn) for layer, turn in turns if turn is not None]
    if not found:
        return None
    gone = max(turn.ratio for _, turn in found) > thresholds.exploded
    limits = thresholds.exploding, thresholds.exploded if gone else thresholds.exploding
    words = ("explodes", "exploded" if gone else "exploding", "above")
    return _turned("exploding", gone, limits, found, why_it_grows(found[0][0]), words)


def _turned(
    kind: str,
    gone: bool,
    limits: tuple[float, float],
    found: Sequence[tuple[LayerOverTime, Turn]],
    cause: Cause,
    words: tuple[str, str, str],
) -> Finding:
    """The finding about a fall or a rise: ``limits`` are where it begins and what its level is about."""
    (layer, turn), *others = found
    happens, state, side = words
    states = " and ".join(layer.named(s) for s in layer.states)
    gets = f"{'get' if len(layer.states) > 1 else 'gets'} {turn.ratio:.2g} {'of' if side == 'below' else 'times'} what"
    text = (
        f"The gradient {happens} over time: at step {turn.extreme} {states} {gets} arrives at step {turn.reference} "
        f"(RMS per unit and sample, {state} {side} {limits[1]:g}). "
    )
    if turn.abrupt:
        text += f"Step {turn.step} does it, which multiplies it by {turn.factor:.2g}: {cause.words}."
    else:
        text += f"It goes {side} {limits[0]:g} at step {turn.crossed}, by a factor of {turn.factor:.2g} at each step: "
        text += f"{cause.words}."
    likewise = ", ".join(f"{o.label} ({t.ratio:.2g} at step {t.extreme})" for o, t in others)
    text = f"{text} Likewise {likewise}." if likewise else text
    level: Level = "error" if gone else "warning"
    where = place(layer, cause.name, turn.step)
    return Finding(kind, level, where, text, turn.ratio, limits[1], cause.advice, layer.label, turn.step)


def between(layers: Sequence[LayerOverTime], thresholds: Thresholds) -> list[Finding]:
    """A gradient that gets lost, or grows, on its way down from one recurrent layer to the one below it."""
    peaks = [(layer, _peak(layer.total)) for layer in layers]
    if len(peaks) < 2 or not peaks[-1][1] > 0:
        return []
    top, reference = peaks[-1]
    found = []
    for kind, small, limit, severe in (
        ("vanishing", True, thresholds.vanishing, thresholds.vanished),
        ("exploding", False, thresholds.exploding, thresholds.exploded),
    ):
        beyond = [(layer, p / reference) for layer, p in reversed(peaks[:-1]) if _beyond(p / reference, limit, small)]
        if beyond:
            layer, ratio = beyond[0]
            gone = any(_beyond(r, severe, small) for _, r in beyond)
            state = layer.named(layer.states[0])
            word = "vanishes" if small else "explodes"
            text = (
                f"The gradient {word} from layer to layer: the largest that {state} gets at any step is {ratio:.2g} "
                f"times that of {top.named(top.states[0])} (threshold {severe if gone else limit:g})."
            )
            advice = (
                "Larger input weights in the layer above it, or skip connections between the layers."
                if small
                else "Smaller input weights in the layer above it, or clip the norm of the gradient."
            )
            found.append(
                Finding(
                    kind,
                    "error" if gone else "warning",
                    state,
                    text,
                    ratio,
                    severe if gone else limit,
                    advice,
                    layer.label,
                )
            )
    return found


def _beyond(ratio: float, limit: float, small: bool) -> bool:
    return 0 < ratio < limit if small else ratio > limit


def _peak(total: Float[Array, " time"]) -> float:
    return float(np.nanmax(total, initial=0.0))
