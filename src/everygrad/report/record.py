"""The record that every form of a report is written from: what is shown is in it, or a count or a mean of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from everygrad.diagnose import LayerFlow, LayerUnits, Level, Verdict, worst
from everygrad.engines.shapes import Float, Int
from everygrad.report.explore_record import Explore
from everygrad.report.picture_records import Distribution, TensorPicture, WeightMap
from everygrad.report.time_record import LayerInTime

Array = Any


@final
@dataclass(frozen=True, slots=True)
class Data:
    """Where the samples come from."""

    name: str
    task: str
    source: str
    rows: int | None
    features: tuple[str, ...]
    classes: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Quantity:
    """One gradient: its shape and norm, and, if it was checked, its error against the oracle.

    ``error``, ``tolerance`` and ``ok`` are None if it was not; ``how`` says which entries were looked
    at, ``fault`` what is wrong with it. The role ``"direct"`` is that of the direct part of a gradient over time.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    norm: float
    error: float | None = None
    tolerance: float | None = None
    ok: bool | None = None
    how: str = ""
    fault: str = ""


@final
@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check: how many quantities, the oracle, the largest error, the culprit if there is one."""

    ok: bool
    oracle: str
    quantities: int
    largest_error: float
    largest_at: str
    culprit: str | None
    fault: str


@final
@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """∂L/∂quantity for some of its units (rows) and some of the samples (columns), and the quantity itself.

    ``units`` and ``samples`` are the totals, ``rows`` and ``columns`` the indices that are shown,
    ``largest`` the largest magnitude among all entries, ``mean`` the mean magnitude of each row over
    all samples, ``peak`` the largest of each row and ``peak_at`` its sample. ``value`` is the quantity at the
    same places, ``value_largest`` the largest magnitude there (of finite numbers), ``value_mean`` the mean of each
    row over all samples.
    """

    name: str
    formula: str
    units: int
    samples: int
    order: Literal["sample", "class"]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    values: Float[Array, "rows columns"]
    largest: float
    mean: Float[Array, " rows"]
    peak: Float[Array, " rows"]
    peak_at: Int[Array, " rows"]
    value: Float[Array, "rows columns"]
    value_largest: float
    value_mean: Float[Array, " rows"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One layer of units in the picture: the mean gradient of the units shown, and the mean magnitude."""

    name: str
    units: int
    shown: tuple[int, ...]
    mean: Float[Array, " shown"]
    magnitude: Float[Array, " shown"]


@final
@dataclass(frozen=True, slots=True)
class Edges:
    """The weights between two columns: of ``total``, those that carry most.

    Each is (unit of the left column, unit of the right one, mean of |W·∂L/∂a| over the samples).
    """

    weight: str
    left: str
    right: str
    total: int
    shown: tuple[tuple[int, int, float], ...]


@final
@dataclass(frozen=True, slots=True)
class Box:
    """One quantity of a graph that is not a chain of layers; ``level`` is its longest distance from the data."""

    name: str
    formula: str
    shape: tuple[int, ...]
    norm: float | None
    level: int


@final
@dataclass(frozen=True, slots=True)
class Arrow:
    """One use of a quantity: the norm of the term that comes back along it (rule 1)."""

    source: str
    target: str
    norm: float | None


@final
@dataclass(frozen=True, slots=True)
class Picture:
    """The network to draw: columns of units for a chain of layers, else boxes and arrows.

    ``total`` is the number of columns or boxes that there are, more than are here if there are many.
    """

    kind: Literal["units", "boxes"]
    total: int
    columns: tuple[Column, ...] = ()
    edges: tuple[Edges, ...] = ()
    boxes: tuple[Box, ...] = ()
    arrows: tuple[Arrow, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class EpochRow:
    """One epoch of the training."""

    epoch: int
    loss: float
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    gradient_norms: Mapping[str, float]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything that is known about one network on one batch. Made by `build`, written by the ``to_`` functions.

    ``time`` has its recurrent layers, ``weights`` the maps of the first and the last of ``weights_total`` matrices,
    ``tensor`` the derivative of the first layer by its weights if there are no recurrent layers, ``explore`` what can
    be walked through, None for graphs that are neither a chain of layers nor recurrent. Of a model that was only
    watched the loss and the graph are not known: ``loss`` and ``picture`` are None.
    """

    title: str
    version: str
    network: str
    parameters: int
    library: str
    dtype: str
    samples: int
    of: str
    loss_formula: str
    loss: float | None
    accuracy: float | None
    r_squared: float | None
    data: Data | None
    verdict: Verdict
    check: Checked | None
    quantities: tuple[Quantity, ...]
    flow: tuple[LayerFlow, ...]
    layers: tuple[LayerUnits, ...]
    picture: Picture | None
    formulas: tuple[str, ...]
    maps: tuple[HeatMap, ...]
    maps_total: int
    history: tuple[EpochRow, ...]
    time: tuple[LayerInTime, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    weights: tuple[WeightMap, ...] = ()
    weights_total: int = 0
    tensor: TensorPicture | None = None
    explore: Explore | None = None

    @property
    def name(self) -> str:
        """The network in a few words: what stands before the first comma of its description."""
        return self.network.partition(",")[0].removeprefix("Recurrent ")

    @property
    def level(self) -> Level:
        """The worst of the verdict and the check."""
        wrong: Level = "error" if self.check is not None and not self.check.ok else "ok"
        return worst([self.verdict.level, wrong])

    @property
    def best_epoch(self) -> EpochRow | None:
        """The epoch with the lowest validation loss, or the last one if there was no validation."""
        measured = [row for row in self.history if row.validation_loss is not None]
        if measured:
            return min(measured, key=lambda row: row.validation_loss)  # type: ignore[arg-type,return-value]
        return self.history[-1] if self.history else None

    def _repr_html_(self) -> str:
        """The whole page, in a notebook."""
        from everygrad.report.html import to_html  # here: html.py is written on this record
        from everygrad.report.notebook import frame

        return frame(to_html(self))
