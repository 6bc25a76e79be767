"""What is said of machines that are not this one, and of this one."""

import dataclasses
import json
import subprocess
import sys

import click
import numpy as np
import pytest
import threadpoolctl

import everygrad as eg
from everygrad.cli import machine as machines
from everygrad.cli.advice import advice, fits
from everygrad.cli.machine import Machine, Pool
from tests.cli.running import environment, run

OPENBLAS = Pool("blas", "openblas", "0.3.31", "SkylakeX", 8, "libscipy_openblas64_.so")
MACHINE = Machine(
    python="CPython 3.12.1",
    system="Linux x86_64",
    everygrad="1.0",
    libraries={"numpy": "2.4.0", "jax": "0.10.2", "torch": None, "llvmlite": "0.50.0"},
    processor="A processor",
    features=("AVX2", "FMA3", "AVX512F", "AVX512_SKX"),
    logical=8,
    cores=8,
    load=0.1,
    blas="scipy-openblas",
    pools=(OPENBLAS,),
    variables={"JAX_ENABLE_X64": "1"},
)
AVX2 = ("AVX2", "FMA3")


def with_kernel(kernel, features=MACHINE.features, **changes):
    pool = dataclasses.replace(OPENBLAS, kernel=kernel)
    return dataclasses.replace(MACHINE, features=features, pools=(pool,), **changes)


def about(machine):
    return {one.about: one for one in advice(machine)}


def test_nothing_is_said_of_a_machine_that_is_well():
    assert advice(MACHINE) == []


# ------------------------------------------------------------------------------------------------------- kernels


@pytest.mark.parametrize("kernel", ["Haswell", "Zen", "Sandybridge", "Prescott"])
def test_a_kernel_without_avx512_on_a_processor_with_it(kernel):
    machine = with_kernel(kernel)
    assert fits(machine.pools[0], machine) is False
    said = about(machine)
    assert set(said) == {"kernel"}
    assert f"OpenBLAS runs its {kernel} kernel" in said["kernel"].text
    assert "1.5 to 1.7 times as fast" in said["kernel"].text
    assert said["kernel"].todo.startswith("export OPENBLAS_CORETYPE=SkylakeX ")


@pytest.mark.parametrize("kernel", ["SkylakeX", "Cooperlake", "SapphireRapids"])
def test_kernels_with_avx512_suit_it(kernel):
    machine = with_kernel(kernel)
    assert fits(machine.pools[0], machine) is True
    assert advice(machine) == []


@pytest.mark.parametrize(
    ("kernel", "features", "better"),
    [
        ("Haswell", AVX2, None),
        ("Zen", AVX2, None),
        ("Nehalem", AVX2, "Haswell"),
        ("Sandybridge", (*AVX2, "AVX512F"), "Haswell"),  # AVX-512 of Xeon Phi alone: SkylakeX would not run there
        ("Haswell", (*AVX2, "AVX512F"), None),
        ("Nehalem", (), None),
    ],
)
def test_the_kernel_for_the_processor(kernel, features, better):
    machine = with_kernel(kernel, features)
    assert fits(machine.pools[0], machine) is (better is None)
    said = about(machine)
    assert set(said) == ({"kernel"} if better else set())
    if better:
        assert f"OPENBLAS_CORETYPE={better} " in said["kernel"].todo
        assert "1.5" not in said["kernel"].text


def test_a_kernel_that_was_asked_for():
    machine = with_kernel("Haswell", variables={"OPENBLAS_CORETYPE": "Haswell", "JAX_ENABLE_X64": "1"})
    assert "because OPENBLAS_CORETYPE=Haswell asks for it" in about(machine)["kernel"].text


@pytest.mark.parametrize("pool", [
    Pool("blas", "mkl", "2025.1", None, 8, "libmkl_rt.so"),
    Pool("blas", "openblas", "0.3.31", "neoversen1", 8, "libopenblas.so"),
    Pool("blas", "blis", "1.0", "skx", 8, "libblis.so"),
])  # fmt: skip
def test_of_other_kernels_nothing_is_known(pool):
    machine = dataclasses.replace(MACHINE, pools=(pool,))
    assert fits(pool, machine) is None
    assert advice(machine) == []


def test_no_fast_blas():
    slow = dataclasses.replace(MACHINE, pools=(), blas="netlib")
    assert "NumPy was built with 'netlib'" in about(slow)["blas"].text
    assert advice(dataclasses.replace(MACHINE, pools=(), blas="accelerate")) == []


