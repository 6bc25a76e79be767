"""The site is built without a warning, needs nothing from elsewhere, and shows everything that the package gives."""

import inspect
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import everygrad as eg
from everygrad.cli.app import COMMANDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(p.relative_to(DOCS).with_suffix("") for kind in ("md", "rst") for p in DOCS.rglob(f"*.{kind}"))
LOADS = {"audio", "embed", "iframe", "img", "link", "object", "script", "source", "track", "video"}
NOT_LOADED = {"canonical", "index", "next", "prev", "search"}

pytestmark = pytest.mark.slow


def build(source, target):
    # what the site's own code prints must not depend on a flag of the tests
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-d", target.parent / "doctrees"]
    return subprocess.run([*command, source, target], env=environment, capture_output=True, text=True, check=False)


class Loaded(HTMLParser):
    """What a browser loads when it opens a page, and what the page's own text is."""

    def __init__(self, text):
        super().__init__()
        self.found, self.styles = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in LOADS and not (tag == "link" and attrs.get("rel") in NOT_LOADED):
            self.found += [attrs[key] for key in ("src", "href", "data", "srcset") if attrs.get(key)]
        self.styles.append(attrs.get("style") or "")


def addresses(css):
    return re.findall(r"url\(\s*['\"]?([^'\")]+)", css) + re.findall(r"@import\s+['\"]([^'\"]+)", css)


def every_page_is_built(site):
    assert len(PAGES) > 20
    assert [str(page) for page in PAGES if not (site / page).with_suffix(".html").is_file()] == []


def nothing_is_loaded_from_elsewhere(site):
    elsewhere, seen = [], 0
    for page in site.rglob("*.html"):
        loaded = Loaded(page.read_text("utf-8"))
        for address in [*loaded.found, *(a for style in loaded.styles for a in addresses(style))]:
            seen += 1
            if re.match(r"(?:[a-z]+:)?//", address):
                elsewhere.append((page.name, address))
            elif not address.startswith("data:"):
                assert (page.parent / re.split(r"[?#]", address)[0]).exists(), (page.name, address)
    for sheet in site.rglob("*.css"):
        elsewhere += [(sheet.name, a) for a in addresses(sheet.read_text("utf-8")) if re.match(r"(?:[a-z]+:)?//", a)]
    assert seen > 100
    assert elsewhere == []


def test_the_search_for_what_is_loaded_sees_it():
    page = '<script src="//cdn/x.js"></script><link rel="next" href="a"><link rel="stylesheet" href="https://b">'
    assert Loaded(page).found == ["//cdn/x.js", "https://b"]
    assert addresses("a { src: url('https://font') } @import \"//c\";") == ["https://font", "//c"]


def the_reference_has_the_whole_public_face(site):
    pages = "".join(p.read_text("utf-8") for p in (site / "reference").glob("*.html"))
    anchors = set(re.findall(r'id="(?:module-)?everygrad\.([\w.]+)"', pages))
    rooms = {"errors", "diagnose", "report", "through_time"}  # shown as modules
    assert anchors >= rooms
    assert [n for n in eg.__all__ if n not in anchors | {"ops", "__version__"}] == []
    assert "graph.ops.tanh" in anchors
    for room in sorted(rooms - {"errors"}):
        face = [
            n
            for n in getattr(eg, room).__all__
            if inspect.isroutine(member := getattr(getattr(eg, room), n)) or inspect.isclass(member)
        ]
        assert face
        assert [n for n in face if not any(a.endswith(f".{n}") for a in anchors)] == [], room


def the_lecture_shows_the_lectures_numbers(site):
    """The first and the last thing of the lecture, against numbers that are known without the library."""
    text = re.sub(r"<[^>]+>", "", (site / "lecture.html").read_text("utf-8"))
    assert "dz/dx = 2.5 = 1 + 1.5" in text  # 5/x at 2
    assert "27 entries, 9 of them not zero" in text
    assert "6 numbers are stored for each step" in text
    assert "right: 12 quantities against the complex step" in text


