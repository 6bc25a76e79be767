"""The part of the record about time, against loops over the gradients and dense matrices."""

import dataclasses
import math
import re

import numpy as np
import pytest

import everygrad as eg
from everygrad import report
from everygrad.checks.tolerance import assert_close
from everygrad.diagnose import Finding, Unrolled, verdict
from everygrad.graph.time import cell
from everygrad.report import over_time, time_analyses
from everygrad.report.equations import equations
from everygrad.report.over_time import layer_in_time, means, root_mean_squares
from everygrad.report.time_tables import compared_rows, left, names_of, power
from tests.report.cases import Page, made, recurrent
from tests.report.test_html import HOSTILE


@pytest.fixture(scope="module")
def elman():
    net, params, data = recurrent("elman")
    g = eg.gradients(net, params, *data)
    return g, report.build(net, g)


@pytest.fixture(scope="module")
def lstm():
    net, params, data = recurrent("lstm")
    g = eg.gradients(net, params, *data)
    return g, report.build(net, g)


def rms(numbers) -> float:
    numbers = [float(v) for v in np.ravel(numbers)]
    return math.sqrt(math.fsum(v * v for v in numbers) / len(numbers))


def test_each_step_holds_the_gradients(elman):
    g, r = elman
    (layer,) = r.time
    assert (layer.label, layer.states, layer.steps, layer.sequences, layer.every) == ("l0", ("h",), 12, 6, 1)
    assert layer.at == tuple(range(12))
    for t in range(12):
        assert_close(layer.total[t], np.array(rms(g["h"][:, t])))
        assert_close(layer.direct[t], np.array(rms(g.direct["h"][:, t])))
    series = {s.name: s for s in layer.series}
    assert [(s.name, s.kind) for s in layer.series] == [("x", "input"), ("a", "other"), ("h", "state")]
    for name in ("x", "a", "h"):
        for t in range(12):
            assert_close(series[name].total[t], np.array(rms(g[name][:, t])))
            assert_close(series[name].mean[t], np.array(float(np.mean(g.trace[name][:, t]))))
    assert not layer.direct[:11].any()
    assert r.verdict == verdict(g)
    assert layer.cell == ("a = U x + b + W h_prev", "h = tanh(a)")
    assert r.formulas[:2] == layer.cell


def test_padding_does_not_count(lstm):
    g, r = lstm
    (layer,) = r.time
    lengths = g.trace["lengths"]
    series = {s.name: s for s in layer.series}
    for t in range(9):
        there = lengths > t
        assert_close(series["f"].mean[t], np.array(float(g.trace["f"][there, t].mean())))
        assert_close(series["c"].total[t], np.array(rms(g["c"][there, t])))
        both = np.concatenate([g["h"][there, t], g["c"][there, t]], axis=1)
        assert_close(layer.total[t], np.array(rms(both)))
    gates = [s.name for s in layer.series if s.kind == "gate"]
    assert sorted(gates) == ["f", "i", "o"]
    assert {s.name for s in layer.series if s.kind == "activation"} == {"g", "tanh(c)"}
    z, y = g.trace["out"], g.trace["y"]
    hits = [z[b, t].argmax() == y[b, t] for b in range(6) for t in range(lengths[b])]
    assert r.accuracy == sum(hits) / len(hits)


def test_the_map_of_a_state_has_each_unit_at_each_step(lstm):
    g, r = lstm
    found = {m.name: m for m in r.time[0].maps}
    lengths = g.trace["lengths"]
    for name in ("h", "c"):
        m = found[name]
        assert (m.units, m.rows) == (5, tuple(range(5)))
        for t in range(9):
            for j in range(5):
                assert_close(m.values[j, t], np.array(rms(g[name][lengths > t, t, j])))
        assert m.largest == m.values.max()


