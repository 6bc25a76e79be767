"""What kind of mistake makes a gradient wrong: known ones are made on purpose and compared with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from everygrad.checks.steps import Step
from everygrad.checks.tolerance import relative_error
from everygrad.graph import Graph
from everygrad.graph.losses import Loss

Shape = tuple[int, ...]
Named = tuple[str, np.ndarray]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A wrong gradient g of ``name``, and what it should be made of.

    ``terms``: consumer u -> (∂u/∂v)ᵀ ∇_u with the *given* ∇_u (``upstream``), the parts of rule 1 for this v.
    ``others``: right gradients of other quantities of the same shape.
    """

    graph: Graph
    values: Mapping[str, np.ndarray]
    step: Step
    name: str
    g: np.ndarray
    terms: Mapping[str, np.ndarray]
    upstream: Mapping[str, np.ndarray]
    others: Mapping[str, np.ndarray]
    match: float

    @property
    def expected(self) -> np.ndarray:
        """∇_v by rule 1 from the given gradients of the consumers."""
        return np.asarray(sum(self.terms.values(), np.zeros(self.g.shape)))

    def is_like(self, candidate: np.ndarray | np.floating) -> bool:
        """Whether g is this faulty gradient."""
        candidate = np.asarray(candidate)
        return candidate.shape == self.g.shape and relative_error(self.g, candidate) <= self.match


def shape_fault(came: Shape, expected: Shape, lead: int, batch: int) -> str:
    """What a wrong shape looks like."""
    text = f"it has shape {came}, must have {expected}, that of the quantity"
    if came == expected[::-1]:
        return f"{text}: it looks transposed"
    if not lead and came == (batch, *expected):
        return f"{text}: the sum over the {batch} samples looks missing"
    if lead and came == expected[1:]:
        return f"{text}: it looks summed over the samples"
    return text


def name_fault(case: Case) -> str:
    """The mistake in words: the first of those that are known which gives exactly this gradient."""
    if not np.isfinite(case.g).all():
        bad = np.argwhere(~np.isfinite(case.g))
        return f"{len(bad):,} of {case.g.size:,} entries are not finite, the first at {_at(bad[0])}"
    if not np.isfinite(case.expected).all():
        return "the oracle is not finite here: nothing can be said"
    if not case.expected.any():
        return "it must be zero"
    if case.is_like(-case.expected):
        return "wrong sign"
    if not case.g.any():
        (*_, last) = case.terms
        through = f": the path through {last} is dropped" if len(case.terms) == 1 else ""
        return f"it is zero{through}"
    for candidates in (_paths, _whole):
        for text, candidate in candidates(case):
            if case.is_like(candidate):
                return text
    return _factor(case) or _one_sample(case) or _by_sample(case) or _where(case)


def _whole(case: Case) -> Iterator[Named]:
    """The whole gradient in the wrong place or the wrong way round."""
    if case.g.ndim == 2 and not case.graph.by_name[case.name].lead and case.g.shape[0] == case.g.shape[1]:
        yield "transposed", case.expected.T
    for other, gradient in case.others.items():
        yield f"swapped: it is the gradient of {other}", gradient


def _paths(case: Case) -> Iterator[Named]:
    """One term of rule 1 dropped, counted twice, with the wrong sign, or made with the wrong factor."""
    expected = case.expected
    for u, term in case.terms.items():
        rest = expected - term
        if len(case.terms) > 1:
            yield f"the path through {u} is dropped", rest
            yield f"the path through {u} is counted twice", expected + term
            yield f"the path through {u} has the wrong sign", rest - term
        for text, wrong in (*_weights(case, u), *_nonlinearity(case, u)):
            yield text, rest + wrong


def _weights(case: Case, u: str) -> Iterator[Named]:
    """Rule 2 with W and Wᵀ confused, or with the wrong vector in the outer product."""
    node, g = case.graph.by_name[u], case.upstream[u]
    v, shared = case.values[case.name], not case.graph.by_name[case.name].lead
    for name in dict.fromkeys(node.inputs):
        other = case.values[name]
        if other.ndim == 2 and other.shape == (g.shape[-1:] * 2) == (v.shape[-1:] * 2) and name != case.name:
            yield f"{name} and its transpose are confused (∇{case.name} = {name}ᵀ ∇{u})", g @ other.T
            yield f"{name} and its transpose are confused (∇{case.name} = {name} ∇{u})", g @ other
        source = case.graph.by_name[name]
        if shared and len(source.inputs) == 1 and v.ndim == g.ndim == other.ndim == 2 and source.lead:
            a = case.values[source.inputs[0]]
            if a.shape == other.shape and v.shape == (g.shape[1], a.shape[1]):
                text = f"{source.inputs[0]} stands in place of {name} (∇{case.name} = ∇{u} {name}ᵀ)"
                yield text, g.T @ a


