"""Times lamella against whichever of its peers are installed.

    python bench/run.py
    python bench/run.py --workloads mlp_step cnn_epoch --peers lamella torch
    python bench/run.py --threads 2 --repeats 50 --json results.json

Prints a Markdown table. The exit status is 1 when a peer that has a workload failed it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import peers
import report
from workloads import WORKLOADS

HERE = Path(__file__).parent


class Worker:
    """A process with one peer and one workload."""

    def __init__(self, peer: str, workload: str, threads: int, log: IO[str]) -> None:
        self.peer = peer
        count = str(threads)
        environment = os.environ | {
            "LAMELLA_NUM_THREADS": count,
            "OMP_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
            "OPENBLAS_NUM_THREADS": count,
            "TF_NUM_INTRAOP_THREADS": count,
            "TF_NUM_INTEROP_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            "JAX_PLATFORMS": "cpu",
            # A waiting thread must not take time from the peer whose turn it is.
            "OMP_WAIT_POLICY": "passive",
        }
        self.process = subprocess.Popen(
            [sys.executable, HERE / "worker.py", peer, workload, "--threads", count],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )

    def answer(self) -> dict[str, Any]:
        """The next line from the worker."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        return {"error": f"the process ended with status {self.process.wait()}"}

    def sample(self) -> dict[str, Any]:
        """One timing."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        """Ends the process: its input closes."""
        self.process.communicate()


def measure(
    name: str, names: list[str], threads: int, repeats: int, log: IO[str]
) -> dict[str, Any]:
    """All peers on one workload: built and checked one by one, timed in turns."""
    workload = WORKLOADS[name]
    versions: dict[str, str] = {}
    left_out: dict[str, str] = {}
    ready: list[Worker] = []
    for peer in names:
        worker = Worker(peer, name, threads, log)
        answer = worker.answer()
        if "versions" in answer:
            versions |= answer["versions"]
            ready.append(worker)
            continue
        worker.close()
        if "error" in answer:
            left_out[peer] = answer["error"]
    samples: dict[str, list[float]] = {worker.peer: [] for worker in ready}
    for turn in range(repeats):
        for i in range(len(ready)):
            worker = ready[(turn + i) % len(ready)]  # nobody is always first
            if worker.peer in left_out:
                continue
            answer = worker.sample()
            if "seconds" in answer:
                samples[worker.peer].append(answer["seconds"])
            else:
                left_out[worker.peer] = answer["error"]
    for worker in ready:
        worker.close()
    return {
        "workload": name,
        "text": workload.text,
        "unit": workload.unit,
        "flops": getattr(workload, "flops", 0),
        "traffic": getattr(workload, "traffic", 0),
        "versions": versions,
        "left_out": left_out,
        "times": {
            peer: {
                "minimum": min(times),
                "median": statistics.median(times),
                "samples": times,
            }
            for peer, times in samples.items()
            if peer not in left_out
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS)
    )
    parser.add_argument("--peers", nargs="+", choices=peers.NAMES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    args = parser.parse_args()
    if args.threads < 1 or args.repeats < 1:
        parser.error("--threads and --repeats must be positive")

    for peer in args.peers or []:
        if lacking := peers.missing(peer):
            parser.error(f"{peer} needs {' and '.join(lacking)}")
    names = args.peers or [peer for peer in peers.NAMES if not peers.missing(peer)]

    results = []
    with tempfile.NamedTemporaryFile(
        "w", prefix="lamella-bench-", suffix=".log", delete=False
    ) as log:
        for name in args.workloads:
            print(f"{name} ...", file=sys.stderr, flush=True)
            results.append(measure(name, names, args.threads, args.repeats, log))
    whole = {
        "machine": report.machine(),
        "threads": args.threads,
        "repeats": args.repeats,
        "versions": {k: v for r in results for k, v in r["versions"].items()},
        "results": results,
    }
    if args.json:
        args.json.write_text(json.dumps(whole, indent=1))
    print(report.markdown(whole))
    if any(result["left_out"] for result in results):
        print(f"some peers failed; their output is in {log.name}", file=sys.stderr)
        return 1
    Path(log.name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
