"""The sparse tensor of a report against the element formulas of each cell, and its drawing."""

import base64
import itertools
import math
import re

import numpy as np
import pytest
import torch

import everygrad as eg
from everygrad import report
from everygrad.backprop import jacobian
from everygrad.checks.tolerance import assert_close
from everygrad.report.block import DEEP, LEFT, SIDE, TOP, block
from everygrad.report.tensor_picture import MOST_CELLS
from tests.report.cases import Page, made, recurrent
from tests.report.test_heatmap import decoded


def built(kind: str):
    net, params, data = recurrent(kind)
    g = eg.gradients(net, params, *data)
    return g, report.build(net, g).time[0].tensor


def test_elman_by_the_element_formula():
    """T[p, q, r] = (1 − h_k[p]²) h_{k−1}[r] if p = q, else 0, at the last step."""
    g, t = built("elman")
    h = g.trace["h"][0]
    assert (t.state, t.weight, t.before, t.multiplied, t.sample, t.step) == ("h", "W", "a", "h_prev", 0, 11)
    assert (t.shape, t.nonzero, t.stored) == ((6, 6, 6), 36, 12)
    T = np.zeros((6, 6, 6))
    for p, q, r in itertools.product(range(6), repeat=3):
        T[p, q, r] = (1 - h[11, p] ** 2) * h[10, r] if p == q else 0
    assert np.count_nonzero(T) == t.nonzero
    assert_close(t.plane, np.array([T[p, p] for p in range(6)]))
    assert_close(t.slope, 1 - h[11] ** 2)
    assert_close(t.vector, h[10])
    assert t.largest == np.abs(t.plane).max()
    assert (t.rows, t.columns) == (tuple(range(6)), tuple(range(6)))


def test_the_tensor_is_the_change_of_the_state_with_the_weight():
    """Central differences of one step, the state before it held constant, for all d³ entries."""
    g, t = built("elman")
    W, U, b = (g.trace[name] for name in ("W", "U", "b"))
    x, before = g.trace["x"][0, 11], g.trace["h"][0, 10]

    def step(W):
        return np.tanh(U @ x + b + W @ before)

    for p, q, r in itertools.product(range(6), repeat=3):
        change = np.zeros((6, 6))
        change[q, r] = 1e-5
        slope = (step(W + change)[p] - step(W - change)[p]) / 2e-5
        assert abs(slope - (t.plane[p, r] if p == q else 0.0)) < 1e-9


def test_lstm_by_the_element_formula_at_the_end_of_the_longest_sequence():
    """Through i: h = o tanh(c), c = f c_prev + i g, so T = o (1 − tanh²c) g i (1 − i) h_{k−1}[r] on the plane."""
    g, t = built("lstm")
    lengths = g.trace["lengths"]
    b = int(lengths.argmax())
    k = int(lengths[b]) - 1
    v = {name: g.trace[name][b, k] for name in ("i", "g", "o", "c")}
    slope = v["o"] * (1 - np.tanh(v["c"]) ** 2) * v["g"] * v["i"] * (1 - v["i"])
    assert (t.state, t.weight, t.before, t.sample, t.step, t.shape) == ("h", "W_i", "a_i", b, k, (5, 5, 5))
    assert_close(t.plane, np.outer(slope, g.trace["h"][b, k - 1]))
    assert (t.nonzero, t.stored) == (25, 10)


def test_a_reverse_layer_ends_at_the_first_step():
    net, params, data = recurrent("both")
    g = eg.gradients(net, params, *data)
    tensors = {layer.label: layer.tensor for layer in report.build(net, g).time}
    t = tensors["l1_reverse"]
    assert (t.step, tensors["l1"].step) == (0, 6)
    assert t.state == "h_l1_reverse"
    assert t.weight.endswith("_l1_reverse")
    assert_close(t.vector, g.trace["h_l1_reverse"][0, 1])


