"""The feed-forward networks that are timed, with their data: float32, tanh, softmax and cross-entropy."""

from dataclasses import dataclass

import numpy as np

import everygrad as eg


@dataclass(frozen=True)
class Case:
    """A network of these sizes on a batch of so many samples."""

    name: str
    sizes: tuple[int, ...]
    batch: int
    large: bool

    @property
    def title(self) -> str:
        return f"{self.name}, B {self.batch}"


CASES = (
    Case("784-512-512-10", (784, 512, 512, 10), 256, True),
    Case("64-128-128-10", (64, 128, 128, 10), 64, False),
    Case("64-32-16-10 (the demo's)", (64, 32, 16, 10), 32, False),
    Case("256 x 8 layers-10", (256, *(256,) * 7, 10), 256, True),
)


@dataclass(frozen=True)
class Problem:
    """One case with its numbers."""

    case: Case
    net: eg.FeedForward
    params: dict[str, np.ndarray]
    x: np.ndarray
    y: np.ndarray


def problem(case: Case, seed: int = 0) -> Problem:
    """The numbers of a case, the same in every run."""
    rng = np.random.default_rng(seed)
    net = eg.FeedForward(case.sizes, activation="tanh")
    x = rng.standard_normal((case.batch, case.sizes[0]), dtype=np.float32)
    return Problem(case, net, net.init(seed, np.float32), x, rng.integers(0, case.sizes[-1], case.batch))
