"""The layers of a chain at single samples: values, gradients and formulas of the units drawn, and their paths."""

from collections.abc import Sequence

import numpy as np

from everygrad.backprop import Gradients
from everygrad.engines import Array, to_numpy
from everygrad.graph import Node
from everygrad.graph.affine import Affine
from everygrad.graph.elementwise import Elementwise
from everygrad.report.explore_paths import BEST, chain, finite, listed, reads, searched
from everygrad.report.explore_record import ExploredLayer
from everygrad.report.record import Picture

MOST_FACTORS = 6_500
"""Factors of all paths together: what the page has room for. Samples are left out first, then paths."""
FEWEST_SAMPLES = 2
MOST_WAY = 48
"""Quantities on a path that is listed: nobody reads a longer one."""
MOST_READS = 2e8
"""Derivatives that the search reads, of all samples together."""


def samples_for(gradients: Gradients, picture: Picture) -> int:
    """How many samples there is room and time for."""
    names, shown = _drawn(gradients, picture)
    work = sum(_work(gradients, names, shown))
    room = max(FEWEST_SAMPLES, MOST_FACTORS // max(_factors(names, shown, BEST), 1))
    return max(1, min(room, int(MOST_READS // max(work, 1))))


def layers_at(gradients: Gradients, picture: Picture, rows: np.ndarray) -> tuple[ExploredLayer, ...]:
    """The layers that are drawn, at the samples ``rows``."""
    names, shown = _drawn(gradients, picture)
    k = BEST
    while k > 1 and len(rows) * _factors(names, shown, k) > MOST_FACTORS:
        k -= 1
    searchable = _searchable(_work(gradients, names, shown), names, shown, len(rows))
    known = None
    if searchable and finite(gradients, searchable, rows):
        known = searched(gradients, searchable, shown[searchable[0]], rows, k)
    found = []
    for name, units in shown.items():
        node = gradients.trace.graph.by_name[name]
        before = node.inputs[0] if isinstance(node.operation, Elementwise) else ""
        grad_h = _at(gradients[name], rows, units)
        listable = known is not None and name in searchable and len(names) - 1 - names.index(name) <= MOST_WAY
        found.append(
            ExploredLayer(
                name=name,
                before=before,
                units=int(gradients.trace[name].shape[1]),
                shown=units,
                formulas=_formulas(gradients, node, before, names),
                a=_at(gradients.trace[before], rows, units) if before else None,
                h=_at(gradients.trace[name], rows, units),
                slope=_slope(gradients, node, rows, units) if before else None,
                grad_a=_at(gradients[before], rows, units) if before else None,
                grad_h=grad_h,
                paths=listed(*known, units, grad_h, list(shown), name) if known is not None and listable else None,
            )
        )
    return tuple(found)


def note_of(layers: Sequence[ExploredLayer]) -> str:
    """What is left out, in words; "" if nothing."""
    few = next((layer for layer in layers if len(layer.shown) < layer.units), None)
    units = "" if few is None else f"of {few.name} {len(few.shown)} of {few.units:,} units, as in the picture"
    listed = [layer for layer in layers if layer.paths is not None]
    if len(listed) == len(layers):
        return units
    if not listed:
        return _joined(units, "no paths: there are too many weights to look through, or numbers that are not finite")
    return _joined(units, f"paths of the last {len(listed)} of {len(layers)} layers: those of others are too long")


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _drawn(gradients: Gradients, picture: Picture) -> tuple[list[str], dict[str, tuple[int, ...]]]:
    """The chain from the first column to the loss, and the units shown of each column."""
    return chain(gradients, picture.columns[0].name), {column.name: column.shown for column in picture.columns}


def _factors(names: Sequence[str], shown: dict[str, tuple[int, ...]], k: int) -> int:
    """How many factors are listed for each sample, at most."""
    ways = {name: len(names) - 1 - names.index(name) for name in shown}
    return sum(k * len(units) * ways[name] for name, units in shown.items() if ways[name] <= MOST_WAY)


def _work(gradients: Gradients, names: Sequence[str], shown: dict[str, tuple[int, ...]]) -> list[int]:
    """How many derivatives are read for each sample of each quantity behind the first, whose units shown it reads."""
    each = [reads(gradients, name) for name in names[1:]]
    return [each[0] * len(shown[names[0]]) // max(int(gradients.trace[names[0]].shape[1]), 1), *each[1:]]


def _searchable(
    work: Sequence[int], names: Sequence[str], shown: dict[str, tuple[int, ...]], samples: int
) -> list[str]:
    """The last quantities of the chain that there is time to search, from a layer that is drawn; empty if none is."""
    left, first = MOST_READS, len(names) - 1
    for place in range(len(names) - 2, -1, -1):
        left -= samples * work[place]
        if left < 0:
            break
        if names[place] in shown:
            first = place
    return list(names[first:]) if first < len(names) - 1 else []


def _at(array: Array, rows: np.ndarray, units: tuple[int, ...]) -> np.ndarray:
    return to_numpy(array)[np.ix_(rows, np.array(units, int))].astype(np.float64)


def _slope(gradients: Gradients, node: Node, rows: np.ndarray, units: tuple[int, ...]) -> np.ndarray:
    """g′(a): the diagonal of the local Jacobian."""
    trace = gradients.trace
    return _at(trace.local(node, 0).pull(trace.kind.ones(tuple(trace[node.name].shape))), rows, units)


def _formulas(gradients: Gradients, node: Node, before: str, names: Sequence[str]) -> tuple[str, ...]:
    """h and, behind it, ∂L/∂h and ∂L/∂a of one unit, with marks for its number and its values."""
    graph, of = gradients.trace.graph, gradients.of
    unit, lines = f"{node.name}[{{unit}}]", []
    if before:
        below = f"{before}[{{unit}}]"
        made = _made(gradients, graph.by_name[before])
        lines.append(f"{below} = {made} = {{a}}")
        lines.append(f"{unit} = {_apply(node, below)} = {_apply(node, '{a}')} = {{h}}")
    else:
        made = _made(gradients, node)
        lines.append(f"{unit} = {made} = {{h}}" if made else f"{unit} = {{h}}")
    user = graph.by_name[names[names.index(node.name) + 1]]
    back = f"∂{of}/∂{unit}"
    if isinstance(user.operation, Affine):
        lines.append(f"{back} = Σ_q {user.inputs[1]}[q, {{unit}}] · ∂{of}/∂{user.name}[q] = {{grad_h}}")
    else:
        lines.append(f"{back} = {{grad_h}}")
    if before:
        slope = f"{_name(node)}′({before}[{{unit}}])"
        lines.append(f"∂{of}/∂{before}[{{unit}}] = {slope} · {back} = {{slope}} · {{grad_h}} = {{grad_a}}")
    return tuple(lines)


def _name(node: Node) -> str:
    assert node.operation is not None
    return node.operation.name


def _apply(node: Node, operand: str) -> str:
    assert node.operation is not None
    return node.operation.formula(operand)


def _made(gradients: Gradients, node: Node) -> str:
    """What one unit is computed from; "" if it is given."""
    if node.operation is None:
        return ""
    if isinstance(node.operation, Affine):
        h, W, *b = node.inputs
        return " + ".join([f"Σ_r {W}[{{unit}}, r] · {h}[r]", *(f"{name}[{{unit}}]" for name in b)])
    trace = gradients.trace
    each = [name if trace[name].ndim == trace.graph.by_name[name].lead else f"{name}[{{unit}}]" for name in node.inputs]
    return node.operation.formula(*each)
