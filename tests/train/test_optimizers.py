"""The update rules against torch.optim and optax, on gradients of every size."""

import jax
import numpy as np
import optax
import pytest
import torch

from everygrad.checks.tolerance import FRAMEWORK, SINGLE, assert_close
from everygrad.errors import InputError, UnknownNameError
from everygrad.train import SGD, Adam, Momentum
from everygrad.train.optimizers import make_optimizer

STEPS = 50

RULES = [
    (SGD(0.3), lambda p: torch.optim.SGD(p, lr=0.3), optax.sgd(0.3)),
    (Momentum(0.05, 0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), optax.sgd(0.05, momentum=0.9)),
    (
        Momentum(0.05, 0.8, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True),
        optax.sgd(0.05, momentum=0.8, nesterov=True),
    ),
    (Adam(), lambda p: torch.optim.Adam(p, lr=1e-3), optax.adam(1e-3)),
    (
        Adam(0.02, beta1=0.7, beta2=0.95, epsilon=1e-3),
        lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.7, 0.95), eps=1e-3),
        optax.adam(0.02, b1=0.7, b2=0.95, eps=1e-3),
    ),
]
NAMES = ["sgd", "momentum", "nesterov", "adam", "adam with its own numbers"]


def start_and_gradients(dtype=np.float64) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """Parameters, and for each step gradients of sizes from 1e-6 to 1e3, some zero."""
    rng = np.random.default_rng(0)
    shapes = {"W": (4, 3), "b": (4,), "scale": ()}
    params = {name: np.asarray(rng.normal(size=shape), dtype) for name, shape in shapes.items()}
    steps = []
    for _ in range(STEPS):
        sizes = {name: 10.0 ** rng.uniform(-6, 3, shape) * (rng.random(shape) > 0.1) for name, shape in shapes.items()}
        steps.append({name: np.asarray(rng.normal(size=shapes[name]) * s, dtype) for name, s in sizes.items()})
    return params, steps


def run(optimizer, params, steps):
    state = optimizer.init(params)
    for grads in steps:
        params, state = optimizer.step(params, grads, state)
    return params


@pytest.mark.parametrize(("optimizer", "in_torch", "in_optax"), RULES, ids=NAMES)
def test_fifty_steps_are_those_of_torch(optimizer, in_torch, in_optax):
    params, steps = start_and_gradients()
    tensors = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()}
    theirs = in_torch(list(tensors.values()))
    for grads in steps:
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(grads[name])
        theirs.step()
    ours = run(optimizer, params, steps)
    for name, tensor in tensors.items():
        assert_close(ours[name], tensor.detach(), FRAMEWORK, name)


@pytest.mark.parametrize(("optimizer", "in_torch", "in_optax"), RULES, ids=NAMES)
def test_fifty_steps_are_those_of_optax(optimizer, in_torch, in_optax):
    params, steps = start_and_gradients()
    with jax.enable_x64(True):
        theirs = {name: jax.numpy.asarray(p) for name, p in params.items()}
        state = in_optax.init(theirs)
        for grads in steps:
            updates, state = in_optax.update(grads, state, theirs)
            theirs = optax.apply_updates(theirs, updates)
    ours = run(optimizer, params, steps)
    for name in params:
        assert_close(ours[name], theirs[name], FRAMEWORK, name)


@pytest.mark.parametrize("optimizer", [rule[0] for rule in RULES], ids=NAMES)
def test_no_argument_is_written_to(optimizer):
    params, (grads, *_) = start_and_gradients()
    state = optimizer.step(params, grads, optimizer.init(params))[1]
    for arrays in (params, grads, state):
        for array in arrays.values():
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
    before = {name: array.copy() for name, array in (params | state).items()}
    once, after_once = optimizer.step(params, grads, state)
    again, after_again = optimizer.step(params, grads, state)
    for name, array in (params | state).items():
        np.testing.assert_array_equal(array, before[name])
    for one, other in ((once, again), (after_once, after_again)):
        for name, array in one.items():
            np.testing.assert_array_equal(array, other[name])


@pytest.mark.parametrize("optimizer", [rule[0] for rule in RULES], ids=NAMES)
def test_single_precision_stays_single(optimizer):
    double = run(optimizer, *start_and_gradients())
    single = run(optimizer, *start_and_gradients(np.float32))
    for name, array in single.items():
        assert array.dtype == np.float32
        assert_close(array, double[name], SINGLE, name)


@pytest.mark.parametrize("optimizer", [rule[0] for rule in RULES], ids=NAMES)
def test_tensors_in_tensors_out(optimizer):
    params, steps = start_and_gradients()
    as_torch = run(
        optimizer,
        {name: torch.tensor(p) for name, p in params.items()},
        [{name: torch.tensor(g) for name, g in grads.items()} for grads in steps],
    )
    for name, array in run(optimizer, params, steps).items():
        assert isinstance(as_torch[name], torch.Tensor)
        assert_close(as_torch[name], array, FRAMEWORK, name)


def test_every_wrong_number_is_listed():
    with pytest.raises(InputError) as caught:
        Adam(float("nan"), beta1=1.0, beta2=-0.1, epsilon=0.0)
    for part in ("4 problems", "learning_rate must", "got nan", "beta1 must be in [0, 1), got 1.0", "beta2", "epsilon"):
        assert part in str(caught.value)
    for wrong in (0.0, -1.0, float("inf")):
        with pytest.raises(InputError, match="learning_rate must be a finite number above 0"):
            SGD(wrong)
    with pytest.raises(InputError, match="momentum must be in"):
        Momentum(0.1, 1.5)


def test_an_optimizer_by_name():
    assert make_optimizer("momentum", 0.5) == Momentum(0.5)
    assert make_optimizer("adam", None) == Adam()
    assert make_optimizer(SGD(0.5), None) == SGD(0.5)
    with pytest.raises(UnknownNameError, match=r"'adm'\. Did you mean 'adam'"):
        make_optimizer("adm", None)
    with pytest.raises(InputError, match="leave one out"):
        make_optimizer(SGD(0.5), 0.1)
