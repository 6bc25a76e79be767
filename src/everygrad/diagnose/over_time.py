"""What happens to the gradient at each step of a recurrent layer, and in each of its units over all steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from everygrad.diagnose.thresholds import THRESHOLDS, Thresholds
from everygrad.diagnose.units import switches
from everygrad.diagnose.unrolled import Keeper, Unrolled
from everygrad.engines import to_numpy
from everygrad.engines.shapes import Bool, Float, Int

Array = Any
Kind = Literal["input", "state", "activation", "other"]


@final
@dataclass(frozen=True, eq=False)
class Slopes:
    """How steep h = g(a) is: at each step over units and samples, and at each unit over steps and samples.

    ``slope`` is the mean of |g′(a)| at each step, ``flat`` the share of (unit, sample) below 1 % of the steepest
    slope (None if g has no steepest); ``unit_zero`` and ``unit_flat`` are the shares of (step, sample) with slope
    0 and with a flat one. ``dead`` and ``saturated`` as in `units`; ``steepest`` is max |g′|.
    """

    before: str
    activation: str
    steepest: float
    slope: Float[Array, " time"]
    flat: Float[Array, " time"] | None
    unit_zero: Float[Array, " units"]
    unit_flat: Float[Array, " units"] | None
    dead: tuple[bool, ...]
    saturated: tuple[bool, ...]
    switches: bool


@final
@dataclass(frozen=True, eq=False)
class Series:
    """One quantity over time: its mean value, and the RMS of its gradient per unit and sample.

    ``total`` and ``direct`` are root mean squares over the units and the samples that have this step, so they do
    not depend on how many there are; NaN at a step that no sample has. ``unit_mean`` and ``unit_total`` are
    the same for each unit over all steps. ``total`` is None for what has no gradient of its own; ``slopes`` is
    None for what is no activation; ``broken_*`` is the number of entries that are NaN or infinite, at each step.
    """

    name: str
    kind: Kind
    units: int
    mean: Float[Array, " time"]
    unit_mean: Float[Array, " units"]
    broken_values: Int[Array, " time"]
    total: Float[Array, " time"] | None
    direct: Float[Array, " time"] | None
    unit_total: Float[Array, " units"] | None
    broken_gradients: Int[Array, " time"] | None
    slopes: Slopes | None

    @property
    def is_gate(self) -> bool:
        """Whether it is a number between 0 and 1 that others are multiplied with: σ(a), and no state."""
        return self.kind != "state" and self.slopes is not None and self.slopes.activation == "sigmoid"


@final
@dataclass(frozen=True, eq=False)
class LayerOverTime:
    """One layer in one direction: what arrives at its states from outside, what they get in all, and each quantity.

    ``total`` and ``direct`` are those of all states together (h and c of an LSTM), ``gain`` the factor by which
    the gradient changes on its way back to a step from the one that follows it: |what came from there| / |what
    was there|. ``samples`` counts the sequences that have each step.
    """

    label: str
    suffix: str
    states: tuple[str, ...]
    reverse: bool
    samples: Int[Array, " time"]
    total: Float[Array, " time"]
    direct: Float[Array, " time"]
    gain: Float[Array, " time"]
    series: tuple[Series, ...]
    keepers: Mapping[str, Keeper]
    radius: Mapping[str, float]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.samples)

    def __getitem__(self, name: str) -> Series:
        return next(s for s in self.series if s.name == name)

    def named(self, name: str) -> str:
        """The quantity's name in the whole network: ``f_l0``; ``tanh(c)`` stays as it is."""
        return name if name.endswith(")") else name + self.suffix

    def backwards(self) -> list[int]:
        """The steps in the order in which the gradient reaches them."""
        order = range(self.steps) if self.reverse else range(self.steps - 1, -1, -1)
        return [t for t in order if self.samples[t]]


def over_time(layer: Unrolled, thresholds: Thresholds = THRESHOLDS) -> LayerOverTime:
    """The layer measured: RMS of each gradient at each step, slopes of its activations, dead and saturated units.

    Cost: a few passes over each array, one copy of an array at a time. Padding takes no part.
    """
    some = to_numpy(layer.total[layer.states[0]])
    mask = np.ones(some.shape[:2], bool) if layer.mask is None else to_numpy(layer.mask).astype(bool)
    names = list(dict.fromkeys([*layer.values, *layer.squashes]))
    with np.errstate(all="ignore"):  # numbers that are not finite stay so, and the verdict says where they begin
        series = tuple(_series(layer, name, mask, thresholds) for name in names)
        total, direct, gain = _states(layer, mask)
        radius = {name: _radius(to_numpy(W)) for name, W in layer.recurrent.items()}
    return LayerOverTime(
        label=layer.label,
        suffix=layer.suffix,
        states=layer.states,
        reverse=layer.reverse,
        samples=mask.sum(0),
        total=total,
        direct=direct,
        gain=gain,
        series=series,
        keepers=layer.keepers,
        radius=radius,
    )


