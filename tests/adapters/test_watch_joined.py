"""Layers that are called step by step in a loop of the user's own: one sequence, as with cells."""

import pytest
import torch
from torch import nn

import everygrad as eg
from everygrad.adapters.watched import inside
from everygrad.adapters.watched.views import sweep_of
from everygrad.checks.tolerance import FRAMEWORK, assert_close
from tests.adapters.rnn_loop import Loop


def state_after(loop, sample, at, family):
    """A copy of the state after a step for whoever is outside: c of an LSTM, h of the others."""
    step = loop.steps[0, 0, sample][at]
    if family != "LSTM":
        return step.out
    if "c" not in step.ends:
        step.ends["c"] = step.q["c"] * 1
        step.ends["c"].retain_grad()
    return step.ends["c"]


@pytest.mark.parametrize("layout", ["time first", "batch first", "unbatched"])
@pytest.mark.parametrize("lengths", [(1, 1, 1, 1, 1, 1), (2, 1, 3), (6,)])
@pytest.mark.parametrize(("family", "extra"), [("RNN", {}), ("LSTM", {}), ("LSTM", {"proj_size": 2}), ("GRU", {})])
def test_calls_that_go_on_from_each_other_are_one_sequence(family, extra, lengths, layout):
    """Every third step speaks to the loss, so does the state between the calls."""
    torch.manual_seed(1)
    layer = getattr(nn, family)(3, 4, batch_first=layout == "batch first", dtype=torch.float64, **extra)
    x = torch.randn(6, 1 if layout == "unbatched" else 2, 3, dtype=torch.float64)

    def laid(g):
        return {"time first": g, "batch first": g.transpose(0, 1), "unbatched": g[:, 0]}[layout]

    time = 1 if layout == "batch first" else 0
    with eg.watch(layer) as seen:
        state, outputs, between = None, [], 0.0
        for part in laid(x).split(lengths, time):
            output, state = layer(part, state)
            outputs.append(output)
            if len(outputs) == 1:
                between = (state[1] if family == "LSTM" else state).square().sum()
        output = torch.cat(outputs, time)
        (output.select(time, 2).square().sum() + output.select(time, 5).sum() + between).backward()
    loop = Loop(layer, list(x.unbind(1)))
    heard = torch.stack([state_after(loop, b, lengths[0] - 1, family) for b in range(x.shape[1])])
    (loop.output[2].square().sum() + loop.output[5].sum() + heard.square().sum()).backward()
    found = seen[family]
    assert len(found.calls) == 1
    for name, g in loop.gradients().items():
        initial = g[:, 0] if layout == "unbatched" else g
        assert_close(found[name], initial if name in ("h_0", "c_0") else laid(g), FRAMEWORK, name)
    for name, p in layer.named_parameters():
        assert_close(found.weights[name], p.grad, FRAMEWORK, name)
    for name, g in loop.direct().items():
        assert_close(found.direct[name], laid(g), FRAMEWORK, f"direct {name}")
    assert all(row.ok for row in seen.agreement())


