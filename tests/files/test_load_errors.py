"""Files that are not ours, or not whole, or made to do harm: each is refused with what is wrong and where."""

import copy
import gzip
import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.numpy

import everygrad as eg
from everygrad.errors import FileFormatError
from everygrad.files import load, save
from everygrad.files.document import MAX_HEADER, MAX_NODES
from everygrad.graph import Graph
from tests.files.forge import container, document_for, forge, header_of

NET = eg.FeedForward([3, 4, 2], activation="leaky_relu")
PARAMS = NET.init(0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


@pytest.fixture
def document(path):
    """The document of a good file, to be spoiled."""
    save(path, NET, PARAMS)
    header = path.read_bytes()
    return json.loads(json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])["__metadata__"]["everygrad"])


def refused(path, message, **limits):
    with pytest.raises(FileFormatError, match=message):
        load(path, **limits)


class Explodes:
    """Unpickling this writes a file."""

    def __init__(self, where):
        self.where = where

    def __reduce__(self):
        return (open, (str(self.where), "w"))


def as_gzip() -> bytes:
    return gzip.compress(b"x" * 100)


def as_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.pkl", b"x" * 100)
    return file.getvalue()


def as_npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


FOREIGN = {
    "zip": (as_zip(), "looks like a zip archive"),
    "npy": (as_npy(), "looks like a .npy file"),
    "gzip": (as_gzip(), "gzip|its header"),
    "text": (b"import os\nprint('hello')\n", "looks like a text file"),
    "json": (b'{"format": "everygrad"}', "looks like a JSON text"),
    "short text": (b"hello", "looks like a text file"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "looks like an HDF5 file"),
    "noise": (bytes(range(255, 0, -1)), "not a safetensors file, or too large: its header would have"),
    "short noise": (b"\xff\x00\x01", "truncated: it has 3 bytes"),
    "zeros": (bytes(100), "the header is not valid JSON"),
    "huge header": ((MAX_HEADER + 1).to_bytes(8, "little") + bytes(50), "33,554,433 bytes, the limit is 33,554,432"),
    "header cut": ((1000).to_bytes(8, "little") + b'{"a', "truncated: its header asks for 1,000 bytes, 3 are there"),
    "list": (container([1, 2]), "the header: expected an object"),
    "nothing": (container({}), "without an architecture"),
    "latin-1": (container(b'{"__metadata__": {"\xe9": ""}}'), "the header is not valid JSON: 'utf-8' codec"),
    "nested": (container(b"[" * 100_000), "nested too deeply"),
    "NaN": (container(b'{"a": NaN}'), "NaN is not a number of JSON"),
    "twice": (container(b'{"a": 1, "a": 2}'), "'a' is there twice"),
    "metadata list": (container({"__metadata__": ["everygrad"]}), "without an architecture"),
    "metadata number": (container({"__metadata__": {"everygrad": 3}}), "the metadata: expected a text, got 3"),
    "long number": (container(b'{"a": ' + b"1" * 5000 + b"}"), "the header is not valid JSON"),
}


@pytest.mark.parametrize(("content", "message"), FOREIGN.values(), ids=FOREIGN)
def test_foreign_files(path, content, message):
    path.write_bytes(content)
    refused(path, message)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_not_opened(path, protocol):
    with path.open("wb") as file:
        pickle.dump([Explodes(path.parent / "harm"), "x" * 300], file, protocol)
    refused(path, "Python pickle" if protocol > 1 else "not a safetensors file")
    assert not (path.parent / "harm").exists()


def test_files_that_are_not_there(tmp_path):
    refused(tmp_path / "missing", "there is no such file")
    refused(tmp_path, "is a folder")
    (tmp_path / "empty").touch()
    refused(tmp_path / "empty", "is empty")


def test_safetensors_of_others(path):
    safetensors.numpy.save_file(PARAMS, path, {"format": "pt"})
    refused(path, "without an architecture: it was not written by everygrad")


def test_the_limit_of_bytes(path):
    save(path, NET, PARAMS)
    size = path.stat().st_size
    assert load(path, max_bytes=size)[0].sizes == (3, 4, 2)
    refused(path, f"has {size:,} bytes, the limit is {size - 1:,}", max_bytes=size - 1)


def test_cut_anywhere_or_too_long(path):
    save(path, NET, PARAMS)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path, "truncated|empty")
    path.write_bytes(whole + b"\0")
    refused(path, "too long")


def test_every_bit_counts(path):
    """One bit changed anywhere: refused, or (in the white space of the header) the same network."""
    save(path, NET, PARAMS, notes="n")
    whole = path.read_bytes()
    loaded = 0
    for position in range(len(whole)):
        spoiled = bytearray(whole)
        spoiled[position] ^= 1 << (position % 8)
        path.write_bytes(bytes(spoiled))
        try:
            net, params = load(path)
        except FileFormatError:
            continue
        loaded += 1
        assert whole[position] == ord(" ")
        assert all(params[name].tobytes() == PARAMS[name].tobytes() for name in PARAMS)
        assert net.activations[0].constants == {"slope": 0.01}
    assert loaded < 10


