"""Tensors in, tensors out: on their device, and without a trace in torch's automatic differentiation."""

import numpy as np
import pytest
import torch

import everygrad as eg
from everygrad.backprop import backward, contributions, forward, gradients, jacobian
from everygrad.checks.tolerance import FRAMEWORK, assert_close
from everygrad.errors import InputError, NonFiniteError
from tests.engines.models import feed_forward

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def tensors(device="cpu", **settings):
    net, params, data = feed_forward(**settings)
    return (
        net,
        {n: torch.tensor(p, device=device) for n, p in params.items()},
        [torch.tensor(d, device=device) for d in data],
    )


@pytest.mark.parametrize("device", DEVICES)
def test_device_and_dtype_are_kept(device):
    net, params, data = tensors(device)
    g = gradients(net, params, *data)
    for array in (*g.arrays.values(), *g.trace.arrays.values()):
        assert array.device.type == device
    assert {a.dtype for a in g.arrays.values()} == {torch.float64}
    assert jacobian(net, params, *data, of="a2", wrt="W1").dense().device.type == device


@pytest.mark.parametrize("trainable", [("W1", "b1", "W2", "b2"), ("W2",), ("x",), ("W1", "x")])
def test_no_graph_is_recorded(trainable):
    net, params, (x, y) = tensors()
    reference = gradients(net, params, x, y)
    params = {name: p.requires_grad_(name in trainable) for name, p in params.items()}
    x.requires_grad_("x" in trainable)
    g = gradients(net, params, x, y)
    for name in g:
        assert_close(g[name], reference[name])
        assert not g[name].requires_grad
        assert not g.trace[name].requires_grad
    for term in contributions(g, "h1").values():
        assert not term.requires_grad
    assert not jacobian(net, params, x, y, of="a2", wrt="W1").dense().requires_grad
    assert [p.requires_grad for p in params.values()] == [name in trainable for name in params]
    assert all(p.grad is None for p in params.values())


def test_modules_own_parameters_and_a_seed_that_torch_watches():
    net, params, (x, y) = tensors()
    wrapped = {name: torch.nn.Parameter(p) for name, p in params.items()}
    seed = torch.ones(6, 3, dtype=torch.float64, requires_grad=True)
    g = backward(forward(net, wrapped, x, y), of="a2", seed=seed)
    assert not any(a.requires_grad for a in g.arrays.values())
    assert type(g.trace["W1"]) is torch.Tensor
    a2 = torch.tanh(x @ wrapped["W1"].T + wrapped["b1"]) @ wrapped["W2"].T + wrapped["b2"]
    a2.sum().backward()
    for name, p in wrapped.items():
        assert_close(g[name], p.grad, FRAMEWORK, name)


def recurrent(device="cpu"):
    """Ragged sequences through two layers in both directions, with initial states; every tensor watched by torch."""
    net = eg.Recurrent(eg.LSTM(3, 4), 3, "each", layers=2, bidirectional=True, lengths=True, initial=True)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(5, 6, 3)), rng.integers(0, 3, (5, 6)), rng.integers(1, 7, 5)]
    arrays += [rng.normal(size=(5, 4)) for _ in range(8)]
    params = {name: torch.nn.Parameter(torch.tensor(p, device=device)) for name, p in net.init(0).items()}
    data = [torch.tensor(a, device=device) for a in arrays]
    return net, params, [d.requires_grad_() if d.is_floating_point() else d for d in data]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("remember", ["all", "sqrt"])
def test_no_graph_is_recorded_over_time(device, remember):
    net, params, data = recurrent(device)
    if remember == "sqrt":
        net = eg.Recurrent(net.cell, 3, "each", 2, True, lengths=True, initial=True, remember="sqrt")
    plain = {name: p.detach().cpu().numpy() for name, p in params.items()}
    reference = gradients(net, plain, *(d.detach().cpu().numpy() for d in data))
    g = gradients(net, params, *data)
    arrays = [*g.values(), *g.trace.values(), *(term for term in contributions(g, "x").values())]
    if remember == "all":
        arrays += g.direct.values()
    for run in g.trace.runs.values():
        arrays += [*run.values.values(), *run.final.values()]
    for array in arrays:
        assert array.device.type == device
        assert array.grad_fn is None
        assert not array.requires_grad
    for name in reference:
        assert_close(g[name], reference[name], FRAMEWORK, name)
    assert all(p.requires_grad and p.grad is None for p in params.values())
    assert all(d.requires_grad for d in data if d.is_floating_point())


