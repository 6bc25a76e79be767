"""From gradients to the record of a report: every number is worked out here, once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from everygrad.backprop import Gradients, Network
from everygrad.checks import CheckResult
from everygrad.diagnose import flow, units, verdict
from everygrad.engines import namespace, to_numpy
from everygrad.errors import InputError
from everygrad.graph import Graph
from everygrad.report.distributions import distributions
from everygrad.report.explore import explore
from everygrad.report.maps import heat_maps
from everygrad.report.over_time import layers_in_time
from everygrad.report.picture import both_ends, formula, formulas, picture
from everygrad.report.record import Checked, Data, EpochRow, Quantity, Report
from everygrad.report.scores import scores
from everygrad.report.tensor_picture import tensor_of_layer
from everygrad.report.weight_maps import weight_maps
from everygrad.version import __version__

MOST_FORMULAS = 60


def build(
    network: Graph | Network,
    gradients: Gradients,
    *,
    check: CheckResult | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    data: Mapping[str, Any] | None = None,
    title: str | None = None,
) -> Report:
    """The record of one network on one batch.

    ``check`` is what `everygrad.checks.check` returned; ``history`` has one row per epoch with ``"epoch"``,
    ``"loss"`` and, if known, ``"accuracy"``, ``"validation_loss"``, ``"validation_accuracy"`` and
    ``"gradient_norms"``; ``data`` may have ``"name"``, ``"task"``, ``"source"``, ``"rows"``, ``"features"``
    and ``"classes"``. Raises `InputError` for a history row without epoch or loss. Cost: a few passes over the
    gradients; large arrays are sampled, and the record says so.
    """
    trace = gradients.trace
    loss = trace.graph.by_name[gradients.of]
    maps, total = heat_maps(gradients)
    described = _data(data)
    with np.errstate(all="ignore"):  # numbers that are not finite stay so
        accuracy, r_squared = scores(trace, gradients.of)
        recurrent = layers_in_time(gradients)
        drawn = picture(gradients)
        weights, matrices = weight_maps(gradients)
        return Report(
            title=title or (f"Gradients of a network on {described.name}" if described else "Gradients of a network"),
            version=__version__,
            network=repr(network) if isinstance(network, Graph) else str(network),
            parameters=sum(math.prod(trace.arrays[n.name].shape) for n in trace.nodes if n.role == "parameter"),
            library=namespace(gradients.loss).__name__.removeprefix("array_api_compat.").partition(".")[0],
            dtype=str(gradients.loss.dtype).removeprefix("torch."),
            samples=_samples(gradients),
            of=gradients.of,
            loss_formula=formula(gradients, loss),
            loss=float(to_numpy(gradients.loss).astype(np.float64).sum()),
            accuracy=accuracy,
            r_squared=r_squared,
            data=described,
            verdict=verdict(gradients),
            check=_checked(check),
            quantities=_quantities(gradients, check),
            flow=flow(gradients),
            layers=units(gradients),
            picture=drawn,
            formulas=tuple(both_ends(formulas(gradients), MOST_FORMULAS)),
            maps=maps,
            maps_total=total,
            history=tuple(_epoch(i, row) for i, row in enumerate(history)),
            time=recurrent,
            distributions=distributions(gradients),
            weights=weights,
            weights_total=matrices,
            tensor=None if trace.plan.scans else tensor_of_layer(gradients),
            explore=explore(gradients, drawn, described.classes if described else ()),
        )


def _samples(gradients: Gradients) -> int:
    trace = gradients.trace
    return next((int(trace.arrays[node.name].shape[0]) for node in trace.nodes if node.lead > 0), 1)


def _data(data: Mapping[str, Any] | None) -> Data | None:
    if data is None:
        return None
    rows = data.get("rows")
    return Data(
        name=str(data.get("name") or "data"),
        task=str(data.get("task") or ""),
        source=str(data.get("source") or ""),
        rows=None if rows is None else int(rows),
        features=_names(data, "features"),
        classes=_names(data, "classes"),
    )


def _names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = data.get(key)
    if names is None:
        return ()
    if isinstance(names, str) or not hasattr(names, "__iter__"):
        raise InputError(f"data[{key!r}] must be a sequence of names, got {type(names).__name__}")
    return tuple(str(name) for name in names)


def _checked(check: CheckResult | None) -> Checked | None:
    if check is None:
        return None
    largest = max(check.rows, key=lambda row: math.inf if math.isnan(row.error) else row.error, default=None)
    fault = next((row.fault for row in check.rows if row.name == check.culprit and row.fault), "")
    return Checked(
        ok=check.ok,
        oracle=check.oracle,
        quantities=len(check.rows),
        largest_error=math.nan if largest is None else float(largest.error),
        largest_at="" if largest is None else largest.name,
        culprit=check.culprit,
        fault=fault,
    )


def _quantities(gradients: Gradients, check: CheckResult | None) -> tuple[Quantity, ...]:
    checked = {} if check is None else {row.name: row for row in check.rows}
    known = gradients.rows()
    names = {name for name, *_ in known}
    known += [(row.name, "direct", row.shape, row.norm) for row in checked.values() if row.name not in names]
    quantities = []
    for name, role, shape, size in known:
        quantity = Quantity(name, role, shape, size)
        if name in checked:
            row = checked[name]
            outcome = {"error": float(row.error), "tolerance": float(row.tolerance), "ok": bool(row.ok)}
            quantity = replace(quantity, **outcome, how=row.how, fault=row.fault or "")
        quantities.append(quantity)
    return tuple(quantities)


def _epoch(position: int, row: Mapping[str, Any]) -> EpochRow:
    missing = [key for key in ("epoch", "loss") if row.get(key) is None]
    if missing:
        raise InputError(f"history row {position} has no {' and no '.join(map(repr, missing))}, it has {sorted(row)}")

    def number(key: str) -> float | None:
        return None if row.get(key) is None else float(row[key])

    norms = {str(name): float(value) for name, value in (row.get("gradient_norms") or {}).items()}
    return EpochRow(
        epoch=int(row["epoch"]),
        loss=float(row["loss"]),
        accuracy=number("accuracy"),
        validation_loss=number("validation_loss"),
        validation_accuracy=number("validation_accuracy"),
        gradient_norms=MappingProxyType(norms),
    )
