"""Every quantity of two hundred drawn networks against torch's autograd, and float32 against float64."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from everygrad.backprop import gradients
from everygrad.checks.tolerance import FRAMEWORK, SINGLE, assert_close
from everygrad.graph.losses import BinaryCrossEntropy, SoftmaxCrossEntropy, SquaredError
from everygrad.networks import FeedForward
from tests.support.torch_activations import ACTIVATIONS

REDUCTIONS = ("mean", "sum", "none")


@st.composite
def cases(draw):
    depth = draw(st.integers(0, 6))
    sizes = [draw(st.integers(1, 40)) for _ in range(depth + 2)]
    activations = [draw(st.sampled_from(sorted(ACTIVATIONS))) for _ in range(depth)]
    loss = draw(st.sampled_from(["labels", "distributions", "binary", "squared"]))
    reduction = draw(st.sampled_from(REDUCTIONS))
    outputs = draw(st.sampled_from(["sum", "mean"]))
    smoothing = draw(st.sampled_from([0.0, 0.1]))
    weighted, bias = draw(st.booleans()), draw(st.booleans())
    return (
        sizes,
        activations,
        loss,
        reduction,
        outputs,
        smoothing,
        weighted,
        bias,
        draw(st.integers(1, 33)),
        draw(st.integers(0, 10**6)),
    )


def build(case):
    sizes, activations, kind, reduction, outputs, smoothing, weighted, bias, B, seed = case
    rng = np.random.default_rng(seed)
    K = sizes[-1]
    if kind in ("labels", "distributions"):
        loss = SoftmaxCrossEntropy(reduction, smoothing)
        y = rng.integers(0, K, B) if kind == "labels" else rng.dirichlet(np.ones(K), B)
    elif kind == "binary":
        loss, y = BinaryCrossEntropy(reduction, outputs), rng.uniform(size=(B, K))
    else:
        loss, y = SquaredError(reduction, outputs, half=smoothing > 0), rng.normal(size=(B, K))
    net = FeedForward(sizes, activations, loss, bias=bias, weighted=weighted)
    params = {k: v if k[0] == "W" else 0.3 * rng.normal(size=v.shape) for k, v in net.init(rng, scheme="lecun").items()}
    # exponentials and squares of layer upon layer leave the range of numbers: keep the layers small
    params = {k: 0.7 * v for k, v in params.items()}
    data = [rng.normal(size=(B, sizes[0])), y]
    return net, params, data + ([rng.uniform(0.1, 2, B)] if weighted else [])


def in_torch(net, params, data, case):
    """The same network in torch: every quantity with its gradient."""
    _, activations, kind, reduction, outputs, smoothing, weighted, bias, _, _ = case
    q = {k: torch.tensor(v, requires_grad=True) for k, v in params.items()}
    h = q["h0"] = torch.tensor(data[0], requires_grad=True)
    for i in range(1, net.depth + 1):
        a = q[f"a{i}"] = torch.nn.functional.linear(h, q[f"W{i}"], q[f"b{i}"] if bias else None)
        a.retain_grad()
        if i < net.depth:
            h = q[f"h{i}"] = ACTIVATIONS[activations[i - 1]](a)
            h.retain_grad()
    y = torch.tensor(data[1])
    if kind in ("labels", "distributions"):
        losses = torch.nn.functional.cross_entropy(a, y, reduction="none", label_smoothing=smoothing)
    else:
        each = (
            torch.nn.functional.binary_cross_entropy_with_logits if kind == "binary" else torch.nn.functional.mse_loss
        )
        terms = each(a, y, reduction="none") * (0.5 if kind == "squared" and smoothing > 0 else 1.0)
        losses = terms.sum(1) if outputs == "sum" else terms.mean(1)
    w = torch.tensor(data[2]) if weighted else torch.ones_like(losses)
    total = (losses * w).sum() / (w.sum() if reduction == "mean" else 1.0)
    total.backward()
    return total, q


@settings(max_examples=200)
@given(cases())
def test_every_quantity_equals_autograds(case):
    net, params, data = build(case)
    g = gradients(net, params, *data)
    total, q = in_torch(net, params, data, case)
    assert_close(np.asarray(g.loss.sum()), total.detach(), FRAMEWORK, "loss")
    for name, v in q.items():
        assert_close(g[name], v.grad, FRAMEWORK, name)


@settings(max_examples=100)
@given(cases())
def test_float32_is_close_to_float64(case):
    net, params, data = build(case)
    narrow = {k: v.astype(np.float32) for k, v in params.items()}
    small = [d.astype(np.float32) if d.dtype == float else d for d in data]
    wide = {k: v.astype(float) for k, v in narrow.items()}
    large = [d.astype(float) if d.dtype == np.float32 else d for d in small]
    g, G = gradients(net, narrow, *small), gradients(net, wide, *large)
    for name in G:
        assert g[name].dtype == np.float32
        if name == "weight":  # (l - L)/sum(w): a difference of losses, each with its own rounding
            size = np.abs(G.loss).max() / small[2].sum()
            assert np.abs(g[name] - G[name]).max() <= SINGLE * max(size, np.abs(G[name]).max())
            continue
        assert_close(g[name], G[name], SINGLE, name)
