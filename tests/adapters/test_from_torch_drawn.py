"""Drawn modules: any recurrent layers, inputs, read-outs, heads and losses, against torch's autograd."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.adapters.torch_oracle import assert_same

ACTIVATIONS = {
    "tanh": (nn.Tanh, torch.tanh),
    "relu": (nn.ReLU, F.relu),
    "sigmoid": (nn.Sigmoid, lambda v: v.sigmoid()),
    "gelu": (nn.GELU, F.gelu),
    "silu": (nn.SiLU, F.silu),
    "elu": (lambda: nn.ELU(0.7), lambda v: F.elu(v, alpha=0.7)),
    "leaky": (lambda: nn.LeakyReLU(0.2), lambda v: F.leaky_relu(v, 0.2)),
    "softplus": (nn.Softplus, F.softplus),
}
CRITERIA = {
    "cross_entropy": nn.CrossEntropyLoss(),
    "cross_entropy sum": nn.CrossEntropyLoss(reduction="sum", label_smoothing=0.1),
    "mse": nn.MSELoss(),
    "mse sum": nn.MSELoss(reduction="sum"),
    "bce": nn.BCEWithLogitsLoss(),
}
READS = ("last", "first", "some", "mean", "state", "states", "stacked", "row", "cell", "each", "each as rows", "both")


class Drawn(nn.Module):
    """A model that does what its description says; the description is fixed while it runs."""

    def __init__(self, d):
        super().__init__()
        self.d = d
        width = d["inputs"]
        if d["tokens"]:
            self.table = nn.Embedding(d["tokens"], width)
        if d["before"]:
            self.before = nn.Linear(width, d["before"])
            width = d["before"]
        options = {"num_layers": d["layers"], "bidirectional": d["both"], "batch_first": d["batch_first"]}
        options |= {"bias": d["bias"], "dropout": 0.3 if d["layers"] > 1 else 0.0}
        if d["kind"] == "LSTM":
            self.core = nn.LSTM(width, d["units"], proj_size=d["projection"], **options)
        elif d["kind"] == "GRU":
            self.core = nn.GRU(width, d["units"], **options)
        else:
            self.core = nn.RNN(width, d["units"], nonlinearity=d["kind"], **options)
        self.drop = nn.Dropout(0.4)
        width = self.read_width()
        self.head = nn.ModuleList()
        for size, activation, _ in d["head"]:
            self.head.append(nn.Linear(width, size, bias=d["bias"]))
            self.head.append(ACTIVATIONS[activation][0]())
            width = size
        self.out = nn.Linear(width, d["outputs"])

    def read_width(self):
        d = self.d
        one = d["projection"] if d["kind"] == "LSTM" and d["projection"] else d["units"]
        directions = 2 if d["both"] else 1
        return {
            "state": one,
            "cell": d["units"] if d["kind"] == "LSTM" else one,
            "states": 2 * one if d["both"] else one,
            "stacked": one,
            "row": one * directions * d["layers"],
            "both": directions * one + one,
        }.get(d["read"], directions * one)

    def forward(self, x):
        d = self.d
        if d["tokens"]:
            x = self.table(x)
        if d["before"]:
            x = self.drop(torch.tanh(self.before(x)))
        if d["turned"]:
            x = x.transpose(0, 1)
        out, state = self.core(x)
        h, c = state if d["kind"] == "LSTM" else (state, state)
        time = 1 if d["batch_first"] else 0
        v = self.read(x, out, h, c, time)
        for i, (_, activation, style) in enumerate(d["head"]):
            a = self.head[2 * i](v)
            g = self.head[2 * i + 1](a) if style == "module" else ACTIVATIONS[activation][1](a)
            v = g * a if style == "product" else g
        z = self.out(v)
        return z.view(x.size(0), x.size(1), -1) if d["read"] == "each as rows" else z

    def read(self, x, out, h, c, time):
        kind, both = self.d["read"], self.d["both"]
        if kind in ("last", "first", "some"):
            step = {"last": -1, "first": 0, "some": self.d["step"]}[kind]
            return out[:, step] if time else out[step]
        if kind == "mean":
            return out.mean(time)
        if kind == "state":
            return h[-1]
        if kind == "cell":
            return c[0]
        if kind == "states":
            return torch.cat([h[-2], h[-1]], 1) if both else h[-1]
        if kind == "stacked":
            return torch.tanh(h).mean(0)
        if kind == "row":
            return h.transpose(0, 1).flatten(1)
        if kind == "both":
            return torch.cat([out.select(time, -1), h[0]], dim=-1)
        return out.reshape(-1, out.shape[-1]) if kind == "each as rows" else out


@st.composite
def descriptions(draw):
    kind = draw(st.sampled_from(["tanh", "relu", "LSTM", "GRU"]))
    units = draw(st.integers(2, 5))
    batch_first = draw(st.booleans())
    head = draw(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(list(ACTIVATIONS)), _STYLES), max_size=3))
    return {
        "kind": kind,
        "units": units,
        "inputs": draw(st.integers(1, 4)),
        "tokens": draw(st.sampled_from([0, 0, 3, 7])),
        "before": draw(st.sampled_from([0, 0, 3])),
        "layers": draw(st.integers(1, 3)),
        "both": draw(st.booleans()),
        "batch_first": batch_first,
        "turned": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "projection": draw(st.sampled_from([0, 0, 1])),
        "read": draw(st.sampled_from(READS)),
        "step": draw(st.integers(0, 1)),
        "head": head,
        "outputs": draw(st.integers(1, 4)),
    }


_STYLES = st.sampled_from(["module", "function", "product"])


@settings(max_examples=120)
@given(descriptions(), st.sampled_from(list(CRITERIA)), st.integers(1, 5), st.integers(2, 12), st.integers(0, 1000))
def test_any_module(d, criterion, batch, steps, seed):
    steps += 12 * (steps == batch)
    torch.manual_seed(seed)
    model = Drawn(d).double().eval()
    if d["kind"] != "relu":  # its states would grow until torch's own 1 - tanh² of them has lost its digits
        with torch.no_grad():
            for p in model.parameters():  # larger than torch's own, so that the units leave the linear part
                p.mul_(1.5)
    time_first = d["batch_first"] == d["turned"]  # torch's input; what the core takes is turned once more, or not
    x = (
        torch.randint(0, d["tokens"], (batch, steps))
        if d["tokens"]
        else torch.randn(batch, steps, d["inputs"]).double()
    )
    each = d["read"].startswith("each")
    rng = np.random.default_rng(seed)
    shape = (batch, steps) if each else (batch,)
    if criterion.startswith("cross"):
        y = torch.from_numpy(rng.integers(0, d["outputs"], shape))
    else:
        y = torch.from_numpy(rng.uniform(size=(*shape, d["outputs"])))
    torchs = (lambda v: v.transpose(0, 1)) if time_first else (lambda v: v)
    ours = (lambda z: z.transpose(0, 1)) if each and not d["batch_first"] else (lambda z: z)
    assert_same(model, x, y, CRITERIA[criterion], torchs=torchs, ours=ours)


@pytest.mark.slow
@settings(max_examples=10)
@given(descriptions(), st.integers(0, 1000))
def test_long_sequences(d, seed):
    torch.manual_seed(seed)
    model = Drawn({**d, "tokens": 0, "read": "last", "turned": False, "batch_first": True}).double().eval()
    x = torch.randn(2, 200, d["inputs"]).double()
    assert_same(model, x, torch.randint(0, d["outputs"], (2,)))
