"""``make bench``: all gradients of four networks against the matrix products alone and four rivals.

``--quick`` takes about a minute. Writes ``benchmarks/results.json`` and ``benchmarks/RESULTS.md``.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.cases import CASES, Case, problem
from benchmarks.machine import machine
from benchmarks.rivals import RIVALS, ours
from benchmarks.timing import Timing, interleaved
from everygrad.checks.tolerance import SINGLE, assert_close

HERE = Path(__file__).parent
OURS = "everygrad, all quantities"


def measure(case: Case, seconds: float) -> Timing:
    """Time one case, after checking that every contender computes the same gradients."""
    numbers = problem(case)
    contenders = {OURS: ours(numbers)} | {name: make(numbers) for name, make in RIVALS.items()}
    reference = contenders[OURS]()
    for name, work in contenders.items():
        result = work()
        for quantity, value in (result or {}).items():
            assert_close(value, reference[quantity], SINGLE, f"{name}: {quantity}")
    return interleaved(contenders, seconds)


def rows(timings: dict[str, Timing]) -> list[dict[str, object]]:
    """One row for each case and contender."""
    table = []
    for title, timing in timings.items():
        for name in timing.milliseconds:
            low, middle, high = timing.ratio(OURS, name)
            figures = {"best_ms": timing.best(name), "median_ms": timing.median(name)}
            figures |= {"ours_over_this": middle, "lower_quartile": low, "upper_quartile": high}
            table.append({"case": title, "contender": name, "rounds": len(timing.milliseconds[name]), **figures})
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
        ratio = f"{r['ours_over_this']:.2f} ({r['lower_quartile']:.2f} to {r['upper_quartile']:.2f})"
        own = r["contender"] == OURS
        lines.append(
            f"| {r['case']} | {r['contender']} | {r['best_ms']:.3f} | {r['median_ms']:.3f} | {'' if own else ratio} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every case, print the table, write the files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute in all")
    parser.add_argument("--seconds", type=float, default=40.0, help="per case (default 40, quick 8)")
    arguments = parser.parse_args()
    seconds = 8.0 if arguments.quick else arguments.seconds
    timings = {}
    for case in CASES:
        print(f"{case.title} ...", file=sys.stderr, flush=True)
        timings[case.title] = measure(case, seconds)
    table, head = rows(timings), machine()
    text = markdown(table, head)
    print(text)
    (HERE / "results.json").write_text(json.dumps({"machine": head, "rows": table}, indent=1) + "\n", "utf-8")
    (HERE / "RESULTS.md").write_text(f"# Measured with `make bench`\n\n{text}", "utf-8")


if __name__ == "__main__":
    main()