def test_the_site(tmp_path):
    """One test for one build: with several processes a fixture would build it in each."""
    done = build(DOCS, site := tmp_path / "html")
    assert (done.returncode, done.stderr) == (0, "")
    every_page_is_built(site)
    nothing_is_loaded_from_elsewhere(site)
    the_reference_has_the_whole_public_face(site)
    the_lecture_shows_the_lectures_numbers(site)


def test_every_example_is_shown():
    shown = (DOCS / "how-to" / "examples.md").read_text("utf-8")
    for example in sorted((ROOT / "examples").glob("*.py")):
        assert f"../../examples/{example.name}" in shown, f"{example.name} is missing in docs/how-to/examples.md"


def test_no_page_promises_what_is_not_there():
    rooms = ("through_time", "diagnose", "report", "errors")
    for page in PAGES:
        path = next(p for p in (DOCS / f"{page}.md", DOCS / f"{page}.rst") if p.is_file())
        text = path.read_text("utf-8")
        for name in set(re.findall(r"\beg\.(\w+)", text)):
            assert hasattr(eg, name), f"{page}: eg.{name}"
        for name in set(re.findall(r"(?:`|^ *|\$ )everygrad (\w+)", text, flags=re.MULTILINE)):
            assert name in COMMANDS, f"{page}: everygrad {name}"
        for room, name in set(re.findall(rf"\beg\.({'|'.join(rooms)})\.(\w+)", text)):
            assert hasattr(getattr(eg, room), name), f"{page}: eg.{room}.{name}"


PLANTED = {
    "an exception": ("```{computed}\n1 / 0\n```", "ZeroDivisionError"),
    "a warning": ("```{computed}\nimport numpy as np\nnp.float64(1) / 0\n```", "RuntimeWarning"),
    "a value that fails": ("the value {value}`nothing + 1`", "NameError"),
    "another page's name": ("{value}`elsewhere`", "NameError"),
    "a wrong derivation": (
        "```{computed}\nimport numpy as np\nfrom oracle import compare\nx = np.ones(3)\n"
        "compare(lambda see: (see('x', x) ** 2).sum(), {'x': 3 * x})\n```",
        "CheckFailed",
    ),
    "a command that fails": ("```{command}\neverygrad shapes --network nonsense\n```", "ended with 2"),
    "a formula that is none": ("$\\nonsense$", "nonsense"),
    "a link to nowhere": ("[here](nowhere.md)", "nowhere.md"),
}


def small_site(folder, extra=""):
    """Two pages with this site's own configuration."""
    configuration = (DOCS / "conf.py").read_text("utf-8").replace("Path(__file__).parent", f"Path({str(DOCS)!r})", 1)
    configuration = configuration.replace('["_static"]', "[]").replace('["site.css"]', "[]")
    pages = {
        "index": "# Title\n\n```{toctree}\nbefore\npage\n```\n",
        "before": "# Before\n\n```{computed}\nelsewhere = 1\n```\n",
        "page": f"# Page\n\n```{{computed}}\nhere = 2\n```\n\nIt is {{value}}`here + 1`, $x^2$.\n\n{extra}\n",
    }
    folder.mkdir()
    (folder / "conf.py").write_text(configuration, "utf-8")
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, "utf-8")
    return folder


def test_a_sound_page(tmp_path):
    done = build(small_site(tmp_path / "source"), tmp_path / "html")
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "html" / "page.html").read_text("utf-8")
    assert '<span class="computed-value">3</span>' in page
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in re.sub(r">\s+<", "><", page)


@pytest.mark.parametrize("name", PLANTED)
def test_a_fault_on_a_page_ends_the_build(name, tmp_path):
    fault, said = PLANTED[name]
    done = build(small_site(tmp_path / "source", fault), tmp_path / "html")
    assert done.returncode != 0
    assert said in done.stderr
