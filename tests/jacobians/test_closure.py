"""The written tables, the rules, and what the rules return, are the same."""

import itertools
import subprocess
import sys

import pytest

from everygrad.checks.tolerance import assert_close
from everygrad.jacobians import ADD, COMPOSE, TYPES, Diagonal, Lookup, Mixture, Product, Sum, Weight
from everygrad.jacobians.closure import FILE, closure_markdown
from tests.jacobians import oracle
from tests.jacobians.cases import MATRICES, NAMES, Maker, common, fitting

# `Maker.of` builds a Sum of Dense + Selection and a Product of Dense ∘ Dense, which only the bare constructors keep
# apart. So the rules "merged" make one Dense of nearly everything; these are the exceptions.
NOT_DENSE = {
    ("Diagonal", "Sum"): "Product",  # Diagonal ∘ Selection is lazy
    ("Sum", "Diagonal"): "Product",
    ("Sum", "Row"): "Product",
    ("Product", "Row"): "Product",
    **{(name, lazy): "Product" for name in MATRICES for lazy in ("Sum", "Product")},
    ("Row", "Sum"): "Row",
    ("Row", "Product"): "Row",
}


def built(table, left, right):
    """J, K of the two types, with a batch where the type has one."""
    maker = Maker(seed=5)
    if table is COMPOSE:
        outs, mid, ins = fitting(left, right)
        return maker.of(left, (3,), outs, mid), maker.of(right, (3,), mid, ins)
    outs, ins = common(left, right)
    return maker.of(left, (3,), outs, ins), maker.of(right, (3,), outs, ins)


def test_the_tables_are_complete():
    pairs = set(itertools.product(TYPES, TYPES))
    assert set(COMPOSE.entries) == pairs
    assert set(ADD.entries) == pairs
    assert tuple(t.__name__ for t in TYPES) == NAMES


def test_the_file_is_what_the_rules_say():
    assert FILE.name == "CLOSURE.md"
    assert FILE.read_text(encoding="utf-8") == closure_markdown()


def test_the_command_writes_the_file(tmp_path):
    code = (
        "import pathlib, runpy, sys\n"
        "def show(self, text, encoding): sys.stdout.buffer.write((self.name + text).encode(encoding))\n"
        "pathlib.Path.write_text = show\n"
        "runpy.run_module('everygrad.jacobians.closure', run_name='__main__')"
    )
    source = str(FILE.parents[2])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path, env={"PYTHONPATH": source})
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == "CLOSURE.md" + closure_markdown()


def test_the_text_has_one_row_for_each_type():
    lines = closure_markdown().splitlines()
    assert lines[0] == "# What two Jacobians give together"
    assert [line for line in lines if line.startswith("## ")] == ["## J ∘ K", "## J + K"]
    heads = [line for line in lines if line.startswith("| J \\ K")]
    assert heads == ["| J \\ K | " + " | ".join(NAMES) + " |"] * 2
    assert [line for line in lines if line.startswith("|---")] == ["|---" * (len(NAMES) + 1) + "|"] * 2
    rows = [line for line in lines if line.startswith("| **")]
    assert [row.split("**")[1] for row in rows] == [*NAMES, *NAMES]
    assert "| **Zero** | " + " | ".join(["Zero"] * len(NAMES)) + " |" in rows
    assert "| **Row** | Row | Zero | Row | Row | Row | Row | Weight | Lookup | Mixture | merged | merged |" in rows
    assert "| **Weight** | Sum | Weight | Sum | Sum | Sum | Sum | Weight or Sum | Sum | Sum | merged | Sum |" in rows
    assert "" not in [cell.strip() for row in rows for cell in row.strip("|").split("|")]
    assert lines[lines.index("## J ∘ K") + 1] == lines[lines.index("## J + K") - 1] == ""
    assert closure_markdown().endswith("|\n")


@pytest.mark.parametrize(("left", "right"), list(itertools.product(NAMES, NAMES)))
def test_a_composition_has_the_type_that_the_table_says(left, right):
    J, K = built(COMPOSE, left, right)
    gives = COMPOSE.entries[type(J.J), type(K.J)].gives
    expected = (NOT_DENSE.get((left, right), "Dense"),) if gives == ("merged",) else gives
    assert (type(J.J @ K.J).__name__,) == expected


@pytest.mark.parametrize(("left", "right"), list(itertools.product(NAMES, NAMES)))
def test_a_sum_has_the_type_that_the_table_says(left, right):
    J, K = built(ADD, left, right)
    gives = ADD.entries[type(J.J), type(K.J)].gives
    found = type(J.J + K.J).__name__
    if left == right and left in MATRICES:
        assert gives == (left, "Sum")
        assert found == "Sum"  # two arrays h, or c, or two indices
    elif gives == ("merged",):  # the Dense in a Sum takes up all but the types of a matrix and Products
        assert found == ("Sum" if {*MATRICES, "Product"} & {left, right} else "Dense")
    else:
        assert (found,) == gives


