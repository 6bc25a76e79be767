"""JAX with a function that contains our gradients: compiled once, mapped over samples, split over devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import everygrad as eg
from everygrad.checks.tolerance import FRAMEWORK, assert_close

RNG = np.random.default_rng(11)
SOURCE = Path(__file__).parents[2] / "src"


def models():
    """(network, parameters, x, y) of 6 samples: one feed-forward, the others over time."""
    x, sequences, y = RNG.normal(size=(6, 5)), RNG.normal(size=(6, 4, 5)), RNG.integers(0, 3, 6)
    feed_forward = eg.FeedForward([5, 4, 3])
    yield feed_forward, feed_forward.init(0), x, y
    for cell, read in ((eg.LSTM(5, 4), "each"), (eg.GRU(5, 4), "last")):
        net = eg.Recurrent(cell, outputs=3, read=read)
        yield net, net.init(0), sequences, y if read == "last" else RNG.integers(0, 3, (6, 4))


MODELS = dict(zip(("feed-forward", "lstm", "gru"), models(), strict=True))


@pytest.fixture(params=list(MODELS))
def model(request, x64):
    net, params, x, y = MODELS[request.param]
    return net, {name: jnp.asarray(p) for name, p in params.items()}, jnp.asarray(x), jnp.asarray(y)


def assert_all_close(found, reference):
    assert set(found) == set(reference)
    for name, array in reference.items():
        assert_close(found[name], np.asarray(array), FRAMEWORK, name)


def reference_of(net, params, x, y):
    """By NumPy."""
    return eg.gradients(net, {name: np.asarray(p) for name, p in params.items()}, np.asarray(x), np.asarray(y))


def test_compiled_once_for_new_batches_of_the_same_shape(model, caplog):
    """Traced once, and JAX, which logs each program that it hands to its compiler, logs none afterwards."""
    net, params, x, y = model
    traced = []

    @jax.jit
    def f(p, x, y):
        traced.append(x.shape)
        return dict(eg.gradients(net, p, x, y))

    batches = [({n: p * (1 + 0.1 * i) for n, p in params.items()}, x + i, jnp.roll(y, i, axis=0)) for i in range(4)]
    with jax.log_compiles():
        found = [jax.block_until_ready(f(*batches[0]))]
        assert any("Compiling" in record.getMessage() for record in caplog.records)
        caplog.clear()
        found += [jax.block_until_ready(f(*batch)) for batch in batches[1:]]
        assert [record.getMessage() for record in caplog.records] == []
    for g, batch in zip(found, batches, strict=True):
        assert_all_close(g, reference_of(net, *batch))
    assert traced == [x.shape]
    for i in range(2):
        f(params, x[:5] + i, y[:5])
    assert traced == [x.shape, x[:5].shape]


def test_gradients_of_each_sample_by_vmap(model):
    """The parameters' gradient of each sample by itself, against a loop; their mean is the gradient of the batch."""
    net, params, x, y = model

    def of_one(x, y):
        g = eg.gradients(net, params, x[None], y[None])
        return {name: g[name] for name in params}

    mapped = jax.jit(jax.vmap(of_one))(x, y)
    for i in range(len(x)):
        reference = reference_of(net, params, x[i : i + 1], y[i : i + 1])
        assert_all_close({name: a[i] for name, a in mapped.items()}, {name: reference[name] for name in params})
    whole = reference_of(net, params, x, y)
    assert_all_close({name: a.mean(0) for name, a in mapped.items()}, {name: whole[name] for name in params})


def test_vmap_over_networks_inside_of_jit(model):
    net, params, x, y = model
    several = {name: jnp.stack([p, 2 * p, -p]) for name, p in params.items()}
    together = jax.jit(jax.vmap(lambda p: dict(eg.gradients(net, p, x, y))))(several)
    for i in range(3):
        alone = reference_of(net, {name: p[i] for name, p in several.items()}, x, y)
        assert_all_close({name: a[i] for name, a in together.items()}, alone)


def test_a_step_of_training_with_its_arguments_given_away(model):
    """jit with donated buffers, as training loops do."""
    net, params, x, y = model

    def step(p):
        g = eg.gradients(net, p, x, y)
        return {name: p[name] - 0.1 * g[name] for name in p}

    expected = {name: np.asarray(p) for name, p in params.items()}
    donating = jax.jit(step, donate_argnums=0)
    for _ in range(3):
        reference = reference_of(net, expected, x, y)
        expected = {name: p - 0.1 * reference[name] for name, p in expected.items()}
        params = donating(params)
    assert_all_close(params, expected)


SHARDED = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import everygrad as eg

jax.config.update("jax_enable_x64", True)
assert len(jax.devices()) == 2, jax.devices()
mesh = Mesh(np.array(jax.devices()), ("batch",))
split, everywhere = NamedSharding(mesh, PartitionSpec("batch")), NamedSharding(mesh, PartitionSpec())
rng = np.random.default_rng(0)
found = {}
for name, net, x in (
    ("feed-forward", eg.FeedForward([5, 4, 3]), rng.normal(size=(6, 5))),
    ("lstm", eg.Recurrent(eg.LSTM(5, 4), outputs=3), rng.normal(size=(6, 4, 5))),
    ("gru", eg.Recurrent(eg.GRU(5, 4), outputs=3, layers=2, bidirectional=True), rng.normal(size=(6, 4, 5))),
):
    params, y = net.init(0), rng.integers(0, 3, 6)
    reference = eg.gradients(net, params, x, y)
    p = jax.device_put({n: jnp.asarray(a) for n, a in params.items()}, everywhere)
    batch = jax.device_put((jnp.asarray(x), jnp.asarray(y)), split)
    g = jax.jit(lambda p, x, y: dict(eg.gradients(net, p, x, y)))(p, *batch)
    compiled = eg.compiled(net)(p, *batch)
    first, hidden = next(iter(params)), {"feed-forward": "h1", "lstm": "h", "gru": "h_l1_reverse"}[name]
    for how, arrays in (("jit", g), ("compiled", compiled)):
        errors = [np.linalg.norm(arrays[n] - a) / max(np.linalg.norm(a), 1e-300) for n, a in reference.items()]
        found[f"{name}, {how}"] = {
            "error": float(max(errors)),
            "rows": [s.data.shape[0] for s in arrays[hidden].addressable_shards],
            "weights": arrays[first].sharding.is_fully_replicated,
        }
print(json.dumps(found))
"""


def test_samples_split_over_two_devices():
    """The gradients of the samples stay where the samples are; those of the parameters are summed over devices."""
    flags = " ".join([os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=2"]).strip()
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 6
    for name, result in found.items():
        assert result["error"] < FRAMEWORK, (name, result)
        assert (result["rows"], result["weights"]) == ([3, 3], True), (name, result)
