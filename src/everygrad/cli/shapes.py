"""``everygrad shapes``: the dimensions of every quantity, of its gradient, and of the Jacobians between neighbours."""

import math
from typing import Any

import click
import numpy as np

from everygrad.backprop import Trace, forward, graph_of
from everygrad.cli import case as cases
from everygrad.cli import options
from everygrad.cli.screen import say, say_json, say_table
from everygrad.errors import InputError
from everygrad.graph import LOSSES
from everygrad.graph.losses import SoftmaxCrossEntropy
from everygrad.networks import FeedForward


@click.command(
    short_help="The dimensions of every quantity and Jacobian.",
    epilog="""\b
Examples:
  everygrad shapes --network 64,32,16,10 --batch 32
  everygrad shapes --network 13,8,1 --loss squared_error --activation relu
  everygrad shapes --network digits.safetensors

Rows are samples, weights are (out, in), and a gradient has the shape of its quantity. A Jacobian is that of one sample:
J[out, in], or J[out, row, col] for a weight; what is stored shows how much of it is structure.""",
)
@options.network
@click.option(
    "--data", "spec", metavar="NAME|FILE", help="Instead of all sizes: the data that give features and outputs."
)
@click.option(
    "--loss", type=options.Choice("loss", tuple(LOSSES)), metavar="NAME", help="Default: softmax_cross_entropy."
)
@click.option(
    "--batch", type=click.IntRange(min=1), metavar="N", default=options.SAMPLES, show_default=True, help="Samples."
)
@options.as_json
def command(
    network: Any,
    hidden: tuple[int, ...] | None,
    activation: str | tuple[str, ...] | None,
    spec: str | None,
    loss: str | None,
    batch: int,
    as_json: bool,
) -> None:
    """The shape of every quantity, of its gradient, and of every local Jacobian."""
    chosen, trace = _traced(network, hidden, activation, spec, loss)
    quantities, jacobians = _quantities(trace, batch), _jacobians(trace)
    if as_json:
        content = {"network": str(chosen), "batch": batch, "quantities": quantities, "jacobians": jacobians}
        say_json("shapes", content)
        return
    say(f"{chosen}; a batch of {batch} samples")
    say()
    rows = [("quantity", "equation", "shape", "shape of its gradient")]
    for q in quantities:
        gradient = "none: labels" if q["gradient_shape"] is None else _times(q["gradient_shape"])
        rows.append((q["name"], q["equation"] or q["role"], _times(q["shape"]), gradient))
    say_table(rows)
    say()
    say("Jacobians between neighbours, for one sample:")
    say()
    rows = [("Jacobian", "formula", "shape", "structure", "stored", "of")]
    for j in jacobians:
        shape = _times([*j["out_shape"], *j["in_shape"]])
        name = f"∂{j['of']}/∂{j['wrt']}"
        rows.append((name, j["formula"], shape, j["structure"], f"{j['stored']:,}", f"{j['entries']:,}"))
    say_table(rows, right=(4, 5))


def _traced(network: Any, hidden: Any, activation: Any, spec: str | None, loss: str | None) -> tuple[Any, Trace]:
    """The network, and one sample through it: shapes do not depend on the numbers."""
    if spec is not None:
        if loss is not None:
            raise click.UsageError("--loss and --data both say what the loss is: give one of them")
        case = cases.prepare(cases.Choices(spec, network, hidden, activation, None, None, None))
        return case.network, forward(case.network, case.params, *case.held_out(1), check_finite=False)
    if hidden is not None:
        raise click.UsageError("--hidden needs --data, which gives features and outputs; else --network has all sizes")
    if network is None:
        raise click.UsageError("give --network with all sizes, or a saved network, or --data with --hidden")
    if isinstance(network, str):
        from everygrad.files import load

        if loss is not None or activation is not None:
            raise click.UsageError("--loss and --activation are for a new network: a saved one has its own")
        chosen, params = load(network)
        if not isinstance(chosen, FeedForward):
            raise InputError(f"{network} holds a graph of its own: say with --data what goes into it")
    else:
        chosen = FeedForward(network, activation=activation or "tanh", loss=loss or "softmax_cross_entropy")
        params = {name: np.zeros(shape) for name, shape in chosen.shapes.items()}
    dtype = next(iter(params.values())).dtype
    labels = isinstance(chosen.loss, SoftmaxCrossEntropy)
    y = np.zeros(1, np.int64) if labels else np.zeros((1, chosen.sizes[-1]), dtype)
    weight: dict[str, Any] = {"weight": np.ones(1, dtype)} if chosen.weighted else {}
    return chosen, forward(chosen, params, np.zeros((1, chosen.sizes[0]), dtype), y, check_finite=False, **weight)


def _quantities(trace: Trace, batch: int) -> list[dict[str, Any]]:
    found = []
    for node in trace.nodes:
        if node.role == "constant":
            continue
        value = trace[node.name]
        shape = [*([batch] * min(node.lead, 1)), *map(int, value.shape[node.lead :])]
        equation = (
            None if node.operation is None else f"{node.name} = {node.operation.formula(*_operands(trace, node))}"
        )
        has_gradient = np.asarray(value).dtype.kind == "f"
        found.append(
            {
                "name": node.name,
                "role": node.role,
                "equation": equation,
                "shape": shape,
                "gradient_shape": shape if has_gradient else None,
            }
        )
    return found


def _jacobians(trace: Trace) -> list[dict[str, Any]]:
    found = []
    for node in trace.nodes:
        for slot, name in enumerate(node.inputs):
            if not trace.differentiable(node, slot):
                continue
            J = trace.local(node, slot)
            out_shape, in_shape = list(J.out_shape), list(J.in_shape)
            found.append(
                {
                    "of": node.name,
                    "wrt": name,
                    "formula": node.operation.local_formula(slot, *_operands(trace, node)) if node.operation else "",
                    "out_shape": out_shape,
                    "in_shape": in_shape,
                    "structure": type(J).__name__.lower(),
                    "stored": int(J.stored),
                    "entries": math.prod(out_shape) * math.prod(in_shape),
                }
            )
    return found


def _operands(trace: Trace, node: Any) -> list[str]:
    constants = {n.name: n.constant for n in graph_of(trace.graph)[0].nodes if n.constant is not None}
    return [f"{constants[name]:g}" if name in constants else name for name in node.inputs]


def _times(shape: list[int]) -> str:
    return " × ".join(map(str, shape)) or "number"
