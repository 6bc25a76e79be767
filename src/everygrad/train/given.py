"""The data of a training, as they were given: under the graph's names, looked at once, and ready to be cut."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from everygrad.backprop.finite import all_finite, complain
from everygrad.engines import Array, Kind, to_numpy
from everygrad.errors import InputError, all_mismatches, unknown_name
from everygrad.graph import Graph, Node
from everygrad.graph.losses import Loss, Reduce
from everygrad.graph.sequence import StepWeight
from everygrad.graph.steps import kept
from everygrad.graph.time import Scan
from everygrad.train.samples import Samples

FIRST = ("x", "y")
WEIGHT = "weight"
MADE_WITH = {"weight": "weighted=True", "lengths": "lengths=True", "mask": "lengths='mask'"}
"""What a network is made with to take such an array."""


def by_name(
    graph: Graph, given: Mapping[str, Array | None], options: Sequence[str], which: str = ""
) -> dict[str, Array]:
    """Graph's name -> array. Raises one `InputError` with all that is missing or that the graph does not take.

    x, y and weight are the graph's data of these names; else the first two, and what a loss takes as its weight (or
    the third of three). All others go by name. ``options`` are names that an unknown one may be a misspelling of.
    """
    problems: list[str] = []
    takes = f"the network takes {len(graph.data)} data arrays, {list(graph.data)}"
    found: dict[str, Array] = {}
    shown = _given_names(graph)
    places = {call: name for name, call in shown.items()}
    for call, array in given.items():
        name = places.get(call, graph.aliases.get(call, call))
        if array is None:
            continue
        if name in found:
            problems.append(f"{which}{call} was given twice")
        elif name in graph.data:
            found[name] = array
        elif call in (*FIRST, *MADE_WITH):
            hint = f": one made with {MADE_WITH[call]} takes it" if call in MADE_WITH else ""
            problems.append(f"{which}{call} was given, the network takes {list(graph.data)}{hint}")
        else:
            problems.append(f"{which}{unknown_name('argument', call, [*shown.values(), *options])}")
    for name in graph.data:
        if name not in found:
            problems.append(f"{takes}: {which}{shown[name]} is missing")
    all_mismatches("train", problems)
    return found


def held_out(graph: Graph, validation: object) -> dict[str, Array]:
    """The same for validation data: ``(x, y)``, ``(x, y, weight)``, or a dict of arrays by name."""
    if isinstance(validation, Mapping):
        return by_name(graph, validation, (), "validation ")
    if not isinstance(validation, tuple | list) or not 1 <= len(validation) <= 3:
        count = f" of {len(validation)}" if isinstance(validation, tuple | list) else ""
        raise InputError(
            f"validation must be (x, y) or (x, y, weight), or a dict of all arrays by name, "
            f"got a {type(validation).__name__}{count}"
        )
    return by_name(graph, dict(zip((*FIRST, WEIGHT), validation, strict=False)), (), "validation ")


def samples(graph: Graph, values: Mapping[str, Array], kind: Kind, judge: Node | None, which: str = "") -> Samples:
    """Data that fit, with the samples that take part. Raises `NonFiniteError` naming array and place.

    What stands in the padding of sequences is not looked at.
    """
    for name, call in _given_names(graph).items():
        label = f"{which}{call}"
        if not all_finite(values[name]):
            complain({label: _without_padding(graph, values, name)}, [label], "the array")
    arrays = {name: values[name] for name in graph.data}
    count = len(to_numpy(arrays[graph.data[0]]))
    times = [arrays[name].shape[1] for name in graph.data if graph.by_name[name].lead == 2]
    time = int(times[0]) if times else 1
    weight = _weights(graph, values, judge, time)
    rows = np.arange(count) if weight is None else np.flatnonzero(weight.reshape(count, -1).any(axis=1))
    losses = time if judge is not None and judge.leads[0] == 2 else 1
    return Samples(MappingProxyType(arrays), rows, weight, kind, losses, time)


def target_of(values: Mapping[str, Array], judge: Node | None) -> np.ndarray | None:
    """The target as the loss sees it; None if it is computed by the network."""
    return None if judge is None or judge.inputs[1] not in values else to_numpy(values[judge.inputs[1]])


def _given_names(graph: Graph) -> dict[str, str]:
    """Graph's name -> what it is called where it is given."""
    places = {call: graph.aliases.get(call, call) for call in (*FIRST, WEIGHT)}
    places = {call: name for call, name in places.items() if name in graph.data}
    roles = {name: _uses(graph, name) for name in graph.data}
    for name in graph.data:
        if "weight" in roles[name]:
            places.setdefault(WEIGHT, name)
    for name in graph.data:
        call = next((call for call in FIRST if call not in places), None)
        if call is not None and name not in places.values() and "counting" not in roles[name]:
            places[call] = name
    third = graph.data[2] if len(graph.data) == 3 else None
    if third is not None and third not in places.values() and roles[third].isdisjoint(("scan", "counting")):
        places.setdefault(WEIGHT, third)
    return {name: name for name in graph.data} | {name: call for call, name in places.items()}


def _uses(graph: Graph, name: str) -> set[str]:
    """What a graph takes an array for, as far as its place in an operation tells."""
    found = set()
    for user, slot in graph.consumers[name]:
        use = graph.by_name[user].operation
        if use is not None and slot == use.counting:
            found.add("counting")
        elif isinstance(use, Scan):
            found.add("scan")
        elif (isinstance(use, Loss | StepWeight) and slot == 2) or (isinstance(use, Reduce) and slot == 1):
            found.add("weight")
    return found


def _without_padding(graph: Graph, values: Mapping[str, Array], name: str) -> np.ndarray:
    """An array of each step, 0 in the padding, if nothing reads it there: all its uses are told which steps count."""
    array, found = to_numpy(values[name]), set()
    for user, _ in graph.consumers[name]:
        node = graph.by_name[user]
        slot = None if node.operation is None else node.operation.counting
        found.add(None if slot is None else node.inputs[slot])
    counting = found.pop() if len(found) == 1 else None
    if counting not in values or graph.by_name[name].lead != 2:
        return array
    keep = to_numpy(kept(values[counting], array.shape[1]))
    return np.where(keep.reshape(*keep.shape, *(1,) * (array.ndim - 2)), array, 0)


def _weights(graph: Graph, values: Mapping[str, Array], judge: Node | None, time: int) -> np.ndarray | None:
    """What each loss weighs: (samples,), or (samples, time) with 0 in the padding; None if all weigh the same."""
    name = judge.inputs[2] if judge is not None and len(judge.inputs) == 3 else None
    node = None if name is None else graph.by_name[name]
    if node is not None and isinstance(node.operation, StepWeight) and all(n in values for n in node.inputs[1:]):
        counting, *weight = (values[n] for n in node.inputs[1:])
        keep = to_numpy(kept(counting, time))
        return np.where(keep, to_numpy(weight[0]) if weight else 1.0, 0.0)
    if name not in graph.data:
        name = next((n for n in graph.data if "weight" in _uses(graph, n)), graph.aliases.get(WEIGHT, WEIGHT))
    return to_numpy(values[name]) if name in graph.data else None
