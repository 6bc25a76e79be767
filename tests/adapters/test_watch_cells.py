"""Cells of torch in a loop of the user's own: their calls are the steps of one sequence."""

import pytest
import torch
from torch import nn

import everygrad as eg
from everygrad.checks.tolerance import FRAMEWORK, assert_close
from tests.adapters.rnn_loop import Loop

FAMILIES = ["RNN", "LSTM", "GRU"]


class Steps(nn.Module):
    """A loop over time; ``detach_at`` cuts it, ``batched=False`` gives vectors."""

    def __init__(self, family, bias=True, **extra):
        super().__init__()
        self.cell = getattr(nn, f"{family}Cell")(3, 4, bias=bias, dtype=torch.float64, **extra)

    def forward(self, xs, state=None):
        outputs = []
        for x in xs:
            state = self.cell(x, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs), state


def first(states, family, batched):
    states = [s if batched else s[0] for s in states]
    return tuple(states[:2]) if family == "LSTM" else states[0]


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_loop_of_calls_is_one_sequence(family, batched, given):
    torch.manual_seed(1)
    model = Steps(family, bias=given)
    xs = torch.randn(6, 2 if batched else 1, 3, dtype=torch.float64)
    states = torch.randn(2, xs.shape[1], 4, dtype=torch.float64)
    with eg.watch(model) as seen:
        output, last = model(xs if batched else xs[:, 0], first(states, family, batched) if given else None)
        loss = output[-1].sum() + output[2].square().sum() + (last[1].sum() if family == "LSTM" else 0)
        loss.backward()
    names = ("h", "c") if family == "LSTM" else ("h",)
    initial = {n: s[None] for n, s in zip(names, states, strict=False)} if given else {}
    loop = Loop(model.cell, list(xs.unbind(1)), initial)
    end = loop.last["c"].sum() if family == "LSTM" else 0
    (loop.output[-1].sum() + loop.output[2].square().sum() + end).backward()
    layer = seen["cell"]
    assert len(layer.calls) == 1

    def laid(name, g):
        return (g[0] if name in ("h_0", "c_0") else g) if batched else g[0, 0] if name in ("h_0", "c_0") else g[:, 0]

    assert set(layer) == set(loop.gradients()) | set(loop.weights)
    for name, g in loop.gradients().items():
        assert_close(layer[name], laid(name, g), FRAMEWORK, name)
    for name, g in loop.direct().items():
        assert_close(layer.direct[name], laid(name, g), FRAMEWORK, f"direct {name}")
    for name, value in loop.values().items():
        assert_close(layer.values[name], laid(name, value), FRAMEWORK, f"value of {name}")
    for name, p in model.cell.named_parameters():
        assert_close(layer.weights[name], p.grad, FRAMEWORK, name)
    assert all(row.error < FRAMEWORK for row in seen.agreement())
    spoken = layer.direct["h"].reshape(6, -1).abs().sum(1) > 0
    assert spoken.tolist() == [False, False, True, False, False, True]  # exactly zero, not rounding


def test_what_autograd_delivers_to_a_step_is_the_total():
    torch.manual_seed(2)
    model = Steps("GRU")
    xs = torch.randn(5, 2, 3, dtype=torch.float64)
    with eg.watch(model) as seen:
        model(xs)[0][-1].sum().backward()
    assert_close(seen["cell"].delivered["h"], seen["cell"]["h"], FRAMEWORK)
    assert float(seen["cell"].direct["h"][:-1].norm()) == 0


def test_a_cut_in_the_loop_makes_two_sequences():
    """Truncated backpropagation: the gradient of the second half does not reach the first."""
    torch.manual_seed(3)
    model = Steps("LSTM")
    xs = torch.randn(6, 2, 3, dtype=torch.float64)
    with eg.watch(model) as seen:
        output, (h, c) = model(xs[:4])
        later, _ = model(xs[4:], (h.detach(), c.detach()))
        (output[1].sum() + later[-1].sum()).backward()
    layer = seen["cell"]
    assert [len(call.values["x"]) for call in layer.calls] == [4, 2]
    loops = [Loop(model.cell, list(xs[:4].unbind(1)))]
    loops.append(Loop(model.cell, list(xs[4:].unbind(1)), {s: t.detach() for s, t in loops[0].last.items()}))
    (loops[0].output[1].sum() + loops[1].output[-1].sum()).backward()
    for call, loop in zip(layer.calls, loops, strict=True):
        for name, g in loop.gradients().items():
            assert_close(call[name], g[0] if name in ("h_0", "c_0") else g, FRAMEWORK, name)
    for name, p in model.cell.named_parameters():
        assert_close(layer.weights[name], p.grad, FRAMEWORK, name)


