"""A report as one self-contained page: no script, no request, light and dark, for screen, paper and reader."""

from importlib import resources

from everygrad.report.markup import Markup, join, tag
from everygrad.report.record import Report
from everygrad.report.sections import SECTIONS, header
from everygrad.report.tables import title

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def to_html(report: Report) -> str:
    """The whole page as a string; see `write`. Its size does not grow with the network beyond a bound."""
    style = resources.files("everygrad.report").joinpath("style.css").read_text("utf-8")
    filled = [(key, heading, section(report)) for key, heading, section in SECTIONS]
    shown = [(key, heading, content) for key, heading, content in filled if content]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=Markup(POLICY)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title(report)),
        tag("style", Markup(style)),
    )
    links = [tag("li", tag("a", heading, href=f"#{key}")) for key, heading, _ in shown]
    body = tag(
        "body",
        tag("a", "Skip to the report", href="#report", class_="skip"),
        header(report),
        tag("nav", tag("ul", *links), aria_label="Sections"),
        tag("main", *(_section(*part) for part in shown), id="report"),
        tag("footer", tag("p", f"Made by everygrad {report.version}. This page is complete: it loads nothing.")),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _section(key: str, heading: str, content: Markup) -> Markup:
    return tag("section", join(tag("h2", heading, id=key), content), aria_labelledby=key)
