"""Bad input is refused before the first batch; what goes wrong later is named, and nothing is lost."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import everygrad as eg
from everygrad.errors import InputError, NonFiniteError, UnknownNameError
from everygrad.train import SGD, Adam, train
from tests.train.cases import blobs

NET = eg.FeedForward([5, 4, 3])
START = NET.init(0)
X, Y = blobs()


def refused(error=InputError, net=NET, params=START, x=X, y=Y, **arguments) -> str:
    """The message, and nobody was told of an epoch."""
    told = []
    with pytest.raises(error) as caught:
        train(net, params, x, y, **({"progress": told.append} | arguments))
    assert told == []
    assert type(caught.value) is error
    return str(caught.value)


def test_every_wrong_argument_at_once():
    said = refused(epochs=0, batch_size=-3, patience=0, checkpoint_every=True, resume=True, learning_rate=0.0)
    for line in (
        "6 problems",
        "epochs must be a whole number of at least 1, got 0",
        "batch_size must be a whole number of at least 1, got -3",
        "patience must be a whole number of at least 1, got 0",
        "checkpoint_every must be a whole number of at least 1, got True",
        "resume=True needs the file",
        "learning_rate must be a finite number above 0, got 0.0",
    ):
        assert line in said
    assert "Did you mean 'momentum'" in refused(UnknownNameError, optimizer="momentun")
    assert "got nan" in refused(learning_rate=float("nan"))
    assert "has its own" in refused(optimizer=Adam(), learning_rate=0.1)
    assert "seed must be" in refused(seed=-1)


def test_data_that_do_not_fit():
    assert "'h0' has 53, 'y' has 52" in refused(y=Y[:-1])
    assert "empty batch" in refused(x=X[:0], y=Y[:0])
    assert "got 3 at index 2" in refused(y=np.where(np.arange(53) == 2, 3, Y))
    assert "got -1 at index 5" in refused(y=np.where(np.arange(53) == 5, -1, Y))
    assert "must be integers, got dtype float64" in refused(y=Y.astype(float))
    said = refused(x=X[:, :4], params={**START, "W2": START["W2"].T})
    assert "'W2' has shape (4, 3), the network needs (3, 4)" in said
    assert "so h must have 5 features, has 4" in refused(x=X[:, :4])
    assert "'h0' has dtype float32" in refused(x=X.astype(np.float32))
    assert "parameter 'b2' is missing" in refused(params={n: p for n, p in START.items() if n != "b2"})


def test_as_many_arrays_as_the_network_takes():
    assert "y is missing" in refused(y=None)
    assert "weight was given, the network takes ['h0', 'y']: one made with weighted=True takes it" in refused(
        weight=np.ones(53)
    )
    weighted = eg.FeedForward([5, 4, 3], weighted=True)
    assert "weight is missing" in refused(net=weighted)
    assert "validation weight is missing" in refused(net=weighted, weight=np.ones(53), validation=(X, Y))
    assert "must be non-negative and must not all be zero" in refused(net=weighted, weight=np.zeros(53))

    def four(x, y, weight, more, *, W):
        return eg.ops.softmax_cross_entropy(W @ x + W @ more, y, weight)

    graph, start = eg.graph(four), {"W": np.ones((3, 5))}
    said = refused(net=graph, params=start, y=None)
    assert "the network takes 4 data arrays, ['x', 'y', 'weight', 'more']: y is missing" in said
    assert "3 problems" in said
    assert "more is missing" in said
    said = refused(net=graph, params=start, weight=np.ones(53), more=X, mor=X, epoch=3)
    assert "2 problems" in said
    assert "unknown argument 'mor'. Did you mean 'more'?" in said
    assert "unknown argument 'epoch'. Did you mean 'epochs'?" in said
    named = {"x": X, "y": Y, "more": X[1:]}
    said = refused(net=graph, params=start, weight=np.ones(53), more=X, validation=named)
    assert "validation weight is missing" in said
    said = refused(net=graph, params=start, weight=np.ones(53), more=X, validation={**named, "weight": np.ones(53)})
    assert said.startswith("validation data: ")
    assert "'more' has 52" in said
    assert "h0 was given twice" in refused(h0=X)


def test_validation_that_does_not_fit():
    assert "got a tuple of 4" in refused(validation=(X, Y, Y, Y))
    assert "validation y is missing" in refused(validation=(X,))
    said = refused(validation=(X, Y[:-1]))
    assert said.startswith("validation data: ")
    assert "'y' has 52" in said
    bad = X.copy()
    bad[7, 1] = np.inf
    assert "the array 'validation x' is not finite: validation x[7, 1] = inf" in refused(
        NonFiniteError, validation=(bad, Y)
    )


def test_what_is_not_finite_is_named():
    bad = X.copy()
    bad[3, 2] = np.nan
    assert refused(NonFiniteError, x=bad) == "the array 'x' is not finite: x[3, 2] = nan"
    W = START["W1"].copy()
    W[1, 4] = -np.inf
    assert refused(NonFiniteError, params={**START, "W1": W}) == "the parameter 'W1' is not finite: W1[1, 4] = -inf"
    regression = eg.FeedForward([5, 4, 1], loss="squared_error")
    t = np.zeros((53, 1))
    t[9] = np.nan
    assert "y[9, 0] = nan" in refused(NonFiniteError, net=regression, params=regression.init(0), y=t)


def test_a_class_without_a_sample_is_named():
    few = np.where(Y == 1, 2, Y)
    assert "class 1 of 3 has no sample" in refused(y=few)
    assert "class 1 of 3 has no sample" in refused(y=np.eye(3)[few])
    weighted = eg.FeedForward([5, 4, 3], weighted=True)
    assert "class 1 of 3 has no sample" in refused(net=weighted, weight=(Y != 1).astype(float))
    binary = eg.FeedForward([5, 4, 1], loss="binary_cross_entropy")
    assert "class 1 has no sample" in refused(net=binary, params=binary.init(0), y=np.zeros(53))
    assert "class 0 has no sample" in refused(net=binary, params=binary.init(0), y=np.ones((53, 1)))
    several = eg.FeedForward([5, 4, 3], loss="binary_cross_entropy")
    said = refused(net=several, params=several.init(0), y=np.eye(3)[few])
    assert "class 1 of output 1 has no sample" in said
    assert "1 problem\n" in said


@pytest.mark.parametrize(
    ("net", "y"),
    [
        (NET, np.where(Y == 1, 2, Y)),
        (eg.FeedForward([5, 4, 1], loss="binary_cross_entropy"), np.zeros(53)),
    ],
    ids=["softmax", "binary"],
)
def test_it_may_be_allowed(net, y):
    found = train(net, net.init(0), X, y, epochs=30, learning_rate=0.05, allow_empty_classes=True, progress=False)
    assert found.history[-1].loss < 0.5 * found.history[0].loss


def test_soft_targets_of_binary_cross_entropy_have_no_classes():
    net = eg.FeedForward([5, 4, 2], loss="binary_cross_entropy")
    soft = np.stack([np.full(53, 0.3), np.zeros(53)], axis=1)
    assert len(train(net, net.init(0), X, soft, epochs=1, progress=False).history) == 1


def regression_that_diverges():
    net = eg.FeedForward([5, 1], loss="squared_error")
    return net, net.init(0), X, X @ np.arange(1.0, 6.0)[:, None]


def test_a_training_that_diverges_keeps_the_best(tmp_path):
    """The steps grow without end: epoch and batch are those where plain NumPy finds the first infinity."""
    net, start, x, t = regression_that_diverges()
    W, b, rng = start["W1"], start["b1"], np.random.default_rng(0)
    where = None
    with np.errstate(all="ignore"):
        for step in range(10_000):
            if step % 7 == 0:
                order = rng.permutation(53)
            rows = order[8 * (step % 7) : 8 * (step % 7) + 8]
            r = x[rows] @ W.T + b - t[rows]
            gradient = 2 / len(rows) * r.T @ x[rows]
            if not (np.isfinite((r**2).sum() / len(rows)) and np.isfinite(gradient).all()):
                where = f"epoch {step // 7 + 1}, batch {step % 7 + 1}:"
                break
            W, b = W - 5.0 * gradient, b - 5.0 * 2 / len(rows) * r.sum(0)
    path = tmp_path / "run.ckpt"
    with pytest.raises(NonFiniteError) as caught:
        train(net, start, x, t, epochs=200, batch_size=8, optimizer=SGD(5.0), progress=False, checkpoint=path,
              checkpoint_every=1000)  # fmt: skip
    said = str(caught.value)
    assert where is not None
    assert said.startswith(where)
    assert "the quantity 'loss' is not finite: loss = inf" in said
    assert "A learning rate below 5 may help" in said
    found = caught.value.training
    losses = [epoch.loss for epoch in found.history]
    assert len(losses) == int(where.split()[1].rstrip(",")) - 1
    assert found.best_epoch == 1 + losses.index(min(losses))
    once = train(net, start, x, t, epochs=1, batch_size=8, optimizer=SGD(5.0), progress=False)
    np.testing.assert_array_equal(found.params["W1"], once.params["W1"])
    assert all(np.isfinite(p).all() for p in found.params.values())
    with pytest.raises(NonFiniteError) as again:
        train(net, start, x, t, epochs=200, batch_size=8, optimizer=SGD(5.0), progress=False, checkpoint=path,
              checkpoint_every=1000, resume=True)  # fmt: skip
    assert str(again.value) == said


def test_the_start_is_what_is_left_when_the_first_epoch_diverges():
    net, start, x, t = regression_that_diverges()
    with pytest.raises(NonFiniteError, match=r"epoch 1, batch [2-7]") as caught:
        train(net, start, x, t, batch_size=8, optimizer=SGD(1e300), progress=False)
    found = caught.value.training
    assert (found.best_epoch, found.history, found.interrupted) == (0, (), True)
    for name, array in start.items():
        np.testing.assert_array_equal(found.params[name], array)


def test_the_last_step_of_an_epoch_is_looked_at_too():
    net, start, x, t = regression_that_diverges()
    with pytest.raises(NonFiniteError, match=r"epoch 1, after the last batch: the parameter 'W1' is not finite"):
        train(net, start, x, t, batch_size=53, epochs=1, optimizer=SGD(1.7e308), progress=False)


def test_validation_that_overflows_is_named():
    net, start, x, t = regression_that_diverges()
    with pytest.raises(NonFiniteError, match=r"epoch 1, validation data: .* the quantity 'loss' is not finite"):
        train(net, start, x, t, epochs=1, validation=(x, 1e200 * t), progress=False)


WITHOUT_ANNOTATIONS_CHECKED = """
import numpy as np
import everygrad as eg
from everygrad.errors import InputError
from everygrad.train import train

net, x, y = eg.FeedForward([2, 2]), np.eye(2), np.arange(2)
for wrong in ({"epochs": 2.5}, {"batch_size": "8"}, {"validation": x}, {"validation": 0.2}, {"seed": "a"}):
    try:
        train(net, net.init(0), x, y, progress=False, **wrong)
    except InputError as error:
        print(error)
"""


def test_arguments_of_another_type():
    """In a process of its own: here the annotations are checked, and would be the ones to complain."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "-c", WITHOUT_ANNOTATIONS_CHECKED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    for said in (
        "epochs must be a whole number of at least 1, got 2.5",
        "batch_size must be a whole number of at least 1, got '8'",
        "validation must be (x, y) or (x, y, weight), or a dict of all arrays by name, got a ndarray",
        "validation must be (x, y) or (x, y, weight), or a dict of all arrays by name, got a float",
        "seed must be",
    ):
        assert said in done.stdout
