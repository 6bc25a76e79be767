"""The page's script: small, and without any way for text to become markup or code, or to leave the page."""

import re
from importlib import resources

import pytest

from everygrad.report.notebook import frame
from everygrad.report.script import PARTS, module, policy, shortened

FOLDER = resources.files("everygrad.report").joinpath("page")
SOURCES = {part: FOLDER.joinpath(part).read_text("utf-8") for part in PARTS}
FORBIDDEN = re.compile(
    r"(inner|outer)HTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML|\beval\b|\bFunction\("
    r"|\bon[a-z]+ *=|[\"'`]on[a-z]+[\"'`] *:|setTimeout\([\"'`]|setInterval|javascript:"
    r"|\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\bimport\b|localStorage|sessionStorage|cookie|\.src *="
)


def test_every_file_of_the_folder_is_a_part():
    assert {path.name for path in FOLDER.iterdir()} == set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_text_cannot_become_markup_or_code_or_leave(part):
    assert FORBIDDEN.findall(SOURCES[part]) == []
    assert len(SOURCES[part].splitlines()) <= 400
    assert max(map(len, SOURCES[part].splitlines())) <= 120


@pytest.mark.parametrize(
    "planted",
    ["e.innerHTML = t", "document.write(t)", "eval(t)", "new Function(t)", "button.onclick = f", "fetch(u)",
     "import(u)", "setTimeout('f()', 1)", "image.src = u", "element('a', { 'onclick': f })"],
)  # fmt: skip
def test_the_search_sees_what_is_planted(planted):
    assert FORBIDDEN.search(planted)


def test_the_module_is_small_and_stays_in_its_element():
    assert len(module().encode("utf-8")) < 40_000
    assert not re.search("</script|<!--|]]>", module(), flags=re.IGNORECASE)
    assert module().count("export default") == 1


def test_comments_and_indentation_are_left_out_and_nothing_else():
    source = "// one\n\n  let a = 'x // y'; // two\n/** three */\n    a += `b`;\n"
    assert shortened(source) == "let a = 'x // y'; // two\na += `b`;"
    kept = [line.strip() for text in SOURCES.values() for line in text.splitlines() if line.strip()]
    left_out = [line for line in kept if line not in module().splitlines()]
    assert left_out
    assert all(re.match(r"// |/\*\* .*\*/$", line) for line in left_out)
    templates = re.findall("`[^`]*`", module())
    assert not any("\n" in text for text in templates)  # where indentation would count


def test_one_script_more_is_another_policy():
    assert policy("a") != policy("b")
    assert policy("a") == policy("a")
    assert "'unsafe-inline'" not in policy("a").partition("style-src")[0]


def test_a_page_survives_its_frame():
    page = '<p title="a\'b">&lt;&amp;#39;</p>'
    framed = frame(page)
    content = re.fullmatch(r"<iframe sandbox=\"allow-scripts\" [^>]* srcdoc='([^']*)'></iframe>", framed)
    assert content is not None
    assert content[1].replace("&#39;", "'").replace("&amp;", "&") == page
