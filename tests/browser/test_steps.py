"""Walking through a recurrent layer: each number is the record's, the terms written add up."""

import pytest

from tests.browser.pages import page, record


def g4(value: float) -> str:
    return f"{float(value):.4g}"


def explored(kind: str):
    found = record(kind).explore
    assert found is not None
    return found.steps


def table(card, caption: str) -> dict[str, list[str]]:
    """The rows of the table whose caption begins so."""
    (found,) = [t for t in card.locator("table").all() if t.locator("caption").inner_text().startswith(caption)]
    rows = found.locator("tbody tr").all()
    return {row.locator("th").inner_text().splitlines()[0]: row.locator("td").all_inner_texts() for row in rows}


def slide(card, name: str, position: int) -> None:
    slider = card.get_by_role("slider", name=name)
    slider.fill(str(position))
    assert slider.input_value() == str(position)


@pytest.mark.parametrize("kind", ["elman", "lstm", "both"])
def test_sliders_choose_sample_step_and_unit(opened, kind):
    cards = opened(page(kind)).locator(".steps")
    assert cards.count() == len(explored(kind))
    for card, layer in zip(cards.all(), explored(kind), strict=True):
        for s, t, u in [(0, 0, 0), (1, len(layer.at) // 2, 1), (0, len(layer.at) - 1, 2)]:
            for name, position in (("Sample", s), ("Step", t), ("Unit", u)):
                slide(card, name, position)
            state = layer.quantities[0]
            if not layer.present[s, t]:
                assert card.locator(".told").inner_text() == f"This sequence has no step {layer.at[t]}."
                continue
            i = state.shown[u]
            words = f"Step {layer.at[t]}, unit {i}: ∂loss/∂{state.name}[{i}] = {g4(state.total[s, t, u])}"
            assert card.locator(".told").inner_text() == words
            inside = table(card, "Inside the cell")
            assert len(inside) == len(layer.quantities)
            for q in layer.quantities:
                assert inside[f"{q.name}[{i}]"] == [g4(x[s, t, u]) for x in (q.value, q.total, q.direct)]
            for q in layer.quantities:
                if q.kind != "state":
                    continue
                terms = table(card, f"Terms of ∂loss/∂{q.name}[{i}]")
                assert terms.pop("Sum: the total gradient") == [g4(q.total[s, t, u])]
                assert terms == {term.text: [g4(term.values[s, t, u])] for term in q.terms}
                total = sum(float(term.values[s, t, u]) for term in q.terms)
                assert abs(total - float(q.total[s, t, u])) <= 1e-12 * max(abs(total), 1e-300)


def test_the_map_is_read_by_pointer_and_click(opened):
    layer = explored("lstm")[0]
    card = opened(page("lstm")).locator(".steps")
    image = card.locator(".step-map")
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    assert box is not None
    across, down = box["width"] / len(layer.at), box["height"] / len(layer.quantities[0].shown)
    place = {"x": 2.5 * across, "y": 1.5 * down}
    start = card.locator(".told").inner_text()
    image.hover(position=place)
    pointed = card.locator(".told").inner_text()
    assert pointed.startswith(f"Step {layer.at[2]}, unit {layer.quantities[0].shown[1]}")
    card.locator("select").hover()
    assert card.locator(".told").inner_text() == start
    image.click(position=place)
    card.locator("select").hover()
    assert card.locator(".told").inner_text() == pointed
    assert card.get_by_role("slider", name="Step").input_value() == "2"


def test_the_map_can_show_any_quantity(opened):
    layer = explored("lstm")[0]
    card = opened(page("lstm")).locator(".steps")
    choice = card.get_by_role("combobox", name="Map of")
    assert choice.locator("option").all_inner_texts() == [f"∂loss/∂{q.name}" for q in layer.quantities]
    for q in layer.quantities:
        choice.select_option(label=f"∂loss/∂{q.name}")
        assert f"∂loss/∂{q.name}[" in card.locator(".told").inner_text()
        shades = card.locator(".step-map g rect:not(.entry)")
        there = int(layer.present[0].sum())
        assert shades.count() == there * len(q.shown)
        negative = card.locator(".step-map g rect.neg").count()
        assert negative == int((q.total[0][layer.present[0]] < 0).sum())
