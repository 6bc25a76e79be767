"""What was measured, as rows, as a table for people, and as the figures in the README."""

from pathlib import Path
from typing import Any

from benchmarks.aims import TRIED, floor, judged
from benchmarks.profile import PARTS
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

ENGINES = {
    "everygrad, all quantities": "NumPy",
    "everygrad, compiled, all quantities": "compiled",
    "everygrad on JAX, eg.compiled, all quantities": "JAX",
    "everygrad on torch tensors, all quantities": "torch",
}
"""Our engines as the README calls them."""

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
    """One row for each contender of a case; ``peaks``: bytes of memory, where they were measured.

    ``best``: which of our engines is the quickest, by the median; ``best_over_this``: its time over this contender's,
    round by round.
    """
    own, found = next(iter(timing.milliseconds)), []
    best = min((name for name in timing.milliseconds if is_ours(name)), key=timing.median, default=own)
    for name, times in timing.milliseconds.items():
        low, middle, high = timing.ratio(own, name)
        row = {"case": title, "contender": name, "ours": is_ours(name), "measured": when, "rounds": len(times)}
        row |= {"best_ms": timing.best(name), "median_ms": timing.median(name)}
        row |= {"ours_over_this": middle, "lower_quartile": low, "upper_quartile": high}
        row |= {"best": best, "best_over_this": timing.ratio(best, name)}
        found.append(row | ({"peak_bytes": peaks[name]} if name in peaks else {}))
    return found


def is_ours(contender: str) -> bool:
    """Whether it is an engine of everygrad's."""
    return contender.startswith(("everygrad", "eg."))


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


def aim_lines(results: Results) -> list[str]:
    """Each aim, whether it was reached, and where the time goes in the cases where one was not."""
    lines = ["| case | compared with | aim | measured | | the products alone of theirs |", "|---|---|--:|--:|---|--:|"]
    missed: dict[str, None] = {}
    for row, aim, found in judged(results["rows"]):
        least = floor(results["rows"], row)
        met = found <= aim.limit
        missed |= {} if met else {row["case"]: None}
        lines.append(
            f"| {row['case']} | {row['contender']} | {number(aim.limit)} | {number(found)} | "
            f"{'met' if met else '**missed**'} | {'' if least is None else number(least)} |"
        )
    lines += ["", "The last column: no engine that makes the products one by one, as NumPy does, comes below it.", ""]
    shown = [case for case in missed if case in results["profiles"]]
    if shown:
        lines += ["Where the time goes, where an aim was missed (milliseconds):", ""]
        lines += [f"| case | engine | {' | '.join(PARTS)} |", "|---|---|" + "--:|" * len(PARTS)]
    for case in shown:
        found = results["profiles"][case]
        parts = " | ".join(f"{found['milliseconds'][part]:.3g}" for part in PARTS)
        lines.append(f"| {case} | {found['engine']} | {parts} |")
    return [*lines, "", *(f"- {text}" for text in TRIED), ""]


def markdown(results: Results) -> str:
    """The table for people."""
    table, head = results["rows"], results["machine"]
    lines = ["# Measured with `make bench`", "", *(f"- {name}: {text}" for name, text in head.items()), ""]
    lines += [
        "Everybody's gradients are compared before anything is timed. Ratios are medians over interleaved rounds.",
        "",
    ]
    lines += ["| case | contender | best, ms | median, ms | NumPy engine / this | best engine / this | memory |"]
    lines += ["|---|---|--:|--:|--:|--:|--:|"]
    for r in table:
        memory = f"{r['peak_bytes'] / 2**20:,.1f} MiB" if "peak_bytes" in r else ""
        first = spread(r["lower_quartile"], r["ours_over_this"], r["upper_quartile"])
        ratios = " | " if r["ours"] else f"{first} | {spread(*r['best_over_this'])}"
        lines.append(
            f"| {r['case']} | {r['contender']} | {r['best_ms']:.3f} | {r['median_ms']:.3f} | {ratios} | {memory} |"
        )
    lines += [
        "",
        "Ratios: median (quartiles). Inside a recurrence the first contender of a case stands for the NumPy engine.",
    ]
    lines += ["", *aim_lines(results), *growth_lines(results["fits"]), *first_lines(results["first"])]
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
    parts += [
        "| every gradient of | our quickest engine | " + " | ".join(shown) + " |",
        "|---|---|" + "--:|" * len(shown),
    ]
    for case in networks:
        here = by_case[case]
        best = here[next(iter(here.values()))["best"]]
        engine = f"{ENGINES.get(best['contender'], best['contender'])}, {best['median_ms']:.3g} ms"
        found = {COLUMNS[name]: number(r["best_over_this"][1]) for name, r in here.items() if name in COLUMNS}
        parts.append(f"| {case} | {engine} | " + " | ".join(found.get(c, "") for c in shown) + " |")
    inside = [r for case in cases if case not in networks for r in by_case[case].values() if not r["ours"]]
    if inside:
        parts += ["", "| inside a recurrence | compared with | everygrad / this |", "|---|---|--:|"]
        parts += [f"| {r['case']} | {r['contender']} | {number(r['best_over_this'][1])} |" for r in inside]
    return "\n".join(parts) + "\n"


def spread(low: float, middle: float, high: float) -> str:
    """A median with its quartiles."""
    return f"{number(middle)} ({number(low)} to {number(high)})"


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
