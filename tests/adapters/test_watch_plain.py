"""Linear and activation modules in a watched model, against autograd."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.modules import activation

import everygrad as eg
from everygrad.checks.tolerance import FRAMEWORK, assert_close

ACTIVATIONS = [
    nn.Threshold(0.1, -1.0),
    nn.Threshold(0.1, -1.0, inplace=True),
    nn.ReLU(),
    nn.ReLU(inplace=True),
    nn.RReLU().eval(),
    nn.Hardtanh(inplace=True),
    nn.ReLU6(),
    nn.Sigmoid(),
    nn.Hardsigmoid(),
    nn.Tanh(),
    nn.SiLU(inplace=True),
    nn.Mish(),
    nn.Hardswish(),
    nn.ELU(0.7, inplace=True),
    nn.CELU(),
    nn.SELU(inplace=True),
    nn.GLU(),
    nn.GELU(approximate="tanh"),
    nn.Hardshrink(),
    nn.LeakyReLU(0.2, inplace=True),
    nn.LogSigmoid(),
    nn.Softplus(beta=2.0),
    nn.Softshrink(),
    nn.PReLU(4),
    nn.Softsign(),
    nn.Tanhshrink(),
    nn.Softmin(-1),
    nn.Softmax(-1),
    nn.LogSoftmax(-1),
]


def test_every_activation_of_torch_is_among_them():
    kinds = {type(module).__name__ for module in ACTIVATIONS}
    assert set(activation.__all__) - kinds == {"MultiheadAttention", "Softmax2d"}


@pytest.mark.parametrize("act", ACTIVATIONS, ids=str)
def test_values_and_gradients_of_input_and_output(act):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), copy.deepcopy(act), nn.LazyLinear(2)).double()
    if not act.training:
        model[1].eval()
    x = torch.randn(5, 3, dtype=torch.float64)
    model(x)
    again = copy.deepcopy(model)
    loss = lambda z: (z**3).sum() + z[0].sin().sum()  # noqa: E731
    with eg.watch(model) as seen:
        loss(model(x)).backward()
        accumulated = {name: p.grad.clone() for name, p in model.named_parameters()}
        with torch.no_grad():
            for p in model.parameters():
                p.zero_()
    for name, g in accumulated.items():
        where, _, parameter = name.partition(".")
        assert_close(seen[where][parameter], g, FRAMEWORK, name)
        assert_close(seen[where].weights[parameter], g, FRAMEWORK, name)
    stations = [x.clone().requires_grad_()]
    for module in again:
        stations.append(module(stations[-1].clone()))
        stations[-1].retain_grad()
    loss(stations[-1]).backward()
    for i in range(3):
        layer = seen[str(i)]
        assert_close(layer["input"], stations[i].grad, FRAMEWORK, "input")
        assert_close(layer["output"], stations[i + 1].grad, FRAMEWORK, "output")
        assert_close(layer.values["input"], stations[i], FRAMEWORK, "value of the input")
        assert_close(layer.values["output"], stations[i + 1], FRAMEWORK, "value of the output")


def test_the_gradient_of_the_input_is_the_part_through_this_module():
    torch.manual_seed(1)
    model = nn.ModuleDict({"a": nn.Linear(3, 3, bias=False), "b": nn.Linear(3, 3)}).double()
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    with eg.watch(model) as seen:
        (model["a"](x).sum() + model["b"](x).square().sum()).backward()
    assert_close(seen["a"]["input"] + seen["b"]["input"], x.grad, FRAMEWORK)
    assert set(seen["a"]) == {"input", "output", "weight"}
    assert_close(seen["b"].weights["bias"], model["b"].bias.grad, FRAMEWORK)


def test_several_calls():
    model = nn.Sequential(nn.Linear(3, 3)).double()
    x = torch.randn(2, 3, dtype=torch.float64)
    with eg.watch(model) as seen:
        model(model(x)).square().sum().backward()
    assert len(seen["0"].calls) == 2
    assert_close(seen["0"].weights["weight"], model[0].weight.grad, FRAMEWORK)
    assert_close(seen["0"].calls[1]["input"], seen["0"].calls[0]["output"], FRAMEWORK)
    with pytest.raises(eg.errors.InputError, match="was called 2 times"):
        seen["0"]["input"]


def test_random_slopes_are_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.RReLU())
    with eg.watch(model) as seen:
        model(torch.randn(2, 3)).sum().backward()
    with pytest.raises(eg.errors.UnsupportedError, match="slopes are random in training mode"):
        seen["1"]["input"]
