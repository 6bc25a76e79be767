"""Whether a gradient is right: the complex step, finite differences, or an oracle of the user's own."""

from everygrad.checks.adjoint import AdjointResult, AdjointRow, adjoint_check
from everygrad.checks.check import check
from everygrad.checks.result import CheckResult, CheckRow
from everygrad.checks.tolerance import assert_close, relative_error

__all__ = [
    "AdjointResult",
    "AdjointRow",
    "CheckResult",
    "CheckRow",
    "adjoint_check",
    "assert_close",
    "check",
    "relative_error",
]
