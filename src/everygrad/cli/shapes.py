"""``everygrad shapes``: the dimensions of every quantity, of its gradient, and of the Jacobians between neighbours."""

import math
from typing import Any

import click
import numpy as np

from everygrad.backprop import Trace, forward, graph_of
from everygrad.backprop.scans import Family
from everygrad.cli import options
from everygrad.cli.prepare import prepare
from everygrad.cli.screen import say, say_json, say_table
from everygrad.data.network import CELLS
from everygrad.diagnose.unrolled import suffix
from everygrad.errors import InputError
from everygrad.graph import LOSSES
from everygrad.graph.losses import SoftmaxCrossEntropy
from everygrad.graph.time import Run
from everygrad.jacobians import Jacobian, Zero
from everygrad.networks import FeedForward
from everygrad.report.equations import equations


@click.command(
    short_help="The dimensions of every quantity and Jacobian.",
    epilog="""\b
Examples:
  everygrad shapes --network 64,32,16,10 --batch 32
  everygrad shapes --network 13,8,1 --loss squared_error --activation relu
  everygrad shapes --network digits.safetensors
  everygrad shapes --network lstm --data digits-pixels

Rows are samples, weights are (out, in), and a gradient has the shape of its quantity. A Jacobian is that of one
sample: J[out, in], or J[out, row, col] for a weight; what is stored shows how much of it is structure. Of a recurrent
layer they are those of one step, everything before it held constant.""",
)
@options.network()
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
@options.gathered("chosen", options.Choices)
def command(chosen: options.Choices, loss: str | None, batch: int, as_json: bool) -> None:
    """The shape of every quantity, of its gradient, and of every local Jacobian."""
    network, trace = _traced(chosen, loss)
    quantities, jacobians = _quantities(trace, batch), _jacobians(trace)
    if as_json:
        content = {"network": str(network), "batch": batch, "quantities": quantities, "jacobians": jacobians}
        say_json("shapes", content)
        return
    say(f"{network}; a batch of {batch} samples")
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


def _traced(chosen: options.Choices, loss: str | None) -> tuple[Any, Trace]:
    """The network, and one sample through it: shapes do not depend on the numbers."""
    if chosen.spec is not None:
        if loss is not None:
            raise click.UsageError("--loss and --data both say what the loss is: give one of them")
        case = prepare(chosen)
        one = case.held_out(1)
        return case.network, forward(case.network, case.params, one.x, one.y, check_finite=False, **one.more)
    if chosen.hidden is not None:
        raise click.UsageError("--hidden needs --data, which gives features and outputs; else --network has all sizes")
    if chosen.network is None:
        raise click.UsageError("give --network with all sizes, or a saved network, or --data with --hidden")
    if chosen.network in CELLS or chosen.recurrent_only:
        raise click.UsageError("a recurrent network needs --data, which gives steps, features and outputs")
    if isinstance(chosen.network, str):
        from everygrad.files import load

        if loss is not None or chosen.activation is not None:
            raise click.UsageError("--loss and --activation are for a new network: a saved one has its own")
        network, params = load(chosen.network)
        if not isinstance(network, FeedForward):
            raise InputError(f"{chosen.network} holds no feed-forward network: say with --data what goes into it")
    else:
        activation = chosen.activation or "tanh"
        network = FeedForward(chosen.network, activation=activation, loss=loss or "softmax_cross_entropy")
        params = {name: np.zeros(shape) for name, shape in network.shapes.items()}
    dtype = next(iter(params.values())).dtype
    labels = isinstance(network.loss, SoftmaxCrossEntropy)
    y = np.zeros(1, np.int64) if labels else np.zeros((1, network.sizes[-1]), dtype)
    weight: dict[str, Any] = {"weight": np.ones(1, dtype)} if network.weighted else {}
    return network, forward(network, params, np.zeros((1, network.sizes[0]), dtype), y, check_finite=False, **weight)


def _quantities(trace: Trace, batch: int) -> list[dict[str, Any]]:
    inside = {}
    for family in trace.plan.scans:
        inside |= dict(line.split(" = ", 1) for line in equations(family.scan.cell, suffix(family)))
    found = []
    for node in trace.nodes:
        if node.role == "constant":
            continue
        value = trace[node.name]
        shape = [*([batch] * min(node.lead, 1)), *map(int, value.shape[min(node.lead, 1) :])]
        formula = inside.get(node.name) or (node.operation and node.operation.formula(*_operands(trace, node)))
        has_gradient = np.asarray(value).dtype.kind == "f"
        found.append(
            {
                "name": node.name,
                "role": node.role,
                "equation": f"{node.name} = {formula}" if formula else None,
                "shape": shape,
                "gradient_shape": shape if has_gradient else None,
            }
        )
    return found


def _jacobians(trace: Trace) -> list[dict[str, Any]]:
    """Of each operation with respect to each input; of a scan those of one step of its cell."""
    heads = {family.head: family for family in trace.plan.scans}
    inside = {node.name for family in heads.values() for node in family.nodes}
    found = []
    for node in trace.nodes:
        if node.name in heads:
            found += _of_a_step(trace, heads[node.name])
        elif node.name not in inside:
            for slot, name in enumerate(node.inputs):
                if trace.differentiable(node, slot):
                    formula = node.operation.local_formula(slot, *_operands(trace, node)) if node.operation else ""
                    found.append(_jacobian(node.name, name, formula, trace.local(node, slot)))
    return found


def _of_a_step(trace: Trace, family: Family) -> list[dict[str, Any]]:
    """The immediate derivatives ∂⁺s_t of the states: what is before the step, the input and the parameters."""
    run, end = trace.runs[family.label], suffix(family)
    if not isinstance(run, Run):
        return []
    cell = run.cell
    wrt = [*(previous for _, previous in cell.states), cell.input, *cell.parameters]
    found = []
    for state, _ in cell.states:
        for name in wrt:
            J = run.jacobian(state, name)
            if not isinstance(J, Zero):
                shown = name if name == cell.input else name + end
                found.append(_jacobian(state + end, shown, "in one step", J))
    return found


def _jacobian(of: str, wrt: str, formula: str, J: Jacobian) -> dict[str, Any]:
    out_shape, in_shape = list(J.out_shape), list(J.in_shape)
    return {
        "of": of,
        "wrt": wrt,
        "formula": formula,
        "out_shape": out_shape,
        "in_shape": in_shape,
        "structure": type(J).__name__.lower(),
        "stored": int(J.stored) // (math.prod(J.batch) or 1),
        "entries": math.prod(out_shape) * math.prod(in_shape),
    }


def _operands(trace: Trace, node: Any) -> list[str]:
    constants = {n.name: n.constant for n in graph_of(trace.graph)[0].nodes if n.constant is not None}
    return [f"{constants[name]:g}" if name in constants else name for name in node.inputs]


def _times(shape: list[int]) -> str:
    return " × ".join(map(str, shape)) or "number"
