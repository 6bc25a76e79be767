"""The numbers of the record, against loops over the gradients."""

import math

import numpy as np
import pytest
import torch

import everygrad as eg
from everygrad import report
from everygrad.backprop import contributions
from everygrad.checks import check
from everygrad.checks.tolerance import assert_close
from everygrad.diagnose import units, verdict
from everygrad.errors import InputError
from everygrad.report.record import Report
from tests.report.cases import DATA, history, made, skip_graph


@pytest.fixture(scope="module")
def network():
    net = eg.FeedForward([40, 60, 3], activation="relu")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(130, 40)), rng.integers(0, 3, 130)
    g = eg.gradients(net, net.init(0), x, y)
    return net, g, report.build(net, g)


def test_what_was_run(network):
    net, g, r = network
    assert r.network == str(net)
    assert (r.parameters, r.samples, r.dtype, r.library) == (40 * 60 + 60 + 60 * 3 + 3, 130, "float64", "numpy")
    assert r.loss == float(g.loss)
    hits = sum(max(range(3), key=lambda k: g.trace["a2"][n, k]) == g.trace["y"][n] for n in range(130))
    assert r.accuracy == hits / 130
    assert r.r_squared is None
    assert r.verdict == verdict(g)
    assert [str(layer) for layer in r.layers] == [str(layer) for layer in units(g)]
    assert r.formulas == (
        "a1 = W1 h0 + b1",
        "h1 = max(a1, 0)",
        "a2 = W2 h1 + b2",
        "loss = softmax_cross_entropy(a2, y)",
    )


def test_quantities_are_those_of_the_gradients(network):
    _, g, r = network
    assert [(q.name, q.role, q.shape, q.norm) for q in r.quantities] == g.rows()
    assert {(q.error, q.tolerance, q.ok) for q in r.quantities} == {(None, None, None)}
    assert r.check is None
    assert r.level == "ok"


@pytest.mark.parametrize("name", ["h0", "a1", "h1", "a2"])
def test_heat_maps_hold_the_gradients_of_the_units_and_samples_they_name(network, name):
    _, g, r = network
    (found,) = [m for m in r.maps if m.name == name]
    gradient, labels = g[name], g.trace["y"]
    assert (found.units, found.samples, found.order) == (gradient.shape[1], 130, "class")
    assert found.values.shape == (min(gradient.shape[1], 48), 96) == (len(found.rows), len(found.columns))
    assert len(set(found.columns)) == 96
    assert [labels[c] for c in found.columns] == sorted(labels[c] for c in found.columns)
    largest = max(abs(float(v)) for v in gradient.ravel())
    assert found.largest == largest
    for i, row in enumerate(found.rows):
        for j, column in enumerate(found.columns):
            assert found.values[i, j] == gradient[column, row]
        magnitudes = [abs(float(v)) for v in gradient[:, row]]
        assert_close(found.mean[i], np.array(math.fsum(magnitudes) / 130))
        assert found.peak[i] == max(magnitudes) == magnitudes[found.peak_at[i]]


def test_the_picture_shows_the_units_with_most_gradient_and_the_weights_that_carry_most(network):
    _, g, r = network
    columns = {c.name: c for c in r.picture.columns}
    assert (r.picture.kind, r.picture.total, list(columns)) == ("units", 3, ["h0", "h1", "a2"])
    for name, column in columns.items():
        count = g[name].shape[1]
        magnitude = [float(np.mean([abs(v) for v in g[name][:, j]])) for j in range(count)]
        best = sorted(range(count), key=lambda j: -magnitude[j])[:32]
        assert (column.units, column.shown) == (count, tuple(sorted(best)))
        assert_close(column.mean, np.array([g[name][:, j].mean() for j in column.shown]))
        assert_close(column.magnitude, np.array([magnitude[j] for j in column.shown]))
    for edges, W, a in zip(r.picture.edges, ("W1", "W2"), ("a1", "a2"), strict=True):
        left, right = columns[edges.left].shown, columns[edges.right].shown
        weight, gradient = g.trace[W], g[a]
        carried = {
            (j, m): float(np.mean([abs(weight[m, j] * gradient[n, m]) for n in range(130)]))
            for j in left
            for m in right
        }
        best = sorted(carried, key=lambda edge: -carried[edge])[:140]
        assert (edges.weight, edges.total, {(j, m) for j, m, _ in edges.shown}) == (W, weight.size, set(best))
        assert_close(np.array([s for _, _, s in edges.shown]), np.array([carried[j, m] for j, m, _ in edges.shown]))


