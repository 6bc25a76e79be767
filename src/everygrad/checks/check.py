"""``eg.check``: every gradient of a network or a graph against an oracle that never sees its derivatives."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from everygrad.backprop import Gradients, Network, Trace, backward, forward
from everygrad.backprop.gradients import norm
from everygrad.checks.blame import Blame
from everygrad.checks.faults import shape_fault
from everygrad.checks.known import Known, with_direct
from everygrad.checks.over_time import direct_fault
from everygrad.checks.reference import LIMIT, Progress, Reference, reference
from everygrad.checks.result import CheckResult, CheckRow
from everygrad.checks.rounding import in_double, local_gradients, rounding
from everygrad.checks.steps import Step, central_difference, complex_step, forward_difference, require_analytic
from everygrad.checks.sweep import Sweep
from everygrad.checks.tolerance import DIFFERENCE, EXACT, FRAMEWORK, SINGLE, tolerance_for
from everygrad.checks.view import DIRECT, View, plain, view
from everygrad.engines import Array, to_numpy
from everygrad.errors import InputError, all_mismatches, unknown_name
from everygrad.graph import Graph

Oracle = str | Mapping[str, Array] | Callable[[Trace], Mapping[str, Array]]

TITLES = {"complex": "complex step", "difference": "finite differences"}
ROUNDINGS = 10
"""How many times the effect of random rounding still counts as rounding."""
SAME = 1e-9
"""Two gradients no further apart than this (and 100 tolerances) are taken to be the same mistake."""


def check(
    network: Graph | Network,
    params: Mapping[str, Array],
    *data: Array,
    gradients: Mapping[str, Array] | None = None,
    oracle: Oracle = "complex",
    quantities: Iterable[str] | None = None,
    tol: float | None = None,
    limit: int = LIMIT,
    seed: int = 0,
    progress: Progress | None = None,
    **named: Array,
) -> CheckResult:
    """Check the gradient of every quantity: parameters, data, hidden ones. ``print(eg.check(net, params, x, y))``.

    ``gradients``: somebody's own, by name (a dict or a `Gradients`), instead of the library's; what is not
    in it is not checked. ``oracle``:

    - ``"complex"``: the complex step in double precision, Im f(v + iε)/ε, exact to rounding; at a kink it
      takes the side that the operation's value takes (relu′(0) = 0).
    - ``"difference"``: central finite differences of fourth order, in double precision; entries at which
      one-sided ones disagree (a kink, a difference lost in rounding) are left out, and counted.
    - a mapping of right gradients by name, or a function of the trace that returns one.

    Of a recurrent network every quantity is checked at every step, also its direct gradient, in a row ``direct h``
    (a key in ``gradients`` too): the oracle follows the steps through copies of the cell, see `unroll`. In padding
    a gradient must be zero. A fault is named with the step at which the backward sweep meets it first.

    The first two perturb a quantity, evaluate what depends on it, and use only *values* of the operations.
    Of a quantity of more than ``limit`` entries (or too costly), 256 seeded random entries and 8 random
    directions are compared; a wrong entry anywhere changes the directions.

    The error of a row is relative to the norm of the reference; the tolerance is 1e-13 (complex step),
    1e-7 (differences), 1e-12 (a mapping), 1e-5 for float32, or ``tol``. Where the terms of a gradient cancel
    (near a minimum, in a bias), no computation in this precision reaches that: a row within ten times the
    effect of random rounding (see `rounding`) is right too, and says so.

    Raises what `forward` raises, `UnknownNameError` for a name that is not there, `InputError` for an
    operation that the complex step cannot see through. Wrong gradients do not raise: see `CheckResult`.
    ``progress`` is called with (name, entries done, entries in all). Cost: one pass over what depends on
    it for each entry of a parameter, or for each unit of a layer.
    """
    problems = []
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        problems.append(f"limit must be a whole number of at least 1, got {limit!r}")
    if tol is not None and not 0 <= tol < math.inf:
        problems.append(f"tol must be a non-negative number, got {tol!r}")
    all_mismatches("check", problems)
    trace = forward(network, params, *data, **named)
    mine = with_direct(backward(trace, check_finite=False))
    given = _by_name(mine, mine if gradients is None else gradients, "gradients")
    names = _chosen(mine, given, quantities, gradients is not None)
    seen = view(in_double(trace), mine.gradients.of)
    references = _references(trace, seen, mine, names, oracle, limit, seed, progress)
    rows = {}
    for name in names:
        if name in references:
            rows[name] = _row(trace, name, given[name], references[name], _tolerance(oracle, given[name], trace, tol))
    if not rows:
        raise InputError("there is nothing to check: the oracle and the gradients have no quantity in common")
    return _judged(trace, seen, mine, given, rows, references, oracle, limit, seed)


def _by_name(mine: Known, arrays: Mapping[str, Any] | Known, what: str) -> dict[str, np.ndarray]:
    """Arrays by the names of the graph; raises with all names that have no gradient."""
    if isinstance(arrays, Gradients):
        if arrays.of != mine.gradients.of:
            raise InputError(f"{what} are those of {arrays.of!r}, the graph's output is {mine.gradients.of!r}")
        arrays = with_direct(arrays)
    problems, found = [], {}
    for key, array in (arrays.all() if isinstance(arrays, Known) else arrays).items():
        try:
            name = mine.resolve(key)
        except InputError as error:
            problems.append(str(error))
            continue
        if name in found:
            problems.append(f"{key!r} is {name!r}, which was given too")
        found[name] = values = np.asarray(to_numpy(array))
        if values.dtype.kind not in "fiu":
            problems.append(f"{key!r} has dtype {values.dtype}, expected real numbers")
    all_mismatches(what, problems)
    return found


def _chosen(mine: Known, given: Mapping[str, np.ndarray], quantities: Iterable[str] | None, own: bool) -> list[str]:
    known = mine.all()
    if quantities is None:
        return [name for name in known if name in given and (own or name != mine.gradients.of)]
    asked = {mine.resolve(quantity) for quantity in ((quantities,) if isinstance(quantities, str) else quantities)}
    missing = sorted(asked - set(given))
    if missing:
        raise InputError(f"quantities {missing} are to be checked, but their gradients were not given")
    return [name for name in known if name in asked]


def _references(
    trace: Trace,
    seen: View,
    mine: Known,
    names: list[str],
    oracle: Oracle,
    limit: int,
    seed: int,
    progress: Progress | None,
) -> dict[str, Reference]:
    """The oracle's numbers for each quantity."""
    if not isinstance(oracle, str):
        return _of_user(oracle, trace, mine)
    if oracle not in TITLES:
        raise unknown_name("oracle", oracle, TITLES)
    graph, values, found = seen.trace.graph, seen.trace.arrays, {}
    ends = seen.parts(mine.gradients.of)
    if oracle == "complex":
        require_analytic(seen.trace.nodes, values, seed)
    order = {node.name: position for position, node in enumerate(trace.nodes)}
    for name in sorted(names, key=lambda n: (n != plain(n), order[plain(n)])):
        cut = seen.cut[plain(name)] if name != plain(name) else frozenset()
        what = (seen.parts(name), ends, seen.over_time(name))
        step = complex_step if oracle == "complex" else central_difference
        sweep = Sweep(graph, values, step, *what, cut=cut)
        second = Sweep(graph, values, forward_difference, *what, cut=cut) if oracle == "difference" else None
        key = (seed, order[plain(name)]) if name == plain(name) else (seed, order[plain(name)], 1)
        found[name] = reference(name, sweep, key, limit, progress, second)
    return found