def spoil(*steps, value):
    """A change of one place in the document's network."""

    def change(network):
        place = network
        for step in steps[:-1]:
            place = place[step]
        place[steps[-1]] = value

    return change


FEED_FORWARD = {
    "kind": (
        spoil("kind", value="python"),
        "network.kind: expected 'feed_forward', 'recurrent', 'graph_network' or 'graph'",
    ),
    "no kind": (lambda n: n.pop("kind"), "network.kind: expected a text, got None"),
    "extra": (spoil("hook", value="os.system"), "network: 'hook' is unknown"),
    "missing": (lambda n: n.pop("loss"), "network: 'loss' is missing"),
    "sizes text": (spoil("sizes", value="3-4-2"), "network.sizes: expected a list"),
    "sizes zero": (spoil("sizes", 1, value=0), r"network.sizes\[1\]: expected a whole number in \[1"),
    "sizes float": (spoil("sizes", 1, value=4.0), r"network.sizes\[1\]: expected a whole number"),
    "sizes true": (spoil("sizes", 1, value=True), r"network.sizes\[1\]: expected a whole number"),
    "sizes huge": (spoil("sizes", 1, value=10**400), r"network.sizes\[1\]: expected a whole number"),
    "sizes large": (spoil("sizes", 1, value=10**18), r"'W1' has shape \(4, 3\), the network needs \(10{18}, 3\)"),
    "sizes one": (spoil("sizes", value=[3]), "network: sizes must list inputs"),
    "many layers": (
        spoil("sizes", value=[1] * (MAX_NODES + 1)),
        "network.sizes has 100,001 entries, the limit is 100,000",
    ),
    "activations": (spoil("activations", value=[]), "network: 0 activations for 1 hidden layers"),
    "a loss inside": (spoil("activations", 0, "name", value="squared_error"), r"activations\[0\]: unknown activation"),
    "unknown": (spoil("activations", 0, "name", value="leaky_rel"), r"activations\[0\]: .*Did you mean 'leaky_relu'"),
    "attribute": (spoil("activations", 0, "attributes", "alpha", value=1.0), "leaky_relu takes .*not .'alpha'"),
    "attribute unknown": (spoil("activations", 0, "attributes", "__class__", value=1.0), "no attribute '__class__'"),
    "attribute text": (spoil("activations", 0, "attributes", "slope", value="0.1"), r"slope: expected a whole number"),
    "attribute inf": (spoil("activations", 0, "attributes", value=[1]), r"attributes: expected an object, got \[1\]"),
    "attributes missing": (spoil("activations", 0, "attributes", value={}), r"\[\], expected \['slope'\]"),
    "reduction": (
        spoil("loss", "attributes", "reduction", value="max"),
        "loss.reduction: expected mean or sum or none, got 'max'",
    ),
    "smoothing": (spoil("loss", "attributes", "smoothing", value=1.5), "loss: label smoothing must be in"),
    "loss": (spoil("loss", "name", value="tanh"), "network.loss: "),
    "bias": (spoil("bias", value=1), "network.bias: expected true or false, got 1"),
    "list": (lambda n: n.update(sizes=[[[3]]]), r"network.sizes\[0\]: expected a whole number"),
}


@pytest.mark.parametrize(("change", "message"), FEED_FORWARD.values(), ids=FEED_FORWARD)
def test_a_spoiled_feed_forward_network(path, document, change, message):
    change(document["network"])
    refused(forge(path, document, PARAMS), message)


def test_what_surrounds_the_network(path, document):
    refused(forge(path, {**document, "format": "other"}, PARAMS), "not of the format 'everygrad'")
    refused(forge(path, {**document, "version": 2}, PARAMS), "version 2, this everygrad reads 1: a newer everygrad")
    for version in (0, True, "1", None, 1.0):
        refused(forge(path, {**document, "version": version}, PARAMS), "there is no such version")
    refused(forge(path, {**document, "network": []}, PARAMS), "network.kind: expected a text")
    refused(forge(path, {**document, "hook": 1}, PARAMS), "'hook' is unknown")
    unsigned = {k: v for k, v in document.items() if k != "sha256"}
    refused(forge(path, unsigned, PARAMS, sign=False), "'sha256' is missing")
    refused(forge(path, {**document, "sha256": "0" * 64}, PARAMS, sign=False), "the checksum")
    refused(forge(path, {**document, "sha256": ["0"]}, PARAMS, sign=False), "the checksum")
    refused(forge(path, "[1, 2]", PARAMS, sign=False), "not of the format")
    refused(forge(path, "import os", PARAMS, sign=False), "the architecture is not valid JSON")
    deep = json.dumps(document).replace('"notes": null', '"notes": ' + "[" * 900 + "]" * 900)
    refused(forge(path, deep, PARAMS, sign=False), "the checksum|nested too deeply")
    infinite = json.dumps(document).replace('"notes": null', '"notes": 1e999')
    refused(forge(path, infinite, PARAMS, sign=False), "the architecture is not valid: Out of range float")
    assert load(forge(path, document, PARAMS))[0].sizes == (3, 4, 2)  # the forger's files are good otherwise


