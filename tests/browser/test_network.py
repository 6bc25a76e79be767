"""Walking through a network: what lights up and what is written are the record's numbers."""

import math
import re

import numpy as np
import pytest

from tests.browser.pages import page, record

FIRST = 0  # of the samples explored


@pytest.fixture
def net(opened):
    return opened(page("digits"))


def explored():
    found = record("digits").explore
    assert found is not None
    return found


def unit(net, column: int, place: int):
    return net.locator(".explorer .column").nth(column).locator(".unit").nth(place)


def told(net) -> str:
    return net.locator(".explorer .told").inner_text()


def label(column: int, place: int) -> str:
    layer = explored().layers[column]
    return f"{layer.name}[{layer.shown[place]}]"


def written(net) -> list[tuple[str, str]]:
    """(what, number) of each row of the table of paths."""
    rows = net.locator(".explorer .shown tr").all()
    return [(row.locator("th").inner_text(), row.locator("td").inner_text()) for row in rows]


def g4(value: float) -> str:
    """As `number` of the page writes it, by Python's own formatting."""
    return f"{float(value):.4g}"


@pytest.mark.parametrize(("column", "place"), [(0, 3), (1, 5), (2, 15), (3, 0)])
def test_hovering_lists_the_paths_of_the_record(net, column, place):
    layer = explored().layers[column]
    paths = layer.paths
    unit(net, column, place).hover()
    gradient = float(layer.grad_h[FIRST, place])
    assert told(net) == f"{label(column, place)}: ∂loss/∂{label(column, place)} = {g4(gradient)}"
    rows = written(net)
    products = [float(p) for p in paths.products[FIRST, place] if not math.isnan(p)]
    others = int(paths.count) - len(products)
    assert [number for _, number in rows[: len(products)]] == [g4(p) for p in products]
    assert rows[-1] == ("Sum: the gradient", g4(gradient))
    if others:
        assert rows[-2] == (f"{others:,} other paths together", g4(paths.remainder[FIRST, place]))
        assert math.isclose(sum(products) + float(paths.remainder[FIRST, place]), gradient, rel_tol=1e-9)
    best = [w if a < 0 else f"{w}[{paths.units[FIRST, place, 0, a]}]" for w, a in zip(paths.way, paths.at, strict=True)]
    assert rows[0][0].splitlines()[0].strip() == " → ".join([label(column, place), *best])
    shown = re.sub(r"[()]", "", rows[0][0].splitlines()[1]).split(" · ")
    assert shown == [f"{float(f):.3g}" for f in paths.factors[FIRST, place, 0]]


def test_the_lines_have_the_sign_and_the_width_of_their_products(net):
    column, place = 1, 5
    paths = explored().layers[column].paths
    unit(net, column, place).hover()
    products = paths.products[FIRST, place]
    lines = [
        (line.get_attribute("class"), float(line.get_attribute("stroke-width")))
        for line in net.locator(".lit path").all()
    ]
    assert [kind for kind, _ in lines] == ["neg" if p < 0 else "pos" for p in products[::-1]]
    widths = np.abs(products[::-1]) / np.abs(products).max()
    np.testing.assert_allclose([width for _, width in lines], 1.2 + 3.8 * widths, atol=0.006)
    lit = net.locator(".explorer .unit.on")
    through = {
        (hop.layer, int(u)) for path in paths.units[FIRST, place] for hop, u in zip(paths.hops, path, strict=True)
    }
    assert lit.count() == 1 + len(through)
    dimmed = unit(net, column, place + 1)
    net.wait_for_function("u => getComputedStyle(u).opacity < 0.5", arg=dimmed.element_handle())
    net.mouse.move(5, 5)
    assert net.locator(".lit path").count() == 0
    assert told(net).startswith("Point at a unit")


def test_the_formula_shows_the_units_numbers(net):
    layer = explored().layers[1]
    unit(net, 1, 5).hover()
    lines = net.locator(".explorer .formulas p").all_inner_texts()
    i = layer.shown[5]
    value = f"h1[{i}] = tanh(a1[{i}]) = tanh({g4(layer.a[FIRST, 5])}) = {g4(layer.h[FIRST, 5])}"
    assert value in lines
    assert any(line.endswith(f"= {g4(layer.grad_a[FIRST, 5])}") for line in lines)
    assert "{" not in "".join(lines)


