"""Watching changes nothing: the same bits with and without, and nothing left behind."""

import contextlib
import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import everygrad as eg
from everygrad.checks.tolerance import FRAMEWORK, assert_close

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
)


class Classifier(nn.Module):
    """Recurrent layers among others that work in place, reuse and change what the layers gave."""

    def __init__(self, family="LSTM"):
        super().__init__()
        self.into = nn.Linear(3, 6)
        self.act = nn.ReLU(inplace=True)
        self.rnn = getattr(nn, family)(6, 5, 2, batch_first=True, bidirectional=True, dropout=0.3)
        self.cell = nn.GRUCell(10, 5)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Sequential(nn.Linear(5, 4), nn.ELU(inplace=True), nn.Linear(4, 2))

    def forward(self, x):
        y, last = self.rnn(self.drop(self.act(self.into(x))))
        y = y * 1.0
        y[:, 0].mul_(2)
        h = None
        for step in y.unbind(1):
            h = self.cell(step, h)
        last = last[1] if isinstance(last, tuple) else last
        return self.out(h), last.sum()


def trained(family, watch, dtype, steps=3):
    """(parameters, gradients and their strides, losses, state of the generator) after a few steps."""
    torch.manual_seed(0)
    model = Classifier(family).to(dtype)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x, y = torch.randn(7, 5, 3, dtype=dtype), torch.randint(0, 2, (7,))
    losses, gradients = [], []
    for _ in range(steps):
        with eg.watch(model) if watch else contextlib.nullcontext() as seen:
            optimizer.zero_grad()
            z, end = model(x)
            loss = nn.functional.cross_entropy(z, y) + 1e-2 * end
            loss.backward(retain_graph=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            gradients += [(p.grad.clone(), p.grad.stride()) for p in model.parameters()]
            optimizer.step()
        losses.append(loss.detach().clone())
        if watch:
            assert seen["rnn"]["weight_hh_l1"].shape == model.rnn.weight_hh_l1.shape  # reading disturbs nothing either
    return [p.detach() for p in model.parameters()], gradients, losses, torch.get_rng_state()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("family", ["RNN", "LSTM", "GRU"])
def test_training_is_the_same_bit_for_bit(family, dtype):
    (p, g, losses, state), (q, k, others, after) = trained(family, False, dtype), trained(family, True, dtype)
    assert all(torch.equal(a, b) for a, b in zip(p, q, strict=True))
    assert all(torch.equal(a, b) and s == t for (a, s), (b, t) in zip(g, k, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(losses, others, strict=True))
    assert torch.equal(state, after)


def left_over(model):
    """Hooks on modules and parameters."""
    found = [getattr(module, name) for module in model.modules() for name in HOOKS]
    return [dict(hooks) for hooks in found if hooks] + [
        p._backward_hooks for p in model.parameters() if p._backward_hooks
    ]


def test_the_hooks_are_gone_afterwards():
    model = Classifier()
    with eg.watch(model) as seen:
        assert left_over(model)
        z, end = model(torch.randn(2, 5, 3))
        (z.sum() + end).backward()
    assert left_over(model) == []
    before = seen["rnn"]["h_l1"].clone()
    z, end = model(torch.randn(2, 5, 3))
    (z.sum() + end).backward()
    assert torch.equal(seen["rnn"]["h_l1"], before)


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), StopIteration("mine"), GeneratorExit()])
def test_an_exception_passes_through_unchanged_and_the_hooks_are_gone(error):
    model = Classifier()
    watch = eg.watch(model)

    def block():
        with watch:
            model(torch.randn(2, 5, 3))
            raise error

    with pytest.raises(type(error)) as caught:
        block()
    assert caught.value is error
    assert error.__cause__ is None
    assert left_over(model) == []
    with pytest.raises(eg.errors.InputError, match="no backward pass"):
        watch["rnn"]["h_l0"]


def test_an_exception_inside_of_the_model():
    model = Classifier()
    with pytest.raises(RuntimeError, match=r"must be equal to input_size|shapes cannot be multiplied"), eg.watch(model):
        model(torch.randn(2, 5, 4))
    assert left_over(model) == []
    with eg.watch(model) as seen:
        with pytest.raises(RuntimeError):
            model.rnn(torch.randn(2, 5, 4))
        output, _ = model.rnn(torch.randn(2, 5, 6))
        output.sum().backward()
    assert seen["rnn"]["h_l0"].shape == (2, 5, 5)


def test_an_error_in_the_backward_pass():
    model = Classifier()
    with eg.watch(model):
        z, _ = model(torch.randn(2, 5, 3))
        with torch.no_grad():
            model.out[0].weight.add_(1)
            model.out[2].weight.add_(1)
        with pytest.raises(RuntimeError, match="inplace"):
            z.sum().backward()
    assert left_over(model) == []


def test_nothing_of_the_graph_is_held():
    model = nn.LSTM(3, 4)
    x = torch.randn(5, 2, 3, requires_grad=True)
    with eg.watch(model) as seen:
        output, last = model(x)
        output.sum().backward()
        alive = [weakref.ref(t) for t in (x, output, *last)]
        del x, output, last
        gc.collect()
        assert [ref() for ref in alive] == [None] * 4
    assert seen["LSTM"]["h"].shape == (5, 2, 4)


def test_what_is_read_is_not_part_of_a_graph():
    model = nn.GRU(3, 4, 2)
    with eg.watch(model) as seen:
        model(torch.randn(5, 2, 3, requires_grad=True))[0].sum().backward()
    layer = seen["GRU"]
    for named in (layer.call.total, layer.values, layer.direct, layer.weights, layer.delivered):
        assert all(not t.requires_grad and t.grad_fn is None for t in named.values())


