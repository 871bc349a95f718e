"""Is lamella slower at one commit than at another? Both run interleaved.

    python bench/compare.py main HEAD
    python bench/compare.py v0.1.0 HEAD --workloads convnet matmul_512 --threads 2

Each commit is built by pip in a worktree of its own (once: builds are kept), and each
workload is run by several pairs of processes that take turns. Printed is the median of
the paired ratios new / old with a 95 % interval, bootstrapped over processes and
rounds. The exit status is 1 when a workload is slower beyond noise: when the whole
interval lies above 1 + threshold and a sign test would give so uneven a split of the
pairs less often than once in a hundred times.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import measure
from workloads import QUICK, WORKLOADS

HERE = Path(__file__).parent
RESAMPLES = 2000
CHANCE = 0.01


def git(*words: str) -> str:
    """What git says."""
    done = subprocess.run(
        ["git", *words], cwd=HERE, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def build(commit: str, cache: Path, pip_options: list[str]) -> Path:
    """The folder with lamella as of `commit`, installed there now or before."""
    site = cache / git("rev-parse", f"{commit}^{{commit}}")
    if site.exists():
        return site
    print(f"building {commit} ...", file=sys.stderr, flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        tree, fresh = Path(folder) / "tree", Path(folder) / "site"
        git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            subprocess.run(
                [*install, *pip_options, "--target", fresh, tree],
                check=True,
                env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            )
        finally:
            git("worktree", "remove", "--force", str(tree))
        shutil.move(fresh, site)
    return site


Pairs = list[list[float]]  # logarithms of new / old: for each pair of processes, rounds


def interval(pairs: Pairs) -> tuple[float, float]:
    """Bounds of 95 % of the medians when processes and rounds are drawn again."""
    rng = random.Random(1)
    medians = []
    for _ in range(RESAMPLES):
        drawn: list[float] = []
        for rounds in rng.choices(pairs, k=len(pairs)):
            drawn += rng.choices(rounds, k=len(rounds))
        medians.append(statistics.median(drawn))
    medians.sort()
    return medians[round(0.025 * RESAMPLES)], medians[round(0.975 * RESAMPLES) - 1]


def sign_test(pairs: Pairs) -> float:
    """Probability of so uneven a split of faster and slower if neither were either."""
    signs = [x > 0 for rounds in pairs for x in rounds if x != 0]
    n, k = len(signs), min(sum(signs), len(signs) - sum(signs))
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n)


def race(
    name: str, sites: dict[str, Path], args: argparse.Namespace, log: IO[str]
) -> tuple[Pairs, dict[str, float]]:
    """Logarithms of the ratios, and the median times of both."""
    pairs: Pairs = []
    samples: dict[str, list[float]] = {label: [] for label in sites}
    for _ in range(args.processes):
        workers = [
            measure.Worker(
                "lamella",
                args.threads,
                log,
                label=label,
                extra={"PYTHONPATH": str(site)},
                polite=bool(args.lock),
            )
            for label, site in sites.items()
        ]
        contest = measure.Race(workers, name, args.seconds)
        with measure.turn(args.lock, workers):
            contest.run(args.repeats)
        for worker in workers:
            worker.close()
        if contest.failed or len(contest.ready) < len(sites):
            reason = contest.failed or "not supported by both"
            raise RuntimeError(f"{name}: {reason}")
        found = contest.samples
        pairs.append(
            [
                math.log(new / old)
                for old, new in zip(found["old"], found["new"], strict=True)
            ]
        )
        for label, times in found.items():
            samples[label] += times
    return pairs, {label: statistics.median(t) for label, t in samples.items()}


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("old", help="commit to compare with")
    add("new", help="commit in question")
    add("--workloads", nargs="+", choices=WORKLOADS, metavar="NAME", default=QUICK)
    add("--threads", type=int, default=1)
    add("--repeats", type=int, default=12, help="rounds of each pair of processes")
    add("--processes", type=int, default=4, help="pairs of processes")
    add("--seconds", type=float, default=0.05, help="length of a sample")
    add("--threshold", type=float, default=0.03, help="slowdown that is an error")
    cache = Path(tempfile.gettempdir()) / f"lamella-compare-{os.getuid()}"
    add("--cache", type=Path, default=cache, help="folder in which builds are kept")
    add("--pip", default="", help='options for pip install: "--no-build-isolation"')
    add("--lock", type=Path, help="file that other benchmarks here lock as well")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    sites = {
        label: build(commit, args.cache.resolve(), args.pip.split())
        for label, commit in (("old", args.old), ("new", args.new))
    }
    slower: list[str] = []
    print(
        f"{args.old} ({sites['old'].name[:12]}) to {args.new} "
        f"({sites['new'].name[:12]}), {args.threads} thread(s), {args.processes} x "
        f"{args.repeats} pairs, threshold {100 * args.threshold:g} %\n"
    )
    print("| workload | old | new | new / old | 95 % interval | sign test | |")
    print("| --- | ---: | ---: | ---: | --- | ---: | --- |")
    with tempfile.NamedTemporaryFile(
        "w", prefix="lamella-compare-", suffix=".log", delete=False
    ) as log:
        for name in args.workloads:
            try:
                pairs, medians = race(name, sites, args, log)
            except RuntimeError as error:
                print(f"left out: {error} (see {log.name})", file=sys.stderr)
                continue
            low, high = interval(pairs)
            middle = statistics.median(x for rounds in pairs for x in rounds)
            verdict = ""
            chance = sign_test(pairs)
            if low > math.log1p(args.threshold) and chance < CHANCE:
                verdict = "slower"
                slower.append(name)
            elif high < -math.log1p(args.threshold) and chance < CHANCE:
                verdict = "faster"
            times = " | ".join(f"{1e6 * medians[k]:.4g} µs" for k in ("old", "new"))
            print(
                f"| {name} | {times} | {math.exp(middle):.3f} | "
                f"{math.exp(low):.3f} to {math.exp(high):.3f} | "
                f"{chance:.2g} | {verdict} |",
                flush=True,
            )
    if slower:
        print(f"\nslower: {', '.join(slower)}")
        return 1
    print("\nnothing is slower beyond noise")
    return 0


if __name__ == "__main__":
    sys.exit(main())