def test_a_click_pins_and_a_second_one_lets_go(net):
    unit(net, 1, 5).click()
    pinned = f"{label(1, 5)}, pinned"
    assert told(net).startswith(pinned)
    unit(net, 2, 2).hover()
    assert told(net).startswith(pinned)
    assert net.locator("[aria-selected=true]").count() == 1
    unit(net, 2, 2).click()
    assert told(net).startswith(f"{label(2, 2)}, pinned")
    unit(net, 2, 2).click()
    assert "pinned" not in told(net)
    assert net.locator("[aria-selected=true]").count() == 0


def test_the_keyboard_does_what_the_mouse_does(net):
    stop = net.locator(".explorer svg [tabindex='0']")
    assert stop.count() == 1  # one Tab stop for the picture
    stop.focus()
    assert told(net).startswith(f"{label(0, 0)}:")
    for key, at in [
        ("ArrowDown", (0, 1)),
        ("End", (0, 31)),
        ("ArrowDown", (0, 31)),
        ("Home", (0, 0)),
        ("ArrowUp", (0, 0)),
    ]:
        net.keyboard.press(key)
        assert told(net).startswith(f"{label(*at)}:"), key
    net.keyboard.press("ArrowLeft")
    assert told(net).startswith(f"{label(0, 0)}:")
    net.keyboard.press("ArrowRight")
    assert told(net).startswith("h1[")
    for key in ("Enter", " "):
        net.keyboard.press(key)
        assert ", pinned" in told(net)
        net.keyboard.press("Escape")
        assert "pinned" not in told(net)
    net.keyboard.press("ArrowRight")
    net.keyboard.press("ArrowRight")
    net.keyboard.press("ArrowRight")
    assert told(net).startswith("a3[")
    assert net.locator(".explorer svg [tabindex='0']").count() == 1
    net.keyboard.press("Shift+Tab")  # out of the picture in one step
    assert net.evaluate("document.activeElement.closest('svg')") is None


def test_a_tap_pins(opened):
    net = opened(page("digits"), width=360, height=740, has_touch=True)
    unit(net, 1, 5).tap()
    assert told(net).startswith(f"{label(1, 5)}, pinned")


def test_the_slider_walks_through_the_samples(net):
    samples, layer = explored().samples, explored().layers[2]
    unit(net, 2, 3).click()
    slider = net.get_by_role("slider", name="Sample")
    share_of = "u => u.style.getPropertyValue('--s')"
    before = unit(net, 2, 3).evaluate(share_of)
    slider.focus()
    for s in range(1, len(samples)):
        net.keyboard.press("ArrowRight")
        said = net.locator(".explorer output").inner_text()
        assert said.startswith(f"{samples[s].index}: target {samples[s].label}, predicted {samples[s].predicted}")
        assert said.endswith(f"loss {samples[s].loss:.3g}")
        assert slider.get_attribute("aria-valuetext") == said
        assert told(net).endswith(f"= {g4(layer.grad_h[s, 3])}")
        grads = np.abs(layer.grad_h[s])
        share = math.sqrt(grads[3] / grads.max())
        assert unit(net, 2, 3).evaluate(share_of) == f"{math.floor(100 * share + 0.5)}%"
        assert unit(net, 2, 3).get_attribute("aria-label") == f"{label(2, 3)}, gradient {g4(layer.grad_h[s, 3])}"
    box = net.get_by_role("checkbox", name="Colour the units by this sample")
    assert box.is_checked()
    box.uncheck()
    assert unit(net, 2, 3).evaluate(share_of) == before


def test_a_unit_has_a_name_and_a_role(net):
    options = net.get_by_role("listbox", name="The network and the gradient at each unit").get_by_role("option")
    assert options.count() == sum(len(layer.shown) for layer in explored().layers)
    first = explored().layers[0]
    assert options.nth(0).get_attribute("aria-label") == f"{label(0, 0)}, gradient {g4(first.grad_h[FIRST, 0])}"
    assert net.locator(".explorer [aria-live=polite]").count() == 1
