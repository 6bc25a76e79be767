"""Feed-forward networks that are timed, and who else can compute every gradient of one; the products alone.

Each function takes a `Problem` and returns a function without arguments that does the work once and
returns the gradients by name. Who gives parameter gradients only says so in its name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import everygrad as eg
from benchmarks.engines import ENGINES, Work


@dataclass(frozen=True)
class Case:
    """A network of these sizes on a batch of so many samples."""

    name: str
    sizes: tuple[int, ...]
    batch: int
    large: bool

    @property
    def title(self) -> str:
        return f"{self.name}, B {self.batch}"


CASES = (
    Case("784-512-512-10", (784, 512, 512, 10), 256, True),
    Case("64-128-128-10", (64, 128, 128, 10), 64, False),
    Case("64-32-16-10 (the demo's)", (64, 32, 16, 10), 32, False),
    Case("2-3-2 (tiny)", (2, 3, 2), 1, False),
    Case("256 x 8 layers-10", (256, *(256,) * 7, 10), 256, True),
)


@dataclass(frozen=True)
class Problem:
    """One case with its numbers."""

    case: Case
    net: eg.FeedForward
    params: dict[str, np.ndarray]
    x: np.ndarray
    y: np.ndarray


def problem(case: Case, seed: int = 0) -> Problem:
    """The numbers of a case, the same in every run."""
    rng = np.random.default_rng(seed)
    net = eg.FeedForward(case.sizes, activation="tanh")
    x = rng.standard_normal((case.batch, case.sizes[0]), dtype=np.float32)
    return Problem(case, net, net.init(seed, np.float32), x, rng.integers(0, case.sizes[-1], case.batch))


def plain_lines(p: Problem) -> Work:
    """The text that everygrad runs, by itself: NumPy's lines without any look at the arguments."""
    names: dict[str, Any] = {}
    text = eg.source(p.net, p.params, p.x, p.y)
    exec(text, names)
    order = text.partition("def gradients(")[2].partition(")")[0].replace("\n", " ").split(", ")
    given = {"h0": p.x, "y": p.y, **p.params}
    arrays = [given[name.strip()] for name in order]
    return lambda: names["gradients"](*arrays)[1]


def products(p: Problem) -> Work:
    """The matrix products that any method needs, and nothing else: h Wᵀ, g W, gᵀ h for each layer."""
    depth, rng = p.net.depth, np.random.default_rng(0)
    h = [rng.standard_normal((p.case.batch, n), dtype=np.float32) for n in p.case.sizes]
    W = [p.params[f"W{i}"] for i in range(1, depth + 1)]

    def work() -> None:
        for i in range(depth):
            h[i] @ W[i].T
        for i in reversed(range(depth)):
            h[i + 1] @ W[i]
            h[i + 1].T @ h[i]

    return work


def torch_retain_grad(p: Problem) -> Work:
    """torch autograd, ``retain_grad`` on every hidden quantity."""
    import torch

    params = {k: torch.tensor(v, requires_grad=True) for k, v in p.params.items()}
    x, y = torch.tensor(p.x, requires_grad=True), torch.tensor(p.y)
    leaves = [*params.values(), x]

    def work() -> dict[str, Any]:
        for leaf in leaves:
            leaf.grad = None
        q, h = {**params, "h0": x}, x
        for i in range(1, p.net.depth + 1):
            a = q[f"a{i}"] = torch.nn.functional.linear(h, params[f"W{i}"], params[f"b{i}"])
            a.retain_grad()
            if i < p.net.depth:
                h = q[f"h{i}"] = torch.tanh(a)
                h.retain_grad()
        torch.nn.functional.cross_entropy(a, y).backward()
        return {name: v.grad for name, v in q.items()}

    return work


def _jax_loss(depth: int) -> Callable[..., Any]:
    """The loss with a zero added to every hidden quantity: its gradient is the quantity's."""
    import jax
    import jax.numpy as jnp

    def loss(params: Any, x: Any, zeros: Any, y: Any) -> Any:
        h = x
        for i in range(1, depth + 1):
            a = h @ params[f"W{i}"].T + params[f"b{i}"] + zeros.get(f"a{i}", 0.0)
            h = jnp.tanh(a) + zeros.get(f"h{i}", 0.0)
        return -jnp.mean(jax.nn.log_softmax(a)[jnp.arange(len(y)), y])

    return loss


def _jax(p: Problem, everything: bool) -> Work:
    import jax
    import jax.numpy as jnp

    zeros = {}
    if everything:
        zeros = {f"a{i}": jnp.zeros((p.case.batch, n)) for i, n in enumerate(p.case.sizes[1:], 1)}
        zeros |= {f"h{i}": jnp.zeros((p.case.batch, n)) for i, n in enumerate(p.case.sizes[1:-1], 1)}
    gradient = jax.jit(jax.grad(_jax_loss(p.net.depth), argnums=(0, 1, 2) if everything else 0))
    params = {k: jnp.asarray(v) for k, v in p.params.items()}
    x, y = jnp.asarray(p.x), jnp.asarray(p.y)

    def work() -> dict[str, Any]:
        result = jax.block_until_ready(gradient(params, x, zeros, y))
        return {**result[0], "h0": result[1], **result[2]} if everything else result

    return work


def jax_perturb(p: Problem) -> Work:
    """``jax.grad`` under jit, every quantity through added zeros."""
    return _jax(p, everything=True)


def jax_parameters(p: Problem) -> Work:
    """``jax.grad`` under jit, parameters only: less work."""
    return _jax(p, everything=False)


def hips_autograd(p: Problem) -> Work:
    """HIPS autograd, every quantity through added zeros."""
    import autograd
    import autograd.numpy as anp

    zeros = {f"a{i}": np.zeros((p.case.batch, n), np.float32) for i, n in enumerate(p.case.sizes[1:], 1)}
    zeros |= {f"h{i}": np.zeros((p.case.batch, n), np.float32) for i, n in enumerate(p.case.sizes[1:-1], 1)}
    rows = np.arange(p.case.batch)

    def loss(params: Any, x: Any, zeros: Any) -> Any:
        h = x
        for i in range(1, p.net.depth + 1):
            a = anp.dot(h, params[f"W{i}"].T) + params[f"b{i}"] + zeros[f"a{i}"]
            if i < p.net.depth:
                h = anp.tanh(a) + zeros[f"h{i}"]
        top = anp.max(a, axis=1, keepdims=True)
        log_sum = anp.log(anp.sum(anp.exp(a - top), axis=1, keepdims=True)) + top
        return -anp.mean((a - log_sum)[rows, p.y])

    gradient = autograd.grad(loss, argnum=(0, 1, 2))

    def work() -> dict[str, Any]:
        by_params, by_x, by_zeros = gradient(p.params, p.x, zeros)
        return {**by_params, "h0": by_x, **by_zeros}

    return work


RIVALS: dict[str, Callable[[Problem], Work]] = {
    **ENGINES,
    "the plain NumPy lines alone (eg.source)": plain_lines,
    "the matrix products alone": products,
    "torch autograd, retain_grad": torch_retain_grad,
    "jax.grad, jit, all quantities": jax_perturb,
    "jax.grad, jit, parameters only": jax_parameters,
    "HIPS autograd, all quantities": hips_autograd,
}
"""Rival -> how to set it up."""
