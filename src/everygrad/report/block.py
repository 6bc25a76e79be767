"""The third-order tensor ∂s[p]/∂W[q, r] as what it is: a block of numbers with one filled plane, p = q."""

from everygrad.report.heatmap import FEW_STEPS, source
from everygrad.report.markup import Markup, picture, tag
from everygrad.report.picture_records import TensorPicture
from everygrad.report.words import clean, number

WIDTH, HEIGHT = 330.0, 268.0
LEFT, TOP, SIDE = 46.0, 84.0, 150.0
"""The corner p = q = r = 0 at the front, and the edge of the front face."""
DEEP = (112.0, -58.0)
"""From the front face, one matrix [p, q], to the back one: the way of r."""


def block(t: TensorPicture, key: str) -> Markup:
    """p goes down, q to the right, r to the back: each slice from the front to the back is a diagonal matrix."""
    (x, y), (dx, dy), s = (LEFT, TOP), DEEP, SIDE
    far = f"M{x + dx:g} {y + dy:g}v{s:g}h{s:g}M{x:g} {y + s:g}l{dx:g} {dy:g}"
    near = f"M{x:g} {y:g}h{s:g}v{s:g}h{-s:g}zl{dx:g} {dy:g}h{s:g}v{s:g}l{-dx:g} {-dy:g}M{x + s:g} {y:g}l{dx:g} {dy:g}"
    plane = f"M{x:g} {y:g}l{s:g} {s:g}l{dx:g} {dy:g}l{-s:g} {-s:g}z"
    rows, columns = t.plane.shape
    # the picture's columns, which are r, go to the back, its rows along the diagonal
    placed = f"matrix({dx / columns:.5g} {dy / columns:.5g} {s / rows:.5g} {s / rows:.5g} {x:g} {y:g})"
    p, q, r = t.shape
    return picture(
        f"The derivative of {clean(t.state)}[p] by {clean(t.weight)}[q, r]",
        f"A block of {p:,} by {q:,} by {r:,} numbers. Only the plane p = q, from one edge to the opposite one, is "
        f"filled; the largest number in it has magnitude {number(t.largest, 3)}.",
        WIDTH,
        HEIGHT,
        tag("path", class_="frame hidden", d=far),
        tag("path", class_="plane", d=plane),
        tag(
            "image",
            href=source(t.plane, t.largest, "linear", FEW_STEPS),
            width=columns,
            height=rows,
            transform=placed,
            preserveAspectRatio="none",
        ),
        tag("path", class_="frame plane-edge", d=plane),
        tag("path", class_="frame", d=near),
        tag("text", "p", x=f"{x - 14:g}", y=f"{y + s / 2:g}", class_="name"),
        tag("text", f"{p:,}", x=f"{x - 14:g}", y=f"{y + s / 2 + 17:g}", class_="tick"),
        tag("text", f"q {q:,}", x=f"{x + s / 2:g}", y=f"{y + s + 20:g}", class_="name"),
        tag("text", f"r {r:,}", x=f"{x + s + dx / 2 + 12:g}", y=f"{y + s + dy / 2 + 20:g}", class_="name start"),
        key=key,
    )
