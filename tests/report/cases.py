"""Reports of all kinds of networks, and the page as a parser sees it."""

from html.parser import HTMLParser
from types import MappingProxyType

import numpy as np

import everygrad as eg
from everygrad import report
from everygrad.checks import check
from everygrad.graph import Graph


def history(epochs: int) -> list[dict]:
    """Rows as a training makes them; the validation loss is lowest in the last but one."""
    return [
        {
            "epoch": e,
            "loss": 2.0 / e,
            "accuracy": 1 - 0.5 / e,
            "validation_loss": 2.5 / e if e < epochs else 2.6,
            "validation_accuracy": 1 - 0.6 / e,
            "gradient_norms": {"W1": 1.0 / e, "b1": 0.1 / e, "W2": 0.5 / e},
        }
        for e in range(1, epochs + 1)
    ]


DATA = {
    "name": "iris <of> sorts",
    "task": "classification",
    "source": "a test",
    "rows": 60,
    "features": ["a", "b", "c", "d"],
    "classes": ["x", "y", "z"],
}


def skip_graph() -> Graph:
    """Two paths that add, and one quantity used three times."""

    def f(x, y, *, W1, W2, W3):
        h1 = eg.ops.tanh(W1 @ x)
        h2 = eg.ops.tanh(W2 @ h1) + x
        a3 = W3 @ h2 + W3 @ h1
        return eg.ops.softmax_cross_entropy(a3, y)

    return eg.graph(f)


def made(kind: str, **options) -> report.Report:
    """The report of one kind of network."""
    rng = np.random.default_rng(0)

    def batch(n: int, inputs: int, outputs: int):
        return rng.normal(size=(n, inputs)), rng.integers(0, outputs, n)

    if kind == "skip":
        net = skip_graph()
        params = {"W1": rng.normal(size=(4, 4)), "W2": rng.normal(size=(4, 4)), "W3": rng.normal(size=(3, 4))}
        data = batch(9, 4, 3)
    elif kind == "checked":
        net = eg.FeedForward([4, 6, 3])
        params, data = net.init(0), batch(12, 4, 3)
        options = {"check": check(net, params, *data), "history": history(6), "data": DATA, **options}
    elif kind in RECURRENT:
        net, params, data = recurrent(kind)
    else:
        sizes, activation, loss, samples = KINDS[kind]
        net = eg.FeedForward(sizes, activation=activation, loss=loss)
        params = net.init(0)
        x, y = batch(samples, sizes[0], sizes[-1])
        data = (x, y if "softmax" in loss else rng.normal(size=(samples, sizes[-1])))
    return report.build(net, eg.gradients(net, params, *data), **options)


KINDS = {
    "digits": ([64, 32, 16, 10], "tanh", "softmax_cross_entropy", 64),
    "wide": ([784, 512, 512, 10], "relu", "softmax_cross_entropy", 100),
    "deep": ([6] + [8] * 19 + [3], "sigmoid", "softmax_cross_entropy", 20),
    "linear": ([5, 3], "tanh", "softmax_cross_entropy", 7),
    "one": ([1, 1, 1], "tanh", "squared_error", 1),
    "regression": ([6, 8, 1], "gelu", "squared_error", 30),
}
RECURRENT = {
    "elman": (eg.Elman(1, 6), {"outputs": 3}, 12),
    "lstm": (eg.LSTM(2, 5), {"outputs": 3, "read": "each", "lengths": True}, 9),
    "both": (eg.GRU(2, 4), {"outputs": 2, "layers": 2, "bidirectional": True, "read": "mean"}, 7),
    "long": (eg.Elman(1, 3), {"outputs": 2, "read": "each"}, 600),
    "tokens": (eg.LSTM(4, 3), {"outputs": 2, "embedding": (7, 4)}, 1),
    "values": (eg.GRU(3, 60), {"outputs": 2, "loss": "squared_error"}, 4),
}
"""name -> (cell, options of the network, steps)."""


def recurrent(kind: str, samples: int = 6):
    """Network, parameters and data of a kind of `RECURRENT`."""
    cell, options, steps = RECURRENT[kind]
    net = eg.Recurrent(cell, **options)
    rng = np.random.default_rng(1)
    embedded = "embedding" in options
    x = rng.integers(0, 7, (samples, steps)) if embedded else rng.normal(size=(samples, steps, cell.inputs))
    shape = (samples, steps) if net.read == "each" else (samples,)
    y = rng.integers(0, net.outputs, shape)
    if "loss" in options:
        y = rng.normal(size=(samples, net.outputs))
    lengths = [rng.permutation(np.arange(1, samples + 1) * steps // samples)] if net.lengths else []
    return net, net.init(0), (x, y, *lengths)


ALL = [*KINDS, "skip", "checked", *RECURRENT]


class Page(HTMLParser):
    """The elements of a page with their attributes, the text of each, and whether all tags match."""

    VOID = frozenset({"br", "img", "meta"})
    ENDS = MappingProxyType({"td": {"td", "th"}, "th": {"td", "th"}, "tr": {"td", "th", "tr"}})
    """What the beginning of an element ends, by the HTML standard; the end of anything around a row ends it too."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[int] = []
        self.texts: dict[int, str] = {}
        self.feed(text)
        self.close()
        assert self.open == [], "elements are left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        self.end(self.ENDS.get(tag, set()))
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(len(self.elements) - 1)

    def end(self, names: set[str]) -> None:
        while self.open and self.elements[self.open[-1]][0] in names:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        self.end({"td", "th", "tr"} if tag in ("thead", "tbody") else set())
        assert self.open, f"</{tag}> closes nothing"
        assert self.elements[self.open[-1]][0] == tag, f"</{tag}> closes <{self.elements[self.open[-1]][0]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for index in self.open:
            self.texts[index] = self.texts.get(index, "") + data

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        """(attributes, text) of each element of this kind."""
        return [(a, self.texts.get(i, "")) for i, (name, a) in enumerate(self.elements) if name == tag]
