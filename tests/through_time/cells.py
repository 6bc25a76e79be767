"""Cells written twice: on the library's symbols, and from their equations on plain arrays, real or complex."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from everygrad.graph import ops
from everygrad.graph.time import Run, cell, run
from everygrad.through_time import Recurrence

STEP = 1e-30
"""Of the complex step: its square vanishes against 1, so that the imaginary part is the derivative to all digits."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Example:
    """``make``: the library's function; ``step``: (x, states, parameters) -> all named quantities, for (B, n) arrays.

    ``shapes`` gives parameters' shapes from (inputs, units); ``sizes`` those of the states.
    """

    name: str
    make: Callable[..., Any]
    step: Callable[[np.ndarray, Arrays, Mapping[str, np.ndarray]], Arrays]
    shapes: Callable[[int, int], dict[str, tuple[int, ...]]]
    states: tuple[str, ...] = ("h",)
    sizes: Callable[[int], tuple[int, ...]] = lambda n: (n,)
    arrives: tuple[str, ...] = ("h",)


def σ(a):
    return 1 / (1 + np.exp(-a))


def gates(letters: str, recurrent: int | None = None) -> Callable[[int, int], dict[str, tuple[int, ...]]]:
    def shapes(i: int, n: int) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for g in letters:
            found |= {f"U_{g}": (n, i), f"W_{g}": (n, recurrent or n), f"b_{g}": (n,)}
        return found

    return shapes


def plain(i, n):
    return {"U": (n, i), "W": (n, n), "b": (n,)}


def _elman(x, s, p):
    a = p.U @ x + p.b + p.W @ s.h
    return ops.tanh(a)


def _elman_step(x, s, p):
    a = x @ p["U"].T + p["b"] + s["h"] @ p["W"].T
    return {"a": a, "h": np.tanh(a)}


def _linear(x, s, p):
    return p.U @ x + p.b + p.W @ s.h


def _linear_step(x, s, p):
    return {"h": x @ p["U"].T + p["b"] + s["h"] @ p["W"].T}


def _lstm(x, s, p):
    a_i = p.U_i @ x + p.b_i + p.W_i @ s.h
    a_f = p.U_f @ x + p.b_f + p.W_f @ s.h
    a_g = p.U_g @ x + p.b_g + p.W_g @ s.h
    a_o = p.U_o @ x + p.b_o + p.W_o @ s.h
    i, f, g, o = ops.sigmoid(a_i), ops.sigmoid(a_f), ops.tanh(a_g), ops.sigmoid(a_o)
    c = f * s.c + i * g
    h = o * ops.tanh(c)
    return h, c


def _lstm_step(x, s, p):
    q = {f"a_{g}": x @ p[f"U_{g}"].T + p[f"b_{g}"] + s["h"] @ p[f"W_{g}"].T for g in "ifgo"}
    q |= {"i": σ(q["a_i"]), "f": σ(q["a_f"]), "g": np.tanh(q["a_g"]), "o": σ(q["a_o"])}
    q["c"] = q["f"] * s["c"] + q["i"] * q["g"]
    q["h"] = q["o"] * np.tanh(q["c"])
    return q


def _projected(x, s, p):
    y, c = _lstm(x, s, p)
    h = p.R @ y
    return h, c


def _projected_step(x, s, p):
    q = _lstm_step(x, s, p)
    return {**q, "h": q["h"] @ p["R"].T}


def _peephole(x, s, p):
    i = ops.sigmoid(p.U_i @ x + p.b_i + p.W_i @ s.h + p.p_i * s.c)
    f = ops.sigmoid(p.U_f @ x + p.b_f + p.W_f @ s.h + p.p_f * s.c)
    c = f * s.c + i * ops.tanh(p.U_g @ x + p.b_g + p.W_g @ s.h)
    o = ops.sigmoid(p.U_o @ x + p.b_o + p.W_o @ s.h + p.p_o * c)
    h = o * ops.tanh(c)
    return h, c


def _peephole_step(x, s, p):
    a = {g: x @ p[f"U_{g}"].T + p[f"b_{g}"] + s["h"] @ p[f"W_{g}"].T for g in "ifgo"}
    i, f = σ(a["i"] + p["p_i"] * s["c"]), σ(a["f"] + p["p_f"] * s["c"])
    c = f * s["c"] + i * np.tanh(a["g"])
    o = σ(a["o"] + p["p_o"] * c)
    return {"i": i, "f": f, "c": c, "o": o, "h": o * np.tanh(c)}


def _gru_after(x, s, p):
    r = ops.sigmoid(p.U_r @ x + p.b_r + p.W_r @ s.h)
    z = ops.sigmoid(p.U_z @ x + p.b_z + p.W_z @ s.h)
    n = ops.tanh(p.U_n @ x + p.b_n + r * (p.W_n @ s.h + p.b_hn))
    return (1 - z) * n + z * s.h


