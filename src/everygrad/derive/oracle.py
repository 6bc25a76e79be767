"""The last line of a derivation: the same number from an oracle that never sees a derivative."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.checks.reference import LIMIT, reference
from everygrad.checks.steps import central_difference, complex_step, require_analytic
from everygrad.checks.sweep import Sweep
from everygrad.checks.tolerance import DIFFERENCE, EXACT, relative_error
from everygrad.derive import expr as e
from everygrad.derive.expr import Expr
from everygrad.derive.records import Inline
from everygrad.derive.setting import Setting
from everygrad.derive.shown import number, sentence
from everygrad.errors import InputError

TOLERANCES = {"complex step": EXACT, "finite differences": DIFFERENCE}


@final
@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What the oracle says of one quantity: its number (or array), and how far the library is from it."""

    value: Any
    error: float
    tolerance: float
    how: str

    @property
    def ok(self) -> bool:
        """Whether they agree."""
        return self.error <= self.tolerance


def oracle_of(s: Setting) -> str:
    """The complex step, or finite differences where an operation is not analytic."""
    try:
        require_analytic(s.gradients.trace.nodes, s.gradients.trace.arrays)
    except InputError:
        return "finite differences"
    return "complex step"


def against_oracle(s: Setting, how: str, name: str, index: tuple[int, ...] = ()) -> Verdict:
    """Every entry of the gradient of a quantity (of a large one a sample, and directions); ``how``: see `oracle_of`.

    The error is relative to the norm of all of it.
    """
    trace = s.gradients.trace
    step = complex_step if how == "complex step" else central_difference
    sweep = Sweep(s.graph, trace.arrays, step, (name,), (s.of,), seed=s.seed)
    known = reference(name, sweep, (0,), LIMIT, None)
    mine = np.asarray(s.gradients[name], np.float64)
    error = known.error(mine)
    if s.exact:
        exact = s.numbers.gradient(name)
        error = max(error, relative_error(np.asarray(exact, float), _of_sample(s, name, mine)))
    if index:
        at = (s.sample, *index) if s.numbers.of_samples(name) else index
        found = sweep.entries(np.array([int(np.ravel_multi_index(at, mine.shape))]))[0]
    else:
        found = None if known.full is None else _of_sample(s, name, known.full)
    return Verdict(found, error, TOLERANCES[how], how)


def _of_sample(s: Setting, name: str, a: np.ndarray) -> np.ndarray:
    return a[s.sample] if s.numbers.of_samples(name) else a


def last_line(s: Setting, name: str, index: tuple[int, ...], verdict: Verdict) -> tuple[Inline, ...]:
    """The check in words."""
    what = e.Partial(s.target, s.name(name, tuple(map(str, index))))
    says = "agrees" if verdict.ok else "DOES NOT AGREE"
    shown: list[Inline] = []
    if verdict.value is not None and np.ndim(verdict.value) == 0:
        shown = [" gives ", e.equal(what, number(float(verdict.value))), ","]
    else:
        shown = [" of all entries of ", what]
    return sentence(f"the {verdict.how}", *shown, f" {says}: ", *distance(verdict))


def distance(verdict: Verdict, where: Expr | None = None) -> list[Inline]:
    """The error in words: only its bound if it is within the tolerance, since rounding differs between machines."""
    if verdict.ok:
        return [f"relative error below {verdict.tolerance:.0e}."]
    at: list[Inline] = [" of ", where] if where is not None else []
    return ["relative error", *at, " ", e.Number(float(f"{verdict.error:.1e}")), f", allowed {verdict.tolerance:.0e}."]
