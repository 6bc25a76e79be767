"""The options that several commands share, the kinds of values that they take, and the records they come in."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, final

import click

from everygrad.data import BUILT_IN
from everygrad.data.network import CELLS, UNITS
from everygrad.errors import UnknownNameError, unknown_name
from everygrad.graph import ELEMENTWISE
from everygrad.train import OPTIMIZERS

HIDDEN = (32, 16)
"""The hidden layers of a network that nothing was said about."""
SAMPLES = 32
"""Rows whose gradients are shown and checked."""
EPOCHS, RECURRENT_EPOCHS = 30, 10
MOST_UNITS = 1_000_000
"""Units of one layer; a larger number is a slip of the finger."""

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@final
@dataclass(frozen=True, slots=True)
class Choices:
    """The options about data and network, as they were given.

    ``network``: sizes, the name of a cell, the path of a saved network, or None. Where several networks can be
    given, it is a tuple of these, and ``activation`` and ``units`` may have one value for each.
    """

    spec: Any
    network: Any
    hidden: tuple[int, ...] | None
    activation: Any
    units: Any
    layers: int | None
    read: str | None
    bidirectional: bool
    target: str | None = None
    seed: int | None = None
    dtype: str | None = None

    @property
    def recurrent_only(self) -> list[str]:
        """The options that were given and mean nothing to a feed-forward network."""
        given = {"--units": self.units, "--layers": self.layers, "--read": self.read}
        found = [name for name, value in given.items() if value is not None]
        return found + (["--bidirectional"] if self.bidirectional else [])

    def each(self) -> list["Choices"]:
        """The options for each network, if several can be given."""
        networks = self.network or (None,)
        count = len(networks)
        if count == 1:
            return [replace(self, network=networks[0])]
        return [
            replace(
                self,
                network=network,
                activation=one_of(self.activation, i, count, "--activation"),
                units=one_of(self.units, i, count, "--units"),
            )
            for i, network in enumerate(networks)
        ]


@final
@dataclass(frozen=True, slots=True)
class Recipe:
    """The options about training, as they were given; with several networks there may be one value for each."""

    epochs: Any
    batch_size: Any
    optimizer: str
    learning_rate: Any
    patience: int | None = None
    checkpoint: str | None = None
    resume: bool = False

    def of(self, i: int, count: int) -> "Recipe":
        """Those for one of several networks."""
        return replace(
            self,
            epochs=one_of(self.epochs, i, count, "--epochs"),
            batch_size=one_of(self.batch_size, i, count, "--batch-size"),
            learning_rate=one_of(self.learning_rate, i, count, "--learning-rate"),
        )


def one_of(value: Any, i: int, count: int, option: str) -> Any:
    """A value for one of ``count`` networks: its own, or the one for all."""
    if not isinstance(value, tuple):
        return value
    if len(value) != count:
        networks = "1 network" if count == 1 else f"{count} networks"
        raise click.UsageError(f"{option} has {len(value)} values for {networks}: one for all, or one for each")
    return value[i]


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
class Each(click.ParamType):
    """One value, or several with commas: one for each network."""

    def __init__(self, kind: click.ParamType) -> None:
        self.kind = kind
        self.name = kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        parts = value.split(",") if isinstance(value, str) else [value]
        values = [self.kind.convert(part.strip() if isinstance(part, str) else part, param, ctx) for part in parts]
        return tuple(values) if len(values) > 1 else values[0]


@final
class Layers(click.ParamType):
    """Whole numbers with commas, ``32,16``; ``none`` is no layer."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        if value.strip().lower() in ("none", ""):
            return ()
        sizes = []
        for part in (part.strip() for part in value.split(",")):
            try:
                size = int(part)
            except ValueError:
                self.fail(f"{part!r} in {value!r} is not a whole number: sizes look like 64,32,16,10", param, ctx)
            if not 1 <= size <= MOST_UNITS:
                self.fail(f"a layer of {size} units in {value!r}: from 1 to {MOST_UNITS:,} are possible", param, ctx)
            sizes.append(size)
        return tuple(sizes)


