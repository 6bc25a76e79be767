"""The strip of a layer's units: one cell for each, as dark as it is steep, a cross where it is dead."""

import numpy as np

import everygrad as eg
from everygrad import report
from everygrad.report.layers import slopes
from everygrad.report.words import listed
from tests.report.cases import Page


def layer(outputs: int = 6):
    net = eg.FeedForward([4, outputs, 3], activation="relu")
    params, rng = net.init(0), np.random.default_rng(0)
    params["b1"] = np.where(np.arange(outputs) == 2, -100.0, params["b1"])
    r = report.build(net, eg.gradients(net, params, rng.normal(size=(30, 4)), rng.integers(0, 3, 30)))
    return r, r.layers[0]


def test_each_unit_is_as_dark_as_its_slope_relative_to_the_steepest():
    _, found = layer()
    drawn = Page(slopes(found, "k"))
    cells = [(a, t) for a, t in drawn.all("rect") if a.get("class") == "cell"]
    for i, (cell, title) in enumerate(cells):
        assert abs(float(cell["fill-opacity"]) - found.slope[i] / max(found.slope)) <= 0.005
        assert title == f"h1[{i}]: mean slope {found.slope[i]:.3g}"
    (cross,) = [a["d"] for a, _ in drawn.all("path") if a.get("class") == "cross"]
    assert float(cross.split()[0][1:]) == float(cells[2][0]["x"]) + 3
    assert "6 units" in drawn.all("desc")[0][1]
    assert "1 dead" in drawn.all("desc")[0][1]


def test_the_numbers_stand_below():
    r, found = layer()
    said = "h1: " + ", ".join(f"{v:.3g}" for v in found.slope)
    assert any(t == said for _, t in Page(report.to_html(r)).all("p"))
    _, wide = layer(100)
    assert len([a for a, _ in Page(slopes(wide, "k")).all("rect")]) == 64


def test_many_numbers_are_cut_and_say_so():
    assert listed(range(5), 5) == "0, 1, 2, 3, 4"
    assert listed(range(1000), 4) == "0, 1, … , 998, 999 (1,000 numbers)"
    assert listed([0.123456, float("nan")]) == "0.123, NaN"