def test_the_state_jacobians_against_dense_matrices(elman):
    g, r = elman
    spectrum = r.time[0].spectrum
    W, h, T = g.trace["W"], g.trace["h"], 12
    J = [[np.diag(1 - h[b, t] ** 2) @ W for t in range(T)] for b in range(4)]
    assert (spectrum.sequences, spectrum.at) == (4, tuple(range(T)))
    for t in range(T):
        sigma = [np.linalg.svd(J[b][t], compute_uv=False) for b in range(4)]
        assert_close(spectrum.largest[t], np.array(np.median([s[0] for s in sigma])), 1e-12)
        assert_close(spectrum.smallest[t], np.array(np.median([s[-1] for s in sigma])), 1e-10)
        radius = np.median([max(abs(np.linalg.eigvals(J[b][t]))) for b in range(4)])
        assert_close(spectrum.radius[t], np.array(radius), 1e-12)
    assert spectrum.back == tuple(range(T - 1, -2, -1))
    product = [np.eye(6) for _ in range(4)]
    for i, k in enumerate(spectrum.back):
        sizes = [np.log10(np.linalg.norm(p, 2)) for p in product]
        assert abs(spectrum.log_norm[i] - np.median(sizes)) < 1e-10
        product = [p @ J[b][k] for b, p in enumerate(product)]
    assert (spectrum.log_norm <= spectrum.log_bound + 1e-12).all()
    assert abs(r.time[0].radius["W"] - max(abs(np.linalg.eigvals(W)))) < 1e-12


def test_the_horizon_is_where_the_gradient_has_fallen_to_one_hundredth():
    net = eg.Recurrent(eg.Elman(1, 6), outputs=3)
    params = net.init(0)
    params["W"] = 0.5 * params["W"]  # orthogonal: 0.5 per step, a little less by the slopes
    rng = np.random.default_rng(0)
    x, y = 1e-3 * rng.normal(size=(5, 20, 1)), rng.integers(0, 3, 5)
    (layer,) = report.build(net, eg.gradients(net, params, x, y)).time
    assert abs(layer.horizon - math.log(0.01) / math.log(0.5)) < 1e-3
    assert abs(left(layer) / 0.5**19 - 1) < 1e-3
    params["W"] = 2 * params["W"]
    (layer,) = report.build(net, eg.gradients(net, params, x, y)).time
    assert math.isinf(layer.horizon)


def test_credit_of_one_loss_adds_up_to_the_gradient():
    """The terms of W by loops: ∂L/∂h_T · ∂h_T/∂h_k · ∂⁺h_k/∂W, for a batch of one sequence."""
    net, params, (x, y) = recurrent("elman", samples=1)
    g = eg.gradients(net, params, x, y)
    (table,) = report.build(net, g).time[0].credit
    assert (table.weight, table.every, table.rows, table.columns) == ("W", 1, (11,), tuple(range(12)))
    h, W = g.trace["h"][0], params["W"]
    arriving, terms = g["h"][0, 11], []
    for k in range(11, -1, -1):
        a = arriving * (1 - h[k] ** 2)
        terms.append(np.outer(a, h[k - 1] if k else np.zeros(6)))
        arriving = a @ W
    assert_close(table.values[0], np.array([np.linalg.norm(term) for term in reversed(terms)]), 1e-12)
    assert_close(sum(terms), g["W"], 1e-12)
    assert table.largest == table.values.max()


def test_credit_with_a_loss_at_each_step_is_a_triangle(lstm):
    _, r = lstm
    tables = {c.weight: c for c in r.time[0].credit}
    assert list(tables) == ["W_i", "W_f", "W_g", "W_o"]
    values = tables["W_f"].values
    assert values.shape == (9, 9)
    assert not np.triu(values, 1).any()
    assert not values[:, 0].any()  # the state before the first step is zero
    assert (np.tril(values[1:, 1:]) > 0).sum() == 36


def test_the_state_jacobians_of_ragged_sequences_are_those_of_the_longest(lstm):
    g, r = lstm
    lengths, T = g.trace["lengths"], 9
    spectrum = r.time[0].spectrum
    longest = [b for b in range(6) if lengths[b] == lengths.max()][:4]
    assert (spectrum.sequences, spectrum.at) == (len(longest), tuple(range(lengths.max())))
    assert spectrum.back == tuple(range(lengths.max() - 1, -2, -1))
    run = g.trace.runs["l0"]
    for t in range(lengths.max()):
        J = np.block([[run.jacobian(of, wrt).dense()[t] for wrt in ("h_prev", "c_prev")] for of in ("h", "c")])
        sigma = [np.linalg.svd(J[b], compute_uv=False)[0] for b in longest]
        assert_close(spectrum.largest[t], np.array(np.median(sigma)), 1e-12)
    assert r.time[0].present == tuple(int((lengths > t).sum()) for t in range(T))


