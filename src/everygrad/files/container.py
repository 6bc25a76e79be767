"""The safetensors container: its header is read and checked here before the library unpacks the arrays.

Layout (the format's own description): 8 bytes N, little-endian; N bytes of JSON, name -> dtype, shape and
data_offsets, and ``__metadata__`` -> texts; then the arrays.
"""

from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from everygrad.errors import FileFormatError
from everygrad.files.document import FORMAT, MAX_HEADER, fields, items, name, read_json, text, whole, wrong

DTYPES = ("F32", "F64")

FOREIGN = (
    (b"PK", "a zip archive (.npz, or written by torch.save or Keras)"),
    (b"\x80", "a Python pickle, which is never read: reading one can run any code"),
    (b"\x93NUMPY", "a .npy file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"{", "a JSON text"),
)


def pack(arrays: dict[str, np.ndarray], document: str) -> bytes:
    """The content of a file: C-contiguous, little-endian arrays, and the document in the metadata."""
    return safetensors.numpy.save(arrays, {FORMAT: document})


def unpack(content: bytes, where: str) -> tuple[str, dict[str, np.ndarray]]:
    """The document and the arrays (each its own copy) of a file's content.

    Raises `FileFormatError` for a content that is truncated, too long, foreign, or written by others.
    """
    document, end = _header(content, where)
    if len(content) != end:
        what = "truncated" if len(content) < end else "too long"
        raise FileFormatError(f"{where} is {what}: its header asks for {end:,} bytes, it has {len(content):,}")
    try:
        return document, safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise FileFormatError(f"{where} is damaged: {error}") from None


def _header(content: bytes, where: str) -> tuple[str, int]:
    """Our document in the metadata, and the length that the whole file must have."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > MAX_HEADER:
        kind = _foreign(content)
        if kind:
            raise FileFormatError(f"{where} is not a safetensors file: it looks like {kind}")
        if len(content) < 8:
            raise FileFormatError(
                f"{where} is truncated: it has {len(content)} bytes, the header's length alone takes 8"
            )
        raise FileFormatError(
            f"{where} is not a safetensors file, or too large: its header would have {length:,} bytes, the limit "
            f"is {MAX_HEADER:,}"
        )
    if len(content) < 8 + length:
        kind = _foreign(content)
        hint = f"; or it is {kind}" if kind else ""
        raise FileFormatError(
            f"{where} is truncated: its header asks for {length:,} bytes, {len(content) - 8:,} are there{hint}"
        )
    entries = read_json(content[8 : 8 + length], f"{where}: the header")
    if not isinstance(entries, dict):
        raise wrong(f"{where}: the header", "an object", entries)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or FORMAT not in metadata:
        raise FileFormatError(
            f"{where} is a safetensors file without an architecture: it was not written by everygrad. Build the "
            f"network, and take the arrays with safetensors.numpy.load_file"
        )
    end = 8 + length + max((_end(entry, key, where) for key, entry in entries.items()), default=0)
    return text(metadata[FORMAT], f"{where}: the metadata"), end


def _end(entry: Any, key: str, where: str) -> int:
    """Where the array ends, counted from the end of the header."""
    at = f"{where}: array {name(key, f'{where}: the name of an array')!r}"
    found = fields(entry, at, ("dtype", "shape", "data_offsets"))
    if text(found["dtype"], f"{at}: dtype") not in DTYPES:
        raise wrong(f"{at}: dtype", "F32 or F64", found["dtype"])
    for n in items(found["shape"], f"{at}: shape", 8):
        whole(n, f"{at}: shape", 0)
    offsets = items(found["data_offsets"], f"{at}: data_offsets", 2)
    if len(offsets) != 2:
        raise wrong(f"{at}: data_offsets", "[start, end]", offsets)
    return max(whole(n, f"{at}: data_offsets", 0) for n in offsets)


def _foreign(content: bytes) -> str | None:
    for start, kind in FOREIGN:
        if content.startswith(start):
            return kind
    printable = all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in content[:256])
    return "a text file" if printable else None