def _gru_after_step(x, s, p):
    r, z = (σ(x @ p[f"U_{g}"].T + p[f"b_{g}"] + s["h"] @ p[f"W_{g}"].T) for g in "rz")
    n = np.tanh(x @ p["U_n"].T + p["b_n"] + r * (s["h"] @ p["W_n"].T + p["b_hn"]))
    return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * s["h"]}


def _gru_before(x, s, p):
    r = ops.sigmoid(p.U_r @ x + p.b_r + p.W_r @ s.h)
    z = ops.sigmoid(p.U_z @ x + p.b_z + p.W_z @ s.h)
    n = ops.tanh(p.U_n @ x + p.b_n + p.W_n @ (r * s.h))
    return (1 - z) * n + z * s.h


def _gru_before_step(x, s, p):
    r, z = (σ(x @ p[f"U_{g}"].T + p[f"b_{g}"] + s["h"] @ p[f"W_{g}"].T) for g in "rz")
    n = np.tanh(x @ p["U_n"].T + p["b_n"] + (r * s["h"]) @ p["W_n"].T)
    return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * s["h"]}


def _leaky(x, s, p):
    a = p.U @ x + p.b + p.W @ s.h
    return 0.9 * s.h + 0.1 * ops.tanh(a)


def _leaky_step(x, s, p):
    a = x @ p["U"].T + p["b"] + s["h"] @ p["W"].T
    return {"a": a, "h": 0.9 * s["h"] + 0.1 * np.tanh(a)}


def _turned(x, s, p):
    """W enters transposed, and twice, with different vectors; the gain is one number for all units."""
    a = p.U @ x + s.h @ p.W + p.b
    u = ops.tanh(a)
    return ops.tanh(p.W @ u) * p.gain


def _turned_step(x, s, p):
    a = x @ p["U"].T + s["h"] @ p["W"] + p["b"]
    u = np.tanh(a)
    return {"a": a, "u": u, "h": np.tanh(u @ p["W"].T) * p["gain"]}


def _twice(x, s, p):
    """W twice, and a second state that nothing carries on from the first step."""
    u = ops.tanh(p.W @ s.h + p.U @ x)
    h = ops.sin(p.W @ u + p.b)
    e = p.U @ x
    return h, e


def _twice_step(x, s, p):
    u = np.tanh(s["h"] @ p["W"].T + x @ p["U"].T)
    return {"u": u, "h": np.sin(u @ p["W"].T + p["b"]), "e": x @ p["U"].T}


def _two(n):
    return (n, n)


LSTM_STATES = ("h", "c")

EXAMPLES = {
    example.name: example
    for example in (
        Example("elman", _elman, _elman_step, plain, arrives=("h", "a")),
        Example("linear", _linear, _linear_step, plain),
        Example("lstm", _lstm, _lstm_step, gates("ifgo"), LSTM_STATES, _two, arrives=("h", "c", "i")),
        Example(
            "projected",
            _projected,
            _projected_step,
            lambda i, n: gates("ifgo", 2)(i, n) | {"R": (2, n)},
            LSTM_STATES,
            lambda n: (2, n),
        ),
        Example(
            "peephole",
            _peephole,
            _peephole_step,
            lambda i, n: gates("ifgo")(i, n) | {f"p_{g}": (n,) for g in "ifo"},
            LSTM_STATES,
            _two,
            arrives=("h", "o"),
        ),
        Example("gru_after", _gru_after, _gru_after_step, lambda i, n: gates("rzn")(i, n) | {"b_hn": (n,)}),
        Example("gru_before", _gru_before, _gru_before_step, gates("rzn"), arrives=("h", "n")),
        Example("leaky", _leaky, _leaky_step, plain),
        Example("turned", _turned, _turned_step, lambda i, n: plain(i, n) | {"gain": ()}, arrives=("h", "u")),
        Example("twice", _twice, _twice_step, plain, ("h", "e"), _two),
    )
}