def test_arrows_are_the_terms_that_add_up():
    graph, rng = skip_graph(), np.random.default_rng(0)
    params = {"W1": rng.normal(size=(4, 4)), "W2": rng.normal(size=(4, 4)), "W3": rng.normal(size=(3, 4))}
    g = eg.gradients(graph, params, rng.normal(size=(9, 4)), rng.integers(0, 3, 9))
    shown = report.build(graph, g).picture
    assert shown.kind == "boxes"
    assert {b.name for b in shown.boxes} == set(g.trace.arrays) - set(params)
    for name in ("x", "h1", "h2"):
        terms = contributions(g, name)
        arrows = {a.target: a.norm for a in shown.arrows if a.source == name}
        assert set(arrows) == set(terms)
        for user, norm in arrows.items():
            assert_close(np.array(norm), np.array(math.sqrt(sum(float(v) ** 2 for v in terms[user].ravel()))))
    level = {b.name: b.level for b in shown.boxes}
    for arrow in shown.arrows:
        assert level[arrow.source] < level[arrow.target]
    assert next(a.norm for a in shown.arrows if a.source == "y") is None  # labels have no gradient


def test_a_chain_is_found_where_there_is_one():
    def chain(x, y, *, W1, b1, W2):
        return eg.ops.squared_error(W2 @ eg.ops.tanh(W1 @ x + b1), y)

    def tied(x, y, *, W1):
        return eg.ops.squared_error(W1 @ eg.ops.tanh(W1 @ x), y)

    def autoencoder(x, *, W1, W2):
        return eg.ops.squared_error(W2 @ eg.ops.tanh(W1 @ x), x)

    rng = np.random.default_rng(0)
    W, b, x = rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=(5, 3))
    for function, params, data, kind in (
        (chain, {"W1": W, "b1": b, "W2": W}, (x, x), "units"),
        (tied, {"W1": W}, (x, x), "units"),
        (autoencoder, {"W1": W, "W2": W}, (x,), "boxes"),
    ):
        graph = eg.graph(function)
        assert report.build(graph, eg.gradients(graph, params, *data)).picture.kind == kind


def test_a_formula_of_parameters_alone_has_a_picture():
    def f(*, u, v):
        return eg.ops.sum(u * v)

    graph = eg.graph(f)
    r = report.build(graph, eg.gradients(graph, {"u": np.ones(3), "v": np.arange(3.0)}))
    assert {b.name for b in r.picture.boxes} == {"u", "v", "multiply_1", "loss"}
    assert report.to_html(r)


def test_long_networks_are_cut_and_say_so():
    def f(x):
        h = x
        for _ in range(600):
            h = eg.ops.tanh(h)
        return eg.ops.reduce(eg.ops.sum(h + x))

    graph = eg.graph(f)
    r = report.build(graph, eg.gradients(graph, {}, np.full((2, 3), 0.1)))
    assert (len(r.picture.boxes), r.picture.total) == (40, 604)
    assert (len(r.maps), r.maps_total) == (16, 601)
    page = report.to_html(r)
    assert "howing 40 of 604 quantities" in page
    assert "16 of 601 quantities are shown" in page
    assert "240 of 604 rows" in page
    assert len(page) < 400_000