@final
class NetworkKind(click.ParamType):
    """All sizes of a feed-forward network, the name of a recurrent cell, or the path of a saved network."""

    name = "network"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str) or value in CELLS:
            return value
        if re.fullmatch(r"\d+(-\d+)+", value):  # 64-32-10, as networks are printed
            value = value.replace("-", ",")
        if value.split(",")[0].strip().lstrip("-").isdecimal():
            return Layers().convert(value, param, ctx)
        if not Path(value).suffix and Path(value).name == value and not Path(value).exists():
            self.fail(_nearest("network", value, (*CELLS, "64,32,16,10", "FILE.safetensors")), param, ctx)
        return value


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


def gathered(name: str, record: type) -> Decorator:
    """The options that are fields of a record arrive as that record, under ``name``."""
    known = [field.name for field in fields(record)]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def called(*args: Any, **given: Any) -> Any:
            own = {key: given.pop(key) for key in known if key in given}
            return function(*args, **given, **{name: record(**own)})

        return called

    return decorate


def case(required: bool = True, several: bool = False) -> Decorator:
    """The data set, how it is read, and the network; they arrive as `Choices` under the name ``chosen``."""
    each = "; of several networks one for all or one for each with commas" if several else ""
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
        network(several, each),
        gathered("chosen", Choices),
    )


def network(several: bool = False, each: str = "") -> Decorator:
    """The network alone."""
    return together(
        click.option(
            "--network",
            "network",
            type=NetworkKind(),
            multiple=several,
            metavar="SIZES|CELL|FILE",
            help=f"All sizes, from features to outputs (64,32,16,10); {', '.join(CELLS)} for sequences; or a network "
            "saved by `everygrad train`." + (" Several times: they are compared." if several else ""),
        ),
        click.option(
            "--hidden",
            type=Layers(),
            metavar="SIZES",
            help="The hidden layers of a feed-forward network only; the data give the rest. `none` for none. "
            f"Default: {','.join(map(str, HIDDEN))}.",
        ),
        click.option(
            "--activation",
            type=Choice("activation", tuple(ELEMENTWISE), several=True),
            metavar="NAME",
            help="Of the hidden layers, one for all or one for each with commas: tanh (default), relu, gelu, ...; of "
            f"an elman cell one{each}.",
        ),
        click.option(
            "--units",
            type=Each(click.IntRange(1, MOST_UNITS)) if several else click.IntRange(1, MOST_UNITS),
            metavar="N",
            help=f"Of a recurrent layer. Default: {UNITS}{each}.",
        ),
        click.option("--layers", type=click.IntRange(1, 1000), metavar="N", help="Recurrent layers. Default: 1."),
        click.option(
            "--read",
            type=Choice("reading", ("last", "each", "mean")),
            metavar="NAME",
            help="What a recurrent network is read at: the last step, each, or the mean. Default: what the data need.",
        ),
        click.option("--bidirectional", is_flag=True, help="Each recurrent layer also reads from the end."),
    )


def training(epochs: str, several: bool = False) -> Decorator:
    """How a network is trained, as a `Recipe` under the name ``recipe``; ``epochs`` is the help of that option."""
    many = Each if several else lambda kind: kind
    each = " Of several networks one for all or one for each with commas." if several else ""
    return together(
        click.option("--epochs", type=many(click.IntRange(min=0)), metavar="N", help=epochs + each),
        click.option(
            "--batch-size",
            type=many(click.IntRange(min=1)),
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
            type=many(click.FloatRange(min=0, min_open=True)),
            metavar="NUMBER",
            help="Default: the optimizer's own (adam 0.001, momentum 0.05, sgd 0.1).",
        ),
        gathered("recipe", Recipe),
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
