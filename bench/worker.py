"""One peer with one workload in a process of its own; run.py starts it and talks to it.

Protocol, one JSON object a line: the worker says {"versions": ...} when the workload is
built, checked and warm, or {"unsupported": text} or {"error": text}; then it answers
each line that it reads with {"seconds": time of one unit}.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from typing import Any

import numpy as np

import peers
from workloads import WORKLOADS, ModelWorkload

WARM_UP_RUNS = 3
TRAINING_RUNS = 30  # short ones, to see the loss go down


def pin(threads: int) -> None:
    """Leaves this process `threads` processors, whatever its libraries think."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:threads])


def check(workload: Any, task: peers.Task) -> None:
    """Asserts that the peer computes what the others compute, and that it learns."""
    if not isinstance(workload, ModelWorkload):
        expected = workload.reference(*workload.arrays())
        for want, got in zip(expected, task.results(), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=2e-3)
        return
    x, y = workload.data()
    before = task.results()[0]
    np.testing.assert_allclose(before, workload.reference(x), rtol=1e-3, atol=1e-4)
    if workload.action == "predict":
        return
    rows = slice(None if workload.action == "fit" else workload.batch_size)
    for _ in range(TRAINING_RUNS if workload.action == "step" else 1):
        task.run()
    after = task.results()[0]
    losses = [workload.loss_of(y[rows], p[rows]) for p in (before, after)]
    assert losses[1] < losses[0], f"the loss did not go down: {losses}"


def sample(task: peers.Task, runs: int) -> float:
    """Seconds of one run, averaged over `runs`."""
    begin = time.perf_counter()
    for _ in range(runs):
        task.run()
    return (time.perf_counter() - begin) / runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=peers.NAMES)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.1)
    args = parser.parse_args()

    # Libraries print what they like: the protocol gets a descriptor of its own.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def reply(**message: Any) -> None:
        print(json.dumps(message), file=replies, flush=True)

    pin(args.threads)
    workload = WORKLOADS[args.workload]
    try:
        peer = peers.load(args.peer, args.threads)
        task = peer.prepare(workload)
        check(workload, task)
        for _ in range(WARM_UP_RUNS):
            once = sample(task, 1)
        once = min(once, sample(task, 1))
        runs = max(1, round(args.seconds / once))
    except peers.Unsupported as reason:
        reply(unsupported=str(reason))
        return
    except Exception as error:
        traceback.print_exc()
        text = str(error).strip().splitlines() or [""]
        reply(error=f"{type(error).__name__}: {text[0]}")
        return
    reply(versions=peer.versions, runs=runs)
    for _ in sys.stdin:
        reply(seconds=sample(task, runs) / workload.units_per_run)


if __name__ == "__main__":
    main()
