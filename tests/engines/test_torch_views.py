"""Loops over torch tensors on the CPU run in NumPy on the same memory."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from everygrad.checks.tolerance import assert_close  # noqa: E402
from everygrad.engines import loop  # noqa: E402
from everygrad.engines.loop import Reuse, scan  # noqa: E402


def body(carry, x, shared):
    from everygrad.engines import namespace

    a = x["x"] + carry["h"] @ shared["W"]
    h = namespace(a).tanh(a)
    return {"h": h}, {"a": a, "h": h}


def arrays(dtype=torch.float64, **options):
    generator = torch.Generator().manual_seed(0)
    shapes = {"h": (3, 4), "x": (9, 3, 4), "W": (4, 4)}
    return {n: torch.randn(s, generator=generator, dtype=torch.float64).to(dtype, **options) for n, s in shapes.items()}


def run(given, reuse):
    return scan(body, {"h": given["h"]}, {"x": given["x"]}, 9, False, {"W": given["W"]}, reuse)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_come_back_equal_to_those_step_by_step(dtype):
    given = arrays(dtype)
    memo = {}
    (last, kept), (slow_last, slow_kept) = run(given, Reuse(memo, "key")), run(given, None)
    assert memo  # the straight-line code ran
    for name, one, other in [("h", last["h"], slow_last["h"]), *((n, kept[n], slow_kept[n]) for n in ("a", "h"))]:
        assert type(one) is torch.Tensor
        assert one.dtype == dtype
        assert_close(one, other, 1e-6 if dtype == torch.float32 else 1e-14, name)


@pytest.mark.parametrize("what", ["bfloat16", "grad", "subclass", "vmap"])
def test_what_numpy_cannot_read_is_done_step_by_step(what, monkeypatch):
    given = arrays(torch.bfloat16 if what == "bfloat16" else torch.float64)
    if what == "grad":
        given["W"].requires_grad_()
    if what == "subclass":
        given["W"] = torch.nn.Parameter(given["W"], requires_grad=False)
    memo = {}
    if what == "vmap":
        many = given["x"].repeat(2, 1, 1, 1)
        found = torch.func.vmap(lambda x: run({**given, "x": x}, Reuse(memo, "key"))[1]["h"])(many)
        np.testing.assert_array_equal(found[0], found[1])
    else:
        _, kept = run(given, Reuse(memo, "key"))
        _, slow = run(given, None)
        assert torch.equal(kept["h"], slow["h"])
    assert not memo
    assert loop.WORTH_RECORDING <= 9
