"""Boxes and arrows in ranks: layout, SVG and pictures, without Graphviz."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Box", "Diagram"]

_LINE = 16.0  # height of a line of text
_CHAR = 7.2  # width of a character
_PAD = 10.0
_GAP = 36.0  # between ranks
_SIDE = 24.0  # between boxes of a rank


@dataclass
class Box:
    """A box with lines of text.

    Attributes:
        key: what arrows name it by.
        lines: the text.
        fill: color.
        group: titles of the frames around it, outermost first.
    """

    key: str
    lines: list[str]
    fill: str = "#ffffff"
    group: tuple[str, ...] = ()
    rank: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = field(init=False)
    height: float = field(init=False)

    def __post_init__(self) -> None:
        self.width = max(len(line) for line in self.lines) * _CHAR + 2 * _PAD
        self.height = len(self.lines) * _LINE + _PAD


class Diagram:
    """Boxes joined by arrows.

    Args:
        boxes: the boxes.
        arrows: (from, to) keys.
        sideways: whether the ranks go from left to right.
        turned: whether they go the other way, from the bottom or the right.
    """

    def __init__(
        self,
        boxes: list[Box],
        arrows: list[tuple[str, str]],
        sideways: bool = False,
        turned: bool = False,
    ) -> None:
        self.boxes = boxes
        self.arrows = arrows
        self.sideways = sideways
        self.turned = turned
        self.width = self.height = 0.0
        self.ways: dict[tuple[str, str], list[Box]] = {}
        self._arrange()

    def _arrange(self) -> None:
        """Put each box one rank behind the last box that it hangs on."""
        by_key = {box.key: box for box in self.boxes}
        for _ in self.boxes:
            moved = False
            for a, b in self.arrows:
                if by_key[b].rank < by_key[a].rank + 1 <= len(self.boxes):
                    by_key[b].rank = by_key[a].rank + 1
                    moved = True
            if not moved:
                break
        boxes = list(self.boxes)
        for a, b in self.arrows:  # a long arrow gets a place in every rank it crosses
            way = [
                Box(f"{a}>{b}", [""], rank=rank)
                for rank in range(by_key[a].rank + 1, by_key[b].rank)
            ]
            self.ways[(a, b)] = way
            boxes += way
        ranks: dict[int, list[Box]] = {}
        for box in boxes:
            ranks.setdefault(box.rank, []).append(box)
        order = sorted(ranks, reverse=self.turned)
        across = {r: sum(self._across(b) for b in ranks[r]) for r in order}
        across = {r: w + _SIDE * (len(ranks[r]) - 1) for r, w in across.items()}
        widest = max(across.values(), default=0.0)
        along = _SIDE
        for r in order:
            at = _SIDE + (widest - across[r]) / 2
            depth = max(self._along(b) for b in ranks[r])
            for box in ranks[r]:
                middle = along + (depth - self._along(box)) / 2
                box.x, box.y = (middle, at) if self.sideways else (at, middle)
                at += self._across(box) + _SIDE
            along += depth + _GAP
        along += _SIDE - _GAP
        across_all = widest + 2 * _SIDE
        self.width, self.height = (
            (along, across_all) if self.sideways else (across_all, along)
        )

    def _across(self, box: Box) -> float:
        return box.height if self.sideways else box.width

    def _along(self, box: Box) -> float:
        return box.width if self.sideways else box.height

    def _line(self, key: tuple[str, str]) -> list[tuple[float, float]]:
        """Return the corners of an arrow."""
        by_key = {box.key: box for box in self.boxes}
        points = [self._side(by_key[key[0]], not self.turned)]
        for box in self.ways[key]:
            points += [self._side(box, self.turned), self._side(box, not self.turned)]
        return [*points, self._side(by_key[key[1]], self.turned)]

    def _side(self, box: Box, far: bool) -> tuple[float, float]:
        """Return the middle of the far (lower, right) or near side of a box."""
        if self.sideways:
            return box.x + far * box.width, box.y + box.height / 2
        return box.x + box.width / 2, box.y + far * box.height

    def _frames(self) -> list[tuple[str, float, float, float, float]]:
        """Return title and corners of the frames around groups of boxes."""
        groups: dict[tuple[str, ...], list[Box]] = {}
        for box in self.boxes:
            for depth in range(1, len(box.group) + 1):
                groups.setdefault(box.group[:depth], []).append(box)
        frames = []
        for path, inside in sorted(groups.items(), key=lambda item: len(item[0])):
            margin = 12.0 / len(path)
            left = min(b.x for b in inside) - margin
            top = min(b.y for b in inside) - margin
            right = max(b.x + b.width for b in inside) + margin
            bottom = max(b.y + b.height for b in inside) + margin
            frames.append((path[-1], left, top, right - left, bottom - top))
        return frames

    def svg(self) -> str:
        """Return the diagram as SVG."""
        from html import escape

        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:.0f}" '
            f'height="{self.height:.0f}" font-family="monospace" font-size="12">',
            '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="8" refY="4" '
            'orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>',
            '<rect width="100%" height="100%" fill="white"/>',
        ]
        for title, x, y, w, h in self._frames():
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" '
                'fill="none" stroke="#888888" stroke-dasharray="4"/>'
                f'<text x="{x + 3:.1f}" y="{y - 2:.1f}" fill="#888888" '
                f'font-size="10">{escape(title)}</text>'
            )
        for arrow in self.arrows:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in self._line(arrow))
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="black" '
                'marker-end="url(#tip)"/>'
            )
        for box in self.boxes:
            parts.append(
                f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
                f'height="{box.height:.1f}" rx="3" fill="{box.fill}" stroke="black"/>'
            )
            for i, line in enumerate(box.lines):
                weight = ' font-weight="bold"' if i == 0 else ""
                parts.append(
                    f'<text x="{box.x + box.width / 2:.1f}" '
                    f'y="{box.y + _PAD / 2 + _LINE * (i + 0.75):.1f}" '
                    f'text-anchor="middle"{weight}>{escape(line)}</text>'
                )
        return "\n".join([*parts, "</svg>", ""])

    def picture(self, to_file: Any, dpi: int) -> None:
        """Write the diagram with matplotlib; the ending of the file says the format."""
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
            from matplotlib.patches import FancyBboxPatch
        except ImportError as error:
            raise ImportError(
                f"plot_model: '{to_file}' needs matplotlib (pip install "
                "'lamella[plot]'), or pydot with Graphviz; .svg needs neither"
            ) from error

        inches = 96.0
        figure = Figure(figsize=(self.width / inches, self.height / inches))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(0, self.width)
        axes.set_ylim(self.height, 0)
        axes.set_axis_off()
        for title, x, y, w, h in self._frames():
            axes.add_patch(
                FancyBboxPatch(
                    (x, y), w, h, boxstyle="square,pad=0", fill=False, linestyle="--"
                )
            )
            axes.text(x + 3, y - 2, title, fontsize=7, color="#888888")
        for arrow in self.arrows:
            points = self._line(arrow)
            axes.plot(*zip(*points[:-1], strict=True), color="black", linewidth=1)
            style = {"arrowstyle": "-|>", "fc": "black", "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", points[-1], points[-2], arrowprops=style)
        for box in self.boxes:
            axes.add_patch(
                FancyBboxPatch(
                    (box.x, box.y),
                    box.width,
                    box.height,
                    boxstyle="round,pad=0,rounding_size=3",
                    facecolor=box.fill,
                    edgecolor="black",
                )
            )
            for i, line in enumerate(box.lines):
                axes.text(
                    box.x + box.width / 2,
                    box.y + _PAD / 2 + _LINE * (i + 0.5),
                    line,
                    ha="center",
                    va="center",
                    family="monospace",
                    fontsize=8.5,
                    fontweight="bold" if i == 0 else "normal",
                )
        figure.savefig(to_file, dpi=dpi)
