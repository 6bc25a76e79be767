"""A report as one self-contained page: no request, light and dark, for screen, paper and reader.

It is whole without script. On top of that comes one module (see `script`) and the numbers that it looks up (`island`).
"""

import re
from collections.abc import Sequence
from importlib import resources

from everygrad.report.island import island
from everygrad.report.markup import Markup, details, join, tag
from everygrad.report.record import Report
from everygrad.report.script import module, policy, shortened
from everygrad.report.sections import SECTIONS, header
from everygrad.report.tables import title
from everygrad.report.time_sections import compared, over_time
from everygrad.report.time_tables import names_of
from everygrad.report.words import clean


def to_html(report: Report, *others: Report) -> str:
    """The whole page as a string; see `write`. Its size does not grow with the network beyond a bound.

    With ``others`` the networks are shown side by side: what differs in one table, all about time in common scales,
    and then each by itself.
    """
    reports = [report, *others]
    script = module()
    style = resources.files("everygrad.report").joinpath("style.css").read_text("utf-8")
    shown = [part for part in (_whole(reports) if others else _single(report)) if part[2]]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=Markup(policy(script))),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title(reports)),
        tag("style", Markup(re.sub(r"\s*([{};])\s*", r"\1", shortened(style)))),
    )
    links = [tag("li", tag("a", heading, href=f"#{key}")) for key, heading, _ in shown]
    body = tag(
        "body",
        tag("a", "Skip to the report", href="#report", class_="skip"),
        header(reports),
        tag("nav", tag("ul", *links), aria_label="Sections"),
        tag("main", *(_section(*part) for part in shown), id="report"),
        tag(
            "footer",
            tag("p", f"Made by everygrad {report.version}. This page is complete: it loads nothing."),
            tag("p", id="status", role="status", class_="unseen"),
        ),
        tag("script", Markup(island(reports)), type="application/json", id="everygrad-record"),
        tag("script", script, type="module"),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


Part = tuple[str, str, Markup]
"""The key of a section, its heading, and what is in it."""


def _single(report: Report) -> list[Part]:
    parts = [(key, heading, section(report, "")) for key, heading, section in SECTIONS]
    return [parts[0], ("time", "Over time", over_time([report])), *parts[1:]]


def _whole(reports: Sequence[Report]) -> list[Part]:
    """What several networks share, and each of them, with sections that open on request."""
    parts = [("compared", "Side by side", compared(reports)), ("time", "Over time", over_time(reports))]
    for i, (report, name) in enumerate(zip(reports, names_of(reports), strict=True)):
        own = [(f"n{i}-{key}", heading, section(report, f"n{i}-{key}-")) for key, heading, section in SECTIONS]
        folded = [  # a link to what is in a closed one opens it
            details(heading, tag("div", content, id=key, class_="inside"), class_="part", open_=not at)
            for at, (key, heading, content) in enumerate(own)
            if content
        ]
        parts.append((f"n{i}", clean(name), join(*folded)))
    return parts


def _section(key: str, heading: str, content: Markup) -> Markup:
    return tag("section", join(tag("h2", heading, id=key), content), aria_labelledby=key)
