"""The same analyses of torch's and JAX's arrays, and in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from everygrad.checks.tolerance import SINGLE, assert_close
from everygrad.graph.time import run
from everygrad.through_time import (
    Recurrence,
    adjoints,
    bound,
    credit,
    decay,
    lyapunov,
    pull_back,
    push_forward,
    state_jacobian,
    state_product,
    tensor,
    truncated,
)
from tests.through_time.cells import case

MOVES = {
    "torch": (torch.from_numpy, torch.Tensor, np.float64),
    "jax": (jnp.asarray, jax.Array, np.float64),
    "float32": (lambda a: a.astype(np.float32) if a.dtype == np.float64 else a, np.ndarray, np.float32),
}


def moved(c, move):
    initial, params, direct, final = (
        {k: move(v) for k, v in a.items()} for a in (c.initial, c.params, c.direct, c.final)
    )
    ran = run(c.run.cell, move(c.x), initial, params, None if c.mask is None else move(c.mask))
    return Recurrence(ran, direct, final)


def arrays(source):
    """What stays in the library of the run, by name."""
    T, v = source.run.steps, source.direct["h"][0]
    J, table = state_jacobian(source), credit(source, wrt="W_f")
    stacked = source.run.kind.xp.concat([v, v], axis=-1)
    W = tensor(source, wrt="W_f", of="c")
    return {
        "dense": J.dense(1),
        "push": J.push(stacked, 1),
        "block": J.block("c", "c").dense(),
        "product": state_product(source).value(),
        "back": pull_back(source, g=stacked).value(),
        "ahead": push_forward(source, v=stacked, t=T - 1, k=0).value(),
        "tensor": W.dense(0),
        "element": W[0, 0, 1],
        "over r": W.contract("r", source.run.kind.ones((3,))).dense(),
        "adjoint": adjoints(source)["c"],
        "total": table.total,
        "term": table.term(2, 1),
        "windows": truncated(source, windows=(2,)).gradients[2]["U_g"],
        "detached": truncated(source, windows=(2,), scheme="detach").gradients[2]["b_o"],
    }


def numbers(source):
    """What is NumPy's whatever the run."""
    table, steps = credit(source, wrt="W_f"), bound(source)
    return {
        "norms": table.norms,
        "shares": table.shares,
        "horizon": decay(source).horizon(0.5),
        "lyapunov": lyapunov(source, count=2).exponents,
        "bound": steps.step_bound,
        "observed": steps.step_norm,
        "radius": state_jacobian(source).spectral_radius(),
    }


@pytest.mark.parametrize(
    ("library", "masked"),
    [
        ("torch", False),
        ("torch", True),
        pytest.param("jax", True, marks=pytest.mark.slow),
        ("float32", False),
        ("float32", True),
    ],
)
def test_it_is_the_same_in_every_library(library, masked):
    move, kind, dtype = MOVES[library]
    c = case("lstm", T=3, masked=masked)
    tolerance = SINGLE if dtype == np.float32 else 1e-12
    with jax.enable_x64(True):
        source, reference = moved(c, move), c.recurrence
        expected = arrays(reference)
        for name, found in arrays(source).items():
            assert isinstance(found, kind), name
            assert str(found.dtype).endswith(np.dtype(dtype).name), name
            assert_close(found, expected[name], tolerance, name)
        expected = numbers(reference)
        for name, found in numbers(source).items():
            assert type(found) is np.ndarray
            assert_close(found, expected[name], tolerance, name)
