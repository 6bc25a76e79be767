"""A cell's run and sweep over torch tensors on the CPU, done on NumPy arrays that share their memory."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from everygrad.backprop.replay import Later, replayed
from everygrad.backprop.template import exchanged
from everygrad.engines import Kind, kind_of
from everygrad.graph.time import Cell, Run, Sweep, run, sweep

Tensors = Mapping[str, torch.Tensor]


def run_of(cell: Cell, x: torch.Tensor, states: Tensors, parameters: Tensors, mask: torch.Tensor | None = None) -> Run:
    """`graph.time.run`; from the second call with these shapes on as straight-line code."""
    given = {"x": x, **_named("state", states), **_named("parameter", parameters)}
    given |= {} if mask is None else {"mask": mask}
    if not all(map(_shared, given.values())):
        return run(cell, x, states, parameters, mask)

    def compute(arrays: Any) -> tuple[Run, Tensors]:
        states, parameters = _part("state", arrays), _part("parameter", arrays)
        return run(cell, arrays["x"], states, parameters, arrays.get("mask")), {}

    found, _ = replayed(cell.graph.memo, "run", compute, _views(given))
    return _as_tensors(found, kind_of(x))


def sweep_of(ran: Run, direct: Tensors, final: Tensors, carry: bool = True) -> Sweep:
    """`graph.time.sweep`; from the second call with these shapes on as straight-line code.

    Then the gradients of the parameters are made when they are asked for: autograd has those already.
    """
    given = {**_named("value", ran.values), **_named("final", ran.final), **_named("direct", direct)}
    given |= _named("arrived", final) | ({} if ran.mask is None else {"mask": ran.mask})
    if not all(map(_shared, given.values())):
        return sweep(ran, direct, final, carry)

    def compute(arrays: Any) -> tuple[Sweep, Tensors]:
        values, last = _part("value", arrays), _part("final", arrays)
        again = Run(ran.cell, values, ran.shapes, last, arrays.get("mask"), kind_of(values[ran.cell.input]))
        found = sweep(again, _part("direct", arrays), _part("arrived", arrays), carry)
        return replace(found, parameters=MappingProxyType({})), found.parameters

    key = ("sweep", carry, tuple(ran.shapes.items()))
    found, parameters = replayed(ran.cell.graph.memo, key, compute, _views(given))
    later = Later(parameters, lambda: _as_tensors(dict(parameters), ran.kind))
    return replace(_as_tensors(found, ran.kind), parameters=later)


def _named(what: str, tensors: Tensors) -> dict[str, torch.Tensor]:
    return {f"{what} {name}": tensor for name, tensor in tensors.items()}


def _part(what: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    start = f"{what} "
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def _shared(tensor: torch.Tensor) -> bool:
    """Whether NumPy can read and write the tensor's memory."""
    return type(tensor) is torch.Tensor and tensor.device.type == "cpu" and not tensor.requires_grad


def _views(tensors: Tensors) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _as_tensors(record: Any, kind: Kind) -> Any:
    def tensor(value: Any) -> Any:
        if isinstance(value, Kind):
            return kind
        plain = value.flags.writeable and all(stride >= 0 for stride in value.strides)
        return torch.from_numpy(value if plain else value.copy())

    return exchanged(record, lambda value: isinstance(value, Kind | np.ndarray), tensor)