def test_nothing_is_saved_for_a_backward_pass():
    """torch calls this hook for each tensor that its automatic differentiation keeps."""
    saved = []

    def seen(tensor):
        saved.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(seen, lambda tensor: tensor):
        for net, params, data in (recurrent(), tensors()):
            gradients(net, {n: torch.nn.Parameter(p.detach()) for n, p in params.items()}, *data)
            assert saved == []
        torch.tanh(torch.ones(3, requires_grad=True))
    assert saved == [(3,)]


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("model", [tensors, recurrent])
def test_in_every_mode_of_torch(context, model):
    net, params, data = model()
    reference = gradients(net, params, *data)
    before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    with context():
        inside = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        g = gradients(net, params, *data)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == inside
    assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    for name in g:
        assert_close(g[name], reference[name])


def test_a_mode_is_left_as_it_was_after_an_error():
    net, params, (x, y) = tensors()
    for context in (torch.no_grad, torch.enable_grad):
        with context():
            inside = torch.is_grad_enabled()
            with pytest.raises(InputError):
                gradients(net, params, x[:, 1:], y)
            with pytest.raises(NonFiniteError):
                gradients(net, params, x * float("inf"), y)
            assert torch.is_grad_enabled() is inside


def test_threads_and_defaults_are_left_alone():
    settings = torch.get_num_threads(), torch.get_default_dtype(), torch.random.get_rng_state().sum()
    net, params, data = recurrent()
    gradients(net, params, *data)
    assert (torch.get_num_threads(), torch.get_default_dtype(), torch.random.get_rng_state().sum()) == settings


def test_tensors_that_are_not_contiguous():
    net, params, (x, y) = tensors()
    reference = gradients(net, params, x, y)
    strided = {
        name: (p.T.contiguous().T if p.ndim == 2 else torch.stack([p, p], 1)[:, 0]) for name, p in params.items()
    }
    assert not any(p.is_contiguous() for p in strided.values())
    g = gradients(net, strided, x.T.contiguous().T, y)
    for name in g:
        assert_close(g[name], reference[name])


def test_integer_labels_of_any_width():
    net, params, (x, y) = tensors()
    reference = gradients(net, params, x, y)
    for dtype in (torch.int32, torch.int16, torch.uint8):
        assert_close(gradients(net, params, x, y.to(dtype))["a2"], reference["a2"])


def test_bad_labels_and_numbers_are_named():
    net, params, (x, y) = tensors()
    with pytest.raises(InputError, match=r"class labels must be in \[0, 3\) for 3 outputs, got 3 at index 0"):
        gradients(net, params, x, y * 0 + 3)
    x[1, 2] = float("nan")
    with pytest.raises(NonFiniteError, match=r"the array 'h0' is not finite: h0\[1, 2\] = nan"):
        gradients(net, params, x, y)


def test_libraries_dtypes_and_devices_are_not_mixed():
    net, params, (x, y) = tensors()
    with pytest.raises(InputError, match="'h0' is a numpy array but 'W1' is torch: use one library for all"):
        gradients(net, params, x.numpy(), y)
    with pytest.raises(InputError, match=r"'h0' has dtype torch\.float32, 'W1' has torch\.float64: use one dtype"):
        gradients(net, params, x.float(), y)
    for _ in range(2):
        with pytest.raises(InputError, match="'h0' is on meta, 'W1' on cpu: use one device for all"):
            gradients(net, params, x.to("meta"), y)
        gradients(net, params, x, y)  # remembered as fitting: the next one is looked at all the same
