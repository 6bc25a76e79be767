"""The same outputs and the same gradients as torch's automatic differentiation, for every quantity."""

import copy
import itertools

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.nn import functional

from everygrad.adapters import from_torch
from everygrad.backprop import contributions, gradients, jacobian
from everygrad.checks import check
from everygrad.checks.tolerance import FRAMEWORK, SINGLE, assert_close
from everygrad.engines import to_numpy
from everygrad.errors import InputError
from everygrad.graph.losses import SquaredError
from everygrad.networks import FeedForward, GraphNetwork

ACTIVATIONS = {
    "relu": lambda: nn.ReLU(inplace=False),
    "relu_inplace": lambda: nn.ReLU(inplace=True),
    "leaky": lambda: nn.LeakyReLU(0.2),
    "elu": lambda: nn.ELU(0.7),
    "gelu": lambda: nn.GELU(),
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": lambda: nn.SiLU(),
    "sigmoid": lambda: nn.Sigmoid(),
    "tanh": lambda: nn.Tanh(),
    "softplus": lambda: nn.Softplus(),
}
NOTHING = {"identity": nn.Identity, "dropout": lambda: nn.Dropout(0.4).eval(), "no dropout": lambda: nn.Dropout(0.0)}
CRITERIA = {
    "cross_entropy": nn.CrossEntropyLoss(),
    "smoothed": nn.CrossEntropyLoss(label_smoothing=0.1),
    "cross_entropy sum": nn.CrossEntropyLoss(reduction="sum"),
    "cross_entropy none": nn.CrossEntropyLoss(reduction="none", label_smoothing=0.3),
    "mse": nn.MSELoss(),
    "mse sum": nn.MSELoss(reduction="sum"),
    "bce": nn.BCEWithLogitsLoss(),
    "bce sum": nn.BCEWithLogitsLoss(reduction="sum"),
}


@pytest.fixture(autouse=True)
def _seeded():
    """torch draws parameters from a global generator."""
    torch.manual_seed(0)


def leaves(module):
    """In the order of execution, by plain recursion."""
    if isinstance(module, nn.Sequential):
        return [leaf for child in module for leaf in leaves(child)]
    return [module]


def autograd(model, criterion, x, y):
    """(outputs of the leaves, loss, gradient of x, of each leaf's output, of each parameter), all by autograd."""
    model = copy.deepcopy(model)
    for leaf in leaves(model):
        if hasattr(leaf, "inplace"):
            leaf.inplace = False  # or the value before it is lost; the same numbers
    h = x = x.detach().clone().requires_grad_()
    outputs = []
    for leaf in leaves(model):
        h = leaf(h)
        if h is x:
            h = h * 1.0
        h.retain_grad()
        outputs.append(h)
    loss = criterion(h, y)
    loss.sum().backward()
    return outputs, loss, x.grad, [o.grad for o in outputs], {id_: p.grad for id_, p in model.named_parameters()}


def targets(name, rng, batch, outputs):
    if name.startswith(("cross", "smooth")):
        return torch.from_numpy(rng.integers(0, outputs, batch))
    t = rng.uniform(size=(batch, outputs)) if name.startswith("bce") else rng.normal(size=(batch, outputs))
    return torch.from_numpy(t)


def names_of(model):
    """What `from_torch` says it calls the output of each leaf (None: the leaf does nothing)."""
    names, layer, values, vector = [], 0, 1, False
    for leaf in leaves(model):
        if isinstance(leaf, nn.Linear):
            layer, values, vector = layer + 1, 0, True
            names.append(f"a{layer}")
        elif isinstance(leaf, nn.Identity | nn.Dropout) or (isinstance(leaf, nn.Flatten) and vector):
            names.append(None)
        else:
            vector = vector or isinstance(leaf, nn.Flatten)
            values += 1
            names.append(f"h{layer}" if values == 1 else f"h{layer}_{values}")
    return names


