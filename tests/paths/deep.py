"""Ten thousand operations, one after the other: run as a process of its own by test_graphs.py."""

import json

import numpy as np

from everygrad.graph import Graph
from everygrad.graph.arithmetic import Add
from everygrad.graph.arrange import Sum
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.symbol import Builder
from everygrad.paths import paths


def deep(n: int, skipping: bool) -> Graph:
    """h = tanh(h), n times; or h = h + tanh(h), n/2 times."""
    builder = Builder()
    h = builder.given("h0", "data")
    for i in range(n // 2 if skipping else n):
        u = builder.apply(Elementwise("tanh"), h, name=f"t{i + 1}")
        h = builder.apply(Add(), u, h, name=f"h{i + 1}") if skipping else u
    return builder.graph(builder.apply(Sum(), h, name="loss"))


def main() -> None:
    found = []
    for skipping in (False, True):
        p = paths(deep(10_000, skipping), {}, np.full((1, 2), 0.3), wrt=("h0", 1), k=3)
        document = json.loads(json.dumps(p.to_dict(), allow_nan=False))
        shown = {key: document[key] for key in ("count", "total")}
        products = [path.product for path in p.paths]
        found.append(
            shown | {"units": len(p.paths[0].units), "product": products[0], "products": products, "text": str(p)}
        )
    print(json.dumps(found))
