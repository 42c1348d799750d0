"""How long `weighbridge --help` takes, beside an empty Python, in one run.

python benchmarks/bench_help.py [ROUNDS]
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time


def _once(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one run of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_s, cpu_s


def main(rounds: int) -> None:
    """Alternate the two commands, so that a busy machine slows both alike."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "weighbridge --help": [sys.executable, "-m", "weighbridge", "--help"],
    }
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(_once(command))
    print(f"{'command':<22}{'wall ms':>10}{'CPU ms':>10}   (medians of {rounds})")
    medians = {}
    for name, pairs in runs.items():
        wall_s, cpu_s = (statistics.median(column) for column in zip(*pairs, strict=True))
        medians[name] = (wall_s, cpu_s)
        print(f"{name:<22}{wall_s * 1e3:>10.0f}{cpu_s * 1e3:>10.0f}")
    base, ours = medians["python -c pass"], medians["weighbridge --help"]
    print(f"ratio: wall {ours[0] / base[0]:.1f}x, CPU {ours[1] / base[1]:.1f}x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
