"""A graph that is no chain of layers: boxes in rows, the arrows as wide as what comes back along them."""

from everygrad.report.markup import Markup, join, picture, tag
from everygrad.report.record import Arrow, Box, Picture
from everygrad.report.words import clean, number, shape

WIDTH, HEIGHT, ACROSS, DOWN, LANE = 176.0, 58.0, 22.0, 40.0, 26.0
"""Of a box; between two boxes and two rows; of an arrow that passes a row."""

Slot = tuple[str, str]
"""A place in a row: (box, "") or, where an arrow passes, (source, target)."""


def network(shown: Picture, key: str) -> Markup:
    """The boxes from the data at the top to the loss at the bottom."""
    rows = _rows(shown)
    sizes = [[WIDTH if target == "" else LANE for _, target in row] for row in rows]
    width = max(sum(s) + ACROSS * (len(s) - 1) for s in sizes) + 2 * ACROSS
    centre: dict[tuple[int, Slot], float] = {}
    for level, (row, size) in enumerate(zip(rows, sizes, strict=True)):
        left = (width - sum(size) - ACROSS * (len(size) - 1)) / 2
        for slot, own in zip(row, size, strict=True):
            centre[level, slot] = left + own / 2
            left += own + ACROSS
    height = len(rows) * (HEIGHT + DOWN) - DOWN + 2 * 12
    level_of = {box: level for level, row in enumerate(rows) for box, target in row if target == ""}
    largest = max((a.norm for a in shown.arrows if a.norm is not None), default=0.0)
    arrows = [_arrow(a, level_of, centre, largest) for a in shown.arrows]
    boxes = [_box(b, centre[level_of[b.name], (b.name, "")], _y(level_of[b.name])) for b in shown.boxes]
    return picture(
        "The graph and the gradient at each quantity", describe(shown), width, height, *arrows, *boxes, key=f"{key}net"
    )


def describe(shown: Picture) -> str:
    """The picture in words."""
    uses = ", ".join(f"{clean(a.source, 30)} to {clean(a.target, 30)}" for a in shown.arrows[:60])
    return f"{len(shown.boxes)} of {shown.total:,} quantities. Arrows: {uses}."


def sampled(shown: Picture) -> str:
    """What the picture leaves out, in words; "" if nothing."""
    if len(shown.boxes) == shown.total:
        return ""
    return f"showing {len(shown.boxes)} of {shown.total:,} quantities: the first and the last"


def _rows(shown: Picture) -> list[list[Slot]]:
    """Boxes by level, with a lane in every row that an arrow passes, each near what it hangs on (barycentre)."""
    levels = sorted({box.level for box in shown.boxes})
    place = {level: i for i, level in enumerate(levels)}
    level_of = {box.name: place[box.level] for box in shown.boxes}
    rows: list[list[Slot]] = [[] for _ in levels]
    above: dict[tuple[int, Slot], list[Slot]] = {}
    for box in shown.boxes:
        rows[level_of[box.name]].append((box.name, ""))
    for source, target in dict.fromkeys((a.source, a.target) for a in shown.arrows):
        before: Slot = (source, "")
        for level in range(level_of[source] + 1, level_of[target]):
            rows[level].append((source, target))
            above.setdefault((level, (source, target)), []).append(before)
            before = (source, target)
        above.setdefault((level_of[target], (target, "")), []).append(before)
    for level in range(1, len(rows)):
        position = {slot: i / max(len(rows[level - 1]) - 1, 1) for i, slot in enumerate(rows[level - 1])}
        key = {}
        for i, slot in enumerate(rows[level]):
            known = [position[s] for s in above.get((level, slot), []) if s in position]
            key[slot] = sum(known) / len(known) if known else i / max(len(rows[level]) - 1, 1)
        rows[level].sort(key=key.__getitem__)
    return rows


def _y(level: int) -> float:
    return 12 + level * (HEIGHT + DOWN)


def _arrow(arrow: Arrow, level_of: dict[str, int], centre: dict[tuple[int, Slot], float], largest: float) -> Markup:
    first, last = level_of[arrow.source], level_of[arrow.target]
    x, y = centre[first, (arrow.source, "")], _y(first) + HEIGHT
    path = f"M{x:g} {y:g}"
    for level in range(first + 1, last + 1):
        slot = (arrow.target, "") if level == last else (arrow.source, arrow.target)
        to_x, to_y = centre[level, slot], _y(level)
        half = (y + to_y) / 2
        path += f"C{x:g} {half:g} {to_x:g} {half:g} {to_x:g} {to_y:g}"
        x, y = to_x, to_y
        if level < last:
            y += HEIGHT
            path += f"V{y:g}"
    part = arrow.norm / largest if arrow.norm is not None and largest else 0.0
    hint = f"{clean(arrow.target)} gives {clean(arrow.source)} a term of norm {number(arrow.norm, 3)}"
    known = arrow.norm is not None and part == part and arrow.norm != float("inf")
    look = {"stroke-width": f"{1 + 4 * part:.2f}" if known else "1"}
    line = tag("path", class_="flow" if arrow.norm else "flow none", d=Markup(path), **look)
    head = tag("path", class_="head", d=Markup(f"M{x - 4:g} {y - 6:g}L{x:g} {y:g}L{x + 4:g} {y - 6:g}"))
    return tag("g", tag("title", hint), line, head)


def _box(box: Box, x: float, y: float) -> Markup:
    gradient = f"{shape(box.shape)} · ‖∇‖ {number(box.norm, 3)}" if box.norm is not None else shape(box.shape)
    return tag(
        "g",
        tag("title", f"{clean(box.name)} = {clean(box.formula, 200)}"),
        tag("rect", x=f"{x - WIDTH / 2:g}", y=f"{y:g}", width=WIDTH, height=HEIGHT, rx=8, class_="box"),
        join(
            tag("text", clean(box.name, 20), x=f"{x:g}", y=f"{y + 19:g}", class_="name"),
            tag("text", clean(box.formula, 25), x=f"{x:g}", y=f"{y + 35:g}", class_="soft"),
            tag("text", clean(gradient, 30), x=f"{x:g}", y=f"{y + 50:g}", class_="soft"),
        ),
    )
