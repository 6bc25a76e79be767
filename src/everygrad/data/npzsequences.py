"""Sequences from NumPy archives: which steps count, what stands there, and every mismatch at once."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from everygrad.data.archive import Archive, check_finite, check_parts, first_of, plain
from everygrad.data.raw import Problems, Raw, Steps

LARGEST_TOKEN = 1_000_000
"""Tokens count from 0: a network has a row of numbers for each up to the largest."""

Arrays = Mapping[str, np.ndarray]


def looks_like_sequences(x: np.ndarray, y: np.ndarray, archive: Archive) -> bool:
    """Whether these arrays make no sense as rows of features: only then are they taken for sequences unasked."""
    marked = any(name + part in archive for name in ("lengths", "mask") for part in ("", "_train"))
    is_tokens = x.ndim == 2 and x.dtype.kind in "iu"
    labels_of_steps = y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "iubU" and y.shape == x.shape[:2]
    return (marked and (x.ndim == 3 or is_tokens)) or (x.ndim == 3 and (y.ndim == 3 or labels_of_steps))


def sequences_of(path: Path, archive: Archive, arrays: Arrays) -> Raw:
    """The sequences of an archive whose x and y have been read; see `everygrad.data.load`."""
    problems = Problems(str(path))
    names = list(arrays)
    x_names, y_names = names[::2], names[1::2]
    arrays = {name: plain(array) if name in y_names else array for name, array in arrays.items()}
    parts = ("",) if len(x_names) == 1 else ("_train", "_test")
    steps = {}
    for name in ("lengths", "mask", "weight"):
        there = [name + part for part in parts if name + part in archive]
        steps |= {found: archive.read(found) for found in there}
        if len(there) == 1 < len(parts):
            problems.add(f"{there[0]!r} is there, and not that of the other part")
    if any(name.startswith("lengths") for name in steps) and any(name.startswith("mask") for name in steps):
        problems.add("lengths and mask both say which steps count: leave one of them out")
    used = [_check(part, x, y, arrays, steps, problems) for part, x, y in zip(parts, x_names, y_names, strict=True)]
    check_parts({**arrays, **steps}, problems)
    if len({_holds_tokens(arrays[name]) for name in x_names}) > 1:
        problems.add("one of x_train and x_test holds tokens (whole numbers), the other one does not")
    problems.raise_any()
    x = np.concatenate([arrays[name] for name in x_names])
    y = np.concatenate([arrays[name] for name in y_names])
    counted = np.concatenate([mask for mask in used if mask is not None])
    per_step = _is_per_step(x, y)
    given = "lengths" if "lengths" + parts[0] in steps else "mask" if "mask" + parts[0] in steps else None
    weight = None
    if f"weight{parts[0]}" in steps:
        weights = np.concatenate([steps[f"weight{part}"] for part in parts]).astype(np.float64)
        weight = np.where(counted, weights if weights.ndim == 2 else weights[:, None], 0.0) if per_step else weights
    features = ("token",)
    if _holds_tokens(x):
        x = np.where(counted, x, 0).astype(np.int64)
    else:
        x = x if x.ndim == 3 else x[..., None]
        x = np.where(counted[..., None], x, 0).astype(np.float64)
        features = archive.texts("features", x.shape[2]) or tuple(f"x{i}" for i in range(x.shape[2]))
    return Raw(
        name=path.stem,
        source=path.name,
        x=x,
        y=y,
        features=features,
        target=y_names[0],
        classes=archive.texts("classes"),
        trained=len(arrays[x_names[0]]) if len(parts) > 1 else None,
        steps=Steps(counted, given, per_step, weight),
    )


def _holds_tokens(x: np.ndarray) -> bool:
    return x.ndim == 2 and x.dtype.kind in "iu"


def _is_per_step(x: np.ndarray, y: np.ndarray) -> bool:
    return y.ndim == 3 or (y.ndim == 2 and y.shape[1] == x.shape[1])


def _check(part: str, x_name: str, y_name: str, arrays: Arrays, steps: Arrays, problems: Problems) -> np.ndarray | None:
    """Which steps of one part count, (rows, time); None if that cannot be said."""
    x, y = arrays[x_name], arrays[y_name]
    is_numeric, is_sequence = x.dtype.kind in "biuf", x.ndim in (2, 3) and x.size > 0
    if not is_numeric:
        problems.add(f"{x_name!r} has dtype {x.dtype}, expected real numbers, or whole ones for tokens")
    if not is_sequence:
        problems.add(f"{x_name!r} has shape {x.shape}, expected (rows, time, features), or (rows, time) for tokens")
    given = {name: steps[name + part] for name in ("lengths", "mask", "weight") if name + part in steps}
    alike = True
    for name, array in ((y_name, y), *((name + part, array) for name, array in given.items())):
        if x.ndim and array.ndim and len(array) != len(x):
            problems.add(f"{x_name!r} has {len(x)} rows, {name!r} has {len(array)}")
            alike = False
    before = problems.count
    _check_target(y_name, y, x if is_sequence and alike else None, problems)
    target_fits = problems.count == before
    used = _used(part, given, x, problems) if is_sequence and alike else None
    if used is None:
        return None
    if _holds_tokens(x):
        bad = used & ((x < 0) | (x > LARGEST_TOKEN))
        if bad.any():
            problems.add(f"{first_of(x_name, x, bad)}: tokens count from 0, at most to {LARGEST_TOKEN:,}")
    check_finite(x_name, x, problems, used)
    if target_fits:
        check_finite(y_name, y, problems, used if _is_per_step(x, y) else None)
        if "weight" in given:
            _check_weight(f"weight{part}", given["weight"], used if _is_per_step(x, y) else None, problems)
    return used if is_numeric else None


def _check_target(name: str, y: np.ndarray, x: np.ndarray | None, problems: Problems) -> None:
    expected = "(rows,) or (rows, outputs), or per step (rows, time) or (rows, time, outputs)"
    if y.dtype.kind not in "biufU":
        problems.add(f"{name!r} has dtype {y.dtype}, expected numbers or text")
    if y.ndim not in (1, 2, 3) or not y.size:
        problems.add(f"{name!r} has shape {y.shape}, expected {expected}")
    elif x is not None and y.ndim == 3 and y.shape[:2] != x.shape[:2]:
        problems.add(f"{name!r} has shape {y.shape} for {x.shape[1]} steps, expected {expected}")
    elif x is not None and y.ndim == 2 and y.dtype.kind in "biuU" and y.shape[1] not in (1, x.shape[1]):
        problems.add(f"{name!r} has {y.shape[1]} labels in a row of {x.shape[1]} steps: one per row or one per step")


def _used(part: str, given: Arrays, x: np.ndarray, problems: Problems) -> np.ndarray | None:
    rows, time = x.shape[:2]
    if "lengths" in given:
        name, lengths = f"lengths{part}", given["lengths"]
        if lengths.dtype.kind not in "iu" or lengths.shape != (rows,):
            problems.add(f"{name!r} has shape {lengths.shape}, {lengths.dtype}, expected ({rows},) of whole numbers")
            return None
        bad = (lengths < 1) | (lengths > time)
        if bad.any():
            problems.add(f"{first_of(name, lengths, bad)}: a row has 1 to {time} steps")
            return None
        return np.arange(time) < lengths[:, None]
    if "mask" in given:
        name, mask = f"mask{part}", given["mask"]
        is_truth = mask.dtype.kind == "b" or (mask.dtype.kind in "iuf" and np.isin(mask, (0, 1)).all())
        if not is_truth or mask.shape != (rows, time):
            came = f"{name!r} has shape {mask.shape}, {mask.dtype}"
            problems.add(f"{came}, expected ({rows}, {time}) of true and false, or 1 and 0")
            return None
        empty = np.flatnonzero(~mask.astype(bool).any(axis=1))
        if empty.size:
            more = f", and {empty.size - 1} more rows" if empty.size > 1 else ""
            problems.add(f"{name!r} has no step in row {empty[0]}{more}: leave rows without a step out")
            return None
        return mask.astype(bool)
    return np.ones((rows, time), dtype=bool)


def _check_weight(name: str, weight: np.ndarray, used: np.ndarray | None, problems: Problems) -> None:
    """``used`` (rows, time) if the target is per step, else None."""
    shapes = ["(rows,)"] if used is None else ["(rows,)", "(rows, time)"]
    fits = weight.ndim == 1 or (used is not None and weight.shape == used.shape)
    if weight.dtype.kind not in "biuf" or not fits:
        kind = "one target for each row" if used is None else "targets per step"
        shown = " or ".join(shapes)
        problems.add(f"{name!r} has shape {weight.shape}, {weight.dtype}, expected numbers {shown} for {kind}")
        return
    counted = used if weight.ndim == 2 else None
    check_finite(name, weight, problems, counted)
    bad = (weight < 0) if counted is None else (weight < 0) & counted
    if bad.any():
        problems.add(f"{first_of(name, weight, bad)}: weights are not negative")
