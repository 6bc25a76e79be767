"""What has no counterpart is refused: all of it at once, with its place in the model."""

import re

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from everygrad.adapters import from_torch
from everygrad.errors import InputError, UnknownNameError, UnsupportedError
from everygrad.networks import FeedForward


class MySequential(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def hooked(model, kind):
    getattr(model, kind)(lambda *_: None)
    return model


def with_own_forward():
    linear = nn.Linear(2, 2)
    linear.forward = torch.neg
    return linear


def pruned():
    linear = nn.Linear(3, 3)
    prune.l1_unstructured(linear, "weight", 1)
    return linear


def hook_on_weight():
    linear = nn.Linear(2, 2)
    linear.weight.register_hook(lambda g: 2 * g)
    return linear


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: nn.BatchNorm1d(3), "BatchNorm1d(3, ...): no counterpart here"),
        (lambda: nn.LayerNorm(3), "LayerNorm(...): no counterpart here"),
        (lambda: nn.Conv2d(1, 2, 3), "Conv2d(...): no counterpart here"),
        (lambda: nn.LSTMCell(2, 3), "LSTMCell(2, 3): it makes one step: nn.LSTM runs over the whole sequence"),
        (lambda: nn.DataParallel(nn.Tanh()), "DataParallel: give its module, model.module"),
        (lambda: nn.TransformerEncoderLayer(4, 1, 8), "TransformerEncoderLayer: no counterpart here"),
        (lambda: nn.Bilinear(2, 2, 2), "Bilinear(...): no counterpart here"),
        (lambda: nn.PReLU(), "PReLU(...): no counterpart here"),
        (lambda: nn.ReLU6(), "ReLU6(): no counterpart here"),
        (lambda: nn.Unflatten(1, (1, 2)), "Unflatten(...): no counterpart here"),
        (lambda: nn.Softmax(-1), "Softmax(dim=-1): the losses take logits: leave it out"),
        (lambda: nn.LogSoftmax(-1), "LogSoftmax(dim=-1): the losses take logits: leave it out"),
        (lambda: nn.LazyLinear(3), "run the model once, so that it has its shape"),
        (
            lambda: parametrizations.weight_norm(nn.Linear(2, 2)),
            "ParametrizedLinear: a subclass of Linear, which may compute",
        ),
        (lambda: parametrizations.spectral_norm(nn.Linear(2, 2)), "ParametrizedLinear: a subclass of Linear"),
        (with_own_forward, "this object has a forward of its own"),
        (pruned, "it has hooks, which may change what it computes"),
        (hook_on_weight, "weight: it has hooks, which may change its gradient"),
        (lambda: nn.Dropout(0.5), "random in training mode: call model.eval() first"),
        (lambda: nn.AlphaDropout(0.5).eval(), "AlphaDropout(...): no counterpart here"),
        (lambda: nn.Flatten(0), "Flatten(start_dim=0, end_dim=-1): only Flatten() of all axes of a sample"),
        (lambda: nn.Flatten(1, 2), "Flatten(start_dim=1, end_dim=2): only Flatten() of all axes of a sample"),
        (lambda: nn.Softplus(beta=2.0), "Softplus(beta=2.0, threshold=20.0): only Softplus() with beta=1"),
        (lambda: nn.Softplus(threshold=5.0), "Softplus(beta=1.0, threshold=5.0): only Softplus() with beta=1"),
        (lambda: nn.Linear(2, 2).half(), "weight: dtype torch.float16, expected float32 or float64"),
        (lambda: nn.Linear(2, 2).bfloat16(), "bias: dtype torch.bfloat16, expected float32 or float64"),
        (lambda: nn.Linear(2, 2, dtype=torch.complex128), "weight: dtype torch.complex128"),
        (lambda: nn.Linear(2, 2, device="meta"), "weight: on the meta device, where there are no numbers"),
    ],
)
def test_one_module(make, reason):
    pattern = re.escape(reason).replace(r"\.\.\.", ".*")
    with pytest.raises(UnsupportedError, match=pattern):
        from_torch(make())
    model = nn.Sequential(nn.Identity(), nn.Sequential(nn.Identity(), make()))
    with pytest.raises(UnsupportedError, match=r"\n  - 1\.1: .*" + pattern):
        from_torch(model)


