"""``everygrad paths``: the paths that a gradient is the sum of."""

from dataclasses import fields

import click

from everygrad.cli import options
from everygrad.cli.prepare import prepare
from everygrad.cli.screen import say, say_json
from everygrad.paths import Paths
from everygrad.paths import paths as find

NETWORK_ONLY = ("sample", *(field.name for field in fields(options.Choices)))


@click.command(
    short_help="The paths that a gradient is the sum of.",
    epilog="""\b
Examples:
  everygrad paths "y1 = x**2; y2 = x**3; z = log(y1*y2)" --at x=2
  everygrad paths "u = a*b; z = sin(u) + a" --at a=1,b=0.5 --wrt a
  everygrad paths --network digits.safetensors --data digits --unit "h1[3]" --k 10
  everygrad paths --network digits.safetensors --data digits --unit "W1[2,5]"

A formula is parsed, not evaluated: assignments with ; between them, + - * / **, exp log sqrt sin cos tanh sigmoid
relu square softplus silu gelu elu leaky_relu, pi and e. The last name is the result.""",
)
@click.argument("formula", required=False)
@click.option("--at", multiple=True, metavar="NAME=VALUE", help="The variables of the formula; several with commas.")
@click.option(
    "--wrt", "--unit", "wrt", metavar="NAME", help='Where paths begin: a variable, or a unit such as "h1[3]".'
)
@click.option("--of", metavar="NAME", help='Where they end. Default: the last name, or the loss. Also "a3[2]".')
@click.option(
    "--k", type=click.IntRange(min=1), metavar="N", default=10, show_default=True, help="How many, the largest first."
)
@click.option(
    "--sample", type=click.IntRange(min=0), metavar="N", help="Of a network: the row of the batch. Default: 0."
)
@options.case(required=False)
@options.samples
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    formula: str | None,
    at: tuple[str, ...],
    wrt: str | None,
    of: str | None,
    k: int,
    sample: int | None,
    chosen: options.Choices,
    samples: int,
    as_json: bool,
) -> None:
    """The paths of largest |product| through a formula or a network, adding up to the gradient."""
    if formula is not None:
        given = [
            p.opts[0] for p in ctx.command.params if p.name in NETWORK_ONLY and ctx.params[p.name] not in (None, False)
        ]
        if given:
            raise click.UsageError(f"{', '.join(given)} are for a network: leave them out, or leave out the formula")
        found = find(formula, values_of(at), wrt=wrt, of=of, k=k)
    else:
        if chosen.spec is None:
            raise click.UsageError('give a formula, "z = log(x**2)" --at x=2, or a network with --data')
        if at:
            raise click.UsageError("--at is for a formula")
        if wrt is None:
            raise click.UsageError('say where the paths begin: --unit "h1[3]"')
        case = prepare(chosen)
        data = case.held_out(samples).named().values()
        found = find(case.network, case.params, *data, wrt=wrt, of=of, k=k, sample=sample)
    _show(found, as_json)


def _show(found: Paths, as_json: bool) -> None:
    if as_json:
        listed = [{**row, "share": path.share} for row, path in zip(found.to_dict()["paths"], found, strict=True)]
        say_json("paths", {**found.to_dict(), "paths": listed})  # a share of nothing is "NaN", as everywhere
    else:
        say(found.to_text())


def values_of(at: tuple[str, ...]) -> dict[str, float]:
    """``x=2`` or ``x=2,y=3``; all that is wrong in one message."""
    values: dict[str, float] = {}
    problems = []
    for part in [part.strip() for text in at for part in text.split(",")]:
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            problems.append(f"{part!r} is not a name and a number")
            continue
        if not equals or not name.isidentifier():
            problems.append(f"{part!r} is not a name and a number")
        elif name in values:
            problems.append(f"{name!r} is given twice")
        else:
            values[name] = value
    if problems:
        raise click.BadParameter(f"{'; '.join(problems)}: values look like --at x=2", param_hint="'--at'")
    return values
