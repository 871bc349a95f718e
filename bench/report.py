"""Results as text: ratios, targets, and the Markdown tables."""

from __future__ import annotations

import math
from typing import Any

OWN = "lamella"


def seconds_text(seconds: float) -> str:
    """A time with three digits and a fitting unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if abs(seconds) * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def figure_text(result: dict[str, Any], value: float) -> str:
    """A time, or a size in memory."""
    if result.get("quantity") == "bytes":
        return f"{value / 2**20:.1f} MiB"
    return seconds_text(value)


# ------------------------------------------------------------------------ figures


def ratio_to(result: dict[str, Any], against: str) -> tuple[str, float] | None:
    """The best peer whose name begins with `against`, and its median over lamella's."""
    times = result["times"]
    own = times.get(OWN)
    others = {k: v["median"] for k, v in times.items() if k.startswith(against)}
    others = {k: v for k, v in others.items() if not k.startswith(OWN)}
    if own is None or not others or own["median"] <= 0:
        return None
    best = min(others, key=lambda name: others[name])
    return best, others[best] / own["median"]


def share_of_machine(result: dict[str, Any], probe: dict[str, Any] | None) -> str:
    """Lamella's rate and its share of the measured peak or bandwidth."""
    own = result["times"].get(OWN)
    if own is None or result.get("quantity") == "bytes":
        return ""
    median = own["median"]
    if result.get("flops"):
        rate, unit = result["flops"] / median, "GFLOP/s"
        most = probe and probe["flops_f32"]
    elif result.get("traffic"):
        rate, unit = result["traffic"] / median, "GB/s"
        most = probe and probe["copy_bytes_per_s"].get(result["level"])
    else:
        return ""
    text = f"{rate / 1e9:.3g} {unit}"
    return f"{text}, {100 * rate / most:.0f} %" if most else text


def judge(
    target: dict[str, Any], result: dict[str, Any], probe: dict[str, Any] | None
) -> tuple[str, bool | None]:
    """A target as text, and whether it is met; None: nothing to compare with."""
    texts: list[str] = []
    verdicts: list[bool] = []
    own = result["times"].get(OWN)
    if target["ratio"] is not None:
        against = target["against"] or "best peer"
        found = ratio_to(result, target["against"])
        text = f"≥ {target['ratio']:g}x {against}"
        if found:
            text += f" ({found[1]:.2f})"
            verdicts.append(found[1] >= target["ratio"])
        texts.append(text)
    if target["limit"] is not None:
        texts.append(f"≤ {figure_text(result, target['limit'])}")
        if own:
            verdicts.append(own["median"] <= target["limit"])
    if target["bandwidth"] is not None:
        texts.append(f"{100 * target['bandwidth']:.0f} % of copy")
        level = probe and probe["copy_bytes_per_s"].get(result["level"])
        if own and level:
            rate = result["traffic"] / own["median"]
            verdicts.append(rate >= target["bandwidth"] * level)
    return " or ".join(texts), any(verdicts) if verdicts else None


def geometric_mean(values: list[float]) -> float:
    """Of positive numbers."""
    return math.exp(sum(map(math.log, values)) / len(values))


def group_means(run: dict[str, Any]) -> list[tuple[str, float, float, float | None]]:
    """Group, geometric mean and worst of lamella's ratios to the best peer, target."""
    aims = {"conv": 1.5, "matmul": 1.2}
    rows = []
    groups = dict.fromkeys(result["group"] for result in run["results"])
    for group in groups:
        members = [r for r in run["results"] if r["group"] == group]
        found = [ratio_to(result, "") for result in members]
        ratios = [ratio[1] for ratio in found if ratio is not None]
        if ratios:
            rows.append((group, geometric_mean(ratios), min(ratios), aims.get(group)))
    return rows


def feeding(run: dict[str, Any]) -> list[tuple[str, float]]:
    """The share of a step that feeding takes: what it costs above data in cache."""
    times = {r["workload"]: r["times"].get(OWN) for r in run["results"]}
    base = times.get("feed_cached")
    if base is None:
        return []
    return [
        (name.removeprefix("feed_"), 1 - base["median"] / own["median"])
        for name, own in times.items()
        if own is not None and name.startswith("feed_") and name != "feed_cached"
    ]


