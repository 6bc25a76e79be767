"""Each function against mpmath with 60 digits, entry by entry, in every library, out to where exp overflows."""

import jax
import mpmath
import numpy as np
import pytest

from everygrad.checks.tolerance import SINGLE, assert_close
from everygrad.engines import numerics, to_numpy
from tests.engines.conftest import MAKE, TYPES

FAR = [-1e4, -745.0, -700.0, -90.0, -30.0, -12.0, -5.0, -2.2, -0.7, -1e-3, -1e-9, -1e-300]
POINTS = np.array([*FAR, 0.0, *(-a for a in reversed(FAR))])
DENORMAL = 2.3e-308
"""Below the smallest normal number libraries may say zero."""


def sigmoid(z):
    return 1 / (1 + mpmath.exp(-z))


REFERENCES = {
    "sigmoid": sigmoid,
    "sigmoid_slope": lambda z: sigmoid(z) * sigmoid(-z),
    "tanh_slope": lambda z: mpmath.sech(z) ** 2,
    "softplus": lambda z: mpmath.log1p(mpmath.exp(z)),
    "normal_cdf": lambda z: mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
    "erfc": mpmath.erfc,
}
FLOWS = {"sigmoid_slope": sigmoid, "tanh_slope": mpmath.tanh}

SLOPES = {
    "sigmoid": lambda z: sigmoid(z) * sigmoid(-z),
    "softplus": sigmoid,
    "normal_cdf": lambda z: mpmath.exp(-z * z / 2) / mpmath.sqrt(2 * mpmath.pi),
    "erfc": lambda z: -2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-z * z),
}


def exact(name, points):
    """The nearest double of the value at each point."""
    with mpmath.workdps(60):
        number = mpmath.mpc if points.dtype.kind == "c" else mpmath.mpf
        values = [REFERENCES[name](number(p)) for p in points.tolist()]
        return np.array([complex(v) if points.dtype.kind == "c" else float(v) for v in values])


def evaluate(name, z, make):
    function = getattr(numerics, name)
    if name not in FLOWS:
        return function(make(z))
    with mpmath.workdps(60):  # the slopes take the value too, as the network has rounded it
        h = np.array([float(FLOWS[name](mpmath.mpf(a))) for a in z.tolist()], dtype=z.dtype)
    return function(make(z), make(h))


@pytest.mark.parametrize("name", REFERENCES)
def test_every_digit(engine, name):
    """A relative error of a few roundings in each entry, not by norm: a large neighbour must not hide a small one.

    Only Φ(z) cannot know z better than z/√2 is rounded: z² roundings.
    """
    y = evaluate(name, POINTS, MAKE[engine])
    assert isinstance(y, TYPES[engine])
    y, reference = to_numpy(y), exact(name, POINTS)
    assert y.dtype == np.float64
    normal = np.abs(reference) >= DENORMAL
    assert normal.sum() >= 14
    scale = np.maximum(1.0, POINTS[normal] ** 2) if name == "normal_cdf" else 1.0
    error = np.abs(y[normal] / reference[normal] - 1) / scale
    lost = 40 if name in FLOWS else 8  # 1 - h² may lose SATURATED = two digits of the value that it is given
    assert error.max() <= lost * 2.3e-16, list(zip(POINTS[normal], error, strict=True))
    assert (np.abs(y[~normal]) <= DENORMAL).all()


@pytest.mark.parametrize("name", REFERENCES)
def test_single_precision_stays_single(engine, name):
    z = POINTS.astype(np.float32)
    y = to_numpy(evaluate(name, z, MAKE[engine]))
    assert y.dtype == np.float32
    reference = exact(name, z.astype(np.float64))
    assert_close(y, reference, SINGLE)
    middle = np.abs(z) <= 12
    normal = middle & (np.abs(reference) > 1.2e-38)
    assert (np.abs(y[normal] / reference[normal] - 1) <= 2e-5).all()


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0, 4)])
def test_shapes(engine, name, shape):
    z = np.linspace(-40, 40, int(np.prod(shape))).reshape(shape)
    h = [1 / (1 + np.exp(-z)) if name == "sigmoid_slope" else np.tanh(z)] if name in FLOWS else []
    y = getattr(numerics, name)(MAKE[engine](z), *map(MAKE[engine], h))
    assert tuple(y.shape) == shape
    flat = [evaluate(name, np.array([a]), np.asarray) for a in z.ravel()]
    assert_close(to_numpy(y), np.array(flat).reshape(shape))


@pytest.mark.parametrize("name", SLOPES)
def test_the_complex_step_through_it_is_the_derivative(engine, name):
    """Im f(z + iε)/ε in each entry, and the real part is unchanged."""
    step = 1e-30
    z = POINTS[np.abs(POINTS) <= 25]
    w = getattr(numerics, name)(MAKE[engine](z + 1j * step))
    assert isinstance(w, TYPES[engine])
    w = to_numpy(w)
    with mpmath.workdps(60):
        slope = np.array([float(SLOPES[name](mpmath.mpf(a))) for a in z.tolist()])
    scale = np.maximum(1.0, z * z)  # exp(−z²) cannot know z² better
    assert (np.abs(w.imag / step / slope - 1) <= 8 * 2.3e-16 * scale).all()
    real = to_numpy(getattr(numerics, name)(MAKE[engine](z)))
    assert (np.abs(w.real / real - 1) <= 8 * 2.3e-16 * scale).all()


@pytest.mark.parametrize("name", SLOPES)
def test_large_imaginary_parts(engine, name):
    z = np.array([1 + 1j, -2 + 0.5j, 0.3 - 2j, -4 - 1j, 6 + 0.1j])
    assert_close(getattr(numerics, name)(MAKE[engine](z)), exact(name, z))


@pytest.mark.parametrize("name", REFERENCES)
def test_under_jit(x64, name):
    z = POINTS[np.abs(POINTS) <= 30]
    h = [np.tanh(z) if name == "tanh_slope" else 1 / (1 + np.exp(-z))] if name in FLOWS else []
    assert_close(jax.jit(getattr(numerics, name))(z, *h), exact(name, z))
    if name in SLOPES:
        w = np.array([1 + 1j, -2 + 0.5j])
        assert_close(jax.jit(getattr(numerics, name))(w), exact(name, w))


@pytest.mark.parametrize("name", REFERENCES)
def test_arguments_are_not_written_to(engine, name):
    z = MAKE[engine](POINTS.copy())
    h = [MAKE[engine](np.tanh(POINTS))] if name in FLOWS else []
    before = [to_numpy(a).copy() for a in (z, *h)]
    getattr(numerics, name)(z, *h)
    for a, copy in zip((z, *h), before, strict=True):
        np.testing.assert_array_equal(to_numpy(a), copy)
