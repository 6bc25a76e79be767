"""The sparse third-order tensor ∂⁺s_k/∂W: for each step a matrix M and a vector h for M ⊗ hᵀ, never more."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, final

import numpy as np

from everygrad.engines import Array, to_numpy
from everygrad.engines.numerics import sum_last
from everygrad.errors import InputError, UnsupportedError, unknown_name
from everygrad.graph.time import Run
from everygrad.jacobians import Dense, Diagonal, Jacobian, Row, Sum, Weight, Zero
from everygrad.through_time.source import Source, recurrence
from everygrad.through_time.steps import Steps
from everygrad.through_time.text import number, spread_out, table

Axis = Literal["p", "q", "r"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """T[p, q, r] = ∂⁺s_k[p]/∂W[q, r], the immediate derivative: the state before the step is held constant.

    For the Elman cell T[p, q, r] = g′(a_k[p]) s_{k−1}[r] if p = q, else 0: d³ entries, d² of them nonzero, known from
    2d numbers. ``J``, with the leading axes (T, B), is a `Weight` for every cell: M = ∂s_k/∂a is Diagonal unless
    another weight lies in between, (LSTM with a projection, GRU with the reset gate before the product: Dense). For a
    bias it is ∂⁺s_k[p]/∂b[q], with two indices. ``state`` and ``parameter`` are the names.
    """

    J: Jacobian
    state: str
    parameter: str
    lead: tuple[int, int]

    def __getitem__(self, key: Any) -> Array:
        """``T[p, q, r]``: that element at each step and of each sample, (T, B); ``T[k, b, p, q, r]``: one number."""
        found = self.J[key]
        features = len(self.J.out_shape) + len(self.J.in_shape)
        if self.J.batch or not isinstance(key, tuple) or len(key) != features:
            return found
        return self.J.kind.xp.broadcast_to(found, self.lead)

    def contract(self, axis: Axis, x: Array) -> Jacobian:
        """Σ over one index, with a vector (n,), one for each step and sample (T, B, n), or a matrix (m, n) for all.

        With a vector two indices remain: "p" gives Σ_p g[p] T[p, q, r], a matrix [q, r] of rank one (u ⊗ hᵀ with
        u = Mᵀ g); "q" gives Σ_q w[q] T[p, q, r] = M w ⊗ hᵀ, [p, r]; "r" gives Σ_r v[r] T[p, q, r] = (hᵀ v) M, [p, q].
        With a matrix X the index is replaced by X's rows, and the result is a `Weight` again. All stay factored; of
        a bias' derivative [p, q] a vector leaves a column or a row. Raises `InputError` for another axis or size,
        `UnsupportedError` for "q" and "r" of a parameter that enters transposed or by a user's own operation.
        """
        sizes = dict(zip("pqr", (*self.J.out_shape, *self.J.in_shape), strict=False))
        if axis not in sizes:
            raise unknown_name("axis", axis, sizes)
        batch = tuple(x.shape[:-1])
        if x.ndim not in (1, 2, 3) or x.shape[-1] != sizes[axis] or (x.ndim == 3 and batch != self.lead):
            T, B = self.lead
            n = sizes[axis]
            raise InputError(
                f"over {axis!r}: got shape {tuple(x.shape)}, expected a vector ({n},) or ({T}, {B}, {n}), "
                f"or a matrix (m, {n})"
            )
        return _contracted(self.J, axis, x)

    def total(self, g: Array) -> Array:
        """Σ_k Σ_b g_k,b ∂⁺s_k,b/∂W: the gradient, if ``g`` (T, B, n) is what arrives at s_k, see `adjoints`.

        Of several states the sums of all states' tensors add up. Cost: one matrix product over all steps and samples.
        """
        if tuple(g.shape) != (*self.lead, *self.J.out_shape):
            raise InputError(f"g has shape {tuple(g.shape)}, expected {(*self.lead, *self.J.out_shape)}")
        return self.J.pull(g, total=True)

    def push(self, V: Array) -> Array:
        """Σ_q Σ_r T[p, q, r] V[q, r]: how s_k changes with a change V of W, (T, B, n)."""
        return self.J.kind.xp.broadcast_to(self.J.push(V), (*self.lead, *self.J.out_shape))

    def norm(self) -> Array:
        """‖T‖ (Frobenius) of each step and sample, (T, B)."""
        return self.J.kind.xp.broadcast_to(self.J.norm(), self.lead)

    @property
    def nnz(self) -> int:
        """How many entries of one step and sample can be nonzero by structure."""
        return self.J.nnz

    @property
    def per_step(self) -> float:
        """How many numbers are stored for each step and sample."""
        return self.J.stored / math.prod(self.lead)

    @property
    def nbytes(self) -> int:
        """How many bytes all of it takes."""
        return self.J.nbytes

    @property
    def dense_nbytes(self) -> int:
        """How many bytes it would take written out."""
        size = self.J.out_size * self.J.in_size * math.prod(self.lead)
        return size * self.J.kind.dtype.itemsize

    def dense(self, k: int) -> Array:
        """Step k written out, (B, n, *W.shape). `TooLargeError` beyond a limit."""
        J = self.J.at(k)
        return J.kind.xp.broadcast_to(J.dense(), (self.lead[1], *J.out_shape, *J.in_shape))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: names, sizes and the norms (T, B)."""
        sizes = {"nnz": self.nnz, "stored_per_step": self.per_step, "nbytes": self.nbytes, "dense": self.dense_nbytes}
        return {"state": self.state, "parameter": self.parameter, **sizes, "norm": to_numpy(self.norm()).tolist()}

    def __str__(self) -> str:
        norms = to_numpy(self.norm())
        shape = " x ".join(map(str, (*self.J.out_shape, *self.J.in_shape)))
        rows = []
        for k in spread_out(len(norms)):
            rows.append([str(k), *map(number, (norms[k].min(), float(np.median(norms[k])), norms[k].max()))])
        of = math.prod((*self.J.out_shape, *self.J.in_shape))
        title = (
            f"∂⁺{self.state}_k/∂{self.parameter}, {shape}: {self.nnz:,} of {of:,} entries can be nonzero, "
            f"{self.per_step:,.0f} numbers stored for each step and sample "
            f"({self.nbytes:,} of {self.dense_nbytes:,} bytes)"
        )
        return table(title, ("k", "least norm", "median", "most"), rows)


