"""Drawn programs that turn, cut, join and add tensors: what is read gives torch's numbers, the rest is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from everygrad.errors import UnsupportedError
from tests.adapters.torch_oracle import assert_same

B, T, D, H = 5, 7, 3, 6  # all different, and H can be cut
LAYERS = 2


class Program(nn.Module):
    """Replays steps (function, indices of tensors, arguments) on the tensors of a bidirectional RNN."""

    def __init__(self, steps, batch_first, linears):
        super().__init__()
        self.core = nn.RNN(D, H, LAYERS, bidirectional=True, batch_first=batch_first)
        self.steps = steps
        self.batch_first = batch_first
        self.linears = nn.ModuleDict({str(n): nn.Linear(n, 4) for n in linears})

    def forward(self, x):
        pool = self.start(x)
        for name, which, arguments in self.steps:
            pool.append(STEPS[name](self, x, [pool[i] for i in which], *arguments))
        return pool[-1]

    def start(self, x):
        out, h = self.core(x)
        return [x, out, h]


def sizes(x, shape, batch_first):
    """A shape with the words B and T for the sizes of the input."""
    batch, time = (0, 1) if batch_first else (1, 0)
    return [x.size(batch) if n == "B" else x.size(time) if n == "T" else n for n in shape]


STEPS = {
    "transpose": lambda m, x, v, a, b: v[0].transpose(a, b),
    "permute": lambda m, x, v, *order: v[0].permute(*order),
    "index": lambda m, x, v, key: v[0][key],
    "unsqueeze": lambda m, x, v, d: v[0].unsqueeze(d),
    "squeeze": lambda m, x, v, d: v[0].squeeze(d),
    "flatten": lambda m, x, v, a, b: v[0].flatten(a, b),
    "reshape": lambda m, x, v, shape: v[0].reshape(sizes(x, shape, m.batch_first)),
    "chunk": lambda m, x, v, n, d, i: v[0].chunk(n, d)[i],
    "split": lambda m, x, v, n, d, i: v[0].split(n, d)[i],
    "unbind": lambda m, x, v, d, i: v[0].unbind(d)[i],
    "select": lambda m, x, v, d, i: v[0].select(d, i),
    "cat": lambda m, x, v, d: torch.cat(v, d),
    "stack": lambda m, x, v, d: torch.stack(v, d),
    "add": lambda m, x, v: v[0] + v[1],
    "mul": lambda m, x, v: v[0] * v[1],
    "mean": lambda m, x, v, d, keep: v[0].mean(d, keepdim=keep),
    "sum": lambda m, x, v, d: v[0].sum(d),
    "tanh": lambda m, x, v: torch.tanh(v[0]),
    "affine": lambda m, x, v: 0.5 - v[0] * 2.0,
    "linear": lambda m, x, v, n: m.linears[str(n)](v[0]),
}


def words(shape, draw):
    """A shape with words for batch and time, and perhaps one −1."""
    found = ["B" if n == B else "T" if n == T else int(n) for n in shape]
    if found and draw.random() < 0.5:
        found[draw.integers(len(found))] = -1
    return found


def regrouped(shape, draw):
    """A shape with two neighbours joined, or one axis cut in two."""
    shape = list(shape)
    at = int(draw.integers(len(shape)))
    factors = [k for k in range(1, shape[at] + 1) if shape[at] % k == 0]
    if draw.random() < 0.5 and at + 1 < len(shape):
        return [*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :]]
    k = int(draw.choice(factors))
    return [*shape[:at], k, shape[at] // k, *shape[at + 1 :]]


def drawn_step(pool, draw):
    """One step that torch can take: (name, indices of tensors, arguments), or None if this draw does not fit."""
    name = str(draw.choice(list(STEPS)))
    i = int(draw.integers(len(pool)) if draw.random() < 0.5 else len(pool) - 1)
    v = pool[i]
    if v.ndim == 0 or v.numel() > 20_000:
        return None
    d = int(draw.integers(-v.ndim, v.ndim))
    n = v.shape[d]
    if name == "transpose":
        return name, [i], (d, int(draw.integers(v.ndim)))
    if name == "permute":
        return name, [i], tuple(int(k) for k in draw.permutation(v.ndim))
    if name == "index":
        choices = [slice(None), slice(None), -1, 0, slice(0, 2), slice(-2, None), slice(None, None, 2), [0, -1], None]
        key = [choices[draw.integers(len(choices))] for _ in range(draw.integers(1, v.ndim + 1))]
        return name, [i], (tuple(key) if draw.random() < 0.7 else (..., key[-1]),)
    if name in ("unsqueeze", "squeeze", "sum"):
        return name, [i], (d,)
    if name == "flatten":
        a, b = sorted(int(k) for k in draw.integers(0, v.ndim, 2))
        return name, [i], (a, b)
    if name == "reshape":
        return name, [i], (words(regrouped(v.shape, draw), draw),)
    if name in ("chunk", "split"):
        return name, [i], (int(draw.integers(1, n + 1)), d, 0)
    if name in ("unbind", "select"):
        return name, [i], (d, int(draw.integers(n)))
    if name in ("cat", "stack", "add", "mul"):
        j = int(draw.integers(len(pool)))
        return name, [i, j], (d,) if name in ("cat", "stack") else ()
    if name == "mean":
        return name, [i], (d, bool(draw.random() < 0.3))
    return name, [i], (v.shape[-1],) if name == "linear" else ()


def program(seed):
    """A model whose steps torch can take, or None if its result has no samples in front."""
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    batch_first = bool(draw.random() < 0.5)
    wide = range(1, 30)
    dry = Program([], batch_first, wide).double()
    x = torch.randn((B, T, D) if batch_first else (T, B, D)).double()
    pool, steps = dry.start(x), []
    for _ in range(40):
        step = drawn_step(pool, draw)
        if step is None or (step[0] == "linear" and step[2][0] not in wide):
            continue
        try:
            pool.append(STEPS[step[0]](dry, x, [pool[i] for i in step[1]], *step[2]))
        except (RuntimeError, IndexError, ValueError):
            continue
        steps.append(step)
        shape = tuple(pool[-1].shape)
        samples = len(shape) == 2 and shape[0] == B
        sequence = len(shape) == 3 and shape[:2] in ((B, T), (T, B))
        if len(steps) >= 3 and (samples or sequence) and shape[-1] not in (B, T):  # else its axes could be others
            break
    else:
        return None
    model = Program(steps, batch_first, {s[2][0] for s in steps if s[0] == "linear"}).double()
    return model, x, shape


def is_read(seed):
    """Whether a program is read, and then gives torch's numbers; None if none was drawn."""
    made = program(seed)
    if made is None:
        return None
    model, x, shape = made
    same, turned = (lambda v: v), (lambda v: v.transpose(0, 1))
    torchs, axes = (same, "bti") if model.batch_first else (turned, "tbi")
    ours = turned if shape[0] == T else same
    y = ours(torch.randn(shape).double())
    try:
        assert_same(model, torchs(x), y, nn.MSELoss(), axes=axes, torchs=torchs, ours=ours)
    except UnsupportedError:
        return False
    return True


@pytest.mark.slow
def test_programs():
    """Each is right or refused; most are read, so that refusing everything would not do."""
    results = [is_read(seed) for seed in range(120)]
    assert results.count(True) > results.count(False)
