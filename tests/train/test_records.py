"""The records, as printed and as rows."""

import json

import pytest

import everygrad as eg
from everygrad.train import Epoch, Training, train
from tests.train.cases import blobs


def record(epochs: int, best: int, interrupted: bool = False) -> Training:
    history = tuple(Epoch(i, 1.0 / i, None, 2.0 / i, 0.5, {"W1": 0.25}, 0.1) for i in range(1, epochs + 1))
    return Training({"W1": 1.0}, {"W1": 2.0}, history, best, interrupted)


def test_rows_are_what_json_can_hold():
    assert record(1, 1).as_rows() == [
        {
            "epoch": 1,
            "loss": 1.0,
            "validation_loss": 2.0,
            "validation_accuracy": 0.5,
            "gradient_norms": {"W1": 0.25},
            "seconds": 0.1,
        }
    ]
    net, (x, y) = eg.FeedForward([5, 4, 3]), blobs()
    rows = train(net, net.init(0), x, y, epochs=2, progress=False).as_rows()
    assert json.loads(json.dumps(rows)) == rows
    assert list(rows[1]) == ["epoch", "loss", "accuracy", "gradient_norms", "seconds"]
    assert list(rows[1]["gradient_norms"]) == ["W1", "b1", "W2", "b2"]
    assert rows[1]["seconds"] > 0


def test_a_short_history_is_printed_whole():
    assert str(record(2, 2)).splitlines() == [
        "2 epochs",
        "epoch 1: loss 1, validation loss 2, validation accuracy 50.0 %",
        "epoch 2: loss 0.5, validation loss 1, validation accuracy 50.0 %  <- best",
    ]


def test_a_long_history_is_printed_in_part():
    lines = str(record(100, 98, interrupted=True)).splitlines()
    assert lines[0] == "100 epochs, interrupted"
    assert [int(line.split()[1].rstrip(":")) for line in lines[1:]] == [*range(1, 100, 9), 98, 100]
    assert [line for line in lines if line.endswith("<- best")] == [lines[-2]]


def test_nothing_done_yet():
    assert str(Training({}, {}, (), 0, True)) == "0 epochs, interrupted: the parameters so far"


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_short_form(interrupted):
    assert repr(record(3, 2, interrupted)) == f"Training(3 epochs, best 2{', interrupted' * interrupted}; W1)"
