"""The maps of weights against loops over the entries, cell by cell."""

import base64
import math

import numpy as np
import pytest
import torch

import everygrad as eg
from everygrad import report
from everygrad.report.cells import every, largest, strongest
from everygrad.report.weight_maps import MOST_CELLS, MOST_MATRICES, weight_map
from tests.report.cases import Page, made
from tests.report.test_heatmap import decoded


def by_loops(x: np.ndarray, sizes: tuple[int, int]) -> list[list[float]]:
    """The entry of largest magnitude of each cell, the positive one if two are as large."""
    found = []
    for i in range(0, x.shape[0], sizes[0]):
        found.append([])
        for j in range(0, x.shape[1], sizes[1]):
            best = None
            for p in range(i, min(i + sizes[0], x.shape[0])):
                for q in range(j, min(j + sizes[1], x.shape[1])):
                    v = float(x[p, q])
                    if math.isnan(v) or (best is not None and math.isnan(best)):
                        best = math.nan
                    elif best is None or abs(v) > abs(best) or (v == -best and v > 0):
                        best = v
            found[-1].append(best)
    return found


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (64, 65), (129, 40), (7, 300), (200, 131)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_each_cell_has_its_largest_entry_with_its_sign(shape, dtype):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=shape) * 10.0 ** rng.integers(-6, 3, shape)).astype(dtype)
    x[0, 0] = -2e3
    if shape[0] > 64:
        x[1, 0], x[70, 2], x[80, 1] = 2e3, np.nan, -np.inf
    kept = x.copy()
    w = weight_map("W", x, x)
    sizes = tuple(-(-n // MOST_CELLS) for n in shape)
    assert (w.shape, w.every) == (shape, sizes)
    assert max(w.values.shape) <= MOST_CELLS
    np.testing.assert_array_equal(w.values, np.array(by_loops(x, sizes)))
    np.testing.assert_array_equal(x, kept)
    finite = [v for row in by_loops(x, sizes) for v in row if math.isfinite(v)]
    assert w.largest == max(map(abs, finite)) == abs(float(x[w.at]))
    assert w.zeros == 0


def test_places_zeros_and_nothing_at_all():
    x = np.zeros((130, 3))
    x[77, 2] = -0.5
    w = weight_map("W", x, x)
    assert (w.at, w.largest, w.zeros) == ((77, 2), 0.5, 389)
    w = weight_map("W", np.zeros((2, 3)), np.ones((2, 3)))
    assert (w.at, w.largest, w.zeros, w.weight_largest) == ((0, 0), 0.0, 6, 1.0)
    w = weight_map("W", np.full((2, 2), np.nan), np.ones((2, 2)))
    assert (w.at, w.largest) == ((0, 0), 0.0)
    assert np.isnan(w.values).all()


def test_cells_along_one_axis_alone():
    x = np.array([3.0, -4.0, 4.0, -1.0, -2.0])
    np.testing.assert_array_equal(strongest(x, (2,)), [-4.0, 4.0, -2.0])
    np.testing.assert_array_equal(strongest(x, (3,)), [4.0, -2.0])
    np.testing.assert_array_equal(strongest(x, (1,)), x)
    np.testing.assert_array_equal(strongest(x[None], (1, 5)), [[4.0]])
    assert [every(n, 64) for n in (1, 64, 65, 128, 129)] == [1, 1, 2, 2, 3]
    assert largest(np.array([1.0, -3.0, np.nan, np.inf])) == 3.0
    assert largest(np.array([np.nan])) == 0.0


def test_every_matrix_of_a_network_is_there():
    net = eg.FeedForward([100, 90, 4])
    params, rng = net.init(0), np.random.default_rng(0)
    g = eg.gradients(net, params, rng.normal(size=(6, 100)), rng.integers(0, 4, 6))
    r = report.build(net, g)
    assert [w.name for w in r.weights] == ["W1", "W2"]
    assert r.weights_total == 2
    np.testing.assert_array_equal(r.weights[0].values, np.array(by_loops(g["W1"], (2, 2))))
    np.testing.assert_array_equal(r.weights[1].values, np.array(by_loops(g["W2"], (1, 2))))
    assert r.weights[0].weight is None  # 9,000 entries
    np.testing.assert_array_equal(r.weights[1].weight, params["W2"])
    page = Page(report.to_html(r))
    (card,) = [t for a, t in page.all("figure") if a.get("id") == "weight-0"]
    assert "90 × 100 in 45 × 50 cells of 2 × 2 entries: the largest |∇| of each, with its sign" in card
    at, size = r.weights[0].at, abs(float(g["W1"][r.weights[0].at]))
    assert f"Largest |∇| {size:.3g} at W1[{at[0]}, {at[1]}]; no entry is exactly 0." in card


def test_the_pictures_hold_the_cells():
    r = made("checked")
    page = Page(report.to_html(r))
    images = {a["alt"].split(",")[0]: a for a, _ in page.all("img")}
    for w in r.weights:
        for words, values, scale in (
            (f"Heat map of the gradient of {w.name}", w.values, math.log10),
            (f"Heat map of {w.name} itself", w.weight, float),
        ):
            pixels = picture(images[words])
            assert pixels.shape[:2] == values.shape
            for value, pixel in zip(values.ravel(), pixels.reshape(-1, 4), strict=True):
                part = abs(float(value)) / float(np.abs(values).max())
                part = 1 + scale(part) / 3 if scale is math.log10 else part
                assert pixel[3] == round(255 * math.ceil(8 * max(part, 0.0) - 1e-12) / 8)


def picture(attributes) -> np.ndarray:
    return decoded(base64.b64decode(attributes["src"].split(",")[1]), 8)


def test_the_values_stand_beside_the_gradients_in_the_same_order():
    net = eg.FeedForward([40, 60, 3], activation="relu")
    rng = np.random.default_rng(0)
    g = eg.gradients(net, net.init(0), rng.normal(size=(130, 40)), rng.integers(0, 3, 130))
    r = report.build(net, g)
    for m in r.maps:
        assert m.value.shape == m.values.shape
        for i, row in enumerate(m.rows):
            assert m.value_mean[i] == pytest.approx(math.fsum(g.trace[m.name][:, row]) / 130, rel=1e-12, abs=1e-15)
            for j, column in enumerate(m.columns):
                assert m.value[i, j] == g.trace[m.name][column, row]
        assert m.value_largest == max(abs(float(v)) for v in m.value.ravel())
    page = Page(report.to_html(r))
    pairs = [t for a, t in page.all("div") if a.get("class") == "pair"]
    h1 = r.maps[2]
    assert f"h1up to {h1.value_largest:.2g}".replace("up to ", "0") in pairs[2]  # relu: from 0 up


def test_a_recurrent_network_and_torch_have_them_too():
    r = made("lstm")
    assert [w.name for w in r.weights if w.name.startswith("W")] == ["W_i", "W_f", "W_g", "W_o"]
    net = eg.FeedForward([3, 4, 2])
    params, rng = net.init(0), np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)), rng.integers(0, 2, 6)
    ours = report.build(net, eg.gradients(net, params, x, y)).weights
    g = eg.gradients(net, {k: torch.tensor(v) for k, v in params.items()}, torch.tensor(x), torch.tensor(y))
    for a, b in zip(ours, report.build(net, g).weights, strict=True):
        np.testing.assert_allclose(a.values, b.values, rtol=1e-12)
        np.testing.assert_array_equal(a.weight, b.weight)


def test_many_matrices_are_cut_and_say_so():
    net = eg.FeedForward([3] * 40)
    rng = np.random.default_rng(0)
    r = report.build(net, eg.gradients(net, net.init(0), rng.normal(size=(4, 3)), rng.integers(0, 3, 4)))
    assert (len(r.weights), r.weights_total) == (MOST_MATRICES, 39)
    assert [w.name for w in r.weights][:13] == [*(f"W{i}" for i in range(1, 13)), "W28"]
    assert "24 of 39 matrices are shown: the first and the last." in report.to_html(r)
