"""Processes that take turns at a workload."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).parent
PAUSE = 0.005  # seconds between two samples


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
    polite: bool = False
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
            if self.polite:
                go_first(self.process.pid, False)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._go(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line:
            # The threads of some libraries spin for a tenth of a second and more when
            # their work is done: on the processors of whoever is measured next.
            self._go(signal.SIGSTOP)
            answer: dict[str, Any] = json.loads(line)
            return answer
        status = self.process.wait()
        self.process = None
        return {"error": f"the process ended with status {status}"}

    def close(self) -> None:
        """Ends the process: its input closes."""
        if self.process is not None:
            self._go(signal.SIGCONT)
            self.process.communicate()
            self.process = None

    def _go(self, what: signal.Signals) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(what)


def go_first(process: int, first: bool) -> None:
    """Lets a process go before all others, where root may say so, or give way.

    A real-time policy, not a nice value: Linux may weigh whole sessions against each
    other whatever their nice values, and leaves two threads of a process on one
    processor while others keep the second one busy.
    """
    policy, priority = (os.SCHED_RR, 1) if first else (os.SCHED_OTHER, 0)
    for task in Path(f"/proc/{process}/task").glob("*"):
        thread = int(task.name)
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.sched_setscheduler(thread, policy, os.sched_param(priority))
            os.setpriority(os.PRIO_PROCESS, thread, 0 if first else 10)


@contextlib.contextmanager
def turn(lock: Path | None, workers: Sequence[Worker] = ()) -> Iterator[None]:
    """Waits until no other benchmark that names the same file is measuring.

    With a file, workers prepare giving way to others, and are measured going first, as
    are the processes that are started meanwhile.
    """
    if lock is None:
        yield
        return
    import fcntl

    processes = [os.getpid(), *(w.process.pid for w in workers if w.process)]
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for process in processes:
            go_first(process, True)
        try:
            yield
        finally:
            for process in processes:
                go_first(process, False)


def summary(samples: list[float]) -> dict[str, Any]:
    """The statistics that a report shows."""
    return {
        "minimum": min(samples),
        "median": statistics.median(samples),
        "samples": samples,
    }


class Race:
    """Workers that take turns at one workload."""

    def __init__(
        self, workers: Sequence[Worker], workload: str, seconds: float
    ) -> None:
        """Has it built and checked by one worker after the other."""
        self.workload = workload
        self.versions: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.ready: list[Worker] = []
        self.seconds = 0.0  # of one round
        for worker in workers:
            answer = worker.ask(prepare=workload, seconds=seconds)
            if "versions" in answer:
                self.versions |= answer["versions"]
                self.ready.append(worker)
                self.seconds += answer["seconds"] + PAUSE
            elif "error" in answer:
                self.failed[worker.label] = answer["error"]
        self.samples: dict[str, list[float]] = {w.label: [] for w in self.ready}

    def run(self, rounds: int) -> None:
        """A sample of each in every round, nobody always first."""
        for done in range(rounds):
            for i in range(len(self.ready)):
                worker = self.ready[(done + i) % len(self.ready)]
                if worker.label in self.failed:
                    continue
                time.sleep(PAUSE)
                answer = worker.ask(sample=self.workload)
                if "seconds" in answer:
                    self.samples[worker.label].append(answer["seconds"])
                else:
                    self.failed[worker.label] = answer["error"]

    def finish(self) -> dict[str, Any]:
        """Frees what the workers built; what was measured."""
        for worker in self.ready:
            worker.ask(forget=self.workload)
        return {
            "versions": self.versions,
            "failed": self.failed,
            "times": {
                label: summary(times)
                for label, times in self.samples.items()
                if label not in self.failed
            },
        }


def startup(
    peer: str, threads: int, what: str, extra: dict[str, str], log: IO[str]
) -> dict[str, Any]:
    """What startup.py says; for "xor" the time of its whole process."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(HERE / "startup.py"), peer, str(threads), what],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment(threads) | extra,
        check=False,
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        return {"error": f"the process ended with status {done.returncode}"}
    answer: dict[str, Any] = json.loads(done.stdout)
    if what == "xor" and "seconds" in answer:
        answer["seconds"] = seconds
    return answer
