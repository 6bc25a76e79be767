"""The pictures, decoded again by the definition of the PNG format."""

import itertools
import math
import re
import struct
import zlib

import numpy as np
import pytest

from everygrad.report.heatmap import BROKEN, NEGATIVE, POSITIVE, STEPS, indices, legend, png, shade
from everygrad.report.plots import Axes, Line, plot
from tests.report.cases import Page


def decoded(content: bytes, shades: int = STEPS) -> np.ndarray:
    """Red, green, blue and opacity of each pixel; every chunk's sum is checked."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        assert struct.unpack(">I", content[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + size
    assert list(chunks) == [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 3, 0, 0, 0]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    colours = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
    opacity = np.frombuffer(chunks[b"tRNS"], np.uint8)
    assert len(colours) == len(opacity) == 2 * shades + 2
    return np.concatenate([colours[lines[:, 1:]], opacity[lines[:, 1:], None]], -1)


def test_colour_is_the_sign_and_opacity_the_magnitude():
    values = np.random.default_rng(0).normal(size=(13, 29)) * 10.0 ** np.random.default_rng(1).uniform(-5, 0, (13, 29))
    largest = float(np.abs(values).max())
    pixels = decoded(png(indices(values, largest)))
    assert pixels.shape == (13, 29, 4)
    for value, pixel in zip(values.ravel(), pixels.reshape(-1, 4), strict=True):
        part = 1.0 + math.log10(abs(float(value)) / largest) / 3
        assert abs(pixel[3] / 255 - max(part, 0.0)) <= 1.0 / STEPS + 0.003
        if pixel[3]:
            assert tuple(pixel[:3]) == (POSITIVE if value > 0 else NEGATIVE)


def test_values_are_shaded_in_equal_steps():
    values = np.random.default_rng(0).normal(size=(7, 11))
    largest = float(np.abs(values).max())
    for shades in (24, 8):
        pixels = decoded(png(indices(values, largest, "linear", shades), shades), shades).reshape(-1, 4)
        for value, pixel in zip(values.ravel(), pixels, strict=True):
            level = math.ceil(abs(float(value)) / largest * shades)
            assert pixel[3] == round(255 * level / shades)
            assert tuple(pixel[:3]) == (POSITIVE if value > 0 else NEGATIVE)


def test_special_numbers():
    values = np.array([[0.0, math.nan, math.inf, -math.inf, -2.0, 2.0]])
    pixels = decoded(png(indices(values, 2.0)))[0]
    assert pixels[0, 3] == 0
    for i in (1, 2, 3):
        assert tuple(pixels[i]) == (*BROKEN, 255)
    assert [tuple(p) for p in pixels[4:]] == [(*NEGATIVE, 255), (*POSITIVE, 255)]
    assert not decoded(png(indices(np.zeros((2, 2)), 0.0)))[..., 3].any()
    assert decoded(png(indices(values, math.inf))).shape == (1, 6, 4)


def test_the_shade_of_a_unit():
    assert [shade(v, 4.0) for v in (0.0, 1.0, -1.0, 4.0, 9.0)] == [0.0, 0.5, 0.5, 1.0, 1.0]
    assert shade(1.0, 0.0) == shade(math.nan, 1.0) == shade(1.0, math.nan) == 0.0


def test_the_legend_has_the_numbers():
    text = Page(legend(0.0123)).all("div")[0][1]
    assert text == "−0.012within ±1.2e-050.012"
    assert Page(legend(0.0123, signed=False)).all("div")[0][1] == "up to 1.2e-050.012"
    assert Page(legend(2.5, scale="linear")).all("div")[0][1] == "−2.502.5"


@pytest.mark.parametrize("up", ["logarithmic", "linear", "powers"])
@pytest.mark.parametrize("span", [None, (1e-4, 9.0)])
def test_a_curve_goes_through_its_numbers(up, span):
    """The labels of the axis say where a number is; the line must be there."""
    values = [3.0, 0.5, 0.02, 7.0]
    points = tuple((float(i), math.log10(v) if up == "powers" else v) for i, v in enumerate(values))
    span = tuple(map(math.log10, span)) if span and up == "powers" else span
    drawn = Page(plot("t", [Line("loss", points, 0)], Axes(up, "step", span), "k"))
    ticks = [(float(t), float(a["y"])) for a, t in drawn.all("text") if a.get("class") == "tick end"]
    scale = float if up == "linear" else math.log10
    (v1, y1), (v2, y2) = ticks[0], ticks[-1]
    (path,) = [a["d"] for a, _ in drawn.all("path") if (a.get("class") or "").startswith("line")]
    moves = [float(part) for part in re.findall(r"-?\d*\.?\d+", path)]
    places = list(itertools.accumulate(moves[1::2]))  # the first is a place, the others are steps from it
    for value, y in zip(values, places, strict=True):
        expected = y1 + (y2 - y1) * (scale(value) - scale(v1)) / (scale(v2) - scale(v1))
        assert abs(y - expected) < 0.3
    assert min(v for v, _ in ticks) <= (1.001e-4 if span else min(values))
    assert max(v for v, _ in ticks) >= (8.9 if span else max(values))
    assert "step" in drawn.texts.values()


@pytest.mark.parametrize("points", [((1.0, 5.0),), ((1.0, 5.0), (2.0, 5.0)), ((1.0, 0.0), (2.0, 1e-300)), ()])
def test_curves_of_few_numbers(points):
    for up in ("logarithmic", "linear", "powers"):
        Page(plot("t", [Line("loss", points, 0)], Axes(up), "k"))


def test_numbers_beyond_those_of_the_machine_have_a_place_by_their_logarithms():
    points = ((0.0, -2000.0), (1.0, 700.0))
    drawn = Page(plot("t", [Line("norm", points, 0)], Axes("powers", "step"), "k"))
    ticks = [t for a, t in drawn.all("text") if a.get("class") == "tick end"]
    assert {"1e-2000", "1e1000"} <= set(ticks)


def test_a_limit_is_marked_where_its_number_is():
    drawn = Page(plot("t", [Line("x", ((0.0, 1e-6), (1.0, 1.0)), 0)], Axes("logarithmic", "step", limit=1e-3), "k"))
    ticks = {t: float(a["y"]) for a, t in drawn.all("text") if a.get("class") == "tick end"}
    (limit,) = [a["d"] for a, _ in drawn.all("path") if a.get("class") == "limit"]
    assert abs(float(limit.split()[1].split("H")[0]) - (ticks["1e-06"] + ticks["1"]) / 2) < 0.2
    outside = plot("t", [Line("x", ((0.0, 0.1), (1.0, 1.0)), 0)], Axes("logarithmic", "step", limit=1e-3), "k")
    assert 'class="limit"' not in outside


def test_labels_do_not_overlap():
    lines = [Line(f"W{i}", ((1.0, 1.0), (2.0, 0.5 + 1e-3 * i)), i) for i in range(8)]
    drawn = Page(plot("t", lines, Axes("logarithmic"), "k"))
    ys = sorted(float(a["y"]) for a, _ in drawn.all("text") if (a.get("class") or "").startswith("end-label"))
    assert len(ys) == 8
    assert min(b - a for a, b in itertools.pairwise(ys)) >= 13.9
