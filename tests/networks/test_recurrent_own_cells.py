"""Cells of one's own in stacked, bidirectional networks: a leaky integrator, peepholes, a minimal gated unit."""

import pytest

from everygrad.checks.tolerance import FRAMEWORK, assert_close
from tests.networks.recurrent_autodiff import with_complex_step, with_torch
from tests.networks.recurrent_cases import Case, agree, made
from tests.networks.recurrent_library import OWN, asked, found

SETTINGS = [
    {},
    {"read": "each", "lengths": True, "initial": True, "layers": 2, "bidirectional": True},
    {"read": "mean", "lengths": "mask", "layers": 3, "weighted": True, "loss": "squared_error"},
    {"read": "last", "bidirectional": True, "embedding": (5, 2), "B": 1, "units": 1},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["alone", "both directions", "three layers", "one unit"])
@pytest.mark.parametrize("cell", OWN)
def test_every_quantity_equals_torch_and_the_complex_step(cell, settings):
    numbers = made(Case(cell, **settings))
    g = found(numbers)
    for oracle in (with_torch(numbers), with_complex_step(numbers)):
        assert_close(g.loss, oracle.loss, FRAMEWORK)
        agree(g, asked(numbers, oracle.total), FRAMEWORK, "total")
        agree(g.direct, asked(numbers, oracle.direct), FRAMEWORK, "direct")
