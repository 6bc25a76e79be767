"""The loop against the same training by torch's autograd; what it reports against plain definitions."""

import math

import jax
import numpy as np
import pytest
import torch

import everygrad as eg
from everygrad.checks.tolerance import EXACT, FRAMEWORK, SINGLE, assert_close
from everygrad.data import load
from everygrad.graph.losses import SoftmaxCrossEntropy
from everygrad.networks import GraphNetwork
from everygrad.train import SGD, Adam, Momentum, train
from tests.train.cases import blobs, skip_network, torch_skip_loss, torch_tanh_logits, torch_training

STILL = SGD(1e-300)
"""Changes no parameter: every sample is seen with the same ones."""

OPTIMIZERS = [
    (SGD(0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    (Momentum(0.05), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    (Adam(0.01), lambda p: torch.optim.Adam(p, lr=0.01)),
]
TARGETS = np.random.default_rng(8)

LOSSES = {
    "softmax_cross_entropy": (blobs()[1], lambda z, t: torch.nn.functional.cross_entropy(z, t)),
    "binary_cross_entropy": (
        (TARGETS.random((53, 3)) > 0.5).astype(float),
        lambda z, t: torch.nn.functional.binary_cross_entropy_with_logits(z, t, reduction="sum") / len(z),
    ),
    "squared_error": (TARGETS.normal(size=(53, 3)), lambda z, t: ((z - t) ** 2).sum() / len(z)),
}


def assert_same(found, expected, tol):
    for name, array in expected.items():
        assert_close(found[name], array, tol, name)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("optimizer", "in_torch"), OPTIMIZERS, ids=["sgd", "momentum", "adam"])
def test_a_training_is_that_of_torch(loss, optimizer, in_torch):
    """Batches of 8 of 53 samples, the last of 5: parameters, losses and gradient norms of three epochs."""
    x, (y, torch_loss) = blobs()[0], LOSSES[loss]
    net = eg.FeedForward([5, 4, 3], loss=loss)
    start = net.init(seed=2)
    params, losses, norms = torch_training(
        lambda p, x, t: torch_loss(torch_tanh_logits(p, x), t), start, (x, y), in_torch, 3, 8, seed=7
    )
    found = train(net, start, x, y, epochs=3, batch_size=8, optimizer=optimizer, seed=7, progress=False)
    assert_same(found.last, params, FRAMEWORK)
    assert_close(np.array([e.loss for e in found.history]), np.array(losses), FRAMEWORK)
    for epoch, expected in zip(found.history, norms, strict=True):
        assert epoch.gradient_norms.keys() == expected.keys()
        assert_same({n: np.asarray(v) for n, v in epoch.gradient_norms.items()}, expected, FRAMEWORK)


def test_a_graph_of_ones_own_is_trained():
    """Two paths that add, a scalar parameter, a penalty: as torch does it, the mean loss included."""
    net, start = skip_network()
    x, y = blobs()
    params, losses, _ = torch_training(
        torch_skip_loss, start, (x, y), lambda p: torch.optim.Adam(p, lr=0.01), 3, 8, seed=0
    )
    for network in (net, net.graph):
        found = train(network, start, x, y, epochs=3, batch_size=8, optimizer=Adam(0.01), progress=False)
        assert_same(found.last, params, FRAMEWORK)
        assert_close(np.array([e.loss for e in found.history]), np.array(losses), FRAMEWORK)
    assert found.history[0].accuracy is not None


def test_parameters_that_the_loss_does_not_use_are_kept():
    def f(x, y, *, W, V):
        a = W @ x
        spare = V @ a
        return {"spare": spare, "loss": eg.ops.softmax_cross_entropy(a, y)}

    net = GraphNetwork(eg.graph(f), "a", {"W": (3, 5), "V": (2, 3)})
    rng = np.random.default_rng(0)
    start = {"W": rng.normal(size=(3, 5)), "V": rng.normal(size=(2, 3))}
    found = train(net, start, *blobs(), epochs=1, progress=False)
    np.testing.assert_array_equal(found.params["V"], start["V"])
    assert not np.array_equal(found.params["W"], start["W"])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_reported_loss_and_accuracy_are_means_over_the_samples(reduction, weighted):
    """53 samples in batches of 8: the short one counts as what it is; so do weights, zero ones too."""
    x, y = blobs()
    w = np.random.default_rng(4).integers(0, 3, len(y)) * 0.7
    net = eg.FeedForward([5, 4, 3], loss=SoftmaxCrossEntropy(reduction), weighted=weighted)
    start = net.init(seed=2)
    h = np.tanh(x @ start["W1"].T + start["b1"])
    z = h @ start["W2"].T + start["b2"]
    each = [math.log(sum(math.exp(v) for v in row)) - row[label] for row, label in zip(z, y, strict=True)]
    right = [float(max(range(3), key=lambda k: row[k]) == label) for row, label in zip(z, y, strict=True)]
    weights = list(w) if weighted else [1.0] * len(y)
    mean = sum(c * v for c, v in zip(weights, each, strict=True)) / sum(weights)
    share = sum(c * v for c, v in zip(weights, right, strict=True)) / sum(weights)

    data = {"weight": w} if weighted else {}
    held_out = (x, y, w) if weighted else (x, y)
    (epoch,) = train(
        net, start, x, y, **data, validation=held_out, epochs=1, batch_size=8, optimizer=STILL, progress=False
    ).history
    assert_close(np.array([epoch.loss, epoch.validation_loss]), np.array([mean, mean]), EXACT)
    assert_close(np.array([epoch.accuracy, epoch.validation_accuracy]), np.array([share, share]), EXACT)


def test_a_long_evaluation_is_cut_and_still_exact():
    """2,500 samples are three forward passes; the means are those of one."""
    x, y = blobs(2500)
    net = eg.FeedForward([5, 4, 3])
    start = net.init(seed=2)
    (epoch,) = train(net, start, *blobs(), validation=(x, y), epochs=1, optimizer=STILL, progress=False).history
    trace = eg.forward(net, start, x, y)
    assert_close(np.asarray(epoch.validation_loss), trace.loss, EXACT)
    assert_close(np.asarray(epoch.validation_accuracy), (trace["a2"].argmax(-1) == y).mean(), EXACT)


def test_accuracy_of_other_targets():
    x, y = blobs()
    start = eg.FeedForward([5, 4, 3]).init(seed=2)
    z = np.tanh(x @ start["W1"].T + start["b1"]) @ start["W2"].T + start["b2"]

    def accuracy(loss, targets):
        net = eg.FeedForward([5, 4, 3], loss=loss)
        return train(net, start, x, targets, epochs=1, optimizer=STILL, progress=False).history[0].accuracy

    distributions = 0.2 * np.full((53, 3), 1 / 3) + 0.8 * np.eye(3)[y]
    assert_close(np.asarray(accuracy("softmax_cross_entropy", distributions)), (z.argmax(1) == y).mean(), EXACT)
    several = (np.random.default_rng(0).random((53, 3)) > 0.4).astype(float)
    agree = [(z[n, k] > 0) == (several[n, k] == 1) for n in range(53) for k in range(3)]
    assert_close(np.asarray(accuracy("binary_cross_entropy", several)), sum(agree) / len(agree), EXACT)
    assert accuracy("squared_error", several) is None


def test_one_output_takes_flat_targets():
    x, y = blobs(classes=2)
    net = eg.FeedForward([5, 4, 1], loss="binary_cross_entropy")
    start = net.init(seed=0)
    found = train(net, start, x, y.astype(float), epochs=30, optimizer="adam", learning_rate=0.02, progress=False)
    z = eg.forward(net, found.last, x, of="a2")["a2"][:, 0]
    assert ((z > 0) == (y == 1)).mean() > 0.9
    assert found.history[-1].accuracy > 0.9


def test_digits_are_learnt():
    data = load("digits")
    net = eg.FeedForward([64, 32, 16, 10], activation="tanh")
    held_out = (data.x_test, data.y_test)
    found = train(
        net, net.init(seed=0), data.x_train, data.y_train, validation=held_out, epochs=15, learning_rate=5e-3,
        progress=False,
    )  # fmt: skip
    z = eg.forward(net, found.params, data.x_test, of="a3")["a3"]
    assert (z.argmax(-1) == data.y_test).mean() > 0.95
    assert found.history[found.best_epoch - 1].validation_accuracy == (z.argmax(-1) == data.y_test).mean()


def test_single_precision_stays_single():
    net = eg.FeedForward([5, 4, 3])
    x, y = blobs()
    double = train(net, net.init(2), x, y, epochs=2, optimizer=SGD(0.1), progress=False)
    single = train(net, net.init(2, np.float32), x.astype(np.float32), y, epochs=2, optimizer=SGD(0.1), progress=False)
    assert {a.dtype for a in single.params.values()} == {np.dtype(np.float32)}
    assert_same(single.last, double.last, SINGLE)


def test_the_best_parameters_are_those_of_the_lowest_watched_loss():
    """Far too large steps make the loss go up and down; the oracle trains again, one epoch at a time."""
    net, (x, y) = eg.FeedForward([5, 8, 3]), blobs()
    start, held_out = net.init(0), blobs(40, seed=1)
    found = train(net, start, x, y, validation=held_out, epochs=8, optimizer=SGD(3.0), seed=5, progress=False)
    losses = [float(e.validation_loss) for e in found.history]
    assert found.best_epoch == 1 + losses.index(min(losses)) != 8
    rng, params = np.random.default_rng(5), start
    after = []
    for _ in range(8):
        params = train(net, params, x, y, epochs=1, optimizer=SGD(3.0), seed=rng, progress=False).last
        after.append(float(eg.forward(net, params, *held_out).loss))
    assert_close(np.array(losses), np.array(after), EXACT)
    assert_close(np.asarray(eg.forward(net, found.params, *held_out).loss), min(losses), EXACT)
    assert_close(np.asarray(eg.forward(net, found.last, *held_out).loss), losses[-1], EXACT)


def test_patience_stops():
    net, (x, y) = eg.FeedForward([5, 8, 3]), blobs()
    told = []
    found = train(net, net.init(0), x, y, epochs=50, optimizer=STILL, patience=3, progress=told.append)
    assert (len(found.history), found.best_epoch, found.interrupted) in {(4 + k, 1 + k, False) for k in range(3)}
    assert tuple(told) == found.history
    assert len(found.history) - found.best_epoch == 3


def test_a_generator_decides_the_order_and_nothing_else_does():
    net, (x, y) = eg.FeedForward([5, 4, 3]), blobs()
    np.random.seed(1)  # noqa: NPY002 (the global state, which must not matter)
    by_seed = train(net, net.init(0), x, y, epochs=2, seed=3, progress=False)
    np.random.seed(2)  # noqa: NPY002
    by_generator = train(net, net.init(0), x, y, epochs=2, seed=np.random.default_rng(3), progress=False)
    other = train(net, net.init(0), x, y, epochs=2, seed=4, progress=False)
    for name, array in by_seed.last.items():
        np.testing.assert_array_equal(array, by_generator.last[name])
    assert not np.array_equal(by_seed.last["W1"], other.last["W1"])


def test_a_batch_size_above_the_number_of_samples_takes_all():
    net, (x, y) = eg.FeedForward([5, 4, 3]), blobs()
    g = eg.gradients(net, net.init(0), x, y)
    found = train(net, net.init(0), x, y, epochs=1, batch_size=1000, optimizer=SGD(0.1), progress=False)
    for name, array in net.init(0).items():
        assert_close(found.last[name], array - 0.1 * g[name], EXACT, name)


def test_no_argument_is_written_to_and_none_is_returned():
    net, (x, y) = eg.FeedForward([5, 4, 3]), blobs()
    start = {name: np.asfortranarray(p) for name, p in net.init(0).items()}
    for array in (*start.values(), x, y):
        array.setflags(write=False)
    found = train(net, start, x, y, epochs=2, validation=(x, y), progress=False)
    assert not any(np.shares_memory(found.params[name], start[name]) for name in start)


def test_an_autoencoder_needs_one_array_only():
    def f(x, *, W, V):
        a = V @ eg.ops.tanh(W @ x)
        return eg.ops.squared_error(a, x)

    rng = np.random.default_rng(0)
    start = {"W": rng.normal(size=(2, 5)), "V": rng.normal(size=(5, 2))}
    x = blobs()[0]
    found = train(eg.graph(f), start, x, epochs=20, optimizer="adam", learning_rate=0.02, progress=False)
    after = ((np.tanh(x @ found.last["W"].T) @ found.last["V"].T - x) ** 2).sum() / 53
    before = ((np.tanh(x @ start["W"].T) @ start["V"].T - x) ** 2).sum() / 53
    assert after < 0.6 * before


def test_a_third_array_need_not_be_a_weight():
    """Features that come apart, with zeros among them: by their name, and every sample counts the same."""

    def f(x, y, more, *, W, V):
        a = W @ x + V @ more
        return eg.ops.softmax_cross_entropy(a, y)

    net = GraphNetwork(eg.graph(f), "a", {"W": (3, 5), "V": (3, 2)})
    rng = np.random.default_rng(0)
    start = {"W": rng.normal(size=(3, 5)), "V": rng.normal(size=(3, 2))}
    x, y = blobs()
    more = np.where(np.arange(53)[:, None] % 4 == 0, 0.0, rng.normal(size=(53, 2)))
    (epoch,) = train(net, start, x, y, more=more, epochs=1, batch_size=8, optimizer=STILL, progress=False).history
    z = x @ start["W"].T + more @ start["V"].T
    each = [math.log(sum(math.exp(v) for v in row)) - row[label] for row, label in zip(z, y, strict=True)]
    assert_close(np.asarray(epoch.loss), sum(each) / 53, EXACT)
    assert_close(np.asarray(epoch.accuracy), (z.argmax(1) == y).mean(), EXACT)


def test_names_go_before_places():
    """x and y are the graph's own, in whichever order it takes them; a weight is what a loss takes for one."""

    def f(w, y, x, *, W):
        return eg.ops.softmax_cross_entropy(W @ x, y, w)

    graph, start = eg.graph(f), {"W": np.random.default_rng(0).normal(size=(3, 5))}
    x, y = blobs()
    w = np.arange(53) % 4 * 1.0
    found = train(graph, start, x, y, weight=w, epochs=1, batch_size=53, optimizer=SGD(0.1), progress=False)
    g = eg.gradients(graph, start, w, y, x)
    assert_close(found.last["W"], start["W"] - 0.1 * g["W"], EXACT)
    assert_close(np.asarray(found.history[0].loss), g.loss, EXACT)


def test_tensors_and_jax_arrays_are_trained_as_numpys_are():
    """Parameters that torch would record are trained without a record."""
    net, x, t = eg.FeedForward([5, 4, 3], loss="squared_error"), blobs()[0], LOSSES["squared_error"][0]
    start = net.init(0)
    ours = train(net, start, x, t, epochs=2, batch_size=53, optimizer=SGD(0.1), progress=False)
    with jax.enable_x64(True):
        for kind, make in ((torch.Tensor, torch.tensor), (jax.Array, jax.numpy.asarray)):
            params = {name: make(p) for name, p in start.items()}
            if kind is torch.Tensor:
                params["W1"].requires_grad_()
            found = train(net, params, make(x), make(t), epochs=2, batch_size=53, optimizer=SGD(0.1), progress=False)
            assert all(isinstance(p, kind) for p in found.params.values())
            assert not getattr(found.params["W1"], "requires_grad", False)
            assert_same(found.last, ours.last, FRAMEWORK)


def test_norms_of_tiny_gradients_do_not_underflow():
    """Gradients of 1e-25 in single precision: their squares are zero there, their norms are not."""
    net = eg.FeedForward([2, 1], loss="squared_error", bias=False)
    x, y = np.full((4, 2), 1e-25, np.float32), np.full((4, 1), 3.0, np.float32)
    start = {"W1": np.zeros((1, 2), np.float32)}
    (epoch,) = train(net, start, x, y, epochs=1, progress=False).history
    assert_close(np.asarray(epoch.gradient_norms["W1"]), 2 * 3.0 * 1e-25 * math.sqrt(2), SINGLE)
