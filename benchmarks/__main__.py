"""``make bench``: all gradients of networks against the matrix products alone and against rivals, in one process.

``--quick`` takes less than two minutes and writes to the screen only. Otherwise ``benchmarks/results.json``,
``benchmarks/RESULTS.md`` and the README's figures are written anew after each case, so nothing is lost when it is
stopped; a case that is not measured this time keeps its row.
"""

import argparse
import datetime as dt
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import feedforward, inside, recurrent
from benchmarks.engines import ours
from benchmarks.first import first_calls
from benchmarks.growth import fits
from benchmarks.machine import machine
from benchmarks.peak import peaks
from benchmarks.profile import profile
from benchmarks.table import figures, markdown, merged, rows, write_readme
from benchmarks.timing import Work, interleaved
from everygrad.checks.tolerance import SINGLE, assert_close

HERE = Path(__file__).parent
OURS = "everygrad, all quantities"
Problem = feedforward.Problem | recurrent.Problem
GROUPS = ("feedforward", "recurrent", "inside", "growth")


def cases(only: str, quick: bool) -> Iterator[tuple[str, dict[str, Work], Problem | None]]:
    """(title, contenders, the network), ours first; every contender's gradients have been compared with ours."""
    if "feedforward" in only:
        for case in feedforward.CASES:
            numbers = feedforward.problem(case)
            made = {name: make(numbers) for name, make in feedforward.RIVALS.items()}
            yield case.title, _compared({OURS: ours(numbers)} | made), numbers
    if "recurrent" in only:
        for cell in recurrent.GATES:
            for size in recurrent.SIZES[: 1 if quick else None]:
                problem = recurrent.problem(cell, size)
                made = {name: make(problem) for name, make in recurrent.RIVALS.items()}
                yield problem.title, _compared({OURS: ours(problem)} | made), problem
    if "inside" in only:
        for title, contenders in inside.groups(quick):
            yield title, contenders, None


def _compared(contenders: dict[str, Work]) -> dict[str, Work]:
    """The contenders, after checking that they compute the same gradients."""
    reference = contenders[OURS]()
    for name, work in contenders.items():
        for quantity, value in (work() or {}).items():
            assert_close(value, reference[quantity], SINGLE, f"{name}: {quantity}")
    return contenders


def main() -> None:
    """Measure every case, print the table, write the files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than two minutes in all, nothing written")
    parser.add_argument("--seconds", type=float, help="per case (default 20, quick 2)")
    parser.add_argument("--only", default=",".join(GROUPS), help="groups: " + ", ".join(GROUPS))
    arguments = parser.parse_args()
    if unknown := set(arguments.only.split(",")) - set(GROUPS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is no group; known: {', '.join(GROUPS)}")
    seconds = arguments.seconds or (2.0 if arguments.quick else 20.0)
    stored = HERE / "results.json"
    old = json.loads(stored.read_text("utf-8")) if stored.exists() and not arguments.quick else {}
    results = {
        "machine": machine(),
        "rows": old.get("rows", []),
        "profiles": old.get("profiles", {}),
        "fits": old.get("fits", []),
        "first": old.get("first", []),
    }
    when = dt.datetime.now(dt.UTC).date().isoformat()

    def write() -> None:
        results["machine"] = machine()  # now that the libraries are loaded
        if not arguments.quick:
            stored.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
            (HERE / "RESULTS.md").write_text(markdown(results), "utf-8")
            write_readme(HERE.parent / "README.md", results)

    for title, contenders, problem in cases(arguments.only, arguments.quick):
        print(f"{title} ...", file=sys.stderr, flush=True)
        timing = interleaved(contenders, seconds, rounds=2 if arguments.quick else 7)
        measured = {} if arguments.quick else peaks(title, list(contenders))
        found = rows(title, timing, when, measured)
        results["rows"] = merged(results["rows"], found)
        if problem is not None and not arguments.quick:
            engine = "compiled" if "compiled" in found[0]["best"].split(", ") else "numpy"
            parts = profile(problem.net, problem.params, (problem.x, problem.y), engine)
            results["profiles"][title] = {"engine": engine, "milliseconds": parts}
        write()
    if "growth" in arguments.only:
        print("growth ...", file=sys.stderr, flush=True)
        results |= {"fits": fits(seconds), "first": first_calls()}
        write()
    print(figures(results) if arguments.quick else markdown(results))


if __name__ == "__main__":
    main()