# ------------------------------------------------------------------------------------------------------- threads


def with_threads(threads, cores=8, logical=8, **variables):
    pool = dataclasses.replace(OPENBLAS, threads=threads)
    variables = {"JAX_ENABLE_X64": "1", **variables}
    return dataclasses.replace(MACHINE, pools=(pool,), cores=cores, logical=logical, variables=variables)


def test_more_threads_than_cores():
    said = about(with_threads(64, cores=2, logical=64))
    assert set(said) == {"threads"}
    assert "BLAS has 64 threads for 2 cores (the system has 64: affinity or a container)" in said["threads"].text
    assert said["threads"].todo == "export OPENBLAS_NUM_THREADS=2 OMP_NUM_THREADS=2"
    asked = about(with_threads(16, OMP_NUM_THREADS="16"))
    assert asked["threads"].text.endswith("they wait for each other; OMP_NUM_THREADS=16 asks for it")


def test_a_variable_that_asks_for_more_than_blas_takes():
    said = about(with_threads(8, OMP_NUM_THREADS="32"))
    assert "OMP_NUM_THREADS=32 asks for more threads than the 8 cores: BLAS keeps to 8" in said["threads"].text
    assert said["threads"].todo == "export OMP_NUM_THREADS=8"
    assert advice(with_threads(8, OMP_NUM_THREADS="8")) == []
    assert advice(with_threads(8, OMP_NUM_THREADS="4,2")) == []  # nested levels: no number to compare with


def test_fewer_threads_than_cores():
    said = about(with_threads(1, OMP_NUM_THREADS="1"))
    assert "BLAS uses 1 of 8 cores, as OMP_NUM_THREADS=1 says: right if several processes" in said["threads"].text
    assert said["threads"].todo == "unset OMP_NUM_THREADS"
    assert about(with_threads(4))["threads"].todo == "export OPENBLAS_NUM_THREADS=8"
    assert "BLAS uses 1 of 1 core" not in str(advice(with_threads(1, cores=1)))


def test_several_pools():
    own = Pool("openmp", "openmp", None, None, 8, "libgomp.so.1")
    said = about(dataclasses.replace(MACHINE, pools=(OPENBLAS, own)))
    assert set(said) == {"pools"}
    assert "8 of openblas (libscipy_openblas64_.so), 8 of openmp (libgomp.so.1)" in said["pools"].text


def test_other_programs():
    assert "load 7.3 on 8 cores" in about(dataclasses.replace(MACHINE, load=7.3))["load"].text
    assert advice(dataclasses.replace(MACHINE, load=None)) == []


# ----------------------------------------------------------------------------------------------------------- JAX


@pytest.mark.parametrize(("value", "on"), [(None, False), ("0", False), ("False", False), ("1", True), ("true", True)])
def test_float64_in_jax(value, on):
    machine = dataclasses.replace(MACHINE, variables={} if value is None else {"JAX_ENABLE_X64": value})
    assert set(about(machine)) == (set() if on else {"x64"})
    if not on:
        assert "jax_enable_x64" in about(machine)["x64"].todo


def test_without_what_makes_it_quicker():
    machine = dataclasses.replace(MACHINE, libraries={"numpy": "2.4.0", "jax": None}, variables={})
    assert about(machine)["jax"].todo == "pip install 'everygrad[jax]'"
    assert about(machine)["compiled"].todo == "pip install 'everygrad[compiled]'"


# -------------------------------------------------------------------------------------------------- this machine


