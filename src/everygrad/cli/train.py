"""``everygrad train``: a network, trained and saved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from everygrad.cli import case as cases
from everygrad.cli import exits, fit, options
from everygrad.cli.prepare import prepare
from everygrad.cli.screen import say, say_json, say_table, tell
from everygrad.errors import InputError, NonFiniteError


@click.command(
    short_help="Train a network and save it.",
    epilog="""\b
Examples:
  everygrad train --data digits --hidden 32,16 --out digits.safetensors
  everygrad train --data digits --epochs 200 --checkpoint digits.ckpt --resume --out digits.safetensors
  everygrad train --data wine --network wine.safetensors --epochs 10 --out better.safetensors
  everygrad train --data digits-rows --network gru --units 24 --out rows.safetensors

Ctrl-C keeps the best epoch so far: it is written, the table is printed, and the exit code is 130. With --checkpoint
the same command with --resume goes on as if nothing had happened, bit for bit.""",
)
@options.case()
@click.option(
    "--patience", type=click.IntRange(min=1), metavar="N", help="Stop after so many epochs without a better one."
)
@click.option("--checkpoint", metavar="FILE", help="Keep everything that the next epoch depends on here.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint, if it is there.")
@options.training(
    f"In all, those of a resumed checkpoint included. Default: {options.EPOCHS}, {options.RECURRENT_EPOCHS} for a "
    "recurrent network."
)
@click.option("--out", metavar="FILE", required=True, help="The network, as safetensors.")
@options.as_json
@options.quiet
@click.pass_context
def command(
    ctx: click.Context, chosen: options.Choices, recipe: options.Recipe, out: str, as_json: bool, quiet: bool
) -> None:
    """Train a network by mini-batches and save it."""
    if recipe.resume and recipe.checkpoint is None:
        raise click.UsageError("--resume needs the file: --checkpoint FILE")
    if recipe.checkpoint is not None and not recipe.resume and Path(recipe.checkpoint).exists():
        raise click.UsageError(f"{recipe.checkpoint} is there already: --resume goes on with it, or name another file")
    if recipe.epochs == 0:
        raise click.UsageError("--epochs 0 would train nothing")
    cases.writable(out, recipe.checkpoint, inputs=(chosen.spec,))
    case = prepare(chosen)
    if not as_json:
        say(case.describe())
    try:
        training = fit.fit(case, recipe, quiet)
    except NonFiniteError as error:
        rest = getattr(error, "training", None)
        if rest is not None and rest.best_epoch:
            _save(out, case, rest.params, recipe, rest.best_epoch, chosen.target)
            tell(f"The best epoch before that, {rest.best_epoch}, is in {out}")
        raise
    _save(out, case, training.params, recipe, training.best_epoch, chosen.target)
    if as_json:
        score = cases.score(case, training.params)
        held_out = {
            "rows": score.rows,
            "loss": score.loss,
            "accuracy": score.accuracy,
            "r_squared": score.r_squared,
        }
        say_json("train", {**case.as_json(), **fit.as_json(training), "held_out": held_out, "out": out})
    else:
        if training.history:
            rows = fit.history_rows(training)
            say()
            say_table(rows, right=range(len(rows[0]) - 1))
        say()
        say(f"{fit.summary(training)}.")
        say(f"{fit.score_line(case, training.params, True)}.", "bold")
        say(f"Written: {out}")
    ctx.exit(exits.INTERRUPTED if training.interrupted else exits.OK)


def _save(
    path: str, case: cases.Case, params: Mapping[str, Any], recipe: options.Recipe, best_epoch: int, target: str | None
) -> None:
    from everygrad.files import save

    notes = {
        "data": case.data.name,
        "source": case.data.source,
        "seed": case.seed,
        "held_out_unseen": case.known_split,
        "target_option": target,
        "classes": list(case.data.classes),
        "epochs": fit.default_epochs(case) if recipe.epochs is None else recipe.epochs,
        "best_epoch": best_epoch,
        "batch_size": recipe.batch_size,
        "optimizer": recipe.optimizer,
        "learning_rate": recipe.learning_rate,
    }
    try:
        save(path, case.network, params, notes)
    except InputError as error:
        raise exits.Failure(str(error), exits.BAD_FILE) from None
