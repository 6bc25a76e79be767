"""A report as JSON: the record itself, in schema version 1."""

import dataclasses
import json
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from everygrad.diagnose import worst
from everygrad.report.record import Report

SCHEMA = "everygrad-report"
VERSION = 1


def to_json(report: Report, *others: Report) -> str:
    """The record as JSON, floats with all their digits; NaN and infinities are the strings of `special`.

    ``others``: networks that are compared with it, in the order given; ``level`` is the worst of all. The schema is
    `schema`; it comes with the package. A field is never renamed within a version.
    """
    content = {
        "schema": SCHEMA,
        "version": VERSION,
        "level": worst([report.level, *(other.level for other in others)]),
        "report": _plain(report),
        "compared": [_plain(other) for other in others],
    }
    return json.dumps(content, ensure_ascii=True, allow_nan=False, indent=1) + "\n"


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every report of this version satisfies."""
    text = resources.files("everygrad.report").joinpath("report-1.schema.json").read_text("utf-8")
    return json.loads(text)


def special(value: float) -> float | str:
    """``"NaN"``, ``"Infinity"``, ``"-Infinity"``, or the number: JSON has no others."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _plain(value: Any) -> Any:
    """Records as objects, arrays and tuples as lists; the records nest a few levels, never with the network's depth."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return special(float(value))
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
