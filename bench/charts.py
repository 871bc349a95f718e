"""Results as pictures: one bar chart of ratios for each group and number of threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import report


def draw(whole: dict[str, Any], folder: Path) -> list[Path]:
    """Writes the charts as PNG and SVG; returns their paths."""
    import matplotlib as mpl

    mpl.use("Agg")
    written: list[Path] = []
    for run in whole["runs"]:
        for group in dict.fromkeys(result["group"] for result in run["results"]):
            members = [r for r in run["results"] if r["group"] == group]
            figure = _ratios(members, group, whole, run)
            if figure is None:
                continue
            for suffix in ("png", "svg"):
                path = folder / f"{group}_{run['threads']}.{suffix}"
                figure.savefig(path, dpi=120, bbox_inches="tight")
                written.append(path)
    return written


def _caption(whole: dict[str, Any], run: dict[str, Any]) -> str:
    facts, probe = whole["machine"], run["probe"]
    built = facts.get("lamella", {})
    text = (
        f"{facts['processor']}, {built.get('isa', '')}, {run['threads']} thread(s), "
        f"commit {facts.get('commit', 'unknown')}"
    )
    if probe:
        text += f", peak {probe['flops_f32'] / 1e9:.0f} GFLOP/s"
    versions = ", ".join(f"{k} {v}" for k, v in sorted(whole["versions"].items()))
    return f"{text}\n{versions}"


def _ratios(
    members: list[dict[str, Any]],
    group: str,
    whole: dict[str, Any],
    run: dict[str, Any],
) -> Any:
    """Each peer's time over lamella's, the aim marked; None without peers."""
    from matplotlib.figure import Figure

    members = [r for r in members if report.ratio_to(r, "")]
    if not members:
        return None
    peers = list(
        dict.fromkeys(
            peer for r in members for peer in r["times"] if peer != report.OWN
        )
    )
    height = 0.18 * len(peers) + 0.12
    figure = Figure(figsize=(9, 1.6 + height * len(members)))
    axes = figure.subplots()
    for i, peer in enumerate(peers):
        places, values = [], []
        for row, result in enumerate(members):
            if peer in result["times"]:
                own = result["times"][report.OWN]["median"]
                places.append(row + (i - (len(peers) - 1) / 2) * 0.8 / len(peers))
                values.append(result["times"][peer]["median"] / own)
        axes.barh(places, values, 0.8 / len(peers), label=peer)
    for row, result in enumerate(members):
        for target in result["targets"]:
            if target["ratio"] is not None:
                aim = target["ratio"]
                axes.plot([aim, aim], [row - 0.42, row + 0.42], color="black", lw=1.2)
    axes.axvline(1, color="grey", lw=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(members)), [r["workload"] for r in members])
    axes.invert_yaxis()
    what = "memory" if members[0].get("quantity") == "bytes" else "time"
    axes.set_xlabel(f"peer's {what} / lamella's (black: target)")
    axes.set_title(f"{group}: medians of interleaved runs")
    axes.legend(fontsize="small")
    figure.text(0.01, -0.02, _caption(whole, run), fontsize="x-small", va="top")
    return figure
