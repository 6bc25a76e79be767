"""The arguments of a training: every problem found before the first batch, and what a checkpoint compares."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

import numpy as np

from everygrad.backprop.bind import bind
from everygrad.backprop.finite import complain
from everygrad.backprop.forward import Network, graph_of
from everygrad.backprop.plan import plan
from everygrad.engines import Array, Kind, to_numpy
from everygrad.errors import InputError, all_mismatches
from everygrad.graph import Graph, Operation
from everygrad.graph.losses import BinaryCrossEntropy, SoftmaxCrossEntropy
from everygrad.graph.time import Cell
from everygrad.train.given import by_name, held_out, samples, target_of
from everygrad.train.objective import Objective, is_averaged, judge_of
from everygrad.train.optimizers import Optimizer, make_optimizer
from everygrad.train.samples import Samples


@final
@dataclass(frozen=True, slots=True)
class Schedule:
    """How long, in which steps, and where it is kept."""

    epochs: int
    batch_size: int
    patience: int | None
    checkpoint: Path | None
    checkpoint_every: int
    resume: bool

    def problems(self) -> list[str]:
        """What is wrong with these arguments."""
        found = [
            f"{name} must be a whole number of at least 1, got {value!r}"
            for name in ("epochs", "batch_size", "checkpoint_every", "patience")
            if not _is_count(value := getattr(self, name)) and not (name == "patience" and value is None)
        ]
        if self.checkpoint is None and self.resume:
            found.append("resume=True needs the file: checkpoint=...")
        elif self.checkpoint is not None and not self.resume and self.checkpoint.exists():
            found.append(
                f"the checkpoint {self.checkpoint} is there already: resume=True goes on with it; "
                f"to begin anew, delete it or name another file"
            )
        return found


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 1


@final
@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What is trained, on what, and how: validated. ``idle`` are parameters that the loss does not use."""

    objective: Objective
    optimizer: Optimizer
    params: dict[str, Array]
    idle: Mapping[str, Array]
    training: Samples
    validation: Samples | None

    def described(self, network: Graph | Network, batch_size: int, seed: object, generator: str) -> dict[str, Any]:
        """What must be the same when a checkpoint is resumed, as JSON holds it."""
        nodes = {
            node.name: f"{node.role if node.operation is None else _written(node.operation)}({', '.join(node.inputs)})"
            for node in self.objective.graph.nodes
        }
        described = {
            "network": str(network) if not isinstance(network, Graph) else "a graph",
            "quantity": nodes,
            "parameter": {name: f"{tuple(p.shape)} {to_numpy(p).dtype}" for name, p in self.params.items()},
            "optimizer": self.optimizer.settings,
            "batch_size": batch_size,
            "seed": int(seed) if isinstance(seed, int | np.integer) else "a generator",
            "random generator": generator,
            "training data": _described(self.training),
            "validation data": _described(self.validation) if self.validation is not None else "none",
        }
        return json.loads(json.dumps(described))


def _written(operation: Operation) -> str:
    """An operation with its attributes, a cell with all its equations."""
    attributes = {n: str(a.graph).splitlines() if isinstance(a, Cell) else a for n, a in operation.attributes.items()}
    return f"{operation.name}{attributes}"


def _described(samples: Samples) -> dict[str, Any]:
    shapes = {f"shape of {name}": f"{tuple(array.shape)}" for name, array in samples.arrays.items()}
    return {**shapes, "contents": samples.digest()}


@np.errstate(all="ignore")  # whatever is not finite is reported, with its name
def prepare(
    network: Graph | Network,
    params: Mapping[str, Array],
    data: Mapping[str, Array | None],
    validation: object,
    optimizer: Optimizer,
    allow_empty_classes: bool,
    options: Sequence[str],
) -> Setting:
    """Everything validated once, by the checks of `everygrad.forward`; raises what `train` documents."""
    graph, shapes = graph_of(network)
    whole = plan(graph)
    values, kind = bind(graph, whole, params, (), by_name(graph, data, options), shapes)
    owned = {n: _owned(values[n], kind) for n in graph.parameters if n in values}
    complain(owned, owned, "the parameter")
    judge = judge_of(graph, getattr(network, "prediction", None))
    training = samples(graph, values, kind, judge)
    validating = None
    if validation is not None:
        given = held_out(graph, validation)
        try:
            seen, _ = bind(graph, whole, params, (), given, shapes)
        except InputError as error:
            raise type(error)(f"validation data: {error}") from error
        validating = samples(graph, seen, kind, judge, "validation ")
    constants = MappingProxyType({n.name: values[n.name] for n in whole.nodes if n.constant is not None})
    objective = Objective(graph, whole, kind, constants, judge, is_averaged(graph))
    if not allow_empty_classes:
        _require_all_classes(objective, owned, training, target_of(values, judge))
    idle = {name: p for name, p in params.items() if graph.resolve(name) not in owned}
    return Setting(objective, optimizer, owned, MappingProxyType(idle), training, validating)


def choose_optimizer(optimizer: str | Optimizer, learning_rate: float | None, problems: Sequence[str]) -> Optimizer:
    """The optimiser; raises one error with its own problem and the others."""
    try:
        chosen = make_optimizer(optimizer, learning_rate)
    except InputError as error:
        if not problems:
            raise
        raise InputError("\n  - ".join([f"train: {len(problems) + 1} problems", *problems, str(error)])) from error
    all_mismatches("train", list(problems))
    return chosen


def _owned(array: Array, kind: Kind) -> Array:
    """A copy in row order: a resumed training has its arrays in row order, and the order decides how sums round."""
    if isinstance(array, np.ndarray | np.generic):
        return np.array(array, order="C")
    return kind.xp.asarray(array, copy=True)


def _require_all_classes(
    objective: Objective, params: Mapping[str, Array], training: Samples, target: np.ndarray | None
) -> None:
    """Raise `InputError` naming each class that no sample has: it would be learned never to occur."""
    judge = objective.judge
    if judge is None or target is None:
        return
    t = target[training.rows]
    if judge.leads[1] == 2:  # one target per step: those that count, one after the other
        t = t.reshape(-1, *t.shape[2:]) if training.weight is None else t[training.weight[training.rows] > 0]
    missing: list[str] = []
    if isinstance(judge.operation, SoftmaxCrossEntropy):
        outputs = objective.trace(params, training.take(training.rows[:1]))[judge.inputs[0]].shape[-1]
        mass = np.bincount(t, minlength=outputs) if t.ndim == 1 else t.sum(0)
        missing = [f"class {k} of {outputs}" for k in np.flatnonzero(mass == 0)]
    elif isinstance(judge.operation, BinaryCrossEntropy) and np.isin(t, (0, 1)).all():
        columns = t.reshape(len(t), -1)
        for k, column in enumerate(columns.T):
            where = f" of output {k}" if columns.shape[1] > 1 else ""
            missing += [f"class {c}{where}" for c in (0, 1) if not (column == c).any()]
    all_mismatches(
        "training data (allow_empty_classes=True trains all the same)",
        [f"{name} has no sample" for name in missing],
    )
