"""The tables behind the pictures about time, row by row against the gradients, and the mark of the horizon."""

import dataclasses
import math

import numpy as np
import pytest

import everygrad as eg
from everygrad import report
from everygrad.report.time_tables import (
    credit_tables_of,
    jacobian_rows,
    map_rows,
    product_rows,
    quantity_rows,
    time_rows,
)
from tests.report.cases import Page, made, recurrent


@pytest.fixture(scope="module")
def lstm():
    net, params, data = recurrent("lstm")
    g = eg.gradients(net, params, *data)
    return g, report.build(net, g)


def test_the_curves_step_by_step(lstm):
    g, r = lstm
    rows = quantity_rows(r.time[0])
    head, body = rows[0], {int(row[0]): row[1:] for row in rows[1:]}
    assert head[0] == "step"
    assert sorted(head[1:4]) == ["mean f", "mean i", "mean o"]
    assert list(body) == list(range(9))
    lengths = g.trace["lengths"]
    for t in range(9):
        there = lengths > t
        cells = dict(zip(head[1:], body[t], strict=True))
        assert cells["mean f"] == f"{float(g.trace['f'][there, t].mean()):.3g}"
        assert cells["slope of g"] == f"{float((1 - g.trace['g'][there, t] ** 2).mean()):.3g}"
        assert cells["∇c"] == f"{math.sqrt(float((g['c'][there, t] ** 2).mean())):.3g}"


def test_the_map_of_a_state_in_a_few_units(lstm):
    _, r = lstm
    (layer,) = r.time
    for m in layer.maps:
        rows = map_rows(layer, m)
        assert rows[0] == ("unit", "step 0", "step 8", "largest", "at step")
        for row, values in zip(rows[1:], m.values, strict=True):
            peak = max(range(9), key=lambda t: values[t])
            assert row[1:] == (*(f"{values[t]:.3g}" for t in (0, 8, peak)), str(peak))
    long = made("values").time[0]
    assert len(long.maps[0].rows) == 48
    assert [row[0] for row in map_rows(long, long.maps[0])[1:]] == [
        f"h[{long.maps[0].rows[47 * j // 8]}]" for j in range(9)
    ]


def test_jacobians_and_their_products(lstm):
    _, r = lstm
    found = r.time[0].spectrum
    rows = jacobian_rows(found)
    arrays = (found.largest, found.middle, found.smallest, found.radius)
    assert rows[1][1:] == tuple(f"{float(v[0]):.3g}" for v in arrays)
    assert len(rows) == 1 + min(9, len(found.at))
    rows = product_rows(found)
    assert rows[1] == ("8", "1", "1")  # nothing lies between the last state and itself
    assert rows[-1] == ("-1", f"{10 ** float(found.log_norm[-1]):.3g}", f"{10 ** float(found.log_bound[-1]):.3g}")


def test_credit_of_one_loss_stands_in_one_table_that_of_many_in_one_each(lstm):
    (one,) = credit_tables_of(made("elman").time[0])
    (credit,) = made("elman").time[0].credit
    assert one[0] == ("acting at", "∇W")
    assert one[-1] == ("11", f"{float(credit.values[0, 11]):.3g}")
    assert len(credit_tables_of(lstm[1].time[0])) == 4
    last = made("values").time[0]
    (several,) = credit_tables_of(last)
    assert several[0][1:] == tuple(f"∇{c.weight}" for c in last.credit)
    assert len(several[0]) == 4
    ranges = dataclasses.replace(last, credit=tuple(dataclasses.replace(c, every=5) for c in last.credit))
    assert credit_tables_of(ranges)[0][0][0] == "acting at (ranges of 5 steps)"


def test_the_mean_of_a_quantity_is_not_finite_if_a_number_is_not():
    (layer,) = made("elman").time
    series = layer.series[0]
    broken = dataclasses.replace(series, mean=np.where(np.arange(12) == 4, np.nan, series.mean))
    rows = time_rows(dataclasses.replace(layer, series=(broken,)))
    assert rows[1][3] == "NaN"
    absent = dataclasses.replace(layer, series=(broken,), present=tuple(int(t != 4) for t in range(12)))
    assert time_rows(absent)[1][3] == f"{float(np.delete(series.mean, 4).mean()):.3g}"


def test_all_tables_are_on_the_page(lstm):
    _, r = lstm
    captions = [t for _, t in Page(report.to_html(r)).all("caption")]
    for caption in (
        "Quantities over time",
        "The curves at some of the steps",
        "Root mean square of ∇c by unit",
        "State Jacobians step by step",
        "State Jacobians multiplied",
    ):
        assert captions.count(caption) == 1
    assert captions.count("Norms of the terms of the weights' gradients") == 4


def test_the_horizon_is_marked_where_the_gradient_has_fallen_to_one_percent():
    net = eg.Recurrent(eg.Elman(1, 6), outputs=3)
    params = net.init(0)
    params["W"] = 0.5 * params["W"]
    rng = np.random.default_rng(0)
    x, y = 1e-3 * rng.normal(size=(5, 20, 1)), rng.integers(0, 3, 5)
    r = report.build(net, eg.gradients(net, params, x, y))
    (layer,) = r.time
    steps = math.log(0.01) / math.log(0.5)
    drawn = Page(report.to_html(r))
    texts = {t: a for a, t in drawn.all("text")}
    at = float(texts["1 % of the last loss"]["x"])
    first, last = 58.0, 480.0 - 96.0  # where steps 0 and 19 are
    assert abs(at - (first + (last - first) * (19 - steps) / 19)) < 0.2
    assert f"has fallen to 1 % after {layer.horizon:.3g} steps, the horizon" in " ".join(drawn.texts.values())
    far = dataclasses.replace(layer, horizon=math.inf)
    page = report.to_html(dataclasses.replace(r, time=(far,)))
    assert "1 % of the last loss" not in page
    assert "what the last loss says has not fallen to 1 % there" in page
    ragged = dataclasses.replace(layer, present=(5,) * 19 + (4,))
    assert "1 % of the last loss" not in report.to_html(dataclasses.replace(r, time=(ragged,)))
    turned = dataclasses.replace(layer, reverse=True, direct=layer.direct[::-1], total=layer.total[::-1])
    texts = {t: a for a, t in Page(report.to_html(dataclasses.replace(r, time=(turned,)))).all("text")}
    assert abs(float(texts["1 % of the last loss"]["x"]) - (first + (last - first) * steps / 19)) < 0.2
