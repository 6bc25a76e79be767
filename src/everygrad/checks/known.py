"""The library's own gradients, with the direct ones of what is inside a recurrence under names of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from everygrad.backprop import Gradients
from everygrad.checks.view import DIRECT, plain
from everygrad.engines import Array
from everygrad.errors import unknown_name
from everygrad.graph.time import Run


@final
@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Gradients with the direct ones of what is inside a recurrence, as ``direct h``, behind the others."""

    gradients: Gradients
    direct: Mapping[str, Array]

    def all(self) -> dict[str, Array]:
        """Name -> gradient."""
        return {**self.gradients, **self.direct}

    def all_direct(self) -> Mapping[str, Array]:
        """Every direct gradient, also of what goes into a recurrence, by the plain name."""
        return dict(self.gradients.direct) if self.direct else {}

    def resolve(self, name: str) -> str:
        """The name in the graph, with "direct " if it had that; raises `UnknownNameError` if it has no gradient."""
        if not name.startswith(DIRECT):
            self.gradients[name]
            return self.gradients.trace.graph.resolve(name)
        found = DIRECT + self.gradients.trace.graph.resolve(plain(name))
        if found not in self.direct:
            raise unknown_name("direct gradient", name, self.direct)
        return found


def with_direct(gradients: Gradients) -> Known:
    """The direct gradients are those of quantities of a scan whose run kept what they need."""
    found = {}
    for family in gradients.trace.plan.scans:
        if family.label in gradients.sweeps and isinstance(gradients.trace.runs[family.label], Run):
            for node, scan in family.members():
                if scan.at == "all" and node.name in gradients.arrays:
                    found[DIRECT + node.name] = gradients.direct[node.name]
    return Known(gradients, found)
