"""The report as a widget: what a notebook is sent."""

import pytest
import traitlets

from everygrad.adapters import ReportWidget
from everygrad.report import to_html
from everygrad.report.script import module
from tests.report.cases import made


def test_the_notebook_is_sent_the_page_and_its_module():
    one, two = made("checked"), made("elman")
    widget = ReportWidget(one, two, unit="h1[2]")
    state = widget.get_state()
    assert state["page"] == to_html(one, two)
    assert str(state["_esm"]) == module()
    assert (state["network"], state["unit"], state["sample"]) == (0, "h1[2]", 0)


def test_a_change_of_either_side_is_sent_to_the_other():
    widget = ReportWidget(made("checked"))
    heard = []
    widget.observe(lambda change: heard.append((change["name"], change["new"])), ["network", "unit", "sample"])
    widget.set_state({"network": 0, "unit": "h1[3]", "sample": 7})  # as the page's message arrives
    assert (widget.unit, widget.sample) == ("h1[3]", 7)
    assert heard == [("unit", "h1[3]"), ("sample", 7)]
    with pytest.raises(traitlets.TraitError):
        widget.unit = 3
