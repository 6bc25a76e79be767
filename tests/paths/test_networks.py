"""Paths through networks, against all paths found by plain loops."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import everygrad as eg
from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError, UnknownNameError, UnsupportedError
from everygrad.graph import LOSSES
from everygrad.paths import kbest, paths
from everygrad.paths.search import whole
from tests.paths.oracle import mlp_paths


def network(sizes, batch, seed, **options):
    rng = np.random.default_rng(seed)
    net = eg.FeedForward(sizes, **options)
    params = {name: rng.normal(size=shape) for name, shape in net.shapes.items()}
    return net, params, rng.normal(size=(batch, sizes[0])), rng.integers(0, sizes[-1], batch)


def check_sums(p, gradient):
    """What every table must satisfy."""
    assert_close(np.array(p.total), np.array(gradient), name="total")
    scale = max(abs(p.total), sum(abs(q.product) for q in p.paths), 1e-300)
    assert abs(math.fsum(q.product for q in p.paths) + p.remainder - p.total) <= 1e-13 * scale
    for q in p.paths:
        assert len(q.units) == len(q.factors) + 1
        assert_close(np.array(math.prod(q.factors)), np.array(q.product))
        if p.total:
            assert_close(np.array(q.share * p.total), np.array(q.product))
    sizes = [abs(q.product) for q in p.paths]
    assert sizes == sorted(sizes, reverse=True)


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=5),
    batch=st.integers(1, 3),
    k=st.integers(1, 40),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_against_all_paths_of_a_tanh_network(sizes, batch, k, seed, data):
    net, params, x, y = network(sizes, batch, seed)
    layer = data.draw(st.integers(0, len(sizes) - 2))
    unit, sample = data.draw(st.integers(0, sizes[layer] - 1)), data.draw(st.integers(0, batch - 1))
    p = paths(net, params, x, y, wrt=(f"h{layer}", unit), k=k, sample=sample)
    expected = sorted(mlp_paths(params, x[sample], y[sample], layer, unit, batch), key=lambda e: -abs(e[1]))
    assert p.count == len(expected) == math.prod(sizes[layer + 1 :])
    assert len(p.paths) == min(k, p.count)
    assert_close(np.array([q.product for q in p.paths]), np.array([e[1] for e in expected[:k]]), tol=1e-12)
    products = dict(expected)
    assert len({q.units for q in p.paths}) == len(p.paths)
    for q in p.paths:
        assert q.sample == sample
        assert abs(q.product - products[q.units]) <= 1e-12 * max(abs(products[q.units]), 1e-3 / batch)
    assert_close(np.array(p.mass), np.array(sum(abs(e[1]) for e in expected)), tol=1e-12)
    check_sums(p, eg.gradients(net, params, x, y)[f"h{layer}"][sample, unit])


def test_a_weight_collects_the_paths_of_all_samples():
    net, params, x, y = network([3, 4, 2, 3], 5, 0)
    p = paths(net, params, x, y, wrt=("W1", 2, 1), k=1000)
    # ∂a1[2]/∂W1[2,1] = x[1], then g′, then the paths from h1[2]
    expected = []
    for b in range(5):
        slope = 1 - math.tanh(params["W1"][2] @ x[b] + params["b1"][2]) ** 2
        for units, product in mlp_paths(params, x[b], y[b], 1, 2, 5):
            expected.append((b, (("W1", 2, 1), ("a1", 2), *units), x[b, 1] * slope * product))
    assert p.count == len(expected) == 5 * 2 * 3
    assert p.sample is None
    by_path = {(b, units): product for b, units, product in expected}
    assert {(q.sample, q.units) for q in p.paths} == set(by_path)
    for q in p.paths:
        assert_close(np.array(q.product), np.array(by_path[q.sample, q.units]), tol=1e-11)
    assert all(q.note == "" for q in p.paths)
    check_sums(p, eg.gradients(net, params, x, y)["W1"][2, 1])
    few = paths(net, params, x, y, wrt="W1[2, 1]", k=4)
    assert few.paths == p.paths[:4]


@pytest.mark.parametrize("wrt", [("W1", 2, 1), ("b2", 0), ("b3", 2)])
def test_the_samples_parts_of_a_gradient_add_up_to_it(wrt):
    net, params, x, y = network([3, 4, 2, 3], 5, 1)
    parts = [paths(net, params, x, y, wrt=wrt, sample=b, k=3) for b in range(5)]
    whole = paths(net, params, x, y, wrt=wrt, k=3)
    assert_close(np.array(sum(p.total for p in parts)), np.array(whole.total), tol=1e-12)
    assert_close(np.array(sum(p.mass for p in parts)), np.array(whole.mass), tol=1e-12)
    assert sum(p.count for p in parts) == whole.count
    for b, p in enumerate(parts):
        assert {q.sample for q in p.paths} == {b}
        all_of_it = paths(net, params, x, y, wrt=wrt, sample=b, k=1000)
        assert_close(np.array(all_of_it.listed), np.array(p.total), tol=1e-12)


def test_the_first_sample_is_taken_and_said():
    net, params, x, y = network([3, 4, 3], 5, 2)
    p = paths(net, params, x, y, wrt=("h1", 3))
    assert p.sample == 0
    assert "(sample 0 of 5)" in str(p)
    assert p.total == eg.gradients(net, params, x, y)["h1"][0, 3]


def test_another_end():
    net, params, x, _ = network([3, 4, 2, 3], 5, 3)
    p = paths(net, params, x, wrt=("x", 1), of=("a3", 2), sample=4, k=3)
    assert p.of == ("a3", 2)
    assert p.wrt == ("h0", 1)  # x is its alias
    check_sums(p, eg.jacobian(net, params, x, of="a3", wrt="x")[4, 2, 1])
    assert p.value == eg.forward(net, params, x, of="a3")["a3"][4, 2]
    # an end of each sample, from a parameter: the samples' ends are taken together
    p = paths(net, params, x, wrt=("b2", 1), of=("a3", 2), k=3)
    assert p.count == 5
    check_sums(p, eg.jacobian(net, params, x, of="a3", wrt="b2").dense()[:, 2, 1].sum())


def test_no_way_to_the_end():
    net, params, x, y = network([3, 4, 2, 3], 2, 4)
    for wrt in (("h2", 1), ("W3", 0, 0), ("b2", 1)):
        p = paths(net, params, x, y, wrt=wrt, of=("a2", 0))
        assert (p.count, p.paths, p.total, p.mass, p.others) == (0, (), 0.0, 0.0, 0)
        assert "0 paths" in str(p)
    p = paths(net, params, x, y, wrt="loss")
    assert (p.count, p.total, p.paths[0].units, p.paths[0].factors) == (1, 1.0, (("loss",),), ())


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_every_reduction(loss, reduction):
    rng = np.random.default_rng(5)
    net = eg.FeedForward([3, 4, 2], activation="relu", loss=LOSSES[loss](reduction=reduction))
    params = {name: rng.normal(size=shape) for name, shape in net.shapes.items()}
    x, y = rng.normal(size=(3, 3)), rng.uniform(size=(3, 2))
    g = eg.gradients(net, params, x, y)
    check_sums(paths(net, params, x, y, wrt=("h1", 2), sample=2), g["h1"][2, 2])
    check_sums(paths(net, params, x, y, wrt=("W1", 1, 2), k=5), g["W1"][1, 2])
    check_sums(paths(net, params, x, y, wrt=("y", 1), sample=1), g["y"][1, 1])


def test_ties_follow_the_order_of_the_units():
    net = eg.FeedForward([2, 40, 3], activation="identity", bias=False)
    params = {"W1": np.ones((40, 2)), "W2": np.ones((3, 40))}
    p = paths(net, params, np.ones((1, 2)), np.array([0]), wrt=("x", 1), of=("a2", 1), k=7)
    assert [q.units[1:] for q in p.paths] == [(("a1", i), ("h1", i), ("a2", 1)) for i in range(7)]
    params["W1"][25, 1], params["W1"][3, 1] = -2.0, 0.5
    p = paths(net, params, np.ones((1, 2)), np.array([0]), wrt=("x", 1), of=("a2", 1), k=5)
    assert [q.units[1][1] for q in p.paths] == [25, 0, 1, 2, 4]
    assert [q.product for q in p.paths] == [-2.0, 1.0, 1.0, 1.0, 1.0]


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 144))
def test_order_with_many_ties(seed, k):
    """Weights −1, 0, 1, 2 make every product exact: the whole order is known."""
    rng = np.random.default_rng(seed)
    net = eg.FeedForward([3, 36, 4, 2], activation="identity", bias=False)
    params = {name: rng.integers(-1, 3, shape).astype(float) for name, shape in net.shapes.items()}
    p = paths(net, params, np.ones((1, 3)), np.array([0]), wrt=("x", 1), of=("a3", 1), k=k)
    W1, W2, W3 = (params[f"W{i}"] for i in (1, 2, 3))
    each = []
    for i, j in itertools.product(range(36), range(4)):
        rest = abs(W2[j, i] * W3[1, j])  # decides behind a common factor 0
        each.append((-abs(W1[i, 1]) * rest, i, -rest, j))
    assert [(q.units[1][1], q.units[3][1]) for q in p.paths] == [(i, j) for _, i, _, j in sorted(each)[:k]]


def test_dead_units_stay_paths():
    net = eg.FeedForward([1, 2, 1], activation="relu", bias=False, loss="squared_error")
    params = {"W1": np.array([[1.0], [-1.0]]), "W2": np.array([[2.0, 3.0]])}
    p = paths(net, params, np.array([[1.0]]), np.array([[0.0]]), wrt=("x", 0))
    assert p.count == 2
    assert [q.product for q in p.paths] == [8.0, 0.0]
    assert p.paths[1].log10 == -math.inf
    assert p.others == 0
    assert "other" not in str(p)


def test_single_precision():
    net, params, x, y = network([3, 4, 3], 2, 6)
    params = {name: value.astype(np.float32) for name, value in params.items()}
    p = paths(net, params, x.astype(np.float32), y, wrt=("x", 1), k=100)
    assert isinstance(p.paths[0].product, float)
    assert_close(np.array(p.listed), np.array(p.total), tol=1e-5)


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    net, params, x, y = network([3, 4, 3], 2, 7)
    ours = paths(net, params, x, y, wrt=("W1", 2, 1))
    theirs = {name: torch.tensor(value) for name, value in params.items()}
    p = paths(net, theirs, torch.tensor(x), torch.tensor(y), wrt=("W1", 2, 1))
    assert_close(np.array([q.product for q in p.paths]), np.array([q.product for q in ours.paths]), tol=1e-12)
    assert [q.units for q in p.paths] == [q.units for q in ours.paths]


def test_a_wide_network_is_searched_in_chunks(monkeypatch):
    net, params, x, y = network([5, 60, 50, 10], 3, 8)
    whole = [paths(net, params, x, y, wrt=w, k=9) for w in (("x", 2), ("W1", 4, 2))]
    monkeypatch.setattr(kbest, "CHUNK", 300)
    assert [paths(net, params, x, y, wrt=w, k=9).to_dict() for w in (("x", 2), ("W1", 4, 2))] == [
        p.to_dict() for p in whole
    ]
    products = sorted((abs(e[1]) for e in mlp_paths(params, x[0], y[0], 1, 7, 3)), reverse=True)
    p = paths(net, params, x, y, wrt=("h1", 7), k=9)
    assert_close(np.array([abs(q.product) for q in p.paths]), np.array(products[:9]), tol=1e-11)
    assert p.count == 500


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"wrt": ("h7", 1)}, UnknownNameError, "h1"),
        ({"wrt": ("h1", 4)}, InputError, r"shape \(4,\).*index 4 is out of range: expected 0 to 3"),
        ({"wrt": ("h1", -5)}, InputError, "out of range"),
        ({"wrt": ("W1", 2)}, InputError, r"shape \(4, 3\), 1 indices were given, expected 2"),
        ({"wrt": "h1"}, InputError, r"shape \(4,\), 0 indices were given"),
        ({"wrt": ("h1", 1, 2)}, InputError, "2 indices were given, expected 1"),
        ({"wrt": ("loss", 0)}, InputError, "one number, 1 indices were given, expected none"),
        ({"wrt": ("h1", 1.0)}, InputError, "whole number"),
        ({"wrt": ("h1", True)}, InputError, "whole number"),
        ({"wrt": "h1[1-1]"}, InputError, "not an element"),
        ({"wrt": 3}, InputError, r"like \('h1', 3\)"),
        ({"wrt": ()}, InputError, r"like \('h1', 3\)"),
        ({"wrt": ("y",)}, InputError, "whole numbers"),
        ({}, InputError, "wrt is missing"),
        ({"wrt": ("h1", 1), "of": "a2"}, InputError, r"of: 'a2' has the shape \(3,\)"),
        ({"wrt": ("h1", 1), "of": ("a2", 3)}, InputError, "of: .*out of range"),
        ({"wrt": ("h1", 1), "k": 0}, InputError, "at least 1"),
        ({"wrt": ("h1", 1), "k": True}, InputError, "whole number"),
        ({"wrt": ("h1", 1), "sample": 5}, InputError, "there are 5 samples, expected 0 to 4"),
        ({"wrt": ("h1", 1), "sample": -1}, InputError, "out of range"),
        ({"wrt": ("W1", 1, 1), "sample": 5}, InputError, "out of range"),
    ],
)
def test_bad_arguments(options, error, says):
    net, params, x, y = network([3, 4, 3], 5, 9)
    with pytest.raises(error, match=says):
        paths(net, params, x, y, **options)
    with pytest.raises(InputError, match="params is missing"):
        paths(net, wrt=("h1", 1))


@pytest.mark.parametrize("value", [2.5, np.array([1, 2]), "1", None, np.True_])
def test_what_is_no_whole_number(value):
    with pytest.raises(InputError, match="k must be a whole number"):
        whole(value, "k")
    assert whole(np.int64(3), "k") == 3


def test_negative_indices_count_from_the_end():
    net, params, x, y = network([3, 4, 3], 1, 10)
    assert paths(net, params, x, y, wrt=("h1", -1)).wrt == ("h1", 3)


def test_arguments_are_left_alone():
    net, params, x, y = network([3, 4, 3], 2, 11)
    before = {name: value.copy() for name, value in params.items()}
    for value in (*params.values(), x, y):
        value.flags.writeable = False
    paths(net, params, x, y, wrt=("W1", 1, 1))
    for name, value in before.items():
        np.testing.assert_array_equal(params[name], value)


@pytest.mark.parametrize(
    ("wrt", "of", "through"),
    [
        (("h", 0), None, "'h'"),
        ("h_end[1]", None, "'h_end'"),
        (("W", 0, 0), None, "'h_end'"),
        (("x", 0), None, "'x'"),
        (("a", 0), ("h", 1), "'a'"),
    ],
)
def test_time_steps_are_no_nodes(wrt, of, through):
    """A recurrent network is unrolled first; where no step is on the way, it need not be."""
    net = eg.Recurrent(eg.Elman(2, 3), outputs=2)
    params, x, y = net.init(0), np.ones((2, 4, 2)), np.array([0, 1])
    with pytest.raises(UnsupportedError, match=rf"go through the time steps of {through}: unroll.*eg\.unroll\(net"):
        paths(net, params, x, y, wrt=wrt, of=of)
    after = paths(net, params, x, y, wrt=("V", 0, 1))
    assert after.count == 2
    assert_close(after.total, eg.gradients(net, params, x, y)["V"][0, 1])
    u = eg.unroll(net, params, x, y)
    assert_close(paths(*u, wrt=("h[1]", 2)).total, eg.gradients(net, params, x, y)["h"][0, 1, 2])
