"""What we aim at, as ratios of our quickest engine's time to a rival's, and whether it was reached."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
LONG_AND_THIN = ("T 400, B 1", "T 1000, B 8")


@dataclass(frozen=True)
class Aim:
    """At most ``limit`` times the contender, in every case whose title has all of ``words``."""

    words: tuple[str, ...]
    contender: str
    limit: float
    without: tuple[str, ...] = ()

    def fits(self, row: Row) -> bool:
        """Whether it speaks of this row."""
        title = row["case"]
        here = all(word in title for word in self.words) and not any(word in title for word in self.without)
        return here and row["contender"] == self.contender


AIMS = (
    Aim(("-",), "the matrix products alone", 1.05, ("tiny",)),
    Aim(("-",), "torch autograd, retain_grad", 0.8),
    Aim(("-",), "jax.grad, jit, all quantities", 0.9, ("tiny",)),
    Aim(("elman",), "jax.grad, jit, all quantities", 0.7),
    Aim(("elman",), "torch autograd, fused layer, parameters only", 0.8, LONG_AND_THIN),
    *(Aim(("elman", size), "torch autograd, fused layer, parameters only", 0.1) for size in LONG_AND_THIN),
    *(
        Aim((cell,), contender, limit)
        for cell in ("lstm", "gru")
        for contender, limit in (
            ("jax.grad, jit, all quantities", 0.5),
            ("torch autograd, fused layer, parameters only", 1.0),
            ("torch autograd, loop of cells, retain_grad", 0.1),
        )
    ),
    Aim(("watching",), "the bare forward and backward", 2.0),
    Aim(("the tensor of d = 1024",), "torch.func.jacrev", 1e-3),
    Aim(("the tensor of d = 1024",), "jax.jacrev, jit", 1e-3),
    Aim(("credit table",), "torch, one backward pass for each step (row sums only)", 0.05),
    Aim(("states at each step",), "TorchLens, every state", 0.1),
)

TRIED = (
    "Small feed-forward networks: the products take a tenth to a third of the time; the rest are NumPy's calls, about "
    "a microsecond each, of which a softmax alone makes fifteen. Compiling them was tried: for a network of "
    "64-32-16-10 the function takes 7 microseconds, but handing over its 25 arrays takes 60.",
    "Large feed-forward networks: biases, slopes and the checks of 16 arrays are one pass over memory each, on one "
    "thread. Compiled, they run on all threads together with the products; packing the weights again at each call "
    "takes what that gains at 256 samples, and half of it at 1,024.",
    "A loop of torch's cells at the two large sizes: see the last column. Its products are a good part of its time.",
    "torch's fused LSTM of 128 units: its own time is that of the products alone; ours adds the 20 arrays of what lies "
    "inside, read and written once each. The large products run at 95 GFLOP/s on each core, near what it can do.",
    "Watching an LSTM of 128 units: beside torch's 13 ms, hooks and copies take 2, the forward pass done again 6, the "
    "backward one 8 to 11. The gradients of the weights, which autograd has already, are left out until asked for.",
    "The credit table: 200 steps of about 0.2 ms, most of it NumPy's calls on small arrays; the norm of each of the "
    "20,000 terms takes half. Taking the gradient from one ordinary pass saved as much as norms without overflow cost.",
    "`torch.compile` around our operations was 0.9 to 10 times as slow.",
)
"""What stands between us and the aims that are missed, and what was tried."""


def judged(table: list[Row]) -> Iterator[tuple[Row, Aim, float]]:
    """(row, aim, measured) of every aim in the table."""
    for row in table:
        for aim in AIMS:
            if aim.fits(row):
                yield row, aim, row["best_over_this"][1]


def floor(table: list[Row], row: Row) -> float | None:
    """What the matrix products alone take of the contender's time, in NumPy: below it nobody comes who makes them."""
    alone = [r for r in table if r["case"] == row["case"] and r["contender"] == "the matrix products alone"]
    return alone[0]["median_ms"] / row["median_ms"] if alone else None
