"""Recurrent modules of torch in every configuration, run watched and as a plain loop with the same loss."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

import everygrad as eg
from everygrad.checks.tolerance import FRAMEWORK, assert_close
from tests.adapters.rnn_loop import Loop

INPUTS = 3


@dataclass(frozen=True)
class Case:
    family: str = "LSTM"
    units: int = 4
    layers: int = 1
    bidirectional: bool = False
    batch_first: bool = False
    bias: bool = True
    projection: int = 0
    nonlinearity: str = "tanh"
    lengths: tuple[int, ...] = (5, 5)
    layout: str = "batched"  # or "unbatched", "packed", "packed sorted"
    initial: bool = False
    reads: tuple[str, ...] = ("all",)  # what the loss reads: all, last, twice, h_n, c_n
    dropout: float = 0.0
    seed: int = 0

    @property
    def states(self):
        return ("h", "c") if self.family == "LSTM" else ("h",)


@st.composite
def cases(draw):
    family = draw(st.sampled_from(["RNN", "LSTM", "GRU"]))
    layout = draw(st.sampled_from(["batched", "unbatched", "packed", "packed sorted"]))
    longest = draw(st.integers(1, 7))
    if layout == "unbatched":
        lengths = [longest]
    elif layout == "batched":
        lengths = [longest] * draw(st.integers(1, 3))
    else:
        lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    if layout == "packed sorted":
        lengths.sort(reverse=True)
    reads = ["all", "last", "twice", "h_n", *(["c_n"] if family == "LSTM" else [])]
    return Case(
        family=family,
        units=draw(st.integers(2, 4)),
        layers=draw(st.integers(1, 3)),
        bidirectional=draw(st.booleans()),
        batch_first=draw(st.booleans()),
        bias=draw(st.booleans()),
        projection=draw(st.integers(0, 1)) if family == "LSTM" else 0,
        nonlinearity=draw(st.sampled_from(["tanh", "relu"])) if family == "RNN" else "tanh",
        lengths=tuple(lengths),
        layout=layout,
        initial=draw(st.booleans()),
        reads=tuple(draw(st.lists(st.sampled_from(reads), min_size=1, max_size=3, unique=True))),
        seed=draw(st.integers(0, 1000)),
    )


def made(case, dtype=torch.float64):
    """(module, sequences, initial states) of a case, random."""
    torch.manual_seed(case.seed)
    extra = {"RNN": {"nonlinearity": case.nonlinearity}, "LSTM": {"proj_size": case.projection}, "GRU": {}}[case.family]
    module = getattr(nn, case.family)(
        INPUTS,
        case.units,
        case.layers,
        bidirectional=case.bidirectional,
        batch_first=case.batch_first,
        bias=case.bias,
        dropout=case.dropout,
        dtype=dtype,
        **extra,
    )
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(1.5)
    sequences = [torch.randn(n, INPUTS, dtype=dtype) for n in case.lengths]
    count = case.layers * (2 if case.bidirectional else 1)
    sizes = {"h": case.projection or case.units, "c": case.units}
    initial = {s: torch.randn(count, len(sequences), sizes[s], dtype=dtype) for s in case.states}
    return module, sequences, initial if case.initial else {}


class Model(nn.Module):
    """A recurrent module and what is around it: the arguments in its layout, the results in one for all losses."""

    def __init__(self, case, rnn):
        super().__init__()
        self.case = case
        self.rnn = rnn

    def forward(self, sequences, initial):
        """(output (time, batch, features) padded with zeros, {h_n, c_n})."""
        case = self.case
        states = tuple(initial[s] for s in case.states) if initial else None
        if case.layout == "unbatched":
            x = sequences[0]
            states = None if states is None else tuple(s[:, 0] for s in states)
        elif case.layout == "batched":
            x = torch.stack(sequences, dim=0 if case.batch_first else 1)
        else:
            x = pack_sequence(sequences, enforce_sorted=case.layout == "packed sorted")
        if states is not None and case.family != "LSTM":
            (states,) = states
        output, last = self.rnn(x, states) if states is not None else self.rnn(x)
        last = last if isinstance(last, tuple) else (last,)
        if case.layout == "unbatched":
            output, last = output[:, None], [s[:, None] for s in last]
        elif isinstance(output, PackedSequence):
            output, _ = pad_packed_sequence(output)
        elif case.batch_first:
            output = output.transpose(0, 1)
        return output, dict(zip(case.states, last, strict=True))


def loss_of(case, output, last):
    """A loss that reads what the case says, with weights of its own for every entry."""
    generator = torch.Generator().manual_seed(case.seed)

    def weighted(tensor):
        return (tensor * torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor.dtype)).sum()

    terms = {
        "all": lambda: weighted(output),
        "last": lambda: weighted(output[-1]),
        "twice": lambda: weighted(output.sin()) + weighted(output**2),
        "h_n": lambda: weighted(last["h"]),
        "c_n": lambda: weighted(last["c"].tanh()),
    }
    return sum(terms[name]() for name in case.reads)


def watched(case, module, sequences, initial):
    """What ``watch`` saw of one forward and backward pass."""
    model = Model(case, module)
    with eg.watch(model) as seen:
        loss_of(case, *model(sequences, initial)).backward()
    return seen["rnn"]


def looped(case, module, sequences, initial, masks=()):
    loop = Loop(module, sequences, initial, masks)
    loss_of(case, loop.output, loop.last).backward()
    return loop


def in_layout(case, name, tensor):
    """A tensor of the oracle, (time, batch, units) or h_0, in the layout of the module."""
    if name in ("h_0", "c_0"):
        return tensor[:, 0] if case.layout == "unbatched" else tensor
    if case.layout == "unbatched":
        return tensor[:, 0]
    return tensor.transpose(0, 1) if case.batch_first else tensor


def compare(case, layer, loop, module, tol=FRAMEWORK):
    """Everything that a watched layer gives against the loop, and its weights against autograd on the module."""
    expected = loop.gradients()
    assert set(layer) == set(expected) | set(loop.weights)
    for name, g in expected.items():
        assert_close(layer[name], in_layout(case, name, g), tol, name)
    for name, g in loop.direct().items():
        assert_close(layer.direct[name], in_layout(case, name, g), tol, f"direct {name}")
    for name, value in loop.values().items():
        assert_close(layer.values[name], in_layout(case, name, value), tol, f"value of {name}")
    for name, p in module.named_parameters():
        assert_close(layer.weights[name], p.grad, tol, name)
        assert_close(layer[name], loop.weights[name].grad, tol, name)
