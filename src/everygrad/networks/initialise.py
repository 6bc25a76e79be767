"""Random weights of the size that suits the activation behind them."""

import math
from typing import Literal

import numpy as np

from everygrad.engines.shapes import Float
from everygrad.errors import InputError, unknown_name
from everygrad.graph.elementwise import Elementwise

Scheme = Literal["glorot", "he", "lecun"]

_HALVING = ("relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "softplus")
_SYMMETRIC = ("tanh", "sigmoid", "sin")


def scheme_for(activation: Elementwise) -> Scheme:
    """He for the rectifiers, Glorot for the sigmoids, LeCun otherwise (identity)."""
    if activation.name in _HALVING:
        return "he"
    return "glorot" if activation.name in _SYMMETRIC else "lecun"


def weight_matrix(
    rng: np.random.Generator, fan_out: int, fan_in: int, scheme: Scheme, activation: Elementwise
) -> Float[np.ndarray, "{fan_out} {fan_in}"]:
    """W of shape (out, in), float64.

    - ``"glorot"``: uniform with variance 2 / (in + out) (Glorot & Bengio 2010, equation 16);
    - ``"he"``: normal with variance 2 / in, for a leaky rectifier 2 / ((1 + slope²) in)
      (He et al. 2015, equations 10 and 15);
    - ``"lecun"``: normal with variance 1 / in (LeCun et al. 1998, equation 16).
    """
    if scheme == "glorot":
        limit = math.sqrt(6.0 / (fan_in + fan_out))
        return rng.uniform(-limit, limit, (fan_out, fan_in))
    if scheme == "he":
        slope = activation.constants.get("slope", 0.0)
        return rng.normal(0.0, math.sqrt(2.0 / ((1.0 + slope * slope) * fan_in)), (fan_out, fan_in))
    if scheme == "lecun":
        return rng.normal(0.0, math.sqrt(1.0 / fan_in), (fan_out, fan_in))
    raise unknown_name("initialiser", scheme, ("glorot", "he", "lecun"))


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> Float[np.ndarray, "{rows} {columns}"]:
    """A random matrix with orthonormal columns, or rows if there are fewer, float64 (Saxe et al. 2014).

    As a recurrent weight it neither shrinks nor stretches the state: all singular values are 1.
    """
    Q, R = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    Q = Q * np.where(np.diag(R) < 0, -1.0, 1.0)  # without it, Q would not be uniformly distributed
    return Q if rows >= columns else Q.T


def generator(seed: int | np.random.Generator) -> np.random.Generator:
    """A random generator from a seed, or the generator itself: there is no global state."""
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool) and seed >= 0:
        return np.random.default_rng(seed)
    raise InputError(f"seed must be a non-negative integer or a numpy.random.Generator, got {seed!r}")


def float_dtype(dtype: object) -> np.dtype:
    """float32 or float64; anything else raises `InputError`."""
    for allowed in (np.dtype(np.float32), np.dtype(np.float64)):
        if dtype in (allowed, allowed.name, allowed.type):
            return allowed
    raise InputError(f"dtype must be float32 or float64, got {dtype!r}")