def _nonlinearity(case: Case, u: str) -> Iterator[Named]:
    """Rule 3 with g′ at the wrong place, forgotten, or applied twice."""
    node, g, a = case.graph.by_name[u], case.upstream[u], case.values[case.name]
    h = case.values[u]
    if len(node.inputs) != 1 or h.shape != a.shape:
        return
    slope = case.step(node, [a], [np.ones(a.shape)], h)
    if relative_error(g * slope, case.terms[u]) > case.match:
        return  # not element by element
    with np.errstate(all="ignore"):
        at_output = case.step(node, [h], [np.ones(h.shape)], h)
    yield f"g′ is taken at {u} instead of {case.name}", g * at_output
    yield f"g′ is forgotten (∇{case.name} = ∇{u} ⊙ g′({case.name}))", g
    yield f"g′ is applied twice (∇{case.name} = ∇{u} ⊙ g′({case.name}))", g * slope * slope
    yield f"g stands in place of g′ (∇{case.name} = ∇{u} ⊙ g′({case.name}))", g * h


def _factor(case: Case) -> str | None:
    """c times the right gradient, for the c that people forget and for any other."""
    e, largest = case.expected, np.abs(case.expected).max()
    c = float(np.vdot(e / largest, case.g / largest) / np.vdot(e / largest, e / largest))
    if not c or abs(c - 1.0) <= case.match or not case.is_like(c * e):
        return None
    sign = "wrong sign, and " if c < 0 else ""
    readings = [text for value, text in _known_factors(case) if abs(abs(c) / value - 1.0) <= 10 * case.match]
    return f"{sign}{abs(c):.6g} times the right gradient{': ' if readings else ''}{', or '.join(readings)}"


def _known_factors(case: Case) -> Iterator[tuple[float, str]]:
    graph, values = case.graph, case.values
    batch = len(values[graph.data[0]]) if graph.data else 1
    shared = not graph.by_name[case.name].lead
    if batch > 1:
        yield batch, f"the 1/B of the mean is missing (B = {batch})"
        averaged = "averaged over the samples instead of summed" if shared else "the 1/B of the mean is there twice"
        yield 1.0 / batch, f"{averaged} (B = {batch})"
    for node in graph.nodes:
        if isinstance(node.operation, Loss):
            outputs = values[node.inputs[0]].shape[-1]
            if outputs > 1:
                yield outputs, f"K times: the mean over the outputs is missing (K = {outputs})"
                yield 1.0 / outputs, f"divided by the number of outputs once too often (K = {outputs})"
            if len(node.inputs) == 3:
                total = float(values[node.inputs[2]].sum())
                yield total, f"the division by the sum of the sample weights is missing ({total:.6g})"
    yield 2.0, "a factor 1/2 is missing"
    yield 0.5, "a factor 2 is missing"


def _one_sample(case: Case) -> str | None:
    """A shared parameter's gradient from one sample alone: possible for weights and biases of rule 2."""
    if case.graph.by_name[case.name].lead or len(case.terms) != 1:
        return None
    (u,) = case.terms
    node, g = case.graph.by_name[u], case.upstream[u]
    if g.ndim != 2 or len(g) < 2:
        return None
    for word, n in (("first", 0), ("last", len(g) - 1)):
        if case.is_like(g[n]):
            return f"only the {word} sample is in it: the sum over the samples is missing"
        h = case.values[node.inputs[0]]
        if h.ndim == 2 and case.is_like(np.outer(g[n], h[n])):
            return f"only the {word} sample is in it: the sum over the samples is missing"
    return None


def _by_sample(case: Case) -> str | None:
    """Every sample right but for a factor of its own: sample weights, a mask."""
    if not case.graph.by_name[case.name].lead or case.g.ndim < 2 or case.g.shape[-1] < 2 or len(case.g) < 2:
        return None
    e, g = (x.reshape(len(x), -1) for x in (case.expected, case.g))
    squares = np.sum(e * e, axis=1)
    c = np.sum(e * g, axis=1) / np.where(squares > 0, squares, 1.0)
    off = np.flatnonzero(np.abs(c - 1.0) > case.match)
    if len(off) < 2 or not case.is_like((c[:, None] * e).reshape(case.g.shape)):
        return None
    spread = f"{c.min():.3g} to {c.max():.3g}"
    return f"each sample has a factor of its own, {spread}: are sample weights or a mask missing?"


def _where(case: Case) -> str:
    """Which entries are off, for a mistake that is not known."""
    e, g = case.expected, case.g
    difference = np.abs(g - e)
    bad = np.argwhere(difference > case.match * np.abs(e).max(initial=0.0))
    if not len(bad):
        return "it differs from the oracle by little more than the tolerance, spread over all entries"
    worst = tuple(int(i) for i in np.unravel_index(int(difference.argmax()), g.shape))
    values = f"{_at(worst)} is {g[worst]:.6g}, must be {e[worst]:.6g}"
    if len(bad) == 1:
        return f"one entry is off: {values}"
    if g.ndim > 1 and len(np.unique(bad[:, 0])) == 1 and len(g) > 1:
        return f"only the row {int(bad[0][0])} is off, in {len(bad)} entries: {values}"
    if g.ndim > 1 and len(np.unique(bad[:, -1])) == 1 and g.shape[-1] > 1:
        return f"only the column {int(bad[0][-1])} is off, in {len(bad)} entries: {values}"
    return f"{len(bad):,} of {g.size:,} entries are off, no mistake that is known: {values}"


def _at(index: tuple[int, ...] | np.ndarray) -> str:
    return f"[{', '.join(str(int(i)) for i in index)}]"
