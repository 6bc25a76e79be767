"""Recurrent networks in training: every cell, read-out and direction, and what must not matter to them."""

import jax
import numpy as np
import pytest
import torch

import everygrad as eg
from everygrad.checks.tolerance import EXACT, FRAMEWORK, SINGLE, assert_close
from everygrad.networks import GRU, LSTM, Elman, Recurrent
from everygrad.train import SGD, Adam, train
from tests.train.sequence_cases import padded, sequences

DATA = sequences()
SETTINGS = {"epochs": 2, "batch_size": 12, "optimizer": SGD(0.1), "progress": False}

NETWORKS = {
    "elman": (Elman(2, 4), {}),
    "lstm": (LSTM(2, 4), {}),
    "lstm with projection": (LSTM(2, 4, projection=3), {}),
    "gru": (GRU(2, 4), {}),
    "two layers": (GRU(2, 3), {"layers": 2}),
    "both directions": (LSTM(2, 3), {"bidirectional": True}),
    "two layers, both directions": (Elman(2, 3), {"layers": 2, "bidirectional": True}),
    "segments": (LSTM(2, 3), {"remember": "sqrt"}),
}


def case(cell, read="last", lengths=True, **options) -> tuple[Recurrent, dict[str, np.ndarray], dict[str, np.ndarray]]:
    net = Recurrent(cell, 3, read=read, lengths=lengths, weighted=True, **options)
    counting = "mask" if lengths == "mask" else "lengths"
    y, weight = ("steps", "step_weight") if read == "each" else ("y", "weight")
    data = {"x": DATA["x"], "y": DATA[y], counting: DATA[counting], "weight": DATA[weight]}
    return net, net.init(1), data


def assert_same(found, expected, tol):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert_close(np.asarray(found[name]), array, tol, name)


@pytest.mark.parametrize("read", ["last", "each", "mean"])
@pytest.mark.parametrize(("cell", "options"), NETWORKS.values(), ids=NETWORKS)
def test_more_padding_changes_nothing(cell, options, read):
    """Three steps more at the end, of NaN and labels of −7: the same parameters, losses and accuracy."""
    net, start, data = case(cell, read, **options)
    found = train(net, start, **data, validation=data, **SETTINGS)
    more = {name: padded(a, 3) if a.ndim > 1 else a for name, a in data.items()}
    again = train(net, start, **more, validation=more, **SETTINGS)
    assert_same(again.last, found.last, EXACT)
    for a, b in zip(again.history, found.history, strict=True):
        rows = [[e.loss, e.accuracy, e.validation_loss, e.validation_accuracy] for e in (a, b)]
        assert_close(np.array(rows[0]), np.array(rows[1]), EXACT)


@pytest.mark.parametrize("read", ["last", "each", "mean"])
@pytest.mark.parametrize("lengths", [True, "mask"])
def test_one_step_is_one_step_of_the_gradient(read, lengths):
    net, start, data = case(LSTM(2, 4), read, lengths)
    found = train(net, start, **data, epochs=1, batch_size=23, optimizer=SGD(0.1), progress=False)
    g = eg.gradients(net, start, **data)
    assert_same(found.last, {name: p - 0.1 * g[name] for name, p in start.items()}, EXACT)
    assert_close(np.asarray(found.history[0].loss), g.loss, EXACT)


@pytest.mark.parametrize("remember", ["all", "sqrt"])
def test_initial_states_come_with_their_rows(remember):
    """Batches of 5 with the states of these rows: the losses of a still network are those of all rows."""
    net = Recurrent(LSTM(2, 4), 3, initial=True, lengths=True, remember=remember)
    data = {n: DATA[n] for n in ("x", "y", "lengths", "h0")} | {"c0": DATA["h0"][::-1].copy()}
    start = net.init(1)
    still = train(net, start, **data, **{**SETTINGS, "epochs": 1, "optimizer": SGD(1e-300)}).history[0]
    assert_close(np.asarray(still.loss), eg.forward(net, start, **data).loss, EXACT)


