"""Recurrent networks in a file: the same network again, the same gradients, and clear refusals."""

import json

import numpy as np
import pytest

import everygrad as eg
from everygrad import files
from everygrad.errors import FileFormatError
from everygrad.files.architecture import build, describe
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import SoftmaxCrossEntropy

NETWORKS = {
    "elman": eg.Recurrent(eg.Elman(2, 3, activation=Elementwise("leaky_relu", slope=0.2), bias=False), 4),
    "lstm": eg.Recurrent(eg.LSTM(2, 5, projection=3, forget_bias=2), 2, read="mean", layers=2, bidirectional=True),
    "gru": eg.Recurrent(
        eg.GRU(2, 3, reset="before"), 1, read="each", loss="squared_error", lengths=True, weighted=True
    ),
    "tokens": eg.Recurrent(eg.LSTM(2, 3), 2, embedding=(7, 2), lengths="mask", initial=True, remember="sqrt"),
    "loss": eg.Recurrent(eg.Elman(1, 2), 3, loss=SoftmaxCrossEntropy("sum")),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_network_comes_back(kind: str, dtype: str, tmp_path):
    net = NETWORKS[kind]
    params = net.init(3, dtype=dtype)
    eg.save(tmp_path / "n", net, params, {"seed": 3})
    again, loaded = eg.load(tmp_path / "n")
    assert type(again) is eg.Recurrent
    assert again == net
    assert str(again) == str(net)
    assert list(loaded) == list(net.shapes)
    for name, array in params.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
    assert files.read(tmp_path / "n").notes == {"seed": 3}


def test_the_gradients_are_bitwise_the_same(tmp_path):
    net = NETWORKS["lstm"]
    rng = np.random.default_rng(0)
    x, y, params = rng.normal(size=(3, 4, 2)), np.array([0, 1, 1]), net.init(0)
    eg.save(tmp_path / "n", net, params)
    again, loaded = eg.load(tmp_path / "n")
    mine, theirs = eg.gradients(net, params, x, y), eg.gradients(again, loaded, x, y)
    assert list(mine) == list(theirs)
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d.update(read="first"), "read='first'"),
        (lambda d: d.update(layers=0), "network.layers: expected a whole number"),
        (lambda d: d.update(layers=10**9), "a whole number in [1, 1000], got 1000000000"),
        (lambda d: d.update(outputs=True), "network.outputs"),
        (lambda d: d.update(lengths="masks"), "network.lengths: expected true or false"),
        (lambda d: d.update(embedding=3), "network.embedding: expected a list"),
        (lambda d: d.update(embedding=[3]), "embedding"),
        (lambda d: d.update(remember="all of it"), "remember='all of it'"),
        (lambda d: d.update(more=1), "'more' is unknown"),
        (lambda d: d.pop("cell"), "'cell' is missing"),
        (
            lambda d: d["cell"].update(name="lstn"),
            "network.cell.name: expected one of elman, lstm, gru, own, got 'lstn'",
        ),
        (lambda d: d["cell"].pop("projection"), "network.cell: 'projection' is missing"),
        (lambda d: d["cell"].update(units=2.5), "network.cell.units: expected a whole number"),
        (lambda d: d["cell"].update(units=3), "projection=3 must be smaller"),
        (lambda d: d["cell"].update(forget_bias="1"), "network.cell.forget_bias"),
        (lambda d: d.update(cell=[1]), "network.cell.name: expected a text"),
        (lambda d: d["loss"].update(name="tanh"), "network.loss"),
    ],
)
def test_descriptions_that_are_wrong_are_refused_with_their_place(spoil, message):
    described = json.loads(json.dumps(describe(NETWORKS["lstm"])))
    assert build(described, "network") == NETWORKS["lstm"]
    spoil(described)
    with pytest.raises(FileFormatError) as caught:
        build(described, "network")
    assert message in str(caught.value)


def test_parameters_of_another_network_are_refused(tmp_path):
    net = NETWORKS["elman"]
    params = net.init(0)
    params["W"] = np.zeros((2, 3))
    with pytest.raises(eg.errors.InputError, match=r"'W' has shape \(2, 3\), the network needs \(3, 3\)"):
        eg.save(tmp_path / "n", net, params)
