"""Peak memory of one call: each contender in a process of its own, so that none hides behind another's."""

import resource
import subprocess
import sys
from pathlib import Path


def peaks(title: str, contenders: list[str]) -> dict[str, int]:
    """Contender -> bytes by which its process grew at most during one call; for the cases of the tensor only."""
    if not title.startswith("the tensor"):
        return {}
    units = title.rpartition(" ")[2]
    return {name: int(_run(units, name)) for name in contenders}


def _run(units: str, contender: str) -> str:
    """The last line that this file prints when it runs for one contender."""
    command = [sys.executable, "-m", "benchmarks.peak", units, contender]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]


def _largest() -> int:
    """Bytes: the most that this program has held so far. What Linux calls maxrss begins with the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text("utf-8").splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    from benchmarks.inside import tensor

    units, contender = int(sys.argv[1]), sys.argv[2]
    tensor(8)[contender]()  # whatever is loaded or compiled at first use
    work = tensor(units)[contender]
    before = _largest()
    work()
    print(_largest() - before)