def test_a_reverse_layer_is_shown_in_the_order_of_time():
    net, params, data = recurrent("both")
    g = eg.gradients(net, params, *data)
    layers = {layer.label: layer for layer in report.build(net, g).time}
    assert list(layers) == ["l0", "l0_reverse", "l1", "l1_reverse"]
    found = layers["l1_reverse"]
    assert (found.reverse, found.states) == (True, ("h_l1_reverse",))
    for t in range(7):
        assert_close(found.total[t], np.array(rms(g["h_l1_reverse"][:, t])))
    assert found.spectrum.at == tuple(range(6, -1, -1))
    assert found.spectrum.back[0] == 0  # where it ends
    assert found.spectrum.back[-1] == 7  # before it begins
    (table,) = [c for c in found.credit if c.weight == "W_n_l1_reverse"]
    assert table.columns == tuple(range(7))
    assert not np.tril(table.values, -1).any()  # a later step in time comes first: k >= t
    assert "z_l1_reverse = sigmoid(a_z_l1_reverse)" in found.cell


def test_long_sequences_are_shown_in_ranges():
    net, params, data = recurrent("long")
    g = eg.gradients(net, params, *data)
    r = report.build(net, g)
    (layer,) = r.time
    assert (layer.every, len(layer.at), layer.at[:2], layer.at[-1]) == (3, 200, (0, 3), 597)
    for i in (0, 100, 199):
        each = [rms(g["h"][:, t]) for t in range(3 * i, 3 * i + 3)]
        assert_close(layer.total[i], np.array(math.sqrt(sum(v * v for v in each) / 3)))
    (table,) = layer.credit
    assert table.every == 5
    assert table.values.shape == (120, 120)
    page = report.to_html(r)
    assert len(page) < 400_000
    assert "in ranges of 5 steps" in page


def test_the_credit_of_the_last_steps_is_that_of_the_whole(monkeypatch):
    net, params, data = recurrent("elman")
    g = eg.gradients(net, params, *data)
    whole = report.build(net, g).time[0].credit[0]
    monkeypatch.setattr(time_analyses, "WINDOW", 9)
    part = report.build(net, g).time[0].credit[0]
    assert (part.rows, part.columns) == ((11,), tuple(range(3, 12)))
    assert_close(part.values, whole.values[:, 3:], 1e-12)


def test_work_is_cut_to_the_last_steps(monkeypatch):
    net, params, data = recurrent("long")
    g = eg.gradients(net, params, *data)
    whole = report.build(net, g).time[0]
    monkeypatch.setattr(time_analyses, "MOST_WORK", 2e4)
    part = report.build(net, g).time[0]
    count = len(part.spectrum.back)
    assert (part.spectrum.sequences, count) == (1, 1 + int(2e4 / (4 * 3**3)))
    assert part.spectrum.back == tuple(range(599, 599 - count, -1))
    steps = len(part.credit[0].columns)
    assert 8 <= steps <= math.sqrt(2e4 / (6 * 3**2 * 2))  # rows, columns, sequences, d², one weight and the states
    assert part.credit[0].columns[-1] == 599
    assert len(whole.credit[0].columns) == 120


def test_too_much_work_is_left_out(monkeypatch):
    monkeypatch.setattr(time_analyses, "MOST_WORK", 10.0)
    net, params, data = recurrent("elman")
    r = report.build(net, eg.gradients(net, params, *data))
    assert (r.time[0].spectrum, r.time[0].credit) == (None, ())
    assert Page(report.to_html(r)).all("svg")


