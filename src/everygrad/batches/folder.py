"""A folder in which long work over chunks is kept: what each chunk was asked for, and the sums so far."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import final

import numpy as np

from everygrad.batches.tree import PairwiseSum, Part
from everygrad.engines import Array, Kind, to_numpy
from everygrad.errors import FileFormatError, InputError
from everygrad.storage import archive, read_archive, write_atomic

SUMS = "sums.npz"
MOST_BYTES = 1 << 36
EVERY = 2.0
"""Seconds between two looks of the disk at the sums; what lies between is computed again after a crash."""
FORMAT = "everygrad sums over chunks, 1"


@final
class Folder:
    """The files of one piece of work: ``sums.npz``, and ``chunk-000000.npz``, ... with the quantities of ``keep``.

    Each file is written as a whole or not at all. The sums carry a digest of network, parameters and ``keep``, and one
    of all data so far, so that other work does not go on from them.
    """

    def __init__(self, path: Path, work: str, params: Mapping[str, Array], keep: Sequence[str]) -> None:
        self.path = path
        self.seal = digest({"work": work, "keep": ",".join(keep)}, params)
        self.written = time.monotonic()

    def sums(self, resume: bool, kind: Kind) -> tuple[PairwiseSum, bytes]:
        """(the sums to go on from, the digest of the data in them). Raises `InputError` and `FileFormatError`."""
        file = self.path / SUMS
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file: give folder= the name of a folder")
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"the folder {self.path} cannot be made: {error.strerror or error}") from None
        if not file.exists():
            return PairwiseSum(), b""
        if not resume:
            raise InputError(f"{file} is there already: resume=True goes on with it, or name another folder")
        arrays = read_archive(file, MOST_BYTES)
        try:
            return self._read(file, arrays, kind), arrays["data"].tobytes()
        except KeyError as error:
            raise FileFormatError(f"{file} is not complete: {error} is missing") from None

    def _read(self, file: Path, arrays: Mapping[str, np.ndarray], kind: Kind) -> PairwiseSum:
        if str(arrays["format"]) != FORMAT:
            raise FileFormatError(f"{file} holds no sums over chunks that this everygrad reads: {arrays['format']}")
        if arrays["work"].tobytes() != self.seal:
            raise InputError(
                f"{file} belongs to other work: the network, the parameters or keep= differ. Name another folder"
            )
        parts = []
        for i in range(int(arrays["parts"])):
            begin = f"{i}/gradient/"
            found = {n.removeprefix(begin): kind.asarray(a) for n, a in arrays.items() if n.startswith(begin)}
            share = arrays[f"{i}/share"]
            parts.append(
                Part(
                    kind.asarray(arrays[f"{i}/loss"]),
                    int(share) if share.dtype.kind == "i" else kind.asarray(share),
                    int(arrays[f"{i}/samples"]),
                    int(arrays[f"{i}/chunks"]),
                    found,
                )
            )
        return PairwiseSum(tuple(parts))

    def keep(self, index: int, arrays: Mapping[str, Array]) -> None:
        """Write what was kept of a chunk."""
        content = {name: np.asarray(to_numpy(array)) for name, array in arrays.items()}
        write_atomic(self.path / _name(index), archive(content))

    def note(self, sums: PairwiseSum, data: bytes, now: bool = False) -> None:
        """Write the sums, unless that was done a moment ago; ``data``: the digest of what is in them."""
        if not now and time.monotonic() - self.written < EVERY:
            return
        content = {
            "format": np.array(FORMAT),
            "work": np.frombuffer(self.seal, np.uint8),
            "data": np.frombuffer(data, np.uint8),
            "parts": np.array(len(sums.parts)),
        }
        for i, part in enumerate(sums.parts):
            counts = {"share": part.share, "samples": part.samples, "chunks": part.chunks, "loss": part.loss}
            named = {**counts, **{f"gradient/{name}": g for name, g in part.gradients.items()}}
            content |= {f"{i}/{n}": np.asarray(a if isinstance(a, int) else to_numpy(a)) for n, a in named.items()}
        write_atomic(self.path / SUMS, archive(content))
        self.written = time.monotonic()


def kept_in(path: Path, index: int) -> Iterator[tuple[str, np.ndarray]]:
    """What was kept of a chunk: (name, array)."""
    yield from read_archive(path / _name(index), MOST_BYTES).items()


def digest(texts: Mapping[str, str], arrays: Mapping[str, Array], before: bytes = b"") -> bytes:
    """Of texts and arrays by name, after what came ``before``."""
    seen = hashlib.blake2b(before, digest_size=16)
    for name, text in texts.items():
        seen.update(f"{name} {text}\0".encode())
    for name in sorted(arrays):
        array = np.asarray(to_numpy(arrays[name]), order="C")
        seen.update(f"{name} {array.dtype.str} {array.shape}\0".encode())
        seen.update(array.reshape(-1).view(np.uint8).data)
    return seen.digest()


def _name(index: int) -> str:
    return f"chunk-{index:06}.npz"
