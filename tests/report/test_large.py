"""Reports on large models: what is drawn is aggregated or sampled and says so, in bounded time, memory and size."""

import itertools
import time
import tracemalloc

import numpy as np
import pytest

import everygrad as eg
from everygrad import report
from tests.report.cases import Page


def measured(network, g) -> tuple[report.Report, float, float]:
    """The record, the seconds that it took and the most bytes that it held at a time."""
    tracemalloc.start()
    begin = time.perf_counter()
    r = report.build(network, g)
    seconds = time.perf_counter() - begin
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return r, seconds, held


@pytest.mark.slow
def test_ten_layers_of_4096_units_with_64_mb_of_gradient_each():
    rng = np.random.default_rng(0)
    net = eg.FeedForward([4096] * 10 + [10])
    params = float32(net, rng)
    x, y = rng.standard_normal((16, 4096), dtype=np.float32), rng.integers(0, 10, 16)
    g = eg.gradients(net, params, x, y)
    assert g["W5"].nbytes == 2**26
    r, seconds, held = measured(net, g)
    assert held < 8 * 2**26
    assert seconds < 60
    page = report.to_html(r)
    assert len(page.encode()) < 1_000_000
    parsed = Page(page)
    for said in (
        "4096 × 4096 in 64 × 64 cells of 64 × 64 entries: the largest |∇| of each, with its sign",
        "68,719,476,736 entries, 16,777,216 on the plane, known from 8,192 numbers",
        "Drawn in 64 × 64 cells",
        "32 of 4,096 units of h0",
        "48 of 4,096 units",
        "64 of 4,096 units",
    ):
        assert said in page, said
    assert len(parsed.all("img")) == 16 * 2 + 10
    w = {w.name: w for w in r.weights}["W5"]
    W = g["W5"].reshape(64, 64, 64, 64)
    np.testing.assert_array_equal(np.abs(w.values), np.abs(W).max((1, 3)))
    assert w.largest == float(np.abs(g["W5"]).max()) == abs(float(g["W5"][w.at]))


def float32(net: eg.FeedForward, rng) -> dict[str, np.ndarray]:
    """Parameters in single precision, made one by one."""
    sizes = net.sizes
    params = {}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes), 1):
        params[f"W{i}"] = rng.standard_normal((outputs, inputs), dtype=np.float32) / np.float32(inputs**0.5)
        params[f"b{i}"] = np.zeros(outputs, np.float32)
    return params


@pytest.mark.slow
@pytest.mark.parametrize("cell", [eg.Elman(4, 64), eg.LSTM(4, 64)])
def test_two_thousand_steps(cell):
    net = eg.Recurrent(cell, outputs=3, read="each")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 2000, 4)), rng.integers(0, 3, (16, 2000))
    g = eg.gradients(net, net.init(0), x, y)
    whole = sum(a.nbytes for a in g.arrays.values())
    r, seconds, held = measured(net, g)
    assert held < 6 * whole
    assert seconds < 60
    (layer,) = r.time
    assert (layer.steps, layer.every, len(layer.at)) == (2000, 8, 250)
    for d in layer.distributions:
        assert (d.total, d.seen) == (16 * 2000 * 64, 2**16)
    page = report.to_html(r)
    assert len(page.encode()) < 600_000
    assert "65,536 numbers of each" in page
    Page(page)
