"""What one can walk through on the page: a few samples of a network, unit by unit or step by step."""

from collections.abc import Callable, Sequence

import numpy as np

from everygrad.backprop import Gradients
from everygrad.report import explore_layers, explore_steps
from everygrad.report.explore_record import Explore, ExploredSample
from everygrad.report.explore_samples import batch_of, chosen, described
from everygrad.report.explore_steps import LayerRun
from everygrad.report.picture import both_ends
from everygrad.report.record import Picture

MOST_SAMPLES = 6
"""Samples of a chain of layers: as many as the page of three networks side by side has room for."""
MOST_LAYERS = 4
"""Recurrent layers and directions, the first and the last."""


def explore(gradients: Gradients, picture: Picture, classes: Sequence[str] = ()) -> Explore | None:
    """The layers of a chain with the best paths of each unit drawn, or recurrent layers with the terms of each state.

    None for other graphs, and if nothing of the recurrent layers was kept (``remember="sqrt"``). ``classes``: the
    names of the classes. Cost: bounded, whatever the size of the network: samples, units, steps and paths are limited
    to what the page has room for, and `Explore.note` says so.
    """
    if picture.kind == "units":
        with np.errstate(all="ignore"):  # numbers that are not finite stay so
            rows = chosen(gradients, min(MOST_SAMPLES, explore_layers.samples_for(gradients, picture)))
            layers = explore_layers.layers_at(gradients, picture, rows)
            note = _joined(_sampled(len(rows), batch_of(gradients)), explore_layers.note_of(layers))
            return Explore(gradients.of, note, described(gradients, rows, classes), layers, ())
    layers = explore_steps.layer_runs(gradients)
    return _recurrent(
        layers,
        len(layers),
        gradients.of,
        lambda most: chosen(gradients, most),
        lambda rows: described(gradients, rows, classes),
    )


def explore_watched(layers: Sequence[LayerRun]) -> Explore | None:
    """Recurrent layers of a model of which only they are known: nothing is said of its samples but which they are.

    Those that saw another number of samples than the first are left out: they are other samples.
    """
    batch = layers[0].run.batch if layers else 0
    return _recurrent(
        [layer for layer in layers if layer.run.batch == batch],
        len(layers),
        "loss",
        lambda most: np.linspace(0, batch - 1, min(batch, most)).round().astype(int),
        lambda rows: tuple(ExploredSample(int(row), "", "", None) for row in rows),
    )


def _recurrent(
    layers: Sequence[LayerRun],
    count: int,
    of: str,
    choose: Callable[[int], np.ndarray],
    describe: Callable[[np.ndarray], tuple[ExploredSample, ...]],
) -> Explore | None:
    """Recurrent layers, of ``count``, with one batch, at samples that ``choose`` chooses and ``describe`` describes."""
    if not layers:
        return None
    drawn = both_ends(list(layers), MOST_LAYERS)
    samples, units, steps = explore_steps.size_for(drawn)
    with np.errstate(all="ignore"):
        rows = choose(samples)
        shown = tuple(explore_steps.steps_at(layer, rows, units, steps) for layer in drawn)
        note = _joined(_sampled(len(rows), layers[0].run.batch), explore_steps.note_of(shown, count))
        return Explore(of, note, describe(rows), (), shown)


def _sampled(shown: int, count: int) -> str:
    """How many samples are shown, in words; "" if all are."""
    return f"{shown} of {count:,} samples, from all of the batch" if shown < count else ""


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
