"""A run and its sweep for cells that nobody designed, against torch's autograd through a plain loop."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from everygrad.checks.tolerance import FRAMEWORK, assert_close
from everygrad.graph import ops
from everygrad.graph.time import cell, run, sweep
from tests.through_time.programs import WITH_TENSORS, Program, program


@dataclass(frozen=True)
class Numbers:
    """Inputs and parameters of a program, and the gradients that arrive from outside; all (time, batch, units)."""

    x: np.ndarray
    states: dict[str, np.ndarray]
    params: dict[str, np.ndarray]
    mask: np.ndarray | None
    direct: dict[str, np.ndarray]
    final: dict[str, np.ndarray]


def numbers(what: Program, seed: int) -> Numbers:
    rng = np.random.default_rng([seed, 1])
    T, B, n = int(rng.integers(1, 9)), int(rng.integers(1, 4)), what.units
    outside = [line.name for line in what.lines if rng.uniform() < 0.4] or [what.states[0]]
    x = rng.normal(size=(T, B, what.shapes["W_in"][1]))
    mask = rng.uniform(size=(T, B)) < 0.7 if rng.uniform() < 0.5 else None
    return Numbers(
        x=x if mask is None else np.where(mask[..., None], x, np.nan),
        states={s: rng.normal(size=(B, n)) for s in what.states},
        params={k: 0.8 * rng.normal(size=shape) / np.sqrt(shape[-1]) for k, shape in what.shapes.items()},
        mask=mask,
        direct={name: rng.normal(size=(T, B, n)) for name in outside},
        final={s: rng.normal(size=(B, n)) for s in what.states if rng.uniform() < 0.5},
    )


def kept_gradient(value: torch.Tensor) -> torch.Tensor:
    """A tensor of its own, also where a line returned its operand, whose gradient stays."""
    value = value * 1.0 if value.requires_grad else value.clone().requires_grad_()
    value.retain_grad()
    return value


def in_torch(what: Program, given: Numbers, carry: bool):
    """Values and gradients by name; without ``carry`` the states are detached from step to step."""
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in given.params.items()}
    initial = {k: torch.tensor(v, requires_grad=True) for k, v in given.states.items()}
    x = torch.tensor(np.nan_to_num(given.x), requires_grad=True)
    mask = np.ones(x.shape[:2], bool) if given.mask is None else given.mask
    states, kept, before = initial, [], []
    loss = torch.zeros((), dtype=torch.float64)
    for t in range(len(x)):
        keep = torch.from_numpy(mask[t])[:, None]
        now = {}

        def named(name, value, now=now):
            now[name] = kept_gradient(value)
            return now[name]

        begun = torch.from_numpy(mask[:t].any(0))[:, None]
        ahead = states if carry else {k: torch.where(begun, v.detach(), initial[k]) for k, v in states.items()}
        what.step(WITH_TENSORS, {"x": x[t], **{f"{k}_prev": v for k, v in ahead.items()}, **leaves}, named)
        for name, g in given.direct.items():
            loss = loss + (now[name] * torch.from_numpy(g[t]) * keep).sum()
        before.append(ahead)
        states = {k: torch.where(keep, now[k], v) for k, v in states.items()}
        kept.append(now)
    for name, g in given.final.items():
        loss = loss + (states[name] * torch.from_numpy(g)).sum()
    loss.backward()

    def gradient(tensor):
        return np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()

    values = {k: np.stack([now[k].detach().numpy() for now in kept]) for k in kept[0]}
    values |= {f"{k}_prev": np.stack([s[k].detach().numpy() for s in before]) for k in states}
    gradients = {k: np.stack([gradient(now[k]) for now in kept]) for k in kept[0]}
    of_initial = {k: gradient(v) for k, v in initial.items()}
    return values, {**gradients, "x": gradient(x)}, of_initial, {k: gradient(v) for k, v in leaves.items()}


@settings(max_examples=100)
@given(st.integers(0, 10**9))
@pytest.mark.parametrize("carry", [True, False])
def test_every_gradient_of_any_cell(carry, seed):
    what = program(seed)
    given = numbers(what, seed)
    ran = run(what.cell(), given.x, given.states, given.params, given.mask)
    swept = sweep(ran, given.direct, given.final, carry=carry)
    values, gradients, initial, params = in_torch(what, given, carry)
    counted = np.ones(given.x.shape[:2], bool) if given.mask is None else given.mask
    for name, reference in values.items():
        where = counted[..., None] if not name.endswith("_prev") else True
        assert_close(np.where(where, ran.values[name], 0), np.where(where, reference, 0), FRAMEWORK, name)
    for name, reference in gradients.items():
        actual = swept.total.get(name, np.zeros_like(reference))  # what no gradient reaches is not there
        assert_close(actual, reference, FRAMEWORK, f"gradient of {name}")
        assert not actual[~counted].any()
    for name, reference in params.items():
        assert_close(swept.parameters.get(name, np.zeros_like(reference)), reference, FRAMEWORK, name)
    some = counted.any(0)[:, None]  # of a sequence without a step, nothing is direct
    for name, reference in initial.items():
        reference = reference if carry else reference * some
        assert_close(swept.initial.get(name, np.zeros_like(reference)), reference, FRAMEWORK, f"initial {name}")


@settings(max_examples=40)
@given(st.integers(0, 10**9))
def test_every_immediate_derivative_of_any_cell(seed):
    """∂of_t/∂wrt_t within one step, entry by entry, by torch's backward pass of one component of one sample."""
    what = program(seed)
    given = numbers(what, seed)
    ran = run(what.cell(), given.x, given.states, given.params, given.mask)
    rng = np.random.default_rng([seed, 2])
    of = str(rng.choice([line.name for line in what.lines]))
    counted = np.argwhere(np.ones(given.x.shape[:2], bool) if given.mask is None else given.mask)
    assume(len(counted))
    t, b = counted[rng.integers(len(counted))]
    found = {}

    def named(name, value):
        found[name] = kept_gradient(value)
        return found[name]

    leaves = {"x": given.x[t, b], **{f"{s}_prev": ran.values[f"{s}_prev"][t, b] for s in what.states}, **given.params}
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in leaves.items()}
    what.step(WITH_TENSORS, leaves, named)
    references = {name: [] for name in (*leaves, *found)}
    for component in found[of]:
        for tensor in (*leaves.values(), *found.values()):
            tensor.grad = None
        component.backward(retain_graph=True)
        for name, tensor in {**leaves, **found}.items():
            references[name].append(np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy().copy())
    for wrt, rows in references.items():
        dense = ran.jacobian(of, wrt).dense()
        entry = np.broadcast_to(dense, (*given.x.shape[:2], *dense.shape[-1 - rows[0].ndim :]))[t, b]
        assert_close(entry, np.stack(rows), FRAMEWORK, f"d{of}/d{wrt}")


def test_padding_is_harmless_where_zero_is_not_allowed():
    """1/x: whatever stands in for the padding must not reach a gradient, nor be divided by."""

    def f(x, states, p):
        a = p.U @ (1.0 / x) + p.W @ states.h
        return ops.tanh(a)

    rng = np.random.default_rng(0)
    params = {"U": rng.normal(size=(3, 2)), "W": rng.normal(size=(3, 3))}
    x, g = rng.uniform(1, 2, size=(4, 2, 2)), rng.normal(size=(4, 2, 3))
    start = {"h": rng.normal(size=(2, 3))}
    mask = np.array([[1, 1], [1, 1], [1, 0], [1, 0]], bool)
    padded = sweep(run(cell(f), np.where(mask[..., None], x, np.nan), start, params, mask), {"h": g})
    whole = sweep(run(cell(f), x, start, params), {"h": g * mask[..., None]})
    for name in ("U", "W"):
        assert_close(padded.parameters[name], whole.parameters[name])
    for name in ("x", "a"):
        assert_close(padded.total[name], whole.total[name])
        assert not padded.total[name][~mask].any()
