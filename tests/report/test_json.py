"""The JSON form: valid against its schema, and the record again when it is read."""

import dataclasses
import json
import math

import jsonschema
import numpy as np
import pytest

import everygrad as eg
from everygrad import report
from tests.report.cases import ALL, made

VALIDATOR = jsonschema.Draft202012Validator(report.schema())


def read(r: report.Report) -> dict:
    def refuse(word: str):
        raise AssertionError(f"{word} is not JSON")

    content = json.loads(report.to_json(r), parse_constant=refuse)
    VALIDATOR.validate(content)
    return content


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(report.schema())


@pytest.mark.parametrize("kind", ALL)
def test_every_kind_satisfies_the_schema(kind):
    content = read(made(kind))
    assert (content["schema"], content["version"]) == ("everygrad-report", 1)


def test_all_digits_and_all_fields_come_back():
    r = made("checked")
    content = read(r)["report"]
    assert set(content) == {field.name for field in dataclasses.fields(r)}
    assert content["loss"] == r.loss
    assert [q["norm"] for q in content["quantities"]] == [q.norm for q in r.quantities]
    assert [q["error"] for q in content["quantities"]] == [q.error for q in r.quantities]
    for found, m in zip(content["maps"], r.maps, strict=True):
        np.testing.assert_array_equal(np.array(found["values"]), m.values)
    assert content["history"][3]["gradient_norms"] == dict(r.history[3].gradient_norms)
    assert content["picture"]["edges"][0]["shown"][0] == list(r.picture.edges[0].shown[0])


def test_time_comes_back_and_other_networks_stand_beside():
    lstm, elman = made("lstm"), made("elman")
    content = json.loads(report.to_json(lstm, elman, lstm))
    VALIDATOR.validate(content)
    assert [r["network"] for r in content["compared"]] == [elman.network, lstm.network]
    (found,), (layer,) = content["report"]["time"], lstm.time
    assert set(found) == {field.name for field in dataclasses.fields(layer)}
    np.testing.assert_array_equal(np.array(found["total"]), layer.total)
    np.testing.assert_array_equal(np.array(found["credit"][1]["values"]), layer.credit[1].values)
    np.testing.assert_array_equal(np.array(found["spectrum"]["log_norm"]), layer.spectrum.log_norm)
    assert content["level"] == "ok"
    ill = dataclasses.replace(elman, verdict=dataclasses.replace(elman.verdict, level="error"))
    assert json.loads(report.to_json(lstm, ill))["level"] == "error"


def test_nan_and_infinities_survive_as_words():
    def f(x):
        return eg.ops.reduce(eg.ops.sum(eg.ops.log(x)))

    graph = eg.graph(f)
    g = eg.gradients(graph, {}, np.array([[0.0, -1.0, 2.0]]), check_finite=False)
    content = read(report.build(graph, g))
    assert content["level"] == "error"
    assert content["report"]["loss"] == "NaN"
    (values,) = [m["values"] for m in content["report"]["maps"] if m["name"] == "x"]
    assert values == [["Infinity"], [-1.0], [0.5]]
    assert math.isinf(float(values[0][0]))
    special = dataclasses.replace(made("one"), loss=-math.inf)
    assert read(special)["report"]["loss"] == "-Infinity"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c.update(version=2),
        lambda c: c.update(more=1),
        lambda c: c["report"].pop("loss"),
        lambda c: c["report"].update(loss="nan"),
        lambda c: c["report"]["quantities"][0].update(role="weights"),
        lambda c: c["report"]["maps"][0]["values"][0].append(None),
        lambda c: c["compared"].append({}),
        lambda c: c["report"]["time"].append({"label": "l0"}),
    ],
    ids=["version", "extra", "missing", "number", "role", "entry", "compared", "time"],
)
def test_the_schema_refuses_what_is_wrong(spoil):
    content = read(made("checked"))
    spoil(content)
    assert not VALIDATOR.is_valid(content)


def test_the_same_report_gives_the_same_bytes():
    assert report.to_json(made("checked")) == report.to_json(made("checked"))
    assert report.to_html(made("checked")) == report.to_html(made("checked"))
