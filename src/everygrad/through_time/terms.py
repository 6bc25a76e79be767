"""The terms ∂L_t/∂s_t · ∂s_t/∂s_k · ∂⁺s_k/∂W: all t at once, one loop backwards over k."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import final

from everygrad.engines import Array, namespace
from everygrad.engines.pool import matmul
from everygrad.jacobians import Weight
from everygrad.jacobians.shapes import norm_last
from everygrad.through_time.steps import Arrays, Steps

CHUNK = 2**20
"""About how many numbers are formed at a time: rows that are carried, entries of terms."""


def groups(steps: Steps, ts: Sequence[int]) -> list[Sequence[int]]:
    """The steps t whose gradients are carried together, so that about `CHUNK` numbers are held."""
    rows = max(1, CHUNK // max(1, steps.width * steps.run.batch))
    return [ts[i : i + rows] for i in range(0, len(ts), rows)]


def carried_back(
    steps: Steps, arriving: Mapping[str, Array], ts: Sequence[int], window: int | None = None
) -> Iterator[tuple[int, list[int], Arrays]]:
    """For k from the last of ``ts`` (ascending) down to 0: (k, the t that are on their way, ∂L_t/∂· at step k).

    The gradients have one row for each t, (rows, B, n), of every quantity between the states and where gradients
    arrive. With a ``window`` a t is let go once t − k reaches it. Cost: Σ_k rows pulls, 2·B·d² operations for each
    weight and row.
    """
    kind, xp, waiting = steps.kind, steps.kind.xp, set(ts)
    carried = {name: kind.zeros((0, steps.run.batch, *shape)) for name, shape in steps.shapes.items()}
    rows: list[int] = []
    for k in range(ts[-1], -1, -1):
        g = dict(carried)
        if k in waiting:
            rows = [k, *rows]
            waiting.remove(k)
            for name in {**g, **arriving}:
                shape = steps.run.shapes[name]
                first = arriving[name][k] if name in arriving else kind.zeros((steps.run.batch, *shape))
                later = g[name] if name in g else kind.zeros((len(rows) - 1, steps.run.batch, *shape))
                g[name] = xp.concat([first[None], later])
        if window is not None and rows and rows[-1] - k >= window:
            rows = [t for t in rows if t - k < window]
            g = {name: a[: len(rows)] for name, a in g.items()}
        if not rows:
            if not waiting:
                return
            carried = g
            continue
        found = steps.pull(g, k)
        yield k, rows, found
        carried = steps.before(found, (len(rows), steps.run.batch))


def in_one(steps: Steps, arriving: Mapping[str, Array], cuts: Sequence[int] = (0,)) -> Iterator[tuple[int, Arrays]]:
    """The ordinary backward loop: (k, ∂L/∂· at step k) with one row for each of ``cuts``, (rows, B, n).

    A row with cut τ > 0 is cut off from later steps at each multiple of τ: "detach every τ steps".
    """
    kind, xp, n = steps.kind, steps.kind.xp, len(cuts)
    carried = {name: kind.zeros((n, steps.run.batch, *shape)) for name, shape in steps.shapes.items()}
    for k in reversed(range(steps.count)):
        g = dict(carried)
        for name, a in arriving.items():
            term = xp.broadcast_to(a[k][None], (n, *a.shape[1:]))
            g[name] = g[name] + term if name in g else term
        found = steps.pull(g, k)
        yield k, found
        carried = steps.before(found, (n, steps.run.batch))
        goes_on = [not cut or k % cut != 0 for cut in cuts]
        if not all(goes_on):
            keep = kind.indices(goes_on)
            for name, a in carried.items():
                spread = xp.reshape(keep, (n, *(1,) * (a.ndim - 1)))
                carried[name] = xp.where(spread, a, kind.zeros(()))


@final
class Terms:
    """The terms of one step k for one parameter, one for each row, summed over the samples: Σ_b u_b ⊗ h_b.

    ``found`` as given by the loops above. A weight's terms stay factored, u (rows, B, m) and h (B, i), where uses of
    the weight at several places stand beside each other along the samples.
    """

    def __init__(self, steps: Steps, parameter: str, found: Mapping[str, Array], k: int) -> None:
        xp = steps.kind.xp
        self.kind = steps.kind
        self.shape = steps.run.shapes[parameter]
        self.uses = [(use.J.at(k), found[use.quantity]) for use in steps.uses[parameter] if use.quantity in found]
        self.count = steps.lead(found)[0]
        self.u: Array | None = None
        if self.uses and all(isinstance(J, Weight) for J, _ in self.uses):
            B = steps.run.batch
            pulled = [(J.M.pull(g), J.h) for J, g in self.uses if isinstance(J, Weight)]
            self.u = xp.concat([u for u, _ in pulled], axis=1)
            self.h = xp.concat([xp.broadcast_to(h, (B, h.shape[-1])) for _, h in pulled], axis=0)

    def rows(self, start: int = 0, stop: int | None = None) -> Array:
        """The terms written out: (rows, *shape)."""
        stop = self.count if stop is None else stop
        xp = self.kind.xp
        if self.u is not None:
            return xp.matrix_transpose(self.u[start:stop]) @ self.h
        total = self.kind.zeros((stop - start, *self.shape))
        for J, g in self.uses:
            if len(self.shape) < 2:
                total = total + xp.sum(J.pull(g[start:stop]), axis=1)
            else:  # the sum over the samples first: a matrix for each of them would be large
                total = total + xp.stack([J.pull(g[i], total=True) for i in range(start, stop)])
        return total

    def norms(self) -> Array:
        """‖Σ_b u_b ⊗ h_b‖ (Frobenius) of each row: (rows,).

        With fewer samples than inputs, h = R Qᵀ with R of B × B: ‖uᵀ h‖ = ‖uᵀ R‖, which costs B instead of i products
        for each entry of u and, unlike Gram matrices, loses no digits.
        """
        if self.u is None:
            return self.kind.xp.concat([_norm(rows) for _, rows in self._in_parts()])
        h, (B, i), m = self.h, self.h.shape, self.u.shape[-1]
        if i > B and self.count * m * (i - B) > 2 * i * B:
            h = self.kind.xp.linalg.qr(h.T)[1].T
        u = self.kind.xp.matrix_transpose(self.u)
        step = max(1, CHUNK // (m * h.shape[1]))
        return self.kind.xp.concat([_norm(matmul(u[j : j + step], h)) for j in range(0, self.count, step)])

    def along(self, G: Array) -> Array:
        """⟨term, G⟩ of each row, G like the parameter: (rows,)."""
        xp = self.kind.xp
        if self.u is not None:
            return xp.sum(self.u * (self.h @ G.T), axis=(1, 2))
        axes = tuple(range(1, len(self.shape) + 1))
        return xp.concat([xp.sum(rows * G, axis=axes) if axes else rows * G for _, rows in self._in_parts()])

    def firsts(self, counts: Sequence[int]) -> list[Array]:
        """For each of the ``counts`` the sum of so many rows from the first one, like the parameter."""
        xp = self.kind.xp
        if self.u is not None:
            return [xp.sum(self.u[:n], axis=0).T @ self.h for n in counts]
        sums = [self.kind.zeros(self.shape) for _ in counts]
        for start, rows in self._in_parts():
            for j, n in enumerate(counts):
                sums[j] = sums[j] + xp.sum(rows[: max(0, n - start)], axis=0)
        return sums

    def _in_parts(self) -> Iterator[tuple[int, Array]]:
        step = max(1, CHUNK // max(1, math.prod(self.shape)))
        for start in range(0, self.count, step):
            yield start, self.rows(start, min(start + step, self.count))


def _norm(rows: Array) -> Array:
    return norm_last(namespace(rows).reshape(rows, (rows.shape[0], -1)))
