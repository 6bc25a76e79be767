"""What is wrong is said with what came, what was expected, and what to type."""

import numpy as np
import pytest

import everygrad as eg
from everygrad.errors import InputError, UnknownNameError
from tests.derive.graphs import skipped

NET = eg.FeedForward([3, 4, 2])
RNN = eg.Recurrent(eg.Elman(2, 3), 2)


@pytest.mark.parametrize(
    ("network", "wrt", "options", "message"),
    [
        (NET, "h2", {}, "Did you mean"),
        (NET, "h1[4]", {}, "has the shape (4,)"),
        (NET, "h1[-1]", {}, "has the shape (4,)"),
        (NET, "W1[2]", {}, "has the shape (4, 3)"),
        (NET, "h1[,]", {}, "is not an index"),
        (NET, "y", {}, "whole numbers"),
        (NET, "h1", {"sample": 1}, "there are 1"),
        (NET, "h1", {"of": "a2"}, "of='a2[0]'"),
        (NET, "a2", {"of": "h1[0]"}, "is on no path"),
        (RNN, "h", {}, "say which, h[0] to h[2]"),
        (RNN, "h[3]", {}, "there is no step 3, they go from 0 to 2"),
        (RNN, "h[0,3]", {}, "has the shape (3,)"),
        (RNN, "ha[0]", {}, "Did you mean"),
        (
            RNN,
            "q[0]",
            {},
            "Known: U, U_l0, V, W, W_l0, a, a_l0, b, b_V, b_l0, h, h0, h_end, h_l0, h_l0_end, loss, out, x",
        ),
        ("z = x*y", None, {"x": 1.0, "y": 2.0}, "say which one"),
        ("z = x + ", "x", {"x": 1.0}, "formula, line 1"),
        ("z = x*y", "x", {"x": 1.0}, "'y'"),
        ("z = 1", None, {}, "has no variable"),
    ],
)
def test_messages(network, wrt, options, message: str):
    with pytest.raises(InputError) as error:
        eg.derive(network, wrt, **options)
    assert message in str(error.value)


def test_unknown_names_are_of_their_kind():
    with pytest.raises(UnknownNameError):
        eg.derive(NET, "nothing")


def test_numbers_are_invented_only_where_shapes_are_known():
    graph, params, x, y = skipped()
    with pytest.raises(InputError, match="none can be invented"):
        eg.derive(graph, "h1")
    with pytest.raises(InputError, match="none can be invented"):
        eg.derive(graph, "h1", params)
    assert eg.derive(graph, "h1", params, x, y).ok
    with pytest.raises(InputError, match="3 data arrays were given, the graph takes 2"):
        eg.derive(graph, "h1", params, x, y, y)
    with pytest.raises(InputError, match="by name"):
        eg.derive("z = x", "x", 2.0)
    with pytest.raises(InputError, match=r"W1"):
        eg.derive(NET, "h1", {**NET.init(0), "W1": np.zeros((2, 2))})


def test_the_name_of_an_element_in_other_forms():
    one = eg.derive(NET, ("h1", 2))
    assert one.value == eg.derive(NET, "h1[2]").value
    assert eg.derive(NET, "x[0]").value == eg.derive(NET, "h0[0]").value
    same = [eg.derive(RNN, wrt).value for wrt in ("h[1,2]", ("h[1]", 2), ("h", 1, 2), "h_l0[1,2]", "h[1][2]")]
    assert len(set(map(float, same))) == 1


def test_nothing_is_written_to_and_any_precision_is_taken():
    params = NET.init(0, dtype=np.float32)
    before = {name: p.copy() for name, p in params.items()}
    x, y = np.ones((2, 3), np.float32), np.array([0, 1])
    d = eg.derive(NET, "h1[0]", params, x, y)
    assert d.ok
    assert all(np.array_equal(params[name], before[name]) for name in params)
    g = eg.gradients(NET, {n: p.astype(float) for n, p in params.items()}, x.astype(float), y)
    assert d.value == pytest.approx(g["h1"][0, 0], rel=1e-12)


def test_given_data_are_taken_by_name_too():
    rng = np.random.default_rng(0)
    params, x, y = NET.init(0), rng.normal(size=(2, 3)), np.array([0, 1])
    assert eg.derive(NET, "b1", params, x=x, y=y).value.tolist() == eg.derive(NET, "b1", params, x, y).value.tolist()


@pytest.mark.slow
def test_a_larger_network_stays_readable():
    """What is large is shortened, and says so; the check takes a sample."""
    rng = np.random.default_rng(0)
    net = eg.FeedForward([64, 200, 100, 10])
    x, y = rng.normal(size=(16, 64)), rng.integers(0, 10, 16)
    d = eg.derive(net, "h1[3]", net.init(0), x, y)
    assert d.ok
    assert "other terms" in d.to_text()
    assert len(d.to_text().splitlines()) < 200
    deep = eg.FeedForward([2] * 120)
    d = eg.derive(deep, "h3[1]", deep.init(0), x[:, :2], y % 2)
    assert d.ok
    assert "more lie between" in d.to_text()
    long = eg.Recurrent(eg.LSTM(2, 3), 2)
    d = eg.derive(long, "W_f[0,1]", steps=60)
    assert d.ok
    assert "k = 0, …, 59" in d.to_text()
    assert len(d.to_text().splitlines()) < 400
