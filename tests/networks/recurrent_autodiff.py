"""The same networks once more, as a loop that any library can differentiate: torch, JAX, NumPy's complex numbers.

`network` calls ``tap(name, t, value)`` for every quantity of every step; an oracle keeps the value there (torch) or
adds a perturbation to it (JAX, complex step), and reads off the total gradient. A gradient is *direct* if the states
that are carried from one step to the next are cut: ``cut(state)`` is a constant with the same value.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from scipy.special import erf

from tests.networks.recurrent_cases import Case, Layer, Made
from tests.networks.recurrent_oracle import Found
from tests.support.torch_activations import ACTIVATIONS as TORCH_ACTIVATIONS

Array = Any
Tap = Callable[[str, int, Array], Array]

# ------------------------------------------------------------------------------------- what the libraries differ in


def _softplus(a: Array) -> Array:
    return np.log(1 + np.exp(a))


def _complex_sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


class Complex:
    """NumPy with complex numbers; arrays may have one more axis in front, of perturbed copies."""

    sigmoid = staticmethod(_complex_sigmoid)
    tanh = staticmethod(np.tanh)
    where = staticmethod(np.where)
    asarray = staticmethod(np.asarray)

    @staticmethod
    def join(parts: Sequence[Array]) -> Array:
        # a perturbation below one half only: the other has no axis of copies
        shape = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
        return np.concatenate([np.broadcast_to(part, (*shape, part.shape[-1])) for part in parts], axis=-1)

    @staticmethod
    def product(x: Array, W: Array) -> Array:
        return x @ np.swapaxes(W, -1, -2)

    @staticmethod
    def bias(b: Array) -> Array:
        return b[..., None, :]

    @staticmethod
    def rows(E: Array, tokens: Array) -> Array:
        return E[..., tokens, :]

    @staticmethod
    def log_softmax(z: Array) -> Array:
        z = z - z.real.max(-1, keepdims=True)
        return z - np.log(np.exp(z).sum(-1, keepdims=True))

    activations: Mapping[str, Callable[[Array], Array]] = {
        "tanh": np.tanh,
        "sigmoid": _complex_sigmoid,
        "identity": lambda a: a,
        "relu": lambda a: np.where(a.real > 0, a, 0),
        "leaky_relu": lambda a: np.where(a.real > 0, a, 0.01 * a),
        "elu": lambda a: np.where(a.real > 0, a, np.exp(a) - 1),
        "gelu": lambda a: a * 0.5 * (1 + erf(a / np.sqrt(2))),
        "gelu_tanh": lambda a: 0.5 * a * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a**3))),
        "silu": lambda a: a * _complex_sigmoid(a),
        "softplus": _softplus,
        "sin": np.sin,
        "cos": np.cos,
    }


class Plain:
    """What torch and JAX write alike."""

    @staticmethod
    def product(x: Array, W: Array) -> Array:
        return x @ W.T

    @staticmethod
    def bias(b: Array) -> Array:
        return b

    @staticmethod
    def rows(E: Array, tokens: Array) -> Array:
        return E[tokens]


class Torch(Plain):
    sigmoid = staticmethod(torch.sigmoid)
    tanh = staticmethod(torch.tanh)
    where = staticmethod(torch.where)
    asarray = staticmethod(torch.as_tensor)

    @staticmethod
    def join(parts: Sequence[Array]) -> Array:
        return torch.cat(list(parts), -1)

    @staticmethod
    def log_softmax(z: Array) -> Array:
        return torch.log_softmax(z, -1)

    activations: Mapping[str, Callable[[Array], Array]] = TORCH_ACTIVATIONS


class Jax(Plain):
    sigmoid = staticmethod(jax.nn.sigmoid)
    tanh = staticmethod(jnp.tanh)
    where = staticmethod(jnp.where)
    asarray = staticmethod(jnp.asarray)

    @staticmethod
    def join(parts: Sequence[Array]) -> Array:
        return jnp.concatenate(list(parts), -1)

    @staticmethod
    def log_softmax(z: Array) -> Array:
        return jax.nn.log_softmax(z, axis=-1)

    activations: Mapping[str, Callable[[Array], Array]] = {
        "tanh": jnp.tanh,
        "sigmoid": jax.nn.sigmoid,
        "identity": lambda a: a,
        "relu": jax.nn.relu,
        "leaky_relu": jax.nn.leaky_relu,
        "elu": jax.nn.elu,
        "gelu": lambda a: jax.nn.gelu(a, approximate=False),
        "gelu_tanh": jax.nn.gelu,
        "silu": jax.nn.silu,
        "softplus": jax.nn.softplus,
        "sin": jnp.sin,
        "cos": jnp.cos,
    }


# ------------------------------------------------------------------------------------------------ the network


def affine(m: Any, p: Mapping[str, Array], gate: str, x: Array, h: Array) -> Array:
    a = m.product(x, p[f"U{gate}"]) + m.product(h, p[f"W{gate}"])
    return a + m.bias(p[f"b{gate}"]) if f"b{gate}" in p else a


def step(m: Any, case: Case, p: Mapping[str, Array], x: Array, s: Mapping[str, Array], tap: Any) -> dict[str, Array]:
    """One step of a cell; ``tap(name, value)``."""
    h = s["h"]
    if case.cell == "elman":
        a = tap("a", affine(m, p, "", x, h))
        return {"h": tap("h", m.activations[case.activation](a))}
    if case.cell == "lstm":
        i = tap("i", m.sigmoid(tap("a_i", affine(m, p, "_i", x, h))))
        f = tap("f", m.sigmoid(tap("a_f", affine(m, p, "_f", x, h))))
        g = tap("g", m.tanh(tap("a_g", affine(m, p, "_g", x, h))))
        o = tap("o", m.sigmoid(tap("a_o", affine(m, p, "_o", x, h))))
        c = tap("c", f * s["c"] + i * g)
        h = o * m.tanh(c)
        return {"h": tap("h", m.product(h, p["R"]) if case.projection else h), "c": c}
    if case.cell in ("leaky", "peephole", "minimal"):
        return own_step(m, case, p, x, s, tap)
    r = tap("r", m.sigmoid(tap("a_r", affine(m, p, "_r", x, h))))
    z = tap("z", m.sigmoid(tap("a_z", affine(m, p, "_z", x, h))))
    if case.reset == "after":
        product = m.product(h, p["W_n"])
        a_n = m.product(x, p["U_n"]) + r * (product + m.bias(p["b_hn"]) if case.bias else product)
        a_n = a_n + m.bias(p["b_n"]) if case.bias else a_n
    else:
        a_n = affine(m, p, "_n", x, r * h)
    n = tap("n", m.tanh(tap("a_n", a_n)))
    return {"h": tap("h", (1 - z) * n + z * h)}


def own_step(
    m: Any, case: Case, p: Mapping[str, Array], x: Array, s: Mapping[str, Array], tap: Any
) -> dict[str, Array]:
    """Cells that are not the library's."""
    h = s["h"]
    if case.cell == "leaky":
        return {"h": tap("h", 0.7 * h + 0.3 * m.tanh(tap("a", affine(m, p, "", x, h))))}
    if case.cell == "minimal":
        f = tap("f", m.sigmoid(tap("a_f", affine(m, p, "_f", x, h))))
        n = tap("n", m.tanh(tap("a_n", affine(m, p, "_n", x, f * h))))
        return {"h": tap("h", (1 - f) * h + f * n)}
    before = s["c"]
    i = tap("i", m.sigmoid(tap("a_i", affine(m, p, "_i", x, h) + m.bias(p["p_i"]) * before)))
    f = tap("f", m.sigmoid(tap("a_f", affine(m, p, "_f", x, h) + m.bias(p["p_f"]) * before)))
    g = tap("g", m.tanh(tap("a_g", affine(m, p, "_g", x, h))))
    c = tap("c", f * before + i * g)
    o = tap("o", m.sigmoid(tap("a_o", affine(m, p, "_o", x, h) + m.bias(p["p_o"]) * c)))
    return {"h": tap("h", o * m.tanh(c)), "c": c}