def lazy(m, name, outs, ins):
    """A Product or Sum that does not merge by itself: a column times a row, and that added to a Selection."""
    if name not in ("Product", "Sum"):
        return m.of(name, (3,), outs, ins)
    outer = m.product(m.dense((3,), outs, (1,)), m.row((), ins))
    return outer if name == "Product" else m.sum(m.any_selection(outs, ins), outer)


@pytest.mark.parametrize(("left", "right"), [p for p in itertools.product(NAMES, NAMES) if {*p} & {"Sum", "Product"}])
def test_what_is_lazy_stays_lazy(left, right):
    maker = Maker(seed=5)
    outs, mid, ins = fitting(left, right)
    J, K = lazy(maker, left, outs, mid), lazy(maker, right, mid, ins)
    gives = COMPOSE.entries[type(J.J), type(K.J)].gives
    expected = ("Row" if left == "Row" else "Product",) if gives == ("merged",) else gives
    assert (type(J.J @ K.J).__name__,) == expected
    if "Zero" not in (left, right):
        assert_close((J.J @ K.J).dense(), oracle.chain(J.A, K.A).reshape((J.J @ K.J).shape))

    outs, ins = common(left, right)
    J, K = lazy(maker, left, outs, ins), lazy(maker, right, outs, ins)
    gives = ADD.entries[type(J.J), type(K.J)].gives
    assert (type(J.J + K.J).__name__,) == (("Sum",) if gives == ("merged",) else gives)
    assert_close((J.J + K.J).dense(), oracle.total(J.A, K.A).reshape((J.J + K.J).shape))


def test_weights_of_the_same_h_add_their_matrices():
    m = Maker(seed=1)
    one, other = m.weight(m.dense((3,), (2,), (4,)), (3,), 5), m.dense((), (2,), (4,))
    both = one.J + Weight(other.J, one.J.h)
    assert type(both) is Weight
    assert both.h is one.J.h
    assert type(both.M).__name__ == "Dense"
    apart = one.J + Weight(other.J, one.J.h.copy())
    assert type(apart) is Sum
    assert_close(both.dense(), apart.dense())


def test_weights_whose_matrices_have_other_shapes_stay_apart():
    m = Maker(seed=1)
    folded, straight = m.dense((), (3,), (2, 2)), m.dense((), (3,), (4,))
    h = m.values((3, 2))
    both = Weight(folded.J, h) + Weight(straight.J, h)
    assert type(both) is Sum
    assert_close(both.dense(), oracle.weight(oracle.total(folded.A, straight.A), h).reshape(both.shape))


def test_lookups_and_mixtures_of_the_same_rows_add_their_matrices():
    m = Maker(seed=1)
    M, N, folded = m.dense((3,), (2,), (4,)), m.dense((), (2,), (4,)), m.dense((), (2,), (2, 2))
    for one, copied in (
        (m.lookup(M, (3,), 5).J, lambda J: Lookup(N.J, J.index.copy(), 5)),
        (m.mixture(M, (3,), 5).J, lambda J: Mixture(N.J, J.c.copy())),
    ):
        both = one + one.with_matrix(N.J)
        assert type(both) is type(one)
        assert type(both.M).__name__ == "Dense"
        apart = one + copied(one)
        assert type(apart) is Sum
        assert_close(both.dense(), apart.dense())
        assert (one.with_matrix(folded.J)).in_shape == (5, 2, 2)
    J = m.lookup(M, (3,), 5).J
    assert type(J + Lookup(N.J, J.index, 5)) is Lookup
    assert not J.same_rows(Lookup(N.J, J.index, 6))


def test_a_lookup_takes_up_whatever_stands_before_it():
    m = Maker(seed=4)
    for w in (m.lookup(m.identity((3,)), (2,), 5), m.mixture(m.identity((3,)), (2,), 5)):
        for front in (m.dense((), (4,), (3,)), m.selection([0, 2], (3,)), m.row((2,), (3,)), m.diagonal((2,), (3,))):
            result = front.J @ w.J
            assert type(result) is type(w.J)
            assert result.same_rows(w.J)
            assert result.M is front.J
            assert_close(result.dense(), oracle.chain(front.A, w.A).reshape(result.shape))


def test_a_chain_merges_from_the_seam():
    m = Maker(seed=2)
    pick, scale, matrix = m.selection([2, 0], (3,)), m.diagonal((3,), (3,)), m.dense((), (3,), (4,))
    lazy = pick.J @ scale.J
    assert [type(f).__name__ for f in lazy.factors] == ["Selection", "Diagonal"]
    assert type(lazy @ matrix.J).__name__ == "Dense"
    twice = lazy @ m.diagonal((3,), (3,)).J
    assert [type(f).__name__ for f in twice.factors] == ["Selection", "Diagonal"]
    longer = lazy @ m.selection([1, 1, -1], (2,)).J
    assert [type(f).__name__ for f in longer.factors] == ["Selection", "Diagonal", "Selection"]
    other = m.diagonal((), (2,)).J @ m.selection([0, 1], (2,)).J
    joined = longer @ other
    assert [type(f).__name__ for f in joined.factors] == ["Selection", "Diagonal", "Selection", "Diagonal", "Selection"]
    whole = m.dense((), (5,), (2,)).J @ joined
    assert type(whole).__name__ == "Dense"