def _of_user(oracle: Any, trace: Trace, mine: Known) -> dict[str, Reference]:
    arrays = oracle(trace) if callable(oracle) else oracle
    if not isinstance(arrays, Mapping):
        raise InputError(f"an oracle must give a mapping of arrays by name, got {type(arrays).__name__}")
    found, problems = {}, []
    for name, array in _by_name(mine, arrays, "oracle").items():
        shape = tuple(trace[plain(name)].shape)
        if array.shape != shape:
            problems.append(f"{name!r} has shape {array.shape}, must have {shape}")
            continue
        wide = np.asarray(array, np.float64).reshape(-1)
        found[name] = Reference(shape, np.arange(wide.size), wide, (), np.zeros(0))
    all_mismatches("oracle", problems)
    return found


def _tolerance(oracle: Oracle, g: np.ndarray, trace: Trace, tol: float | None) -> float:
    if tol is not None:
        return tol
    kinds = (g.dtype, to_numpy(trace.loss).dtype)
    if any(tolerance_for(kind) == SINGLE for kind in kinds):
        return SINGLE
    return {"complex": EXACT, "difference": DIFFERENCE}.get(oracle, FRAMEWORK) if isinstance(oracle, str) else FRAMEWORK


def _row(trace: Trace, name: str, g: np.ndarray, expected: Reference, tolerance: float) -> CheckRow:
    node = trace.graph.by_name[plain(name)]
    size = norm(g) if g.dtype.kind in "fiu" else float("nan")
    if g.shape != expected.shape:
        batch = len(trace[trace.graph.data[0]]) if trace.graph.data else 1
        fault = shape_fault(g.shape, expected.shape, node.lead, batch)
        return CheckRow(name, node.role, g.shape, size, 0, "", float("inf"), tolerance, False, fault)
    error = expected.error(np.asarray(g, np.float64) if g.dtype.kind in "fiu" else g)
    checked = len(expected.index)
    return CheckRow(name, node.role, g.shape, size, checked, expected.how, error, tolerance, error <= tolerance)