@pytest.mark.parametrize("cell", [LSTM(2, 5), GRU(2, 5)], ids=["lstm", "gru"])
def test_a_recurrent_network_learns_to_remember(cell):
    """The class is the sign of the first step; what follows, of different length, is noise."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 6, size=120)
    x, y = 0.3 * rng.normal(size=(120, 5, 2)), np.arange(120) % 2
    x[:, 0, 0] = 2.0 * y - 1.0
    x[np.arange(5) >= lengths[:, None]] = np.nan
    net = Recurrent(cell, 2, lengths=True)
    start, (training, held_out) = (
        net.init(0),
        ({"x": x[part], "y": y[part], "lengths": lengths[part]} for part in (slice(80), slice(80, 120))),
    )
    found = train(net, start, **training, validation=held_out, epochs=12, learning_rate=0.1, progress=False)
    z = eg.forward(net, start, **held_out)[net.prediction]
    assert (z.argmax(-1) == held_out["y"]).mean() < 0.8
    assert found.history[found.best_epoch - 1].validation_accuracy > 0.97


@pytest.mark.parametrize("read", ["last", "each"])
def test_a_resumed_training_is_bitwise_the_same(read, tmp_path):
    net, start, data = case(Elman(2, 3), read, layers=2, bidirectional=True)
    settings = {"batch_size": 12, "optimizer": Adam(0.01), "validation": data, "progress": False}
    whole = train(net, start, **data, epochs=3, **settings)
    path = tmp_path / "run.ckpt"
    train(net, start, **data, epochs=1, checkpoint=path, **settings)
    resumed = train(net, start, **data, epochs=3, checkpoint=path, resume=True, **settings)
    for name, array in whole.last.items():
        np.testing.assert_array_equal(resumed.last[name], array)


def test_single_precision_stays_single():
    net, start, data = case(LSTM(2, 4))
    double = train(net, start, **data, **SETTINGS)
    narrow = {n: a.astype(np.float32) if a.dtype == np.float64 else a for n, a in data.items()}
    single = train(net, {n: p.astype(np.float32) for n, p in start.items()}, **narrow, **SETTINGS)
    assert {p.dtype for p in single.last.values()} == {np.dtype(np.float32)}
    assert_same(single.last, double.last, SINGLE)


@pytest.mark.parametrize("lengths", [True, "mask"])
def test_tensors_are_trained_as_numpys_arrays_are(lengths):
    net, start, data = case(GRU(2, 4), "each", lengths)
    settings = {**SETTINGS, "epochs": 1, "batch_size": 12}
    ours = train(net, start, **data, **settings)
    params, arrays = ({n: torch.tensor(a) for n, a in given.items()} for given in (start, data))
    found = train(net, params, **arrays, **settings)
    assert all(isinstance(p, torch.Tensor) for p in found.params.values())
    assert_same(found.last, ours.last, FRAMEWORK)


def test_jax_arrays_are_trained_as_numpys_are():
    """One batch, as every shape is compiled."""
    net, start, data = case(Elman(2, 4), "each")
    settings = {**SETTINGS, "epochs": 1, "batch_size": 23}
    ours = train(net, start, **data, **settings, allow_empty_classes=True)
    with jax.enable_x64(True):
        params, arrays = ({n: jax.numpy.asarray(a) for n, a in given.items()} for given in (start, data))
        found = train(net, params, **arrays, **settings, allow_empty_classes=True)
    assert all(isinstance(p, jax.Array) for p in found.params.values())
    assert_same(found.last, ours.last, FRAMEWORK)


def test_tokens():
    """Padding of −7 is no token, and its row of the table no business of anybody's."""
    rng = np.random.default_rng(2)
    x = np.where(DATA["mask"], rng.integers(0, 5, size=(23, 6)), -7)
    net = Recurrent(LSTM(3, 4), 3, embedding=(6, 3), lengths=True)
    start = net.init(0)
    found = train(net, start, x, DATA["y"], lengths=DATA["lengths"], **{**SETTINGS, "batch_size": 23, "epochs": 1})
    g = eg.gradients(net, start, np.where(DATA["mask"], x, 0), DATA["y"], lengths=DATA["lengths"])
    assert_same(found.last, {name: p - 0.1 * g[name] for name, p in start.items()}, EXACT)
    np.testing.assert_array_equal(found.last["E"][5], start["E"][5])  # a token that does not occur
