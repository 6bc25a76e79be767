"""The page as a parser sees it: complete, offline, in order, accessible, and proof against hostile names."""

import base64
import hashlib
import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest

import everygrad as eg
from everygrad import report
from everygrad.networks import GraphNetwork
from tests.report.cases import ALL, Page, made

POLICY = (
    "default-src 'none'; script-src 'sha256-{}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
SVG_NAMESPACE = "http://www.w3.org/2000/svg"  # the only address in the page: a name, which nobody loads
ALLOWED = {
    "a", "body", "button", "caption", "circle", "code", "dd", "desc", "details", "div", "dl", "dt", "figcaption",
    "figure", "footer", "g", "h1", "h2", "h3", "h4", "head", "header", "html", "i", "image", "img", "li", "main",
    "meta", "nav", "p", "path", "pre", "rect", "script", "section", "span", "strong", "style", "summary", "svg",
    "table", "tbody", "td", "text", "th", "thead", "title", "tr", "ul",
}  # fmt: skip
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>alert(1)</script>",
    "</title><svg onload=alert(1)>",
    "{{constructor.constructor('alert(1)')()}}",
    "' onmouseover='alert(1)",
    "javascript:alert(1)//http://example.org",
    "&lt;b&gt; &amp; <!-- -->",
    "]]><x>",
    "a\x1b[31mred\x00\u202egnp.exe\ud800\n",
    "long " * 400,
]


COMPARED = ["checked", "elman", "lstm", "elman"]


@pytest.fixture(scope="module", params=[*ALL, "compared"])
def page(request):
    shown = COMPARED if request.param == "compared" else [request.param]
    text = report.to_html(*map(made, shown))
    return text, Page(text)


def test_it_is_one_offline_file(page):
    text, parsed = page
    assert len(text.encode("utf-8")) < 400_000
    for _, attributes in parsed.elements:
        for key in ("src", "href", "srcset", "action", "data", "xlink:href", "background", "poster"):
            target = attributes.get(key)
            assert target is None or target.startswith(("#", "data:image/png;base64,"))
        assert "url(" not in (attributes.get("style") or "")
    ((_, style),) = parsed.all("style")
    assert not re.search(r"url\(|@import|https?:|//", style)
    assert text.count(SVG_NAMESPACE) == 1
    markup = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text).replace(SVG_NAMESPACE, "")
    assert not re.search(r"https?:|url\(|[\"'(]//", markup)


