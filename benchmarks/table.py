"""What was measured, as rows, as a table for people, and as the figures in the README."""

from pathlib import Path
from typing import Any

from benchmarks.timing import Timing

Row = dict[str, Any]
Results = dict[str, Any]
"""``machine``, ``rows``, ``fits`` (of how the cost grows) and ``first`` (calls)."""
MARKS = ("<!-- figures: make bench -->\n", "<!-- end of the figures -->\n")

NOT_THERE = {
    "BackPACK 1.7": "gives parameter gradients of each sample and second-order quantities. Of what lies inside a "
    "recurrence it computes ∂L/∂a_t of a one-layer tanh RNN for its own use and shows none of it.",
    "torch, `retain_grad` on the output of a fused layer": "gives the direct part alone: zeros at every step without "
    "a loss (the README's first example).",
    "captum, wandb.watch, gradglass, gradscope": "parameters' gradients, or one layer at a time, and no time.",
}
"""Who cannot do this work, and what it does instead."""

COLUMNS = {
    "the matrix products alone": "products alone",
    "torch autograd, retain_grad": "torch, `retain_grad`",
    "torch autograd, loop of cells, retain_grad": "torch, `retain_grad`",
    "torch autograd, fused layer, parameters only": "torch, fused, parameters only",
    "jax.grad, jit, all quantities": "`jax.grad`, jit, all",
    "HIPS autograd, all quantities": "HIPS autograd",
}
"""Contender -> its column in the README."""


def rows(title: str, timing: Timing, when: str, peaks: dict[str, int]) -> list[Row]:
    """One row for each contender of a case; ``peaks``: bytes of memory, where they were measured."""
    own, found = next(iter(timing.milliseconds)), []
    for name, times in timing.milliseconds.items():
        low, middle, high = timing.ratio(own, name)
        row = {"case": title, "contender": name, "ours": name == own, "measured": when, "rounds": len(times)}
        row |= {"best_ms": timing.best(name), "median_ms": timing.median(name)}
        row |= {"ours_over_this": middle, "lower_quartile": low, "upper_quartile": high}
        found.append(row | ({"peak_bytes": peaks[name]} if name in peaks else {}))
    return found


def merged(old: list[Row], new: list[Row]) -> list[Row]:
    """The old rows, those of a case that was measured again replaced, and the new cases behind them."""
    again = {r["case"] for r in new}
    cases = list(dict.fromkeys([*(r["case"] for r in old), *(r["case"] for r in new)]))
    return [r for case in cases for r in (new if case in again else old) if r["case"] == case]


def growth_lines(fits: list[Row]) -> list[str]:
    """How the cost grows: one line for each of T, B and d."""
    lines = ["| how the cost grows | sizes | best, ms | slope, measured | predicted |", "|---|---|---|--:|--:|"]
    for r in fits:
        sizes, times = ", ".join(map(str, r["sizes"])), ", ".join(f"{t:.3g}" for t in r["best_ms"])
        lines.append(f"| {r['what']}: {r['case']} | {sizes} | {times} | {r['slope']:.2f} | {r['predicted']:g} |")
    return [*lines, "", "Slopes: log time by log size, over the last three sizes.", ""]


def first_lines(first: list[Row]) -> list[str]:
    """The first calls of each network."""
    lines = ["| a network's first calls | first, ms | second | third | fourth |", "|---|--:|--:|--:|--:|"]
    lines += [f"| {r['case']} | {' | '.join(f'{t:.3g}' for t in r['median_ms'])} |" for r in first]
    return [
        *lines,
        "",
        "The first makes the plan, the second writes the pass as straight-line code, which the others run.",
    ]


def markdown(results: Results) -> str:
    """The table for people."""
    table, head = results["rows"], results["machine"]
    lines = ["# Measured with `make bench`", "", *(f"- {name}: {text}" for name, text in head.items()), ""]
    lines += [
        "Everybody's gradients are compared before anything is timed. Ratios are medians over interleaved rounds.",
        "",
    ]
    lines += ["| case | contender | best, ms | median, ms | everygrad / this, median (quartiles) | memory |"]
    lines += ["|---|---|--:|--:|--:|--:|"]
    for r in table:
        ratio = f"{number(r['ours_over_this'])} ({number(r['lower_quartile'])} to {number(r['upper_quartile'])})"
        memory = f"{r['peak_bytes'] / 2**20:,.1f} MiB" if "peak_bytes" in r else ""
        figures = f"{r['best_ms']:.3f} | {r['median_ms']:.3f} | {'' if r['ours'] else ratio} | {memory}"
        lines.append(f"| {r['case']} | {r['contender']} | {figures} |")
    lines += ["", *growth_lines(results["fits"]), *first_lines(results["first"])]
    lines += ["", "Memory: what the process grew by at most during one call, in a process of its own.", ""]
    lines += ["Not in the table, since they cannot do this work:", ""]
    lines += [f"- {name}: {text}" for name, text in NOT_THERE.items()]
    return "\n".join(lines) + "\n"


def figures(results: Results) -> str:
    """What the README shows: networks by case, then what lies inside a recurrence."""
    table, head = results["rows"], results["machine"]
    cases = list(dict.fromkeys(r["case"] for r in table))
    by_case = {case: {r["contender"]: r for r in table if r["case"] == case} for case in cases}
    networks = [case for case in cases if "the matrix products alone" in by_case[case]]
    parts = [
        "Time of everygrad divided by the rival's, float32, arguments checked, median of interleaved rounds in one",
        f"process (`make bench`, {head['cores']} cores, {head['libraries']}; [every figure](benchmarks/RESULTS.md)):",
        "",
    ]
    shown = list(dict.fromkeys(COLUMNS.values()))
    parts += ["| every gradient of | " + " | ".join(shown) + " |", "|---|" + "--:|" * len(shown)]
    for case in networks:
        found = {COLUMNS[name]: number(r["ours_over_this"]) for name, r in by_case[case].items() if name in COLUMNS}
        own = next(r for r in by_case[case].values() if r["ours"])
        parts.append(f"| {case} ({own['median_ms']:.3g} ms) | " + " | ".join(found.get(c, "") for c in shown) + " |")
    inside = [r for case in cases if case not in networks for r in by_case[case].values() if not r["ours"]]
    if inside:
        parts += ["", "| inside a recurrence | compared with | everygrad / this |", "|---|---|--:|"]
        parts += [f"| {r['case']} | {r['contender']} | {number(r['ours_over_this'])} |" for r in inside]
    return "\n".join(parts) + "\n"


def number(ratio: float) -> str:
    """Two digits."""
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.1g}"


def with_figures(readme: str, text: str) -> str:
    """The README with the figures between their marks."""
    before, rest = readme.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    return before + MARKS[0] + text + MARKS[1] + after


def write_readme(path: Path, results: Results) -> None:
    """Put the figures into the README."""
    path.write_text(with_figures(path.read_text("utf-8"), figures(results)), "utf-8")
