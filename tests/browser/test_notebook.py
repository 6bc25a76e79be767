"""A report in a notebook's page: framed, working, and unable to touch what is around it."""

import pytest

from everygrad.adapters import ReportWidget
from everygrad.report import to_html
from everygrad.report.script import module
from tests.browser.pages import page, record

NOTEBOOK = """<!doctype html><html lang="en"><title>notebook</title><style>table {{ color: rgb(1, 2, 3) }}</style>
<body><div id="report">cell 1</div><table><tr><td>mine</table>{}{}</body></html>"""
AROUND = (
    "[document.title, document.documentElement.outerHTML.length, location.href, "
    "getComputedStyle(document.querySelector('table')).color, Object.keys(window).length]"
)


def test_two_reports_work_in_one_notebook(opened):
    shown = opened(NOTEBOOK.format(record("digits")._repr_html_(), record("lstm")._repr_html_()))
    before = shown.evaluate(AROUND)
    first, second = shown.frame_locator("iframe").nth(0), shown.frame_locator("iframe").nth(1)
    unit = first.locator(".column").nth(1).locator(".unit").nth(5)
    unit.click()
    assert first.locator(".told").inner_text().startswith("h1[5], pinned: ")
    slider = second.locator(".steps").get_by_role("slider", name="Step")
    start = int(slider.input_value())
    slider.press("ArrowLeft")
    assert second.locator(".steps .told").inner_text().startswith(f"Step {start - 1}, unit ")
    first.locator("#theme").click()
    assert shown.evaluate(AROUND) == before
    link = first.locator("nav a").nth(2)
    link.click()
    target = first.locator(f"[id='{(link.get_attribute('href') or '')[1:]}']")
    assert target.evaluate("t => t === document.activeElement")
    assert shown.evaluate(AROUND) == before  # the link led within the frame


def test_the_frame_can_reach_nothing(opened):
    shown = opened(NOTEBOOK.format(record("checked")._repr_html_(), ""))
    shown.frame_locator("iframe").locator(".told").wait_for()
    frame = shown.frames[1]
    for reach in ("parent.document.title", "top.location.href", "localStorage.length", "document.cookie"):
        with pytest.raises(Exception, match=r"SecurityError|cross-origin|sandboxed|denied"):
            frame.evaluate(reach)


def test_the_frame_holds_the_whole_page(opened):
    shown = opened(NOTEBOOK.format(record("skip")._repr_html_(), ""))
    assert shown.locator("iframe").get_attribute("srcdoc") == page("skip")
    assert shown.locator("iframe").get_attribute("sandbox") == "allow-scripts"


HOST = """async (esm) => {
  const heard = {};
  const model = window.model = {
    get: (name) => state[name],
    set: (more) => Object.assign(state, more),
    save_changes: () => (window.saved = { network: state.network, unit: state.unit, sample: state.sample }),
    on: (names, call) => names.split(" ").forEach((name) => (heard[name] = call)),
    change: (name, value) => { state[name] = value; heard[`change:${name}`](); },
  };
  const loaded = await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })));
  window.gone = loaded.default.render({ model, el: document.querySelector("#report") });
}"""


def test_the_widget_is_in_step_with_python(opened):
    widget = ReportWidget(record("digits"), record("lstm"))
    assert widget.get_state()["page"] == to_html(record("digits"), record("lstm"))
    assert str(widget.get_state()["_esm"]) == module()
    shown = opened(NOTEBOOK.format("", ""))
    shown.evaluate("page => { window.state = { network: 0, unit: '', sample: 0, page } }", widget.page)
    shown.evaluate(HOST, widget._esm)
    inside = shown.frame_locator("iframe")
    inside.locator("summary", has_text="Network").first.click()
    inside.locator(".column").nth(1).locator(".unit").nth(5).click()
    shown.wait_for_function("window.saved?.unit")
    explored = record("digits").explore
    assert shown.evaluate("window.saved") == {"network": 0, "unit": "h1[5]", "sample": explored.samples[0].index}
    shown.evaluate("model.change('unit', 'h2[3]')")
    inside.locator(".told", has_text="h2[3], pinned").wait_for()
    shown.evaluate("index => model.change('sample', index)", explored.samples[2].index)
    inside.locator(".explorer output", has_text=f"{explored.samples[2].index}: target").wait_for()
    shown.evaluate("model.change('unit', 'no such unit')")
    inside.locator(".told").first.wait_for()
    inside.locator(".told", has_text="pinned").wait_for(state="detached")
    shown.evaluate("gone()")
