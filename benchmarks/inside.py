"""What lies inside a recurrence: ``eg.watch``, the sparse tensor, the credit table, against what else can be done."""

from collections.abc import Iterator
from typing import Any

import numpy as np

import everygrad as eg
from benchmarks.recurrent import Problem, Work, problem

STEPS = 200
TENSOR_UNITS = (64, 256, 1024)


def watch(size: tuple[int, int, int, int]) -> dict[str, Work]:
    """``eg.watch`` around a fused LSTM's forward and backward, and those alone."""
    import torch

    steps, batch, inputs, units = size
    torch.manual_seed(0)
    layer, out = torch.nn.LSTM(inputs, units, batch_first=True), torch.nn.Linear(units, 10)
    model = torch.nn.ModuleDict({"lstm": layer, "out": out})
    x, y = torch.randn(batch, steps, inputs), torch.randint(0, 10, (batch,))

    def bare() -> None:
        model.zero_grad()
        torch.nn.functional.cross_entropy(out(layer(x)[0][:, -1]), y).backward()

    def watched(engine: Any) -> Any:
        with eg.watch(model, engine=engine) as seen:
            bare()
        return [seen["lstm"][name] for name in ("h_l0", "c_l0", "i_l0", "f_l0", "g_l0", "o_l0")]

    return {
        "eg.watch: forward, backward and everything inside": lambda: watched("numpy"),
        "eg.watch, compiled: the same": lambda: watched("compiled"),
        "the bare forward and backward": bare,
    }


def tensor(units: int) -> dict[str, Work]:
    """∂⁺s/∂W of one step of a tanh RNN, and who forms it densely. The norm is asked of each, so that it is there."""
    import jax
    import torch

    rng = np.random.default_rng(0)
    W, s, u = (rng.standard_normal(shape, dtype=np.float32) for shape in ((units, units), (units,), (units,)))
    net = eg.graph(lambda s, u, *, W: eg.ops.tanh(W @ s + u).named("next"))
    Wt, st, ut = map(torch.tensor, (W, s, u))
    Wj, sj, uj = map(jax.numpy.asarray, (W, s, u))
    dense = jax.jit(jax.jacrev(lambda W: jax.numpy.tanh(W @ sj + uj)))
    return {
        "everygrad, structured": lambda: eg.jacobian(net, {"W": W}, s[None], u[None], of="next", wrt="W"),
        "torch.func.jacrev": lambda: torch.func.jacrev(lambda W: torch.tanh(W @ st + ut))(Wt),
        "jax.jacrev, jit": lambda: jax.block_until_ready(dense(Wj)),
    }


def credit(p: Problem) -> dict[str, Work]:
    """The T x T table of norms of the terms of ∂L/∂W, every step having a loss; and one autograd pass for each step."""
    import torch

    params = {k: torch.tensor(v, requires_grad=True) for k, v in p.params.items()}
    x, y = torch.tensor(p.x), torch.tensor(p.y)
    found = eg.gradients(p.net, p.params, p.x, p.y)

    def passes() -> list[Any]:
        h, losses = torch.zeros(p.x.shape[0], p.units), []
        for t in range(p.x.shape[1]):
            h = torch.tanh(x[:, t] @ params["U"].T + params["b"] + h @ params["W"].T)
            z = h @ params["V"].T + params["b_V"]
            losses.append(torch.nn.functional.cross_entropy(z, y[:, t]) / p.x.shape[1])
        return [torch.autograd.grad(loss, params["W"], retain_graph=True)[0] for loss in losses]

    return {
        "everygrad, every term": lambda: eg.through_time.credit(found, wrt="W"),
        "torch, one backward pass for each step (row sums only)": passes,
    }


def credit_problem() -> Problem:
    """A tanh RNN with a loss at each of 200 steps."""
    net = eg.Recurrent(eg.Elman(8, 32), outputs=10, read="each")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, STEPS, 8), dtype=np.float32)
    return Problem("elman", net, net.init(0, np.float32), x, rng.integers(0, 10, (8, STEPS)))


def torchlens(size: tuple[int, int, int, int]) -> dict[str, Work]:
    """TorchLens around a loop of cells: the gradients of h and c at each step; everygrad: those and the gates'."""
    import torch
    import torchlens
    from torchlens.options import CaptureOptions

    steps, batch, inputs, units = size
    p = problem("lstm", size)

    class Loop(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.out = torch.nn.LSTMCell(inputs, units), torch.nn.Linear(units, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = c = torch.zeros(batch, units)
            for t in range(steps):
                h, c = self.cell(x[:, t], (h, c))
            return self.out(h)

    model, x, y = Loop(), torch.tensor(p.x), torch.tensor(p.y)

    def logged() -> Any:
        trace = torchlens.trace(model, x, save_mode="copy", capture=CaptureOptions(backward_ready=True))
        out = trace[trace.output_layers[0]].out
        trace.log_backward(torch.nn.functional.cross_entropy(out, y))
        return trace

    return {
        "everygrad, every state and gate": lambda: eg.gradients(p.net, p.params, p.x, p.y),
        "TorchLens, every state": logged,
    }


def groups(quick: bool) -> Iterator[tuple[str, dict[str, Work]]]:
    """(title, contenders) of every case here; the first contender is ours."""
    for size in ((100, 32, 64, 128), (400, 1, 16, 64)):
        yield f"watching an LSTM, T {size[0]}, B {size[1]}, {size[2]} inputs, {size[3]} units", watch(size)
    for units in TENSOR_UNITS[: 2 if quick else 3]:
        yield f"the tensor of d = {units}", tensor(units)
    yield f"credit table, T {STEPS}, B 8, 32 units", credit(credit_problem())
    yield "states at each step of an LSTM, T 50, B 8, 16 inputs, 32 units", torchlens((50, 8, 16, 32))