def test_parameters_that_do_not_fit(path, document):
    for arrays, message in [
        ({k: v for k, v in PARAMS.items() if k != "W2"}, "parameter 'W2' is missing"),
        ({**PARAMS, "W3": np.zeros(2)}, "parameter 'W3' is not one of this network's"),
        ({**PARAMS, "b1": np.zeros(3)}, r"parameter 'b1' has shape \(3,\), the network needs \(4,\)"),
        ({**PARAMS, "b1": np.zeros(4, np.float32)}, "parameters of different dtypes"),
        ({**PARAMS, "b1": np.zeros(4, np.float16)}, "array 'b1': dtype: expected F32 or F64, got 'F16'"),
        ({**PARAMS, "b1": np.zeros(4, np.int64)}, "array 'b1': dtype: expected F32 or F64, got 'I64'"),
        ({**PARAMS, "../b1": np.zeros(4)}, "the name of an array: expected a name .a name is no path"),
        ({**PARAMS, "": np.zeros(4)}, "1 to 200 characters"),
    ]:
        refused(forge(path, document, arrays), message)


def test_a_header_that_lies(path, document):
    header, data = header_of(PARAMS)
    text = json.dumps(document)

    def lying(name, **changes):
        told = copy.deepcopy(header)
        told[name].update(changes)
        path.write_bytes(container({"__metadata__": {"everygrad": text}, **told}, data))

    first, last = "W1", list(header)[-1]
    end = header[last]["data_offsets"][1]
    for name, changes, message in [
        (last, {"data_offsets": [0, end + 8]}, "truncated"),
        (last, {"data_offsets": [end - 8, 10**15]}, "truncated"),
        (first, {"data_offsets": [-8, 88]}, r"data_offsets: expected a whole number in \[0"),
        (first, {"data_offsets": [0]}, "data_offsets: expected .start, end."),
        (first, {"data_offsets": [8, 96]}, "damaged"),
        (first, {"data_offsets": [96, 0]}, "damaged"),
        (first, {"shape": [3, 4]}, "the checksum"),
        (first, {"shape": [2**62, 2**62]}, "damaged"),
        (first, {"shape": [1] * 9}, "shape has 9 entries, the limit is 8"),
        (first, {"shape": [4.0, 3]}, "shape: expected a whole number"),
        (first, {"dtype": "F32"}, "damaged"),
        (first, {"dtype": ["F64"]}, "dtype: expected a text, got"),
        (first, {"pickle": "x"}, "'pickle' is unknown"),
    ]:
        lying(name, **changes)
        refused(path, message)


def graph_document(*nodes, output="h", aliases=None):
    graph = {"nodes": list(nodes), "output": output, "aliases": aliases or {}}
    return document_for({"kind": "graph", "graph": graph})


def quantity(name, op, *inputs, **attributes):
    operation = {"name": op, "attributes": attributes}
    return {"name": name, "role": "quantity", "operation": operation, "inputs": list(inputs)}


X = {"name": "x", "role": "data", "lead": 1}
H = quantity("h", "tanh", "x")

