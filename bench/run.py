"""Times lamella against whichever of its peers are installed.

    python bench/run.py
    python bench/run.py --quick
    python bench/run.py --groups lecture images --threads 1 2 --out results
    python bench/run.py --workloads vgg --peers lamella torch --repeats 30

Prints a Markdown report and writes it with results.json and charts into a folder. The
exit status is 1 when a peer that has a workload failed it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import machine
import measure
import peers
import report
from workloads import (
    GROUPS,
    QUICK,
    TRAINING,
    WORKLOADS,
    ModelWorkload,
    OpWorkload,
    Target,
)

# Groups that are not a race of prepared workers.
EXTRA_GROUPS = ("memory_use", "startup", "scaling")
SCALED = "vgg"
TURN = 30.0  # seconds that make a turn with --lock
STARTUP: dict[str, tuple[str, tuple[Target, ...]]] = {
    "import": ("import", (Target(limit=0.15),)),
    "xor": ("import to trained XOR, whole process", (Target(limit=0.25),)),
    "first_step": (
        "first fit call of the convnet to its first step",
        (Target(limit=0.03),),
    ),
}
LESS_MEMORY = (Target("torch", round(1 / 0.7, 2)),)
SLOW_PEERS = ("torch-compile", "keras-torch")  # left out by --quick
AVX2 = {
    "LAMELLA_ISA": "x86-64-v3",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "OPENBLAS_CORETYPE": "Haswell",
}


def say(text: str) -> None:
    """Progress, which is no part of the report."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Session:
    """One run at one number of threads."""

    def __init__(self, args: argparse.Namespace, threads: int, log: IO[str]) -> None:
        self.args = args
        self.threads = threads
        self.log = log
        self.extra = AVX2 if args.avx2 else {}
        self.workers: dict[str, measure.Worker] = {}

    def worker(self, peer: str, threads: int = 0, label: str = "") -> measure.Worker:
        """A process that is not started before it is asked."""
        return measure.Worker(
            peer,
            threads or self.threads,
            self.log,
            label=label,
            extra=self.extra,
            polite=bool(self.args.lock),
        )

    def seconds(self, name: str) -> float:
        """Length of a sample."""
        share = 0.4 if self.args.quick else 1.0
        return share * (0.12 if isinstance(WORKLOADS[name], ModelWorkload) else 0.03)

    def races(self, names: list[str]) -> list[dict[str, Any]]:
        """All peers on each of these workloads."""
        results = []
        ready: list[measure.Race] = []
        for name in names:
            say(f"{name}, {self.threads} thread(s)")
            members = [
                self.workers.setdefault(peer, self.worker(peer))
                for peer in self.args.peers
                if peers.able(peer, WORKLOADS[name])
            ]
            ready.append(measure.Race(members, name, self.seconds(name)))
            # Where others wait for their turn, one of ours holds several workloads.
            spent = self.args.repeats * sum(race.seconds for race in ready)
            if self.args.lock and spent < TURN and name != names[-1]:
                continue
            with measure.turn(self.args.lock, list(self.workers.values())):
                for race in ready:
                    race.run(self.args.repeats)
            for race in ready:
                results.append(describe(WORKLOADS[race.workload]) | race.finish())
            ready.clear()
        return results

    def memory_use(self) -> list[dict[str, Any]]:
        """Peak memory of each training run, every one in a fresh process."""
        results = []
        for name in TRAINING:
            say(f"memory of {name}, {self.threads} thread(s)")
            found: dict[str, list[float]] = {}
            failed: dict[str, str] = {}
            for peer in self.args.peers:
                if peer not in ("lamella", "torch"):
                    continue
                for _ in range(1 if self.args.quick else 2):
                    worker = self.worker(peer)
                    answer = worker.ask(memory=name)
                    worker.close()
                    if "bytes" in answer:
                        found.setdefault(peer, []).append(answer["bytes"])
                    elif "error" in answer:
                        failed[peer] = answer["error"]
            text = WORKLOADS[name].text
            result = plain("memory_use", f"memory_{name}", text, "run", LESS_MEMORY)
            results.append(result | {"quantity": "bytes"} | outcome(found, failed))
        return results

    def startup(self) -> list[dict[str, Any]]:
        """Imports and first steps, every one in a fresh process, in turns."""
        results = []
        for what, (text, targets) in STARTUP.items():
            say(f"{what}, {self.threads} thread(s)")
            found: dict[str, list[float]] = {}
            failed: dict[str, str] = {}
            unable: set[str] = set()
            for _ in range(min(self.args.repeats, 2 if self.args.quick else 4)):
                with measure.turn(self.args.lock):
                    for peer in self.args.peers:
                        if peer in unable | failed.keys() or peer in SLOW_PEERS:
                            continue
                        answer = measure.startup(
                            peer, self.threads, what, self.extra, self.log
                        )
                        if "seconds" in answer:
                            found.setdefault(peer, []).append(answer["seconds"])
                        elif "error" in answer:
                            failed[peer] = answer["error"]
                        else:
                            unable.add(peer)
            result = plain("startup", what, text, "process", targets)
            results.append(result | outcome(found, failed))
        return results

    def scaling(self) -> list[dict[str, Any]]:
        """The VGG-like net with one thread and with two, in turns."""
        say(f"scaling of {SCALED}")
        workers = [
            self.worker(peer, threads, f"{peer}@{threads}")
            for peer in self.args.peers
            if peer in ("lamella", "torch")
            for threads in (1, 2)
        ]
        race = measure.Race(workers, SCALED, self.seconds(SCALED))
        with measure.turn(self.args.lock, workers):
            race.run(self.args.repeats)
        result = describe(WORKLOADS[SCALED]) | race.finish()
        for worker in workers:
            worker.close()
        return [result]

    def close(self) -> None:
        """Ends the processes."""
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()


