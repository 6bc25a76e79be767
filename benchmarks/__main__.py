"""``make bench``: all gradients of networks against the matrix products alone and against rivals, in one process.

``--quick`` takes about two minutes. Writes ``benchmarks/results.json`` and ``benchmarks/RESULTS.md``.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import feedforward, inside, recurrent
from benchmarks.machine import machine
from benchmarks.timing import Timing, Work, interleaved
from everygrad.checks.tolerance import SINGLE, assert_close

HERE = Path(__file__).parent
OURS = "everygrad, all quantities"


def cases(only: str, quick: bool) -> Iterator[tuple[str, dict[str, Work]]]:
    """(title, contenders), ours first; every contender's gradients have been compared with ours."""
    if "feedforward" in only:
        for case in feedforward.CASES:
            numbers = feedforward.problem(case)
            made = {name: make(numbers) for name, make in feedforward.RIVALS.items()}
            yield case.title, _compared({OURS: feedforward.ours(numbers)} | made)
    if "recurrent" in only:
        for cell in recurrent.GATES:
            for size in recurrent.SIZES:
                problem = recurrent.problem(cell, size)
                made = {name: make(problem) for name, make in recurrent.RIVALS.items()}
                yield problem.title, _compared({OURS: recurrent.ours(problem)} | made)
    if "inside" in only:
        yield from inside.groups(quick)


def _compared(contenders: dict[str, Work]) -> dict[str, Work]:
    """The contenders, after checking that they compute the same gradients."""
    reference = contenders[OURS]()
    for name, work in contenders.items():
        for quantity, value in (work() or {}).items():
            assert_close(value, reference[quantity], SINGLE, f"{name}: {quantity}")
    return contenders


def rows(timings: dict[str, Timing]) -> list[dict[str, object]]:
    """One row for each case and contender."""
    table = []
    for title, timing in timings.items():
        own = next(iter(timing.milliseconds))
        for name in timing.milliseconds:
            low, middle, high = timing.ratio(own, name)
            figures = {"best_ms": timing.best(name), "median_ms": timing.median(name)}
            figures |= {"ours_over_this": middle, "lower_quartile": low, "upper_quartile": high}
            row = {"case": title, "contender": name, "ours": name == own}
            table.append({**row, "rounds": len(timing.milliseconds[name]), **figures})
    return table


def markdown(table: list[dict[str, object]], head: dict[str, str]) -> str:
    """The table for people."""
    lines = [f"- {name}: {text}" for name, text in head.items()]
    lines += [
        "",
        "| case | contender | best, ms | median, ms | everygrad / this, median (quartiles) |",
        "|---|---|--:|--:|--:|",
    ]
    for r in table:
        ratio = f"{r['ours_over_this']:.2g} ({r['lower_quartile']:.2g} to {r['upper_quartile']:.2g})"
        figures = f"{r['best_ms']:.3f} | {r['median_ms']:.3f} | {'' if r['ours'] else ratio}"
        lines.append(f"| {r['case']} | {r['contender']} | {figures} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every case, print the table, write the files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about two minutes in all")
    parser.add_argument("--seconds", type=float, help="per case (default 20, quick 4)")
    parser.add_argument("--only", default="feedforward,recurrent,inside", help="groups: feedforward, recurrent, inside")
    arguments = parser.parse_args()
    seconds = arguments.seconds or (4.0 if arguments.quick else 20.0)
    timings = {}
    for title, contenders in cases(arguments.only, arguments.quick):
        print(f"{title} ...", file=sys.stderr, flush=True)
        timings[title] = interleaved(contenders, seconds)
    table, head = rows(timings), machine()
    text = markdown(table, head)
    print(text)
    (HERE / "results.json").write_text(json.dumps({"machine": head, "rows": table}, indent=1) + "\n", "utf-8")
    (HERE / "RESULTS.md").write_text(f"# Measured with `make bench`\n\n{text}", "utf-8")


if __name__ == "__main__":
    main()