def rms(
    x: Float[Array, "batch time units"], mask: Bool[Array, "batch time"], axes: tuple[int, ...] = (0, 2)
) -> Float[Array, "*rest"]:
    """Root mean square over the axes, without padding and without under- or overflow; NaN over nothing."""
    x = np.where(mask[..., None], x, 0.0)
    largest = np.abs(x).max(axis=axes, keepdims=True, initial=0.0)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    entries = np.broadcast_to(mask[..., None], x.shape).sum(axes)
    return np.squeeze(scale, axes) * np.sqrt(np.square(x / scale).sum(axes) / entries)


def mean(
    x: Float[Array, "batch time units"], mask: Bool[Array, "batch time"], axes: tuple[int, ...] = (0, 2)
) -> Float[Array, "*rest"]:
    """The mean over the axes, without padding; NaN over nothing."""
    x = np.where(mask[..., None], x, 0.0)
    return x.sum(axes) / np.broadcast_to(mask[..., None], x.shape).sum(axes)


UNITS = (0, 1)
"""Axes to sum over for one number per unit."""


def _array(array: Array) -> np.ndarray:
    """(batch, time, units) in float64."""
    x = to_numpy(array).astype(np.float64)
    return x.reshape(*x.shape[:2], -1)


def _series(layer: Unrolled, name: str, mask: np.ndarray, thresholds: Thresholds) -> Series:
    squash = layer.squashes.get(name)
    if name in layer.values:
        value = _array(layer.values[name])
    else:
        assert squash is not None  # every name is that of a value or of an activation
        value = _array(squash.g.value([layer.values[squash.before]], (2,)))
    total = _array(layer.total[name]) if name in layer.total else None
    direct = _array(layer.direct[name]) if name in layer.direct else None
    return Series(
        name=name,
        kind=_kind(layer, name),
        units=value.shape[2],
        mean=mean(value, mask),
        unit_mean=mean(value, mask, UNITS),
        broken_values=_broken(value, mask),
        total=None if total is None else rms(total, mask),
        direct=None if direct is None else rms(direct, mask),
        unit_total=None if total is None else rms(total, mask, UNITS),
        broken_gradients=None if total is None else _broken(total, mask),
        slopes=_slopes(layer, name, value, mask, thresholds),
    )


def _kind(layer: Unrolled, name: str) -> Kind:
    if name in layer.states:
        return "state"
    if name in layer.squashes:
        return "activation"
    return "input" if name == "x" else "other"


def _broken(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return (~np.isfinite(x) & mask[..., None]).sum((0, 2))


def _slopes(layer: Unrolled, name: str, value: np.ndarray, mask: np.ndarray, thresholds: Thresholds) -> Slopes | None:
    squash = layer.squashes.get(name)
    if squash is None or squash.before not in layer.values:
        return None
    slope = np.abs(squash.g.derivative(_array(layer.values[squash.before]), value))
    zero = mean((slope == 0).astype(float), mask, UNITS)
    bounded = np.isfinite(squash.g.steepest)
    flat = (slope < thresholds.flat_slope * squash.g.steepest).astype(float)
    unit_flat = mean(flat, mask, UNITS) if bounded else None
    off = switches(squash.g)
    dead = zero == 1.0
    stuck = np.zeros(len(zero), bool) if unit_flat is None or off else (unit_flat >= thresholds.saturated_unit) & ~dead
    return Slopes(
        before=squash.before,
        activation=squash.g.name,
        steepest=squash.g.steepest,
        slope=mean(slope, mask),
        flat=mean(flat, mask) if bounded else None,
        unit_zero=zero,
        unit_flat=unit_flat,
        dead=tuple(map(bool, dead)),
        saturated=tuple(map(bool, stuck)),
        switches=off,
    )


def _states(layer: Unrolled, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RMS over all states of the total and of the direct gradient, and the gain from step to step."""
    total = np.concatenate([_array(layer.total[s]) for s in layer.states], axis=2)
    direct = np.concatenate([_array(layer.direct[s]) for s in layer.states], axis=2)
    ahead = np.s_[:, :-1] if layer.reverse else np.s_[:, 1:]  # the step that follows in the order of processing
    here = np.s_[:, 1:] if layer.reverse else np.s_[:, :-1]
    both = mask[here] & mask[ahead]
    gain = np.full(total.shape[1], np.nan)
    gain[here[1]] = rms(total[here] - direct[here], both) / rms(total[ahead], both)
    return rms(total, mask), rms(direct, mask), gain


def _radius(W: np.ndarray) -> float:
    """The spectral radius: the largest magnitude of an eigenvalue."""
    if not np.isfinite(W).all():
        return np.nan
    return float(np.abs(np.linalg.eigvals(W.astype(np.float64))).max(initial=0.0))
