"""Every printed number is the library's: derivations are read back from their text and compared."""

import re
from functools import cache

import numpy as np
import pytest

import everygrad as eg
from everygrad.backprop import contributions
from everygrad.checks.tolerance import assert_close
from everygrad.derive import Derivation
from everygrad.derive import expr as e
from everygrad.derive.evaluate import evaluate
from everygrad.derive.expr import Expr, Name
from everygrad.derive.notation import digits
from everygrad.derive.records import Equations
from everygrad.derive.setting import Setting
from everygrad.errors import UnsupportedError
from everygrad.through_time import state_jacobian, state_product, tensor
from tests.derive.graphs import ALL, Case
from tests.derive.reading import NUMBER, as_array, as_number, close, name_and_index, said, tables


@cache
def made(key: str) -> tuple[Case, Derivation, Setting]:
    case = ALL[key]
    return case, case.derive(), case.setting()


def library(s: Setting, text: str) -> np.ndarray:
    """The library's array for a printed name: of the sample shown, an element if there is an index."""
    names = {"L": "loss"} if "loss" in s.graph.by_name else {}
    for node, (quantity, t) in s.written.initial.items():
        names[f"{quantity}[{t}]"] = node
    name, index = (names.get(text, text), ()) if text in names or text in s.graph.by_name else name_and_index(text)
    if index and f"{name}[{index[0]}]" in {**names, **s.graph.by_name}:
        name, index = names.get(f"{name}[{index[0]}]", f"{name}[{index[0]}]"), index[1:]
    return np.asarray(s.numbers.value(name))[index], np.asarray(s.numbers.gradient(name))[index] if (
        name in s.gradients.arrays
    ) else None


def target(s: Setting) -> str:
    return {"loss": "L"}.get(s.of, s.of) if not s.of_index else re.sub(r"\]$", "", s.of) + f",{s.of_index[0]}]"


def jacobian_said(s: Setting, of: str, wrt: str) -> np.ndarray | None:
    """∂s[2]/∂s[0] and ∂⁺h[2,0]/∂W, of which the analyses of time have their own."""
    (u, i), (v, j) = name_and_index(of.removeprefix("∂⁺").removeprefix("∂")), name_and_index(wrt)
    label = next(iter(s.whole.trace.runs)) if s.whole is not None else "l0"
    if u == v == "s":
        if i[0] - j[0] == 1:
            return np.asarray(state_jacobian(s.whole, layer=label).dense(i[0]))[s.sample]
        found = state_product(s.whole, layer=label, t=i[0], k=j[0])
        return np.asarray(found.mantissa)[s.sample] * np.exp(np.asarray(found.log_scale)[s.sample])
    if of.startswith("∂⁺") and len(i) == 2:
        return np.asarray(tensor(s.whole, wrt=v, of=u).dense(i[0]))[s.sample, i[1]]
    return None


# reverse layers count steps in the order in which they read, which the reader below does not follow
READABLE = sorted(set(ALL) - {"bidirectional"})


@pytest.mark.parametrize("key", READABLE)
def test_every_equation_that_ends_in_numbers(key: str):
    _, d, s = made(key)
    compared = 0
    for line in said(d):
        match = re.fullmatch(r"(∂⁺?.+)/∂(.+)", line.left)
        if line.left.startswith("rows("):
            value = s.gradients[line.left.removeprefix("rows(∂L/∂").removesuffix(")")]
        elif match is None:
            value, _ = library(s, line.left)
        elif match[1] == f"∂{target(s)}":
            _, value = library(s, match[2])
        else:
            value = jacobian_said(s, *match.groups())
            if value is None:
                (of, p), (wrt, q) = (s.find(name) for name in (match[1].removeprefix("∂"), match[2]))
                value = _slope(s, of, wrt, q, s.sample)[p]
        assert value is not None, line.left
        shown = value[:3, :3] if line.left.startswith("∂⁺") else value
        assert close(line.value, shown), (line.left, line.value, shown)
        compared += 1
    assert compared >= (1 if d.question is not None else 0)


