"""Formulas that stay exact for large arguments, for real and complex input, in every library.

Two habits. Complex input is what the complex step feeds, so a branch is chosen by the real part, and
no absolute value, maximum or conjugate stands on the differentiated path. And no difference of nearly
equal numbers: 1 − tanh² or p − 1 lose every digit in a saturated network, which is where people look.
"""

import math
from typing import Any

import numpy as np

from everygrad.engines.arrays import Array, is_complex, library, namespace, numpy_namespace, take_real, to_numpy
from everygrad.engines.pool import multiply
from everygrad.engines.pool import tanh as numpy_tanh
from everygrad.engines.program.primitives import called, where_small
from everygrad.engines.shapes import Float, Inexact


def sigmoid(z: Inexact[Array, "*n"]) -> Inexact[Array, "*n"]:
    """σ(z) = 1 / (1 + e^−z), without overflow on either side: e^min(z,0) / (1 + e^−|z|)."""
    xp = namespace(z)
    if not is_complex(z) and library(z) == "numpy":  # two exponentials cost less than NumPy's choice between arrays
        return xp.exp(xp.minimum(z, 0.0)) / (1.0 + xp.exp(-xp.abs(z)))
    positive = take_real(z) >= 0
    e = xp.exp(xp.where(positive, -z, z))
    return xp.where(positive, 1.0, e) / (1.0 + e)


def sigmoid_slope(z: Float[Array, "*n"], h: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """σ′(z) = σ(z) σ(−z), real z; h = σ(z)."""
    return _replace_small(h * (1.0 - h), z, 1.0)


def tanh(z: Inexact[Array, "*n"]) -> Inexact[Array, "*n"]:
    """tanh(z)."""
    return numpy_tanh(z) if type(z) is np.ndarray else namespace(z).tanh(z)


def tanh_slope(z: Float[Array, "*n"], h: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """tanh′(z) = 1 − h² = 4 e^−2|z| / (1 + e^−2|z|)², real z; h = tanh(z)."""
    slope = multiply(h, h)
    return _replace_small(np.subtract(1.0, slope, out=slope) if type(slope) is np.ndarray else 1.0 - slope, z, 2.0)


def _replace_small(slope: Array, z: Array, rate: float) -> Array:
    """``slope`` where it is large, rate² e^−rate|z| / (1 + e^−rate|z|)² where it has lost its digits."""
    alone = getattr(getattr(slope, "recorder", None), "each_alone", False)
    if library(slope) == "numpy" and slope.ndim and not alone:  # slope is this module's own array
        return called("with_small_slopes", slope, z, rate)
    return where_small(namespace(slope), slope, z, rate)


def sum_last(x: Inexact[Array, "*n k"], keepdims: bool = False) -> Inexact[Array, "..."]:
    """Σ over the last axis; for NumPy without the detour through its general function."""
    if type(x) is np.ndarray:
        return np.add.reduce(x, axis=-1, keepdims=keepdims)
    return namespace(x).sum(x, axis=-1, keepdims=keepdims)


def softplus(z: Inexact[Array, "*n"]) -> Inexact[Array, "*n"]:
    """log(1 + e^z) = max(z, 0) + log1p(e^−|z|), the maximum taken on the real part."""
    xp = namespace(z)
    positive = take_real(z) >= 0
    return xp.where(positive, z, 0.0) + log1p(xp.exp(xp.where(positive, -z, z)))


def log1p(z: Array) -> Array:
    """log(1 + z); NumPy's own loses the digits of small complex numbers."""
    xp = namespace(z)
    if xp is numpy_namespace and is_complex(z):
        import scipy.special

        return scipy.special.log1p(z)
    return xp.log1p(z)


def normal_cdf(z: Inexact[Array, "*n"]) -> Inexact[Array, "*n"]:
    """Φ(z) = ½ erfc(−z/√2), with all its digits in the left tail."""
    return 0.5 * erfc(z * -math.sqrt(0.5))


def erfc(z: Inexact[Array, "*n"]) -> Inexact[Array, "*n"]:
    """1 − erf(z), from the library that owns the array (the array API has none); complex z by SciPy's Faddeeva."""
    owner = library(z)
    if owner == "torch":
        return _torch_erfc(z)
    if owner == "jax":
        return _jax_erfc(z)
    return _scipy_erfc(z)


def _scipy_erfc(z: Any) -> Any:
    import scipy.special

    return scipy.special.erfc(z)  # dtype kept


def _torch_erfc(z: Any) -> Any:
    import torch

    if is_complex(z):  # torch's is real only
        return torch.as_tensor(_scipy_erfc(to_numpy(z)), device=z.device)
    return torch.special.erfc(z)


def _jax_erfc(z: Any) -> Any:
    import jax

    if is_complex(z):  # JAX's is real only; the callback works on traced arrays too
        return jax.pure_callback(lambda w: _scipy_erfc(to_numpy(w)), jax.ShapeDtypeStruct(z.shape, z.dtype), z)
    return jax.scipy.special.erfc(z)
