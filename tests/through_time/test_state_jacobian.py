"""∂s_t/∂s_{t−1} and its products, against the complex step of the cells' equations."""

import tracemalloc

import numpy as np
import pytest
import torch

from everygrad.checks.tolerance import FRAMEWORK, assert_close
from everygrad.errors import InputError, UnknownNameError
from everygrad.through_time import pull_back, push_forward, state_jacobian, state_product
from tests.through_time.cells import EXAMPLES, case, product, step_jacobian

EVERY = pytest.mark.parametrize(("name", "masked"), [(n, m) for n in EXAMPLES for m in (False, True)])


@EVERY
def test_one_step(name, masked):
    c = case(name, masked=masked)
    J = state_jacobian(c.run)
    for t in range(len(c.x)):
        assert_close(J.dense(t), step_jacobian(c, t), name=f"step {t}")


@EVERY
def test_both_sides_of_one_step_and_of_all(name, masked):
    c = case(name, masked=masked)
    J, rng = state_jacobian(c.run), np.random.default_rng(1)
    T, B, d, _ = J.shape
    v = rng.normal(size=(2, T, B, d))
    matrices = np.stack([step_jacobian(c, t) for t in range(T)])
    assert_close(J.push(v), np.einsum("tbpq,ktbq->ktbp", matrices, v))
    assert_close(J.pull(v), np.einsum("tbpq,ktbp->ktbq", matrices, v))
    for t in range(T):
        assert_close(J.push(v[:, t], t), np.einsum("bpq,kbq->kbp", matrices[t], v[:, t]))
        assert_close(J.pull(v[0, t], t), np.einsum("bpq,bp->bq", matrices[t], v[0, t]))


@EVERY
def test_blocks(name, masked):
    c = case(name, masked=masked)
    J = state_jacobian(c.run)
    assert list(J.blocks) == [(of, wrt) for of in c.example.states for wrt in c.example.states]
    edges = dict(zip(J.states, np.cumsum([0, *J.steps.sizes.values()]), strict=False))
    for t in range(len(c.x)):
        matrix = step_jacobian(c, t)
        for (of, wrt), block in J.blocks.items():
            p, q = edges[of], edges[wrt]
            expected = matrix[:, p : p + J.steps.sizes[of], q : q + J.steps.sizes[wrt]]
            dense = np.broadcast_to(block.dense(), (*J.shape[:2], *expected.shape[1:]))
            if np.abs(expected).max() > 0:
                assert_close(dense[t], expected, name=f"{of} by {wrt}")
            else:
                assert not dense[t].any()


def test_what_the_blocks_of_an_lstm_are():
    blocks = state_jacobian(case("lstm").run).blocks
    assert {key: type(J).__name__ for key, J in blocks.items()} == {
        ("h", "h"): "Dense",
        ("h", "c"): "Diagonal",
        ("c", "h"): "Dense",
        ("c", "c"): "Diagonal",
    }


def test_against_torch_jacrev():
    c = case("lstm", B=1)
    p = {k: torch.tensor(v) for k, v in c.params.items()}

    def step(s, x):
        h, prev = s[:3], s[3:]
        a = {g: p[f"U_{g}"] @ x + p[f"b_{g}"] + p[f"W_{g}"] @ h for g in "ifgo"}
        new = torch.sigmoid(a["f"]) * prev + torch.sigmoid(a["i"]) * torch.tanh(a["g"])
        return torch.cat([torch.sigmoid(a["o"]) * torch.tanh(new), new])

    s = torch.tensor(np.concatenate([c.initial["h"][0], c.initial["c"][0]]))
    J = state_jacobian(c.run)
    for t in range(len(c.x)):
        x = torch.tensor(c.x[t, 0])
        assert_close(J.dense(t)[0], torch.func.jacrev(step)(s, x), FRAMEWORK)
        s = step(s, x)


def spectral_radius(A, squarings=60):
    """lim ‖A^m‖^(1/m) (Gelfand), for m = 2^60."""
    log = 0.0
    for i in range(squarings):
        size = np.linalg.norm(A)
        if size == 0:
            return 0.0
        A, log = A / size @ (A / size), log + np.log(size) / 2**i
    return np.exp(log)


@EVERY
def test_measures(name, masked):
    c = case(name, masked=masked)
    J = state_jacobian(c.run)
    matrices = np.stack([step_jacobian(c, t) for t in range(len(c.x))])
    assert_close(J.norms(), np.sqrt((matrices**2).sum((-2, -1))))
    gram = np.linalg.eigvalsh(matrices.mT @ matrices)[..., ::-1]
    assert_close(J.singular_values()[..., 0], np.sqrt(gram[..., 0]))
    assert_close(J.singular_values(2)[:, 0], np.sqrt(gram[2, :, 0]))
    for t in range(len(c.x)):
        for b in range(c.x.shape[1]):
            assert_close(J.spectral_radius(t)[b], spectral_radius(matrices[t, b]))
    assert_close(J.spectral_radius()[1], J.spectral_radius(1))


