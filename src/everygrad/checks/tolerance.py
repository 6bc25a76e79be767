"""The one tolerance of the project: relative to the norm of the reference, never growing with size."""

from typing import Any

import numpy as np

from everygrad.engines import to_numpy
from everygrad.errors import CheckFailed

EXACT = 1e-13
"""float64 against an exact oracle (complex step, plain loops, real-time recurrent learning)."""
FRAMEWORK = 1e-12
"""float64 against another framework's automatic differentiation."""
DIFFERENCE = 1e-7
"""float64 against central finite differences."""
SINGLE = 1e-5
"""float32 against float64."""


def relative_error(actual: Any, reference: Any) -> float:
    """‖actual − reference‖ / ‖reference‖, in float64; ‖actual‖ itself if the reference is zero.

    NaN or infinity in either gives ``inf``, so that a comparison with a tolerance fails.
    A difference of shapes gives ``inf`` too: nothing is broadcast.
    """
    actual, reference = to_numpy(actual), to_numpy(reference)
    if actual.shape != reference.shape:
        return float("inf")
    wide = np.complex128 if "c" in (actual.dtype.kind, reference.dtype.kind) else np.float64
    actual, reference = actual.astype(wide), reference.astype(wide)
    if not (np.isfinite(actual).all() and np.isfinite(reference).all()):
        return float("inf")
    # scaled by the largest entry, so that the squares inside the norms cannot under- or overflow
    scale = float(np.abs(reference).max(initial=0.0)) or float(np.abs(actual).max(initial=0.0)) or 1.0
    size = float(np.linalg.norm((reference / scale).ravel()))
    with np.errstate(over="ignore"):
        difference = float(np.linalg.norm(((actual - reference) / scale).ravel()))
    return difference / size if size else difference * scale


def tolerance_for(dtype: Any) -> float:
    """The tolerance against an exact oracle for arrays of this dtype."""
    return SINGLE if np.dtype(dtype).itemsize in (2, 4) and np.dtype(dtype).kind == "f" else EXACT


def assert_close(actual: Any, reference: Any, tol: float | None = None, name: str = "value") -> float:
    """Raise `CheckFailed` unless the relative error is within ``tol``; return the error reached.

    ``tol`` defaults to 1e-13, or 1e-5 if ``actual`` is float32 (or complex64).
    """
    array = to_numpy(actual)
    if tol is None:
        tol = SINGLE if array.dtype in (np.dtype(np.float32), np.dtype(np.complex64)) else EXACT
    error = relative_error(actual, reference)
    if not error <= tol:
        shapes = f"shape {array.shape} against {to_numpy(reference).shape}"
        raise CheckFailed(f"{name}: relative error {error:.3g} is above {tol:.0e} ({shapes})")
    return error