def test_two_watches_at_once_and_one_after_the_other():
    model = Classifier().double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    with eg.watch(model) as outer:
        with eg.watch(model.rnn) as inner:
            z, end = model(x)
            (z.sum() + end).backward()
        model.rnn(torch.randn(2, 5, 6, dtype=torch.float64))
    assert left_over(model) == []
    assert torch.equal(outer["rnn"]["c_l0"], inner["LSTM"]["c_l0"])
    assert len(outer["rnn"].calls) == 2


def test_a_watch_serves_one_block():
    watch = eg.watch(nn.LSTM(3, 4))
    with watch:
        pass
    with pytest.raises(eg.errors.InputError, match="make a new one"), watch:
        pass


def test_a_model_may_be_copied_and_saved_in_the_block(tmp_path):
    model = nn.Sequential(nn.LSTM(3, 4, dtype=torch.float64))
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    with eg.watch(model) as seen:
        average = copy.deepcopy(model)
        torch.save(model.state_dict(), tmp_path / "model.pt")
        average(x)[0].sum().backward()
        model(x)[0].square().sum().backward()
    assert len(seen["0"].calls) == 1
    for name, p in model[0].named_parameters():
        assert_close(seen["0"].weights[name], p.grad, FRAMEWORK)


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_layer_that_is_run_again_in_the_backward_pass(reentrant):
    """Checkpointing runs the layer twice; the gradient reaches one of the two runs."""
    model = nn.LSTM(3, 4, 2, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    with eg.watch(model) as seen:
        output, _ = checkpoint(model, x, use_reentrant=reentrant)
        output[-1].square().sum().backward()
    assert len(seen["LSTM"].calls) == (2 if reentrant else 1)  # else the second run stops before its end
    assert_close(seen["LSTM"]["x"], x.grad, FRAMEWORK)
    for name, p in model.named_parameters():
        assert_close(seen["LSTM"].weights[name], p.grad, FRAMEWORK)


def test_an_input_and_arguments_by_name():
    model = nn.GRU(3, 4, dtype=torch.float64)
    x, h_0 = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True)
    with eg.watch(model) as seen:
        model(input=x, hx=h_0)[0][-1].sum().backward()
    assert_close(seen["GRU"]["h_0"], h_0.grad, FRAMEWORK)
    assert torch.equal(seen["GRU"].values["h_0"], h_0)


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("family", ["RNN", "LSTM", "GRU"])
def test_hooks_of_the_user_on_the_outputs_are_part_of_the_backward_pass(family, batch_first, written):
    """They run after the watch's own tensor hooks: the gradient counts that enters the layer."""
    torch.manual_seed(0)
    layer = getattr(nn, family)(3, 4, batch_first=batch_first, dtype=torch.float64)
    x = torch.randn(5, 5, 3, dtype=torch.float64, requires_grad=True)
    with eg.watch(layer) as seen:
        output, last = layer(x)
        ends = last if isinstance(last, tuple) else (last,)
        output.register_hook(lambda g: g * 0.1)
        for end in ends:
            end.register_hook(lambda g: g.clamp(-0.2, 0.2))
        if written:
            output[0].mul_(3)
        loss = output.square().sum() + sum(end.exp().sum() for end in ends)
        loss.backward(retain_graph=True)
        (2 * loss).backward()
    assert_close(seen[family]["x"], x.grad, FRAMEWORK)
    for name, p in layer.named_parameters():
        assert_close(seen[family].weights[name], p.grad, FRAMEWORK, name)
    assert all(row.ok for row in seen.agreement())


def test_a_hook_of_the_user_on_what_a_linear_layer_gave():
    layer = nn.Linear(3, 2, dtype=torch.float64)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    with eg.watch(layer) as seen:
        y = layer(x)
        y.register_hook(lambda g: -g)
        y.square().sum().backward()
    assert_close(seen["Linear"]["input"], x.grad, FRAMEWORK)
    assert_close(seen["Linear"]["weight"], layer.weight.grad, FRAMEWORK)


def test_a_gradient_that_is_asked_for_at_the_output_only():
    """Autograd stops before the layer; what it brought there is known all the same."""
    torch.manual_seed(0)
    layer = nn.GRU(3, 4, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    with eg.watch(layer) as seen:
        output, _ = layer(x)
        (g,) = torch.autograd.grad(output.square().sum(), output, retain_graph=True)
    (expected,) = torch.autograd.grad(output, x, g)
    assert_close(seen["GRU"]["x"], expected, FRAMEWORK)


def test_a_copy_has_no_hooks_left_after_its_first_call():
    model = nn.Sequential(nn.GRU(3, 4, dtype=torch.float64))
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    with eg.watch(model) as seen:
        average = copy.deepcopy(model)
        again = copy.deepcopy(average)
        for copied in (average, again):
            assert torch.equal(copied(x)[0], copied(x)[0])
            assert left_over(copied) == []
        model(x)[0].sum().backward()
    assert len(seen["0"].calls) == 1


def test_a_model_is_pickled_in_the_block_and_loads_without_the_library(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.LSTM(3, 4, dtype=torch.float64))
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    with eg.watch(model) as seen:
        torch.save(model, tmp_path / "model.pt")
        pickled = pickle.dumps(model)
        copied = pickle.dumps(copy.deepcopy(model))
        expected = model(x)[0]
        expected.sum().backward()
    assert b"everygrad" not in pickled + copied
    own = [pickle.loads(data) for data in (pickled, copied)]  # noqa: S301  our own bytes
    for loaded in (torch.load(tmp_path / "model.pt", weights_only=False), *own):
        assert torch.equal(loaded(x)[0], expected)
    assert len(seen["0"].calls) == 1
