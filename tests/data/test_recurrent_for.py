"""The recurrent network that fits a data set, against plain loops over samples and steps; and trained by name."""

import math

import numpy as np
import pytest

import everygrad as eg
from everygrad.checks.tolerance import assert_close
from everygrad.data import load, network_for, recurrent_for
from everygrad.errors import InputError, UnknownNameError
from everygrad.networks import LSTM, Elman

RNG = np.random.default_rng(0)
ROWS, TIME = 12, 5
LENGTHS = np.array([5, 1, 3, 2, 5, 4, 3, 3, 1, 2, 4, 5])
USED = np.arange(TIME) < LENGTHS[:, None]
ARRAYS = {
    "x": RNG.normal(size=(ROWS, TIME, 2)),
    "tokens": RNG.integers(0, 7, size=(ROWS, TIME)),
    "labels": np.arange(ROWS) % 3,
    "step_labels": RNG.integers(0, 3, size=(ROWS, TIME)),
    "numbers": RNG.normal(size=(ROWS, 2)),
    "step_numbers": RNG.normal(size=(ROWS, TIME, 2)),
    "weight": RNG.random(ROWS),
}


@pytest.fixture
def read(tmp_path):
    def reading(x="x", y="labels", **more):
        np.savez(tmp_path / "set.npz", x=ARRAYS[x], y=ARRAYS[y], **more)
        return load(tmp_path / "set.npz", sequences=True)

    return reading


def plain_loss(d, params) -> float:
    """The loss of an Elman network on the training part, from its definition."""
    data = d.training
    used = data.get("mask", np.ones(data["x"].shape[:2], bool))
    if "lengths" in data:
        used = np.arange(used.shape[1]) < data["lengths"][:, None]
    total = mass = 0.0
    for n in range(len(used)):
        h = np.zeros(len(params["b"]))
        last = int(np.flatnonzero(used[n])[-1])
        for t in np.flatnonzero(used[n]):
            x = data["x"][n, t] if d.vocabulary is None else params["E"][data["x"][n, t]]
            h = np.tanh(params["U"] @ x + params["b"] + params["W"] @ h)
            if not d.per_step and t != last:
                continue
            at = (n, t) if d.per_step else n
            z = params["V"] @ h + params["b_V"]
            if d.task == "regression":
                term = ((z - data["y"][at]) ** 2).sum()
            else:
                term = math.log(np.exp(z).sum()) - z[data["y"][at]]
            w = data["weight"][at] if "weight" in data else 1.0
            total, mass = total + w * term, mass + w
    return total / mass


CASES = {
    "features": {},
    "tokens": {"x": "tokens"},
    "lengths": {"lengths": LENGTHS},
    "mask": {"x": "tokens", "mask": USED},
    "holes": {"mask": USED | (np.arange(TIME) == 3)},
    "weights": {"lengths": LENGTHS, "weight": ARRAYS["weight"]},
    "labels of steps": {"x": "tokens", "y": "step_labels", "lengths": LENGTHS},
    "labels of steps without padding": {"y": "step_labels", "weight": ARRAYS["weight"]},
    "weights of steps": {"y": "step_labels", "mask": USED, "weight": RNG.random((ROWS, TIME))},
    "regression": {"y": "numbers", "lengths": LENGTHS},
    "regression of steps": {"y": "step_numbers", "lengths": LENGTHS, "weight": ARRAYS["weight"]},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_network_takes_what_the_data_have(read, case):
    d = read(**case)
    net = recurrent_for(d, "elman", 4)
    params = net.init(3)
    assert set(net.graph.data) == set(d.training)
    found = eg.gradients(net, params, **d.training)
    assert_close(found.loss, plain_loss(d, params))
    after = eg.train(
        net, params, **d.training, validation=d.held_out, epochs=3, progress=False, allow_empty_classes=True
    )
    assert after.history[-1].loss < after.history[0].loss


@pytest.mark.parametrize(("name", "cell"), [("digits-rows", "gru"), ("digits-pixels", "elman"), ("gunpoint", "lstm")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_built_in_sequences_have_their_networks(name, cell, dtype):
    d = load(name, dtype=dtype)
    net = network_for(d, [6, 6], cell=cell)
    assert (net.read, net.depth, net.outputs, net.loss.name) == ("last", 2, d.outputs, "softmax_cross_entropy")
    assert (net.cell.inputs, net.cell.units) == (d.x_train.shape[2], 6)
    batch = {n: a[:8] for n, a in d.held_out.items()}
    g = eg.gradients(net, net.init(0, dtype), **batch)
    assert g.loss.dtype == dtype
    assert_close(g.loss, math.log(d.outputs), 0.5)  # not trained: all classes alike
    assert g["x"].shape == batch["x"].shape


def test_an_elman_network_reads_digits():
    d = load("digits-rows")
    net = recurrent_for(d, "elman", 24)
    found = eg.train(
        net, net.init(0), **d.training, validation=d.held_out, epochs=8, learning_rate=5e-3, progress=False
    )
    assert found.history[found.best_epoch - 1].validation_accuracy > 0.93


def test_sunspots_are_better_predicted_than_by_the_last_year():
    d = load("sunspots")
    net = recurrent_for(d, "elman", 16)
    found = eg.train(
        net, net.init(0), **d.training, validation=d.held_out, epochs=15, learning_rate=1e-2, progress=False
    )
    predicted = d.target_scaling.undo(eg.forward(net, found.params, **d.held_out)[net.prediction])
    actual, last = d.target_scaling.undo(d.y_test), d.scaling.undo(d.x_test)[:, -1]
    assert np.square(predicted - actual).mean() < 0.6 * np.square(last - actual).mean()


def test_sizes(read):
    tokens = read("tokens")
    assert recurrent_for(tokens).embedding == (7, 7)
    assert recurrent_for(tokens, embedding=3).shapes["E"] == (7, 3)
    assert recurrent_for(tokens, embedding=3, layers=2, bidirectional=True).cell.inputs == 3
    assert network_for(tokens).cell.units == 32
    own = Elman(2, 5, "relu")
    net = recurrent_for(read(), own, read="mean")
    assert (net.cell, net.read) == (own, "mean")
    assert recurrent_for(read(), "elman", 4, activation="relu").cell == Elman(2, 4, "relu")
    assert recurrent_for(read(), loss="binary_cross_entropy").loss.name == "binary_cross_entropy"


def test_what_does_not_fit(read):
    with pytest.raises(UnknownNameError, match=r"unknown recurrent cell 'lsmt'\. Did you mean 'lstm'"):
        recurrent_for(read(), "lsmt")
    with pytest.raises(InputError, match="wine holds rows of features, a recurrent network takes sequences"):
        recurrent_for(load("wine"))
    with pytest.raises(InputError, match="the cell takes 3 inputs, set has 2 at each step"):
        recurrent_for(read(), LSTM(3, 4))
    with pytest.raises(InputError, match="embedding=4: set has features at each step, no tokens"):
        recurrent_for(read(), embedding=4)
    with pytest.raises(InputError, match="activation='relu' is for an elman cell: gru has its own"):
        recurrent_for(read(), "gru", activation="relu")
    with pytest.raises(InputError, match="read='last', but the target of set is per step: read='each'"):
        recurrent_for(read(y="step_labels"), read="last")
    with pytest.raises(InputError, match="the same number of units, got 8, 4"):
        network_for(read(), [8, 4])
