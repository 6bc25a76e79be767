"""From a network to a file: written beside the old one, read back, compared, and only then renamed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from everygrad.engines import Array, is_array, to_numpy
from everygrad.errors import FileFormatError, InputError, all_mismatches
from everygrad.files.architecture import Savable, describe, savable
from everygrad.files.container import pack
from everygrad.files.document import FORMAT, MAX_HEADER, VERSION, digest, read_json, write_json
from everygrad.files.load import read
from everygrad.files.parameters import mismatches
from everygrad.graph import Shape
from everygrad.storage import write_atomic


def save(path: str | os.PathLike[str], net: object, params: Mapping[str, Array], notes: Any = None) -> None:
    """Write a network and its parameters: ``eg.save("digits.safetensors", net, params)``.

    The file is an ordinary safetensors file, so that other programs can take the arrays; the architecture is JSON
    in its metadata: the constructor's arguments of a `FeedForward` or a `Recurrent` network, the nodes of a `Graph` or
    `GraphNetwork`. A cell of one's own is written as its graph: what is loaded makes the same graph without the code.
    Parameters may be NumPy, torch or JAX arrays, float32 or float64, and are written as they are. ``notes`` are
    kept with them: texts, numbers, lists, and dicts with text keys (`read` gives them back).

    The content goes to a new file in the same folder, is flushed to the disk, read back and compared bit for bit,
    and then renamed: whatever happens, ``path`` holds the old file or the new one. Raises `InputError` with every
    parameter that is missing, extra, or of a wrong shape or dtype, and if the file cannot be written;
    `UnsupportedError` with each operation of one's own, which a file could only hold as code.
    """
    network = savable(net)
    description = describe(network)
    arrays = _arrays(network, params)
    document: dict[str, Any] = {"format": FORMAT, "version": VERSION, "network": description, "notes": _notes(notes)}
    document["sha256"] = digest(document, arrays)
    content = pack(arrays, write_json(document))
    if int.from_bytes(content[:8], "little") > MAX_HEADER:
        raise InputError(
            f"architecture and notes take more than the {MAX_HEADER:,} bytes that a file may have for them"
        )

    def verify(temporary: Path) -> None:
        again = read(temporary, max_bytes=len(content))
        same = set(again.params) == set(arrays) and all(_same_bits(again.params[key], a) for key, a in arrays.items())
        if not same or describe(again.network) != description or again.notes != document["notes"]:
            raise FileFormatError(f"{path}: what was read back differs from what was written; nothing was changed")

    write_atomic(Path(path), content, verify)


def _arrays(net: Savable, params: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """The parameters as C-contiguous arrays (safetensors writes others wrongly), of this machine's byte order."""
    if not isinstance(params, Mapping):
        raise InputError(f"params must be a dict of arrays by name, got {type(params).__name__}")
    arrays: dict[str, np.ndarray] = {}
    found: dict[str, tuple[Shape, str] | None] = {}
    problems = []
    for name, value in params.items():
        found[name] = None
        if not is_array(value):
            problems.append(f"parameter {name!r} is a {type(value).__name__}, expected an array")
            continue
        try:
            array = to_numpy(value)
        except TypeError:  # torch's bfloat16, a traced array
            problems.append(f"parameter {name!r} ({value.dtype}) cannot be turned into a NumPy array")
            continue
        if array.dtype.kind == "f":
            array = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
        arrays[name], found[name] = array, (array.shape, str(array.dtype))
    all_mismatches("params", problems + mismatches(net, found))
    return arrays


def _notes(notes: Any) -> Any:
    try:
        again = read_json(write_json(notes), "notes")
    except (TypeError, ValueError) as error:
        raise InputError(f"notes cannot be kept: {error}") from None
    if again != notes:
        raise InputError(
            "notes would not come back as they are: use texts, finite numbers, lists, and dicts with text keys"
        )
    return again


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