GRAPHS = {
    "cycle": (
        [X, quantity("a", "add", "x", "h"), quantity("h", "tanh", "a")],
        r"nodes\[1\].inputs\[1\]: 'h' is not defined",
    ),
    "itself": ([X, quantity("h", "add", "x", "h")], r"nodes\[1\].inputs\[1\]: 'h' is not defined by a node before 'h'"),
    "order": ([H, X], r"nodes\[0\].inputs\[0\]: 'x' is not defined"),
    "twice": ([X, X, H], r"nodes\[1\]: a second node is named 'x'"),
    "no output": ([X], "unknown output 'h'"),
    "path": ([{**X, "name": "../../x"}, H], r"nodes\[0\].name: expected a name \(a name is no path"),
    "backslash": ([{**X, "name": "a\\b"}, H], "a name is no path"),
    "NUL": ([{**X, "name": "x\0"}, H], "printable characters"),
    "surrogate": ([{**X, "name": "\ud800"}, H], "printable characters"),
    "long name": ([{**X, "name": "x" * 10**6}, H], "1 to 200 characters"),
    "name list": ([{**X, "name": ["x"]}, H], r"nodes\[0\].name: expected a text, got \['x'\]"),
    "unknown operation": (
        [X, quantity("h", "__import__", "x")],
        r"nodes\[1\].operation: unknown operation '__import__'",
    ),
    "operation text": ([X, {**H, "operation": "tanh"}], r"nodes\[1\].operation: expected an object, got 'tanh'"),
    "operation name": ([X, quantity("h", 3, "x")], r"nodes\[1\].operation.name: expected a text, got 3"),
    "too few": ([X, quantity("h", "affine", "x")], r"nodes\[1\]: 'affine' takes 2 to 3 inputs, got 1"),
    "too many": ([X, quantity("h", "tanh", "x", "x")], r"nodes\[1\]: 'tanh' takes 1 inputs, got 2"),
    "none": ([quantity("h", "concatenate")], "'concatenate' takes 1 to 100000 inputs, got 0"),
    "inputs text": ([X, {**H, "inputs": "x"}], r"nodes\[1\].inputs: expected a list, got 'x'"),
    "input number": ([X, {**H, "inputs": [0]}], r"nodes\[1\].inputs\[0\]: expected a text, got 0"),
    "role": (
        [{**X, "role": "code"}, H],
        r"nodes\[0\].role: expected data, parameter, constant or quantity, got 'code'",
    ),
    "node list": ([["x"], H], r"nodes\[0\].role: expected a text"),
    "lead": ([{**X, "lead": 10**9}, H], r"nodes\[0\].lead: expected a whole number in \[1, 8\]"),
    "constant": ([{"name": "c", "role": "constant", "constant": "1"}], r"constant: expected a whole number, got '1'"),
    "constant int": ([{"name": "c", "role": "constant", "constant": 10**400}], r"constant: expected a whole number"),
    "field": ([{**X, "constant": 1}, H], r"nodes\[0\]: 'constant' is unknown"),
    "step": ([X, quantity("h", "select", "x", part=[None, None, 0])], "part: expected .start, stop, step."),
    "part": ([X, quantity("h", "select", "x", part=[1, 2, 3, 4])], "part has 4 entries, the limit is 3"),
    "part short": ([X, quantity("h", "select", "x", part=[1])], "part: expected .start, stop, step."),
    "indices": (
        [X, quantity("h", "select", "x", indices=[0, "1"], scalar=False)],
        r"indices\[1\]: expected a whole number",
    ),
    "index": (
        [X, quantity("h", "select", "x", indices=[2**63], scalar=False)],
        r"indices\[0\]: expected a whole number",
    ),
    "both": (
        [X, quantity("h", "select", "x", indices=[1], scalar=False, part=[0, 1, 1])],
        "expected .'indices', 'scalar'.",
    ),
    "scalar": ([X, quantity("h", "select", "x", indices=[1], scalar="no")], "scalar: expected true or false"),
    "half": (
        [X, quantity("h", "squared_error", "x", "x", reduction="mean", outputs="sum", half=1)],
        "half: expected true",
    ),
    "many": ([0] * (MAX_NODES + 1), "network.graph.nodes has 100,001 entries, the limit is 100,000"),
}


@pytest.mark.parametrize(("nodes", "message"), GRAPHS.values(), ids=GRAPHS)
def test_a_hostile_graph(path, nodes, message):
    refused(forge(path, graph_document(*nodes), {}), message)


def test_what_surrounds_a_graph(path):
    good = graph_document(X, H, aliases={"input": "x"})
    found, _ = load(forge(path, good, {}))
    assert isinstance(found, Graph)
    assert dict(found.aliases) == {"input": "x"}
    for aliases, message in [
        ({"x": "h"}, "aliases: 'x' must be a new name"),
        ({"in": "nothing"}, "aliases: 'in' must be a new name for a node, got 'nothing'"),
        ({"in": 3}, "aliases.in: expected a text"),
        ({"../in": "x"}, "a name is no path"),
    ]:
        refused(forge(path, graph_document(X, H, aliases=aliases), {}), message)
    network = {"kind": "graph_network", "graph": good["network"]["graph"], "prediction": "h", "shapes": {}}
    for change, message in [
        ({"prediction": "z"}, "network: unknown prediction 'z'"),
        ({"prediction": 1}, "network.prediction: expected a text"),
        ({"shapes": {"x": [1]}}, "'x' is not a parameter"),
        ({"shapes": {"W": [-1]}}, "network.shapes.W: expected a whole number"),
        ({"shapes": []}, "network.shapes: expected an object"),
        ({"graph": None}, "network.graph: expected an object, got None"),
        ({"graph": {**network["graph"], "output": "z"}}, "unknown output 'z'"),
        ({"graph": {**network["graph"], "aliases": []}}, "aliases: expected an object"),
    ]:
        refused(forge(path, document_for({**network, **change}), {}), message)
