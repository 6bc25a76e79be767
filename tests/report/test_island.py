"""The numbers that the page's script reads: decoded as the script does, they are the record's; nothing breaks out."""

import base64
import dataclasses
import json
from html.parser import HTMLParser

import numpy as np
import pytest

import everygrad as eg
from everygrad import report
from everygrad.graph import Graph
from everygrad.report.island import island, packed
from tests.report.cases import DATA, made

KINDS = {"f4": "<f4", "u1": "<u1", "u2": "<u2", "u4": "<u4"}


def whole(x):
    (key,) = KINDS.keys() & x.keys()
    return np.frombuffer(base64.b64decode(x[key]), KINDS[key])


def numbers(x) -> np.ndarray:
    """An array of the island, as its docstring says."""
    if "n" in x:
        return np.array([float(v) for v in x["n"]]).reshape(x["shape"])
    flat = whole(x)
    if "only" in x:
        found = np.zeros(int(np.prod(x["shape"])))
        found[whole(x["only"])] = flat
        flat = found
    return flat.reshape(x["shape"])


def read(*reports) -> list[dict]:
    def refuse(word: str):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(island(reports), parse_constant=refuse)["reports"]


def same(found, known):
    """To six digits, the same places empty."""
    assert found.shape == known.shape
    np.testing.assert_allclose(found, known, rtol=5e-6, atol=0)


@pytest.mark.parametrize("kind", ["digits", "regression", "one", "checked", "deep"])
def test_a_chain_comes_back(kind):
    r = made(kind)
    (content,) = read(r)
    known, found = r.explore, content["explore"]
    assert [s["index"] for s in found["samples"]] == [s.index for s in known.samples]
    assert [s["label"] for s in found["samples"]] == [s.label for s in known.samples]
    same(np.array([s["loss"] for s in found["samples"]]), np.array([s.loss for s in known.samples]))
    for layer, other in zip(known.layers, found["layers"], strict=True):
        assert (layer.name, layer.before, layer.units) == (other["name"], other["before"], other["units"])
        assert list(layer.shown) == other["shown"]
        assert list(layer.formulas) == other["formulas"]
        for key in ("a", "h", "slope", "grad_a", "grad_h"):
            if getattr(layer, key) is None:
                assert other[key] is None
            else:
                same(numbers(other[key]), getattr(layer, key))
        paths, listed = layer.paths, other["paths"]
        assert (list(paths.way), list(paths.at), paths.count) == (listed["way"], listed["at"], listed["count"])
        assert [(hop.name, hop.layer) for hop in paths.hops] == [(h["name"], h["layer"]) for h in listed["hops"]]
        units = numbers(listed["units"]).astype(int)
        there = paths.units >= 0
        np.testing.assert_array_equal(units[there], paths.units[there])
        assert (units[~there] == np.iinfo(whole(listed["units"]).dtype).max).all()
        same(numbers(listed["pool"])[numbers(listed["factors"])], paths.factors)
        same(numbers(listed["products"]), paths.products)
        same(numbers(listed["remainder"]), paths.remainder)


@pytest.mark.parametrize("kind", ["elman", "lstm", "both", "long", "tokens", "values"])
def test_recurrent_layers_come_back(kind):
    r = made(kind)
    (content,) = read(r)
    found = content["explore"]
    assert found["layers"] == []
    assert found["note"] == r.explore.note
    for layer, other in zip(r.explore.steps, found["steps"], strict=True):
        assert (layer.label, layer.name, layer.reverse) == (other["label"], other["name"], other["reverse"])
        assert (layer.steps, list(layer.at)) == (other["steps"], other["at"])
        there = layer.present
        np.testing.assert_array_equal(numbers(other["present"]).astype(bool), there)
        for q, shown in zip(layer.quantities, other["quantities"], strict=True):
            assert (q.name, q.kind, q.units, q.formula) == tuple(shown[k] for k in ("name", "kind", "units", "formula"))
            assert list(q.shown) == shown["shown"]
            arrays = [(getattr(q, key), shown[key]) for key in ("value", "total", "direct")]
            arrays += [(t.values, s["values"]) for t, s in zip(q.terms, shown["terms"], strict=True)]
            for known, given in arrays:
                same(numbers(given)[there], known[there])
                assert (numbers(given)[~there] == 0).all()
            words = [(t.consumer, t.when, t.text) for t in q.terms]
            assert words == [(s["consumer"], s["when"], s["text"]) for s in shown["terms"]]


