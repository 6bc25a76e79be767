"""One network on one batch as a record, and the record as text, JSON and a self-contained page."""

from everygrad.report.build import build
from everygrad.report.files import ensure_writable, write
from everygrad.report.html import to_html
from everygrad.report.json_ import schema, to_json
from everygrad.report.record import Report
from everygrad.report.text import to_text

__all__ = ["Report", "build", "ensure_writable", "schema", "to_html", "to_json", "to_text", "write"]