def plain(
    group: str, name: str, text: str, unit: str, targets: tuple[Target, ...]
) -> dict[str, Any]:
    """What the report wants to know of a workload."""
    return {
        "group": group,
        "workload": name,
        "text": text,
        "unit": unit,
        "flops": 0,
        "traffic": 0,
        "level": "",
        "targets": [asdict(target) for target in targets],
    }


def describe(workload: ModelWorkload | OpWorkload) -> dict[str, Any]:
    """The same of a model or an op."""
    result = plain(
        workload.group, workload.name, workload.text, workload.unit, workload.targets
    )
    result["flops"] = workload.flops
    if isinstance(workload, OpWorkload):
        result |= {"traffic": workload.traffic, "level": workload.level}
    return result


def outcome(found: dict[str, list[float]], failed: dict[str, str]) -> dict[str, Any]:
    """As a race ends."""
    return {
        "versions": {},
        "failed": failed,
        "times": {peer: measure.summary(samples) for peer, samples in found.items()},
    }


def arguments() -> argparse.Namespace:
    """What was asked for, completed and checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    groups = (*GROUPS, *EXTRA_GROUPS)
    add("--groups", nargs="+", choices=groups, help="default: all")
    add("--workloads", nargs="+", choices=WORKLOADS, metavar="NAME")
    add("--list", action="store_true", help="names of the groups and workloads")
    add("--peers", nargs="+", choices=peers.NAMES, help="default: all installed")
    processors = os.cpu_count() or 1
    add("--threads", type=int, nargs="+", default=[min(2, processors)])
    add("--repeats", type=int, help="rounds; default 10, with --quick 5")
    add("--quick", action="store_true", help="fewer workloads, peers and rounds")
    add("--avx2", action="store_true", help="lamella and its peers without AVX-512")
    add("--out", type=Path, default=Path("bench-results"), help="folder to write to")
    add("--json", type=Path, help="all samples; default: results.json in that folder")
    add("--lock", type=Path, help="file that other benchmarks here lock as well")
    args = parser.parse_args()
    if args.list:
        for group in GROUPS:
            names = [w.name for w in WORKLOADS.values() if w.group == group]
            print(f"{group}: {' '.join(names)}")
        print(*EXTRA_GROUPS, sep="\n")
        parser.exit()
    args.repeats = args.repeats or (5 if args.quick else 10)
    if min(args.threads) < 1 or args.repeats < 1:
        parser.error("--threads and --repeats must be positive")
    for peer in args.peers or []:
        if lacking := peers.missing(peer):
            parser.error(f"{peer} needs {' and '.join(lacking)}")
    if not args.peers:
        args.peers = [peer for peer in peers.NAMES if not peers.missing(peer)]
        if args.quick:
            args.peers = [peer for peer in args.peers if peer not in SLOW_PEERS]
    if args.workloads:
        args.groups = args.groups or []
    else:
        args.groups = args.groups or list(groups)
        args.workloads = [
            name
            for name, workload in WORKLOADS.items()
            if workload.group in args.groups and (not args.quick or name in QUICK)
        ]
    return args


def run(args: argparse.Namespace, log: IO[str], keep: Callable[..., None]) -> None:
    """Everything that was asked for; `keep` is called after each part."""
    for threads in args.threads:
        session = Session(args, threads, log)
        isa = "x86-64-v3" if args.avx2 else "best"
        with measure.turn(args.lock):
            figures = machine.probe(threads, isa)
        results: list[dict[str, Any]] = []
        keep(threads=threads, probe=figures, results=results)
        for group in GROUPS:
            names = [n for n in args.workloads if WORKLOADS[n].group == group]
            results += session.races(names)
            session.close()  # a group's processes do not burden the next
            keep()
        if "memory_use" in args.groups:
            results += session.memory_use()
        if "startup" in args.groups:
            results += session.startup()
        keep()
    if "scaling" in args.groups and (os.cpu_count() or 1) > 1:
        keep(scaling=Session(args, 2, log).scaling())


def main() -> int:
    args = arguments()
    whole: dict[str, Any] = {
        "machine": machine.facts(),
        "arguments": {key: str(value) for key, value in vars(args).items()},
        "repeats": args.repeats,
        "versions": {},
        "runs": [],
    }
    if args.avx2:
        whole["machine"].setdefault("lamella", {})["isa"] = AVX2["LAMELLA_ISA"]
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.json or args.out / "results.json"

    def keep(**news: Any) -> None:
        """Writes down what is known so far."""
        if "scaling" in news:
            whole.update(news)
        elif news:
            whole["runs"].append(news)
        results = [r for part in whole["runs"] for r in part["results"]]
        results += whole.get("scaling", [])
        whole["versions"] = {k: v for r in results for k, v in r["versions"].items()}
        path.write_text(json.dumps(whole, indent=1))

    with tempfile.NamedTemporaryFile(
        "w", prefix="lamella-bench-", suffix=".log", delete=False
    ) as log:
        run(args, log, keep)
    text = report.markdown(whole)
    (args.out / "results.md").write_text(text)
    print(text)
    if importlib.util.find_spec("matplotlib"):
        import charts

        charts.draw(whole, args.out)
    else:
        say("no charts: matplotlib is not installed")
    if any(r["failed"] for part in whole["runs"] for r in part["results"]):
        say(f"some peers failed; their output is in {log.name}")
        return 1
    Path(log.name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