def run(
    m: Any, made: Made, layer: Layer, params: Mapping[str, Array], xs: Sequence[Array], tap: Tap, cut: Any
) -> list[Array]:
    """One layer: h at each step in the order of time. ``params`` holds the initial states too."""
    case = made.case
    p = {name: params[name + layer.suffix] for name in case.cell_shapes(layer.inputs)}
    states = {k: params[f"{k}0{layer.suffix}"] for k in case.states}
    out: list[Array] = [None] * case.T
    for t in reversed(range(case.T)) if layer.reverse else range(case.T):
        keep = m.asarray(made.mask[:, t, None])

        def here(name: str, value: Array, t: int = t) -> Array:
            return tap(name + layer.suffix, t, value)

        new = step(m, case, p, xs[t], states, here)
        out[t] = tap("out" + layer.suffix, t, new["h"] * 1.0)
        states = {k: m.where(keep, cut(new[k]), states[k]) for k in case.states}
    return out


def network(m: Any, made: Made, params: Mapping[str, Array], tap: Tap, cut: Callable[[Layer, Array], Array]) -> Array:
    """The loss; ``params`` holds "x" (or "E") and the initial states too."""
    case = made.case
    if case.embedding:
        xs = [tap("embedded", t, m.rows(params["E"], made.x[:, t])) for t in range(case.T)]
    else:
        xs = [tap("x", t, params["x"][..., t, :]) for t in range(case.T)]
    for level in range(case.layers):
        halves = []
        for layer in [each for each in case.stack if each.level == level]:
            ys = [tap("in" + layer.suffix, t, x * 1.0) for t, x in enumerate(xs)]
            halves.append(run(m, made, layer, params, ys, tap, lambda s, layer=layer: cut(layer, s)))
        xs = [m.join(parts) for parts in zip(*halves, strict=True)]

    keep = made.mask.astype(float)
    if case.read == "each":
        at = [(x, made.y[:, t], made.coefficients[:, t]) for t, x in enumerate(xs)]
    else:
        if case.read == "mean":
            weights = [keep / keep.sum(1, keepdims=True)] * len(halves)
        else:  # the state after the last step that a half reads
            last = np.arange(case.T) == case.T - 1 - made.mask[:, ::-1].argmax(1)[:, None]
            first = np.arange(case.T) == made.mask.argmax(1)[:, None]
            weights = [1.0 * (first if layer.reverse else last) for layer in case.stack if layer.level == level]
        read = [
            sum(m.asarray(w[:, t, None]) * h for t, h in enumerate(hs)) for w, hs in zip(weights, halves, strict=True)
        ]
        at = [(m.join(read), made.y, made.coefficients)]
    loss = 0.0
    for t, (x, y, c) in enumerate(at):
        z = tap("prediction", t, m.product(x, params["V"]) + m.bias(params["b_V"]))
        if case.loss == "squared_error":
            each = ((z - m.asarray(y)) ** 2).sum(-1)
        else:
            each = -(m.log_softmax(z) * m.asarray(np.eye(case.outputs)[y])).sum(-1)
        loss = loss + (each * m.asarray(c)).sum(-1)
    return loss


