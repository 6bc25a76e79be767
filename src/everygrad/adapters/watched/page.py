"""The report on a watched model: what is known of it, in the record that every report is written from."""

from collections.abc import Iterator, Sequence

import numpy as np

from everygrad.adapters.watched.agreement import Agreement, agreement
from everygrad.adapters.watched.layer import Layer
from everygrad.adapters.watched.records import Call
from everygrad.adapters.watched.verdict import Labelled
from everygrad.backprop.gradients import norm
from everygrad.diagnose import Verdict
from everygrad.report.explore import explore_watched
from everygrad.report.explore_steps import LayerRun
from everygrad.report.over_time import layer_in_time
from everygrad.report.record import Checked, Quantity, Report
from everygrad.through_time import Recurrence
from everygrad.version import __version__


def report_of(model: object, layers: Sequence[Layer], parts: Sequence[Labelled], verdict: Verdict) -> Report:
    """The record: the recurrent layers over time, and every gradient with its norm; loss and graph are not known."""
    name = type(model).__name__
    first = parts[0].part.run
    watched = ", ".join(f"{layer.name} ({type(layer.module).__name__})" for layer in layers)
    with np.errstate(all="ignore"):  # numbers that are not finite stay so
        return Report(
            title=f"Gradients inside of {name}",
            version=__version__,
            network=f"{name}, watched in PyTorch: {watched}",
            parameters=sum(p.numel() for p in model.parameters()) if hasattr(model, "parameters") else 0,
            library="torch",
            dtype=str(first.kind.dtype).removeprefix("torch."),
            samples=first.batch,
            of="loss",
            loss_formula="",
            loss=None,
            accuracy=None,
            r_squared=None,
            data=None,
            verdict=verdict,
            check=_checked(agreement(layers)),
            quantities=tuple(_quantities(layers)),
            flow=(),
            layers=(),
            picture=None,
            formulas=(),
            maps=(),
            maps_total=0,
            history=(),
            time=tuple(
                layer_in_time(
                    one.part.unrolled(one.label),
                    Recurrence(one.part.run, one.part.total.direct, one.part.total.final),
                )
                for one in parts
            ),
            explore=explore_watched(
                [
                    LayerRun(one.label, one.part.run, one.part.total, one.part.suffix, one.part.reverse, {})
                    for one in parts
                ]
            ),
        )


def _checked(rows: Sequence[Agreement]) -> Checked | None:
    """The comparison with autograd, if every difference is rounding: else a weight has another use (see the text)."""
    if not rows or not all(row.ok for row in rows):
        return None
    worst = max(rows, key=lambda row: row.error)
    return Checked(True, "autograd's weight gradients", len(rows), worst.error, worst.name, None, "")


def _quantities(layers: Sequence[Layer]) -> Iterator[Quantity]:
    for layer in layers:
        for i, call in layer.reached():
            place = layer.name if len(layer.met) == 1 else f"{layer.name}[{i}]"
            for name in call:
                yield Quantity(f"{place}.{name}", _role(call, name), tuple(call[name].shape), norm(call[name]))


def _role(call: Call, name: str) -> str:
    if name in call.weights.tensors:
        return "parameter"
    return "data" if name in ("x", "input", "h_0", "c_0") else "quantity"
