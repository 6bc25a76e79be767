"""The record of a pass with its arrays exchanged: what a compiled pass fills with its own."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, final

import numpy as np

from everygrad.backprop.direct import Direct
from everygrad.backprop.gradients import Gradients
from everygrad.backprop.trace import Trace
from everygrad.engines import Kind
from everygrad.engines.program.recorded import Recorded, Recorder, Value
from everygrad.graph.time import Run, Segments, Sweep

RECORDS = (Trace, Run, Segments, Sweep)
"""What `Gradients` consists of, besides mappings of arrays."""


@final
@dataclass(frozen=True, slots=True)
class Place:
    """Stands for the array of this name among those that a compiled pass gives."""

    at: Any


@final
class Places:
    """Called with the arrays of a record that was recorded, it gives the place of each; kinds become ``like``.

    ``known``: the number of a value -> its name. What has none gets one, and is in ``others``.
    """

    def __init__(self, recorder: Recorder, known: dict[int, Any], like: Kind) -> None:
        self._recorder, self._known, self._like = recorder, known, like
        self.others: dict[Any, Value] = {}

    def __call__(self, array: Any) -> Any:
        if isinstance(array, Kind):
            return self._like
        value = self._recorder.value_of(array)
        if value.number not in self._known:
            self._known[value.number] = f"array {len(self.others) + 1}"
            self.others[self._known[value.number]] = value
        return Place(self._known[value.number])


def is_array_or_kind(value: Any) -> bool:
    """Whether it is what changes from one pass to the next in a record of NumPy's or recorded arrays."""
    return isinstance(value, Kind | Recorded | np.ndarray)


def filled(record: Any, arrays: Any) -> Any:
    """The record with an array for each place: ``arrays[place.at]``."""
    return exchanged(record, lambda value: isinstance(value, Place), lambda place: arrays[place.at])


def exchanged(value: Any, chosen: Callable[[Any], bool], change: Callable[[Any], Any]) -> Any:
    """The same record with what is chosen in it, arrays or what stands for them, changed."""
    if chosen(value):
        return change(value)
    if isinstance(value, dict | MappingProxyType):
        return MappingProxyType({name: exchanged(item, chosen, change) for name, item in value.items()})
    if isinstance(value, RECORDS):
        own = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **{name: exchanged(item, chosen, change) for name, item in own.items()})
    if isinstance(value, Gradients):
        trace, arrays, sweeps = (exchanged(v, chosen, change) for v in (value.trace, value.arrays, value.sweeps))
        arrived = exchanged(value.direct.arrived, chosen, change) if isinstance(value.direct, Direct) else {}
        return Gradients(trace, value.of, arrays, sweeps, Direct(trace, arrays, arrived))
    return value
