"""Loops as straight-line code: the same bits as step by step, wherever their results are put."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everygrad.engines.arrays import namespace
from everygrad.engines.loop import Reuse, scan
from everygrad.engines.program import loops
from everygrad.engines.program.loops import record, text_of


def both(body, carry, xs, reverse=False, shared=None):
    """The results of a loop as straight-line code, after those step by step."""
    steps = len(next(iter(xs.values())))
    slow = scan(body, carry, xs, steps, reverse, shared or {})
    fast = loops.run(body, carry, xs, steps, reverse, shared or {}, Reuse({}, "key"))
    assert fast is not None
    for one, other in zip(slow, fast, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name, strict=True)
    return fast


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def elman(carry, x, shared):
    a = x["x"] + carry["h"] @ shared["W"]
    h = namespace(a).tanh(a)
    return {"h": h}, {"a": a, "h": h}


def test_an_elman_cell_and_its_text():
    carry, xs, shared = {"h": numbers(3, 4)}, {"x": numbers(7, 3, 4)}, {"W": numbers(4, 4, seed=1)}
    both(elman, carry, xs, shared=shared)
    loop = record(elman, carry, {"x": xs["x"][0]}, shared)
    assert text_of(loop, "steps") == (
        "def steps(steps, x, h, W):\n"
        "    a = empty((steps, 3, 4), float64)\n"
        "    h_2 = empty((steps, 3, 4), float64)\n"
        "    buffer = empty((3, 4), float64)\n"
        "    for (x_t, a_t, h_2_t) in zip(x, a, h_2):\n"
        "        matmul(h, W, out=buffer)\n"
        "        add(x_t, buffer, out=a_t)\n"
        "        tanh(a_t, out=h_2_t)\n"
        "        h = h_2_t\n"
        "    return (h, a, h_2,)\n"
    )


OPERATIONS = ("add", "multiply", "subtract", "tanh", "negative", "where", "part", "joined", "again", "product")


@settings(max_examples=150)
@given(st.data(), st.integers(1, 4), st.booleans())
def test_drawn_bodies(data, n, reverse):
    """Whatever is computed in which order, nothing is overwritten that is read later."""
    lines = data.draw(
        st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 20), st.integers(0, 20)), max_size=14)
    )
    keep = data.draw(st.sets(st.integers(0, 16), max_size=5))
    on = data.draw(st.tuples(st.integers(0, 30), st.integers(0, 30)))

    def body(carry, x, shared):
        xp = namespace(carry["h"])
        found = [carry["h"], carry["c"], x["x"], x["y"]]
        for name, i, j in lines:
            u, v = found[i % len(found)], found[j % len(found)]
            if name in ("add", "multiply", "subtract"):
                w = {"add": u + v, "multiply": u * v, "subtract": u - v}[name]
            elif name == "product":
                w = u @ shared["W"]
            elif name == "where":
                w = xp.where(u > 0, v, u)
            elif name == "part":
                w = xp.concat([u[..., :1], v[..., 1:]], axis=-1)
            elif name == "joined":
                both = xp.concat([xp.tanh(u), xp.tanh(v) + u], axis=-1)
                w = both[..., : u.shape[-1]] * 0.5
            elif name == "again":
                w = u
            else:
                w = getattr(xp, name)(u)
            found.append(w)
        after = {"h": xp.tanh(found[on[0] % len(found)]), "c": found[on[1] % len(found)]}
        return after, {f"kept {k}": found[k % len(found)] for k in sorted(keep)} | {"last": found[-1]}

    T, B = 5, 2
    carry = {"h": numbers(B, n), "c": numbers(B, n, seed=1)}
    xs = {"x": numbers(T, B, n, seed=2), "y": numbers(T, B, n, seed=3)}
    copies = [array.copy() for array in (*carry.values(), *xs.values())]
    with np.errstate(all="ignore"):
        both(body, carry, xs, reverse, {"W": numbers(n, n, seed=4)})
    for array, copy in zip((*carry.values(), *xs.values()), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_parts_are_written_to_the_whole():
    def body(carry, x, shared):
        xp = namespace(x["x"])
        u, v = xp.tanh(x["x"]), x["x"] * carry["h"]
        whole = xp.concat([u, v], axis=-1)
        return {"h": whole @ shared["W"]}, {"whole": whole, "u": u * 2.0}

    carry, xs, shared = {"h": numbers(2, 3)}, {"x": numbers(6, 2, 3)}, {"W": numbers(6, 3, seed=1) / 4}
    both(body, carry, xs, shared=shared)
    text = text_of(record(body, carry, {"x": xs["x"][0]}, shared), "steps")
    assert "concat" not in text
    assert "whole[..., 0:3]" in text


def test_names_that_are_no_identifiers_or_pythons_own():
    def body(carry, x, shared):
        return {"for": carry["for"] + x["a b"] * shared["1"]}, {"sum": x["a b"] - 1.0, "a-b": carry["for"]}

    both(body, {"for": numbers(2, 2)}, {"a b": numbers(4, 2, 2)}, shared={"1": np.float64(3.0)[None]})


def test_the_code_is_kept_and_shared_arrays_are_read_anew():
    memo, looked = {}, []

    def body(carry, x, shared):
        looked.append(1)
        return elman(carry, x, shared)

    for seed in (1, 2):
        carry, xs, shared = {"h": numbers(3, 4)}, {"x": numbers(7, 3, 4)}, {"W": numbers(4, 4, seed=seed)}
        found = scan(body, carry, xs, 7, False, shared, Reuse(memo, "key"))
        np.testing.assert_array_equal(found[1]["a"], both(elman, carry, xs, shared=shared)[1]["a"])
    assert len(looked) == 1
    scan(body, {"h": numbers(2, 4)}, {"x": numbers(7, 2, 4)}, 7, False, shared, Reuse(memo, "key"))
    assert len(looked) == 2  # another batch size is another code
    scan(body, {"h": numbers(2, 4)}, {"x": numbers(9, 2, 4)}, 9, False, shared, Reuse(memo, "key"))
    assert len(looked) == 2  # another number of steps is not


def test_what_a_body_closes_over_is_not_frozen():
    memo = {}
    for factor in (np.array([2.0]), np.array([3.0])):

        def body(carry, x, shared, factor=factor):
            return {"h": carry["h"] * factor}, {"h": carry["h"] + x["x"]}

        last, _ = scan(body, {"h": np.ones((1, 1))}, {"x": np.ones((5, 1, 1))}, 5, False, {}, Reuse(memo, "key"))
        assert last["h"].item() == factor.item() ** 5


@pytest.mark.parametrize(
    "looks",
    [lambda h: h if h[0, 0] > 0 else -h, lambda h: h + float(h[0, 0]), lambda h: np.asarray(h) + 1.0],
    ids=["if", "float", "asarray"],
)
def test_a_body_that_looks_at_numbers_is_done_step_by_step(looks):
    def body(carry, x, shared):
        h = looks(carry["h"]) + x["x"]
        return {"h": h}, {"h": h}

    carry, xs = {"h": numbers(1, 2)}, {"x": numbers(8, 1, 2)}
    assert loops.run(body, carry, xs, 8, False, {}, Reuse({}, "key")) is None
    last, kept = scan(body, carry, xs, 8, False, {}, Reuse({}, "key"))
    h = carry["h"]
    for t in range(8):
        h = looks(h) + xs["x"][t]
        np.testing.assert_array_equal(kept["h"][t], h)
    np.testing.assert_array_equal(last["h"], h)


def test_an_error_in_a_body_is_raised():
    def body(carry, x, shared):
        return {"h": carry["h"] + x["missing"]}, {}

    with pytest.raises(KeyError, match="missing"):
        scan(body, {"h": np.ones((1, 1))}, {"x": np.ones((5, 1, 1))}, 5, False, {}, Reuse({}, "key"))


def test_a_state_that_changes_its_dtype_is_done_step_by_step():
    def body(carry, x, shared):
        return {"h": carry["h"] + x["x"]}, {"h": carry["h"]}

    carry, xs = {"h": np.ones((1, 1), np.float32)}, {"x": np.ones((5, 1, 1))}
    assert loops.run(body, carry, xs, 5, False, {}, Reuse({}, "key")) is None