def tensor(source: Source, *rest: Any, wrt: str, of: str | None = None, layer: str = "l0") -> Tensor:
    """∂⁺s_k/∂W of every step and sample, for a parameter of the cell (W, U, b, W_i, ...) and one of its states.

    ``of``: the state, by default the first (h). Where a mask leaves a step out it is zero. Cost: one product for each
    edge from the parameter to the state. Raises `UnknownNameError`.
    """
    run = recurrence(source, rest, layer).run
    states = [name for name, _ in run.cell.states]
    of = states[0] if of is None else of
    for what, name, known in (("state", of, states), ("parameter of the cell", wrt, run.cell.parameters)):
        if name not in known:
            raise unknown_name(what, name, known)
    J = at_steps(run, run.jacobian(of, wrt))
    return Tensor(J, of, wrt, (run.steps, run.batch))


def at_steps(run: Run, J: Jacobian) -> Jacobian:
    """``J`` where a sample has a step, zero where a mask leaves it out."""
    if run.mask is None:
        return J
    live = run.kind.asarray(run.mask)
    ones = run.kind.ones(J.out_shape)
    return Diagonal(run.kind.xp.reshape(live, (*live.shape, *(1 for _ in J.out_shape))) * ones, len(J.out_shape)) @ J


def adjoints(source: Source, *rest: Any, layer: str = "l0") -> Mapping[str, Array]:
    """g_k = ∂L/∂s_k of each state, (T, B, n), the states of one step taken as independent of each other.

    That is the g_k in ∂L/∂W = Σ_k g_k ∂⁺s_k/∂W: for an LSTM it differs from the total gradient of c_k by what goes
    through h_k = o_k tanh(c_k), which ∂⁺h_k/∂W already has. g_k = direct_k + (∂s_{k+1}/∂s_k)ᵀ g_{k+1}; zero where a
    mask leaves a step out. (What arrives at a gate directly acts on earlier steps here, and on W besides this sum.)
    Cost: one pull per step.
    """
    start = recurrence(source, rest, layer)
    start.need_gradient("the gradient of the states")
    arriving = start.arriving()
    steps = Steps(start.run, ends=tuple(arriving))
    kind, xp, B = steps.kind, steps.kind.xp, start.run.batch
    carried = {name: kind.zeros((B, *shape)) for name, shape in steps.shapes.items()}
    found: list[dict[str, Array]] = []
    for k in reversed(range(steps.count)):
        g = dict(carried)
        for name, a in arriving.items():
            g[name] = g[name] + a[k] if name in g else a[k]
        found.append({name: g[name] for name in carried})
        carried = steps.back(g, k)
    stacked = {name: xp.stack([g[name] for g in reversed(found)]) for name in carried}
    if start.run.mask is not None:
        live = start.run.mask
        for name, a in stacked.items():
            stacked[name] = xp.where(xp.reshape(live, (*live.shape, *(1,) * (a.ndim - 2))), a, kind.zeros(()))
    return MappingProxyType(stacked)


def _contracted(J: Jacobian, axis: Axis, x: Array) -> Jacobian:
    matrix = x.ndim == 2
    if isinstance(J, Sum):
        parts = [_contracted(term, axis, x) for term in J.terms]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total
    if axis == "p":
        if matrix:
            return Dense(x) @ J
        row = Row(x) @ (J.M if isinstance(J, Weight) else J)
        if isinstance(J, Weight):
            return row.T @ Row(J.h)
        if len(J.in_shape) < 2:
            return row
        return Zero(J.kind, J.in_shape[:1], J.in_shape[1:]) if isinstance(J, Zero) else Dense(J.pull(x))
    if len(J.in_shape) == 1:
        return J @ (Dense(x).T if matrix else Row(x).T)
    if isinstance(J, Zero):
        ins = (x.shape[0], J.in_shape[1]) if axis == "q" else (J.in_shape[0], x.shape[0])
        return Zero(J.kind, J.out_shape, ins if matrix else J.in_shape[1:] if axis == "q" else J.in_shape[:1])
    if not isinstance(J, Weight):
        raise UnsupportedError(f"{J!r} is not a Weight: contract over 'p', or take dense(k)")
    if axis == "q":
        return Weight(J.M @ Dense(x).T, J.h) if matrix else (J.M @ Row(x).T) @ Row(J.h)
    if matrix:
        return Weight(J.M, J.h @ x.T)
    scale = sum_last(J.h * x, keepdims=True)
    return Diagonal(scale * J.kind.ones(J.M.out_shape)) @ J.M