@dataclass(frozen=True)
class Case:
    """An example with numbers; arrays (time, batch, units)."""

    example: Example
    x: np.ndarray
    initial: Arrays
    params: Arrays
    direct: Arrays
    final: Arrays
    mask: np.ndarray | None = None

    @property
    def run(self) -> Run:
        made = cell(self.example.make, self.example.states)
        return run(made, self.x, self.initial, self.params, self.mask)

    @property
    def recurrence(self) -> Recurrence:
        return Recurrence(self.run, self.direct, self.final)

    @property
    def present(self) -> np.ndarray:
        return np.ones(self.x.shape[:2], bool) if self.mask is None else self.mask

    def quantities(self, params: Any = None, initial: Arrays | None = None) -> list[Arrays]:
        """All quantities of each step, from the equations; ``params`` may be a list, one for each step."""
        states, found = dict(self.initial if initial is None else initial), []
        for t in range(len(self.x)):
            p = self.params if params is None else params[t] if isinstance(params, list) else params
            now = self.example.step(self.x[t], states, p)
            keep = self.present[t][:, None]
            now |= {s: np.where(keep, now[s], states[s]) for s in self.example.states}
            states = {s: now[s] for s in self.example.states}
            found.append(now)
        return found

    def losses(self, params: Any = None, initial: Arrays | None = None) -> np.ndarray:
        """(T,): L_t = Σ_b ⟨direct_t, quantity_t⟩, and what the final state gives, at each sample's last step."""
        found = self.quantities(params, initial)
        L = np.zeros(len(self.x), complex)
        for t, now in enumerate(found):
            for b in range(self.x.shape[1]):
                if self.present[t, b]:
                    L[t] += sum((g[t, b] * now[name][b]).sum() for name, g in self.direct.items())
                    if not self.present[t + 1 :, b].any():
                        L[t] += sum((g[b] * now[name][b]).sum() for name, g in self.final.items())
        return L

    def with_mask(self, mask: np.ndarray) -> "Case":
        return replace(self, mask=mask)


def case(
    name: str, T: int = 5, B: int = 2, inputs: int = 2, units: int = 3, seed: int = 0, masked: bool = False
) -> Case:
    example, rng = EXAMPLES[name], np.random.default_rng([seed, len(name)])
    sizes = dict(zip(example.states, example.sizes(units), strict=True))
    params = {
        k: rng.normal(size=s) * (0.9 / np.sqrt(s[-1] if s else 1)) for k, s in example.shapes(inputs, units).items()
    }
    mask = None
    if masked:
        mask = rng.uniform(size=(T, B)) < 0.7
        mask[:, -1] &= np.arange(T) < T - 1  # the last sample ends early
        mask[0] = True
    return Case(
        example=example,
        x=rng.normal(size=(T, B, inputs)),
        initial={s: rng.normal(size=(B, n)) for s, n in sizes.items()},
        params=params,
        direct={name: rng.normal(size=(T, B, sizes.get(name, units))) for name in example.arrives},
        final={s: rng.normal(size=(B, n)) for s, n in sizes.items()},
        mask=mask,
    )


def stacked(states: Mapping[str, np.ndarray], example: Example) -> np.ndarray:
    return np.concatenate([states[s] for s in example.states], axis=-1)


def step_jacobian(c: Case, t: int) -> np.ndarray:
    """∂s_t/∂s_{t−1}, (B, d, d), by the complex step of the equations; the identity where there is no step."""
    before = c.initial if t == 0 else c.quantities()[t - 1]
    columns = []
    for s in c.example.states:
        for q in range(before[s].shape[-1]):
            moved = {name: before[name].astype(complex) for name in c.example.states}
            moved[s][:, q] += 1j * STEP
            columns.append(stacked(c.example.step(c.x[t], moved, c.params), c.example).imag / STEP)
    J = np.stack(columns, -1)
    return np.where(c.present[t][:, None, None], J, np.eye(J.shape[-1]))


def product(c: Case, t: int, k: int) -> np.ndarray:
    """∂s_t/∂s_k = J_t ⋯ J_{k+1}, (B, d, d)."""
    found = np.eye(stacked(c.initial, c.example).shape[-1])[None].repeat(c.x.shape[1], 0)
    for j in range(k + 1, t + 1):
        found = step_jacobian(c, j) @ found
    return found


def moved_params(params: Arrays, name: str, place: tuple[int, ...]) -> Arrays:
    changed = np.array(params[name], complex)
    changed[place] += 1j * STEP
    return {**params, name: changed}


def step_tensor(c: Case, state: str, name: str) -> np.ndarray:
    """∂⁺s_k/∂W, (T, B, n, *W.shape), entry by entry, the state before held constant; 0 where there is no step."""
    kept = c.quantities()
    T, B = c.x.shape[:2]
    found = np.zeros((T, B, kept[0][state].shape[-1], *c.params[name].shape))
    for k in range(T):
        before = c.initial if k == 0 else kept[k - 1]
        for place in np.ndindex(c.params[name].shape):
            moved = c.example.step(c.x[k], before, moved_params(c.params, name, place))[state]
            found[(k, slice(None), slice(None), *place)] = np.where(c.present[k][:, None], np.imag(moved) / STEP, 0)
    return found


def terms(c: Case, name: str) -> np.ndarray:
    """(T, T, *W.shape): ∂L_t by the W that step k uses, each step having its own."""
    T = len(c.x)
    found = np.zeros((T, T, *c.params[name].shape))
    for k in range(T):
        for place in np.ndindex(c.params[name].shape):
            each = [moved_params(c.params, name, place) if t == k else c.params for t in range(T)]
            found[(slice(None), k, *place)] = c.losses(each).imag / STEP
    return found
