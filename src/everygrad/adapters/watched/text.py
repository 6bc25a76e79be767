"""What was watched, as text: one row per module, call, layer and direction."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from everygrad.adapters.watched.agreement import agreement
from everygrad.adapters.watched.layer import Layer
from everygrad.adapters.watched.records import Call
from everygrad.adapters.watched.verdict import disagreement
from everygrad.backprop.gradients import norm
from everygrad.diagnose.over_time import rms
from everygrad.engines import to_numpy
from everygrad.errors import UnsupportedError

_HEAD = ("module", "kind", "gradient of", "steps", "direct: first", "last", "total: first", "last")


def text(title: str, layers: Sequence[Layer]) -> str:
    """A table of root mean squares (per unit and sample), of a state at the first and at the last step; then notes."""
    order = sorted(layers, key=lambda layer: layer.met[0].order if layer.met else math.inf)
    rows = [_HEAD, *(row for layer in order if layer.met for row in _rows(layer))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = ["  ".join(f"{c:<{w}}" if i < 3 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(row, widths, strict=True)))
             for row in rows]  # fmt: skip
    lines = [line.rstrip() for line in lines]
    table = [lines[0], "-" * len(lines[0]), *lines[1:]] if len(rows) > 1 else []
    return "\n".join([f"{title}: RMS of gradients per unit and sample", *table, *notes(order)])


def notes(layers: Sequence[Layer]) -> list[str]:
    """What else there is to say: modules that no gradient reached, eval mode, and the comparison with autograd."""
    found = [f"note: {layer.silence}" for layer in layers if layer.silence]
    for layer in layers:
        found += [f"note: {why}" for why in layer.refusals]
    evaluated = [layer.name for layer in layers if any(met.arrived and not met.training for met in layer.met)]
    if evaluated:
        found.append(f"note: in eval mode, where dropout is off: {', '.join(evaluated)}")
    rows = agreement(layers)
    wrong = disagreement(rows)
    if wrong is not None:
        found.append(f"error: {wrong.text} {wrong.advice}")
    elif rows:
        worst = max(rows, key=lambda row: row.error)
        found.append(
            f"{len(rows)} weight gradients equal autograd's: largest difference {worst.error:.1e} ({worst.name})"
        )
    return found


def _rows(layer: Layer) -> Iterator[tuple[str, ...]]:
    kind = type(layer.module).__name__
    for i, met in enumerate(layer.met):
        if not met.arrived:
            continue
        name = layer.name if len(layer.met) == 1 else f"{layer.name}[{i}]"
        try:
            call = layer.explained(i)
        except UnsupportedError:
            continue  # among the notes
        yield from (_row(name, kind, *row) for row in _measured(call))


def _row(name: str, kind: str, quantity: str, steps: int, *sizes: float) -> tuple[str, ...]:
    return (name, kind, quantity, str(steps) if steps else "", *("" if math.isnan(s) else f"{s:.3g}" for s in sizes))


def _measured(call: Call) -> Iterator[tuple[str, int, float, float, float, float]]:
    """(quantity, steps, direct at the first and at the last step, total likewise); NaN for what does not apply."""
    for part in call.parts:
        layer = part.unrolled("")
        some = to_numpy(layer.total[layer.states[0]])
        mask = np.ones(some.shape[:2], bool) if layer.mask is None else to_numpy(layer.mask)
        for state in layer.states:
            with np.errstate(all="ignore"):  # a batch without a sample has no mean
                direct, total = (rms(to_numpy(g[state]).astype(np.float64), mask) for g in (layer.direct, layer.total))
            yield f"{state}{part.suffix}", some.shape[1], direct[0], direct[-1], total[0], total[-1]
    if not call.parts:
        g = to_numpy(call["output"].double())  # of any precision
        yield "output", 0, math.nan, math.nan, math.nan, norm(g) / math.sqrt(max(g.size, 1))
