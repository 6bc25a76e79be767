"""Histograms against loops over the numbers; their picture against the counts."""

import bisect
import math
import re

import numpy as np
import pytest

import everygrad as eg
from everygrad import report
from everygrad.checks.tolerance import assert_close
from everygrad.report import distributions as module
from everygrad.report.distributions import linear_edges, spread, symmetric_edges
from everygrad.report.picture_sections import distribution_rows
from everygrad.report.ridges import GRADIENTS, TALLEST, VALUES, ridges
from tests.report.cases import Page, recurrent


def counted(numbers, edges) -> list[int]:
    """How many of the numbers lie in each bin, one by one; the last bin has its upper edge."""
    found = [0] * (len(edges) - 1)
    for v in numbers:
        if math.isfinite(v):
            found[min(bisect.bisect_right(list(edges), v) - 1, len(found) - 1)] += 1
    return found


def agrees(h, numbers) -> None:
    """All of a histogram by loops."""
    numbers = [float(v) for v in np.ravel(numbers)]
    finite = sorted(v for v in numbers if math.isfinite(v))
    assert list(h.counts) == counted(numbers, [float(e) for e in h.edges])
    assert sum(h.counts) == len(finite)
    assert h.zeros == sum(v == 0 for v in numbers)
    assert h.broken == len(numbers) - len(finite)
    assert (h.quantiles[0], h.quantiles[4]) == (finite[0], finite[-1])
    for part, found in zip((0.05, 0.5, 0.95), h.quantiles[1:4], strict=True):
        at = part * (len(finite) - 1)
        low, high = finite[math.floor(at)], finite[math.ceil(at)]
        assert_close(np.array(found), np.array(low + (high - low) * (at - math.floor(at))))
    sizes = sorted(map(abs, finite))
    assert_close(np.array(h.magnitude), np.array((sizes[(len(sizes) - 1) // 2] + sizes[len(sizes) // 2]) / 2))


@pytest.fixture(scope="module")
def network():
    net = eg.FeedForward([5, 7, 3], activation="relu")
    rng = np.random.default_rng(0)
    g = eg.gradients(net, net.init(0), rng.normal(size=(40, 5)), rng.integers(0, 3, 40))
    return g, report.build(net, g)


def test_each_layer_has_the_histograms_of_its_values_and_gradients(network):
    g, r = network
    assert [d.name for d in r.distributions] == ["h0", "a1", "h1", "a2"] == [m.name for m in r.maps]
    for d in r.distributions:
        assert (d.total, d.seen) == (g[d.name].size, g[d.name].size)
        agrees(d.value, g.trace[d.name])
        agrees(d.gradient, g[d.name])
        assert (d.value.scale, d.gradient.scale) == ("linear", "symmetric")
    assert r.distributions[2].value.zeros > 0  # relu
    assert r.distributions[1].gradient.zeros > 0


def test_numpy_counts_the_same(network):
    g, r = network
    for d in r.distributions:
        for h, x in ((d.value, g.trace[d.name]), (d.gradient, g[d.name])):
            np.testing.assert_array_equal(h.counts, np.histogram(x, h.edges)[0])


def test_gradients_of_one_network_have_the_same_bins_powers_of_ten_to_both_sides(network):
    g, r = network
    edges = r.distributions[0].gradient.edges
    assert all(np.array_equal(d.gradient.edges, edges) for d in r.distributions)
    np.testing.assert_array_equal(edges, -edges[::-1])
    positive = edges[len(edges) // 2 :]
    decades = np.log10(positive)
    np.testing.assert_allclose(np.diff(decades), decades[1] - decades[0], rtol=1e-9)
    assert decades[-1] == round(decades[-1])
    largest = max(float(np.abs(g[d.name]).max()) for d in r.distributions)
    assert positive[-1] / 10 < largest <= positive[-1]
    typical = min(float(np.median(np.abs(g[d.name][g[d.name] != 0]))) for d in r.distributions)
    assert positive[0] < typical / 10


def test_padding_is_left_out_and_states_gates_and_activations_are_there():
    net, params, data = recurrent("lstm")
    g = eg.gradients(net, params, *data)
    (layer,) = report.build(net, g).time
    assert {d.name for d in layer.distributions} == {"i", "f", "g", "o", "c", "h"}
    lengths = g.trace["lengths"]
    for d in layer.distributions:
        there = [(b, t) for b in range(6) for t in range(lengths[b])]
        agrees(d.value, np.array([g.trace[d.name][b, t] for b, t in there]))
        agrees(d.gradient, np.array([g[d.name][b, t] for b, t in there]))
        assert d.total == len(there) * 5
    net, params, data = recurrent("elman")
    g = eg.gradients(net, params, *data)
    r = report.build(net, g)
    assert [d.name for d in r.time[0].distributions] == ["a", "h"]
    agrees(r.time[0].distributions[0].gradient, g["a"])
    assert [d.name for d in r.distributions] == ["out"]


def test_of_many_numbers_a_part_is_looked_at_spread_over_all(monkeypatch):
    monkeypatch.setattr(module, "MOST_NUMBERS", 100)
    assert spread(399) == slice(None)
    for count in (400, 1234, 100_000):
        at = spread(count)
        assert len(set(at.tolist())) == 100
        assert at[0] >= 0
        assert at[-1] < count
        assert np.diff(at).max() <= 2 * count / 100
        for units in (2, 3, 4, 10):  # no unit is met much more than its share
            assert np.bincount(at % units, minlength=units).max() <= 100 / units + 10
    net = eg.FeedForward([5, 7, 3])
    rng = np.random.default_rng(0)
    g = eg.gradients(net, net.init(0), rng.normal(size=(100, 5)), rng.integers(0, 3, 100))
    r = report.build(net, g)
    found = {d.name: d for d in r.distributions}
    assert [(d.total, d.seen) for d in r.distributions] == [(500, 100), (700, 100), (700, 100), (300, 300)]
    agrees(found["a1"].gradient, g["a1"].ravel()[spread(700)])
    assert "Of 3 quantities a part is looked at: 100 numbers of each." in report.to_html(r)


def test_numbers_at_the_ends_of_what_the_machine_has():
    tiny, huge = np.array([5e-324, -1e-310]), np.array([1.7e308, -1e308, 3.0])
    for x in (tiny, huge, np.array([np.nan, np.inf]), np.zeros(4), np.array([2.0])):
        edges = linear_edges(x)
        assert np.isfinite(edges).all()
        assert (np.diff(edges) >= 0).all()
        finite = x[np.isfinite(x)]
        assert not finite.size or (edges[0] <= finite.min() and finite.max() <= edges[-1])
    for arrays in ([tiny], [huge], [tiny, huge], [np.array([np.nan])], [np.zeros(3)], []):
        edges = symmetric_edges(arrays)
        assert np.isfinite(edges).all()
        assert (np.diff(edges) > 0).all()
        assert len(edges) <= 2 * module.BINS + 2
        assert all(np.abs(x[np.isfinite(x)]).max(initial=0.0) <= edges[-1] for x in arrays)


def test_what_is_not_finite_is_counted_and_drawn_without():
    def f(x):
        return eg.ops.reduce(eg.ops.sum(eg.ops.log(x)))

    graph = eg.graph(f)
    r = report.build(graph, eg.gradients(graph, {}, np.array([[0.0, -1.0, 2.0]]), check_finite=False))
    found = {d.name: d for d in r.distributions}
    assert (found["x"].value.broken, found["x"].gradient.broken, list(found["x"].gradient.counts).count(1)) == (0, 1, 2)
    broken = next(d for d in r.distributions if d.name != "x")
    assert broken.value.broken == 2
    page = Page(report.to_html(r))
    assert any("Distributions" in (a.get("aria-label") or "") for a, _ in page.all("div"))


def test_bins_are_drawn_where_they_are_and_as_high_as_the_root_of_their_share(network):
    _, r = network
    drawn = Page(ridges(r.distributions, "t", "k"))
    seq = [a["d"] for a, _ in drawn.all("path") if a.get("class") == "seq"]
    assert len(seq) == len(r.distributions)
    for d, path in zip(r.distributions, seq, strict=True):
        heights, width = heights_of(path)
        fullest = max(d.value.counts)
        assert heights == [math.ceil(TALLEST * math.sqrt(n / fullest)) for n in d.value.counts]
        assert abs(width - (VALUES[1] - VALUES[0])) < 0.1
    for colour, part in (("neg", slice(None, None)), ("pos", slice(None, None))):
        paths = [a["d"] for a, _ in drawn.all("path") if a.get("class") == colour]
        assert len(paths) == sum(bool(half(d.gradient.counts, colour)[part].any()) for d in r.distributions)
        heights, width = heights_of(paths[0])
        counts = r.distributions[0].gradient.counts
        expected = [math.ceil(TALLEST * math.sqrt(n / max(counts))) for n in half(counts, colour)]
        assert heights == expected
        assert abs(width - (GRADIENTS[1] - GRADIENTS[0]) * len(expected) / len(counts)) < 0.1


def half(counts, colour):
    return counts[: len(counts) // 2] if colour == "neg" else counts[len(counts) // 2 + 1 :]


def heights_of(path: str) -> tuple[list[int], float]:
    """The heights of the bins of a path of relative steps, and how wide all are together."""
    height, heights, width = 0.0, [], 0.0
    for move, amount in re.findall(r"([vh])(-?[\d.]+)", path):
        if move == "v":
            height -= float(amount)
        else:
            heights.append(round(height))
            width += float(amount)
    return heights, width


def test_the_table_has_the_quantiles(network):
    g, r = network
    rows = {row[0]: row[1:] for row in distribution_rows(r.distributions)}
    assert rows["h1"][6] == f"{100 * float((g['h1'] == 0).mean()):.4g} %"
    assert rows["a1"][1] == f"{float(np.median(g.trace['a1'])):.3g}"
    assert rows["a1"][5] == f"{float(np.median(np.abs(g['a1']))):.3g}"
    text = [t for _, t in Page(report.to_html(r)).all("tr")]
    assert sum("".join(("a1", *rows["a1"])) == t for t in text) == 1
