"""The records of a search for paths: each path, and the table that adds up to the gradient."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, final

Unit = tuple[str | int, ...]
"""An element of a quantity: ``("h1", 3)``, ``("W1", 2, 3)``, ``("loss",)``."""


def unit_label(unit: Unit) -> str:
    """``h1[3]``, ``W1[2,3]``, ``loss``."""
    name, *index = unit
    return f"{name}[{','.join(map(str, index))}]" if index else str(name)


@final
@dataclass(frozen=True, slots=True)
class Path:
    """One path: its units from start to end, one factor for each step, and their product.

    ``share`` is the product over the gradient (signed; NaN if the gradient is 0). ``sample`` is the
    sample that the path goes through, None if through none. For a formula, ``formulas`` has each factor in symbols.
    ``note`` tells apart two paths through the same units, as in x*x. A product that underflows is 0;
    `log10` is right all the same.
    """

    units: tuple[Unit, ...]
    factors: tuple[float, ...]
    product: float
    share: float
    sample: int | None = None
    formulas: tuple[str, ...] = ()
    note: str = ""

    @property
    def log10(self) -> float:
        """log₁₀ |product|; −inf if a factor is 0."""
        if any(f == 0 for f in self.factors):
            return -math.inf
        return math.fsum(math.log10(abs(f)) for f in self.factors)

    @property
    def labels(self) -> tuple[str, ...]:
        """The units for people: ``h1[3]``."""
        return tuple(map(unit_label, self.units))

    def __str__(self) -> str:
        from_to = " → ".join(shortened(self.labels))
        return f"{from_to} ({self.note})" if self.note else from_to


@final
@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """The paths of largest |product| from ``wrt`` to ``of``, best first, and the remainder.

    - ``total``: ∂of/∂wrt, from the backward pass; ``listed`` + ``remainder`` = ``total``.
    - ``count``: how many paths there are by structure, exactly (for a network without skip
      connections the product of the widths); ``others`` of them are not listed.
    - ``mass``: Σ |product| over all of them. Much larger than |total| means that paths cancel.
    - ``sample``: the sample of a hidden quantity or of one sample's part of a parameter's gradient;
      None if all samples' paths compete, or there are none. ``samples``: how many there are.
    - ``formula``, ``values``: of a formula, its text and what its variables are.

    ``print`` shows a table that adds up; `to_dict` is JSON-able.
    """

    of: Unit
    wrt: Unit
    value: float
    total: float
    paths: tuple[Path, ...]
    count: int
    mass: float
    sample: int | None = None
    samples: int = 0
    formula: str = ""
    values: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def listed(self) -> float:
        """The sum of the listed products."""
        return math.fsum(path.product for path in self.paths)

    @property
    def remainder(self) -> float:
        """What the other paths give together: total − listed."""
        return self.total - self.listed

    @property
    def others(self) -> int:
        """How many paths are not listed."""
        return self.count - len(self.paths)

    def __iter__(self) -> Iterator[Path]:
        return iter(self.paths)

    def to_text(self) -> str:
        """The table, as `print` shows it."""
        from everygrad.paths.text import to_text  # here: text.py is written on these records

        return to_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-able values; what is not finite is None, a count beyond 2⁵³ a text."""
        return {
            "of": list(self.of),
            "wrt": list(self.wrt),
            "value": _finite(self.value),
            "total": _finite(self.total),
            "count": self.count if self.count <= 2**53 else show_count(self.count),
            "others": self.others if self.others <= 2**53 else show_count(self.others),
            "mass": _finite(self.mass),
            "listed": _finite(self.listed),
            "remainder": _finite(self.remainder),
            "sample": self.sample,
            "samples": self.samples,
            "formula": self.formula or None,
            "values": dict(self.values),
            "paths": [
                {
                    "units": [list(unit) for unit in path.units],
                    "labels": list(path.labels),
                    "factors": [_finite(f) for f in path.factors],
                    "formulas": list(path.formulas),
                    "product": _finite(path.product),
                    "share": _finite(path.share),
                    "sample": path.sample,
                    "note": path.note,
                }
                for path in self.paths
            ],
        }

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        ends = f"∂{unit_label(self.of)}/∂{unit_label(self.wrt)} = {self.total:.6g}"
        return f"Paths({ends}; {len(self.paths)} of {show_count(self.count)} paths)"

    def _repr_html_(self) -> str:
        from everygrad.paths.text import to_html  # here: see to_text

        return to_html(self)


def show_count(n: int) -> str:
    """1,014 in full; about 10^301 if there are too many digits to read (or, beyond 4,300, to print)."""
    if n < 10**21:
        return f"{n:,}"
    return f"about 10^{int(math.log10(n >> max(n.bit_length() - 64, 0)) + max(n.bit_length() - 64, 0) * math.log10(2))}"


def shortened(parts: tuple[str, ...], most: int = 12) -> tuple[str, ...]:
    """The parts, or the first and last few of a long list."""
    if len(parts) <= most:
        return parts
    half = most // 2
    return (*parts[:half], f"... {len(parts) - 2 * half:,} more ...", *parts[-half:])


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