@pytest.mark.parametrize(
    "make", [nn.Tanh, lambda: nn.Linear(2, 2), lambda: nn.Sequential(nn.Tanh())], ids=["Tanh", "Linear", "Sequential"]
)
@pytest.mark.parametrize(
    "register",
    [
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ],
)
def test_hooks(make, register):
    with pytest.raises(UnsupportedError, match=r"\n  - 1: .*: it has hooks, which may change what it computes"):
        from_torch(nn.Sequential(nn.Tanh(), hooked(make(), register)))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_linear_without_units():
    with pytest.raises(UnsupportedError, match=r"0: Linear\(.*\): weight: shape \(0, 2\), there must be at least one"):
        from_torch(nn.Sequential(nn.Linear(2, 0), nn.Linear(0, 2)))


def test_all_of_them_are_listed():
    model = nn.Sequential(
        nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)),
        nn.Softplus(beta=3),
        nn.Tanh(),
        hooked(nn.Sequential(nn.Linear(3, 4), nn.Hardtanh()), "register_forward_hook"),
        nn.Linear(4, 2).double(),
        nn.Softmax(-1),
    )
    with pytest.raises(UnsupportedError) as caught:
        from_torch(model)
    head, *problems = str(caught.value).split("\n  - ")
    taken = (
        "from_torch takes Sequential, Linear, Identity, Flatten, Dropout, ReLU, LeakyReLU, ELU, GELU, SiLU, Sigmoid, "
        "Tanh, Softplus, RNN, LSTM, GRU, Embedding"
    )
    assert head == f"{taken}: 8 problems"
    places = [problem.split(":")[0] for problem in problems]
    assert places == ["0.1", "0.2", "1", "3", "3.0", "3.1", "5", "parameters of different dtypes, "
                      "torch.float32 and torch.float64"]  # fmt: skip
    assert "needs 3 features and gets 4" in problems[4]
    model.insert(3, MySequential(nn.Linear(4, 4), nn.GroupNorm(2, 4)))  # now a forward of the user's own is traced
    with pytest.raises(UnsupportedError) as caught:
        from_torch(model)
    head, *problems = str(caught.value).split("\n  - ")
    assert head == f"{taken}; read with axes='b*': 7 problems"
    assert [problem.split(":")[0] for problem in problems] == ["4", "0.1", "0.2", "1", "3.1", "4.1", "6"]


@pytest.mark.parametrize(
    ("criterion", "reason"),
    [
        (nn.CrossEntropyLoss(weight=torch.ones(2)), "weight= (of classes or outputs) has no counterpart"),
        (nn.CrossEntropyLoss(ignore_index=1), "ignore_index=1 has no counterpart here: leave those samples out"),
        (nn.BCEWithLogitsLoss(pos_weight=torch.ones(2)), "pos_weight= (of classes or outputs) has no counterpart"),
        (nn.BCEWithLogitsLoss(weight=torch.ones(2)), "weight= (of classes or outputs) has no counterpart"),
        (nn.BCEWithLogitsLoss(reduction="none"), "reduction='none' gives one loss per output"),
        (nn.MSELoss(reduction="none"), "reduction='none' gives one loss per output"),
        (nn.BCELoss(), "it takes probabilities: leave the Sigmoid out and give nn.BCEWithLogitsLoss()"),
        (nn.NLLLoss(), "it takes log-probabilities: leave the LogSoftmax out and give nn.CrossEntropyLoss()"),
        (nn.L1Loss(), "it has no counterpart here: give nn.CrossEntropyLoss, nn.BCEWithLogitsLoss or nn.MSELoss"),
        (type("Mine", (nn.MSELoss,), {})(), "it has no counterpart here"),
    ],
)
def test_a_criterion(criterion, reason):
    with pytest.raises(UnsupportedError, match=rf"loss {type(criterion).__name__}: .*\n  - .*" + re.escape(reason)):
        from_torch(nn.Linear(2, 2), criterion)


def test_everything_about_a_criterion_is_listed():
    with pytest.raises(UnsupportedError, match="2 problems"):
        from_torch(nn.Linear(2, 2), nn.CrossEntropyLoss(weight=torch.ones(2), ignore_index=0))


def test_other_things_as_a_loss():
    with pytest.raises(UnknownNameError, match=r"unknown loss 'cross_entrop'\. Did you mean 'cross_entropy'"):
        from_torch(nn.Linear(2, 2), "cross_entrop")
    with pytest.raises(InputError, match="loss must be a name, a loss operation or a criterion of torch, got function"):
        from_torch(nn.Linear(2, 2), nn.functional.cross_entropy)


def test_the_refused_become_supported_as_the_message_says():
    linear = pruned()
    prune.remove(linear, "weight")
    model = nn.Sequential(linear, nn.Dropout(0.5)).eval()
    net, _ = from_torch(model)
    assert isinstance(net, FeedForward)
