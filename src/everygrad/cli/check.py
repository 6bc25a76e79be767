"""``everygrad check``: every gradient against an oracle, the library's or somebody's own."""

import dataclasses
from pathlib import Path
from typing import Any

import click
import numpy as np

from everygrad.cli import case as cases
from everygrad.cli import exits, options
from everygrad.cli.prepare import prepare
from everygrad.cli.progress import checking
from everygrad.cli.screen import say, say_json, say_table, tell
from everygrad.errors import FileFormatError, InputError

MOST_BYTES = 1 << 32


@click.command(
    short_help="Check every gradient, or your own.",
    epilog="""\b
Examples:
  everygrad check --data digits --hidden 32,16
  everygrad check --data digits --network digits.safetensors --oracle difference
  everygrad check --data wine --network wine.safetensors --batch-out batch.npz
  everygrad check --data wine --network wine.safetensors --gradients mine.npz
  everygrad check --data gunpoint --network lstm --units 16 --samples 8

Your own gradients: --batch-out writes x, y and the parameters of the batch; compute ∂loss/∂W1, ... of them with
whatever is to be checked, numpy.savez("mine.npz", W1=..., b1=..., h1=...), and give --gradients. What is not in the
file is not checked. A wrong gradient: exit code 3, and the first one in the backward sweep is named.""",
)
@options.case()
@click.option("--gradients", metavar="FILE.npz", help="Check these, arrays by name, instead of the library's own.")
@click.option("--batch-out", metavar="FILE.npz", help="Write x, y and the parameters of the batch.")
@click.option(
    "--oracle",
    type=options.Choice("oracle", ("complex", "difference")),
    metavar="NAME",
    default="complex",
    show_default=True,
    help="complex: the complex step, exact to rounding; difference: finite differences.",
)
@options.samples
@options.as_json
@options.quiet
@click.pass_context
def command(
    ctx: click.Context,
    chosen: options.Choices,
    gradients: str | None,
    batch_out: str | None,
    oracle: str,
    samples: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check every gradient of a batch; exit code 3 if one is wrong."""
    from everygrad.checks import check
    from everygrad.storage import archive, write_atomic

    cases.writable(batch_out, inputs=(chosen.spec, chosen.network, gradients))
    case = prepare(chosen)
    given = None if gradients is None else _arrays(gradients)
    batch = case.held_out(samples)
    if batch_out is not None:
        arrays = {**batch.named(), **case.params}
        try:
            write_atomic(Path(batch_out), archive(arrays))
        except InputError as error:
            raise exits.Failure(str(error), exits.BAD_FILE) from None
    if not as_json:
        say(case.describe())
    if not quiet:
        tell(f"checking every gradient of {len(batch)} rows ...")
    with checking(quiet) as progress:
        found = check(
            case.network,
            case.params,
            batch.x,
            batch.y,
            gradients=given,
            oracle=oracle,
            seed=case.seed,
            progress=progress,
            **batch.more,
        )
    if as_json:
        say_json("check", {**case.as_json(), "samples": len(batch), **_document(found)})
    else:
        _show(found, len(batch), gradients)
        if batch_out is not None:
            say(f"Written: {batch_out}")
    ctx.exit(exits.OK if found.ok else exits.WRONG)


def _arrays(path: str) -> dict[str, np.ndarray]:
    """The arrays of an archive, by name; nothing is unpickled."""
    from everygrad.storage import read_archive

    found = read_archive(Path(path), MOST_BYTES)
    other = [f"{name} ({a.dtype})" for name, a in found.items() if a.dtype.kind not in "fiu"]
    if other or not found:
        raise FileFormatError(f"{path} must hold arrays of real numbers by name, found {', '.join(other) or 'none'}")
    return found


def _show(found: Any, samples: int, gradients: str | None) -> None:
    rows = [("quantity", "shape", "norm", "relative error", "verdict", "checked")]
    for row in found.rows:
        shape = " × ".join(map(str, row.shape)) or "number"
        how = ": ".join(filter(None, (row.how, row.fault)))
        rows.append((row.name, shape, f"{row.norm:.4g}", f"{row.error:.1e}", "ok" if row.ok else "WRONG", how))
    say()
    say(f"Gradients{f' in {gradients}' if gradients else ''} of a batch of {samples} rows against the {found.oracle}:")
    say()
    say_table(rows, right=(1, 2, 3))
    say()
    say(found.verdict, "green" if found.ok else "bold red")


def _document(found: Any) -> dict[str, Any]:
    return {
        "ok": found.ok,
        "oracle": found.oracle,
        "culprit": found.culprit,
        "verdict": found.verdict,
        "rows": [dataclasses.asdict(row) for row in found.rows],
    }
