"""Which library an array belongs to, how to make another one like it, and the way to NumPy."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from everygrad.engines import is_array, is_complex, is_traced, kind_of, namespace, to_numpy
from everygrad.engines.arrays import (
    NUMPY_FLOAT64,
    Kind,
    detached,
    is_floating,
    library,
    narrowed_by_jax,
    place,
    take_real,
)
from tests.engines.conftest import MAKE, TYPES

DTYPES = {"float32": "f", "float64": "f", "complex64": "c", "complex128": "c", "int64": "i", "int32": "i", "bool": "b"}


def dtype_name(array):
    return str(array.dtype).removeprefix("torch.")


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_an_array_is(engine, dtype):
    a = MAKE[engine](np.ones((2, 3), dtype))
    assert isinstance(a, TYPES[engine])
    assert dtype_name(a) == dtype
    assert is_array(a)
    assert library(a) == engine
    assert engine in namespace(a).__name__
    assert is_complex(a) is (DTYPES[dtype] == "c")
    assert is_floating(a) is (DTYPES[dtype] in "fc")
    assert not is_traced(a)


@pytest.mark.parametrize("value", [1.0, 2, [1.0], (1.0,), "a", None, {"a": 1}])
def test_what_no_array_is(value):
    assert not is_array(value)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_a_kind_makes_arrays_like_it(engine, dtype):
    a = MAKE[engine](np.ones((2, 3), dtype))
    kind = kind_of(a)
    assert kind == kind_of(a[0])
    made = {
        "zeros": (kind.zeros((2, 2)), np.zeros((2, 2))),
        "ones": (kind.ones((3,)), np.ones(3)),
        "full": (kind.full((2, 1), 1.5), np.full((2, 1), 1.5)),
        "number": (kind.full((), -1.0), np.array(-1.0)),
        "eye": (kind.eye(3), np.eye(3)),
        "asarray": (kind.asarray([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]])),
    }
    for name, (array, expected) in made.items():
        assert isinstance(array, TYPES[engine]), name
        assert dtype_name(array) == dtype, name
        np.testing.assert_array_equal(to_numpy(array), expected.astype(dtype))
        assert kind_of(array) == kind, name
    index = kind.indices(np.array([2, 0]))
    np.testing.assert_array_equal(to_numpy(namespace(a).take(a, index, axis=-1)), np.ones((2, 2)))


def test_kinds_differ_by_library_dtype_and_device():
    kinds = [kind_of(make(np.ones(2, dtype))) for make in (np.asarray, torch.as_tensor) for dtype in ("f4", "f8")]
    kinds.append(kind_of(torch.ones(2, device="meta")))
    kinds.append(kind_of(jnp.ones(2)))
    assert len({(k.xp.__name__, str(k.dtype), str(k.device)) for k in kinds}) == 6
    assert kinds[1] == NUMPY_FLOAT64 == Kind(np, np.dtype(np.float64), "cpu")
    assert kind_of(np.float64(1.0)) == NUMPY_FLOAT64
    assert kind_of(np.ones(2, np.int8)).dtype == np.int8


@pytest.mark.parametrize("dtype", DTYPES)
def test_to_numpy(engine, dtype):
    values = np.arange(6).reshape(2, 3).astype(dtype)
    array = to_numpy(MAKE[engine](values))
    assert type(array) is np.ndarray
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, values)


def test_to_numpy_of_tensors_that_torch_treats_lazily():
    a = torch.tensor([1 + 2j, 3 - 4j], requires_grad=True)
    np.testing.assert_array_equal(to_numpy(a.conj()), [1 - 2j, 3 + 4j])
    assert to_numpy(np.float64(2.0)) == 2.0
    b = np.ones(3)
    assert to_numpy(b) is b


def test_take_real(engine):
    z = MAKE[engine](np.array([1 + 2j, -3j]))
    np.testing.assert_array_equal(to_numpy(take_real(z)), [1, 0])
    a = MAKE[engine](np.array([1.0, 2.0]))
    assert take_real(a) is a


def test_detached():
    p = torch.ones(2, requires_grad=True)
    assert not detached(p).requires_grad
    assert detached(p).data_ptr() == p.data_ptr()
    for other in (np.ones(2), jnp.ones(2)):
        assert detached(other) is other


def test_place():
    assert place(torch.ones(2)) == torch.device("cpu")
    assert place(torch.ones(2, device="meta")) == torch.device("meta")
    assert place(np.ones(2)) is None
    assert place(np.float64(1.0)) is None
    assert place(jnp.ones(2)) is None


def test_a_tracer_is_recognised():
    seen = []
    jax.jit(lambda a: seen.append((is_traced(a), is_array(a), library(a), kind_of(a).device)) or a)(jnp.ones(2))
    jax.grad(lambda a: (seen.append((is_traced(a), is_array(a), library(a), None)), a.sum())[1])(jnp.ones(2))
    assert seen == [(True, True, "jax", None)] * 2


def test_jax_that_cannot_hold_float64_is_noticed():
    single, double, labels = jnp.ones(2, jnp.float32), np.ones(2), np.ones(2, np.int64)
    assert narrowed_by_jax(single, double)
    assert narrowed_by_jax(double, single)
    assert narrowed_by_jax(single, torch.ones(2, dtype=torch.float64))
    assert not narrowed_by_jax(single, labels)
    assert not narrowed_by_jax(single, np.ones(2, np.float32))
    assert not narrowed_by_jax(torch.ones(2), double)
    with jax.enable_x64(True):
        assert not narrowed_by_jax(single, double)


def test_numpy_alone_loads_no_other_library():
    source = str(Path(__file__).parents[2] / "src")
    program = (
        f"import sys; sys.path.insert(0, {source!r})\n"
        "import numpy as np\n"
        "import everygrad as eg\n"
        "net = eg.FeedForward([3, 4, 2])\n"
        "g = eg.gradients(net, net.init(0), np.ones((5, 3)), np.array([0, 1, 1, 0, 1]))\n"
        "print(g.loss > 0, [m for m in ('torch', 'jax', 'sklearn', 'scipy.special') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout == "True []\n"
