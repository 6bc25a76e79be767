"""Recurrent networks that are timed: the sizes of the field's usual comparisons, loss on the last step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import everygrad as eg
from benchmarks.engines import ENGINES, Work

GATES = {"elman": ("",), "lstm": ("_i", "_f", "_g", "_o"), "gru": ("_r", "_z", "_n")}
OUTPUTS = 10
SIZES = ((100, 32, 64, 128), (400, 1, 16, 64), (200, 64, 128, 256), (1000, 8, 8, 32))
"""(time steps, batch, inputs, units)."""


@dataclass(frozen=True)
class Problem:
    """One network with its numbers, float32."""

    cell: str
    net: eg.Recurrent
    params: dict[str, np.ndarray]
    x: np.ndarray
    y: np.ndarray

    @property
    def title(self) -> str:
        batch, steps, inputs = self.x.shape
        return f"{self.cell}, T {steps}, B {batch}, {inputs} inputs, {self.units} units"

    @property
    def units(self) -> int:
        return self.params["V"].shape[1]

    def gates(self, of: str) -> list[np.ndarray]:
        """The cell's parameters of one letter (U, W, b), one for each gate."""
        return [self.params[of + gate] for gate in GATES[self.cell]]


def problem(cell: str, size: tuple[int, int, int, int], seed: int = 0) -> Problem:
    """The numbers of a case, the same in every run."""
    steps, batch, inputs, units = size
    make = {"elman": eg.Elman, "lstm": eg.LSTM, "gru": eg.GRU}[cell]
    net = eg.Recurrent(make(inputs, units), outputs=OUTPUTS, read="last")
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, steps, inputs), dtype=np.float32)
    return Problem(cell, net, net.init(seed, np.float32), x, rng.integers(0, OUTPUTS, batch))


def products(p: Problem) -> Work:
    """The matrix products alone: U x for all steps, W h and Wᵀ∇ at each, ∇W and ∇U once."""
    batch, steps, inputs = p.x.shape
    rng = np.random.default_rng(0)
    U, W = np.concatenate(p.gates("U")), np.concatenate(p.gates("W"))
    x, h = p.x.reshape(-1, inputs), rng.standard_normal((steps, batch, p.units), dtype=np.float32)
    g = rng.standard_normal((steps, batch, len(W)), dtype=np.float32)

    def work() -> None:
        x @ U.T
        for t in range(steps):
            h[t] @ W.T
        for t in range(steps):
            g[t] @ W
        flat = g.reshape(-1, len(W))
        flat.T @ h.reshape(-1, p.units)
        flat.T @ x
        flat @ U

    return work


def _step(cell: str, xp: Any, sigmoid: Any, p: Any, x: Any, h: Any, c: Any, add: Callable[[str, Any], Any]) -> Any:
    """One step of a cell; ``add(name, value)`` marks each quantity."""
    if cell == "elman":
        return add("h", xp.tanh(add("a", x @ p["U"].T + p["b"] + h @ p["W"].T))), c
    if cell == "gru":
        r = add("r", sigmoid(add("a_r", x @ p["U_r"].T + p["b_r"] + h @ p["W_r"].T)))
        z = add("z", sigmoid(add("a_z", x @ p["U_z"].T + p["b_z"] + h @ p["W_z"].T)))
        n = add("n", xp.tanh(add("a_n", x @ p["U_n"].T + p["b_n"] + r * (h @ p["W_n"].T + p["b_hn"]))))
        return add("h", (1 - z) * n + z * h), c
    i, f, o = (sigmoid(add(f"a_{k}", x @ p[f"U_{k}"].T + p[f"b_{k}"] + h @ p[f"W_{k}"].T)) for k in "ifo")
    g = add("g", xp.tanh(add("a_g", x @ p["U_g"].T + p["b_g"] + h @ p["W_g"].T)))
    i, f, o = add("i", i), add("f", f), add("o", o)
    c = add("c", f * c + i * g)
    return add("h", o * xp.tanh(c)), c


