"""Random damage: a file is refused, or it is the network that was saved; nothing else happens."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

import everygrad as eg
from everygrad.errors import FileFormatError
from everygrad.files import load, save
from everygrad.graph import ops
from tests.files.forge import document_for, forge


def small(x, y, *, W, b):
    h = ops.elu(ops.affine(x, W, b), 0.5)
    return ops.squared_error(h[[0, 1]] * 3.0, y)


NET = eg.FeedForward([2, 3, 2], activation="leaky_relu")


@st.composite
def damage(draw):
    """Cuts, changed bytes, inserted bytes, repeated parts: positions as fractions of the length."""
    steps = st.lists(
        st.tuples(
            st.sampled_from(["cut", "flip", "insert", "remove", "repeat"]),
            st.floats(0, 1, exclude_max=True),
            st.binary(min_size=1, max_size=9),
        ),
        min_size=1,
        max_size=4,
    )
    return draw(steps)


def apply(content: bytes, steps) -> bytes:
    for kind, fraction, new in steps:
        at = int(fraction * len(content))
        if kind == "cut":
            content = content[:at]
        elif kind == "flip":
            content = content[:at] + new + content[at + len(new) :]
        elif kind == "insert":
            content = content[:at] + new + content[at:]
        elif kind == "remove":
            content = content[:at] + content[at + len(new) :]
        else:
            content = content[: at + len(new)] + content[at:]
    return content


@settings(max_examples=250)
@given(steps=damage(), kind=st.sampled_from(["feed_forward", "graph"]))
def test_damaged_files(tmp_path_factory, steps, kind):
    folder = tmp_path_factory.getbasetemp()
    net = NET if kind == "feed_forward" else eg.graph(small)
    params = {"W": NET.init(0)["W1"], "b": NET.init(0)["b1"]} if kind == "graph" else NET.init(0)
    good, bad = folder / f"{kind}.safetensors", folder / "damaged.safetensors"
    if not good.exists():
        save(good, net, params)
    bad.write_bytes(apply(good.read_bytes(), steps))
    try:
        found, arrays = load(bad)
    except FileFormatError:
        return
    assert {name: a.tobytes() for name, a in arrays.items()} == {name: a.tobytes() for name, a in params.items()}
    save(bad, found, arrays)  # and the network is the same: it is written as the same bytes
    assert bad.read_bytes() == good.read_bytes()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def signed_documents(draw):
    """A good document in which any one value was replaced by any other, signed afterwards: no checksum helps."""
    nodes = [
        {"name": "x", "role": "data", "lead": 1},
        {"name": "c", "role": "constant", "constant": 2.0},
        {"name": "W", "role": "parameter"},
        {
            "name": "p",
            "role": "quantity",
            "operation": {"name": "select", "attributes": {"part": [0, 2, 1]}},
            "inputs": ["x"],
        },
        {"name": "a", "role": "quantity", "operation": {"name": "affine", "attributes": {}}, "inputs": ["p", "W"]},
        {
            "name": "h",
            "role": "quantity",
            "operation": {"name": "elu", "attributes": {"alpha": 0.5}},
            "inputs": ["a"],
        },
    ]
    graph = {"nodes": nodes, "output": "h", "aliases": {"in": "x"}}
    document = document_for({"kind": "graph_network", "graph": graph, "prediction": "h", "shapes": {"W": [3, 2]}})
    place = document
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return document
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or draw(st.integers(0, 5)) == 0:
            place[key] = draw(json_values)
            return document
        place = place[key]


@settings(max_examples=250)
@given(document=signed_documents())
def test_any_value_anywhere(tmp_path_factory, document):
    path = tmp_path_factory.getbasetemp() / "forged.safetensors"
    arrays = {"W": NET.init(0)["W1"]}
    forge(path, document, arrays)
    try:
        net, params = load(path)
    except FileFormatError:
        return
    again = json.loads(json.dumps(document))["network"]
    assert again["kind"] == "graph_network"
    assert [n.name for n in net.graph.nodes] == [n["name"] for n in again["graph"]["nodes"]]
    save(path, net, params, document["notes"])  # whatever was accepted is a network that can be saved
