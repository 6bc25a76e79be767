"""What a command works on: a network with parameters, its data, a batch of held-out rows, and how good it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

import click
import numpy as np

from everygrad.backprop import Network, forward, graph_of
from everygrad.cli.exits import BAD_FILE, Failure
from everygrad.data import DataSet
from everygrad.errors import InputError
from everygrad.graph import Graph
from everygrad.graph.losses import BinaryCrossEntropy, Loss
from everygrad.networks import Recurrent


@final
@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some rows: x and y, and what else there is by name (lengths, mask, weight)."""

    x: np.ndarray
    y: np.ndarray
    more: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.x)

    def named(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        return {"x": self.x, "y": self.y, **self.more}

    def first(self, samples: int | None) -> "Batch":
        """The first rows."""
        more = MappingProxyType({name: array[:samples] for name, array in self.more.items()})
        return Batch(self.x[:samples], self.y[:samples], more)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A network with parameters, and its data. ``file`` is where the network was saved, None for a new one."""

    data: DataSet
    network: Graph | Network
    params: Mapping[str, np.ndarray]
    seed: int
    file: str | None
    known_split: bool
    """Whether the held-out rows are known not to have been trained on."""

    def _batch(self, given: Mapping[str, np.ndarray]) -> Batch:
        """The arrays of one part, y in the form that the loss takes: cross-entropy with logits wants numbers."""
        x, y, more = given["x"], given["y"], {n: a for n, a in given.items() if n not in ("x", "y")}
        if isinstance(loss_of(self.network), BinaryCrossEntropy) and y.dtype.kind == "i":
            y = y.astype(self.data.x_train.dtype)
        return Batch(x, y, MappingProxyType(more))

    def held_out(self, samples: int | None = None) -> Batch:
        """The first held-out rows (they are in random order), or all; of data without any, those trained on."""
        part = self.data.held_out if len(self.data.x_test) else self.data.training
        return self._batch(part).first(samples)

    @property
    def train(self) -> Batch:
        """All rows to train on."""
        return self._batch(self.data.training)

    @property
    def is_recurrent(self) -> bool:
        """Whether it is a `Recurrent` network."""
        return isinstance(self.network, Recurrent)

    def describe(self) -> str:
        """Data and network in two lines."""
        return f"{self.data}\n{self.describe_network()}"

    def describe_network(self) -> str:
        """The network, and where it comes from."""
        return f"{self.network}{f' from {self.file}' if self.file else ''}"

    def as_json(self) -> dict[str, Any]:
        """The same for a document."""
        network = {"description": str(self.network), "file": self.file}
        return {"data": self.data.describe(), "network": network, "seed": self.seed}


@final
@dataclass(frozen=True, slots=True)
class Score:
    """How good a network is on the held-out rows; a classification has an accuracy, a regression R²."""

    rows: int
    loss: float
    accuracy: float | None
    r_squared: float | None

    def __str__(self) -> str:
        parts = [f"loss {self.loss:.4g}"]
        if self.accuracy is not None:
            parts.insert(0, f"accuracy {100 * self.accuracy:.1f} %")
        if self.r_squared is not None:
            parts.insert(0, f"R² {self.r_squared:.3f}")
        return f"{', '.join(parts)} on {self.rows:,} held-out rows"


def score(case: Case, params: Mapping[str, np.ndarray]) -> Score:
    """The network with these parameters on all held-out rows. Cost: one forward pass."""
    from everygrad.report.scores import scores

    batch = case.held_out()
    trace = forward(case.network, params, batch.x, batch.y, **batch.more)
    loss = float(np.asarray(trace.loss, np.float64).mean())
    return Score(len(batch), loss, *scores(trace, trace.graph.output))


def writable(*paths: str | None, inputs: tuple[Any, ...] = ()) -> None:
    """Look at every file that will be written before the work begins; one that is also read is refused."""
    from everygrad.report import ensure_writable

    seen = {Path(given).resolve(): "read" for given in inputs if isinstance(given, str) and Path(given).is_file()}
    for path in filter(None, paths):
        try:
            resolved = ensure_writable(path).resolve()
        except InputError as error:
            raise Failure(str(error), BAD_FILE) from None
        if resolved in seen:
            raise click.UsageError(f"{path} would be written over the file that is {seen[resolved]}: name another one")
        seen[resolved] = "written too"


def loss_of(network: Graph | Network) -> Loss | None:
    """The loss that the network ends in."""
    graph = graph_of(network)[0]
    operation = graph.by_name[graph.output].operation
    return operation if isinstance(operation, Loss) else None
