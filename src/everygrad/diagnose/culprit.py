"""Where a gradient begins to fall or to grow on its way back through time, and what makes it do so."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from everygrad.diagnose.over_time import LayerOverTime, Slopes
from everygrad.diagnose.thresholds import Thresholds
from everygrad.engines import Array
from everygrad.engines.shapes import Float


@final
@dataclass(frozen=True, slots=True)
class Turn:
    """A fall or a rise of the gradient on its way back through time.

    ``crossed`` is the first step beyond the threshold, ``extreme`` the one with the smallest or the largest
    ratio, ``reference`` the step whose direct gradient it is compared with. ``passed`` are the steps whose cell
    the gradient went through from where the turn begins to ``crossed``, and ``factor`` is what each of them
    multiplied by: their geometric mean. If one step makes most of it, ``passed`` is that step alone, and it is
    ``abrupt``.
    """

    crossed: int
    extreme: int
    reference: int
    ratio: float
    factor: float
    passed: tuple[int, ...]
    abrupt: bool

    @property
    def step(self) -> int:
        """The culprit: the step that makes it, or, if all share it, the first beyond the threshold."""
        return self.passed[0] if self.abrupt else self.crossed


@final
@dataclass(frozen=True, slots=True)
class Cause:
    """The quantity behind a turn, what it does in words, and what to try."""

    name: str
    words: str
    advice: str


@final
@dataclass(frozen=True, slots=True, eq=False)
class WayBack:
    """The steps in the order in which the gradient passes them, from the last one that a loss speaks to.

    ``ratio``: the total gradient at each step / the largest direct one at this step or one it passed before
    (``reference``), all RMS.
    """

    steps: tuple[int, ...]
    reference: tuple[int, ...]
    ratio: Float[Array, " steps"]


def way_back(layer: LayerOverTime) -> WayBack:
    """The way of the gradient back through a layer. Steps that no direct gradient has reached are left out."""
    steps, reference, ratio = [], [], []
    largest, at = 0.0, -1
    for t in layer.backwards():
        if layer.direct[t] > largest:
            largest, at = float(layer.direct[t]), t
        if largest:
            steps.append(t)
            reference.append(at)
            ratio.append(float(layer.total[t]) / largest)
    return WayBack(tuple(steps), tuple(reference), np.array(ratio))


def fall(way: WayBack, thresholds: Thresholds) -> Turn | None:
    """Where the ratio goes below the threshold, or None."""
    return _turn(way, thresholds.forgotten, -1.0, thresholds.main_part)


def rise(way: WayBack, thresholds: Thresholds) -> Turn | None:
    """Where the ratio goes above the threshold, or None."""
    return _turn(way, thresholds.exploding, 1.0, thresholds.main_part)


def _turn(way: WayBack, limit: float, sign: float, main_part: float) -> Turn | None:
    steps, ratio = way.steps, way.ratio
    beyond = np.flatnonzero(sign * ratio > sign * limit)
    if not beyond.size:
        return None
    end = int(beyond[0])
    with np.errstate(divide="ignore"):
        height = sign * np.log(ratio)  # what makes it worse goes up
    start = end - int(np.argmin(height[end::-1]))
    extreme = int(np.argmax(height))
    moves = np.diff(height[start : end + 1])
    whole = float(moves.sum())
    passed, move = tuple(steps[start:end]) or (steps[end],), whole / max(len(moves), 1)
    abrupt = len(moves) < 2
    equal_share = (1.0 - main_part) / max(len(moves), 1)  # of two steps one always makes half
    if len(moves) > 1 and (math.isinf(whole) or moves.max() > (main_part + equal_share) * whole):
        passed, move, abrupt = (steps[start + int(moves.argmax())],), float(moves.max()), True
    return Turn(
        crossed=steps[end],
        extreme=steps[extreme],
        reference=way.reference[extreme],
        ratio=float(ratio[extreme]),
        factor=math.exp(sign * move),
        passed=passed,
        abrupt=abrupt,
    )


def why_it_falls(layer: LayerOverTime, turn: Turn, thresholds: Thresholds) -> Cause:
    """The gate that forgets, the activation that is flat, or else the matrix that shrinks."""
    steps = list(turn.passed)
    most = turn.factor**thresholds.main_part  # what multiplies by less than this makes most of the fall
    kept = min(((_kept(layer, state, steps), state) for state in layer.keepers), default=None)
    if kept is not None and kept[0] < most:
        return _forgets(layer, *kept)
    flattest = min(((float(np.mean(s.slope[steps])), name) for name, s in _carrying(layer)), default=None)
    if flattest is not None and flattest[0] < most:
        return _is_flat(layer, *flattest)
    tries = "an orthogonal W at the start, or shorter sequences."
    tries = tries[:1].upper() + tries[1:] if layer.keepers else f"A gated cell (LSTM, GRU), {tries}"
    radius = min(layer.radius.items(), key=lambda pair: pair[1], default=None)
    if radius is not None and radius[1] < 1:
        words = f"the largest eigenvalue of {radius[0]}{layer.suffix} has magnitude {radius[1]:.2g}, below 1"
        return Cause(layer.states[0], words, tries)
    return Cause(layer.states[0], "the recurrent weights and the slopes together shrink it", tries)


def why_it_grows(layer: LayerOverTime) -> Cause:
    """The recurrent matrix, with its largest eigenvalue if that is known."""
    tries = (
        "Clip the norm of the gradient; smaller or orthogonal recurrent weights at the start, a lower learning rate, "
        "or a gated cell."
    )
    radius = max(layer.radius.items(), key=lambda pair: pair[1], default=None)
    if radius is not None and radius[1] > 1:
        words = f"the largest eigenvalue of {radius[0]}{layer.suffix} has magnitude {radius[1]:.2g}, above 1"
        return Cause(layer.states[0], words, tries)
    return Cause(layer.states[0], "the recurrent weights multiply it at each step", tries)


def _kept(layer: LayerOverTime, state: str, steps: list[int]) -> float:
    """How much of a state its gate passes on, on average over these steps."""
    keeper = layer.keepers[state]
    value = float(np.mean(layer[keeper.gate].mean[steps]))
    return 1.0 - value if keeper.inverted else value


def _forgets(layer: LayerOverTime, kept: float, state: str) -> Cause:
    keeper = layer.keepers[state]
    gate, carried = keeper.gate + layer.suffix, state + layer.suffix
    passes = f"1 − {gate}" if keeper.inverted else gate
    return Cause(
        keeper.gate,
        f"{passes} is {kept:.2g} on average, and that much of {carried} goes on from step to step",
        f"A {'lower' if keeper.inverted else 'higher'} bias of {gate} at the start (by 1 to 3; log T for long memory) "
        f"keeps more of {carried}; or shorter sequences. If what matters lies within the last steps, all is well.",
    )


def _carrying(layer: LayerOverTime) -> list[tuple[str, Slopes]]:
    """The activations that a state goes through itself: those that are not gates."""
    return [(s.name, s.slopes) for s in layer.series if s.slopes is not None and not s.is_gate]


def _is_flat(layer: LayerOverTime, slope: float, name: str) -> Cause:
    found = layer[name].slopes
    assert found is not None  # it is one of the activations
    if found.switches:
        tries = "A higher bias, a lower learning rate, or leaky_relu, which keeps a slope."
    elif found.steepest < 1:
        tries = f"Its slope is at most {found.steepest:g}: tanh passes on more, or a gated cell (LSTM, GRU)."
    else:
        tries = "Smaller weights or inputs, layer norm in front of it, a lower learning rate, or a gated cell."
    return Cause(name, f"the slope of {found.activation} at {layer.named(name)} is {slope:.2g} on average", tries)
