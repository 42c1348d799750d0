"""Recognising templates: agreement with the truth, and prompts a second, on one core.

    python benchmarks/bench_recognition.py [--prompts 20000] [--mix everyday] [--rounds 3]

On each labelled mix of `recognition_mixes.py`: hashing every prompt and grouping what was kept, as
importers and `weighbridge types` do. Beside it, in the same run, on the same prompts: the
fingerprint of the system prompt or the beginning alone, and Drain (`drain3`, where it is
installed), the usual way of finding templates of log lines, with its own defaults but for the
longer lines of prompts. Agreement is the adjusted Rand index (Hubert and Arabie, 1985) over all
prompts; one without a group counts as a group of its own.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from recognition_mixes import MIXES, Prompt

from weighbridge.ledger.fingerprint import Fingerprinter
from weighbridge.usage.recognising.grouping import UNASSIGNED, group
from weighbridge.usage.recognising.importing import PromptHasher

KEY = bytes(range(32))


def adjusted_rand(first: Sequence[object], second: Sequence[object]) -> float:
    """Agreement of two partitions [1]; 1 is the same, 0 what chance gives."""
    _, a = np.unique(np.array([str(one) for one in first]), return_inverse=True)
    _, b = np.unique(np.array([str(one) for one in second]), return_inverse=True)
    cells = np.unique(a.astype(np.int64) * (int(b.max()) + 1) + b, return_counts=True)[1]

    def pairs(counts: np.ndarray) -> float:
        return float((counts.astype(float) * (counts - 1) / 2).sum())

    both, rows, columns = pairs(cells), pairs(np.bincount(a)), pairs(np.bincount(b))
    expected = rows * columns / (len(a) * (len(a) - 1) / 2)
    most = (rows + columns) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def ours(prompts: Sequence[Prompt]) -> list[object]:
    """Names hashed one by one, grouped at the end."""
    hasher = PromptHasher(KEY)
    names, sketches = [], {}
    for one in prompts:
        hashed = hasher.hash(one.system, one.user)
        names.append(hashed.template or "")
        for sketch in hashed.sketches:
            sketches[sketch.fingerprint] = sketch.segments
    found = group(Counter(names), sketches)
    numbers = [found.number(name) for name in names]
    return [f"alone {at}" if one == UNASSIGNED else one for at, one in enumerate(numbers)]


def fingerprint(prompts: Sequence[Prompt]) -> list[object]:
    """The fingerprint alone: of the system prompt, or of how the user begins."""
    known = Fingerprinter(KEY)
    return [known.template(one.system, one.user) for one in prompts]


def drain(prompts: Sequence[Prompt]) -> list[object]:
    """Drain on system and user text in one line, words beyond the first 400 left away."""
    from drain3 import TemplateMiner  # noqa: PLC0415
    from drain3.template_miner_config import TemplateMinerConfig  # noqa: PLC0415

    config = TemplateMinerConfig()
    config.profiling_enabled = False
    miner = TemplateMiner(config=config)
    found: list[object] = []
    for one in prompts:
        words = f"{one.system} {one.user}".split()[:400]
        found.append(miner.add_log_message(" ".join(words))["cluster_id"])
    return found


def drain_head(prompts: Sequence[Prompt]) -> list[object]:
    """Drain on the first twelve words of the system prompt and of the user's text."""
    from drain3 import TemplateMiner  # noqa: PLC0415

    miner = TemplateMiner()
    found: list[object] = []
    for one in prompts:
        words = [*one.system.split()[:12], *one.user.split()[:12]]
        found.append(miner.add_log_message(" ".join(words))["cluster_id"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=20_000)
    parser.add_argument("--mix", choices=sorted(MIXES), action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, help="of the prompts, instead of each mix's own")
    options = parser.parse_args()
    ways: dict[str, Callable[[Sequence[Prompt]], list[object]]] = {
        "ours": ours,
        "fingerprint alone": fingerprint,
    }
    try:
        import drain3  # noqa: F401, PLC0415

        ways |= {"drain3": drain, "drain3, 12+12 words": drain_head}
    except ImportError:
        print("drain3 is not installed: pip install drain3")
    for name in options.mix or MIXES:
        seeded = {} if options.seed is None else {"seed": options.seed}
        prompts = MIXES[name](options.prompts, **seeded)
        truth = [one.label for one in prompts]
        print(f"{name}: {len(prompts):,} prompts of {len(set(truth))} templates")
        for way, run in ways.items():
            times, found = [], []
            for _ in range(options.rounds if way == "ours" else 1):
                begun = time.process_time()
                found = run(prompts)
                times.append(time.process_time() - begun)
            print(
                f"  {way:20} ARI {adjusted_rand(truth, found):6.3f}  "
                f"{len(prompts) / float(np.median(times)):9,.0f} prompts/s  "
                f"{len(set(found)):6,} groups"
            )


if __name__ == "__main__":
    main()
