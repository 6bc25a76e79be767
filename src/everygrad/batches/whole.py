"""Gradients of a batch that comes in chunks, as if it were one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import final

import numpy as np

from everygrad.backprop import Gradients, Network, compiled, gradients
from everygrad.backprop.finite import all_finite, complain
from everygrad.batches.cut import Chunk, arguments
from everygrad.batches.folder import Folder, digest
from everygrad.batches.order import in_order
from everygrad.batches.progress import Told, told
from everygrad.batches.record import ChunkedGradients
from everygrad.batches.summed import Summed, summed
from everygrad.batches.tree import PairwiseSum, Part
from everygrad.engines import Array, is_array, kind_of, namespace
from everygrad.engines.arrays import has_values, library
from everygrad.engines.compiled.choice import Engine, checked
from everygrad.errors import EverygradError, InputError, all_mismatches
from everygrad.graph import Graph


def gradients_of_chunks(
    network: Graph | Network,
    params: Mapping[str, Array],
    chunks: Iterable[Chunk],
    *,
    workers: int = 1,
    progress: bool | Told = False,
    each: Callable[[int, Gradients], object] | None = None,
    keep: Sequence[str] = (),
    folder: str | Path | None = None,
    resume: bool = False,
    check_finite: bool = True,
    engine: Engine = "numpy",
) -> ChunkedGradients:
    """The loss and the parameters' gradients of a batch that is larger than memory, from an iterator of its chunks.

    ``g = eg.gradients_of_chunks(net, params, eg.chunks(x, y, size=1024))``. A chunk is what `gradients` takes of some
    samples: a tuple of the data, ``(x, y)`` or ``(x, y, weight)``, or a dict of them by name; any iterable gives them,
    a generator, a list, or `chunks`, which cuts arrays in memory or on disk. It has a name of its own beside
    `gradients` because it returns something else: a gradient of each sample's quantities would be as large as the
    batch, so those of the parameters are summed, and the others go where they are asked to.

    With S = Σ_n w_n ℓ_n over *all* samples (and steps that count) and D = Σ_n w_n, the mean is L = S / D and
    ∂L/∂p = ∂S/∂p / D: sums over chunks of any sizes, divided once at the end, never a mean of means. The sums are
    taken in pairs by the place of the chunk, so that the bits depend neither on ``workers`` nor on who is ready first.

    - ``workers``: threads, each with a chunk of its own. NumPy and torch let go of the interpreter in large products
      only; where BLAS has all cores busy already, one is right. JAX has its own threads and is called from one.
    - ``progress``: called with (chunks done, chunks in all or None); True shows a bar on stderr.
    - ``each``: called with (index, `Gradients` of the chunk) in order: everything, hidden quantities too. They are of
      S, since D is known only at the end: divide by ``divided_by`` of the result.
    - ``keep``: names of quantities whose gradients are written to ``folder``, ``chunk-000000.npz``, ...; ``.kept()`` of
      the result reads them. With a folder, the sums so far are kept there as well, also if the work is interrupted;
      ``resume=True`` goes on with them: the same chunks must come again, and those that are done are only compared.
    - ``engine``: that of `gradients`. The compiled one has threads of its own: one worker is right.

    Raises `InputError` and `NonFiniteError` with the index of the chunk; `InputError` if there is no chunk, or if the
    loss is no sum or mean over samples (made of several losses, say). What the iterable raises comes through, with a
    note on how far it got. Cost: that of `gradients` for each chunk, one sum of the parameters' size for each; held
    are ``workers`` + 1 chunks (with one worker: one), and log2 of their number of such sums.
    """
    work, engine = summed(network), checked(engine)
    problems = _problems(work.graph, params, chunks, workers, progress, keep, folder, resume)
    all_mismatches("gradients_of_chunks", problems)
    kept = tuple(work.graph.resolve(name) for name in keep)
    one = next((p for p in params.values() if is_array(p)), np.zeros(()))
    function = compiled(work) if library(one) == "jax" and engine == "numpy" else None
    job = _Job(work, params, function, check_finite, each is not None, kept, engine)
    file, sums, stored = None, PairwiseSum(), b""
    if folder is not None:
        file = Folder(Path(folder), f"{work.graph}\n{work.graph.by_name[work.graph.output].operation!r}", params, kept)
        sums, stored = file.sums(resume, kind_of(one))
    done, data, taken = sums.chunks, b"", 0
    total = len(chunks) if isinstance(chunks, Sized) else None

    def task(numbered: tuple[int, Chunk]) -> _Found:
        return job.found(*numbered, skip=numbered[0] < done, seal=file is not None)

    results = in_order(task, _numbered(chunks), 1 if job.compiled else workers)
    with told(progress) as tell, closing(results):
        try:
            for found in results:
                seal = digest({}, {}, data + found.seal) if file is not None else b""
                if found.part is None:
                    data, taken = seal, taken + 1
                else:
                    if file is not None and kept:
                        file.keep(taken, found.kept)
                    if each is not None and found.gradients is not None:
                        each(taken, found.gradients)
                    sums, data, taken = sums.plus(found.part), seal, taken + 1
                del found  # the next one is made without it
                if file is not None and taken == done and data != stored:
                    raise InputError(f"{folder}: the first {done} chunks are not those that were summed there")
                if file is not None and taken > done:
                    file.note(sums, data)
                tell(taken, total)
        finally:
            if file is not None and taken > done:
                file.note(sums, data, now=True)
    if not taken:
        raise InputError("there was no chunk: the iterable is empty (an iterator can be gone through once only)")
    if taken < done:
        raise InputError(f"{folder} holds the sums of {done} chunks, but only {taken} came")
    return _result(work, sums, Path(folder) if kept and folder is not None else None, check_finite)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What became of one chunk: nothing but its ``seal`` if it was done before."""

    seal: bytes
    part: Part | None
    gradients: Gradients | None
    kept: Mapping[str, Array]


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What is done with each chunk, in any thread. ``whole``: whether all gradients of a chunk are wanted."""

    work: Summed
    params: Mapping[str, Array]
    compiled: Callable[..., Gradients] | None
    check_finite: bool
    whole: bool
    kept: tuple[str, ...]
    engine: Engine

    def found(self, index: int, chunk: Chunk, skip: bool, seal: bool) -> _Found:
        """One chunk, or if it is skipped only its seal; an error says which chunk it was."""
        try:
            data, named = arguments(chunk)
            sealed = _seal(data, named) if seal else b""
            return _Found(sealed, None, None, {}) if skip else self._found(sealed, self._gradients(data, named))
        except EverygradError as error:
            raise type(error)(f"chunk {index}: {error}") from error
        except Exception as error:
            error.add_note(f"everygrad was at chunk {index}")
            raise

    def _found(self, seal: bytes, g: Gradients) -> _Found:
        trace, graph = g.trace, self.work.graph
        own = {name: g[name] for name in graph.parameters if name in g.arrays}
        loss = trace.loss if trace.loss.ndim == 0 else namespace(trace.loss).sum(trace.loss)
        part = Part(loss, self.work.share(trace), self.work.samples(trace), 1, own)
        return _Found(seal, part, g if self.whole else None, {name: g[name] for name in self.kept})

    def _gradients(self, data: tuple[Array, ...], named: Mapping[str, Array]) -> Gradients:
        if self.compiled is not None:
            return self.compiled(self.params, *data, check_finite=self.check_finite, **named)
        return gradients(self.work, self.params, *data, check_finite=self.check_finite, engine=self.engine, **named)


def _seal(data: tuple[Array, ...], named: Mapping[str, Array]) -> bytes:
    given = {f"{i}": array for i, array in enumerate(data)} | dict(named)
    wrong = [name for name, array in given.items() if not is_array(array)]
    if wrong:
        raise InputError(f"data {', '.join(wrong)} must be arrays")
    return digest({}, given)


def _numbered(chunks: Iterable[Chunk]) -> Iterator[tuple[int, Chunk]]:
    """(index, chunk); an error of the iterable itself says how far it got."""
    index = 0
    source = iter(chunks)
    while True:
        try:
            chunk = next(source)
        except StopIteration:
            return
        except BaseException as error:
            error.add_note(f"everygrad was reading chunk {index}: {index} came before it")
            raise
        yield index, chunk
        del chunk
        index += 1


def _result(work: Summed, sums: PairwiseSum, folder: Path | None, check_finite: bool) -> ChunkedGradients:
    """S and its gradients, divided by D if L is a mean."""
    total = sums.total()
    share, loss, arrays = total.share, total.loss, dict(total.gradients)
    if work.mean:
        if not isinstance(share, int) and has_values(share) and not bool(share != 0):
            raise InputError("the weights of all samples of all chunks are zero: the loss would be a mean of nothing")
        loss = loss / share
        arrays = {name: g / share for name, g in arrays.items()}
    else:
        share = 1
    if check_finite:
        of = work.graph.output
        if not all(all_finite(array) for array in (loss, *arrays.values())):
            complain({of: loss, **arrays}, [of, *arrays], "every chunk is finite, but the sum over chunks of")
    kept = MappingProxyType(arrays)
    return ChunkedGradients(work.graph, work.graph.output, loss, kept, share, total.samples, total.chunks, folder)


def _problems(
    graph: Graph,
    params: object,
    chunks: object,
    workers: object,
    progress: object,
    keep: Sequence[str],
    folder: object,
    resume: bool,
) -> list[str]:
    """What is wrong with the arguments, before any chunk is read."""
    problems = []
    if not isinstance(params, Mapping):
        problems.append(f"params must be a dict of arrays by name, got {type(params).__name__}")
    if is_array(chunks) or isinstance(chunks, str | bytes | Mapping) or not isinstance(chunks, Iterable):
        problems.append(
            f"chunks is a {type(chunks).__name__}, expected an iterable of chunks (x, y): eg.chunks(x, y, size=1024)"
        )
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        problems.append(f"workers={workers!r}: expected a whole number of threads, at least 1")
    if not isinstance(progress, bool) and not callable(progress):
        problems.append(f"progress={progress!r}: expected True, False or a function of (done, total)")
    if isinstance(keep, str):
        problems.append(f"keep={keep!r}: expected several names, keep=({keep!r},)")
        keep = ()
    for name in keep:
        try:
            node = graph.by_name[graph.resolve(name)]
        except EverygradError as error:
            problems.append(f"keep: {error}")
            continue
        if not node.lead:
            problems.append(f"keep: {name!r} is no quantity of each sample")
    if keep and folder is None:
        problems.append("keep= needs folder=, where the files are written")
    if resume and folder is None:
        problems.append("resume=True needs folder=, in which the sums are")
    return problems