def test_a_weight_with_another_behind_it_is_no_plane():
    """The reset gate before the product: from W_r to h a whole matrix lies between, from W_z and W_n none."""
    net = eg.Recurrent(eg.GRU(2, 4, reset="before"), outputs=2)
    rng = np.random.default_rng(0)
    g = eg.gradients(net, net.init(0), rng.normal(size=(3, 5, 2)), rng.integers(0, 2, 3))
    t = report.build(net, g).time[0].tensor
    assert t.weight == "W_z"
    h, z, n = (g.trace[name][0] for name in ("h", "z", "n"))
    assert_close(t.plane, np.outer((h[3] - n[4]) * z[4] * (1 - z[4]), h[3]), 1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_first_layer_of_a_network_without_time(activation):
    net = eg.FeedForward([5, 7, 3], activation=activation)
    params, rng = net.init(0), np.random.default_rng(0)
    x, y = rng.normal(size=(4, 5)), rng.integers(0, 3, 4)
    t = report.build(net, eg.gradients(net, params, x, y)).tensor
    a = params["W1"] @ x[0] + params["b1"]
    slope = 1 - np.tanh(a) ** 2 if activation == "tanh" else (a > 0).astype(float)
    assert (t.state, t.weight, t.before, t.multiplied, t.sample, t.step) == ("h1", "W1", "a1", "h0", 0, None)
    assert (t.shape, t.nonzero) == ((7, 7, 5), 35)
    assert_close(t.plane, np.outer(slope, x[0]), 1e-12)
    dense = jacobian(net, params, x, of="h1", wrt="W1").sample(0).dense()
    np.testing.assert_allclose(dense, [np.eye(7)[p][:, None] * t.plane[p] for p in range(7)], rtol=1e-12, atol=1e-15)


def test_a_network_without_activation_copies_the_input():
    t = made("linear").tensor
    assert (t.state, t.before, t.stored) == ("a1", "a1", 5)
    assert_close(t.plane, np.outer(np.ones(3), t.vector))
    g = made("skip").tensor
    assert (g.weight, g.shape) == ("W1", (4, 4, 4))


def test_large_tensors_are_drawn_in_cells():
    net = eg.FeedForward([200, 150, 3])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 200)), rng.integers(0, 3, 2)
    t = report.build(net, eg.gradients(net, net.init(0), x, y)).tensor
    assert (len(t.rows), len(t.columns)) == t.plane.shape == (50, 50)
    assert max(t.plane.shape) <= MOST_CELLS
    whole = np.outer(t.slope, t.vector)
    for i, p in enumerate(t.rows):
        for j, r in enumerate(t.columns):
            cell = whole[p : p + 3, r : r + 4].ravel()
            assert t.plane[i, j] == max(cell.tolist(), key=abs)
    page = report.to_html(report.build(net, eg.gradients(net, net.init(0), x, y)))
    assert "4,500,000 entries, 30,000 on the plane, known from 350 numbers" in page
    assert "Drawn in 50 × 50 cells" in page


def test_torch_gives_the_same():
    net, params, (x, y) = recurrent("elman")
    ours = report.build(net, eg.gradients(net, params, x, y)).time[0].tensor
    g = eg.gradients(net, {k: torch.tensor(v) for k, v in params.items()}, torch.tensor(x), torch.tensor(y))
    theirs = report.build(net, g).time[0].tensor
    assert_close(theirs.plane, ours.plane, 1e-12)
    assert (theirs.stored, theirs.nonzero) == (12, 36)


def test_what_is_not_finite_has_no_picture_over_time():
    net, params, (x, y) = recurrent("elman")
    x = x.copy()
    x[2, 4] = np.inf
    g = eg.gradients(net, params, x, y, check_finite=False)
    assert report.build(net, g).time[0].tensor is None


def test_the_plane_lies_from_edge_to_edge_of_the_block():
    """The corners of the image, through its matrix, are the corners p = q of the front and of the back face."""
    t = made("elman").time[0].tensor
    page = Page(block(t, "k"))
    (image,) = [a for a, _ in page.all("image")]
    a, b, c, d, e, f = map(float, re.findall(r"[-\d.]+", image["transform"]))
    width, height = int(image["width"]), int(image["height"])
    assert (height, width) == t.plane.shape
    for r, p in ((0, 0), (width, 0), (0, height), (width, height)):
        x, y = a * r + c * p + e, b * r + d * p + f
        deep, down = r / width, p / height
        assert math.isclose(x, LEFT + SIDE * down + DEEP[0] * deep, abs_tol=0.01)
        assert math.isclose(y, TOP + SIDE * down + DEEP[1] * deep, abs_tol=0.01)
    pixels = decoded(base64.b64decode(image["href"].split(",")[1]), 8)
    for value, pixel in zip(t.plane.ravel(), pixels.reshape(-1, 4), strict=True):
        assert pixel[3] == round(255 * math.ceil(8 * abs(value) / t.largest - 1e-12) / 8)
    (svg,) = page.all("svg")
    assert "A block of 6 by 6 by 6 numbers. Only the plane p = q" in svg[1]


def test_the_numbers_behind_it_are_written():
    r = made("elman")
    t = r.time[0].tensor
    text = " ".join(x for a, x in Page(report.to_html(r)).all("figure") if a.get("id") == "tensor-0-card")
    assert "T[p, q, r] = ∂⁺h[p]/∂W[q, r] = ∂h[p]/∂a[p] · h_prev[r] if p = q, else 0" in text
    assert "216 entries, 36 on the plane, known from 12 numbers. At sample 0, step 11." in text
    assert "h_prev[r] = " + ", ".join(f"{v:.3g}" for v in t.vector) in text
    assert "∂h[p]/∂a[p] = " + ", ".join(f"{v:.3g}" for v in t.slope) in text


def test_tied_weights_and_formulas_of_parameters_do_not_disturb():
    def tied(x, y, *, W):
        return eg.ops.squared_error(W @ eg.ops.tanh(W @ x), y)

    graph, rng = eg.graph(tied), np.random.default_rng(0)
    W, x = rng.normal(size=(3, 3)), rng.normal(size=(5, 3))
    t = report.build(graph, eg.gradients(graph, {"W": W}, x, x)).tensor
    assert_close(t.plane, np.outer(1 - np.tanh(W @ x[0]) ** 2, x[0]))

    def formula(*, u, v):
        return eg.ops.sum(u * v)

    graph = eg.graph(formula)
    r = report.build(graph, eg.gradients(graph, {"u": np.ones(3), "v": np.ones(3)}))
    assert (r.tensor, r.weights, r.distributions) == (None, (), ())
