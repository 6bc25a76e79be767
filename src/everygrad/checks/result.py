"""The outcome of a check: one row for each quantity, and what is wrong if something is."""

from dataclasses import dataclass
from html import escape
from typing import final

from everygrad.errors import CheckFailed


@final
@dataclass(frozen=True, slots=True)
class CheckRow:
    """One quantity's gradient against the oracle.

    ``norm`` is that of the gradient that was checked, ``checked`` the number of entries compared, ``how``
    the same in words, ``error`` the relative error reached. ``fault`` says what is wrong, if not ``ok``.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    norm: float
    checked: int
    how: str
    error: float
    tolerance: float
    ok: bool
    fault: str | None = None


@final
@dataclass(frozen=True, slots=True)
class CheckResult:
    """All rows, in the order of the graph; ``print`` for the table, ``raise_if_wrong()`` in a test.

    ``culprit`` is the first wrong quantity in the order of the backward sweep: those that it needs are right.
    """

    rows: tuple[CheckRow, ...]
    oracle: str
    culprit: str | None = None

    @property
    def ok(self) -> bool:
        """Whether every quantity that was checked is right."""
        return all(row.ok for row in self.rows)

    def row(self, name: str) -> CheckRow:
        """The row of this quantity; raises `KeyError`."""
        return {row.name: row for row in self.rows}[name]

    @property
    def verdict(self) -> str:
        """The outcome in a sentence or two."""
        number = f"{len(self.rows)} quantit{'y' if len(self.rows) == 1 else 'ies'}"
        if self.ok:
            worst = max(self.rows, key=lambda row: row.error / row.tolerance)
            return f"right: {number} against the {self.oracle}, largest error {worst.error:.2g} ({worst.name})"
        wrong = [row for row in self.rows if not row.ok]
        culprit = self.row(self.culprit) if self.culprit else wrong[-1]
        text = f"WRONG: {len(wrong)} of {number}. The first in the backward sweep is {culprit.name}: {culprit.fault}."
        follow = [row.name for row in wrong if row is not culprit and (row.fault or "").startswith("follows")]
        others = [row.name for row in wrong if row is not culprit and row.name not in follow]
        if follow:
            text += f" {', '.join(follow)} follow{'s' if len(follow) == 1 else ''} from it."
        if others:
            text += f" Wrong by {'itself' if len(others) == 1 else 'themselves'}: {', '.join(others)}."
        return text

    def raise_if_wrong(self) -> None:
        """Raise `CheckFailed` with the table and the verdict if a quantity is wrong."""
        if not self.ok:
            raise CheckFailed(str(self))

    def _table(self) -> list[tuple[str, ...]]:
        table: list[tuple[str, ...]] = [("quantity", "shape", "norm", "error", "", "checked")]
        for row in self.rows:
            shape = " x ".join(map(str, row.shape)) or "number"
            verdict = "ok" if row.ok else "WRONG"
            what = row.how if row.fault is None else f"{row.how}: {row.fault}" if row.how else row.fault
            table.append((row.name, shape, f"{row.norm:.4g}", f"{row.error:.1e}", verdict, what))
        return table

    def __str__(self) -> str:
        table = self._table()
        widths = [max(len(row[i]) for row in table) for i in range(5)]
        lines = []
        for row in table:
            left, *middle, verdict, how = row
            cells = [f"{left:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(middle, widths[1:4], strict=True))]
            lines.append("  ".join([*cells, f"{verdict:<{widths[4]}}", how]).rstrip())
        rule = "-" * max(len(lines[0]), sum(widths) + 10)
        return "\n".join([lines[0], rule, *lines[1:], rule, self.verdict])

    def _repr_html_(self) -> str:
        head, *body = self._table()
        cells = "".join(f"<th scope='col'>{escape(c) or 'verdict'}</th>" for c in head)
        rows = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in body)
        caption = f"<caption>{escape(self.verdict)}</caption>"
        return f"<table>{caption}<thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"
