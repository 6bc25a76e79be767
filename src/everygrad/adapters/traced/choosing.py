"""The axes of the inputs: as the user says, or the first that fit what the module does with them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from types import MappingProxyType

from everygrad.adapters.stack import Step, network
from everygrad.adapters.traced.reading import AXES, Reader, Reading
from everygrad.errors import InputError
from everygrad.graph import Graph
from everygrad.graph.affine import Affine
from everygrad.graph.arrange import Flatten
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import Loss
from everygrad.networks import FeedForward, GraphNetwork

ORDER = ("b*", "bi", "b", "bti", "tbi", "bt", "tb")
"""What is tried: without time first, then with it; in a model with recurrent modules the other way round."""
_RECURRENT = ("bti", "tbi", "bt", "tb", "b*", "bi", "b")
_TIME_FIRST = ("tbi", "bti", "tb", "bt", "b*", "bi", "b")

MANY = 3
"""Inputs up to which each may have axes of its own; beyond, all are tried alike."""


def choose(reader: Reader, axes: str | Sequence[str] | None) -> tuple[Reading, str]:
    """The first reading without a problem, or the one that gets furthest; and in words, how the inputs were read."""
    names = [str(node.target) for node in reader.open]
    best: tuple[Reading, dict[str, str]] | None = None
    firsts = reader.batch_firsts
    order = ORDER if not firsts else _RECURRENT if any(firsts) else _TIME_FIRST
    for letters in _ways(names, axes, order):
        given = dict(zip(names, letters, strict=True))
        reading = reader.read(given)
        if best is None or reading.lost < best[0].lost:
            best = reading, given
        if not reading.problems:
            break
    assert best is not None  # there is always one way
    letters = tuple(best[1].values())
    return best[0], f"read with axes={(letters[0] if len(letters) == 1 else letters)!r}"


def _ways(names: Sequence[str], axes: str | Sequence[str] | None, order: Sequence[str]) -> Iterator[Sequence[str]]:
    if axes is not None:
        yield _asked(names, axes)
    elif len(names) > MANY:
        yield from ([letters] * len(names) for letters in order)
    else:
        yield from sorted(product(order, repeat=len(names)), key=lambda way: sum(map(order.index, way)))


def _asked(names: Sequence[str], axes: str | Sequence[str]) -> Sequence[str]:
    given = [axes] if isinstance(axes, str) else list(axes)
    if len(given) != len(names):
        raise InputError(f"axes={axes!r}: the model has {len(names)} inputs, {', '.join(names)}: give one for each")
    for letters in given:
        known = letters == "b*" or (
            isinstance(letters, str)
            and "b" in letters
            and set(letters) <= set(AXES)
            and len(set(letters)) == len(letters)
            and "i" not in letters[:-1]
        )
        if not known:
            raise InputError(f"axes={letters!r}: expected one of {', '.join(ORDER)}: batch, time, input features")
    return given


def network_of(reading: Reading, loss: Loss) -> FeedForward | GraphNetwork:
    """The network of a reading without problems, with a loss on what the module gives."""
    building, output = reading.building, reading.output
    assert output is not None  # there are no problems
    builder = building.builder
    if builder.nodes[output.position]["name"] is None:
        output.named(building.name("out"))
    prediction = builder.nodes[output.position]["name"]
    y = builder.given("y", "data", lead=reading.lead)
    building.alias("x", reading.data[0])
    graph = builder.graph(builder.apply(loss, output, y, name="loss"), building.second_names())
    shapes = {name: tuple(tensor.shape) for name, tensor in building.tensors.items()}
    steps = _chain(graph)
    if steps is not None:
        return network(steps, shapes, loss)
    return GraphNetwork(graph, prediction, MappingProxyType(shapes))


def _chain(graph: Graph) -> list[Step] | None:
    """The operations of a feed-forward network without branches; None for any other graph."""
    previous, *others = graph.data
    if len(others) != 1 or graph.by_name[previous].lead != 1:
        return None
    steps = []
    for node in graph.nodes:
        if node.operation is None or node.name == graph.output:
            continue
        parameters: Mapping[str, object] = dict.fromkeys(node.inputs[1:])
        if (
            not isinstance(node.operation, Affine | Elementwise | Flatten)
            or node.inputs[0] != previous
            or not set(parameters) <= set(graph.parameters)
        ):
            return None
        steps.append(Step(node.operation, node.inputs[1:]))
        previous = node.name
    return steps