def test_cores_of_a_container(tmp_path, monkeypatch):
    group = tmp_path / "cpu.max"
    monkeypatch.setattr(machines, "QUOTA", str(group))
    monkeypatch.setattr(machines, "QUOTA_V1", str(tmp_path / "cpu.{}"))
    monkeypatch.setattr(machines.sys, "platform", "darwin")  # no affinity there
    for text, cores in (("200000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 64), ("nonsense\n", 64)):
        group.write_text(text)
        assert machines.usable(64) == cores
    group.unlink()
    assert machines.usable(64) == 64
    (tmp_path / "cpu.quota").write_text("300000\n")
    (tmp_path / "cpu.period").write_text("100000\n")
    assert machines.usable(64) == 3
    (tmp_path / "cpu.quota").write_text("-1\n")
    assert machines.usable(64) == 64


@pytest.fixture
def elsewhere(monkeypatch):
    """Another machine's pools and variables."""
    pools = [
        {"user_api": "blas", "internal_api": "openblas", "num_threads": 96, "version": "0.3.29",
         "filepath": "/usr/lib/libopenblas.so", "threading_layer": "pthreads", "architecture": "Haswell"},
        {"user_api": "openmp", "internal_api": "openmp", "num_threads": 4, "version": None,
         "filepath": "/usr/lib/libgomp.so.1"},
    ]  # fmt: skip
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: pools)
    monkeypatch.setattr(machines, "features", lambda: MACHINE.features)
    monkeypatch.setattr(machines, "usable", lambda logical: 4)
    monkeypatch.setattr(machines.os, "cpu_count", lambda: 96)
    monkeypatch.setattr(machines.os, "getloadavg", lambda: (0.5, 0.5, 0.5), raising=False)
    for name in machines.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    return pools


def test_the_document(elsewhere):
    done = run("doctor", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["schema"], found["version"], found["everygrad"]) == ("everygrad-doctor", 1, eg.__version__)
    assert (found["cores"], found["logical"], found["load"]) == (4, 96, 0.5)
    assert found["libraries"]["numpy"] == np.__version__
    assert found["variables"] == {"OMP_NUM_THREADS": "4"}
    assert [pool["kernel"] for pool in found["pools"]] == ["Haswell", None]
    assert [pool["threads"] for pool in found["pools"]] == [96, 4]
    assert [pool["fits"] for pool in found["pools"]] == [False, None]
    assert [pool["file"] for pool in found["pools"]] == ["libopenblas.so", "libgomp.so.1"]
    assert (found["gflops_float32"], found["devices"]) == (None, None)
    assert {"kernel", "threads", "x64"} <= {one["about"] for one in found["advice"]}


def test_the_table(elsewhere):
    done = run("doctor")
    assert (done.exit_code, done.stderr) == (0, "")
    for words in (
        "4 usable of 96",
        "openblas 0.3.29, kernel Haswell (a better one is there), 96 threads",
        "OMP_NUM_THREADS=4",
        "kernel: the processor has AVX-512, but OpenBLAS runs its Haswell kernel",
        "  export OPENBLAS_CORETYPE=SkylakeX",
        "threads: BLAS has 96 threads for 4 cores",
    ):
        assert words in done.stdout
    assert "GFLOP/s" not in done.stdout


def test_a_machine_that_is_well(monkeypatch):
    command = run.__globals__["everygrad_command"]
    doctor = command.get_command(click.Context(command), "doctor")
    module = sys.modules[doctor.callback.__module__]
    monkeypatch.setattr(module, "look", lambda: MACHINE)
    done = run("doctor")
    assert "kernel SkylakeX (suits the processor), 8 threads" in done.stdout
    assert done.stdout.endswith("Nothing would make this machine faster that is known here.\n")


def test_the_product_is_measured(monkeypatch):
    monkeypatch.setattr(machines, "SECONDS", 0.02)
    speed = machines.measured()
    assert 0.1 < speed < 1e6
    found = json.loads(run("doctor", "--measure", "--json").stdout)
    assert 0.1 < found["gflops_float32"] < 1e6
    assert "GFLOP/s, float32, 1024 × 1024" in run("doctor", "--measure").stdout


def test_devices_are_listed_only_if_asked_for():
    found = json.loads(run("doctor", "--devices", "--json").stdout)
    assert any(name.startswith("cpu") for name in found["devices"]["torch"])
    assert any(name.startswith("cpu:0") for name in found["devices"]["jax"])
    assert "torch devices" in run("doctor", "--devices").stdout


def test_no_other_library_is_loaded_and_the_kernel_is_that_of_the_process():
    script = (
        "import sys\nfrom everygrad.cli import main\n"
        "try: main(['doctor', '--json'])\nexcept SystemExit: pass\n"
        "print([m for m in ('sklearn', 'torch', 'jax', 'scipy', 'numba') if m in sys.modules])"
    )
    more = {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(**more), capture_output=True, text=True, check=True, timeout=60
    )
    document, _, modules = done.stdout.rstrip().rpartition("\n")
    assert modules == "[]"
    found = json.loads(document)
    assert found["variables"].items() >= more.items()
    for pool in found["pools"]:
        if pool["library"] == "openblas" and "AVX2" in found["features"]:
            assert (pool["kernel"], pool["threads"]) == ("Haswell", 1)
