"""The closure tables as text. ``python -m everygrad.jacobians.closure`` writes `CLOSURE.md` anew."""

from pathlib import Path

from everygrad.jacobians.algebra import TYPES
from everygrad.jacobians.registry import ADD, COMPOSE, Table

FILE = Path(__file__).with_name("CLOSURE.md")

INTRODUCTION = """\
# What two Jacobians give together

Written from the rules in `algebra.py` by `python -m everygrad.jacobians.closure`; a test compares this file with the
rules, and the rules with what they return. A row is the left operand J, a column the right operand K.
Where a cell names two types, the values decide.

- *merged*, with a Product: the factors stand in a row, and from the seam on neighbours are composed by this table for
  as long as that gives something else than a Product. What is left is a Product, or the one factor that remains.
- *merged*, with a Sum: for ∘ the sum is distributed over the other operand and the terms are added, if no term becomes
  lazy (a Sum or a Product); otherwise the result is the Product of the two. For + each new term is added by the table
  to every earlier one that it merges with; what is left is a Sum, or the one term that remains.
- Weight + Weight is a Weight if both hold the very same array h (and their M the same shapes), otherwise a Sum. So it
  is with Lookup + Lookup and their index, and with Mixture + Mixture and their coefficients.
- Transposes: Identity, Zero, Diagonal and Dense keep their type; a Row gives a Dense column; a Selection gives a
  Selection if no input is read twice, else a Row if it has one input, else a Dense; Sum and Product transpose their
  parts. Weight, Lookup and Mixture have no transpose in this family.
- A scalar times any type keeps the type, but for Identity (a Diagonal), Selection (a Product with a Diagonal in front)
  and Product (whose first factor takes it up if it can).
"""


def closure_markdown() -> str:
    """The text of `CLOSURE.md`: a few sentences, then the tables of ∘ and +."""
    return "\n".join([INTRODUCTION, _table(COMPOSE), _table(ADD)])


def _table(table: Table) -> str:
    names = [t.__name__ for t in TYPES]
    lines = [f"## J {table.symbol} K", "", f"| J \\ K | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for J in TYPES:
        cells = [" or ".join(table.entries[J, K].gives) for K in TYPES]
        lines.append(f"| **{J.__name__}** | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(closure_markdown(), encoding="utf-8")
