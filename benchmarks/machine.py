"""What the figures were measured on: processor, cores, libraries, the BLAS kernel that ran."""

import importlib.metadata
import os
import platform
from pathlib import Path


def machine() -> dict[str, str]:
    """Name -> text, for the head of the table."""
    import threadpoolctl

    blas = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
    kernels = {f"{p['internal_api']} {p.get('architecture', '')}, {p['num_threads']} threads" for p in blas}
    libraries = ("numpy", "torch", "jax", "autograd", "torchlens")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries),
        "BLAS": "; ".join(sorted(kernels)),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