def test_weights_that_change_between_two_steps():
    torch.manual_seed(6)
    cell = nn.LSTMCell(3, 4, dtype=torch.float64)
    xs = torch.randn(2, 2, 3, dtype=torch.float64)
    loops = [Loop(cell, list(xs[:1].unbind(1)))]
    with eg.watch(cell) as seen:
        state = cell(xs[0])
        with torch.no_grad():
            cell.weight_hh.mul_(2)  # nothing of the first step's gradient reads it
        cell(xs[1], state)[0].sum().backward()
    loops.append(Loop(cell, list(xs[1:].unbind(1)), {s: t.detach() for s, t in loops[0].last.items()}))
    loops[1].output.sum().backward()
    calls = seen["LSTMCell"].calls
    assert len(calls) == 2
    assert_close(calls[1]["a_f"], loops[1].gradients()["a_f"], FRAMEWORK)
    back = loops[1].gradients()
    (loops[0].last["h"] * back["h_0"] + loops[0].last["c"] * back["c_0"]).sum().backward()
    assert_close(calls[0]["a_i"], loops[0].gradients()["a_i"], FRAMEWORK)
    assert_close(seen["LSTMCell"].weights["weight_ih"], cell.weight_ih.grad, FRAMEWORK)


def test_a_first_part_without_gradient():
    torch.manual_seed(7)
    model = Steps("LSTM")
    xs = torch.randn(5, 2, 3, dtype=torch.float64)
    with eg.watch(model) as seen:
        with torch.no_grad():
            _, state = model(xs[:2])
        model(xs[2:], state)[0][-1].sum().backward()
    assert [len(call.values["x"]) for call in seen["cell"].calls] == [2, 3]
    loop = Loop(model.cell, list(xs[2:].unbind(1)), {s: t[None] for s, t in zip("hc", state, strict=True)})
    loop.output[-1].sum().backward()
    for name, g in loop.gradients().items():
        assert_close(seen["cell"][name], g[0] if name in ("h_0", "c_0") else g, FRAMEWORK, name)
    assert all(row.ok for row in seen.agreement())


def test_autograd_that_is_asked_for_the_last_step_only():
    """It does not go further back than it must; what would arrive there is in the closed form all the same."""
    torch.manual_seed(8)
    model = Steps("GRU")
    xs = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    with eg.watch(model) as seen:
        steps = xs.unbind(0)
        torch.autograd.grad(model(steps)[0][-1].sum(), steps[-1])
    loop = Loop(model.cell, list(xs.detach().unbind(1)))
    loop.output[-1].sum().backward()
    for name, g in loop.gradients().items():
        assert_close(seen["cell"][name], g[0] if name == "h_0" else g, FRAMEWORK, name)


def test_two_sequences_in_turn():
    """A loop that takes a step of each of two sequences with the same cell."""
    torch.manual_seed(4)
    model = Steps("GRU")
    a, b = torch.randn(2, 4, 2, 3, dtype=torch.float64)
    with eg.watch(model) as seen:
        h = k = None
        for x, y in zip(a, b, strict=True):
            h, k = model.cell(x, h), model.cell(y, k)
        (h.sum() + k.square().sum()).backward()
    assert [len(call.values["x"]) for call in seen["cell"].calls] == [4, 4]
    for call, xs, loss in zip(seen["cell"].calls, (a, b), (torch.sum, lambda t: t.square().sum()), strict=True):
        loop = Loop(model.cell, list(xs.unbind(1)))
        loss(loop.output[-1]).backward()
        assert_close(call["a_r"], loop.gradients()["a_r"], FRAMEWORK)
    for name, p in model.cell.named_parameters():
        assert_close(seen["cell"].weights[name], p.grad, FRAMEWORK, name)


def test_a_state_with_two_users_ends_in_two_sequences():
    """The branch's part of the gradient arrives from outside of the trunk."""
    torch.manual_seed(5)
    model = Steps("RNN")
    xs = torch.randn(3, 2, 3, dtype=torch.float64)
    with eg.watch(model) as seen:
        h = model.cell(xs[0])
        left, right = model.cell(xs[1], h), model.cell(xs[2], h)
        (left.sum() + 2 * right.sum()).backward()
    trunk, branch = seen["cell"].calls
    assert_close(trunk.direct["h"][0], branch["h_0"], FRAMEWORK)
    for name, p in model.cell.named_parameters():
        assert_close(seen["cell"].weights[name], p.grad, FRAMEWORK, name)
