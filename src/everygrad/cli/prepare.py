"""From options to a case: the data, a network that fits them, and its parameters."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from everygrad.backprop import graph_of
from everygrad.cli.case import Case, loss_of
from everygrad.cli.options import HIDDEN, Choices
from everygrad.data import DataSet, Scaling, load, network_for, recurrent_for, sizes_for
from everygrad.data.network import CELLS, UNITS
from everygrad.errors import InputError
from everygrad.graph.losses import BinaryCrossEntropy, SquaredError
from everygrad.networks import FeedForward, Recurrent


def prepare(chosen: Choices) -> Case:
    """Data and network of these options.

    Sequences get a recurrent network, an LSTM if nothing else is asked for; a feed-forward network of all sizes takes
    the steps of a sequence as so many features. A saved network remembers the seed of its split, so that its
    held-out rows are held out here too. Raises `InputError` if network and data do not fit, `FileFormatError` for a
    bad file.
    """
    if chosen.network is not None and chosen.hidden is not None:
        raise click.UsageError("--network and --hidden both say how large the network is: give one of them")
    if isinstance(chosen.network, str) and chosen.network not in CELLS:
        return _saved(chosen)
    seed, dtype = chosen.seed or 0, chosen.dtype or "float64"
    sequences = True if isinstance(chosen.network, str) and chosen.spec.lower().endswith(".npz") else None
    data = load(chosen.spec, seed=seed, target=_target(chosen), dtype=dtype, sequences=sequences)
    if isinstance(chosen.network, str) or (chosen.network is None and chosen.hidden is None and data.sequences):
        network: FeedForward | Recurrent = _recurrent(chosen, data)
    else:
        data = as_features(data)
        network = _feedforward(chosen, data)
    return Case(data, network, network.init(seed, dtype=dtype), seed, None, True)


def as_features(data: DataSet) -> DataSet:
    """Sequences as rows of features, step after step; other data as they are. Raises `InputError` if that cannot be."""
    if not data.sequences:
        return data
    problems = []
    if data.vocabulary is not None:
        problems.append("its steps are tokens")
    if data.lengths_train is not None or data.mask_train is not None:
        problems.append("its sequences have different lengths")
    if data.per_step:
        problems.append("its target is per step")
    if problems:
        raise InputError(
            f"{data.name} cannot be given to a feed-forward network: {' and '.join(problems)}. "
            f"Type --network {' or --network '.join(CELLS)}"
        )
    T = data.x_train.shape[1]
    scaling = data.scaling and Scaling(np.tile(data.scaling.offset, T), np.tile(data.scaling.scale, T))
    return replace(
        data,
        x_train=data.x_train.reshape(len(data.x_train), -1),
        x_test=data.x_test.reshape(len(data.x_test), -1),
        features=tuple(f"{name}_{t}" for t in range(T) for name in data.features),
        scaling=scaling,
        sequences=False,
    )


def _feedforward(chosen: Choices, data: DataSet) -> FeedForward:
    if chosen.recurrent_only:
        raise click.UsageError(
            f"{', '.join(chosen.recurrent_only)}: for a recurrent network, --network {' or --network '.join(CELLS)}"
        )
    if chosen.network is None:
        hidden = HIDDEN if chosen.hidden is None else chosen.hidden
    else:
        _require_fit(chosen.network, data)
        hidden = chosen.network[1:-1]
    weighted = {"weighted": True} if data.weight_train is not None else {}
    found = network_for(data, hidden, activation=chosen.activation or "tanh", **weighted)
    assert isinstance(found, FeedForward)  # the data are no sequences
    return found


def _recurrent(chosen: Choices, data: DataSet) -> Recurrent:
    cell = chosen.network or "lstm"
    activation = chosen.activation
    if isinstance(activation, tuple):
        raise click.UsageError("--activation: a recurrent network has one activation for all its layers")
    if cell != "elman" and activation == "tanh":
        activation = None  # which it has anyway
    options: dict[str, Any] = {"layers": chosen.layers or 1, "bidirectional": chosen.bidirectional}
    options |= {"read": chosen.read} if chosen.read is not None else {}
    return recurrent_for(data, cell, units=chosen.units or UNITS, activation=activation, **options)


def _saved(chosen: Choices) -> Case:
    from everygrad.files import read

    given = [*(["--activation"] if chosen.activation is not None else []), *chosen.recurrent_only]
    if given:
        raise click.UsageError(f"{', '.join(given)}: for a new network, a saved one has its own")
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
        sequences=True if isinstance(contents.network, Recurrent) and chosen.spec.lower().endswith(".npz") else None,
    )
    data = as_features(data) if isinstance(contents.network, FeedForward) else data
    known = notes.get("held_out_unseen") is True and notes.get("source") == data.source and noted == seed
    _require_takes(contents.network, data, chosen.network)
    return Case(data, contents.network, contents.params, seed, chosen.network, known)


def _target(chosen: Choices) -> str | int | None:
    """A column of a .csv may be given by its position."""
    target = chosen.target
    if target is not None and target.isdecimal() and not chosen.spec.lower().endswith(".npz"):
        return int(target)
    return target


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
    graph, loss = graph_of(network)[0], loss_of(network)
    given = ["x", "y", *(name for name in data.training if name not in ("x", "y"))]
    problems = _problems(network, data)
    if not problems and (len(graph.data) != len(given) or loss is None):
        takes = ", ".join(graph.data) or "nothing"
        raise InputError(
            f"{path} holds a network that takes {takes} and ends in {graph.output!r}: {data.name} gives "
            f"{' and '.join(given)}, and a network is needed that ends in a loss"
        )
    if problems:
        raise InputError(f"the network in {path} does not fit {data.name}: it " + ", and it ".join(problems))


def _problems(network: Any, data: DataSet) -> list[str]:
    """What can be told from the network's own fields."""
    if isinstance(network, Recurrent):
        problems, outputs = _sequence_problems(network, data), network.outputs
    elif isinstance(network, FeedForward):
        problems, outputs = [], network.sizes[-1]
        if network.sizes[0] != len(data.features):
            problems.append(f"takes {network.sizes[0]} features, {data.name} has {len(data.features)}")
    else:
        return []
    loss = loss_of(network)
    needed = 1 if isinstance(loss, BinaryCrossEntropy) and data.task == "binary" else data.outputs
    if outputs != needed:
        problems.append(f"has {outputs} outputs, {data.name} needs {needed}")
    if loss is not None and isinstance(loss, SquaredError) != (data.task == "regression"):
        problems.append(f"has the loss {loss.name}, which does not suit a {data.task}")
    return problems


def _sequence_problems(network: Recurrent, data: DataSet) -> list[str]:
    if not data.sequences:
        return [f"takes sequences, {data.name} has rows of features"]
    problems = []
    if (network.embedding is not None) != (data.vocabulary is not None):
        takes, has = ("tokens", "features") if network.embedding is not None else ("features", "tokens")
        problems.append(f"takes {takes} at each step, {data.name} has {has}")
    elif network.embedding is None and network.cell.inputs != len(data.features):
        problems.append(f"takes {network.cell.inputs} features at each step, {data.name} has {len(data.features)}")
    elif network.embedding is not None and data.vocabulary is not None and network.embedding[0] < data.vocabulary:
        problems.append(f"knows {network.embedding[0]:,} tokens, {data.name} has {data.vocabulary:,}")
    if (network.read == "each") != data.per_step:
        wanted = "each step" if data.per_step else "each sequence"
        problems.append(f"is read at {network.read!r}, {data.name} has a target for {wanted}")
    return problems