def arguments(made: Made) -> dict[str, np.ndarray]:
    """Everything that is given and has a gradient."""
    x = {} if made.case.embedding else {"x": np.where(made.mask[..., None], made.x, 0.0)}
    return {**made.params, **made.initial, **x}


def shapes_of_taps(made: Made) -> dict[str, tuple[int, ...]]:
    """Every name that `network` taps -> (B, T, n); the prediction of a single read-out is at t = 0."""
    case = made.case
    B, T = made.mask.shape
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in case.stack:
        shapes |= {k + layer.suffix: (B, T, case.width(k)) for k in case.quantities}
        shapes |= {"in" + layer.suffix: (B, T, layer.inputs), "out" + layer.suffix: (B, T, case.output)}
    shapes["prediction"] = (B, T if case.read == "each" else 1, case.outputs)
    if case.embedding:
        shapes["embedded"] = (B, T, case.embedding[1])
    return shapes


def as_asked(made: Made, total: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without what only the oracle needs."""
    found = {k: v for k, v in total.items() if not k.startswith(("in_", "out_")) and k not in ("in", "out")}
    return found if made.case.read == "each" else {**found, "prediction": found["prediction"][:, 0]}


# --------------------------------------------------------------------------------------------------- torch


def _gradient(tensor: torch.Tensor) -> np.ndarray:
    return np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()


def with_torch(made: Made) -> Found:
    """torch's autograd, with ``retain_grad`` on every quantity of every step."""
    case = made.case
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in arguments(made).items()}
    kept: dict[str, dict[int, torch.Tensor]] = {}

    def tap(name: str, t: int, value: torch.Tensor) -> torch.Tensor:
        if name != "x":
            value.retain_grad()
            kept.setdefault(name, {})[t] = value
        return value

    loss = network(Torch, made, leaves, tap, lambda layer, s: s)
    loss.backward()
    total = {k: _gradient(v) for k, v in leaves.items()}
    total |= {k: np.stack([_gradient(v[t]) for t in sorted(v)], 1) for k, v in kept.items()}
    values = {k: np.stack([v[t].detach().numpy() for t in sorted(v)], 1) for k, v in kept.items()}

    direct: dict[str, np.ndarray] = {}
    for layer in case.stack:  # again, by itself: the gradient arriving from outside is what `out` received
        kept = {}
        xs = [torch.tensor(values["in" + layer.suffix][:, t], requires_grad=True) for t in range(case.T)]
        names = [k + layer.suffix for k in case.cell_shapes(layer.inputs)]
        mine = {
            k: torch.tensor(arguments(made)[k], requires_grad=True)
            for k in [*names, *(f"{k}0{layer.suffix}" for k in case.states)]
        }
        hs = run(Torch, made, layer, mine, xs, tap, torch.Tensor.detach)
        arriving = total["out" + layer.suffix]
        sum((h * torch.from_numpy(arriving[:, t])).sum() for t, h in enumerate(hs)).backward()
        direct |= {k: _gradient(v) for k, v in mine.items()}
        direct |= {k: np.stack([_gradient(v[t]) for t in sorted(v)], 1) for k, v in kept.items()}
        if layer.level == 0:
            name = "embedded" if case.embedding else "x"
            direct[name] = direct.get(name, 0.0) + np.stack([_gradient(x) for x in xs], 1)
    values = {k: v for k, v in as_asked(made, values).items() if k != "embedded"}
    return Found(
        float(loss.detach()), as_asked(made, total), {k: v for k, v in direct.items() if k[:3] != "out"}, values
    )