def test_ranges_of_numbers():
    x = np.array([3.0, 4.0, np.nan, 1.0, 2.0, np.nan, np.nan, np.nan, 5e-200])
    with np.errstate(invalid="ignore"):
        assert_close(means(x, 2)[:2], np.array([3.5, 1.0]))
        assert_close(root_mean_squares(x, 3)[:2], np.array([math.sqrt(12.5), math.sqrt(2.5)]))
        assert_close(root_mean_squares(x, 3)[2], np.array(5e-200))
        assert np.isnan(means(x, 1)[2])
        assert means(x, 4)[2] == 5e-200


def test_numbers_that_are_not_finite_leave_the_rest_standing():
    net, params, (x, y) = recurrent("elman")
    x = x.copy()
    x[2, 4] = np.inf
    g = eg.gradients(net, params, x, y, check_finite=False)
    r = report.build(net, g)
    assert r.verdict.culprit == "x at step 4"
    assert (r.time[0].horizon, r.time[0].spectrum, r.time[0].credit) == (None, None, ())
    for text in (report.to_html(r), report.to_text(r)):
        assert "NaN" in text


def test_arrays_alone_make_a_layer():
    rng = np.random.default_rng(0)
    h = rng.normal(size=(3, 5, 4))
    found = layer_in_time(Unrolled("lstm", ("h",), {"h": h}, {"h": h}, {"h": h}, suffix="_l0"))
    assert (found.cell, found.horizon, found.spectrum, found.credit) == ((), None, None, ())
    r = dataclasses.replace(made("linear"), time=(found,), loss=None, picture=None, formulas=())
    page = report.to_html(r)
    assert "∇h_l0" in page
    assert "Network</h2>" not in page
    report.to_text(r)


@pytest.mark.parametrize(
    ("step", "lines"),
    [
        (
            lambda x, s, p: (p.u * x + s.h) / (s.h - x),
            ("h = (u*x + h_prev)/(h_prev - x)",),
        ),
        (lambda x, s, p: eg.ops.tanh(x - (s.h - p.W @ (x + s.h))), ("h = tanh(x - (h_prev - W (x + h_prev)))",)),
        (lambda x, s, p: x / (s.h * p.u) + (s.h + 1) ** 2, ("h = x/(h_prev*u) + (h_prev + 1)**2",)),
        (lambda x, s, p: eg.ops.relu(x + s.h) * s.h * x, ("h = max(x + h_prev, 0)*h_prev*x",)),
        (lambda x, s, p: (p.W @ (x * s.h)) * s.h, ("h = (W (x*h_prev))*h_prev",)),
        (lambda x, s, p: 0.9 * s.h + 0.1 * eg.ops.tanh(p.W @ s.h), ("h = 0.9*h_prev + 0.1*tanh(W h_prev)",)),
    ],
)
def test_equations_mean_what_is_computed(step, lines):
    assert equations(cell(step)) == lines
    suffixed = equations(cell(step), "_l1")
    assert suffixed[0].startswith("h_l1 = ")
    assert "h_prev_l1" in suffixed[0]


def spoiled(word: str) -> report.Report:
    """A report on a recurrent network in which every name is the word."""

    def renamed(layer):
        series = tuple(dataclasses.replace(s, name=word + s.name) for s in layer.series)
        maps = tuple(dataclasses.replace(m, name=word + m.name) for m in layer.maps)
        credit = tuple(dataclasses.replace(c, weight=word + c.weight) for c in layer.credit)
        spread = tuple(dataclasses.replace(d, name=word + d.name) for d in layer.distributions)
        tensor = dataclasses.replace(layer.tensor, state=word, weight=word, before=word + "a", multiplied=word)
        layer = dataclasses.replace(layer, distributions=spread, tensor=tensor)
        names = {"label": word, "states": (word, word + "2"), "cell": (word,), "radius": {word: 1.0}}
        return dataclasses.replace(layer, series=series, maps=maps, credit=credit, **names)

    r = made("lstm")
    finding = dataclasses.replace(verdict_of(word), layer=word)
    told = dataclasses.replace(r.verdict, level="error", headline=word, findings=(finding,))
    weights = tuple(dataclasses.replace(w, name=word + w.name) for w in r.weights)
    return dataclasses.replace(r, time=tuple(map(renamed, r.time)), network=word, verdict=told, weights=weights)


