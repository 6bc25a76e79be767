"""The rules behind a verdict: each looks for one kind of fault and names the place where it begins."""

import math
from collections.abc import Sequence

import numpy as np

from everygrad.backprop import Gradients
from everygrad.backprop.gradients import norm
from everygrad.diagnose.blocked import Blocked, findings_of
from everygrad.diagnose.finding import Finding
from everygrad.diagnose.flow import LayerFlow
from everygrad.diagnose.over_time import LayerOverTime
from everygrad.diagnose.thresholds import Thresholds
from everygrad.diagnose.time_rules import findings_over_time, not_finite_over_time
from everygrad.diagnose.units import LayerUnits, counted
from everygrad.engines import Array, to_numpy
from everygrad.graph.losses import Loss, Reduce


def findings(
    gradients: Gradients,
    layers: Sequence[LayerUnits],
    stream: Sequence[LayerFlow],
    recurrent: Sequence[LayerOverTime],
    thresholds: Thresholds,
) -> list[Finding]:
    """Everything that was found, causes before effects; numbers that are not finite leave no other rule a say."""
    broken = not_finite_over_time(recurrent) or not_finite(gradients)
    if broken is not None:
        return [broken]
    about_loss = loss(gradients, thresholds)
    settled = about_loss is not None and about_loss.kind == "small loss"
    over_time = [f for f in findings_over_time(recurrent, thresholds) if not (settled and f.kind == "zero gradient")]
    blocked = any(all(layer.dead) for layer in layers) or any(f.kind == "dead" or f.number == 0 for f in over_time)
    found = [*dead(layers, thresholds), *saturated(layers, thresholds), *over_time]
    found += [zero(gradients)] if not (blocked or settled) else []
    found += [vanishing(layers, stream, thresholds), exploding(stream, thresholds), about_loss]
    return [finding for finding in found if finding is not None]


def not_finite(gradients: Gradients) -> Finding | None:
    """NaN or infinity: the first value in the forward direction, else the first gradient backwards."""
    trace = gradients.trace
    forward = [(node.name, "the value of", trace.arrays[node.name]) for node in trace.nodes]
    backward = [
        (node.name, "the gradient of", gradients.arrays[node.name])
        for node in reversed(trace.nodes)
        if node.name in gradients.arrays
    ]
    for name, what, array in forward + backward:
        wrong = _count_not_finite(array)
        if wrong:
            size = math.prod(array.shape)
            return Finding(
                "not finite",
                "error",
                name,
                f"Not finite: {what} {name} holds NaN or infinity in {wrong:,} of {size:,} places, and all that "
                "follows from it.",
                float(wrong),
                0.0,
                "Look for too large a learning rate, data that were not scaled, or a log, square root or division "
                f"at 0 in what {name} is computed from.",
            )
    return None


def _count_not_finite(array: Array) -> int:
    numbers = to_numpy(array)
    return int(numbers.size - np.isfinite(numbers).sum()) if numbers.dtype.kind in "fc" else 0


def dead(layers: Sequence[LayerUnits], thresholds: Thresholds) -> list[Finding]:
    """Units whose slope is exactly 0 for all samples, where g can be exactly flat (relu)."""
    why = "the slope of {activation} is exactly 0 for each of {samples}, so no gradient passes"
    members = [
        _blocked(layer, sum(layer.dead), why) for layer in reversed(layers) if layer.switches or layer.flat is None
    ]
    advice = (
        "Smaller weights or a higher bias in front of it, a lower learning rate, or leaky_relu, which keeps a slope."
    )
    return findings_of("dead", members, 1.0, advice, thresholds)


def saturated(layers: Sequence[LayerUnits], thresholds: Thresholds) -> list[Finding]:
    """Units in the flat part of a smooth activation for nearly all samples, underflow to 0 included."""
    why = (
        f"the slope of {{activation}} is below {thresholds.flat_slope:.0%} of its steepest for at least "
        f"{thresholds.saturated_unit:.0%} of {{samples}}"
    )
    smooth = [layer for layer in reversed(layers) if layer.flat is not None and not layer.switches]
    members = [_blocked(r, sum(d or s for d, s in zip(r.dead, r.saturated, strict=True)), why) for r in smooth]
    advice = "Smaller weights in front of it (net.init chooses their size), scaled inputs, or a lower learning rate."
    return findings_of("saturated", members, thresholds.layer_share, advice, thresholds)


def _blocked(layer: LayerUnits, count: int, why: str) -> Blocked:
    reason = why.format(activation=layer.activation, samples=counted(layer.samples, "sample"))
    return Blocked(layer.name, count, len(layer), layer.samples, reason)