def assert_same(model, criterion, x, y, tol=FRAMEWORK, loss=None, arrays="numpy"):
    """Every output and every gradient; returns the network."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    net, params = from_torch(model, criterion if loss is None else loss, arrays=arrays)
    give = (lambda t: t) if arrays == "torch" else to_numpy
    g = gradients(net, params, give(x), give(y))
    outputs, value, of_x, of_outputs, of_parameters = autograd(model, criterion, x, y)
    assert_close(g.loss, value, tol, "loss")
    assert_close(g["h0"], of_x, tol, "gradient of h0")
    assert_close(g.trace[net.prediction], outputs[-1] if outputs else x, tol, "output")
    compared = {"h0", net.graph.output}
    for name, output, of_output in zip(names_of(model), outputs, of_outputs, strict=True):
        if name is not None:
            assert_close(g.trace[name], output, tol, name)
            assert_close(g[name], of_output, tol, f"gradient of {name}")
            compared.add(name)
    seen = {}
    where = {id(p): name for name, p in model.named_parameters()}
    for i, linear in enumerate((m for m in leaves(model) if isinstance(m, nn.Linear)), start=1):
        for letter, p in (("W", linear.weight), ("b", linear.bias)):
            if p is not None and id(p) not in seen:
                seen[id(p)] = f"{letter}{i}"
                assert_close(params[f"{letter}{i}"], p, 0.0, f"{letter}{i}")
                assert_close(g[f"{letter}{i}"], of_parameters[where[id(p)]], tol, f"gradient of {letter}{i}")
    assert set(params) == set(seen.values()) == set(net.graph.parameters)
    given = {"y"} if y.is_floating_point() else set()
    inserted = {n.name for n in net.graph.nodes if n.operation is not None and n.operation.name == "identity"}
    assert set(g) - compared - set(params) - given == inserted  # nothing has gone without comparison
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])
        assert p.grad is None
    return net


@st.composite
def models(draw):
    """Any chain: nested, with or without biases, activations before, twice, or missing, a Linear used twice."""
    widths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=5))
    some = st.sampled_from([*ACTIVATIONS, *NOTHING])
    torch.manual_seed(draw(st.integers(0, 1000)))
    layers = []
    flatten = draw(st.booleans())
    if flatten:
        layers.append(nn.Flatten())
    for name in draw(st.lists(some, max_size=1)):
        layers.append({**ACTIVATIONS, **NOTHING}[name]())
    for i, (n, m) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(n, m, bias=draw(st.booleans())))
        for name in draw(st.lists(some, max_size=2)):
            layers.append({**ACTIVATIONS, **NOTHING}[name]())
        if n == m and draw(st.booleans()):
            layers.append(next(layer for layer in reversed(layers) if isinstance(layer, nn.Linear)))
        if draw(st.integers(0, 5)) == 0:
            layers.append(nn.Flatten())
        if i and draw(st.booleans()):
            layers = [nn.Sequential(*layers)]
    return nn.Sequential(*layers).double(), widths[0], widths[-1], flatten


@settings(max_examples=120)
@given(models(), st.sampled_from(list(CRITERIA)), st.integers(1, 17), st.integers(0, 1000))
def test_any_sequential(drawn, criterion, batch, seed):
    model, inputs, outputs, flatten = drawn
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(batch, inputs)))
    y = targets(criterion, rng, batch, outputs)
    assert_same(model, CRITERIA[criterion], x[:, None, :] if flatten else x, y)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_feed_forward(activation, criterion):
    rng = np.random.default_rng(1)
    g = ACTIVATIONS[activation]
    model = nn.Sequential(nn.Linear(7, 6), g(), nn.Dropout(0.5), nn.Linear(6, 5), nn.Identity(), g(), nn.Linear(5, 4))
    model = model.double().eval()
    x = 2.0 * torch.from_numpy(rng.normal(size=(9, 7)))
    net = assert_same(model, CRITERIA[criterion], x, targets(criterion, rng, 9, 4))
    assert isinstance(net, FeedForward)
    assert net.sizes == (7, 6, 5, 4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_saturated_and_at_zero(activation):
    """With the squared error: torch's p - 1 has lost digits when the network is sure (see the next test)."""
    model = nn.Sequential(nn.Linear(3, 3), ACTIVATIONS[activation](), nn.Linear(3, 2)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(3))
        model[0].bias.zero_()
    x = torch.tensor([[-30.0, -5.0, 0.0], [0.0, 5.0, 19.9], [-0.0, 1e-8, -1e-8]], dtype=torch.float64)
    assert_same(model, nn.MSELoss(), x, torch.tensor([[0.3, 1.0], [-1.0, 0.2], [0.0, 2.0]], dtype=torch.float64))


