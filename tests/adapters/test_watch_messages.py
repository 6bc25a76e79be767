"""What cannot be watched, and gradients that do not arrive: each with its reason and what to do."""

import copy
import re
import warnings

import pytest
import torch
from torch import nn

import everygrad as eg
from everygrad.adapters.watched import attach
from everygrad.checks.tolerance import SINGLE, assert_close
from everygrad.errors import InputError, UnsupportedError


class Model(nn.Module):
    def __init__(self, **extra):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True, **extra)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


X = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))


def refused(seen, pattern, error=InputError, name="lstm"):
    """The reason comes whatever is asked for, and stands in the text."""
    for ask in (
        lambda: seen[name]["h_l0"],
        lambda: seen[name].direct["h_l0"],
        lambda: seen[name].weights["weight_ih_l0"],
    ):
        with pytest.raises(error, match=pattern):
            ask()
    with pytest.raises(error, match=pattern):
        seen.verdict()
    lines = str(seen).splitlines()
    assert any(line.startswith("note: ") and re.search(pattern, line) for line in lines), lines


def test_no_backward_pass():
    model = Model()
    with eg.watch(model) as seen:
        loss = model(X).sum()
    loss.backward()
    refused(
        seen, r"no gradient arrived at 'lstm': no backward pass ran inside of the with block: call loss.backward\(\)"
    )


def test_no_grad():
    model = Model()
    with eg.watch(model) as seen, torch.no_grad():
        model(X)
    refused(seen, r"no gradient arrived at 'lstm': it was called under torch.no_grad\(\)")
    assert seen["lstm"].values["f_l0"].shape == (2, 5, 4)  # the values are there


def test_inference_mode_and_eval_mode():
    model = Model().eval()
    with eg.watch(model) as seen, torch.inference_mode():
        model(X)
    refused(seen, r"\(the model is in eval mode\): it was called under torch.inference_mode\(\)")
    assert torch.equal(seen["lstm"].values["x"], X)
    assert torch.equal(seen["fc"].values["output"], model(X))
    with pytest.raises(InputError, match=r"no gradient arrived at 'fc' \(the model is in eval mode\)"):
        seen["fc"]["output"]


def test_eval_mode_alone_is_noted():
    model = Model(num_layers=2, dropout=0.5).eval()
    with eg.watch(model) as seen:
        model(X).sum().backward()
    assert float(seen["lstm"]["h_l0"].norm()) > 0
    assert "note: in eval mode, where dropout is off: lstm, fc" in str(seen)


def test_frozen():
    model = Model()
    model.lstm.requires_grad_(False)
    with eg.watch(model) as seen:
        model(X).sum().backward()
    refused(seen, r"neither its parameters nor its input require one \(they are frozen: requires_grad is False\)")
    assert float(seen["fc"]["weight"].norm()) > 0


def test_a_loss_that_does_not_depend_on_it():
    model = Model()
    with eg.watch(model) as seen:
        model.fc(model.lstm(X)[0][:, -1].detach()).sum().backward()
    refused(seen, r"a backward pass ran, but the loss does not depend on its output \(or it was detached\)")


def test_not_called():
    model = Model()
    with eg.watch(model) as seen:
        model.fc(torch.zeros(1, 4)).sum().backward()
    refused(seen, "'lstm' was not called inside of the with block")


def test_before_the_block():
    with pytest.raises(InputError, match="'lstm' was not called inside of the with block"):
        eg.watch(Model())["lstm"]["h"]


def test_only_copies_were_called():
    model = Model()
    with eg.watch(model) as seen:
        copy.deepcopy(model)(X).sum().backward()
    refused(seen, r"\(but a copy of it was\)")