def test_a_chain_merges_on_both_sides_of_the_seam():
    m = Maker(seed=2)
    left = Product((m.selection([0, 1], (3,)).J, m.diagonal((), (3,)).J))
    right = Product((m.diagonal((), (3,)).J, m.selection([0, 1, 1], (2,)).J, m.diagonal((), (2,)).J))
    both = left @ right
    assert [type(f).__name__ for f in both.factors] == ["Selection", "Diagonal", "Selection", "Diagonal"]
    assert both.factors[2] is right.factors[1]
    assert both.factors[3] is right.factors[2]
    assert_close(both.dense(), left.dense() @ right.dense())

    through = left @ Product((m.dense((), (3,), (1,)).J, m.row((), (4,)).J))
    assert [type(f).__name__ for f in through.factors] == ["Dense", "Row"]


def test_rank_one_stays_factored():
    m = Maker(seed=3)
    row = m.row((3,), (50,))
    outer = row.J.T @ row.J
    assert type(outer) is Product
    assert outer.stored == 2 * 3 * 50
    assert_close(outer.dense(), oracle.chain(oracle.transpose(row.A), row.A))


def test_a_weight_takes_up_whatever_stands_before_it():
    m = Maker(seed=4)
    w = m.weight(m.identity((3,)), (2,), 5)
    assert w.J.stored == 10
    cases = {
        "Diagonal": (m.diagonal((2,), (3,)), 16),
        "Dense": (m.dense((), (4,), (3,)), 22),
        "Selection": (m.selection([0, 2], (3,)), 12),
        "Row": (m.row((2,), (3,)), 16),
        "Product": (m.product(m.selection([0, 2], (3,)), m.diagonal((), (3,))), 15),
        "Sum": (m.sum(m.selection([0, 2, 2], (3,)), m.diagonal((), (3,))), 16),
    }
    for name, (front, stored) in cases.items():
        result = front.J @ w.J
        assert type(result) is Weight
        assert result.h is w.J.h
        assert result.M is front.J, name
        assert result.stored == stored
        assert_close(result.dense(), oracle.chain(front.A, w.A).reshape(result.shape))


def test_sums_distribute_only_if_nothing_becomes_lazy():
    m = Maker(seed=6)
    both = m.sum(m.diagonal((), (3,)), m.selection([0, 2, 2], (3,)))
    matrix = m.dense((), (3,), (4,))
    assert type(both.J @ matrix.J).__name__ == "Dense"
    kept = both.J @ m.diagonal((2,), (3,)).J  # Selection ∘ Diagonal is lazy
    assert [type(f).__name__ for f in kept.factors] == ["Sum", "Diagonal"]
    front = m.dense((2,), (4,), (3,)).J
    assert type(front @ both.J).__name__ == "Dense"
    kept = m.diagonal((), (3,)).J @ both.J
    assert [type(f).__name__ for f in kept.factors] == ["Diagonal", "Sum"]
    weights = m.of("Weight", (2,), (3,), (3, 2)).J + m.of("Weight", (2,), (3,), (3, 2)).J
    parts = front @ weights
    assert [type(t).__name__ for t in parts.terms] == ["Weight", "Weight"]


def test_a_sum_gathers_what_merges():
    m = Maker(seed=7)
    pick, weight = m.selection([0, 2, 2], (3,)).J, m.of("Weight", (), (3,), (3, 1)).J
    parts = pick + m.diagonal((), (3,)).J
    assert [type(t).__name__ for t in parts.terms] == ["Selection", "Diagonal"]
    more = parts + m.diagonal((3,), (3,)).J
    assert [type(t).__name__ for t in more.terms] == ["Selection", "Diagonal"]
    assert more.batch == (3,)
    assert type(more + m.dense((), (3,), (3,)).J).__name__ == "Dense"
    twice = more + parts
    assert [type(t).__name__ for t in twice.terms] == ["Selection", "Selection", "Diagonal"]
    assert weight.in_shape == (3, 1)
    again = (weight + m.of("Weight", (), (3,), (3, 1)).J) + weight
    assert len(again.terms) == 2
    assert all(type(t) is Weight for t in again.terms)
    assert_close(again.dense(), again.terms[0].dense() + again.terms[1].dense())


def test_scalars_merge_into_the_first_factor():
    m = Maker(seed=8)
    pick = m.selection([0, 2], (3,))
    scaled = 3 * pick.J
    assert [type(f).__name__ for f in scaled.factors] == ["Diagonal", "Selection"]
    assert type(scaled.factors[0]) is Diagonal
    again = scaled / 2
    assert [type(f).__name__ for f in again.factors] == ["Diagonal", "Selection"]
    assert_close(again.dense(), 1.5 * pick.A)
    assert type(2 * m.identity((3,)).J) is Diagonal
    for name in ("Zero", "Diagonal", "Dense", "Row", "Weight", "Sum"):
        outs, ins = ((3,), (3, 2)) if name == "Weight" else ((1,), (1,))
        assert type(2 * m.of(name, (2,), outs, ins).J).__name__ == name
