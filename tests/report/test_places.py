"""Links from the verdict and from each finding: they lead to what shows it, on one page or on one of several."""

import dataclasses

import numpy as np
import pytest

import everygrad as eg
from everygrad import report
from everygrad.checks import check
from everygrad.diagnose import Finding
from everygrad.report.places import Place
from tests.report.cases import ALL, Page, made, recurrent


def batch(samples: int, inputs: int, outputs: int):
    rng = np.random.default_rng(0)
    return rng.normal(size=(samples, inputs)), rng.integers(0, outputs, samples)


def ill(kind: str) -> report.Report:
    """A report on a network with something wrong."""
    if kind == "vanishing":
        net = eg.FeedForward([6] + [8] * 19 + [3], activation="sigmoid")
        params, data = net.init(0), batch(20, 6, 3)
    elif kind == "dead":
        net = eg.FeedForward([6, 8, 8, 3], activation="relu")
        params, data = net.init(0), batch(20, 6, 3)
        params["b2"] = np.full(8, -100.0)
    elif kind == "saturated":
        net = eg.FeedForward([6, 8, 8, 3], activation="tanh")
        params, data = net.init(0), batch(20, 6, 3)
        params["W1"] = 100 * params["W1"]
    elif kind == "huge loss":
        net = eg.FeedForward([6, 8, 1], loss="squared_error")
        params, data = net.init(0), (batch(20, 6, 1)[0], np.full((20, 1), 1e5))
    elif kind == "zero gradient":
        net = eg.FeedForward([6, 8, 3])
        params, data = net.init(0), batch(20, 6, 3)
        params["W2"] = np.zeros((3, 8))
    else:
        net, params, data = recurrent("lstm" if kind == "stuck gate" else "elman")
        if kind == "stuck gate":
            params["b_f"] = np.full(5, -50.0)
        elif kind == "stuck state":
            params["W"] = 300 * params["W"]
            params["U"] = 300 * params["U"]
        elif kind == "forgotten":
            params["W"] = 0.1 * params["W"]
        elif kind == "not finite":
            x = data[0].copy()
            x[2, 4] = np.inf
            g = eg.gradients(net, params, x, data[1], check_finite=False)
            return report.build(net, g)
    return report.build(net, eg.gradients(net, params, *data))


SHOWN = {
    "vanishing": ("vanishing", "a1"),  # in the ladder of all layers
    "dead": ("dead", "h2 = relu(a2)"),
    "saturated": ("saturated", "h1 = tanh(a1)"),
    "huge loss": ("huge loss", "1e+10 = squared_error"),
    "zero gradient": ("zero gradient", "mean |∇|"),
    "stuck gate": ("saturated", "Stuck at 0 or 1: 5 of 5 units of f."),
    "stuck state": ("saturated", "6 saturated"),
    "forgotten": ("vanishing", "of it is left at step 0"),
    "not finite": ("not finite", "xinput1Infinity"),
}
"""What is wrong -> the kind of a finding, and what is to be read at the place that it leads to."""


@pytest.mark.parametrize("kind", SHOWN)
def test_each_finding_leads_to_what_shows_it(kind):
    r = ill(kind)
    wanted, shown = SHOWN[kind]
    places = [Place(r, 0, False)]
    (position, found) = next((i, f) for i, f in enumerate(r.verdict.findings) if f.kind == wanted)
    page = Page(report.to_html(r))
    by_id = {a["id"]: page.texts.get(i, "") for i, (_, a) in enumerate(page.elements) if "id" in a}
    target, words = places[0].finding(found)
    links = [(a["href"], t) for a, t in page.all("a") if a.get("class") == "see"]
    assert (f"#{target}", f"See {words}") in links
    assert len(links) == max(len(r.verdict.findings), 1) + (r.verdict.level == "ok" and bool(r.verdict.findings))
    at = target if len(by_id[target]) > 40 else None
    text = by_id[target] if at else section_of(page, target)
    assert shown in text
    several = Page(report.to_html(r, made("linear"), r))
    ids = {a["id"]: several.texts.get(i, "") for i, (_, a) in enumerate(several.elements) if "id" in a}
    for i in (0, 2):
        target, _ = Place(r, i, True).finding(found)
        assert shown in ids[target]
    assert position >= 0


def section_of(page: Page, heading: str) -> str:
    (text,) = [t for a, t in page.all("section") if a["aria-labelledby"] == heading]
    return text


@pytest.mark.parametrize("kind", ALL)
def test_the_verdict_has_a_link_for_all_kinds(kind):
    r = made(kind)
    page = Page(report.to_html(r))
    links = [a["href"][1:] for a, _ in page.all("a") if a.get("class") == "see"]
    assert len(links) >= 1 + len(r.verdict.findings) - (r.verdict.level != "ok")
    assert set(links) <= {a["id"] for _, a in page.elements if "id" in a}


def test_a_healthy_network_leads_to_its_flow_and_a_check_to_the_table():
    assert Place(made("digits"), 0, False).verdict() == ("flow", "the gradient from layer to layer")
    assert Place(made("digits"), 2, True).verdict()[0] == "n2-flow"
    assert Place(made("elman"), 1, True).verdict()[0] == "t1-0-dies"
    assert Place(made("both"), 1, True).verdict()[0] == "time"
    assert Place(made("linear"), 0, False).verdict()[0] == "gradients"
    net = eg.FeedForward([3, 4, 2])
    params, (x, y) = net.init(0), batch(6, 3, 2)
    g = eg.gradients(net, params, x, y)
    wrong = report.build(net, g, check=check(net, params, x, y, gradients={**g, "W2": -g["W2"]}))
    verdict = next(t for a, t in Page(report.to_html(wrong)).all("div") if a.get("role") == "group")
    read = [verdict.index(said) for said in ("A gradient is wrong at W2", "See all gradients", "See the gradient")]
    assert read == sorted(read)


def test_findings_about_what_is_not_drawn_lead_to_the_section():
    def about(where: str, kind: str = "dead", layer: str = "") -> Finding:
        return Finding(kind, "warning", where, "t", 0.0, 0.0, "a", layer)

    deep = made("deep")
    names = [layer.name for layer in deep.layers]
    assert len(names) > 16
    assert Place(deep, 0, False).finding(about(names[9]))[0] == "units"
    assert Place(deep, 0, False).finding(about(names[-1]))[0] == "unit-15"
    assert Place(deep, 3, True).finding(about(names[-1]))[0] == "n3-units-unit-15"
    assert Place(deep, 0, False).finding(about("W2", "not finite")) == ("weight-1", "the matrix W2")
    assert Place(deep, 0, False).finding(about("a1", "not finite"))[0] == "map-1"
    assert Place(deep, 0, False).finding(about("b1", "not finite"))[0] == "gradients"
    trained = made("checked")
    assert Place(trained, 0, False).finding(about("loss", "huge loss")) == ("training", "the training")
    elman = made("elman")
    many = dataclasses.replace(elman, time=tuple(dataclasses.replace(elman.time[0], label=f"l{i}") for i in range(12)))
    assert Place(many, 0, False).finding(about("h", "vanishing", "l11"))[0] == "t0-7-dies"
    assert Place(many, 0, False).finding(about("h", "vanishing", "l5"))[0] == "time"
    assert Place(elman, 0, False).finding(about("x", "dead", "l0"))[0] == "t0-0-numbers"
