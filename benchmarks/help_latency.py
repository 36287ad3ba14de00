"""How long `--help` takes: median, fastest and slowest of N runs of every executable. Budget: a median under 150 ms.

python benchmarks/help_latency.py [N]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from ifrkit.cli.main import COMMANDS

BUDGET_MS = 150


def milliseconds(command: list[str]) -> float:
    """Wall-clock time of one run."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return 1000 * (time.perf_counter() - begin)


def main(runs: int) -> int:
    """Print one line for each command; 1 if a median is over the budget."""
    worst = 0.0
    bare = statistics.median(milliseconds([sys.executable, "-c", "pass"]) for _ in range(runs))
    print(f"{'python -c pass':24} {bare:6.0f} ms")
    for arguments in ([], *([name] for name in COMMANDS)):
        times = [milliseconds([sys.executable, "-m", "ifrkit", *arguments, "--help"]) for _ in range(runs)]
        worst = max(worst, statistics.median(times))
        name = " ".join(["ifrkit", *arguments])
        print(f"{name:24} {statistics.median(times):6.0f} ms   ({min(times):.0f} to {max(times):.0f})")
    return int(worst > BUDGET_MS)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
