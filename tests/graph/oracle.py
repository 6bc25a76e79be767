"""The local derivatives of an operation by the complex step of its value: one perturbed entry at a time."""

import math

import numpy as np

from everygrad.checks.tolerance import assert_close

STEP = 1e-30


def full_derivative(op, slot, xs, leads):
    """∂(every entry of y)/∂(every entry of xs[slot]), shape y.shape + x.shape, by plain loops."""
    y = np.asarray(op.value(xs, leads))
    D = np.zeros((*y.shape, *xs[slot].shape))
    for index in np.ndindex(xs[slot].shape):
        moved = [np.asarray(x, dtype=complex) if np.asarray(x).dtype.kind == "f" else x for x in xs]
        moved[slot] = moved[slot].copy()
        moved[slot][index] += 1j * STEP
        D[(..., *index)] = np.asarray(op.value(moved, leads)).imag / STEP
    return D


def expand(J, y_shape, x_shape, out_lead, in_lead, samples):
    """What a Jacobian per sample says about every pair of entries: zero between different samples."""
    dense = np.broadcast_to(J.dense(), (*(samples if J.batch else ()), *J.out_shape, *J.in_shape))
    D = np.zeros((*y_shape, *x_shape))
    if not samples:
        return dense.reshape((*y_shape, *x_shape))
    for b in np.ndindex(samples):
        block = dense[b] if J.batch else dense
        out_at, in_at = (b if out_lead else ()), (b if in_lead else ())
        for p in np.ndindex(J.out_shape):
            for q in np.ndindex(J.in_shape):
                D[(*out_at, *p, *in_at, *q)] += block[(*p, *q)]
    return D


def expand_by_pulling(J, y_shape, x_shape, out_lead, in_lead, samples):
    """The same as the backward sweep finds it: Jᵀ g for one entry of y at a time."""
    D = np.zeros((*y_shape, *x_shape))
    for index in np.ndindex(y_shape):
        g = np.zeros(y_shape)
        g[index] = 1.0
        pull = J.pull(g if out_lead else np.broadcast_to(g, (*samples, *y_shape)))
        D[index] = pull if in_lead else pull.reshape(-1, *J.in_shape).sum(axis=0)
    return D


def assert_local(op, xs, leads, tol=None):
    """Every local derivative of the operation, at these inputs, against the complex step."""
    xs = [np.asarray(x) for x in xs]
    copies = [x.copy() for x in xs]
    y = np.asarray(op.value(xs, leads))
    out_lead = op.lead(leads)
    shapes = [x.shape[lead:] for x, lead in zip(xs, leads, strict=True)]
    assert op.shape(shapes, leads) == y.shape[out_lead:]
    # where the operation joins steps, time is a feature axis of each sample's Jacobian
    own = [min(lead, out_lead) if out_lead else lead for lead in leads]
    shapes = [x.shape[lead:] for x, lead in zip(xs, own, strict=True)]
    for slot, x in enumerate(xs):
        if not op.differentiable(slot, xs):
            continue
        J = op.local(slot, xs, y, leads)
        assert J.in_shape == shapes[slot]
        assert J.out_shape == y.shape[out_lead:]
        reference = full_derivative(op, slot, xs, leads)
        name = f"{op.name}, input {slot} of {shapes}"
        # y may be a number and x a parameter, and yet the way from one to the other leads through samples
        samples = y.shape[:out_lead]
        if J.batch:
            samples = max((x.shape[:lead] for x, lead in zip(xs, own, strict=True)), key=len)
        for way in (expand, expand_by_pulling):
            full = way(J, y.shape, x.shape, out_lead, own[slot], samples or x.shape[: own[slot]])
            assert_close(full, reference, tol, name)
    for x, copy in zip(xs, copies, strict=True):
        np.testing.assert_array_equal(x, copy)
    assert math.isfinite(float(np.abs(y).max()))
