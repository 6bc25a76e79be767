"""everygrad on each of its engines: every quantity, with all checks of the arguments."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

import everygrad as eg

Work = Callable[[], Any]


class Problem(Protocol):
    """A network with its numbers."""

    @property
    def net(self) -> Any: ...

    @property
    def params(self) -> dict[str, np.ndarray]: ...

    @property
    def x(self) -> np.ndarray: ...

    @property
    def y(self) -> np.ndarray: ...


def ours(p: Problem) -> Work:
    """On NumPy."""
    return lambda: eg.gradients(p.net, p.params, p.x, p.y)


def compiled(p: Problem) -> Work:
    """On NumPy arrays, what is done at each step or with each sample as machine code."""
    return lambda: eg.gradients(p.net, p.params, p.x, p.y, engine="compiled")


def jax_engine(p: Problem) -> Work:
    """On JAX arrays, one compiled function."""
    import jax

    run = eg.compiled(p.net)
    params = {k: jax.numpy.asarray(v) for k, v in p.params.items()}
    x, y = jax.numpy.asarray(p.x), jax.numpy.asarray(p.y)
    return lambda: jax.block_until_ready(dict(run(params, x, y)))


def torch_engine(p: Problem) -> Work:
    """On torch tensors on the CPU."""
    import torch

    params = {k: torch.tensor(v) for k, v in p.params.items()}
    x, y = torch.tensor(p.x), torch.tensor(p.y)
    return lambda: eg.gradients(p.net, params, x, y)


ENGINES: dict[str, Callable[[Any], Work]] = {
    "everygrad, compiled, all quantities": compiled,
    "everygrad on JAX, eg.compiled, all quantities": jax_engine,
    "everygrad on torch tensors, all quantities": torch_engine,
}
"""What else than NumPy there is."""
