"""From options to what is worked on: a data set, a network that fits it, parameters, a batch of held-out rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import click
import numpy as np

from everygrad.backprop import Network, forward, graph_of
from everygrad.cli.exits import BAD_FILE, Failure
from everygrad.cli.options import HIDDEN
from everygrad.data import DataSet, load, network_for, sizes_for
from everygrad.errors import InputError
from everygrad.graph import Graph
from everygrad.graph.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy, SquaredError
from everygrad.networks import FeedForward


@final
@dataclass(frozen=True, slots=True)
class Choices:
    """The options about data and network, as they were given."""

    spec: str
    network: Any
    hidden: tuple[int, ...] | None
    activation: str | tuple[str, ...] | None
    seed: int | None
    dtype: str | None
    target: str | None


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

    def targets(self, y: np.ndarray) -> np.ndarray:
        """y in the form that the loss takes: cross-entropy with logits wants numbers, not labels."""
        if isinstance(_loss(self.network), BinaryCrossEntropy) and y.dtype.kind == "i":
            return y.astype(self.data.x_train.dtype)
        return y

    def held_out(self, samples: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The first held-out rows (they are in random order), or all; of data without any, those trained on."""
        x, y = (self.data.x_test, self.data.y_test) if len(self.data.x_test) else (self.data.x_train, self.data.y_train)
        return x[:samples], self.targets(y[:samples])

    @property
    def train(self) -> tuple[np.ndarray, np.ndarray]:
        """All rows to train on."""
        return self.data.x_train, self.targets(self.data.y_train)

    @property
    def data_names(self) -> tuple[str, ...]:
        """What the two data arrays are called: x and y, as far as the network knows these names."""
        graph = graph_of(self.network)[0]
        second_names = {name: alias for alias, name in graph.aliases.items()}
        return tuple(second_names.get(name, name) for name in graph.data)

    def describe(self) -> str:
        """Data and network in two lines."""
        where = f" from {self.file}" if self.file else ""
        return f"{self.data}\n{self.network}{where}"

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


def prepare(chosen: Choices) -> Case:
    """Data and network of these options.

    A saved network remembers the seed of its split, so that its held-out rows are held out here too.
    Raises `InputError` if network and data do not fit, `FileFormatError` for a bad file.
    """
    if chosen.network is not None and chosen.hidden is not None:
        raise click.UsageError("--network and --hidden both say how large the network is: give one of them")
    if isinstance(chosen.network, str):
        return _saved(chosen)
    seed = chosen.seed or 0
    data = load(chosen.spec, seed=seed, target=_target(chosen), dtype=chosen.dtype or "float64")
    activation = chosen.activation or "tanh"
    if chosen.network is None:
        network = network_for(data, HIDDEN if chosen.hidden is None else chosen.hidden, activation=activation)
    else:
        _require_fit(chosen.network, data)
        network = network_for(data, chosen.network[1:-1], activation=activation)
    return Case(data, network, network.init(seed, dtype=chosen.dtype or "float64"), seed, None, True)


def score(case: Case, params: Mapping[str, np.ndarray]) -> Score:
    """The network with these parameters on all held-out rows. Cost: one forward pass."""
    x, y = case.held_out()
    trace = forward(case.network, params, x, y)
    loss = float(np.asarray(trace.loss, np.float64).mean())
    operation = _loss(case.network)
    graph = graph_of(case.network)[0]
    z = trace[graph.by_name[graph.output].inputs[0]]
    accuracy = r_squared = None
    if isinstance(operation, SoftmaxCrossEntropy):
        accuracy = float((z.argmax(-1) == y).mean())
    elif isinstance(operation, BinaryCrossEntropy):
        accuracy = float(((z.reshape(y.shape) > 0) == (y > 0.5)).mean())
    elif isinstance(operation, SquaredError):
        t = y.reshape(z.shape).astype(np.float64)
        spread = float(np.square(t - t.mean(0)).sum())
        r_squared = 1.0 - float(np.square(z - t).sum()) / spread if spread else None
    return Score(len(x), loss, accuracy, r_squared)


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


