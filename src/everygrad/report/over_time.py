"""From a recurrent layer's gradients to its part of the record: every number about time is worked out here, once."""

from types import MappingProxyType

import numpy as np

from everygrad.backprop import Gradients
from everygrad.diagnose import LayerOverTime, Series, Unrolled, over_time, unrolled
from everygrad.diagnose.over_time import rms
from everygrad.engines import Array, to_numpy
from everygrad.engines.shapes import Float
from everygrad.graph.time import Run
from everygrad.report.distributions import distributions_over_time
from everygrad.report.equations import equations
from everygrad.report.maps import spaced
from everygrad.report.tensor_picture import tensor_over_time
from everygrad.report.time_analyses import credit_of, finite, horizon_of, spectrum_of
from everygrad.report.time_record import LayerInTime, SeriesRow, StepMap
from everygrad.through_time import Recurrence

MOST_STEPS = 256
"""Steps shown one by one; of longer sequences, ranges of steps."""
MOST_UNITS = 48
"""Units of one state in its map."""


def layers_in_time(gradients: Gradients) -> tuple[LayerInTime, ...]:
    """The recurrent layers of a network, in its order."""
    found = []
    for layer in unrolled(gradients):
        run = gradients.trace.runs[layer.label]
        sweep = gradients.sweeps.get(layer.label)
        assert isinstance(run, Run)  # only those are unrolled
        source = Recurrence(run) if sweep is None else Recurrence(run, sweep.direct, sweep.final)
        found.append(layer_in_time(layer, source))
    return tuple(found)


def layer_in_time(layer: Unrolled, source: Recurrence | None = None) -> LayerInTime:
    """One layer's part of the record.

    Without ``source``, or if numbers are not finite, there are no Jacobians and no credit in it. Cost: a few passes
    over the arrays, and that of the analyses, which is bounded (see `time_analyses`).
    """
    measured = over_time(layer)
    every = -(-measured.steps // MOST_STEPS)
    looked_into = source if source is not None and finite(source) else None
    with np.errstate(all="ignore"):
        return LayerInTime(
            label=layer.label,
            cell=() if source is None else equations(source.run.cell, layer.suffix),
            states=tuple(map(measured.named, layer.states)),
            reverse=layer.reverse,
            steps=measured.steps,
            sequences=int(measured.samples.max(initial=0)),
            every=every,
            at=tuple(range(0, measured.steps, every)),
            present=tuple(map(int, np.maximum.reduceat(measured.samples, np.arange(0, measured.steps, every)))),
            total=root_mean_squares(measured.total, every),
            direct=root_mean_squares(measured.direct, every),
            gain=means(measured.gain, every),
            series=tuple(_row(measured, series, every) for series in measured.series),
            maps=tuple(_map(layer, measured, state, every) for state in layer.states),
            radius=MappingProxyType({name + layer.suffix: size for name, size in measured.radius.items()}),
            horizon=None if looked_into is None else horizon_of(looked_into),
            spectrum=None if looked_into is None else spectrum_of(looked_into, layer.reverse),
            credit=() if looked_into is None else credit_of(looked_into, layer.suffix, layer.reverse),
            distributions=distributions_over_time(layer),
            tensor=None if looked_into is None else tensor_over_time(looked_into, layer.suffix, layer.reverse),
        )


def means(x: Float[Array, "*lead time"], every: int) -> Float[Array, "*lead shown"]:
    """The mean of each range of steps, of the numbers that are there."""
    parts, there = _ranges(x, every)
    return parts.sum(-1) / there.sum(-1)


def root_mean_squares(x: Float[Array, "*lead time"], every: int) -> Float[Array, "*lead shown"]:
    """The root mean square of each range of steps, of the numbers that are there; nothing underflows."""
    parts, there = _ranges(x, every)
    largest = np.abs(parts).max(-1)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return scale * np.sqrt(np.square(parts / scale[..., None]).sum(-1) / there.sum(-1))


def _ranges(x: np.ndarray, every: int) -> tuple[np.ndarray, np.ndarray]:
    """(*lead, ranges, every) with zeros for what is not there, and where it is."""
    missing = -x.shape[-1] % every
    filled = np.concatenate([x, np.full((*x.shape[:-1], missing), np.nan)], axis=-1)
    parts = filled.reshape(*x.shape[:-1], -1, every)
    there = ~np.isnan(parts)
    return np.where(there, parts, 0.0), there


def _row(layer: LayerOverTime, series: Series, every: int) -> SeriesRow:
    slopes = series.slopes
    return SeriesRow(
        name=layer.named(series.name),
        kind="gate" if series.is_gate else series.kind,
        units=series.units,
        mean=means(series.mean, every),
        total=None if series.total is None else root_mean_squares(series.total, every),
        direct=None if series.direct is None else root_mean_squares(series.direct, every),
        activation="" if slopes is None else slopes.activation,
        slope=None if slopes is None else means(slopes.slope, every),
        flat=None if slopes is None or slopes.flat is None else means(slopes.flat, every),
        saturated=0 if slopes is None else sum(slopes.saturated),
        dead=0 if slopes is None else sum(slopes.dead),
    )


def _map(layer: Unrolled, measured: LayerOverTime, state: str, every: int) -> StepMap:
    total = to_numpy(layer.total[state]).astype(np.float64)
    total = total.reshape(*total.shape[:2], -1)
    mask = np.ones(total.shape[:2], bool) if layer.mask is None else to_numpy(layer.mask).astype(bool)
    rows = spaced(total.shape[2], MOST_UNITS)
    values = root_mean_squares(rms(total[:, :, rows], mask, (0,)).T, every)
    values = np.where(np.logical_or.reduceat(mask.any(0), np.arange(0, len(mask[0]), every)), values, 0.0)
    largest = float(np.nanmax(values, initial=0.0))
    return StepMap(measured.named(state), total.shape[2], tuple(map(int, rows)), values, largest)
