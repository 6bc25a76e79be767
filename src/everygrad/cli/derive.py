"""``everygrad derive``: the written derivation of a gradient, with its numbers and its check."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from everygrad.cli import case as cases
from everygrad.cli import exits, options
from everygrad.cli.paths import values_of
from everygrad.cli.prepare import prepare
from everygrad.cli.screen import say_json, say_raw, tell
from everygrad.data.network import CELLS
from everygrad.derive import Derivation
from everygrad.derive import derive as derivation
from everygrad.errors import InputError
from everygrad.graph import LOSSES
from everygrad.networks import Elman, FeedForward, Recurrent

Given = tuple[Any, Any, tuple[Any, ...], dict[str, Any]]
FORMS = ("text", "markdown", "latex", "html")
UNITS, FEATURES, OUTPUTS = 3, 2, 2
"""Of a recurrent network that nothing was said about: small enough to be read."""


@click.command(
    short_help="The written derivation of a gradient, checked.",
    epilog="""\b
Examples:
  everygrad derive "y1 = x**2; y2 = x**3; z = log(y1*y2)" --at x=2 --wrt x
  everygrad derive --network 4,3,2 "h1[2]"
  everygrad derive --network 3,2,2 --activation relu --loss squared_error --exact "W2[0,1]"
  everygrad derive --network elman "W[1,2]" --as latex --out W.tex
  everygrad derive --network lstm --steps 4 "c[1]"
  everygrad derive --network gru
  everygrad derive --network digits.safetensors --data digits "h1[3]"

WHAT is a formula, or a quantity of the network: h1[3] a unit, W2[0,1] a weight, a1 a whole layer, h[2,3] unit 3 at
step 2. Without it the whole network is derived: all equations and all shapes. Without --data small numbers are
invented. The last line is the check against the complex step; exit code 3 if it fails.""",
)
@click.argument("what", required=False)
@click.option("--at", multiple=True, metavar="NAME=VALUE", help="The variables of the formula; several with commas.")
@click.option("--wrt", metavar="NAME", help="Of a formula with several variables: the one to differentiate by.")
@click.option("--of", metavar="NAME", help='What is differentiated. Default: the loss, the last name. Also "h[2,0]".')
@click.option("--exact", is_flag=True, help="Fractions, where every operation is rational.")
@click.option(
    "--numbers",
    type=options.Choice("kind of numbers", ("tenths", "integers", "init")),
    metavar="NAME",
    default="tenths",
    show_default=True,
    help="Invented ones: tenths, integers, or the network's own random parameters (init).",
)
@click.option("--sample", type=click.IntRange(min=0), metavar="N", default=0, help="The row of the batch. Default: 0.")
@click.option(
    "--samples", type=click.IntRange(1, 1000), metavar="N", default=1, show_default=True, help="Rows in the batch."
)
@click.option("--steps", type=click.IntRange(1, 1000), metavar="N", default=3, show_default=True, help="Time steps.")
@click.option(
    "--loss", type=options.Choice("loss", tuple(LOSSES)), metavar="NAME", help="Default: softmax_cross_entropy."
)
@click.option(
    "--as", "form", type=options.Choice("form", FORMS), metavar="FORM", default="text", help=f"{', '.join(FORMS)}."
)
@click.option("--out", metavar="FILE", help="Write it there instead of to the screen.")
@options.case(required=False)
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    what: str | None,
    at: tuple[str, ...],
    wrt: str | None,
    of: str | None,
    exact: bool,
    numbers: Any,
    sample: int,
    samples: int,
    steps: int,
    loss: str | None,
    form: str,
    out: str | None,
    chosen: options.Choices,
    as_json: bool,
) -> None:
    """Write the derivation of a gradient: formulas, numbers, check."""
    cases.writable(out, inputs=(chosen.spec, chosen.network))
    if what is not None and "=" in what:
        given = [
            p.opts[0]
            for p in ctx.command.params
            if p.name in {f.name for f in fields(options.Choices)} and ctx.params[p.name] not in (None, False)
        ]
        given += ["--loss"] if loss is not None else []
        if given:
            raise click.UsageError(f"{', '.join(given)} are for a network: leave them out, or leave out the formula")
        found = derivation(what, wrt, values_of(at), of=of, exact=exact)
    else:
        if at:
            raise click.UsageError('--at is for a formula, "z = log(x**2)" --at x=2')
        if wrt is not None and what is not None:
            raise click.UsageError("the quantity is given twice, by itself and as --wrt")
        network, params, data, more = _network(chosen, loss, samples)
        seed = chosen.seed or 0
        found = derivation(
            network,
            what if what is not None else wrt,
            params,
            *data,
            of=of,
            sample=sample,
            exact=exact,
            numbers=numbers,
            seed=seed,
            samples=samples,
            steps=steps,
            **more,
        )
    _show(found, form, out, as_json)
    ctx.exit(exits.OK if found.ok else exits.WRONG)


def _network(chosen: options.Choices, loss: str | None, samples: int) -> Given:
    """(network, parameters or None, data, more data by name)."""
    if chosen.spec is not None:
        if loss is not None:
            raise click.UsageError("--loss and --data both say what the loss is: give one of them")
        case = prepare(chosen)
        batch = case.held_out(samples)
        return case.network, case.params, (batch.x, batch.y), dict(batch.more)
    if chosen.hidden is not None:
        raise click.UsageError("--hidden needs --data, which gives features and outputs; else --network has all sizes")
    if chosen.network is None:
        raise click.UsageError('give a formula, "z = log(x**2)" --at x=2, or a network, --network 4,3,2 "h1[2]"')
    kind = loss or "softmax_cross_entropy"
    if isinstance(chosen.network, tuple):
        if chosen.recurrent_only:
            raise click.UsageError(f"{', '.join(chosen.recurrent_only)}: for a recurrent network")
        return FeedForward(chosen.network, activation=chosen.activation or "tanh", loss=kind), None, (), {}
    if chosen.network in CELLS:
        return _recurrent(chosen, kind), None, (), {}
    from everygrad.files import load

    if loss is not None or chosen.activation is not None or chosen.recurrent_only:
        raise click.UsageError("--loss, --activation and the like are for a new network: a saved one has its own")
    network, params = load(chosen.network)
    return network, params, (), {}


def _recurrent(chosen: options.Choices, loss: str) -> Recurrent:
    units = chosen.units or UNITS
    if chosen.network == "elman":
        cell: Any = Elman(FEATURES, units, chosen.activation or "tanh")
    elif chosen.activation is not None:
        raise click.UsageError(f"--activation is for an elman cell: {chosen.network} has its own")
    else:
        cell = CELLS[chosen.network](FEATURES, units)
    read: Any = chosen.read or "last"
    return Recurrent(cell, OUTPUTS, read, chosen.layers or 1, chosen.bidirectional, loss)


def _show(found: Derivation, form: str, out: str | None, as_json: bool) -> None:
    written = {
        "text": found.to_text,
        "markdown": found.to_markdown,
        "latex": found.to_latex,
        "html": found.to_html,
    }[form]()
    if out is not None:
        from everygrad.storage import write_atomic

        try:
            write_atomic(Path(out), written.encode())
        except InputError as error:
            raise exits.Failure(str(error), exits.BAD_FILE) from None
        tell(f"Written: {out}")
    if as_json:
        say_json("derive", {**found.as_dict(), "form": form, "text": None if out is not None else written})
    elif out is None:
        say_raw(written)