def verdict_of(word: str) -> Finding:
    return Finding("vanishing", "error", word, word, 0.1, 0.2, word, step=3)


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_names_stay_text(word: str):
    for several in (False, True):
        pages = [Page(report.to_html(*[spoiled(w)] * (1 + several))) for w in ("harmless", word)]
        assert [name for name, _ in pages[0].elements] == [name for name, _ in pages[1].elements]
        assert [set(a) for _, a in pages[0].elements] == [set(a) for _, a in pages[1].elements]
    text = report.to_text(spoiled(word))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)


# --------------------------------------------------------------------------- several networks


def test_several_networks_stand_side_by_side():
    shown = [made("checked"), made("elman"), made("lstm"), made("elman")]
    assert names_of(shown) == ["FeedForward 4-6-3", "Elman 1-6 (1)", "LSTM 2-5", "Elman 1-6 (2)"]
    text, page = report.to_text(*shown), report.to_html(*shown)
    rows = {row[0]: row[1:] for row in compared_rows(shown)}
    assert rows["Parameters"] == tuple(f"{r.parameters:,}" for r in shown)
    assert rows["Steps"] == ("–", "12", "9", "12")
    assert rows["Verdict"] == tuple(r.verdict.level for r in shown)
    assert rows["Gradients checked"][:2] == (f"{len(shown[0].quantities) - 1:,} right", "–")
    parsed = Page(page)
    assert parsed.all("title")[0][1] == parsed.all("h1")[0][1] == "Gradients of 4 networks on iris <of> sorts"
    headings = [text for _, text in parsed.all("h2")]
    assert headings == ["Side by side", "Over time", *names_of(shown)]
    dies = [t for _, t in parsed.all("figure") if "of it is left" in t]
    assert len(dies) == 3
    for r in shown:
        assert r.verdict.headline.removeprefix("Healthy: ")[1:] in page
        assert r.verdict.headline.removeprefix("Healthy: ")[1:] in text


def test_the_axes_of_side_by_side_plots_are_the_same():
    ill, well = made("elman"), made("lstm")
    tiny = dataclasses.replace(ill.time[0], total=ill.time[0].total * 10.0 ** np.arange(-33, 3, 3))
    page = Page(report.to_html(dataclasses.replace(ill, time=(tiny,)), well))
    plots = [i for i, (name, a) in enumerate(page.elements) if name == "svg" and "dies" in (a["aria-labelledby"] or "")]
    ticks = []
    for start in plots:
        end = next(i for i, (name, _) in enumerate(page.elements) if i > start and name == "figure")
        inside = [(a, page.texts.get(i, "")) for i, (name, a) in enumerate(page.elements[:end]) if i > start]
        ticks.append([(t, a["y"]) for a, t in inside if a.get("class") == "tick end"])
    assert len(ticks) == 2
    assert ticks[0] == ticks[1]
    assert float(ticks[0][0][0]) < 1e-30


def test_the_first_step_and_powers_in_words():
    assert power(-2.0) == "0.01"
    assert power(-4000.25) == "10^-4000.2"
    assert power(-math.inf) == "0"
    layer = made("elman").time[0]
    assert left(layer) == layer.total[0] / layer.direct.max()
    reverse = dataclasses.replace(layer, reverse=True)
    assert left(reverse) == layer.total[-1] / layer.direct.max()
    assert left(dataclasses.replace(layer, direct=np.zeros(12))) is None


def test_what_is_shown_is_bounded():
    net = eg.Recurrent(eg.Elman(2, 70), outputs=2, layers=12)
    rng = np.random.default_rng(0)
    g = eg.gradients(net, net.init(0), rng.normal(size=(2, 3, 2)), np.array([0, 1]))
    r = report.build(net, g)
    assert (r.time[0].maps[0].units, len(r.time[0].maps[0].rows)) == (70, over_time.MOST_UNITS)
    page = report.to_html(r)
    assert "4 more recurrent layers are in the JSON form" in page
    assert "48 of 70 units" in page
