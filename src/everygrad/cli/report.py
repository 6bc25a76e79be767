"""``everygrad report``: train, compute every gradient, check it, and keep the page."""

from typing import Any

import click

from everygrad.backprop import gradients
from everygrad.cli import case as cases
from everygrad.cli import exits, fit, options
from everygrad.cli.progress import checking
from everygrad.cli.screen import say, say_raw, say_table, tell
from everygrad.errors import InputError

PAGE = "report.html"


@click.command(
    short_help="Train, compute and check every gradient, write a page.",
    epilog="""\b
Examples:
  everygrad report --data digits --network 64,32,16,10
  everygrad report --data flowers.csv --target species --hidden 16 --out flowers.html
  everygrad report --data digits --network digits.safetensors --json-out digits.json

A saved network is not trained, unless --epochs says so. Ctrl-C while it trains goes on with the best epoch so far; the
report is written and the exit code is 130. A wrong gradient: exit code 3, after the report was written.""",
)
@options.data()
@options.network
@options.training("Default: 30, and 0 for a saved network.")
@options.samples
@click.option("--no-check", is_flag=True, help="Do not check the gradients against the complex step.")
@click.option("--out", metavar="FILE", help=f"The page. Default: {PAGE}; none with --json.")
@click.option("--json-out", metavar="FILE", help="The same as JSON, in a file.")
@options.as_json
@options.quiet
@click.pass_context
def command(
    ctx: click.Context,
    spec: str,
    target: str | None,
    seed: int | None,
    dtype: str | None,
    network: Any,
    hidden: tuple[int, ...] | None,
    activation: str | tuple[str, ...] | None,
    epochs: int | None,
    batch_size: int,
    optimizer: str,
    learning_rate: float | None,
    samples: int,
    no_check: bool,
    out: str | None,
    json_out: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a network, compute and check every gradient of a batch, write a report."""
    from everygrad import report

    page = out or (None if as_json else PAGE)
    cases.writable(page, json_out, inputs=(spec, network))
    case = cases.prepare(cases.Choices(spec, network, hidden, activation, seed, dtype, target))
    if not as_json:
        say(case.describe())
    count = epochs if epochs is not None else 0 if case.file else options.EPOCHS
    training = fit.fit(case, fit.Recipe(count, batch_size, optimizer, learning_rate), quiet) if count else None
    params = training.params if training else case.params
    interrupted = training is not None and training.interrupted
    x, y = case.held_out(samples)
    found = gradients(case.network, params, x, y)
    checked = None
    if not no_check:
        try:
            checked = _check(case, params, (x, y), quiet)
        except KeyboardInterrupt:
            interrupted = True
            tell("The check was interrupted: the report is without it")
    made = report.build(
        case.network,
        found,
        check=checked,
        history=training.as_rows() if training else (),
        data=case.data.describe(),
    )
    document = report.to_json(made)
    for path, text in ((page, report.to_html(made) if page else ""), (json_out, document)):
        if path:
            try:
                report.write(path, text)
            except InputError as error:
                raise exits.Failure(str(error), exits.BAD_FILE) from None
    if as_json:
        say_raw(document)
    else:
        _show(case, training, params, made)
        say(f"Written: {', '.join(filter(None, (page, json_out)))}")
    wrong = checked is not None and not checked.ok
    ctx.exit(exits.WRONG if wrong else exits.INTERRUPTED if interrupted else exits.OK)


def _check(case: cases.Case, params: Any, batch: tuple[Any, Any], quiet: bool) -> Any:
    from everygrad.checks import check

    if not quiet:
        tell(f"checking every gradient of {len(batch[0])} rows against the complex step ...")
    with checking(quiet) as progress:
        try:
            return check(case.network, params, *batch, seed=case.seed, progress=progress)
        except InputError as error:  # an operation that it cannot see through: the report is not lost for that
            tell(f"No check by the complex step: {error}\nFinite differences are the oracle instead")
            return check(case.network, params, *batch, oracle="difference", seed=case.seed, progress=progress)


def _show(case: cases.Case, training: Any, params: Any, made: Any) -> None:
    """Training, score, the table of all gradients, the verdict."""
    from everygrad.report.tables import check_sentence, gradient_rows, headlines

    say()
    if training is not None:
        say(f"{fit.summary(training)}.")
    say(f"{fit.score_line(case, params, training is not None)}.", "bold")
    say()
    say(f"Every gradient of a batch of {made.samples} rows, {made.of} {made.loss:.4g}:")
    say()
    rows = gradient_rows(made)
    wanted = [i for i, name in enumerate(rows[0]) if name not in ("role", "entries checked")]
    say_table([tuple(row[i] for i in wanted) for row in rows], right=(1, 2, 3))
    say()
    if made.check is not None:
        say(check_sentence(made), "green" if made.check.ok else "bold red")
    headline, advice, others = headlines(made)
    colour = {"ok": "green", "warning": "yellow", "error": "bold red"}[made.verdict.level]
    say(" ".join(filter(None, (f"{made.verdict.level.upper()}: {headline}", advice))), colour)
    for text, then in others:
        say(f"- {text} {then}".rstrip())