def zero(gradients: Gradients) -> Finding | None:
    """A quantity or parameter whose whole gradient is exactly 0, though the loss is not at its minimum.

    In a sequence of one step nothing is carried on, and what would multiply it (W, the forget gate) gets none.
    """
    scans = [family for family in gradients.trace.plan.scans if gradients.trace.runs[family.label].steps == 1]
    of_one_step = {name for family in scans for name in (*family.inputs, *(node.name for node in family.nodes))}
    for node in reversed(gradients.trace.nodes):
        counts = node.role in ("quantity", "parameter") and node.name in gradients.arrays
        counts = counts and node.name not in of_one_step
        if counts and node.name != gradients.of and norm(gradients.arrays[node.name]) == 0:
            return Finding(
                "zero gradient",
                "warning",
                node.name,
                f"The gradient of {node.name} is exactly 0, so nothing that reaches the loss through it alone "
                "can learn.",
                0.0,
                0.0,
                "Look at what multiplies it: weights or inputs that are all 0, targets that equal the outputs.",
            )
    return None


def vanishing(layers: Sequence[LayerUnits], stream: Sequence[LayerFlow], thresholds: Thresholds) -> Finding | None:
    """A gradient that shrinks on its way back: the smallest layer, and the first below the threshold."""
    small = [row for row in reversed(stream) if 0 < row.ratio < thresholds.vanishing]
    if not small:
        return None
    least = min(small, key=lambda row: row.ratio)
    gone = least.ratio < thresholds.vanished
    begins = f"; it falls below {thresholds.vanishing:g} at {small[0].name}" if small[0] is not least else ""
    return Finding(
        "vanishing",
        "error" if gone else "warning",
        small[0].name,
        f"The gradient vanishes: {least.name} gets {least.ratio:.2g} of that of {stream[-1].name} (RMS per unit and "
        f"sample, {'vanished' if gone else 'vanishing'} below "
        f"{thresholds.vanished if gone else thresholds.vanishing:g}){begins}.",
        least.ratio,
        thresholds.vanished if gone else thresholds.vanishing,
        _against_vanishing(layers, thresholds),
    )


def _against_vanishing(layers: Sequence[LayerUnits], thresholds: Thresholds) -> str:
    slopes = [(float(layer.slope.mean()), layer) for layer in layers]
    flattest = min(slopes, key=lambda pair: pair[0], default=None)
    if flattest is None or flattest[0] > thresholds.low_slope:
        return "Larger initial weights (net.init chooses their size by the activation), or skip connections."
    if any(flattest[1].saturated):
        return f"{flattest[1].name} is flat for most samples: smaller weights, scaled inputs, or a lower learning rate."
    return (
        f"The slope of {flattest[1].activation} at {flattest[1].name} is {flattest[0]:.2g} on average, and the layers "
        "multiply it: tanh, relu or gelu pass on more, skip connections go round it."
    )


def exploding(stream: Sequence[LayerFlow], thresholds: Thresholds) -> Finding | None:
    """A gradient that grows on its way back: the largest layer, and the first above the threshold."""
    large = [row for row in reversed(stream) if row.ratio > thresholds.exploding]
    if not large:
        return None
    most = max(large, key=lambda row: row.ratio)
    gone = most.ratio > thresholds.exploded
    begins = f"; it rises above {thresholds.exploding:g} at {large[0].name}" if large[0] is not most else ""
    threshold = thresholds.exploded if gone else thresholds.exploding
    return Finding(
        "exploding",
        "error" if gone else "warning",
        large[0].name,
        f"The gradient explodes: {most.name} gets {most.ratio:.2g} times that of {stream[-1].name} (RMS per unit and "
        f"sample, {'exploded' if gone else 'exploding'} above {threshold:g}){begins}.",
        most.ratio,
        threshold,
        "Smaller initial weights (net.init chooses their size by the activation), or clip the norm of the gradient.",
    )


def loss(gradients: Gradients, thresholds: Thresholds) -> Finding | None:
    """A mean loss per sample that is huge, or so small that nothing is left to learn."""
    node = gradients.trace.graph.by_name[gradients.of]
    if not isinstance(node.operation, Loss | Reduce):
        return None
    value = to_numpy(gradients.loss).astype(np.float64)
    mean = float(value.mean())
    if node.operation.reduction.batch == "sum":
        mean /= gradients.trace[node.inputs[0]].shape[0]
    if mean > thresholds.huge_loss:
        return Finding(
            "huge loss",
            "warning",
            node.name,
            f"The loss is {mean:.3g} per sample (huge above {thresholds.huge_loss:g}).",
            mean,
            thresholds.huge_loss,
            "Scale the targets and the inputs to mean 0 and standard deviation 1, or begin with smaller weights.",
        )
    if abs(mean) < thresholds.small_loss:
        return Finding(
            "small loss",
            "ok",
            node.name,
            f"The loss is {mean:.3g} per sample (below {thresholds.small_loss:g}): this batch teaches nothing more.",
            mean,
            thresholds.small_loss,
            "If that comes as a surprise, see whether the target is among the inputs.",
        )
    return None
