"""The options that several commands share, and the kinds of values that they take."""

from collections.abc import Callable
from typing import Any, final

import click

from everygrad.data import BUILT_IN
from everygrad.errors import UnknownNameError, unknown_name
from everygrad.graph import ELEMENTWISE
from everygrad.train import OPTIMIZERS

HIDDEN = (32, 16)
"""The hidden layers of a network that nothing was said about."""
SAMPLES = 32
"""Rows whose gradients are shown and checked."""
EPOCHS = 30
MOST_UNITS = 1_000_000
"""Units of one layer; a larger number is a slip of the finger."""

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@final
class Choice(click.ParamType):
    """One name of a list, or with ``several`` some of them with commas; another is answered with the nearest."""

    def __init__(self, what: str, known: tuple[str, ...], several: bool = False) -> None:
        self.what, self.known, self.several = what, known, several
        self.name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        names = [part.strip() for part in value.split(",")] if self.several else [value]
        for name in names:
            if name not in self.known:
                self.fail(_nearest(self.what, name, self.known), param, ctx)
        return tuple(names) if len(names) > 1 else names[0]


@final
class Layers(click.ParamType):
    """Whole numbers with commas, ``32,16``; with ``files`` also the path of a saved network; ``none`` is no layer."""

    def __init__(self, files: bool = False) -> None:
        self.files = files
        self.name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        if not self.files and value.strip().lower() in ("none", ""):
            return ()
        parts = [part.strip() for part in value.split(",")]
        if self.files and not parts[0].lstrip("-").isdecimal():
            return value
        sizes = []
        for part in parts:
            try:
                size = int(part)
            except ValueError:
                self.fail(f"{part!r} in {value!r} is not a whole number: sizes look like 64,32,16,10", param, ctx)
            if not 1 <= size <= MOST_UNITS:
                self.fail(f"a layer of {size} units in {value!r}: from 1 to {MOST_UNITS:,} are possible", param, ctx)
            sizes.append(size)
        return tuple(sizes)


def _nearest(what: str, name: str, known: tuple[str, ...]) -> str:
    try:
        raise unknown_name(what, name, known)
    except UnknownNameError as error:
        return str(error)


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator, in the order of the help."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def data(required: bool = True) -> Decorator:
    """The data set, and how it is read."""
    return together(
        click.option(
            "--data",
            "spec",
            required=required,
            metavar="NAME|FILE",
            help=f"{', '.join(BUILT_IN)}, or the path of a .csv or .npz file. One fifth of the rows is held out.",
        ),
        click.option("--target", metavar="COLUMN", help="What to predict: a column of the .csv, an array of the .npz."),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            metavar="N",
            help="For the split, the first weights and the order of the rows. Default: 0, or that of a saved network.",
        ),
        click.option(
            "--dtype",
            type=Choice("dtype", ("float64", "float32")),
            metavar="NAME",
            help="float64 or float32. Default: float64, or that of a saved network.",
        ),
    )


network = together(
    click.option(
        "--network",
        "network",
        type=Layers(files=True),
        metavar="SIZES|FILE",
        help="All sizes, from features to outputs (64,32,16,10), or a network saved by `everygrad train`.",
    ),
    click.option(
        "--hidden",
        type=Layers(),
        metavar="SIZES",
        help=f"The hidden layers only; the data give the rest. `none` for none. Default: {','.join(map(str, HIDDEN))}.",
    ),
    click.option(
        "--activation",
        type=Choice("activation", tuple(ELEMENTWISE), several=True),
        metavar="NAME",
        help="Of the hidden layers, one for all or one for each with commas: tanh (default), relu, gelu, ...",
    ),
)


def training(epochs: str) -> Decorator:
    """How a network is trained; ``epochs`` is the help of that option."""
    return together(
        click.option("--epochs", type=click.IntRange(min=0), metavar="N", help=epochs),
        click.option(
            "--batch-size",
            type=click.IntRange(min=1),
            metavar="N",
            default=32,
            show_default=True,
            help="Rows for one step of the training.",
        ),
        click.option(
            "--optimizer",
            type=Choice("optimizer", tuple(OPTIMIZERS)),
            metavar="NAME",
            default="adam",
            show_default=True,
            help=f"{', '.join(OPTIMIZERS)}.",
        ),
        click.option(
            "--learning-rate",
            type=click.FloatRange(min=0, min_open=True),
            metavar="NUMBER",
            help="Default: the optimizer's own (adam 0.001, momentum 0.05, sgd 0.1).",
        ),
    )


samples = click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    default=SAMPLES,
    show_default=True,
    help="Held-out rows in the batch.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
quiet = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
