"""All gateways side by side in one run.

python -m benchmarks.gateway [--only ours,nginx,envoy] [--seconds S] [--rounds N]
python -m benchmarks.gateway --soak N
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gateway import ours, payloads, peers, rounds, running, soak, table
from benchmarks.gateway.load import LoadError, write_sending
from benchmarks.gateway.peers import Launch, Place
from benchmarks.gateway.rounds import Bench, Row
from benchmarks.gateway.running import Running

ROWS = (*peers.PEERS, *ours.ROWS)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway")
    names = ", ".join(peer.name for peer in ROWS)
    parser.add_argument("--only", help=f"some of: {names}; ours: the last ones")
    parser.add_argument("--seconds", type=float, default=4.0, help="of load at c=32, a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers-dir", type=Path, default=Path("~/.cache/weighbridge-bench"))
    parser.add_argument("--out", type=Path, default=Path("build/bench-gateway"))
    parser.add_argument("--gateway-core", type=int, default=1)
    parser.add_argument("--load-core", type=int, default=0)
    parser.add_argument("--soak", type=int, metavar="N", help="N requests and held connections")
    parser.add_argument("--idle", type=int, default=10_000, help="connections held by --soak")
    parser.add_argument("--slow", type=int, default=2_000, help="slow streams held by --soak")
    return parser.parse_args()


def _chosen(only: str | None) -> list[peers.Peer]:
    if only is None:
        return list(ROWS)
    wanted = set(only.split(","))
    if "ours" in wanted:
        wanted |= {peer.name for peer in ours.ROWS}
    unknown = wanted - {peer.name for peer in ROWS} - {"ours"}
    if unknown:
        sys.exit(f"--only: unknown {', '.join(sorted(unknown))}")
    return [peer for peer in ROWS if peer.name in wanted]


def _upstreams(bench_folder: Path, core: int) -> tuple[Running, Running]:
    folder = bench_folder / "canned"
    folder.mkdir()
    canned_port, paced_port = running.free_port(), running.free_port()
    launch = peers.canned(Place(canned_port, 0, folder, folder))
    canned = running.start(launch, "canned", canned_port, core, folder / "log.txt")
    command = [sys.executable, "-m", "benchmarks.gateway.paced", str(paced_port)]
    log = folder / "paced.txt"
    paced = running.start(Launch(command, ""), "paced", paced_port, core, log)
    sending = write_sending(folder, "chat", (), payloads.request())
    try:
        for upstream in (canned, paced):
            running.wait(upstream, sending, 10)
    except running.StartError as error:
        canned.stop()
        paced.stop()
        sys.exit(f"an upstream did not start: {error}")
    return canned, paced


def _busy_frac(seconds: float = 1.0) -> list[float]:
    """How busy each core is without us."""

    def read() -> list[tuple[int, int]]:
        lines = Path("/proc/stat").read_text().splitlines()
        cores = [list(map(int, line.split()[1:9])) for line in lines if line[3:4].isdigit()]
        return [(sum(core), core[3] + core[4]) for core in cores]

    before = read()
    time.sleep(seconds)
    return [
        1 - (idle - idle_before) / max(total - total_before, 1)
        for (total, idle), (total_before, idle_before) in zip(read(), before, strict=True)
    ]


def _side_by_side(bench: Bench, chosen: list[peers.Peer], n_rounds: int, out: Path) -> None:
    busy = _busy_frac()
    rows: list[Row] = []
    sending = write_sending(bench.folder, "direct", (), payloads.request())
    try:
        for peer in chosen:
            print(f"starting {peer.label} ...", end=" ", flush=True)
            rows.append(rounds.open_row(bench, peer))
            print(rows[-1].problem or rows[-1].version, rows[-1].note, flush=True)
        for number in range(n_rounds):
            base = rounds.direct(bench, sending)
            for row in rows:
                if row.problem:
                    continue
                print(f"round {number + 1}/{n_rounds}: {row.peer.label:<40}", end="", flush=True)
                rounds.measure(bench, row, base)
                got = {name: row.figures.get(name, [0.0])[-1] for name in ("cpu_ms", "rss_mib")}
                print(f"{got['cpu_ms']:.4f} ms/request  {got['rss_mib']:.0f} MiB", flush=True)
            table.write(out, rows, table.machine(bench.seconds, number + 1, busy))
    finally:
        for row in rows:
            row.stop()
    print("\n" + (out / "table.md").read_text())


def main() -> None:
    """Start everything, measure, write, end everything."""
    args = _arguments()
    if (os.cpu_count() or 1) < 2:
        sys.exit("two cores are needed: one for the gateway, one for load and upstream")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-gateway-") as name:
        folder = Path(name)
        canned, paced = _upstreams(folder, args.load_core)
        bench = Bench(
            folder=folder,
            peers_dir=args.peers_dir.expanduser(),
            canned_port=canned.port,
            paced_port=paced.port,
            load_core=args.load_core,
            gateway_core=args.gateway_core,
            seconds=args.seconds,
        )
        try:
            if args.soak:
                soak.run(bench, args.soak, args.idle, args.slow, args.out)
            else:
                _side_by_side(bench, _chosen(args.only), args.rounds, args.out)
        except LoadError as error:
            sys.exit(f"the load failed: {error}")
        finally:
            canned.stop()
            paced.stop()


if __name__ == "__main__":
    main()