@EVERY
def test_products(name, masked):
    c = case(name, masked=masked)
    T = len(c.x)
    for t, k in ((T - 1, -1), (3, 1), (2, 2), (0, -1)):
        found, expected = state_product(c.run, t=t, k=k), product(c, t, k)
        assert_close(found.value(), expected, name=f"{t}, {k}")
        size = np.sqrt((expected**2).sum((-2, -1)))
        assert_close(np.exp(found.log_scale), size)
        assert_close(found.mantissa, expected / size[:, None, None])
    assert_close(state_product(c.run).value(), product(c, T - 1, -1))


@EVERY
def test_products_with_vectors(name, masked):
    c = case(name, masked=masked)
    d = product(c, 0, 0).shape[-1]
    v = np.random.default_rng(2).normal(size=(3, c.x.shape[1], d))
    expected = product(c, 4, 0)
    back, ahead = pull_back(c.run, g=v, t=4, k=0), push_forward(c.run, v=v, t=4, k=0)
    assert_close(back.value(), np.einsum("bpq,kbp->kbq", expected, v))
    assert_close(ahead.value(), np.einsum("bpq,kbq->kbp", expected, v))
    assert_close(np.linalg.norm(back.mantissa, axis=-1), np.ones((3, c.x.shape[1])))
    starts = np.cumsum([0, *(c.initial[s].shape[1] for s in c.example.states)])
    states = {s: v[0][:, i:j] for s, i, j in zip(c.example.states, starts[:-1], starts[1:], strict=True)}
    assert_close(pull_back(c.run, g=states, t=4, k=0).value(), np.einsum("bpq,bp->bq", expected, v[0]))
    assert_close(push_forward(c.run, v=states, t=4, k=0).value(), np.einsum("bpq,bq->bp", expected, v[0]))


def test_nothing_of_size_d_by_d_is_formed_for_vectors():
    d = 512
    c = case("elman", T=4, B=1, units=d)
    run, v = c.run, np.ones((1, d))
    tracemalloc.start()
    J = state_jacobian(run)
    J.push(J.pull(v, 2), 1)
    pull_back(run, g=v)
    push_forward(run, v=v)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < d * d * 8 / 4


def test_progress():
    c, seen = case("elman"), []
    state_product(c.run, t=3, k=0, progress=lambda done, of: seen.append((done, of)))
    push_forward(c.run, v=np.ones((2, 3)), t=3, k=0, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)] * 2


def test_what_is_refused():
    run = case("lstm").run
    with pytest.raises(InputError, match=r"t=2, k=3: expected −1 <= k <= t <= 4; steps count from 0"):
        state_product(run, t=2, k=3)
    for wrong in ({"t": 5}, {"k": -2}, {"t": -1, "k": 0}):
        with pytest.raises(InputError, match="expected −1 <= k <= t <= 4"):
            state_product(run, **wrong)
    with pytest.raises(InputError, match=r"a state vector has 6 numbers, 3 \(h\) \+ 3 \(c\); got shape \(2, 5\)"):
        pull_back(run, g=np.ones((2, 5)))
    with pytest.raises(InputError, match=r"a state vector has shape \(\*rows, 2, 6\), got \(3, 6\)"):
        push_forward(run, v=np.ones((3, 6)))
    with pytest.raises(InputError, match=r"has the states \['h', 'c'\], got \['h'\]"):
        pull_back(run, g={"h": np.ones((2, 3))})
    with pytest.raises(UnknownNameError, match="Did you mean 'c'"):
        state_jacobian(run).block("h", "C")
    with pytest.raises(InputError, match="step 5 is out of range: there are 5"):
        state_jacobian(run).dense(5)


def test_as_text_and_as_json():
    c = case("lstm")
    J = state_jacobian(c.run)
    text = str(J).splitlines()
    assert text[0] == "∂s_t/∂s_t−1 with s = [h; c], d = 6, 5 steps of 2 samples"
    assert text[1].split("  ")[-1] == "its mean"
    sigma = np.linalg.svd(step_jacobian(c, 4), compute_uv=False)
    assert text[-1].split()[:4] == ["4", *(f"{x:.4g}" for x in (sigma.max(), sigma[:, 0].mean(), sigma.min()))]
    record = J.as_dict()
    assert record["states"] == {"h": 3, "c": 3}
    assert_close(np.array(record["largest_singular_value"])[4], sigma[:, 0])
    assert_close(np.array(record["spectral_radius"]), J.spectral_radius())