@pytest.mark.parametrize("key", READABLE)
def test_every_row_of_the_numbers(key: str):
    """The tables of values and gradients, of direct and total, of what is asked."""
    _, d, s = made(key)
    seen = 0
    for head, rows in tables(d, "The numbers"):
        assert head[0] == "v"
        for name, value, gradient in rows:
            mine, g = library(s, name)
            assert close(as_array(value), mine), name
            assert gradient == "" or close(as_array(gradient), g), name
            seen += 1
    for _, rows in tables(d, "What is asked"):
        for name, _, value, _ in rows:
            if not name.startswith("∂"):
                assert close(as_array(value), library(s, name)[0]), name
                seen += 1
    for _, rows in tables(d, "Direct and total"):
        node = s.find(ALL[key].wrt)[0]
        quantity, t = s.written.times[node]
        direct, total = s.whole.direct[quantity][s.sample, t], s.whole[quantity][s.sample, t]
        for (_, cell), expected in zip(rows, (direct, total - direct, total), strict=True):
            assert close(as_array(cell), expected)
            seen += 1
    assert seen


def _slope(s: Setting, consumer: str, name: str, index: tuple[int, ...], sample: int) -> np.ndarray:
    """∂consumer/∂name[index] by the complex step, from the printed equation of the consumer alone."""
    tree = s.written.formula(consumer)
    keys = {(n.text, n.step) for n in e.walk(tree) if isinstance(n, Name)}
    values = {k: np.asarray(v, complex) for k, v in s.numbers.environment(keys, sample).items()}
    own = s.written.name(name)
    values[own.text, own.step] = values[own.text, own.step].copy()
    values[own.text, own.step][index] += 1e-30j
    return np.imag(np.asarray(evaluate(tree, values))) / 1e-30


@pytest.mark.parametrize(
    "key", ["unit", "elman", "lstm", "formula", "quotient", "exact", "mean", "of_state", "projection"]
)
def test_the_table_of_factors(key: str):
    """∂L/∂u is the library's, ∂u/∂v the slope of the printed equation, the last column their product and its sum."""
    case, d, s = made(key)
    name, index = s.find(case.wrt)
    ((head, rows),) = tables(d, "Each factor")
    *terms, total = rows
    assert total[0] == "sum"
    products = []
    slopes: dict[str, list[float]] = {}
    for row in terms:
        if "other terms" in row[0]:
            products.append(as_number(row[-1]))
            continue
        n = int(row[0]) if head[0] == "sample" else s.sample
        u = row[1] if head[0] == "sample" else row[0]
        consumer, component = s.find(u) if u != "L" else (s.of, ())
        g, factor, product = map(as_number, row[-3:])
        expected = np.asarray(s.numbers.gradient(consumer, n), float)[component]
        assert close(g, expected), u
        slopes.setdefault(f"{n} {u}", []).append(factor)
        assert close(slopes[f"{n} {u}"][0], _slope(s, consumer, name, index, n)[component]) or len(slopes) < len(terms)
        assert product == pytest.approx(g * factor, rel=2e-5, abs=1e-12)
        products.append(product)
    assert sum(products) == pytest.approx(as_number(total[-1]), rel=1e-4)
    assert close(as_number(total[-1]), np.asarray(s.numbers.gradient(name), float)[index])


def _numeric(part: Expr) -> object | None:
    """The value of a formula in which all names have been replaced by numbers; None if some have not."""
    values: dict[tuple[str, str], object] = {}

    def change(node: Expr) -> Expr:
        if isinstance(node, e.Matrix):
            entries = [[x.value if isinstance(x, e.Number) else None for x in row] for row in node.rows]
            if any(x is None for row in entries for x in row):
                raise UnsupportedError("a gap")
            key = f"#{len(values)}"
            values[key, ""] = np.array(entries, float)  # a vector is a column
            return Name(key)
        return e.mapped(node, change)

    try:
        found = np.asarray(evaluate(change(part), values))
        return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    except UnsupportedError:
        return None


