"""The three libraries, each with float64: JAX is told so for the test alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

MAKE = {"numpy": np.asarray, "torch": lambda a: torch.from_numpy(np.array(a)), "jax": jnp.asarray}
TYPES = {"numpy": np.ndarray, "torch": torch.Tensor, "jax": jax.Array}


@pytest.fixture(params=list(MAKE))
def engine(request):
    """Its name; `MAKE[engine]` makes an array of it."""
    with jax.enable_x64(True):
        yield request.param


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield
