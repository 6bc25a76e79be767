"""The part of the record that is about recurrent layers: the gradient at each step, gates, Jacobians, credit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from everygrad.engines.shapes import Float
from everygrad.report.picture_records import Distribution, TensorPicture

Array = Any


@final
@dataclass(frozen=True, slots=True, eq=False)
class SeriesRow:
    """One quantity at the steps that are shown: its mean value, the RMS of its total and of its direct gradient.

    ``activation`` is g of h = g(a), ``slope`` the mean of |g′(a)|, ``flat`` the share of (unit, sequence) where
    that is below 1 % of the steepest; "" and None if it is no activation. ``saturated`` and ``dead`` count its
    units over all steps. NaN at a step that no sequence has.
    """

    name: str
    kind: Literal["input", "state", "gate", "activation", "other"]
    units: int
    mean: Float[Array, " shown"]
    total: Float[Array, " shown"] | None
    direct: Float[Array, " shown"] | None
    activation: str
    slope: Float[Array, " shown"] | None
    flat: Float[Array, " shown"] | None
    saturated: int
    dead: int


@final
@dataclass(frozen=True, slots=True, eq=False)
class StepMap:
    """The RMS over the sequences of ∂L/∂state at each unit shown (rows) and each step shown (columns)."""

    name: str
    units: int
    rows: tuple[int, ...]
    values: Float[Array, "rows shown"]
    largest: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """The state Jacobians of a layer, medians over ``sequences`` of the batch.

    ``largest``, ``middle``, ``smallest``: singular values of ∂s_t/∂s_{t−1}; ``radius`` its spectral radius, both at
    the steps ``at``. ``log_norm`` and ``log_bound``: log₁₀ of ‖∂s_T/∂s_k‖ and of what it can be at most, at the
    steps ``back`` (−1: the initial state). ``exponents``: the largest Lyapunov exponents per step. ``always``: what
    one step multiplies by at most, whatever the input, None if nothing bounds it.
    """

    sequences: int
    at: tuple[int, ...]
    largest: Float[Array, " at"]
    middle: Float[Array, " at"]
    smallest: Float[Array, " at"]
    radius: Float[Array, " at"]
    back: tuple[int, ...]
    log_norm: Float[Array, " back"]
    log_bound: Float[Array, " back"]
    exponents: tuple[float, ...]
    always: float | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class CreditTable:
    """Norms of the terms of ∂L/∂W by the step t whose loss speaks (rows) and the step k where W acted (columns).

    ``rows`` and ``columns`` are first steps of ranges of ``every`` steps, whose largest norm is shown; rows without
    a loss are left out.
    """

    weight: str
    every: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    values: Float[Array, "rows columns"]
    largest: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class LayerInTime:
    """One recurrent layer in one direction.

    ``at`` are the steps shown: all ``steps``, or the first of each range of ``every`` steps, of which gradients are
    root mean squares and values means; ``present`` counts the sequences that have them. ``total`` and ``direct``
    are RMS over all states together. ``horizon`` is the number of steps after which the gradient of the last step
    with a loss has fallen to 1 % (median over the sequences, infinite if it does not), None if it is not known.
    ``tensor`` is ∂⁺s/∂W at the last step of one sequence.
    """

    label: str
    cell: tuple[str, ...]
    states: tuple[str, ...]
    reverse: bool
    steps: int
    sequences: int
    every: int
    at: tuple[int, ...]
    present: tuple[int, ...]
    total: Float[Array, " shown"]
    direct: Float[Array, " shown"]
    gain: Float[Array, " shown"]
    series: tuple[SeriesRow, ...]
    maps: tuple[StepMap, ...]
    radius: Mapping[str, float]
    horizon: float | None
    spectrum: Spectrum | None
    credit: tuple[CreditTable, ...]
    distributions: tuple[Distribution, ...] = ()
    tensor: TensorPicture | None = None

    @property
    def name(self) -> str:
        """The layer as it is shown: ``l0: h, c``."""
        return f"{self.label}: {', '.join(self.states)}"