def test_the_numbers_put_in_give_the_result():
    """In `formula = the same with numbers = result` the middle evaluates to the result, in all digits."""
    checked = 0
    for key in READABLE:
        _, d, _ = made(key)
        for part in d.parts:
            for block in part.blocks:
                for line in block.lines if isinstance(block, Equations) else ():
                    if not isinstance(line, e.Chain) or line.parts[0] is None:
                        continue
                    results = [_numeric(p) for p in line.parts[1:]]
                    known = [np.asarray(r, float) for r in results if r is not None]
                    for r in known[:-1]:
                        assert_close(np.squeeze(r), np.squeeze(known[-1]), tol=1e-12, name=f"{key}: {part.title}")
                        checked += 1
    assert checked > 60


@pytest.mark.parametrize("key", ALL)
def test_the_last_line_is_the_check(key: str):
    case, d, s = made(key)
    last = d.to_text().splitlines()[-1]
    assert last.startswith("Check: ")
    assert "agrees" in last
    assert "relative error below 1e-13" in last
    assert d.ok
    assert d.error <= 1e-13
    if case.wrt is None:
        return
    name, index = s.find(case.wrt)
    g = np.asarray(s.numbers.gradient(name), float)
    np.testing.assert_array_equal(np.asarray(d.value, float), g[index] if index else g)
    if index or not g.ndim:
        (printed,) = re.findall(rf"= ({NUMBER}), agrees", last)
        assert close(as_number(printed), d.oracle)
    assert_close(np.asarray(d.value, float), np.asarray(d.oracle, float), tol=1e-12)


def test_the_term_of_each_step_adds_up():
    for key in ("elman", "gru", "projection", "long", "bidirectional"):
        case, d, s = made(key)
        ((_, rows),) = tables(d, "The term of each step")
        *terms, (label, total) = rows
        assert label == "sum"
        assert close(as_array(total), s.numbers.gradient(s.find(case.wrt)[0]))
        np.testing.assert_allclose(sum(as_array(cell) for _, cell in terms), as_array(total), rtol=1e-4, atol=1e-7)
        if key in ("gru", "elman"):  # each step's term is that of its consumer
            parts = contributions(s.gradients, s.find(case.wrt)[0])
            by_step = {re.search(r"\[(\d)\]", user)[1]: term for user, term in parts.items()}
            for k, cell in terms:
                np.testing.assert_allclose(as_array(cell), by_step[k], rtol=1e-5, atol=1e-7)


def test_the_unrolled_numbers_are_the_networks_own():
    for key in ("elman", "lstm", "gru", "projection", "lengths"):
        _, _, s = made(key)
        for name in s.graph.parameters:
            assert_close(s.gradients[name], s.whole[name], tol=1e-12, name=f"{key}: {name}")


def test_a_fault_is_seen_in_the_last_line(monkeypatch: pytest.MonkeyPatch):
    from everygrad.graph.elementwise import RULES

    broken = RULES["tanh"].__class__(
        **{
            **{f: getattr(RULES["tanh"], f) for f in RULES["tanh"].__dataclass_fields__},
            "derivative": lambda a, h: 1.0 - 0.9 * h * h,
        }
    )
    monkeypatch.setitem(RULES, "tanh", broken)
    d = eg.derive(eg.FeedForward([3, 4, 2]), "a1[1]")
    assert not d.ok
    assert "DOES NOT AGREE: relative error" in d.to_text().splitlines()[-1]


def test_six_digits():
    assert [digits(x) for x in (0.1234567, 1e-9, -0.0, 3, float("nan"), float("inf"))] == [
        "0.123457",
        "1e-09",
        "0",
        "3",
        "NaN",
        "∞",
    ]