def _jax(p: Problem, everything: bool) -> Work:
    import jax
    import jax.numpy as jnp

    batch, steps, _ = p.x.shape
    names = sorted(eg.gradients(p.net, p.params, p.x, p.y).sweeps["l0"].total.keys() - {"x"})
    zeros = {name: jnp.zeros((steps, batch, p.units)) for name in names} if everything else {}

    def loss(params: Any, x: Any, zeros: Any, y: Any) -> Any:
        def body(carry: Any, now: Any) -> Any:
            def add(name: str, value: Any) -> Any:
                return value + now[1][name] if everything else value

            return _step(p.cell, jnp, jax.nn.sigmoid, params, now[0], *carry, add), None

        start = jnp.zeros((batch, p.units))
        (h, _), _ = jax.lax.scan(body, (start, start), (jnp.swapaxes(x, 0, 1), zeros))
        z = h @ params["V"].T + params["b_V"]
        return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(batch), y])

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1, 2) if everything else 0))
    params, x, y = {k: jnp.asarray(v) for k, v in p.params.items()}, jnp.asarray(p.x), jnp.asarray(p.y)

    def work() -> dict[str, Any]:
        result = jax.block_until_ready(gradient(params, x, zeros, y))
        if not everything:
            return result
        return {**result[0], "x": result[1], **{n: jnp.swapaxes(v, 0, 1) for n, v in result[2].items()}}

    return work


def jax_everything(p: Problem) -> Work:
    """``jax.grad`` under jit over ``lax.scan``, every quantity through added zeros."""
    return _jax(p, everything=True)


def jax_parameters(p: Problem) -> Work:
    """``jax.grad`` under jit over ``lax.scan``, parameters only: less work."""
    return _jax(p, everything=False)


def torch_fused(p: Problem) -> Work:
    """torch's fused layer under autograd: parameters and the input only; nothing inside can be seen."""
    import torch

    inputs, kind = p.x.shape[2], {"elman": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[p.cell]
    layer, out = kind(inputs, p.units, batch_first=True), torch.nn.Linear(p.units, OUTPUTS)
    with torch.no_grad():
        for theirs, letter in ((layer.weight_ih_l0, "U"), (layer.weight_hh_l0, "W"), (layer.bias_ih_l0, "b")):
            theirs.copy_(torch.tensor(np.concatenate(p.gates(letter))))
        layer.bias_hh_l0.zero_()
        if p.cell == "gru":
            layer.bias_hh_l0[-p.units :] = torch.tensor(p.params["b_hn"])
        out.weight.copy_(torch.tensor(p.params["V"]))
        out.bias.copy_(torch.tensor(p.params["b_V"]))
    x, y = torch.tensor(p.x, requires_grad=True), torch.tensor(p.y)
    leaves = [x, *layer.parameters(), *out.parameters()]

    def work() -> dict[str, Any]:
        for leaf in leaves:
            leaf.grad = None
        torch.nn.functional.cross_entropy(out(layer(x)[0][:, -1]), y).backward()
        assert layer.weight_hh_l0.grad is not None
        parts = layer.weight_hh_l0.grad.split(p.units)
        return {"x": x.grad, "V": out.weight.grad} | {f"W{g}": w for g, w in zip(GATES[p.cell], parts, strict=True)}

    return work


def torch_loop(p: Problem) -> Work:
    """torch autograd over a Python loop of the cell's equations, ``retain_grad`` on everything: the same."""
    import torch

    params = {k: torch.tensor(v, requires_grad=True) for k, v in p.params.items()}
    x, y = torch.tensor(p.x, requires_grad=True), torch.tensor(p.y)

    def work() -> dict[str, Any]:
        for leaf in (*params.values(), x):
            leaf.grad = None
        kept: dict[str, list[Any]] = {}

        def add(name: str, value: Any) -> Any:
            value.retain_grad()
            kept.setdefault(name, []).append(value)
            return value

        h = c = torch.zeros(p.x.shape[0], p.units)
        for t in range(p.x.shape[1]):
            h, c = _step(p.cell, torch, torch.sigmoid, params, x[:, t], h, c, add)
        z = h @ params["V"].T + params["b_V"]
        torch.nn.functional.cross_entropy(z, y).backward()
        inside = {
            n: torch.stack([torch.zeros_like(h) if v.grad is None else v.grad for v in vs], 1) for n, vs in kept.items()
        }
        return {k: v.grad for k, v in params.items()} | {"x": x.grad} | inside

    return work


RIVALS: dict[str, Callable[[Problem], Work]] = {
    **ENGINES,
    "the matrix products alone": products,
    "jax.grad, jit, all quantities": jax_everything,
    "jax.grad, jit, parameters only": jax_parameters,
    "torch autograd, fused layer, parameters only": torch_fused,
    "torch autograd, loop of cells, retain_grad": torch_loop,
}
"""Contender -> how to set it up."""