def test_gradients_of_gradients():
    model = Model()
    x = X.clone().requires_grad_()
    with eg.watch(model) as seen:
        (g,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        g.square().sum().backward()
    refused(seen, "create_graph=True", UnsupportedError)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    model = Model().to(dtype)
    with eg.watch(model) as seen:
        model(X.to(dtype)).sum().backward()
    name = str(dtype).removeprefix("torch.")
    refused(
        seen,
        rf"'lstm' cannot be shown: it runs in {name}, expected float32 or float64: watch model.float\(\)",
        UnsupportedError,
    )


def test_autocast():
    model = Model()
    with eg.watch(model) as seen:
        with torch.autocast("cpu", torch.bfloat16):
            z = model(X)
        z.float().sum().backward()
    refused(seen, "'lstm' cannot be shown: it was called under autocast", UnsupportedError)
    with pytest.raises(UnsupportedError, match="'fc' cannot be shown: it was called with bfloat16 and float32 mixed"):
        seen["fc"]["output"]


def test_inside_of_torch_func():
    model = Model()
    with eg.watch(model) as seen:
        torch.func.grad(lambda p: torch.func.functional_call(model, p, (X,)).sum())(dict(model.named_parameters()))
    refused(seen, "'lstm' cannot be shown: it was called inside of torch.func", UnsupportedError)


def test_reading_under_autocast_is_not_rounded():
    model = Model()
    with eg.watch(model) as seen:
        model(X).sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        rows = seen.agreement()
        g = seen["fc"]["weight"]
    assert torch.equal(g, model.fc.weight.grad)
    assert all(row.ok for row in rows)
    assert len(rows) == 4


def test_another_forward():
    class Mine(nn.LSTM):
        def forward(self, x):
            output, last = super().forward(x)
            return output * 2, last

    class Strange(nn.GRU):
        def forward(self, x):
            return super().forward(x)[0]

    class Same(nn.GRU):
        pass

    model = nn.ModuleDict({"mine": Mine(3, 4), "strange": Strange(3, 4), "same": Same(3, 4)})
    with eg.watch(model) as seen:
        (model["mine"](X)[0].sum() + model["strange"](X).sum() + model["same"](X)[0].sum()).backward()
    with pytest.raises(UnsupportedError, match=r"'mine': what it gave differs by 0\.5 from what its equations give"):
        seen["mine"]["h"]
    with pytest.raises(UnsupportedError, match="'strange' cannot be shown: its forward does not take and give"):
        seen["strange"]["h"]
    assert_close(seen["same"].weights["weight_ih_l0"], model["same"].weight_ih_l0.grad, SINGLE)
    assert "'mine': what it gave differs" in str(seen)


def test_a_hook_that_changes_the_output():
    model = Model()
    model.lstm.register_forward_hook(lambda module, args, result: (result[0] + 1, result[1]))
    with eg.watch(model) as seen:
        model(X).sum().backward()
    refused(seen, "a hook or a subclass changes what it computes", UnsupportedError)


def test_dropout_that_cannot_be_found_again(monkeypatch):
    """As on a GPU, where the fused operation has a generator of its own."""
    model = Model(num_layers=2, dropout=0.5)
    monkeypatch.setattr(attach, "random_state", lambda device: torch.Generator().manual_seed(1).get_state())
    with eg.watch(model) as seen:
        model(X).sum().backward()
    refused(
        seen, r"(?s)the dropout between its layers.*cannot be seen.*eval mode.*nn.Dropout between", UnsupportedError
    )


def test_numbers_that_are_not_finite_are_shown():
    model = Model()
    x = X.clone()
    x[0, 2] = float("nan")
    with eg.watch(model) as seen:
        model(x).sum().backward()
    h = seen["lstm"].values["h_l0"]
    assert h[0, :2].isfinite().all()
    assert h[0, 2:].isnan().all()
    assert h[1].isfinite().all()
    assert seen["lstm"]["weight_hh_l0"].isnan().any()


def test_a_penalty_on_the_weights_is_noted():
    model = Model()
    with eg.watch(model) as seen:
        (model(X).sum() + model.lstm.weight_hh_l0.square().sum()).backward()
    wrong = {row.name for row in seen.agreement() if not row.ok}
    assert wrong == {"lstm.weight_hh_l0"}
    assert (
        "error: Not autograd's: it delivered other gradients than come through the watched calls: lstm.weight_hh_l0"
        in str(seen)
    )


def test_names():
    model = Model()
    model.norm = nn.LayerNorm(4)
    with eg.watch(model) as seen:
        model(X).sum().backward()
    with pytest.raises(eg.errors.UnknownNameError, match="Did you mean 'lstm'"):
        seen["LSTM"]
    with pytest.raises(UnsupportedError, match="'norm' is a LayerNorm, which is not watched; what is: lstm, fc"):
        seen["norm"]
    with pytest.raises(eg.errors.UnknownNameError, match="Did you mean 'h_l0'"):
        seen["lstm"]["h_l1"]
    with pytest.raises(InputError, match="'fc': only recurrent modules have a direct gradient"):
        seen["fc"].direct["output"]


@pytest.mark.parametrize("model", [None, "lstm", torch.zeros(3), nn.LSTM], ids=repr)
def test_no_module(model):
    with pytest.raises(InputError, match=r"watch takes a torch.nn.Module, got (NoneType|str|Tensor|type)"):
        eg.watch(model)


def test_nothing_to_watch():
    with pytest.raises(InputError, match=r"nothing to watch: Sequential has no nn.RNN.*no nn.Linear"):
        eg.watch(nn.Sequential(nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4)))


def test_no_recurrent_layer():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    with eg.watch(model) as seen:
        model(X).sum().backward()
    assert float(seen["0"]["weight"].norm()) > 0
    with pytest.raises(InputError, match=r"Sequential has no recurrent layer.*eg\.from_torch"):
        seen.verdict()


def test_models_that_hide_their_modules():
    class Parallel(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.DataParallel(Model())
            self.compiled = Model()

    model = Parallel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and torch.compile loads it
        model.scripted = torch.jit.script(nn.Linear(3, 2))
        model.compiled.compile()
    with pytest.raises(UnsupportedError) as error:
        eg.watch(model)
    text = str(error.value)
    assert "3 problems" in text
    assert "inner: DataParallel: it calls copies of the module in threads: watch and call model.module" in text
    assert "scripted: RecursiveScriptModule: compiled by torch.jit: watch the module that it was made from" in text
    assert "compiled: Model: compiled by its method compile()" in text


def test_a_compiled_model():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.compile(Model())
    with pytest.raises(UnsupportedError, match=r"the model: OptimizedModule: compiled by torch.compile.*_orig_mod"):
        eg.watch(model)


def test_a_batch_without_a_sequence(tmp_path):
    """The arrays are empty and the weights' gradients zero, as torch's are; over time there is nothing to say."""
    model = Model()
    with eg.watch(model) as seen:
        model(X[:0]).sum().backward()
    assert seen["lstm"]["f_l0"].shape == (0, 5, 4)
    assert torch.equal(seen["lstm"].weights["weight_hh_l0"], model.lstm.weight_hh_l0.grad)
    assert "4 weight gradients equal autograd's" in str(seen)
    for ask in (seen.verdict, seen.unrolled, lambda: seen.report(tmp_path / "page.html")):
        with pytest.raises(InputError, match="'lstm' got a batch of 0 sequences, expected at least one"):
            ask()
    with eg.watch(model) as seen:
        (model(X[:0]).sum() + model(X).sum()).backward()
    assert [part.label for part in seen.unrolled()] == ["lstm[1].l0"]
