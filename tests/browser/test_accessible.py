"""axe-core's rules, in both themes, as the page comes and while something is pinned; wide and narrow."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.pages import page

PAGES = [
    (("checked",), "light"),
    (("checked",), "dark"),
    (("skip",), "dark"),
    (("lstm",), "light"),
    (("digits", "elman"), "light"),
    (("digits",), "dark"),
]


def violations(shown) -> list[str]:
    found = Axe().run(shown).response
    assert len(found["passes"]) > 20
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize(("kinds", "scheme"), PAGES)
def test_axe_finds_nothing(opened, kinds, scheme):
    width = 360 if scheme == "dark" else 1200
    shown = opened(page(*kinds), width=width, color_scheme=scheme, reduced_motion="reduce")
    shown.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    if shown.locator(".explorer").count() and scheme == "dark":  # the panel with a unit's paths, and without
        shown.locator(".explorer .unit").last.click()
    assert violations(shown) == []


def test_axe_would_find_something(opened):
    shown = opened(
        page("checked").replace('lang="en"', "").replace("--soft: light-dark(#5a646e", "--soft: light-dark(#eeeeee")
    )
    assert {line.partition(":")[0] for line in violations(shown)} >= {"html-has-lang", "color-contrast"}
