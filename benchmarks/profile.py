"""Where the time of a pass goes: loops and compiled parts, matrix products, other lines, and what is around them."""

import ast
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

import everygrad as eg
from everygrad.backprop.bind import bind
from everygrad.backprop.plan import plan
from everygrad.engines.compiled.threads import running
from everygrad.engines.pool import using

PARTS = ("loops and compiled parts", "matrix products", "other lines", "arguments, checks, record")
"""What the milliseconds are divided into."""
ROUNDS = 15


class _Products(ast.NodeTransformer):
    """``a @ b`` -> a call, which can be timed."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.MatMult):
            return node
        return ast.Call(ast.Name("timed_product", ast.Load()), [node.left, node.right], [])


def profile(net: Any, params: dict[str, np.ndarray], arrays: tuple[np.ndarray, ...], engine: Any) -> dict[str, float]:
    """Median milliseconds of each of `PARTS` over `ROUNDS` passes. They add up to the pass."""
    for _ in range(3):
        eg.gradients(net, params, *arrays, engine=engine)
    todo = plan(net.graph)
    code = next(code for key, code in todo.codes.items() if key[0] == engine)
    spent: dict[str, float] = defaultdict(float)

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timer(*operands: Any, **options: Any) -> Any:
            start = time.perf_counter()
            found = function(*operands, **options)
            spent[part] += time.perf_counter() - start
            return found

        return timer

    names = dict(code.function.__globals__)
    own = _Products().visit(ast.parse(code.text))
    lines = next(item for item in own.body if isinstance(item, ast.FunctionDef) and item.name == "gradients")
    names["timed_product"] = timed(PARTS[1], np.matmul)
    names["matmul"] = timed(PARTS[1], names.get("matmul", np.matmul))
    for name in list(names):
        if name.startswith(("forward_", "backward_", "rows_")):
            names[name] = timed(PARTS[0], names[name])
    exec(compile(ast.fix_missing_locations(ast.Module([lines], [])), "<profile>", "exec"), names)
    values, _ = bind(net.graph, todo, params, arrays, {}, net.shapes)
    given = [values[name] for name in code.given]
    found: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(ROUNDS):
        start = time.perf_counter()
        eg.gradients(net, params, *arrays, engine=engine)
        whole = time.perf_counter() - start
        spent.clear()
        with np.errstate(all="ignore"), using(todo.pool), running(engine if code.machine else "numpy"):
            start = time.perf_counter()
            names["gradients"](*given)
            inside = time.perf_counter() - start
        each = [spent[PARTS[0]], spent[PARTS[1]], inside - spent[PARTS[0]] - spent[PARTS[1]], max(whole - inside, 0.0)]
        for part, seconds in zip(PARTS, each, strict=True):
            found[part].append(seconds * 1e3)
    return {part: statistics.median(times) for part, times in found.items()}
