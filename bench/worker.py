"""One peer in a process of its own; run.py starts it and talks to it.

Protocol, one JSON object a line. Asked {"prepare": workload, "seconds": of a sample},
the worker builds the workload, checks it, warms up and says {"versions": ...,
"seconds": that a sample takes}, {"unsupported": text} or {"error": text}. Asked
{"sample": workload}, it says {"seconds": time of one unit}; {"forget": workload} ends
it. Asked {"memory": workload} (once in the life of a process), it trains a few steps
and says {"bytes": by which the resident memory grew above the imports and the data}.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

import peers
from workloads import WORKLOADS, ModelWorkload
from workloads import reference as ref

CHECKED_ROWS = 16
LEARNING_SECONDS = 20.0  # at most, until the loss goes down
MEMORY_STEPS = 5


def pin(threads: int) -> None:
    """Leaves this process `threads` processors, whatever its libraries think."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:threads])


def check(workload: Any, peer: peers.Peer, task: Any) -> None:
    """Asserts that the peer computes what the others compute, and that it learns."""
    if not isinstance(workload, ModelWorkload):
        if (
            workload.reference is None
        ):  # the peer's results are random: it checks itself
            task.results(0)
            return
        expected = workload.reference(*workload.arrays())
        for want, got in zip(expected, task.results(0), strict=True):
            scale = float(np.sqrt(np.mean(np.square(want)))) or 1.0
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3 * scale)
        return
    x, _ = workload.data()
    rows = min(CHECKED_ROWS, len(x))
    want = ref.predictions(workload, x[:rows], symmetric=peer.symmetric_padding)
    np.testing.assert_allclose(task.results(rows)[0], want, rtol=1e-3, atol=1e-4)
    if workload.action.startswith("predict"):
        return
    first = task.loss()
    stop = time.monotonic() + LEARNING_SECONDS
    while not (loss := task.loss()) < first:
        assert time.monotonic() < stop, f"the loss did not go down: {first} to {loss}"


def sample(task: Any, count: int) -> tuple[float, int]:
    """Seconds that `count` units or more took, and how many they were."""
    begin = time.perf_counter()
    done = task.run(count)
    return time.perf_counter() - begin, done


def calibrate(task: Any, seconds: float) -> int:
    """How many units fill a sample; warms up on the way."""
    sample(task, 1)
    count = 1
    while True:
        took, done = sample(task, count)
        if took >= 0.6 * seconds:
            return max(1, round(done * min(1.0, seconds / took)))
        count = max(done, round(min(10 * done, 1.1 * done * seconds / took)) + 1)


def resident(peak: bool) -> int:
    """Bytes of this process in memory, now or at most since forget_peak()."""
    key = "VmHWM:" if peak else "VmRSS:"
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {key} in /proc/self/status")


def memory(peer: peers.Peer, workload: ModelWorkload) -> int:
    """By how many bytes building and training the model raises the resident memory."""
    workload.data()
    gc.collect()
    before = resident(peak=False)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    task = peer.prepare(workload)
    task.run(MEMORY_STEPS)
    return resident(peak=True) - before


class Worker:
    """What is asked, answered."""

    def __init__(self, name: str, threads: int) -> None:
        self.peer = peers.load(name, threads)
        self.tasks: dict[str, tuple[Any, int]] = {}

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """The reply."""
        if "sample" in question:
            seconds, done = sample(*self.tasks[question["sample"]])
            return {"seconds": seconds / done}
        if "memory" in question:
            return {"bytes": memory(self.peer, WORKLOADS[question["memory"]])}
        if "forget" in question:
            self.tasks.pop(question["forget"], None)
            gc.collect()
            return {}
        workload = WORKLOADS[question["prepare"]]
        task = self.peer.prepare(workload)
        check(workload, self.peer, task)
        count = calibrate(task, question["seconds"])
        self.tasks[workload.name] = task, count
        return {"versions": self.peer.versions, "seconds": sample(task, count)[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=peers.NAMES)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    # Libraries print what they like: the protocol gets a descriptor of its own.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    pin(args.threads)
    worker: Worker | None = None
    for line in sys.stdin:
        try:
            worker = worker or Worker(args.peer, args.threads)
            reply = worker.answer(json.loads(line))
        except peers.Unsupported as reason:
            reply = {"unsupported": str(reason)}
        except Exception as error:
            traceback.print_exc()
            text = str(error).strip().splitlines() or [""]
            reply = {"error": f"{type(error).__name__}: {text[0]}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
