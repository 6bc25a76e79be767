"""What would make this machine faster, or its numbers exact: said, never done behind the user's back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from everygrad.cli.machine import Machine, Pool

SKYLAKE, HASWELL = ("SkylakeX", "Cooperlake", "SapphireRapids"), ("Haswell", "Zen", "Excavator")
OLDER = (
    *("Prescott", "Core2", "Penryn", "Dunnington", "Nehalem", "Atom", "Sandybridge"),
    *("Opteron", "Barcelona", "Bobcat", "Bulldozer", "Piledriver", "Steamroller", "generic"),
)
"""OpenBLAS's kernels for x86 by what they are written for: AVX-512, AVX2, and less."""
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
OFF = ("", "0", "false", "no", "off", "n", "f")


@final
@dataclass(frozen=True, slots=True)
class Advice:
    """``about``: a short name; ``text``: what was found and why it matters; ``todo``: what to type, if anything."""

    about: str
    text: str
    todo: str = ""


def advice(machine: Machine) -> list[Advice]:
    """All that is to be said of this machine; nothing if all is well."""
    return [*_kernels(machine), *_threads(machine), *_others(machine)]


def fits(pool: Pool, machine: Machine) -> bool | None:
    """Whether the kernel uses the widest instructions of the processor; None if nobody knows."""
    if pool.kernel not in (*SKYLAKE, *HASWELL, *OLDER):
        return None
    better = _better(pool, machine)
    return better is None


def _better(pool: Pool, machine: Machine) -> str | None:
    """The kernel of OpenBLAS that would suit the processor more."""
    if pool.library != "openblas":
        return None
    if "AVX512_SKX" in machine.features and pool.kernel in (*HASWELL, *OLDER):
        return "SkylakeX"
    if "AVX2" in machine.features and pool.kernel in OLDER:
        return "Haswell"
    return None


def _kernels(machine: Machine) -> Iterator[Advice]:
    for pool in machine.pools:
        better = _better(pool, machine)
        if better is None:
            continue
        has, made = ("AVX-512", "AVX2") if pool.kernel in HASWELL else ("wider instructions", "older processors")
        gain = (
            "on such a machine the other kernel made large products 1.5 to 1.7 times as fast"
            if better == "SkylakeX"
            else "the other kernel is made for this processor"
        )
        forced = machine.variables.get("OPENBLAS_CORETYPE")
        why = f" because OPENBLAS_CORETYPE={forced} asks for it" if forced else ""
        yield Advice(
            "kernel",
            f"the processor has {has}, but OpenBLAS runs its {pool.kernel} kernel, made for {made}{why}; {gain}",
            f"export OPENBLAS_CORETYPE={better}   # before Python starts; then compare: everygrad doctor --measure",
        )
    if not any(pool.api == "blas" for pool in machine.pools) and machine.blas not in ("accelerate", "unknown"):
        yield Advice(
            "blas",
            f"no fast BLAS was found: NumPy was built with {machine.blas!r}, and large products may take ten times "
            f"as long",
            "pip install --force-reinstall numpy   # its wheels bring OpenBLAS",
        )


def _threads(machine: Machine) -> Iterator[Advice]:
    pools = [pool for pool in machine.pools if pool.api == "blas"]
    most = max((pool.threads for pool in pools), default=machine.cores)
    cores = f"{machine.cores} core{'' if machine.cores == 1 else 's'}"
    granted = (
        "" if machine.cores == machine.logical else f" (the system has {machine.logical}: affinity or a container)"
    )
    setting = {name: machine.variables[name] for name in THREADS if name in machine.variables}
    said = ", ".join(f"{name}={value}" for name, value in setting.items())
    if most > machine.cores:
        yield Advice(
            "threads",
            f"BLAS has {most} threads for {cores}{granted}: they wait for each other"
            + (f"; {said} asks for it" if said else ""),
            f"export OPENBLAS_NUM_THREADS={machine.cores} OMP_NUM_THREADS={machine.cores}",
        )
    elif any(value.isdecimal() and int(value) > machine.cores for value in setting.values()):
        yield Advice(
            "threads",
            f"{said} asks for more threads than the {cores}{granted}: BLAS keeps to {most}, but torch and others that "
            f"use OpenMP start them all, and they wait for each other",
            f"export OMP_NUM_THREADS={machine.cores}",
        )
    elif most < machine.cores:
        yield Advice(
            "threads",
            f"BLAS uses {most} of {cores}"
            + (f", as {said} says" if said else "")
            + ": right if several processes work beside each other, otherwise large products could be faster",
            f"unset {' '.join(setting)}" if setting else f"export OPENBLAS_NUM_THREADS={machine.cores}",
        )
    total = sum(pool.threads for pool in machine.pools)
    if len(machine.pools) > 1 and total > machine.cores >= most:
        listed = ", ".join(f"{pool.threads} of {pool.library} ({pool.file})" for pool in machine.pools)
        yield Advice("pools", f"several libraries have threads of their own: {listed}; at work together they are more "
                     f"than the {cores}")  # fmt: skip
    if machine.load is not None and machine.load > 0.75 * machine.cores:
        yield Advice(
            "load",
            f"other programs are at work (load {machine.load:.1f} on {cores}): what is timed now says little",
        )


def _others(machine: Machine) -> Iterator[Advice]:
    if machine.libraries.get("llvmlite") is None:
        yield Advice(
            "compiled",
            'llvmlite is not installed: with it engine="compiled" runs loops over time as machine code, on all cores',
            "pip install 'everygrad[compiled]'",
        )
    if machine.libraries.get("jax") is None:
        yield Advice(
            "jax",
            "JAX is not installed: with its arrays a whole pass is one compiled function (eg.compiled), quicker than "
            "NumPy where there are many small steps",
            "pip install 'everygrad[jax]'",
        )
    elif machine.variables.get("JAX_ENABLE_X64", "").lower() in OFF:
        yield Advice(
            "x64",
            "JAX makes float32 of float64, silently, unless it is told otherwise; everygrad then says so and stops. "
            "float32 is right for speed, float64 for checks",
            "export JAX_ENABLE_X64=1   # or jax.config.update('jax_enable_x64', True)",
        )
