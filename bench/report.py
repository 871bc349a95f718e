"""Results as text: figures, the Markdown table, and where they were measured."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, system, interpreter, and what lamella was built from."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    facts: dict[str, Any] = {
        "processor": processor,
        "processors": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if commit.returncode == 0:
        facts["commit"] = commit.stdout.strip()
    try:
        import lamella

        facts["lamella"] = dict(lamella.build_info())
    except ImportError:
        pass
    return facts


def seconds_text(seconds: float) -> str:
    """A time with three digits and a fitting unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def rate_text(result: dict[str, Any], seconds: float) -> str:
    """GFLOP/s or GB/s, where the workload has one."""
    for key, unit in (("flops", "GFLOP/s"), ("traffic", "GB/s")):
        if result.get(key):
            return f", {result[key] / seconds / 1e9:.3g} {unit}"
    return ""


def markdown(report: dict[str, Any]) -> str:
    """One table: a row for each workload and peer, fastest first."""
    facts = report["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in sorted(report["versions"].items()))
    lines = [
        f"{facts['processor']}, {facts['system']}, Python {facts['python']}, "
        f"commit {facts.get('commit', 'unknown')}; {report['threads']} thread(s), "
        f"{report['repeats']} rounds.",
        "",
        f"{versions}.",
        "",
        "| workload | peer | minimum | median | times lamella's minimum |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for result in report["results"]:
        times = result["times"]
        own = times.get("lamella", {}).get("minimum")
        label = result["text"]
        for peer in sorted(times, key=lambda name: times[name]["minimum"]):
            figure = times[peer]
            ratio = f"{figure['minimum'] / own:.2f}" if own else ""
            lines.append(
                f"| {label} | {peer} "
                f"| {seconds_text(figure['minimum'])}/{result['unit']}"
                f"{rate_text(result, figure['minimum'])} "
                f"| {seconds_text(figure['median'])} | {ratio} |"
            )
            label = ""
        for peer, reason in result["left_out"].items():
            lines.append(f"| {label} | {peer} | failed: {reason} | | |")
            label = ""
    return "\n".join(lines)