# --------------------------------------------------------------------------------------------------- JAX


def with_jax(made: Made) -> Found:
    """``jax.grad`` with respect to a zero that is added to every quantity of every step. Needs float64 switched on."""
    case = made.case
    given = {k: jnp.asarray(v) for k, v in arguments(made).items()}
    zeros = {k: jnp.zeros(shape) for k, shape in shapes_of_taps(made).items()}
    values: dict[str, np.ndarray] = {}

    def adding(zeros: Mapping[str, Array]) -> Tap:
        return lambda name, t, value: value + zeros[name][:, t] if name in zeros else value

    def keeping(name: str, t: int, value: Array) -> Array:
        values.setdefault(name, np.zeros((*value.shape[:1], case.T, *value.shape[1:])))[:, t] = value
        return value

    network(Jax, made, given, keeping, lambda layer, s: s)

    def whole(given: Mapping[str, Array], zeros: Mapping[str, Array]) -> Array:
        return network(Jax, made, given, adding(zeros), lambda layer, s: s)

    loss, (of_given, of_zeros) = jax.value_and_grad(whole, (0, 1))(given, zeros)
    total = {k: np.asarray(v) for k, v in {**of_given, **of_zeros}.items()}
    direct: dict[str, np.ndarray] = {}
    for layer in case.stack:
        names = [k + layer.suffix for k in [*case.cell_shapes(layer.inputs), *(f"{k}0" for k in case.states)]]
        mine = {k: given[k] for k in names}
        own = {k + layer.suffix: zeros[k + layer.suffix] for k in case.quantities}
        xs = jnp.asarray(values["in" + layer.suffix])
        arriving = jnp.asarray(total["out" + layer.suffix])

        def alone(mine: Any, own: Any, xs: Any, layer: Layer = layer, arriving: Any = arriving) -> Array:
            per_step = [xs[:, t] for t in range(case.T)]
            hs = run(Jax, made, layer, mine, per_step, adding(own), jax.lax.stop_gradient)
            return (jnp.stack(hs, 1) * arriving).sum()

        of_mine, of_own, of_xs = jax.grad(alone, (0, 1, 2))(mine, own, xs)
        direct |= {k: np.asarray(v) for k, v in {**of_mine, **of_own}.items()}
        if layer.level == 0:
            name = "embedded" if case.embedding else "x"
            direct[name] = direct.get(name, 0.0) + np.asarray(of_xs)
    return Found(float(loss), as_asked(made, total), direct, {})


