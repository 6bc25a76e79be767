"""A page inside a notebook's page: in a frame of its own, so that neither can touch the other."""

from everygrad.report.markup import Markup, tag

HEIGHT = "44rem"


def frame(page: str) -> str:
    """The page as the content of an ``<iframe>``, which comes with it in one piece.

    A frame and not a fragment, since the page has ids, styles for `html` and a content security policy: in a frame
    they hold for the report alone, two reports in one notebook do not mix, and the policy that the report is tested
    with is the one that it runs under. ``sandbox="allow-scripts"`` gives it an origin of its own: its script can
    reach nothing of the notebook, nor the notebook's address, cookies or storage.
    """
    content = page.replace("&", "&amp;").replace("'", "&#39;")
    opening = tag("iframe", sandbox="allow-scripts", title="everygrad report", style=_STYLE).removesuffix("></iframe>")
    return Markup(f"{opening} srcdoc='{content}'></iframe>")


_STYLE = f"width:100%;height:{HEIGHT};border:0;resize:vertical"
