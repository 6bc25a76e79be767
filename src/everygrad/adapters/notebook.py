"""A report as a Jupyter widget (``pip install everygrad[jupyter]``): the page, and what is looked at in it."""

from typing import Any, final

import anywidget
import traitlets

from everygrad.report import Report, to_html
from everygrad.report.script import module


@final
class ReportWidget(anywidget.AnyWidget):
    """The page of a report in a notebook, joined to Python: ``unit`` is the unit that is pinned in it.

    ``ReportWidget(report)``, or several reports side by side, as in `to_html`. The traits are in step with the page
    in both directions: ``network`` is the place of the network among the reports, ``unit`` the pinned unit
    (``"h1[3]"``, ``""`` for none), ``sample`` the index in the batch of the sample that its slider stands at. So
    ``eg.paths(net, params, *data, wrt=widget.unit, sample=widget.sample)`` goes on where one clicked, and
    ``widget.unit = "h1[3]"`` shows a unit; what the page does not show is passed over.

    The page stands in a frame of its own (``sandbox="allow-scripts"``), as with `Report` itself: its style, its ids
    and its content security policy stay inside, and it can reach nothing of the notebook. The widget's module is the
    page's own, whose ``render`` makes that frame.
    """

    _esm = module()

    page = traitlets.Unicode().tag(sync=True)
    network = traitlets.Int(0).tag(sync=True)
    unit = traitlets.Unicode("").tag(sync=True)
    sample = traitlets.Int(0).tag(sync=True)

    def __init__(self, report: Report, *others: Report, **options: Any) -> None:
        super().__init__(page=to_html(report, *others), **options)