def scaling(report: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Workload, peer, and how much faster it is with two threads (interleaved)."""
    rows = []
    for result in report.get("scaling", []):
        times = result["times"]
        for label in times:
            peer, _, count = label.partition("@")
            if count == "1" and f"{peer}@2" in times:
                speedup = times[label]["median"] / times[f"{peer}@2"]["median"]
                rows.append((result["workload"], peer, speedup))
    return rows


# ------------------------------------------------------------------------ Markdown


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    rule = ["---:" if i >= 2 else "---" for i in range(len(header))]
    lines = [header, rule, *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines] + [""]


def markdown(report: dict[str, Any]) -> str:
    """Everything, one section for each number of threads."""
    facts = report["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in sorted(report["versions"].items()))
    built = facts.get("lamella", {})
    lines = [
        f"{facts['processor']} ({facts['processors']} processors), {facts['system']}, "
        f"Python {facts['python']}, commit {facts.get('commit', 'unknown')}, "
        f"instruction set {built.get('isa', 'unknown')} "
        f"({built.get('compiler', 'unknown compiler')}).",
        "",
        f"{versions}. {report['repeats']} rounds; times are medians.",
        "",
    ]
    for run in report["runs"]:
        lines += _run_lines(run)
    speedups = scaling(report)
    if speedups:
        lines += ["## One thread to two", ""]
        rows = [
            [name, peer, f"{speedup:.2f}", "≥ 1.85" if peer == OWN else ""]
            for name, peer, speedup in speedups
        ]
        lines += _table(["workload", "peer", "speed-up", "target"], rows)
    return "\n".join(lines)


def _run_lines(run: dict[str, Any]) -> list[str]:
    probe = run["probe"]
    lines = [f"## {run['threads']} thread(s)", ""]
    if probe:
        copies = ", ".join(
            f"{name} {value / 1e9:.3g} GB/s"
            for name, value in probe["copy_bytes_per_s"].items()
        )
        peak = probe["flops_f32"] / 1e9
        lines += [f"Measured peak {peak:.4g} GFLOP/s (float32); copy: {copies}.", ""]
    else:
        lines += ["Peak and bandwidth not measured: no C++ compiler.", ""]
    for group in dict.fromkeys(result["group"] for result in run["results"]):
        rows = [
            _row(result, probe) for result in run["results"] if result["group"] == group
        ]
        lines += [f"### {group}", ""]
        header = ["workload", "unit", "lamella", "rate, share of the machine"]
        header += ["best peer", "peer / lamella", "target", "met"]
        lines += _table(header, rows)
    means = group_means(run)
    if means:
        lines += ["### Peer over lamella, by group", ""]
        cells = [
            [group, f"{mean:.2f}", f"{worst:.2f}", f"≥ {aim:g}" if aim else ""]
            for group, mean, worst, aim in means
        ]
        lines += _table(["group", "geometric mean", "worst", "target"], cells)
    shares = feeding(run)
    if shares:
        lines += ["### Share of the step that feeding takes", ""]
        cells = [[name, f"{100 * s:.1f} %", "≤ 5 %"] for name, s in shares]
        lines += _table(["data", "share", "target"], cells)
    failed = [
        f"- {result['workload']}: {peer}: {reason}"
        for result in run["results"]
        for peer, reason in result["failed"].items()
    ]
    if failed:
        lines += ["### Failed", "", *failed, ""]
    return lines


def _row(result: dict[str, Any], probe: dict[str, Any] | None) -> list[str]:
    own = result["times"].get(OWN)
    best = ratio_to(result, "")
    verdicts = [judge(target, result, probe) for target in result["targets"]]
    met = {True: "yes", False: "**no**", None: "?"}
    others = {k: v for k, v in result["times"].items() if not k.startswith(OWN)}
    fastest = min(others, key=lambda k: others[k]["median"]) if others else ""
    peer = ""
    if fastest:
        peer = f"{fastest} {figure_text(result, others[fastest]['median'])}"
    return [
        result["text"],
        result["unit"],
        figure_text(result, own["median"]) if own else "",
        share_of_machine(result, probe),
        peer,
        f"{best[1]:.2f}" if best else "",
        "; ".join(text for text, _ in verdicts),
        ", ".join(met[verdict] for _, verdict in verdicts),
    ]
