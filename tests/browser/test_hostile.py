"""Names from a model or a file in a real browser: whatever they are made of, they are text."""

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

import everygrad as eg
from everygrad import report
from tests.browser.pages import record
from tests.report.test_html import HOSTILE, hostile

HARMLESS = "harmless"


def renamed(value: Any, word: str) -> Any:
    """The record with the word in front of every text in it: of networks, layers, units, classes, formulas."""
    if isinstance(value, str):
        return word + value
    if is_dataclass(value) and not isinstance(value, type):
        kept = {"kind", "order", "when", "level", "role", "count", "label"}  # words of ours, digits, keys
        changed = {
            f.name: renamed(getattr(value, f.name), word) for f in fields(value) if f.init and f.name not in kept
        }
        return replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(renamed(item, word) for item in value)
    return value


def pages(word: str) -> str:
    """A chain, a recurrent network and a graph side by side, in which every name is the word."""
    chain, over_time = record("digits"), record("lstm")
    samples = tuple(replace(sample, label=word + sample.label) for sample in chain.explore.samples)
    chain = replace(
        chain,
        explore=replace(renamed(chain.explore, word), samples=samples),
        title=word,
        network=word,
        formulas=renamed(chain.formulas, word),
        maps=renamed(chain.maps, word),
        quantities=renamed(chain.quantities, word),
    )
    over_time = replace(over_time, explore=renamed(over_time.explore, word), network=word + "2")
    return report.to_html(chain, over_time, hostile(word))


def walk(shown) -> list[str]:
    """Everything that the script writes is made to be written; the tags of all elements of the page then."""
    shown.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    for column in shown.locator(".explorer .column").all():
        column.locator(".unit").first.click()
    for slider in shown.locator(":is(.explorer, .steps) input[type=range]").all():
        slider.press("ArrowRight")
    for choice in shown.locator(".steps select").all():
        choice.select_option(index=1)
    for plot in shown.locator(".plot").all()[:3]:
        plot.hover()
    shown.locator("button.csv").last.click()
    shown.mouse.move(1, 1)
    return shown.evaluate("[...document.querySelectorAll('*')].map(e => e.localName)")


COPIES = "Object.defineProperty(navigator, 'clipboard', {value: {writeText: () => Promise.resolve()}})"


@pytest.fixture(scope="module")
def harmless() -> list[list[str]]:
    return []


@pytest.mark.parametrize("word", [HOSTILE[i] for i in (0, 1, 2, 5, 9, 10)])  # all are parsed in tests/report
def test_no_name_becomes_an_element_or_runs(opened, harmless, word):
    if not harmless:
        harmless.append(walk(opened(pages(HARMLESS), before=COPIES)))
    shown = opened(pages(word), before=COPIES, width=1200)
    assert walk(shown) == harmless[0]
    attributes = shown.evaluate("[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())")
    assert not [name for name in attributes if name.startswith("on")]
    addresses = shown.evaluate("[...document.querySelectorAll('[href]')].map(e => e.getAttribute('href'))")
    assert [a for a in addresses if not a.startswith(("#", "data:image/png;base64,"))] == []
    assert shown.evaluate("document.documentElement.scrollWidth") == 1200


def test_the_names_are_there(opened):
    word = HOSTILE[0]
    shown = opened(pages(word), before=COPIES)
    walk(shown)
    for selector in (".explorer .told", ".explorer .shown", ".explorer output", ".steps .told", ".steps .shown"):
        assert word in shown.locator(selector).first.inner_text()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_shown_by_name(opened, bad):
    net = eg.FeedForward([3, 4, 2])
    params = net.init(0)
    params["W1"][1, 2] = bad
    x, y = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 1, 0, 1, 0])
    made = report.build(net, eg.gradients(net, params, x, y, check_finite=False))
    text = report.to_html(made)
    island = text.partition('id="everygrad-record">')[2].partition("</script>")[0]
    json.loads(island, parse_constant=pytest.fail)  # NaN and Infinity are strings, or base64
    shown = opened(text)
    units = shown.locator(".explorer .unit")
    words = []
    for i in range(units.count()):
        units.nth(i).hover()
        words.append(shown.locator(".explorer .panel").inner_text())
    assert any("NaN" in said or "Infinity" in said for said in words)
    assert shown.locator(".explorer .unit.broken").count() > 0 or bad != bad or "Infinity" in text