def test_several_networks_and_those_without():
    content = read(made("elman"), made("skip"), made("elman"), made("digits"))
    assert [r["explore"] is None for r in content] == [False, True, False, False]
    assert [r["name"] for r in content][:3:2] == ["Elman 1-6 (1)", "Elman 1-6 (2)"]


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((3, 4)),
        np.arange(24.0).reshape(2, 3, 4) - 7,
        np.array([[1.0, np.nan, np.inf, -np.inf] * 3]),
        np.array([1e-300, 1e300, 0.5, np.nan, -np.inf] * 3),
        np.array([1e-42] * 9),
        np.eye(40),
        np.eye(400)[:, :200],
        np.where(np.arange(300) % 100 == 7, np.nan, 0.0),
        np.array([0.25]),
        np.array(0.5),
        np.zeros((0, 3)),
        np.random.default_rng(0).normal(size=(5, 7)) * 10.0 ** np.arange(-20, 15, 5),
    ],
)
def test_any_array_comes_back(x):
    text = json.dumps(packed(x), allow_nan=False)
    found = numbers(json.loads(text))
    same(found, x)
    if (x != 0).sum() * 9 < x.size:
        assert len(text) < 6 * x.size


def test_the_size_of_three_networks_side_by_side():
    elman = eg.Recurrent(eg.Elman(1, 32), outputs=10)
    lstm = eg.Recurrent(eg.LSTM(1, 32), outputs=10)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 64, 1)), rng.integers(0, 10, 16)
    made_of = [report.build(net, eg.gradients(net, net.init(0), x, y)) for net in (elman, lstm)]
    assert 40_000 < len(island([made("digits"), *made_of]).encode()) < 110_000
    assert len(island([made("deep")])) < 60_000
    assert len(island([made("wide")])) < 60_000


HOSTILE = "</script><script>alert(1)</script><!-- & \"' \u2028\u2029 \\ ]]>"


class Scripts(HTMLParser):
    """The elements of a page, and what stands in its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.inside += data


def hostile_graph(name: str) -> tuple[Graph, eg.Gradients]:
    def f(x, y, *, W):
        a = (W @ x).named(name)
        return eg.ops.softmax_cross_entropy(a, y)

    rng = np.random.default_rng(0)
    graph = eg.graph(f)
    return graph, eg.gradients(
        graph, {"W": rng.normal(size=(3, 4))}, rng.normal(size=(5, 4)), np.array([0, 1, 2, 0, 1])
    )


def test_nothing_breaks_out_of_the_element():
    r = made("checked", data={**DATA, "classes": [HOSTILE, "b", "c"]})
    r = dataclasses.replace(r, network=HOSTILE)
    graph, g = hostile_graph(HOSTILE)
    named = report.build(graph, g)
    text = island([r, named])
    assert not set("<>&\u2028\u2029") & set(text)
    page = Scripts(f'<script type="application/json">{text}</script><p>after</p>')
    assert page.tags == ["script", "p"]
    content = json.loads(page.inside.removesuffix("after"))["reports"]
    label = next(s["label"] for s in content[0]["explore"]["samples"] if s["label"] not in "bc")
    assert label.startswith("</script><script>alert(1)</script><!-- & \"'")
    assert "\u2028" not in label
    layer = content[1]["explore"]["layers"][1]
    assert layer["name"].startswith("</script>")
    assert layer["formulas"][1].startswith("∂loss/∂</script><script>")


def test_the_same_reports_give_the_same_text():
    assert island([made("lstm"), made("digits")]) == island([made("lstm"), made("digits")])
