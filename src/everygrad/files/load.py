"""From a file to a network: everything is validated, nothing is unpickled, nothing is evaluated."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

import numpy as np

from everygrad.errors import FileFormatError, all_mismatches
from everygrad.files.architecture import Savable, build
from everygrad.files.container import unpack
from everygrad.files.document import FORMAT, MAX_BYTES, VERSION, digest, fields, read_json
from everygrad.files.parameters import expected_shapes, mismatches
from everygrad.storage import read_limited


@final
@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds: the network, its parameters (NumPy), and the notes that were given to `save`."""

    network: Savable
    params: Mapping[str, np.ndarray]
    notes: Any


def load(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> tuple[Savable, dict[str, np.ndarray]]:
    """The network and the parameters that `save` wrote: ``net, params = eg.load("digits.safetensors")``.

    Parameters are NumPy arrays of the dtype that they had; NaN and infinity come back as they were saved (a
    computation with them raises `NonFiniteError`). The network is built by the ordinary constructors, and
    operations come from the table of operations only.

    Raises `FileFormatError`, saying what and where, for a file that is missing, empty, larger than ``max_bytes``,
    truncated, damaged (a SHA-256 over architecture, notes and numbers is compared), of another kind, or of a newer
    version; for an unknown operation, a wrong number of inputs, a name used twice or before it is defined; and for
    parameters that are missing, extra, or of another shape or dtype than the network needs.
    """
    contents = read(path, max_bytes=max_bytes)
    return contents.network, dict(contents.params)


def read(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> Contents:
    """Like `load`, with the notes."""
    where = str(path)
    document_text, arrays = unpack(read_limited(Path(path), max_bytes), where)
    document = read_json(document_text, f"{where}: the architecture")
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FileFormatError(f"{where}: the architecture is not of the format {FORMAT!r}")
    version = document.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        what = "a newer everygrad wrote it: pip install --upgrade everygrad" if newer else "there is no such version"
        raise FileFormatError(f"{where} has the format version {version!r}, this everygrad reads {VERSION}: {what}")
    fields(document, where, ("format", "version", "network", "notes", "sha256"))
    _compare_digest(document, arrays, where)
    network = build(document["network"], "network")
    found = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    all_mismatches(where, mismatches(network, found), FileFormatError)
    params = {name: arrays[name] for name in expected_shapes(network)}
    return Contents(network, MappingProxyType(params), document["notes"])


def _compare_digest(document: dict[str, Any], arrays: Mapping[str, np.ndarray], where: str) -> None:
    try:
        found = digest(document, arrays)
    except ValueError as error:
        raise FileFormatError(f"{where}: the architecture is not valid: {error}") from None
    if document["sha256"] != found:
        raise FileFormatError(f"{where} is damaged: the checksum (SHA-256) does not fit what it holds")
