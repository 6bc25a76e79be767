"""Training on sequences of different length: as torch does it step by step; padding neither counts nor is looked at."""

import math

import numpy as np
import pytest
import torch

import everygrad as eg
from everygrad.checks.tolerance import EXACT, FRAMEWORK, assert_close
from everygrad.errors import InputError, NonFiniteError
from everygrad.graph.losses import SoftmaxCrossEntropy
from everygrad.train import SGD, Adam, objective, train
from tests.train.cases import torch_training
from tests.train.sequence_cases import SQUARED, elman_network, padded, sequences, torch_loss

STILL = SGD(1e-300)
DATA = sequences()


def given(read: str, counting: str | None = "lengths", weighted: bool = False) -> dict[str, np.ndarray]:
    """The arrays that such a network takes."""
    found = {"x": DATA["x"], "y": DATA["y"] if read == "last" else DATA["steps"]}
    if counting is not None:
        found[counting] = DATA[counting]
    if weighted:
        found["weight"] = DATA["weight"] if read == "last" else DATA["step_weight"]
    return found


def assert_same(found, expected, tol=FRAMEWORK):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert_close(np.asarray(found[name]), array, tol, name)


@pytest.mark.parametrize("read", ["last", "each"])
@pytest.mark.parametrize("counting", ["lengths", "mask"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_training_is_that_of_torch(read, counting, weighted):
    """Batches of 5 of 23 sequences: parameters, mean losses and gradient norms of three epochs."""
    net, start = elman_network(read, counting, weighted)
    data = given(read, counting, weighted)
    found = train(net, start, **data, epochs=3, batch_size=5, optimizer=Adam(0.01), seed=7, progress=False)
    weight = np.nan_to_num(data.get("weight", np.where(DATA["mask"], 1.0, 0.0) if read == "each" else np.ones(23)))
    rows = np.flatnonzero(weight.reshape(23, -1).any(1))  # a sequence of weight zero takes no part
    arrays = tuple(a[rows] for a in (np.nan_to_num(data["x"]), data["y"], DATA["lengths"], weight))
    params, losses, norms = torch_training(
        torch_loss(read), start, arrays, lambda p: torch.optim.Adam(p, lr=0.01), 3, 5, seed=7
    )
    assert_same(found.last, params)
    for epoch, expected in zip(found.history, norms, strict=True):
        assert_same(epoch.gradient_norms, expected)
    if not weighted and read == "last":  # else a batch counts as what it weighs: see below
        assert_close(np.array([e.loss for e in found.history]), np.array(losses), FRAMEWORK)


@pytest.mark.parametrize("read", ["last", "each"])
def test_a_regression_is_that_of_torch(read):
    net, start = elman_network(read, loss=SQUARED)
    shape = (23, 3) if read == "last" else (23, 6, 3)
    y = np.random.default_rng(5).normal(size=shape)
    data = {**given(read), "y": y if read == "last" else np.where(DATA["mask"][..., None], y, np.inf)}
    found = train(net, start, **data, epochs=2, batch_size=8, optimizer=SGD(0.05), progress=False)
    weight = np.ones(23) if read == "last" else DATA["mask"].astype(float)
    arrays = (np.nan_to_num(DATA["x"]), y, DATA["lengths"], weight)
    params, _, _ = torch_training(
        torch_loss(read, squared=True), start, arrays, lambda p: torch.optim.SGD(p, lr=0.05), 2, 8, seed=0
    )
    assert_same(found.last, params)
    assert found.history[0].accuracy is None


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("read", ["last", "each"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_reported_loss_and_accuracy_are_means_over_what_counts(reduction, read, weighted):
    net, start = elman_network(read, weighted=weighted, loss=SoftmaxCrossEntropy(reduction))
    data = given(read, weighted=weighted)
    total = right = mass = 0.0
    for n in range(23):
        h = np.zeros(4)
        for t in range(DATA["lengths"][n]):
            h = np.tanh(start["U"] @ DATA["x"][n, t] + start["b"] + start["W"] @ h)
            if read == "last" and t < DATA["lengths"][n] - 1:
                continue
            at = n if read == "last" else (n, t)
            z, label = start["V"] @ h + start["d"], data["y"][at]
            weight = data["weight"][at] if weighted else 1.0
            total += weight * (math.log(sum(math.exp(v) for v in z)) - z[label])
            right += weight * (max(range(3), key=lambda k, z=z: z[k]) == label)
            mass += weight
    (epoch,) = train(
        net, start, **data, validation=data, epochs=1, batch_size=5, optimizer=STILL, progress=False
    ).history
    assert_close(np.array([epoch.loss, epoch.validation_loss]), np.full(2, total / mass), EXACT)
    assert_close(np.array([epoch.accuracy, epoch.validation_accuracy]), np.full(2, right / mass), EXACT)


def test_without_padding_every_step_counts_the_same():
    net, start = elman_network("each", counting=None)
    x = np.random.default_rng(0).normal(size=(7, 4, 2))
    y = np.random.default_rng(1).integers(0, 3, size=(7, 4))
    (epoch,) = train(net, start, x, y, epochs=1, batch_size=3, optimizer=STILL, progress=False).history
    trace = eg.forward(net, start, x, y)
    assert_close(np.asarray(epoch.loss), trace.loss, EXACT)
    assert_close(np.asarray(epoch.accuracy), (trace["z"].argmax(-1) == y).mean(), EXACT)


@pytest.mark.parametrize("read", ["last", "each"])
@pytest.mark.parametrize("counting", ["lengths", "mask"])
def test_more_padding_changes_nothing(read, counting):
    net, start = elman_network(read, counting, weighted=True)
    data = given(read, counting, weighted=True)
    more = {name: padded(a, 3) if a.ndim > 1 else a for name, a in data.items()}
    assert more["x"].shape == (23, 9, 2)
    settings = {"epochs": 4, "batch_size": 5, "optimizer": Adam(0.01), "progress": False}
    found = train(net, start, **data, validation=data, **settings)
    again = train(net, start, **more, validation=more, **settings)
    assert_same(again.params, found.params, EXACT)
    for a, b in zip(again.history, found.history, strict=True):
        assert_close(np.array([a.loss, a.validation_loss]), np.array([b.loss, b.validation_loss]), EXACT)
        right, as_before = ([e.accuracy, e.validation_accuracy] for e in (a, b))
        assert_close(np.array(right), np.array(as_before), EXACT)


def test_an_elman_network_learns_to_remember():
    """The class is the sign of the first step; what follows, of different length, is noise."""
    rng = np.random.default_rng(0)
    n, time = 180, 6
    lengths = rng.integers(2, time + 1, size=n)
    x = 0.3 * rng.normal(size=(n, time, 2))
    y = np.arange(n) % 2
    x[:, 0, 0] = 2.0 * y - 1.0
    x[np.arange(time) >= lengths[:, None]] = np.nan
    net, start = elman_network("last", sizes=(2, 6, 2))
    held_out = {"x": x[120:], "y": y[120:], "lengths": lengths[120:]}
    found = train(
        net, start, x[:120], y[:120], lengths=lengths[:120], validation=held_out, epochs=25, learning_rate=0.05,
        progress=False,
    )  # fmt: skip
    z = eg.forward(net, found.params, **held_out, of="z")["z"]
    assert (z.argmax(-1) == held_out["y"]).mean() > 0.97
    assert found.history[found.best_epoch - 1].validation_accuracy == (z.argmax(-1) == held_out["y"]).mean()
    assert found.history[0].validation_accuracy < 0.9


def test_initial_states_are_cut_into_batches_too():
    net, start = elman_network("last", initial=True)
    data = {**given("last"), "h0": DATA["h0"]}
    found = train(net, start, **data, epochs=1, batch_size=23, optimizer=SGD(0.1), progress=False)
    g = eg.gradients(net, start, **data)
    for name, array in start.items():
        assert_close(found.last[name], array - 0.1 * g[name], EXACT, name)
    small = train(net, start, **data, epochs=1, batch_size=4, optimizer=STILL, progress=False).history[0]
    assert_close(np.asarray(small.loss), g.loss, EXACT)


def test_a_resumed_training_is_bitwise_the_same(tmp_path):
    net, start = elman_network("each", weighted=True)
    data, path = given("each", weighted=True), tmp_path / "run.ckpt"
    settings = {"batch_size": 5, "validation": data, "progress": False}
    whole = train(net, start, **data, epochs=5, **settings)
    train(net, start, **data, epochs=2, checkpoint=path, **settings)
    resumed = train(net, start, **data, epochs=5, checkpoint=path, resume=True, **settings)
    for name, array in whole.last.items():
        np.testing.assert_array_equal(resumed.last[name], array)
    other, _ = elman_network("each", weighted=True, activation="sin")
    with pytest.raises(InputError, match=r"belongs to another training(.|\n)*quantity h: scan.*a = .*sin\(a\)"):
        train(other, start, **data, epochs=5, checkpoint=path, resume=True, **settings)
    changed = {**data, "lengths": np.maximum(data["lengths"] - 1, 1)}
    with pytest.raises(InputError, match="training data contents"):
        train(net, start, **changed, epochs=5, checkpoint=path, resume=True, **settings)


def test_an_evaluation_is_cut_by_its_steps(monkeypatch):
    """Of sequences of 6 steps, 12 steps in a pass are two sequences; the means are the same."""
    net, start = elman_network("last")
    data, seen = given("last"), []
    settings = {"validation": data, "epochs": 1, "batch_size": 23, "optimizer": STILL, "progress": False}
    whole = train(net, start, **data, **settings).history[0]
    trace = objective.Objective.trace

    def counted(self, params, batch):
        seen.append(len(batch["x"]))
        return trace(self, params, batch)

    monkeypatch.setattr(objective, "STEPS", 12)
    monkeypatch.setattr(objective.Objective, "trace", counted)
    cut = train(net, start, **data, allow_empty_classes=True, **settings).history[0]
    assert seen == [23, *[2] * 11, 1]
    assert_close(np.asarray(cut.validation_loss), np.asarray(whole.validation_loss), EXACT)


def refused(error=InputError, read="last", counting="lengths", weighted=False, **changed) -> str:
    net, start = elman_network(read, counting, weighted)
    data = {n: a for n, a in {**given(read, counting, weighted), **changed}.items() if a is not None}
    with pytest.raises(error) as caught:
        train(net, start, **data, progress=False)
    assert type(caught.value) is error
    return str(caught.value)


def test_data_that_do_not_fit():
    assert "the network takes 3 data arrays, ['x', 'y', 'lengths']: lengths is missing" in refused(lengths=None)
    assert "mask is missing" in refused(counting="mask", mask=None)
    assert "lengths must be from 1 to 6, the number of steps, got 7 at index 4" in refused(
        lengths=np.where(np.arange(23) == 4, 7, DATA["lengths"])
    )
    assert "'lengths' has 22" in refused(lengths=DATA["lengths"][1:])
    assert "weight was given, the network takes ['x', 'y', 'lengths']" in refused(weight=DATA["weight"])
    assert "mask was given, the network takes ['x', 'y', 'lengths']: one made with lengths='mask' takes it" in refused(
        mask=DATA["mask"]
    )
    assert "unknown argument 'length'. Did you mean 'lengths'?" in refused(length=DATA["lengths"])
    said = refused(validation=(DATA["x"], DATA["y"]))
    assert "validation lengths is missing" in said
    said = refused(validation={**given("last"), "lengths": 0 * DATA["lengths"]})
    assert said.startswith("validation data: ")
    assert "got 0 at index 0" in said
    assert "weights of the steps must be non-negative" in refused(
        read="each", weighted=True, weight=np.where(DATA["mask"], -1.0, 0.0)
    )


def test_what_is_not_finite_is_named_if_it_counts():
    bad = DATA["x"].copy()
    bad[4, 0, 1] = np.inf
    said = refused(NonFiniteError, x=bad)
    assert said == "the array 'x' is not finite: x[4, 0, 1] = inf"
    weight = DATA["step_weight"].copy()
    weight[4, 0] = np.nan
    assert "weight[4, 0] = nan" in refused(NonFiniteError, read="each", weighted=True, weight=weight)


def test_a_class_that_only_the_padding_has_is_named():
    steps = np.where(DATA["mask"], DATA["steps"] % 2, 2)
    assert "class 2 of 3 has no sample" in refused(read="each", y=steps)
    weight = np.where(DATA["steps"] == 1, 0.0, 1.0)
    assert "class 1 of 3 has no sample" in refused(read="each", weighted=True, weight=weight)
    assert "class 1 of 3 has no sample" in refused(y=np.where(DATA["y"] == 1, 2, DATA["y"]))
