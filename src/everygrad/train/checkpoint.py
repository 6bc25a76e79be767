"""Checkpoints: everything that the next epoch depends on, in one safetensors file; nothing is unpickled.

The file is replaced as a whole. A digest over numbers and text tells a damaged file from a good one.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import safetensors
import safetensors.numpy

from everygrad.engines import Array, kind_of, to_numpy
from everygrad.errors import FileFormatError, InputError
from everygrad.storage import write_atomic
from everygrad.train.records import Epoch

FORMAT = "everygrad checkpoint"
VERSION = 1
LISTED = 20
"""Differences that an error lists."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A training between two epochs: with the setting, all that decides how it goes on.

    ``memory`` is the optimiser's state, ``random`` that of the random generator, ``best`` the
    parameters after epoch ``best_epoch`` (0: those of the start).
    """

    params: dict[str, Array]
    memory: dict[str, Array]
    random: Mapping[str, Any]
    history: tuple[Epoch, ...]
    best: dict[str, Array]
    best_epoch: int

    def groups(self) -> dict[str, dict[str, Array]]:
        """The arrays, by what they are."""
        return {"params": self.params, "best": self.best, "optimizer": self.memory}


def write(path: Path, state: State, setting: Mapping[str, Any]) -> None:
    """Write a checkpoint; raises `InputError` if that cannot be done.

    Whatever cuts this short, the file at ``path`` is the old one or the new one, complete.
    """
    tensors = {
        f"{group}/{name}": np.asarray(to_numpy(array), order="C")  # safetensors scrambles any other order
        for group, arrays in state.groups().items()
        for name, array in arrays.items()
    }
    history = [asdict(epoch) for epoch in state.history]
    content = {"setting": setting, "random": state.random, "history": history, "best_epoch": state.best_epoch}
    text = json.dumps(content, default=_encode, allow_nan=False)
    named = {"format": FORMAT, "version": str(VERSION), "content": text, "digest": _digest(tensors, text)}
    write_atomic(path, safetensors.numpy.save(tensors, named))


def read(path: Path, fresh: State, setting: Mapping[str, Any]) -> State:
    """The state in a checkpoint, its arrays like those of ``fresh``, the state of a new training.

    Raises `FileFormatError` for a file that is damaged or no checkpoint, `InputError` with every
    difference if it belongs to another training.
    """
    tensors, content = _open(path)
    try:
        _compare(path, content["setting"], setting)
        history = tuple(Epoch(**row) for row in content["history"])
        best_epoch, random = int(content["best_epoch"]), dict(content["random"])
    except (AttributeError, KeyError, TypeError) as error:
        raise FileFormatError(f"{path} is no complete checkpoint: {type(error).__name__} {error}") from error
    found: dict[str, dict[str, Array]] = {}
    for group, arrays in fresh.groups().items():
        found[group] = {name: _like(path, tensors.get(f"{group}/{name}"), name, a) for name, a in arrays.items()}
    return State(found["params"], found["optimizer"], random, history, found["best"], best_epoch)


def _like(path: Path, found: np.ndarray | None, name: str, array: Array) -> Array:
    """What the file holds for ``name``, as an array like ``array``."""
    wanted = to_numpy(array)
    if found is None:
        raise FileFormatError(f"{path} is no complete checkpoint: {name!r} is missing")
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        came = f"shape {found.shape} and dtype {found.dtype}"
        raise FileFormatError(f"{path}: {name!r} has {came}, expected {wanted.shape} and {wanted.dtype}")
    return kind_of(array).asarray(found)


def _open(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if not path.is_file():
        raise FileFormatError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}, expected a checkpoint")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            named = file.metadata() or {}
            if named.get("format") != FORMAT:
                raise FileFormatError(f"{path} is a safetensors file, but no checkpoint of a training")
            if named.get("version") != str(VERSION):
                came = named.get("version")
                raise FileFormatError(f"{path} is a checkpoint of version {came}, this everygrad reads {VERSION}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        if named.get("digest") != _digest(tensors, named.get("content", "")):
            raise FileFormatError(f"{path} is damaged: it does not hold what was written")
        return tensors, dict(json.loads(named["content"], object_hook=_decode))
    except (safetensors.SafetensorError, KeyError, TypeError, RecursionError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{path} is truncated, or no checkpoint: {error}") from error


def _compare(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """One error with every setting that differs."""
    left, right = _flat(there), _flat(here)
    lines = [
        f"{key}: {left.get(key, 'nothing')} in the checkpoint, {right.get(key, 'nothing')} here"
        for key in [*right, *(key for key in left if key not in right)]
        if left.get(key) != right.get(key)
    ]
    if lines:
        more = [f"and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
        head = f"{path} belongs to another training: undo what differs, or give the new training another file"
        raise InputError("\n  - ".join([head, *lines[:LISTED], *more]))


def _flat(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Names of both levels joined: there are two at most."""
    flat: dict[str, Any] = {}
    for key, value in setting.items():
        flat |= {f"{key} {inner}": v for inner, v in value.items()} if isinstance(value, Mapping) else {key: value}
    return flat


def _digest(tensors: Mapping[str, np.ndarray], text: str) -> str:
    seen = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        seen.update(f"{name} {tensors[name].dtype.str} {tensors[name].shape} ".encode())
        seen.update(tensors[name].reshape(-1).data)
    return seen.hexdigest()


def _encode(value: object) -> object:
    """Arrays and numbers of NumPy, which some random generators keep in their state, as JSON."""
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "values": value.tolist()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a checkpoint holds numbers, texts and arrays, got {type(value).__name__}")


def _decode(value: dict[str, Any]) -> object:
    return np.array(value["values"], np.dtype(value["dtype"])) if value.keys() == {"dtype", "values"} else value