def test_the_policy_allows_one_script_styles_and_inline_pictures_only(page):
    text, parsed = page
    policies = [a["content"] for a, _ in parsed.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    island, module = re.findall(r"<script([^>]*)>(.*?)</script>", text, flags=re.DOTALL)
    assert policies[0] == POLICY.format(base64.b64encode(hashlib.sha256(module[1].encode()).digest()).decode())
    assert (island[0], module[0]) == (' type="application/json" id="everygrad-record"', ' type="module"')
    assert len(parsed.all("script")) == 2
    json.loads(island[1], parse_constant=pytest.fail)  # NaN and Infinity are no JSON
    assert not set("<>&\u2028\u2029") & set(island[1])
    assert {name for name, _ in parsed.elements} <= ALLOWED
    assert not [a for _, a in parsed.elements if any(key.startswith("on") for key in a)]


def test_landmarks_headings_and_references_are_in_order(page):
    _, parsed = page
    names = [name for name, _ in parsed.elements]
    assert [names.count(name) for name in ("html", "head", "body", "header", "nav", "main", "footer", "h1")] == [1] * 8
    assert parsed.elements[0] == ("html", {"lang": "en"})
    levels = [int(name[1]) for name in names if name in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for name, attributes in parsed.elements:
        pointed = [*(attributes.get("aria-labelledby") or "").split()]
        pointed += [(attributes["href"] or "")[1:]] if name == "a" else []
        assert set(pointed) <= set(ids)


def test_pictures_and_tables_can_be_read_without_seeing_them(page):
    _, parsed = page
    for attributes, _ in parsed.all("img"):
        assert len(attributes["alt"]) > 20
    for attributes, text in parsed.all("svg"):
        assert attributes["role"] == "img"
        assert len(text) > 20
        assert len((attributes["aria-labelledby"] or "").split()) == 2
    tables = parsed.all("table")
    assert len(parsed.all("caption")) == len(tables) >= 2
    assert {a.get("scope") for a, _ in parsed.all("th")} == {"col", "row"}
    for attributes, _ in parsed.all("div"):
        if attributes.get("class") == "wide":  # what scrolls can be reached with the keyboard and has a name
            assert (attributes["tabindex"], attributes["role"]) == ("0", "group")
            assert attributes["aria-label"]


def test_every_gradient_is_in_the_table():
    r = made("checked")
    parsed = Page(report.to_html(r))
    rows = [text for _, text in parsed.all("tr")]
    for q in r.quantities:
        (row,) = [row for row in rows if row.startswith(q.name + q.role)]
        assert f"{q.norm:.4g}" in row
        assert q.error is None or f"{q.error:.2g}" in row


def test_every_formula_is_a_line_of_code():
    r = made("checked")
    parsed = Page(report.to_html(r))
    assert [text for _, text in parsed.all("code")] == list(r.formulas)
    ((attributes, text),) = parsed.all("pre")
    assert text.splitlines() == list(r.formulas)
    assert attributes["tabindex"] == "0"  # it may scroll


def test_the_verdict_stands_on_top():
    r = made("deep")
    text = report.to_html(r)
    assert r.level == "error"
    headline = r.verdict.headline
    assert 0 < text.index(headline) < text.index("<nav")
    assert text.count(headline) == 1
    assert Page(text).all("header")[0][1].count("Something is wrong") == 1


def test_it_says_what_is_not_shown():
    text = report.to_html(made("wide"))
    for part in ("32 of 784 units of h0", "32 of 512 units of h1", "420 of 668,672 weights", "48 of 784 units"):
        assert part in text
    deep = report.to_html(made("deep"))
    assert "12 of 21 layers" in deep
    assert ">9 layers<" in deep
    assert re.search(r"16 of \d+ quantities are shown", deep)


def test_dead_units_are_listed_up_to_a_number():
    net = eg.FeedForward([4, 50, 3], activation="relu")
    params, rng = net.init(0), np.random.default_rng(0)
    params["b1"] = np.where(np.arange(50) < 45, -100.0, 100.0)
    r = report.build(net, eg.gradients(net, params, rng.normal(size=(30, 4)), rng.integers(0, 3, 30)))
    text = report.to_html(r)
    listed = [row for _, row in Page(text).all("tr") if re.match(r"h1\[\d+\]dead", row)]
    assert len(listed) == 20
    assert "and 25 units more." in text
    assert "and 25 units more" in report.to_text(r)
    assert "45 of 50 units of h1 are dead" in text


def test_numbers_that_are_not_finite_are_named():
    def f(x):
        return eg.ops.reduce(eg.ops.sum(eg.ops.log(x)))

    graph = eg.graph(f)
    r = report.build(graph, eg.gradients(graph, {}, np.array([[0.0, -1.0, 2.0]]), check_finite=False))
    for text in (report.to_html(r), report.to_text(r)):
        assert "NaN" in text
        assert "Infinity" in text
    assert Page(report.to_html(r)).all("img")
    broken = [{"epoch": 1, "loss": float("nan")}, {"epoch": 2, "loss": float("inf"), "gradient_norms": {"W1": 0.0}}]
    assert "no number that could be drawn" in report.to_html(made("linear", history=broken))


def hostile(word: str) -> report.Report:
    """A report in which every text that comes from outside is the word."""

    def f(x, y, *, W, V):
        h = eg.ops.tanh(W @ x).named(word + "h")
        return eg.ops.squared_error((V @ h + x).named(word + "a"), y).named(word + "loss")

    graph, rng = eg.graph(f), np.random.default_rng(0)
    net = GraphNetwork(graph, word + "a")
    params = {"W": rng.normal(size=(3, 3)), "V": rng.normal(size=(3, 3))}
    g = eg.gradients(net, params, rng.normal(size=(5, 3)), rng.normal(size=(5, 3)))
    data = {"name": word, "task": word, "source": word, "rows": 5, "features": [word], "classes": [word, word + "2"]}
    rows = [{"epoch": e, "loss": 1.0 / e, "gradient_norms": {word: 1.0, word + "b": 2.0}} for e in (1, 2, 3)]
    r = report.build(net, g, history=rows, data=data, title=word)
    return replace(r, network=word, version=word, dtype=word, library=word)


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_names_stay_text(word):
    harmless, parsed = Page(report.to_html(hostile("harmless"))), Page(report.to_html(hostile(word)))
    assert [name for name, _ in parsed.elements] == [name for name, _ in harmless.elements]
    assert [set(a) for _, a in parsed.elements] == [set(a) for _, a in harmless.elements]
    hidden = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
    assert not hidden.search(report.to_html(hostile(word)))
    assert not hidden.search(report.to_text(hostile(word)))
    report.to_html(hostile(word)).encode("utf-8")
    assert len(parsed.all("title")[0][1]) <= 80
    if "<script>" in word:
        assert parsed.all("title")[0][1] == word


@pytest.mark.parametrize("word", HOSTILE[:4])
def test_the_parser_would_see_a_name_that_is_not_escaped(word):
    text = report.to_html(hostile("harmless")).replace("harmless", word, 1)
    try:
        names = [name for name, _ in Page(text).elements]
    except AssertionError:
        return
    assert names != [name for name, _ in Page(report.to_html(hostile("harmless"))).elements]
