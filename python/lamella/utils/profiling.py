"""Where the time of a training step or a prediction goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lamella import _core

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Profile", "ProfileStep", "profile"]


@dataclass(frozen=True)
class ProfileStep:
    """One kernel call of the compiled program.

    Attributes:
        op: name of the operation; "feed" copies the batch in, "assign" writes a
            variable such as a metric's sum, and the optimizer has its own name.
        layer: layer that it belongs to, or variable that it writes; may be empty.
        shapes: shapes of its results.
        seconds: median time.
        flops: floating-point operations.
        bytes: bytes that must be read and written, each counted once.
        floor: seconds that this machine needs at least: FLOPs over the measured
            peak, or bytes over the measured bandwidth of the cache that holds
            them, whichever is longer.
    """

    op: str
    layer: str
    shapes: tuple[tuple[int, ...], ...]
    seconds: float
    flops: float
    bytes: float
    floor: float

    @property
    def share(self) -> float:
        """Floor over time: 1 means that the machine cannot do it faster."""
        return min(1.0, self.floor / self.seconds) if self.seconds > 0 else 1.0


class Profile:
    """The steps of a compiled program with their times, as a table and a picture.

    Attributes:
        steps: list of `ProfileStep` in the order in which they run.
        batch_size: rows of the batch.
        mode: "train" or "predict".
        peaks: what the machine reaches: "threads", "flops32", "flops64" (operations
            a second) and "levels", pairs (bytes, bytes a second) of copies.
    """

    def __init__(
        self,
        steps: Sequence[ProfileStep],
        batch_size: int,
        mode: str,
        peaks: dict[str, Any],
    ) -> None:
        self.steps = list(steps)
        self.batch_size = batch_size
        self.mode = mode
        self.peaks = peaks

    @property
    def seconds(self) -> float:
        """Time of all steps together."""
        return sum(step.seconds for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as numbers, strings, lists and dicts, for JSON."""
        return {
            "mode": self.mode,
            "batch_size": self.batch_size,
            "seconds": self.seconds,
            "peaks": {**self.peaks, "levels": [list(k) for k in self.peaks["levels"]]},
            "steps": [
                {
                    "op": s.op,
                    "layer": s.layer,
                    "shapes": [list(shape) for shape in s.shapes],
                    "seconds": s.seconds,
                    "flops": s.flops,
                    "bytes": s.bytes,
                    "floor": s.floor,
                    "share": s.share,
                }
                for s in self.steps
            ],
        }

    def table(self, least: float = 0.0) -> str:
        """Return the table as text.

        Args:
            least: leave out steps with a smaller part of the time (0.01: one per
                cent); they are summed up in one line.
        """
        total = self.seconds or 1.0
        shown = [s for s in self.steps if s.seconds >= least * total]
        rows = [("step", "result", "us", "time", "GFLOP/s", "GB/s", "roofline")]
        for s in shown:
            rows.append(
                (
                    f"{s.op} {s.layer}".strip(),
                    " ".join("x".join(map(str, shape)) or "1" for shape in s.shapes),
                    f"{s.seconds * 1e6:.2f}",
                    f"{s.seconds / total:.1%}",
                    f"{s.flops / s.seconds / 1e9:.1f}" if s.seconds else "",
                    f"{s.bytes / s.seconds / 1e9:.1f}" if s.seconds else "",
                    f"{s.share:.0%}",
                )
            )
        rest = [s.seconds for s in self.steps if s.seconds < least * total]
        if rest:
            rows.append(
                (
                    f"{len(rest)} shorter steps",
                    "",
                    f"{sum(rest) * 1e6:.2f}",
                    f"{sum(rest) / total:.1%}",
                    "",
                    "",
                    "",
                )
            )
        flops = sum(s.flops for s in self.steps)
        rows.append(
            (
                "all",
                "",
                f"{self.seconds * 1e6:.2f}",
                "100%",
                f"{flops / total / 1e9:.1f}",
                f"{sum(s.bytes for s in self.steps) / total / 1e9:.1f}",
                f"{sum(s.floor for s in self.steps) / total:.0%}",
            )
        )
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        rule = "-" * max(map(len, lines))
        head = (
            f"{self.mode}, batch of {self.batch_size}, {self.peaks['threads']} "
            f"thread(s); peak {self.peaks['flops32'] / 1e9:.0f} GFLOP/s; copies "
            + ", ".join(
                f"{speed / 1e9:.0f} GB/s within {_size(size)}"
                for size, speed in self.peaks["levels"]
            )
        )
        return "\n".join([head, "", lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def __str__(self) -> str:
        return self.table(least=0.005)

    def __repr__(self) -> str:
        return (
            f"<Profile of {len(self.steps)} steps, {self.mode}, "
            f"{self.seconds * 1e6:.1f} us a batch of {self.batch_size}>"
        )

    def plot(self, ax: Axes | None = None, *, least: float = 0.005) -> Axes:
        """Draw a bar for each step: its time, and in it the part at the roofline.

        Args:
            ax: matplotlib Axes to draw into; default: a new figure.
            least: leave out steps with a smaller part of the time.

        Returns:
            The Axes.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "Profile.plot needs matplotlib: pip install matplotlib"
            ) from error
        shown = [s for s in self.steps if s.seconds >= least * self.seconds]
        if ax is None:
            height = 1.2 + 0.24 * max(len(shown), 1)
            figure = Figure(figsize=(8, height), layout="constrained")
            ax = figure.add_subplot()
        names = [f"{s.op}  {s.layer}".rstrip() for s in shown]
        places = range(len(shown))
        times = [s.seconds * 1e6 for s in shown]
        floors = [min(s.floor, s.seconds) * 1e6 for s in shown]
        ax.barh(places, times, color="#c6d4e1", label="measured")
        ax.barh(places, floors, color="#2f6690", label="at the machine's limit")
        for place, step, time in zip(places, shown, times, strict=True):
            ax.annotate(
                f"{step.share:.0%}",
                (time, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        ax.set_yticks(places, names, fontsize=8)
        ax.invert_yaxis()
        ax.set_xlabel("microseconds")
        ax.set_title(
            f"{self.mode}, batch of {self.batch_size}: {self.seconds * 1e6:.0f} us, "
            f"{self.peaks['threads']} thread(s)"
        )
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
        return ax


def profile(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    batch_size: int = 32,
    repeats: int = 30,
) -> Profile:
    """Measure every step of a compiled model's training, or of its prediction.

    The model is left as it was: the training steps are really taken, and undone.

    Args:
        model: a built or compiled `Model`.
        x: inputs as for `fit`; the first `batch_size` rows are used.
        y: targets as for `fit`; None: measure `predict` instead of training.
        sample_weight: weights of the rows as for `fit`.
        batch_size: rows of the batch (fewer when there are not so many).
        repeats: how often the batch is computed; times are medians.

    Returns:
        A `Profile`: `print` shows the table, `plot()` draws it.

    Raises:
        ValueError: If `repeats` or `batch_size` is not positive, the model is not
            compiled though `y` is given, it runs eagerly, or the data do not fit it.

    Example:
        >>> print(lamella.utils.profile(model, x, y))  # doctest: +SKIP
    """
    for name, value in (("batch_size", batch_size), ("repeats", repeats)):
        if value < 1:
            raise ValueError(f"profile: {name} must be positive, got {value}")
    if model.run_eagerly:
        raise ValueError(
            "profile: this model runs eagerly, without a compiled program; compile it "
            "with run_eagerly=False"
        )
    mode = "predict" if y is None else "train"
    if mode == "train":
        model._assert_compiled("profile")
        feed = model._feed(x, y, sample_weight)
    else:
        feed = model._feed(x, with_targets=False)
    if not hasattr(feed, "leaves"):
        raise ValueError("profile: x and y must be arrays")
    template, leaves = feed.template, feed.first(batch_size)
    step = model._make_step(mode, template, leaves)
    peaks = _core.measure_peaks()
    variables = list(step.graph.variables)
    if mode == "train" and model.optimizer is not None:
        variables += [v._core for v in model.optimizer.variables]
    before = [v.numpy() for v in variables]
    try:
        lines = step.runner.profile(leaves, repeats)
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(_core.from_numpy(value))
    steps = [
        ProfileStep(
            line["op"],
            line["scope"],
            tuple(line["shapes"]),
            line["seconds"],
            line["flops"],
            line["bytes"],
            _floor(peaks, line),
        )
        for line in lines
    ]
    return Profile(steps, len(leaves[0]), mode, peaks)


def _floor(peaks: dict[str, Any], line: dict[str, Any]) -> float:
    """Return the least seconds of a call: the roofline."""
    peak = peaks["flops64" if line["dtype"] == "float64" else "flops32"]
    levels = peaks["levels"]
    bandwidth = next((b for size, b in levels if line["bytes"] <= size), levels[-1][1])
    return max(line["flops"] / peak, line["bytes"] / bandwidth)


def _size(count: float) -> str:
    """Return a number of bytes with its unit."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.0f} GB"