def _saved(chosen: Choices) -> Case:
    from everygrad.files import read

    if chosen.activation is not None:
        raise click.UsageError("--activation is for a new network: a saved one has its own")
    contents = read(chosen.network)
    dtypes = sorted({str(p.dtype) for p in contents.params.values()}) or ["float64"]
    if chosen.dtype is not None and dtypes != [chosen.dtype]:
        raise click.UsageError(f"--dtype {chosen.dtype}, but the parameters in {chosen.network} are {dtypes[0]}")
    notes = contents.notes if isinstance(contents.notes, Mapping) else {}
    noted = notes.get("seed")
    noted = noted if isinstance(noted, int) and not isinstance(noted, bool) and noted >= 0 else None
    target: Any = _target(chosen)
    if target is None and notes.get("data") == Path(chosen.spec).stem:
        target = notes.get("target_option")
    seed = chosen.seed if chosen.seed is not None else noted or 0
    data = load(
        chosen.spec,
        seed=seed,
        target=target if isinstance(target, str | int) else None,
        dtype=dtypes[0],
    )
    known = notes.get("held_out_unseen") is True and notes.get("source") == data.source and noted == seed
    _require_takes(contents.network, data, chosen.network)
    return Case(data, contents.network, contents.params, seed, chosen.network, known)


def _target(chosen: Choices) -> str | int | None:
    """A column of a .csv may be given by its position."""
    target = chosen.target
    if target is not None and target.isdecimal() and not chosen.spec.lower().endswith(".npz"):
        return int(target)
    return target


def _loss(network: Graph | Network) -> Loss | None:
    graph = graph_of(network)[0]
    operation = graph.by_name[graph.output].operation
    return operation if isinstance(operation, Loss) else None


def _require_fit(sizes: tuple[int, ...], data: DataSet) -> None:
    """Sizes begin with the number of features and end with that of outputs."""
    expected = sizes_for(data)
    if len(sizes) >= 2 and [sizes[0], sizes[-1]] == expected:
        return
    given = ",".join(map(str, sizes))
    inside = sizes_for(data, sizes if len(sizes) < 2 or sizes[0] != expected[0] else sizes[1:-1])
    what = f"{expected[1]} classes" if data.classes else f"{expected[1]} target{'' if expected[1] == 1 else 's'}"
    shown = ",".join(map(str, sizes_for(data, sizes[1:-1])))
    hidden = ",".join(map(str, inside[1:-1]))
    other = f", or --hidden {hidden} for {','.join(map(str, inside))}" if inside[1:-1] != list(sizes[1:-1]) else ""
    raise InputError(
        f"--network {given} does not fit {data.name}: it has {expected[0]} features and {what}, "
        f"so sizes begin with {expected[0]} and end with {expected[1]}. Type --network {shown}{other}"
    )


def _require_takes(network: Any, data: DataSet, path: str) -> None:
    """Whether a saved network can be given these data; what only shows later, `forward` says."""
    graph = graph_of(network)[0]
    if len(graph.data) != 2 or not isinstance(_loss(network), Loss):
        given = ", ".join(graph.data) or "nothing"
        raise InputError(
            f"{path} holds a network that takes {given} and ends in {graph.output!r}: this command gives x and y, and "
            f"needs a network that ends in a loss"
        )
    if not isinstance(network, FeedForward):
        return
    outputs = {data.outputs}
    if isinstance(network.loss, BinaryCrossEntropy) and data.task == "binary":
        outputs = {1}
    problems = []
    if network.sizes[0] != len(data.features):
        problems.append(f"takes {network.sizes[0]} features, {data.name} has {len(data.features)}")
    if network.sizes[-1] not in outputs:
        problems.append(f"has {network.sizes[-1]} outputs, {data.name} needs {outputs.pop()}")
    if isinstance(network.loss, SquaredError) != (data.task == "regression"):
        problems.append(f"has the loss {network.loss.name}, which does not suit a {data.task}")
    if problems:
        raise InputError(f"the network in {path} does not fit {data.name}: it " + ", and it ".join(problems))
