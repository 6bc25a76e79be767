"""A function of arrays that is done again and again: as it is at first, then as straight-line code."""

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, final

import numpy as np

from everygrad.backprop.template import Places, exchanged, filled, is_array_or_kind
from everygrad.engines import kind_of
from everygrad.engines.compiled.choice import engine
from everygrad.engines.compiled.threads import running
from everygrad.engines.pool import Pool, using
from everygrad.engines.program.places import live, once
from everygrad.engines.program.recorded import Recorder, Value
from everygrad.engines.program.whole import Whole

Now = TypeVar("Now")
Arrays = Mapping[Any, np.ndarray]
Compute = Callable[[Any], tuple[Now, Mapping[str, Any]]]
"""Arrays by name -> (a record of arrays such as a `Run` or a `Sweep`, arrays that may be asked for later)."""
MOST_KEPT = 64
"""Codes kept in one memory; arrays of ever new sizes must not fill it."""


@final
class Later(Mapping[str, Any]):
    """Arrays by name: those that are there, and others that are made when the first of them is asked for."""

    def __init__(
        self,
        names: Iterable[str],
        make: Callable[[], Mapping[str, Any]],
        there: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._there, self._names, self._make = there, dict.fromkeys((*there, *names)), make
        self._made: Mapping[str, Any] | None = None

    def __getitem__(self, name: str) -> Any:
        if name in self._there:
            return self._there[name]
        if name not in self._names:
            raise KeyError(name)
        if self._made is None:
            self._made = self._make()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def replayed(
    memo: dict[Hashable, Any], key: Hashable, compute: Compute[Now], arrays: Mapping[str, np.ndarray]
) -> tuple[Now, Mapping[str, Any]]:
    """``compute(arrays)``; from the second time on as straight-line code, the second part when it is asked for.

    ``key`` and the arrays' names, shapes and dtypes determine what is done. Raises what ``compute`` raises.
    """
    codes = memo.setdefault("replays", {})
    pool = memo.setdefault("pool of replays", Pool())
    whole = (key, engine(), *((name, a.shape, a.dtype) for name, a in arrays.items()))
    code = codes.get(whole, "never")
    with np.errstate(all="ignore"), using(pool):
        if code == "never":
            if len(codes) >= MOST_KEPT:
                codes.clear()
            codes[whole] = "once"
            return compute(arrays)
        if code == "once":
            try:
                code = Replay(compute, arrays, pool)
            except Exception as error:  # whatever it was: it is done as it is, or raises the same again
                logging.getLogger("everygrad").debug("no straight-line code: %s", error, exc_info=True)
                code = None
            codes[whole] = code
        return compute(arrays) if code is None else code(arrays)


@final
class Replay:
    """The code of such a function of these arrays. Raises `NotRecordableError`, and what the function raises.

    It is in two parts; the second one goes on with what the first has made.
    """

    def __init__(self, compute: Compute[Any], arrays: Mapping[str, np.ndarray], pool: Pool) -> None:
        recorder = Recorder()
        given = {name: recorder.given(array) for name, array in arrays.items()}
        like = kind_of(next(iter(arrays.values())))
        now, then = compute(MappingProxyType(given))
        places = Places(recorder, {recorder.value_of(array).number: name for name, array in given.items()}, like)
        self._now = exchanged(now, is_array_or_kind, places)
        first = dict(places.others)
        self._then = exchanged(dict(then), is_array_or_kind, places)
        second = {name: value for name, value in places.others.items() if name not in first}
        values = {name: recorder.value_of(array) for name, array in given.items()}
        needed = _needed(recorder, first.values(), second.values())
        self._pool, self._engine = pool, engine()
        own = {**first, **{("needed", value.number): value for value in needed}}
        self._function = _function(recorder, values, own)
        more = {f"needed {value.number}": value for value in needed}
        self._second = _function(recorder, {**values, **more}, second) if second else None
        self._needed = [("needed", value.number) for value in needed]

    def __call__(self, arrays: Mapping[str, np.ndarray]) -> tuple[Any, Mapping[str, Any]]:
        found = self._function(*arrays.values())

        def make() -> Any:
            second = {}
            if self._second is not None:
                with np.errstate(all="ignore"), using(self._pool), running(self._engine):
                    second = self._second(*arrays.values(), *(found[name] for name in self._needed))
            return filled(self._then, {**arrays, **found, **second})

        return filled(self._now, {**arrays, **found}), Later(self._then, make)


def _needed(recorder: Recorder, first: Iterable[Value], second: Iterable[Value]) -> list[Value]:
    """What is made on the way to the first values and read on the way to the second ones."""
    calls, same = once(recorder.calls)
    own, other = ([Value(same.get(value.number, value.number)) for value in part] for part in (first, second))
    made = {value.number for call in live(calls, own) for value in call.results}
    rest = [call for call in live(calls, other) if call.result.number not in made]
    read = [value for call in rest for value in call.reads] + other
    return list(dict.fromkeys(value for value in read if value.number in made))


def _function(recorder: Recorder, given: Mapping[str, Value], found: Mapping[Any, Value]) -> Callable[..., Arrays]:
    whole = Whole(recorder, given, {"found": found}, [])
    return whole.function(whole.text("replayed"), "replayed")
