"""The numbers that the page's script looks up: part of the record, as compact JSON in an element of the page.

The JSON is one object. ``reports`` has one entry for each network, in the order of the page::

    {"reports": [{"name": "64-32-16-10, tanh", "explore": null | Explore}, ...]}

An *array* is written in one of three ways, ``shape`` first, entries in row-major order::

    {"shape": [6, 32], "f4": "AACAPw..."}        base64 of little-endian numbers of the kind the key names:
                                                 f4 float32, u1 uint8, u2 uint16, u4 uint32
    {"shape": [6, 24, 8], "f4": "...", "only": {"u2": "..."}}
                                                 nearly all zero: the numbers of f4 stand at the places in "only"
    {"shape": [2, 2], "n": [0.5, 1e-60, "NaN", "-Infinity"]}
                                                 numbers of 6 digits, where float32 has not got the range; those
                                                 that JSON has not are the strings "NaN", "Infinity", "-Infinity"

Explore::

    {"of": "loss",
     "note": "",                                 what was left out, in words, or ""
     "samples": [{"index": 17, "label": "3", "predicted": "5", "loss": 0.31}, ...],
     "layers": [Layer, ...],                     of a chain, in the order of the picture's columns; else []
     "steps": [Steps, ...]}                      of recurrent layers, one for each direction; else []

Layer (S samples, U units shown)::

    {"name": "h1", "before": "a1", "units": 32, "shown": [0, 1, ...],
     "formulas": ["h1[{unit}] = tanh(a1[{unit}]) = tanh({a}) = {h}", ...],    marks: {unit} {a} {h} {slope} {grad_a}
                                                                              {grad_h}, any number of times each
     "a": array [S, U] | null, "h": array [S, U], "slope": array | null, "grad_a": array | null, "grad_h": array,
     "paths": null |
       {"way": ["a2", "h2", "a3", "loss"],       what every path meets after the unit, in this order
        "at": [0, 0, 1, -1],                     way[i] is met in unit units[..., at[i]]; -1: it is one number
        "hops": [{"name": "h2", "layer": 2}, {"name": "a3", "layer": 3}],
                                                 the layers these units are drawn in; layer: place in "layers", or null
        "count": "160",                          paths from one unit, decimal digits (can be hundreds of them)
        "pool": array [P],                       the different factors
        "units": array [S, U, k, H],             uint; the largest number of its kind (255, 65535): no such path
        "factors": array [S, U, k, W],           uint, places in pool; W = way.length
        "products": array [S, U, k],             best first; NaN: no such path
        "remainder": array [S, U]}}              of the others; sum of products + remainder = grad_h

Steps (T steps shown)::

    {"label": "l0", "name": "l0: h, c", "reverse": false, "steps": 64, "at": [0, 2, ...],    in the order of time
     "present": array [S, T],                    uint8, 1 where the sequence has the step; elsewhere numbers are 0
                                                 and mean nothing
     "quantities": [
       {"name": "h", "kind": "state" | "gate" | "other", "units": 32, "shown": [3, 7, ...],
        "formula": "h = o*tanh(c)",
        "value": array [S, T, U], "total": array [S, T, U], "direct": array [S, T, U],
        "terms": [                               of states, else []; their sum is total
          {"consumer": "out", "when": "outside", "text": "what the loss reads of it: out", "values": array [S, T, U]},
          {"consumer": "a_i", "when": "next", "text": "a_i of the next step", "values": array [S, T, U]}, ...]}]}
"""

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from everygrad.report.explore_record import (
    Explore,
    ExploredLayer,
    ExploredPaths,
    ExploredQuantity,
    ExploredSample,
    ExploredSteps,
)
from everygrad.report.json_ import special
from everygrad.report.record import Report
from everygrad.report.time_tables import names_of
from everygrad.report.words import clean

FEW = 8
"""Arrays of fewer numbers are written as numbers."""
SPARSE = 3
"""An array is written sparsely if this many times its numbers other than 0 are fewer than its entries."""
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_FLOAT32 = np.finfo(np.float32)