# --------------------------------------------------------------------------------------------- complex step


def with_complex_step(made: Made, names: Sequence[str] | None = None) -> Found:
    """Each entry of each array by itself gets i·1e-30, and the network runs on; one copy per entry.

    Direct: in the layer of the perturbed entry, the states that are carried over lose their imaginary part.
    """
    case = made.case
    given = arguments(made)
    shapes = {k: v for k, v in shapes_of_taps(made).items() if not k.startswith(("in", "out"))}
    owner = {k + layer.suffix: layer.level for layer in case.stack for k in case.quantities}
    owner |= {k + layer.suffix: layer.level for layer in case.stack for k in case.cell_shapes(layer.inputs)}
    owner |= {f"{k}0{layer.suffix}": layer.level for layer in case.stack for k in case.states}
    owner |= {"x": 0, "embedded": 0}

    def copies(shape: tuple[int, ...]) -> np.ndarray:
        return 1e-30j * np.eye(int(np.prod(shape))).reshape(-1, *shape)

    def gradient(name: str, cut: Callable[[Layer, Array], Array]) -> np.ndarray:
        if name in shapes:
            added = copies(shapes[name])

            def tap(at: str, t: int, value: Array) -> Array:
                return value + added[:, :, t] if at == name else value

            loss = network(Complex, made, given, tap, cut)
        else:
            perturbed = {**given, name: given[name] + copies(given[name].shape)}
            loss = network(Complex, made, perturbed, lambda at, t, value: value, cut)
        shape = shapes[name] if name in shapes else given[name].shape
        return np.broadcast_to(loss.imag / 1e-30, int(np.prod(shape))).reshape(shape)

    asked = names or [*given, *shapes]
    total = {k: gradient(k, lambda layer, s: s) for k in asked}
    direct = {
        k: gradient(k, lambda layer, s, k=k: s.real if layer.level == owner[k] else s) for k in asked if k in owner
    }
    loss = network(Complex, made, given, lambda at, t, value: value, lambda layer, s: s)
    return Found(float(loss.real), as_asked(made, total) if "prediction" in total else total, direct, {})
