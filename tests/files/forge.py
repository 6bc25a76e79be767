"""Files written by hand: the safetensors layout and our checksum from their descriptions, not with our code."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

CODES = {"float16": "F16", "float32": "F32", "float64": "F64", "int64": "I64"}


def compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def checksum(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    rest = {key: value for key, value in document.items() if key != "sha256"}
    content = compact(rest).encode()
    for name in sorted(arrays):
        content += compact([name, arrays[name].dtype.name, list(arrays[name].shape)]).encode()
        content += arrays[name].tobytes()
    return hashlib.sha256(content).hexdigest()


def container(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def header_of(arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], bytes]:
    header, data = {}, b""
    for name, array in arrays.items():
        end = len(data) + array.nbytes
        header[name] = {"dtype": CODES[array.dtype.name], "shape": list(array.shape), "data_offsets": [len(data), end]}
        data += array.tobytes()
    return header, data


def forge(path: Path, document: Any, arrays: dict[str, np.ndarray], sign: bool = True) -> Path:
    """A file with this document, signed (with the right checksum) or as it is."""
    if sign:
        document = {**document, "sha256": checksum(document, arrays)}
    header, data = header_of(arrays)
    text = document if isinstance(document, str) else json.dumps(document)
    path.write_bytes(container({"__metadata__": {"everygrad": text}, **header}, data))
    return path


def document_for(network: Any) -> dict[str, Any]:
    return {"format": "everygrad", "version": 1, "network": network, "notes": None}
