"""Processes that take turns at a workload."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).parent


def environment(threads: int) -> dict[str, str]:
    """What tells every library its number of threads."""
    count = str(threads)
    return os.environ | {
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


@dataclass
class Worker:
    """A process with one peer, started when it is first asked and again after it died.

    `python` and `extra` choose another interpreter and environment (compare.py).
    """

    peer: str
    threads: int
    log: IO[str]
    label: str = ""
    python: str = sys.executable
    extra: dict[str, str] = field(default_factory=dict)
    nice: int = 0
    process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.label = self.label or self.peer

    def ask(self, **question: Any) -> dict[str, Any]:
        """The worker's answer, or {"error": ...} when it died."""
        if self.process is None:
            self.process = subprocess.Popen(
                [
                    self.python,
                    str(HERE / "worker.py"),
                    self.peer,
                    "--threads",
                    str(self.threads),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                text=True,
                env=environment(self.threads) | self.extra,
            )
            self.set_nice(self.nice)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        status = self.process.wait()
        self.process = None
        return {"error": f"the process ended with status {status}"}

    def set_nice(self, nice: int) -> None:
        """Gives way to others, or no longer (which only root may)."""
        if self.process is not None:
            for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, int(thread.name), nice)

    def close(self) -> None:
        """Ends the process: its input closes."""
        if self.process is not None:
            self.process.communicate()
            self.process = None


@contextlib.contextmanager
def turn(lock: Path | None, workers: Sequence[Worker] = ()) -> Iterator[None]:
    """Waits until no other benchmark that names the same file is measuring.

    With a file, the workers prepare at the lowest priority: others may be measuring.
    """
    if lock is None:
        yield
        return
    import fcntl

    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for worker in workers:
            worker.set_nice(0)
        yield
        for worker in workers:
            worker.set_nice(19)


def summary(samples: list[float]) -> dict[str, Any]:
    """The statistics that a report shows."""
    return {
        "minimum": min(samples),
        "median": statistics.median(samples),
        "samples": samples,
    }


def interleave(
    workers: Sequence[Worker],
    workload: str,
    rounds: int,
    seconds: float,
    lock: Path | None = None,
) -> dict[str, Any]:
    """All workers on one workload: built and checked one by one, timed in turns."""
    versions: dict[str, str] = {}
    failed: dict[str, str] = {}
    ready: list[Worker] = []
    for worker in workers:
        answer = worker.ask(prepare=workload, seconds=seconds)
        if "versions" in answer:
            versions |= answer["versions"]
            ready.append(worker)
        elif "error" in answer:
            failed[worker.label] = answer["error"]
    samples: dict[str, list[float]] = {worker.label: [] for worker in ready}
    with turn(lock, ready):
        for done in range(rounds):
            for i in range(len(ready)):
                worker = ready[(done + i) % len(ready)]  # nobody is always first
                if worker.label in failed:
                    continue
                answer = worker.ask(sample=True)
                if "seconds" in answer:
                    samples[worker.label].append(answer["seconds"])
                else:
                    failed[worker.label] = answer["error"]
    return {
        "versions": versions,
        "failed": failed,
        "times": {
            label: summary(times)
            for label, times in samples.items()
            if label not in failed
        },
    }