def test_a_network_that_is_sure():
    """Where torch's own cross-entropy is off by 1e-8, the complex step and 40 digits agree with ours."""
    model = nn.Linear(1, 2).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[20.0], [0.0]]))
        model.bias.zero_()
    x, y = torch.ones(1, 1, dtype=torch.float64), torch.tensor([0])
    net, params = from_torch(model)
    g = gradients(net, params, x.numpy(), y.numpy())
    with mpmath.workdps(40):
        p = float(1 / (1 + mpmath.exp(20)))
    assert_close(g["a1"], np.array([[-p, p]]))
    assert_close(autograd(model, nn.CrossEntropyLoss(), x, y)[3][0], np.array([[-p, p]]), 1e-7)
    check(net, params, x.numpy(), y.numpy()).raise_if_wrong()


def test_an_output_activation_and_missing_ones():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2), nn.Sigmoid()).double()
    rng = np.random.default_rng(0)
    net = assert_same(model, nn.MSELoss(), torch.from_numpy(rng.normal(size=(5, 4))), torch.zeros(5, 2).double())
    assert isinstance(net, FeedForward)
    assert [a.name for a in net.activations] == ["identity", "tanh"]
    assert net.output.name == "sigmoid"
    assert net.prediction == "h3"


def test_a_bare_linear_and_a_class_derived_from_sequential():
    class Perceptron(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False))

    x, y = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double(), torch.tensor([0, 1, 1, 0, 1, 0])
    assert assert_same(nn.Linear(3, 2).double(), nn.CrossEntropyLoss(), x, y).sizes == (3, 2)
    net = assert_same(Perceptron().double(), nn.CrossEntropyLoss(), x, y)
    assert isinstance(net, FeedForward)
    assert not net.bias


def test_images_are_flattened():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(5, 3)).double()
    x = torch.randn(7, 2, 3, 4, dtype=torch.float64)
    net = assert_same(model, nn.CrossEntropyLoss(), x, torch.tensor([0, 1, 2, 0, 1, 2, 0]))
    assert isinstance(net, GraphNetwork)
    assert [n.name for n in net.graph.nodes if n.operation is not None] == ["h0_2", "a1", "h1", "a2", "loss"]
    _, params = from_torch(model)
    J = jacobian(net, params, x.numpy(), of="a2", wrt="x")
    assert_close(J.dense()[0], torch.func.jacrev(model)(x[:1])[0, :, 0])


def test_an_activation_before_flattening_acts_on_images():
    model = nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Sigmoid(), nn.Linear(6, 2)).double()
    net = assert_same(model, nn.CrossEntropyLoss(), torch.randn(4, 2, 3).double(), torch.tensor([0, 1, 1, 0]))
    assert [n.name for n in net.graph.nodes if n.operation is not None] == ["h0_2", "h0_3", "h0_4", "a1", "loss"]


def test_a_linear_used_twice_is_one_parameter_with_two_consumers():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), nn.Linear(4, 2)).double()
    x, y = torch.randn(5, 4).double(), torch.tensor([0, 1, 0, 1, 1])
    net = assert_same(model, nn.CrossEntropyLoss(), x, y)
    assert isinstance(net, GraphNetwork)
    assert net.shapes == {"W1": (4, 4), "b1": (4,), "W3": (2, 4), "b3": (2,)}
    g = gradients(net, from_torch(model)[1], x.numpy(), y.numpy())
    assert sorted(contributions(g, "W1")) == ["a1", "a2"]


def test_one_weight_shared_by_two_linears_with_biases_of_their_own():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    model = model.double()
    net = assert_same(model, nn.MSELoss(), torch.randn(4, 3).double(), torch.randn(4, 3).double())
    assert list(net.shapes) == ["W1", "b1", "b2"]


def test_biases_here_and_not_there():
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Tanh(), nn.Linear(4, 2)).double()
    net = assert_same(model, nn.MSELoss(), torch.randn(4, 3).double(), torch.randn(4, 2).double())
    assert list(net.shapes) == ["W1", "W2", "b2"]


def test_nothing_but_an_activation_or_nothing_at_all():
    x, y = torch.randn(4, 3).double(), torch.tensor([0, 1, 2, 1])
    assert assert_same(nn.Tanh(), nn.CrossEntropyLoss(), x, y).prediction == "h0_2"
    assert assert_same(nn.Sequential(), nn.CrossEntropyLoss(), x, y).prediction == "h0"


def test_deep_nesting_does_not_recurse():
    model = nn.Linear(2, 2).double()
    for _ in range(3000):
        model = nn.Sequential(model)
    net, params = from_torch(model)
    assert net.sizes == (2, 2)
    assert sorted(params) == ["W1", "b1"]


