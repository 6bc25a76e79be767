"""``everygrad doctor``: what this machine computes with, and what would make it faster."""

from dataclasses import asdict
from typing import Any

import click

from everygrad.cli import options
from everygrad.cli.advice import advice, fits
from everygrad.cli.machine import SIZE, Machine, look, measured
from everygrad.cli.screen import say, say_json, say_table

UNKNOWN = "not known"


@click.command(
    short_help="What this machine computes with, and what would make it faster.",
    epilog="""\b
Examples:
  everygrad doctor
  everygrad doctor --measure
  OPENBLAS_CORETYPE=SkylakeX everygrad doctor --measure
  everygrad doctor --devices --json

Nothing is changed: threads and kernels are reported, and what to type is said. torch and JAX are imported only for
--devices; their threads are their own and are not among those shown.""",
)
@click.option("--measure", is_flag=True, help="Time a matrix product: half a second.")
@click.option("--devices", is_flag=True, help="Import torch and JAX, if they are there, and list their devices.")
@options.as_json
def command(measure: bool, devices: bool, as_json: bool) -> None:
    """Python, libraries, cores, BLAS kernel and threads, and what would make this machine faster."""
    machine = look()
    speed = measured() if measure else None
    seen = {name: devices_of(name) for name in ("torch", "jax")} if devices else None
    said = advice(machine)
    if as_json:
        content: dict[str, Any] = machine.as_json()
        for pool, found in zip(content["pools"], machine.pools, strict=True):
            pool["fits"] = fits(found, machine)
        content |= {"gflops_float32": speed, "devices": seen, "advice": [asdict(one) for one in said]}
        say_json("doctor", content)
        return
    say_table(_rows(machine, speed, seen))
    say()
    if not said:
        say("Nothing would make this machine faster that is known here.", "green")
    for one in said:
        say(f"{one.about}: {one.text}.", "yellow")
        if one.todo:
            say(f"  {one.todo}")


def _rows(machine: Machine, speed: float | None, seen: dict[str, list[str] | None] | None) -> list[tuple[str, str]]:
    rows = [
        ("what", "found"),
        ("everygrad", machine.everygrad),
        ("Python", f"{machine.python}, {machine.system}"),
        ("libraries", ", ".join(f"{name} {v}" for name, v in machine.libraries.items() if v)),
        ("not installed", ", ".join(name for name, v in machine.libraries.items() if not v) or "none"),
        ("processor", machine.processor),
        ("instructions", ", ".join(machine.features) or UNKNOWN),
        ("cores", f"{machine.cores} usable of {machine.logical}"),
        ("load", UNKNOWN if machine.load is None else f"{machine.load:.2f}"),
    ]
    for pool in machine.pools:
        kernel = f", kernel {pool.kernel}" if pool.kernel else ""
        suits = {True: " (suits the processor)", False: " (a better one is there)", None: ""}[fits(pool, machine)]
        threads = f"{pool.threads} thread{'' if pool.threads == 1 else 's'}"
        rows.append(
            (pool.api.replace("blas", "BLAS"), f"{pool.library} {pool.version or ''}{kernel}{suits}, {threads}")
        )
    if not machine.pools:
        rows.append(("BLAS", f"{machine.blas}, threads {UNKNOWN}"))
    rows.append(("variables", ", ".join(f"{k}={v}" for k, v in machine.variables.items()) or "none set"))
    if speed is not None:
        rows.append(("product", f"{speed:.0f} GFLOP/s, float32, {SIZE} × {SIZE}"))
    for name, found in (seen or {}).items():
        rows.append((f"{name} devices", "not installed" if found is None else ", ".join(found)))
    return rows


def devices_of(name: str) -> list[str] | None:
    """What torch or JAX can compute on; None if it is not installed."""
    from everygrad.engines.devices import devices

    return devices(name)
