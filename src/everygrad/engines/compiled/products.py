"""A small matrix product: rows of samples times a packed matrix.

The matrix is packed (see `packing`). A tile of some rows and some panels stays in registers for the whole depth. Each
number is the same sum in the same order, whichever tile it is in: the result does not depend on how the samples are
split.
"""

from everygrad.engines.compiled.lines import Lines, Target

UNROLLED = 4
"""Steps of depth that are written out in a row."""


def panel(target: Target) -> int:
    """Columns of a panel."""
    return 2 * target.lanes


def product(lines: Lines, vectors: tuple[str, str], matrix: str, to: tuple[str, str], shape: tuple[int, int]) -> None:
    """``to[r] = vectors[r] @ matrix`` for all rows; both are (address, bytes from row to row)."""
    target = lines.target
    most = target.registers // 4  # rows of a tile: half of the registers hold its sums
    panels = -(-shape[1] // panel(target))
    whole = lines.let(f"and i64 %rows, {-most}")
    _tiles(lines, vectors, matrix, to, shape, panels, (0, whole, most))
    rows, start = most // 2, whole
    while rows:  # what is left of the rows: 4, 2, 1 of them
        has = lines.let(f"and i64 %rows, {rows}")
        stop = lines.plus(start, has)
        _tiles(lines, vectors, matrix, to, shape, panels, (start, stop, rows))
        start, rows = stop, rows // 2


def _tiles(
    lines: Lines,
    vectors: tuple[str, str],
    matrix: str,
    to: tuple[str, str],
    shape: tuple[int, int],
    panels: int,
    rows: tuple[str | int, str | int, int],
) -> None:
    """All tiles of so many rows; fewer rows go with more panels, so that the machine always has enough to do."""
    target, (depth, columns) = lines.target, shape
    size, width = target.itemsize, panel(target)
    together = min(max(target.registers // 4 // rows[2], 1), panels)
    bytes_of_panel = depth * width * size
    whole = columns // (width * together) * together  # panels in tiles that are full
    if whole:
        with lines.loop(0, whole, together) as at:
            weights = lines.at(matrix, lines.times(at.index, bytes_of_panel))
            column = lines.at(to[0], lines.times(at.index, width * size))
            with lines.loop(*rows) as row:
                _tile(lines, vectors, weights, (column, to[1]), row.index, rows[2], depth, [width] * together)
    left = columns - whole * width
    if left > 0:
        weights, column = lines.at(matrix, whole * bytes_of_panel), lines.at(to[0], whole * width * size)
        widths = [width] * (left // width) + ([left % width] if left % width else [])
        with lines.loop(*rows) as row:
            _tile(lines, vectors, weights, (column, to[1]), row.index, rows[2], depth, widths)


def _tile(
    lines: Lines,
    vectors: tuple[str, str],
    weights: str,
    to: tuple[str, str],
    first: str,
    rows: int,
    depth: int,
    widths: list[int],
) -> None:
    """One tile: rows from ``first`` on, panels of so many columns that count."""
    target, kind = lines.target, lines.target.vector
    size, lanes = target.itemsize, target.lanes
    each = panel(target) // lanes
    strip = each * lanes * size
    begins = [lines.at(vectors[0], lines.times(lines.plus(first, r), vectors[1])) for r in range(rows)]
    columns = [(p, v) for p, width in enumerate(widths) for v in range(-(-width // lanes))]
    sums = [[f"{kind} zeroinitializer"] * len(columns) for _ in range(rows)]

    def advance(k: str | int, count: int, current: list[list[str]]) -> list[list[str]]:
        for i in range(count):
            offsets = lines.times(lines.plus(k, i), strip), lines.times(lines.plus(k, i), size)
            loaded = []
            for p, v in columns:
                address = lines.at(lines.at(weights, p * depth * strip + v * lanes * size), offsets[0])
                loaded.append(lines.let(f"load {kind}, ptr {address}, align {size}, !invariant.load !0"))
            fused, following = f"llvm.fmuladd.{target.suffix}", []
            for r in range(rows):
                number = lines.let(f"load {target.number}, ptr {lines.at(begins[r], offsets[1])}, align {size}")
                spread = lines.spread(number)
                sums_of_row = zip(loaded, current[r], strict=True)
                found = [lines.call(fused, kind, f"{kind} {spread}", f"{kind} {w}", s) for w, s in sums_of_row]
                following.append([f"{kind} {one_sum}" for one_sum in found])
            current = following
        return current

    whole = depth - depth % UNROLLED
    if whole:
        flat = [(kind, s.removeprefix(kind).strip()) for row in sums for s in row]
        with lines.loop(0, whole, UNROLLED, flat) as k:
            names = iter(k.carried)
            now = [[f"{kind} {next(names)[0]}" for _ in columns] for _ in range(rows)]
            found = [s for row in advance(k.index, UNROLLED, now) for s in row]
            for carried, s in zip(k.carried, found, strict=True):
                carried[3] = s.removeprefix(kind).strip()
        names = iter(k.carried)
        sums = [[f"{kind} {next(names)[0]}" for _ in columns] for _ in range(rows)]
    sums = advance(whole, depth - whole, sums)
    for r in range(rows):
        row = lines.at(to[0], lines.times(lines.plus(first, r), to[1]))
        for (p, v), total in zip(columns, sums[r], strict=True):
            count = min(widths[p] - v * lanes, lanes)
            _store(lines, total, lines.at(row, (p * each + v) * lanes * size), count)


def _store(lines: Lines, total: str, address: str, count: int) -> None:
    """The first ``count`` numbers of a vector, in pieces of a power of two."""
    target, done = lines.target, 0
    if count == target.lanes:
        lines.do(f"store {total}, ptr {address}, align {target.itemsize}")
        return
    while done < count:
        piece = 1 << ((count - done).bit_length() - 1)
        mask = ", ".join(f"i32 {done + i}" for i in range(piece))
        part = lines.let(f"shufflevector {total}, {target.vector} poison, <{piece} x i32> <{mask}>")
        place = lines.at(address, done * target.itemsize)
        lines.do(f"store <{piece} x {target.number}> {part}, ptr {place}, align {target.itemsize}")
        done += piece