def test_a_check_enters_row_by_row():
    net = eg.FeedForward([3, 4, 2])
    params, rng = net.init(0), np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)), rng.integers(0, 2, 6)
    g = eg.gradients(net, params, x, y)
    right = check(net, params, x, y)
    r = report.build(net, g, check=right)
    rows = {row.name: row for row in right.rows}
    for q in r.quantities:
        if q.name in rows:
            row = rows[q.name]
            assert (q.error, q.tolerance, q.ok, q.how) == (row.error, row.tolerance, True, row.how)
    assert (r.check.ok, r.check.largest_error) == (True, max(row.error for row in right.rows))
    wrong = check(net, params, x, y, gradients={**g, "W2": -g["W2"]})
    r = report.build(net, g, check=wrong)
    assert (r.level, r.check.ok, r.check.culprit) == ("error", False, "W2")
    assert r.check.fault == wrong.row("W2").fault
    for text in (report.to_text(r), report.to_html(r)):
        assert "A gradient is wrong at W2" in text


def test_accuracy_and_determination():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(20, 2)), rng.normal(size=(20, 1))
    net = eg.FeedForward([2, 1], loss="squared_error")
    params = net.init(0)
    r = report.build(net, eg.gradients(net, params, x, t))
    z = x @ params["W1"].T + params["b1"]
    residual, mean = sum((z[n, 0] - t[n, 0]) ** 2 for n in range(20)), sum(t[n, 0] for n in range(20)) / 20
    assert_close(np.array(r.r_squared), np.array(1 - residual / sum((t[n, 0] - mean) ** 2 for n in range(20))))
    assert r.accuracy is None
    net = eg.FeedForward([2, 1], loss="binary_cross_entropy")
    binary = (t[:, 0] > 0).astype(float)
    r = report.build(net, eg.gradients(net, params, x, binary))
    assert r.accuracy == sum((z[n, 0] > 0) == (binary[n] == 1) for n in range(20)) / 20
    net = eg.FeedForward([2, 2])
    params = net.init(0)
    shares = np.stack([binary, 1 - binary], 1)
    r = report.build(net, eg.gradients(net, params, x, shares))
    z = x @ params["W1"].T + params["b1"]
    assert r.accuracy == sum((z[n, 0] >= z[n, 1]) == (binary[n] == 1) for n in range(20)) / 20


def test_history_and_data_are_taken_over():
    r = made("checked")
    rows = history(6)
    assert [(e.epoch, e.loss, e.validation_accuracy) for e in r.history] == [
        (row["epoch"], row["loss"], row["validation_accuracy"]) for row in rows
    ]
    assert dict(r.history[2].gradient_norms) == rows[2]["gradient_norms"]
    assert r.best_epoch.epoch == 5
    assert (r.data.name, r.data.rows, r.data.classes) == (DATA["name"], 60, ("x", "y", "z"))


def test_bad_history_and_data_are_refused():
    with pytest.raises(InputError, match="history row 1 has no 'loss'"):
        made("linear", history=[{"epoch": 1, "loss": 2.0}, {"epoch": 2}])
    with pytest.raises(InputError, match=r"data\['classes'\] must be a sequence of names, got int"):
        made("linear", data={"classes": 3})


def test_torch_gives_the_same_record():
    net = eg.FeedForward([3, 4, 2])
    params, rng = net.init(0), np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)), rng.integers(0, 2, 6)
    ours = report.build(net, eg.gradients(net, params, x, y))
    g = eg.gradients(net, {k: torch.tensor(v) for k, v in params.items()}, torch.tensor(x), torch.tensor(y))
    theirs = report.build(net, g)
    assert (theirs.library, theirs.dtype) == ("torch", "float64")
    for a, b in zip(ours.maps, theirs.maps, strict=True):
        assert_close(b.values, a.values, 1e-12, a.name)
    assert theirs.accuracy == ours.accuracy


def test_a_record_is_frozen():
    r = made("one")
    assert isinstance(r, Report)
    with pytest.raises(AttributeError):
        r.loss = 0.0
