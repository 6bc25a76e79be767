"""The one tolerance: relative to the norm of the reference, and it raises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everygrad.checks.tolerance import EXACT, SINGLE, assert_close, relative_error, tolerance_for
from everygrad.errors import CheckFailed


def test_the_error_is_relative_to_the_norm_of_the_reference():
    assert relative_error(np.array([3.0, 4.5]), np.array([3.0, 4.0])) == pytest.approx(0.5 / 5.0, rel=1e-15)
    assert relative_error(np.array([0.0, 2.0]), np.zeros(2)) == 2.0  # absolute against zero
    assert relative_error(np.zeros(3), np.zeros(3)) == 0.0
    assert relative_error(np.zeros(0), np.zeros(0)) == 0.0


@given(st.integers(-290, 290), st.integers(1, 50))
def test_neither_scale_nor_size_changes_it(exponent, size):
    reference = np.linspace(1.0, 2.0, size)
    actual = reference * (1.0 + 1e-3)
    error = relative_error(actual * 10.0**exponent, reference * 10.0**exponent)
    assert math.isclose(error, 1e-3, rel_tol=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_close(bad):
    right, wrong = np.ones(3), np.array([1.0, bad, 1.0])
    for pair in ((right, wrong), (wrong, right), (wrong, wrong)):
        assert relative_error(*pair) == math.inf
        with pytest.raises(CheckFailed):
            assert_close(*pair)


def test_nothing_is_broadcast():
    assert relative_error(np.ones(1), np.ones(3)) == math.inf
    with pytest.raises(CheckFailed, match=r"shape \(1,\) against \(3,\)"):
        assert_close(np.ones(1), np.ones(3))


def test_complex_numbers_keep_their_imaginary_part():
    assert relative_error(np.array([1.0 + 1.0j]), np.array([1.0 + 0.0j])) == 1.0


def test_the_default_tolerance_follows_the_dtype():
    reference = np.array([1.0, 2.0])
    close = reference * (1.0 + 1e-8)
    assert assert_close(close.astype(np.float32), reference) < SINGLE
    with pytest.raises(CheckFailed, match="W1: relative error 1e-08 is above 1e-13"):
        assert_close(close, reference, name="W1")
    assert assert_close(close, reference, tol=1e-7) == pytest.approx(1e-8, rel=1e-6)
    assert [tolerance_for(t) for t in ("float64", "float32", "int64")] == [EXACT, SINGLE, EXACT]