@pytest.mark.parametrize("cut", [torch.Tensor.detach_, lambda h: h.mul_(2)], ids=["detach_", "mul_"])
@pytest.mark.parametrize("kind", [nn.GRU, nn.GRUCell])
def test_a_state_that_is_cut_or_written_to_in_place_ends_a_sequence(kind, cut):
    torch.manual_seed(2)
    layer = kind(3, 4, dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    with eg.watch(layer) as seen:
        h, loss = None, 0.0
        for t in range(4):
            h = layer(x[t], h) if kind is nn.GRUCell else layer(x[t : t + 1], h)[1]
            loss = loss + h.sum()
            if t == 1:
                cut(h)
        loss.backward()
    found = seen[kind.__name__]
    assert [len(call.values["x"]) for call in found.calls] == [2, 2]
    for name, p in layer.named_parameters():
        assert_close(found.weights[name], p.grad, FRAMEWORK, name)


def test_a_decoder_has_one_verdict_over_all_its_steps():
    """A forget gate that is shut, seen over time although every call has one step."""
    torch.manual_seed(3)
    layer = nn.LSTM(3, 4, dtype=torch.float64)
    with torch.no_grad():
        layer.bias_ih_l0[4:8] = -6.0
    x = torch.randn(30, 2, 3, dtype=torch.float64)
    with eg.watch(layer) as seen:
        state = None
        for t in range(30):
            output, state = layer(x[t : t + 1], state)
        output.square().sum().backward()
    with eg.watch(layer) as whole:
        layer(x)[0][-1].square().sum().backward()
    found, expected = seen.verdict(), whole.verdict()
    assert found.level == expected.level == "error"
    assert found.headline == expected.headline


def test_direct_gradients_are_made_when_they_are_asked_for_and_are_no_part_of_a_graph(monkeypatch):
    torch.manual_seed(5)
    layer = nn.LSTM(3, 4, 2, dtype=torch.float64)
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    swept = []

    def counted(run, direct, final, carry=True):
        swept.append(carry)
        return sweep_of(run, direct, final, carry)

    monkeypatch.setattr(inside, "sweep_of", counted)
    with eg.watch(layer) as seen:
        layer(x)[0][-1].square().sum().backward()
    assert_close(seen["LSTM"].weights["weight_hh_l0"], layer.weight_hh_l0.grad, FRAMEWORK)
    assert swept == [True, True]
    with torch.autocast("cpu", torch.bfloat16):
        direct = seen["LSTM"].direct["a_f_l1"]
    loop = Loop(layer, list(x.unbind(1)))
    loop.output[-1].square().sum().backward()
    assert_close(direct, loop.direct()["a_f_l1"], FRAMEWORK)
    assert not direct.requires_grad
    seen.verdict()
    assert swept == [True, True, False, False]


def loop_of_layers(steps=20, bias=0.0):
    torch.manual_seed(4)
    encoder, decoder = nn.GRU(3, 4), nn.LSTM(4, 4, 2)
    with torch.no_grad():
        decoder.bias_ih_l1[4:8] = bias
    model = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    with eg.watch(model) as seen:
        output, _ = encoder(torch.randn(5, 2, 3))
        x, state, loss = output[-1:], None, 0.0
        for _ in range(steps):
            x, state = decoder(x, state)
            loss = loss + x.square().sum()
        loss.backward()
    return seen


def test_calls_that_are_not_joined_are_not_compared_as_layers():
    """Two layers deep, the calls stay apart: a verdict for each, and it says so."""
    seen = loop_of_layers()
    assert len(seen["decoder"].calls) == 20
    verdict = seen.verdict()
    assert "not joined" in verdict.headline
    assert "20 calls of decoder" in verdict.headline
    assert "h_l0 of encoder" in verdict.headline
    assert len(verdict.headline) < 500
    assert len(str(verdict)) < 1500
    for finding in verdict.findings:
        assert "times that of" not in finding.text or "encoder" in finding.text


def test_the_same_finding_in_many_calls_is_said_once():
    verdict = loop_of_layers(bias=-20.0).verdict()
    stuck = [finding for finding in verdict.findings if finding.kind == "saturated" and "f_l1" in finding.where]
    assert len(stuck) == 1
    assert "the same in 19 more calls" in stuck[0].text
    assert "f_l1 of decoder[0]" in stuck[0].text


def test_gradients_that_are_not_autograds_are_no_healthy_verdict():
    torch.manual_seed(0)
    layer = nn.GRU(3, 4, dtype=torch.float64)
    with eg.watch(layer) as seen:
        output, _ = layer(torch.randn(5, 2, 3, dtype=torch.float64))
        (output.sum() + layer.weight_hh_l0.square().sum()).backward()
    verdict = seen.verdict()
    assert verdict.level == "error"
    assert "weight_hh_l0" in verdict.headline
    assert "weight_ih_l0" not in verdict.headline
    assert "Healthy" not in str(verdict)
    assert any(line.startswith("error: ") and "weight_hh_l0" in line for line in str(seen).splitlines())
    with eg.watch(layer) as seen:
        layer(torch.randn(5, 2, 3, dtype=torch.float64))[0].sum().backward()
    assert "autograd" not in str(seen.verdict())
