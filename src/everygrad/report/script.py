"""The page's script: one module, joined from its parts, and the policy that allows it and nothing else."""

import base64
import hashlib
from importlib import resources

from everygrad.report.markup import Markup

PARTS = ("common.js", "plots.js", "network.js", "steps.js", "page.js")
"""In `report/page/`; what a part uses of another stands before it."""


def module() -> Markup:
    """The text of the module: it stands in every page, and a notebook's widget loads it as it is."""
    folder = resources.files("everygrad.report").joinpath("page")
    return Markup("\n".join(shortened(folder.joinpath(part).read_text("utf-8")) for part in PARTS))


def shortened(source: str) -> str:
    """JavaScript or CSS without indentation, empty lines and lines that are a comment: nothing else is touched."""
    lines = (line.strip() for line in source.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("// ", "/* ", "/** ")))


def policy(script: str) -> str:
    """The Content-Security-Policy of the page: this script by its hash, inline styles and pictures, nothing else.

    Nothing is loaded, sent or framed; an attribute or an address that holds a script does nothing.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
