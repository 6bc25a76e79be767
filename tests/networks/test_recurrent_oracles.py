"""The oracles of recurrent networks against each other, and against torch's fused layers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from everygrad.checks.tolerance import FRAMEWORK, assert_close
from tests.networks.recurrent_autodiff import with_complex_step, with_torch
from tests.networks.recurrent_cases import Case, Made, agree, cases, made
from tests.networks.recurrent_oracle import plain_loops

# ------------------------------------------------------------------------------------------- each against each


@settings(max_examples=40)
@given(cases())
def test_plain_loops_equal_autograd_with_retain_grad(case):
    numbers = made(case)
    loops, found = plain_loops(numbers), with_torch(numbers)
    assert set(loops.total) == set(found.total)
    assert set(loops.direct) == set(found.direct)
    assert_close(np.asarray(found.loss), np.asarray(loops.loss), FRAMEWORK)
    agree(found.total, loops.total, FRAMEWORK, "total")
    agree(found.direct, loops.direct, FRAMEWORK, "direct")
    for name, values in loops.values.items():
        counted = numbers.mask if values.ndim == 3 else True
        assert_close(np.where(np.asarray(counted)[..., None], found.values[name], 0), values, FRAMEWORK, name)


@settings(max_examples=30)
@given(cases(longest=5, batch=3, units=4, layers=2))
def test_plain_loops_equal_the_complex_step(case):
    loops, found = plain_loops(made(case)), with_complex_step(made(case))
    assert set(loops.total) == set(found.total)
    assert set(loops.direct) == set(found.direct)
    agree(found.total, loops.total, FRAMEWORK, "total")
    agree(found.direct, loops.direct, FRAMEWORK, "direct")


# ----------------------------------------------------------------------------------------- torch's fused layers


FUSED = {
    "rnn tanh": Case("elman", layers=2, bidirectional=True, T=6),
    "rnn relu": Case("elman", "relu", read="each", initial=True, T=6),
    "lstm": Case("lstm", layers=2, bidirectional=True, initial=True, lengths=True, read="each", T=7, B=4),
    "lstm without bias, last": Case("lstm", bias=False, layers=3, lengths=True, T=7, B=4),
    "lstm projected": Case("lstm", projection=2, layers=2, bidirectional=True, initial=True, lengths=True, T=5),
    "gru": Case("gru", layers=2, bidirectional=True, initial=True, lengths=True, read="each", T=6),
    "gru, both last states": Case("gru", bidirectional=True, lengths=True, weighted=True, B=5, T=6),
    "gru without bias": Case("gru", bias=False, embedding=(5, 3), T=6, read="mean"),
}


def fused(numbers: Made) -> torch.nn.Module:
    """nn.RNN, nn.LSTM or nn.GRU with the case's weights; the gates are stacked in torch's order."""
    case = numbers.case
    make = {"elman": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[case.cell]
    options = {"nonlinearity": case.activation} if case.cell == "elman" else {}
    options |= {"proj_size": case.projection} if case.projection else {}
    first = case.stack[0].inputs
    options |= {"bias": case.bias, "batch_first": True, "bidirectional": case.bidirectional}
    model = make(first, case.units, case.layers, **options)
    model = model.double()
    gates = {"elman": [""], "lstm": ["_i", "_f", "_g", "_o"], "gru": ["_r", "_z", "_n"]}[case.cell]
    for layer in case.stack:
        p = numbers.cell(layer)
        end = layer.suffix or "_l0"
        arrays = {"weight_ih": [p[f"U{k}"] for k in gates], "weight_hh": [p[f"W{k}"] for k in gates]}
        if case.bias:
            arrays["bias_ih"] = [p[f"b{k}"] for k in gates]
            arrays["bias_hh"] = [p["b_hn"] if (case.cell, k) == ("gru", "_n") else 0 * p[f"b{k}"] for k in gates]
        if case.projection:
            arrays["weight_hr"] = [p["R"]]
        for name, parts in arrays.items():
            getattr(model, name + end).data = torch.from_numpy(np.concatenate(parts))
    return model


def gradients_of_fused(numbers: Made, model: torch.nn.Module) -> dict[str, np.ndarray]:
    """The parameters' gradients by our names, after a backward pass."""
    case = numbers.case
    gates = {"elman": [""], "lstm": ["_i", "_f", "_g", "_o"], "gru": ["_r", "_z", "_n"]}[case.cell]
    found = {}
    for layer in case.stack:
        end = layer.suffix or "_l0"
        names = {"weight_ih": "U", "weight_hh": "W"} | ({"bias_ih": "b"} if case.bias else {})
        for torchs, ours in names.items():
            parts = np.split(getattr(model, torchs + end).grad.numpy(), len(gates))
            found |= {f"{ours}{gate}{layer.suffix}": part for gate, part in zip(gates, parts, strict=True)}
        if case.cell == "gru" and case.bias:
            found["b_hn" + layer.suffix] = np.split(getattr(model, "bias_hh" + end).grad.numpy(), 3)[2]
        if case.projection:
            found["R" + layer.suffix] = getattr(model, "weight_hr" + end).grad.numpy()
    return found


@pytest.mark.parametrize("name", FUSED)
def test_plain_loops_equal_torchs_fused_layers(name):
    case = FUSED[name]
    numbers = made(case)
    model = fused(numbers)
    given = numbers.params["E"][numbers.x] if case.embedding else numbers.x
    x = torch.tensor(given, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, numbers.lengths, True, enforce_sorted=False)
    start = {
        k: torch.stack([torch.from_numpy(numbers.initial[f"{k}0{layer.suffix}"]) for layer in case.stack])
        for k in case.states
    }
    out, end = model(packed, (start["h"], start["c"]) if case.cell == "lstm" else start["h"])
    h, _ = torch.nn.utils.rnn.pad_packed_sequence(out, True, total_length=case.T)
    end = end[0] if case.cell == "lstm" else end
    V, b_V = torch.from_numpy(numbers.params["V"]), torch.from_numpy(numbers.params["b_V"])
    if case.read == "last":
        h = torch.cat(list(end[-2:] if case.bidirectional else end[-1:]), -1)
    elif case.read == "mean":
        h = h.sum(1) / torch.from_numpy(numbers.lengths)[:, None]
    z = h @ V.T + b_V
    y = torch.from_numpy(numbers.y)
    losses = torch.nn.functional.cross_entropy(z.reshape(-1, case.outputs), y.ravel(), reduction="none")
    loss = (losses * torch.from_numpy(numbers.coefficients).ravel()).sum()
    loss.backward()
    found = gradients_of_fused(numbers, model)
    found["embedded" if case.embedding else "x"] = x.grad.numpy()
    loops = plain_loops(numbers)
    assert_close(loss.detach(), np.asarray(loops.loss), FRAMEWORK)
    assert len(found) == 1 + sum(len(case.cell_shapes(layer.inputs)) for layer in case.stack)
    agree(loops.total, found, FRAMEWORK, "total")