def island(reports: Sequence[Report]) -> str:
    """The JSON of these reports, which can stand in a ``<script>`` element as it is: no ``<``, no ``&`` is in it."""
    content = [
        {"name": clean(name), "explore": None if report.explore is None else _explore(report.explore)}
        for report, name in zip(reports, names_of(reports), strict=True)
    ]
    text = json.dumps({"reports": content}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def _explore(explore: Explore) -> dict[str, Any]:
    return {
        "of": clean(explore.of),
        "note": clean(explore.note, 1000),
        "samples": [_sample(sample) for sample in explore.samples],
        "layers": [_layer(layer) for layer in explore.layers],
        "steps": [_steps(layer) for layer in explore.steps],
    }


def _sample(sample: ExploredSample) -> dict[str, Any]:
    return {
        "index": sample.index,
        "label": clean(sample.label),
        "predicted": clean(sample.predicted),
        "loss": None if sample.loss is None else digits(sample.loss),
    }


def _layer(layer: ExploredLayer) -> dict[str, Any]:
    arrays = {key: getattr(layer, key) for key in ("a", "h", "slope", "grad_a", "grad_h")}
    return {
        "name": clean(layer.name),
        "before": clean(layer.before),
        "units": layer.units,
        "shown": layer.shown,
        "formulas": [clean(formula, 400) for formula in layer.formulas],
        **{key: None if x is None else packed(x) for key, x in arrays.items()},
        "paths": None if layer.paths is None else _paths(layer.paths),
    }


def _paths(paths: ExploredPaths) -> dict[str, Any]:
    factors = paths.factors.astype(np.float32) if _fits(paths.factors) else paths.factors
    pool, places = np.unique(factors, return_inverse=True)
    return {
        "way": [clean(name) for name in paths.way],
        "at": paths.at,
        "hops": [{"name": clean(hop.name), "layer": hop.layer} for hop in paths.hops],
        "count": paths.count,
        "pool": packed(pool.astype(np.float64)),
        "units": _whole(paths.units),
        "factors": _whole(places.reshape(paths.factors.shape)),
        "products": packed(paths.products),
        "remainder": packed(paths.remainder),
    }


def _steps(layer: ExploredSteps) -> dict[str, Any]:
    return {
        "label": clean(layer.label),
        "name": clean(layer.name),
        "reverse": layer.reverse,
        "steps": layer.steps,
        "at": layer.at,
        "present": _whole(layer.present.astype(int)),
        "quantities": [_quantity(quantity, layer.present) for quantity in layer.quantities],
    }


def _quantity(quantity: ExploredQuantity, present: np.ndarray) -> dict[str, Any]:
    def numbers(x: np.ndarray) -> dict[str, Any]:
        return packed(np.where(present[..., None], x, 0.0))

    return {
        "name": clean(quantity.name),
        "kind": quantity.kind,
        "units": quantity.units,
        "shown": quantity.shown,
        "formula": clean(quantity.formula, 400),
        **{key: numbers(getattr(quantity, key)) for key in ("value", "total", "direct")},
        "terms": [
            {
                "consumer": clean(term.consumer),
                "when": term.when,
                "text": clean(term.text, 200),
                "values": numbers(term.values),
            }
            for term in quantity.terms
        ],
    }


def packed(x: np.ndarray) -> dict[str, Any]:
    """An array of numbers in the shortest of the three ways that keeps them."""
    flat = x.reshape(-1)
    if flat.size < FEW or not _fits(flat):
        return {"shape": x.shape, "n": [digits(v) for v in flat.tolist()]}
    places = np.flatnonzero(flat)  # NaN is not 0
    if SPARSE * len(places) < flat.size:
        only = _whole(places)
        return {"shape": x.shape, **_base64("f4", flat[places]), "only": {k: only[k] for k in only if k != "shape"}}
    return {"shape": x.shape, **_base64("f4", flat)}


def digits(value: float) -> float | str:
    """Six digits; NaN and infinities as strings."""
    return special(float(f"{value:.6g}"))


def _fits(x: np.ndarray) -> bool:
    """Whether float32 has the range of these numbers: the smallest ones keep all its digits."""
    size = np.abs(x[np.isfinite(x) & (x != 0)])
    return not size.size or bool(size.min() >= _FLOAT32.tiny and size.max() <= _FLOAT32.max)


def _whole(x: np.ndarray) -> dict[str, Any]:
    """Whole numbers from 0; −1 becomes the largest number of the kind."""
    largest = int(x.max(initial=0))
    kind = "u1" if largest < 2**8 - 1 else "u2" if largest < 2**16 - 1 else "u4"
    return {"shape": x.shape, **_base64(kind, x.reshape(-1))}


def _base64(kind: str, flat: np.ndarray) -> dict[str, str]:
    return {kind: base64.b64encode(flat.astype(f"<{kind}").tobytes()).decode("ascii")}
