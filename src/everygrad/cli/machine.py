"""What this machine and this Python have: cores, libraries, the BLAS that runs and its threads."""

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

import numpy as np

LIBRARIES = ("numpy", "scipy", "torch", "jax", "jaxlib", "llvmlite", "scikit-learn")
VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OPENBLAS_CORETYPE",
    "OMP_WAIT_POLICY",
    "JAX_ENABLE_X64",
    "JAX_PLATFORMS",
    "XLA_FLAGS",
    "CUDA_VISIBLE_DEVICES",
)
"""What changes how fast, or how exactly, the libraries compute."""
SHOWN = ("AVX2", "FMA3", "AVX512F", "AVX512_SKX", "AVX512_SPR", "NEON", "ASIMD", "SVE", "VSX4", "RVV")
"""The features of a processor that matrix products are written for."""
SIZE, SECONDS = 1024, 0.5
QUOTA, QUOTA_V1 = "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_{}_us"


@final
@dataclass(frozen=True, slots=True)
class Pool:
    """A library with threads of its own: ``api`` is blas or openmp, ``kernel`` what its products are written for."""

    api: str
    library: str
    version: str | None
    kernel: str | None
    threads: int
    file: str


@final
@dataclass(frozen=True, slots=True)
class Machine:
    """What was found. ``cores``: those that this process may use; ``logical``: all that the system counts."""

    python: str
    system: str
    everygrad: str
    libraries: Mapping[str, str | None]
    processor: str
    features: tuple[str, ...]
    logical: int
    cores: int
    load: float | None
    blas: str
    pools: tuple[Pool, ...]
    variables: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """The same for a document."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {**plain, "pools": [asdict(pool) for pool in self.pools]}


def look() -> Machine:
    """Look at this machine; no library is imported for it but NumPy, whose BLAS it is about."""
    from threadpoolctl import threadpool_info

    from everygrad import __version__

    pools = tuple(
        Pool(
            found["user_api"],
            found["internal_api"],
            found.get("version"),
            found.get("architecture"),
            found["num_threads"],
            Path(found["filepath"]).name,
        )
        for found in threadpool_info()
    )
    logical = os.cpu_count() or 1
    return Machine(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.machine()}",
        everygrad=__version__,
        libraries=MappingProxyType({name: version(name) for name in LIBRARIES}),
        processor=processor(),
        features=features(),
        logical=logical,
        cores=usable(logical),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        blas=blas_of_numpy(),
        pools=pools,
        variables=MappingProxyType({name: os.environ[name] for name in VARIABLES if name in os.environ}),
    )


def version(name: str) -> str | None:
    """The version of an installed distribution, without importing it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's own name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def features() -> tuple[str, ...]:
    """Those of `SHOWN` that the processor has, by NumPy's own look at it."""
    try:
        known = import_module("numpy._core._multiarray_umath").__cpu_features__
    except (ImportError, AttributeError):  # NumPy has no public name for it
        return ()
    return tuple(name for name in SHOWN if known.get(name))


def usable(logical: int) -> int:
    """The cores that this process may use: the affinity's, or fewer if a container has a share of their time."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else logical
    share = quota()
    return max(1, min(allowed, allowed if share is None else round(share)))


def quota() -> float | None:
    """How many cores' time a Linux control group grants, or None if it does not say."""
    try:
        granted, period = Path(QUOTA).read_text("ascii").split()
    except (OSError, ValueError):
        try:
            granted, period = (Path(QUOTA_V1.format(name)).read_text("ascii") for name in ("quota", "period"))
        except OSError:
            return None
    try:
        found = int(granted) / int(period)
    except (ValueError, ZeroDivisionError):  # "max": no limit
        return None
    return found if found > 0 else None


def blas_of_numpy() -> str:
    """The BLAS that NumPy was built with."""
    config: Any = np.show_config(mode="dicts")
    return str(config.get("Build Dependencies", {}).get("blas", {}).get("name", "unknown"))


def measured() -> float:
    """GFLOP/s of a product of two matrices of `SIZE` × `SIZE` float32 numbers: the best of half a second."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(SIZE, SIZE)).astype(np.float32) for _ in range(2))
    out = np.empty_like(a)
    best, end = float("inf"), time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end or best == float("inf"):
        np.matmul(a, b, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * SIZE**3 / best / 1e9
