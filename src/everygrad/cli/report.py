"""``everygrad report``: train, compute every gradient, check it, and keep the page."""

from dataclasses import dataclass, replace
from typing import Any, final

import click

from everygrad.backprop import gradients
from everygrad.cli import case as cases
from everygrad.cli import exits, fit, options
from everygrad.cli.prepare import prepare
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
  everygrad report --data digits-pixels --network elman --network lstm --units 24 --epochs 5

Several networks are trained one after the other and shown side by side. A saved network is not trained, unless
--epochs says so. Ctrl-C while one trains goes on with its best epoch so far, and without those that would come after
it; the report is written and the exit code is 130. A wrong gradient: exit code 3, after the report was written.""",
)
@options.case(several=True)
@options.training(
    f"Default: {options.EPOCHS}, {options.RECURRENT_EPOCHS} for a recurrent network, 0 for a saved one.", several=True
)
@options.samples
@click.option("--no-check", is_flag=True, help="Do not check the gradients against the complex step.")
@click.option("--out", metavar="FILE", help=f"The page. Default: {PAGE}; none with --json.")
@click.option("--json-out", metavar="FILE", help="The same as JSON, in a file.")
@options.as_json
@options.quiet
@click.pass_context
def command(
    ctx: click.Context,
    chosen: options.Choices,
    recipe: options.Recipe,
    samples: int,
    no_check: bool,
    out: str | None,
    json_out: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a network, or several, compute and check every gradient of a batch, write a report."""
    from everygrad import report

    page = out or (None if as_json else PAGE)
    cases.writable(page, json_out, inputs=(chosen.spec, *(chosen.network or ())))
    each = chosen.each()
    prepared = [prepare(one) for one in each]
    recipes = [recipe.of(i, len(each)) for i in range(len(each))]
    if not as_json:
        for line in dict.fromkeys(str(case.data) for case in prepared):
            say(line)
    done: list[Done] = []
    for case, own in zip(prepared, recipes, strict=True):
        if not as_json:
            say(case.describe_network())
        done.append(_work(case, own, samples, no_check, quiet))
        if done[-1].interrupted:
            break
    made = [one.report for one in done]
    document = report.to_json(*made)
    for path, text in ((page, report.to_html(*made) if page else ""), (json_out, document)):
        if path:
            try:
                report.write(path, text)
            except InputError as error:
                raise exits.Failure(str(error), exits.BAD_FILE) from None
    if as_json:
        say_raw(document)
    else:
        for one in done:
            _show(one, len(done) > 1)
        if len(done) > 1:
            _compare(made)
        if len(done) < len(prepared):
            say(f"Not reached: {', '.join(str(case.network) for case in prepared[len(done) :])}")
        say(f"Written: {', '.join(filter(None, (page, json_out)))}")
    wrong = any(one.report.check is not None and not one.report.check.ok for one in done)
    interrupted = any(one.interrupted for one in done)
    ctx.exit(exits.WRONG if wrong else exits.INTERRUPTED if interrupted else exits.OK)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What was reached with one network."""

    case: cases.Case
    training: Any
    params: Any
    report: Any
    interrupted: bool


def _work(case: cases.Case, recipe: options.Recipe, samples: int, no_check: bool, quiet: bool) -> Done:
    """Training, gradients and check of one network; Ctrl-C in one of them ends that one."""
    from everygrad import report

    count = recipe.epochs if recipe.epochs is not None else 0 if case.file else fit.default_epochs(case)
    training = fit.fit(case, replace(recipe, epochs=count), quiet) if count else None
    params = training.params if training else case.params
    interrupted = training is not None and training.interrupted
    batch = case.held_out(samples)
    found = gradients(case.network, params, batch.x, batch.y, **batch.more)
    checked = None
    if not no_check:
        try:
            checked = _check(case, params, batch, quiet)
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
    return Done(case, training, params, made, interrupted)


def _check(case: cases.Case, params: Any, batch: cases.Batch, quiet: bool) -> Any:
    from everygrad.checks import check

    if not quiet:
        tell(f"checking every gradient of {len(batch)} rows against the complex step ...")
    given = (case.network, params, batch.x, batch.y)
    with checking(quiet) as progress:
        more: dict[str, Any] = {**batch.more, "seed": case.seed, "progress": progress}
        try:
            return check(*given, **more)
        except InputError as error:  # an operation that it cannot see through: the report is not lost for that
            tell(f"No check by the complex step: {error}\nFinite differences are the oracle instead")
            return check(*given, oracle="difference", **more)


def _show(done: Done, several: bool) -> None:
    """Training, score, the table of all gradients, the verdict."""
    from everygrad.report.tables import check_sentence, gradient_rows, headlines

    made = done.report
    say()
    if several:
        say(made.name, "bold")
    if done.training is not None:
        say(f"{fit.summary(done.training)}.")
    say(f"{fit.score_line(done.case, done.params, done.training is not None)}.", "bold")
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


def _compare(made: list[Any]) -> None:
    """The networks side by side."""
    from everygrad.report.time_tables import compared_rows

    say()
    rows = compared_rows(made)
    say_table(rows, right=range(1, len(rows[0])))
    say()
