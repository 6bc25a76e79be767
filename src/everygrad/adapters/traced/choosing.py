"""The axes of the inputs: as the user says, or the first that fit what the module does with them."""

from collections import Counter
from collections.abc import Mapping, Sequence
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

_PLAIN = ("b*", "bi", "b")
_OVER_TIME = ("bti", "tbi", "bt", "tb", "bit", "b1ti")
_TIME_FIRST = ("tbi", "bti", "tb", "bt", "bit", "b1ti")
ORDER = (*_PLAIN, *_OVER_TIME)
"""What is tried: without time first, then with it; in a model with recurrent modules the other way round."""

_COMMON = ("b*", "bti", "bi", "tbi", "bt", "b", "bit", "tb", "b1ti")
_TOKENS = ("b", "bt", "tb")
MOST = 800
"""How many combinations are tried at most: with several inputs, the commoner axes of each."""


def choose(reader: Reader, axes: str | Sequence[str] | None) -> tuple[Reading, str]:
    """The first reading without a problem, or the one that gets furthest; and in words, how the inputs were read."""
    names = [str(node.target) for node in reader.open]
    best: Reading | None = None
    chosen: Sequence[str] = ()
    for way in [_asked(names, axes)] if axes is not None else _ways(reader):
        reading = reader.read(dict(zip(names, way, strict=True)))
        if best is None or reading.lost < best.lost or not reading.problems:
            best, chosen = reading, way
        if not best.problems:
            break
    assert best is not None  # there is always one way
    return best, f"read with axes={(chosen[0] if len(chosen) == 1 else tuple(chosen))!r}"


def _ways(reader: Reader) -> list[tuple[str, ...]]:
    """The letters of all inputs, the more usual first."""
    firsts = reader.batch_firsts
    order = ORDER if not firsts else (*_OVER_TIME, *_PLAIN) if any(firsts) else (*_TIME_FIRST, *_PLAIN)
    many = len(reader.open)
    each = next(k for k in range(len(ORDER), 1, -1) if k == 2 or k**many <= MOST)
    lists = [_TOKENS if tokens else _COMMON[:each] for tokens in reader.tokens]
    return sorted(product(*lists), key=lambda way: sum(map(order.index, way)))


def _asked(names: Sequence[str], axes: str | Sequence[str]) -> Sequence[str]:
    given = [axes] if isinstance(axes, str) else list(axes)
    if len(given) != len(names):
        raise InputError(f"axes={axes!r}: the model has {len(names)} inputs, {', '.join(names)}: give one for each")
    for letters in given:
        counts = Counter(letters) if isinstance(letters, str) else Counter()
        fits = counts["b"] == 1 and set(counts) <= set(AXES) and all(counts[k] <= 1 for k in "ti")
        if letters != "b*" and not fits:
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