def _judged(
    trace: Trace,
    seen: View,
    mine: Known,
    given: Mapping[str, np.ndarray],
    rows: dict[str, CheckRow],
    references: Mapping[str, Reference],
    oracle: Oracle,
    limit: int,
    seed: int,
) -> CheckResult:
    """The rows with their faults, after those that rounding explains were let pass."""
    wrong = [name for name, row in rows.items() if not row.ok]
    title = TITLES[oracle] if isinstance(oracle, str) else "oracle given"
    if not wrong:
        return CheckResult(tuple(rows.values()), title)
    match, step = {}, _step(oracle, seen.trace, seed)
    epsilon = float(np.finfo(to_numpy(trace.loss).dtype).eps)
    doubted = {name: (references[name], given[name]) for name in wrong}
    ends = seen.parts(mine.gradients.of)
    moves = rounding(seen, ends, epsilon, seed, step if isinstance(oracle, str) else None, doubted)
    for name in wrong:
        allowed = ROUNDINGS * moves[name] / (references[name].size or 1.0)
        match[name] = max(100 * rows[name].tolerance, SAME, min(allowed, 1e-3))
        if rows[name].error <= allowed:
            how = f"{rows[name].how}; its terms cancel: rounding alone makes {allowed:.0e}"
            rows[name] = replace(rows[name], ok=True, how=how)
    wrong = [name for name in wrong if not rows[name].ok]
    if not wrong:
        return CheckResult(tuple(rows.values()), title)
    wide = {name: np.asarray(g, np.float64) for name, g in given.items() if g.dtype.kind in "fiu"}
    right = {name: r.full for name, r in references.items() if r.full is not None}
    direct = {n: right.get(DIRECT + n, np.asarray(to_numpy(g), np.float64)) for n, g in mine.all_direct().items()}
    totals = {name: g for name, g in right.items() if name == plain(name)}
    told = {name: g for name, g in wide.items() if name == plain(name)}
    blame = Blame(seen, step, told, local_gradients(seen.trace, ends), totals, direct, limit)
    shaped = [name for name in wrong if rows[name].fault is None]
    culprit, faults = blame.assign([name for name in shaped if name == plain(name)], match)
    for name in shaped:
        if name != plain(name):
            faults[name] = direct_fault(name, wide[name], direct[plain(name)], right, plain(name) in faults, match)
    rows |= {name: replace(rows[name], fault=fault) for name, fault in faults.items()}
    candidates = [culprit, *(name for name in wrong if name not in shaped)]
    candidates += [name for name in shaped if name != plain(name) and not faults[name].startswith("follows")]
    order = {node.name: i for i, node in enumerate(reversed(trace.nodes))}
    found = [name for name in candidates if name is not None]
    first = min(found, key=lambda name: (name != plain(name), order[plain(name)]), default=None)
    return CheckResult(tuple(rows.values()), title, first)


def _step(oracle: Oracle, double: Trace, seed: int) -> Step:
    """The step of the oracle; beside somebody's own oracle, the complex step where the operations allow it."""
    if oracle == "difference":
        return central_difference
    if not isinstance(oracle, str):
        try:
            require_analytic(double.nodes, double.arrays, seed)
        except InputError:
            return central_difference
    return complex_step