def test_float32_stays_float32():
    model = nn.Sequential(nn.Linear(5, 4), nn.GELU(), nn.Linear(4, 3))
    x, y = torch.randn(6, 5), torch.tensor([0, 1, 2, 0, 1, 2])
    assert_same(model, nn.CrossEntropyLoss(), x, y, SINGLE)
    net, params = from_torch(model)
    g = gradients(net, params, x.numpy(), y.numpy())
    assert {str(p.dtype) for p in params.values()} == {str(a.dtype) for a in g.arrays.values()} == {"float32"}


def test_tensors_in_and_out():
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    x, y = torch.randn(6, 5).double(), torch.tensor([0, 1, 2, 0, 1, 2])
    assert_same(model, nn.CrossEntropyLoss(), x, y, arrays="torch")
    _, params = from_torch(model, arrays="torch")
    for p in params.values():
        assert type(p) is torch.Tensor
        assert not p.requires_grad


@pytest.mark.parametrize("arrays", ["numpy", "torch"])
def test_the_parameters_are_copies(arrays):
    model = nn.Sequential(nn.Linear(2, 3).double())
    _, params = from_torch(model, arrays=arrays)
    before = model[0].weight.detach().clone()
    params["W1"][...] = 0.0
    assert torch.equal(model[0].weight, before)
    with torch.no_grad():
        model[0].bias.fill_(7.0)
    assert not (to_numpy(params["b1"]) == 7.0).any()


def test_parameters_that_are_not_contiguous_become_so():
    model = nn.Linear(3, 2).double()
    model.weight = nn.Parameter(torch.arange(6.0).double().reshape(3, 2).T)
    _, params = from_torch(model)
    assert params["W1"].flags.c_contiguous
    np.testing.assert_array_equal(params["W1"], [[0, 2, 4], [1, 3, 5]])


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("cross_entropy", functional.cross_entropy),
        ("softmax_cross_entropy", functional.cross_entropy),
        ("binary_cross_entropy_with_logits", functional.binary_cross_entropy_with_logits),
        ("mse_loss", functional.mse_loss),
        ("binary_cross_entropy", lambda z, t: 3 * functional.binary_cross_entropy_with_logits(z, t)),
        ("squared_error", lambda z, t: 3 * functional.mse_loss(z, t)),
    ],
)
def test_losses_by_name(name, function):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(5, 4)))
    y = torch.tensor([0, 1, 2, 0, 1]) if function is functional.cross_entropy else torch.rand(5, 3).double()
    assert_same(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double(), function, x, y, loss=name)


def test_a_loss_of_ours_and_target_distributions():
    x = torch.randn(5, 4).double()
    loss = SquaredError(outputs="mean", half=True)
    half = lambda z, t: 0.5 * functional.mse_loss(z, t)  # noqa: E731
    assert_same(nn.Linear(4, 3).double(), half, x, torch.rand(5, 3).double(), loss=loss)
    distributions = torch.softmax(torch.randn(5, 3).double(), -1)
    for criterion in (nn.CrossEntropyLoss(label_smoothing=0.2), nn.CrossEntropyLoss(reduction="sum")):
        assert_same(nn.Linear(4, 3).double(), criterion, x, distributions)


def test_softplus_above_torchs_threshold():
    """torch is the identity there; the documented difference, and how to have none."""
    x = torch.tensor([[25.0], [20.5]], dtype=torch.float64)
    net, params = from_torch(nn.Softplus(), "squared_error")
    a = gradients(net, params, x.numpy(), np.zeros((2, 1))).trace["h0_2"]
    assert 1e-12 < np.abs(a - nn.Softplus()(x).numpy()).max() < 2.1e-9
    assert_close(a, nn.Softplus(threshold=1e4)(x))


def test_the_widths_are_compared():
    with pytest.raises(NotImplementedError, match=r"2: Linear\(.*\): it needs 5 features and gets 4"):
        from_torch(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(5, 2)))


def test_what_is_no_module():
    with pytest.raises(InputError, match=r"takes a torch\.nn\.Module, got int"):
        from_torch(3)
    with pytest.raises(InputError, match=r"unknown kind of arrays 'nunpy'\. Did you mean 'numpy'"):
        from_torch(nn.Linear(2, 2), arrays="nunpy")
