"""Reading images at positions between the pixels: the geometry of `ops.image`."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from lamella import _core, config
from lamella._core import Tensor
from lamella.ops.conversion import cast, dim_value, dims_product, to_float, to_tensor

__all__ = [
    "FILL_MODES",
    "INTERPOLATIONS",
    "affine_transform",
    "check_choice",
    "check_images",
    "displace",
    "ImageLayout",
    "map_coordinates",
    "perspective_transform",
    "positions",
    "project",
]

INTERPOLATIONS = {"nearest": 0, "bilinear": 1}
FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")


def check_choice(value: Any, choices: Any, name: str, who: str) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(
            f"{who}: {name} must be one of {', '.join(map(repr, choices))}, got "
            f"{name}={value!r}"
        )


def check_images(images: Any, who: str) -> Tensor:
    """Return `images` as a tensor of rank 3 or 4.

    Raises:
        ValueError: the rank is another one.
    """
    images = to_tensor(images)
    if images.ndim not in (3, 4):
        raise ValueError(
            f"{who}: images must have rank 3 (one image) or 4 (a batch), got "
            f"images.shape={images.shape}"
        )
    return images


class ImageLayout:
    """Images as a batch with the channels last, and the way back.

    Args:
        images: (h, w, c) or (n, h, w, c), or with the channels before h.
        data_format: "channels_last", "channels_first" or None.
        who: name of the function, for error texts.
    """

    def __init__(self, images: Any, data_format: str | None, who: str) -> None:
        x = check_images(images, who)
        self._single = x.ndim == 3
        first = config.standardize_data_format(data_format, who) == "channels_first"
        self._first = first
        if self._single:
            x = _core.expand_dims(x, 0)
        self.images = _core.transpose(x, (0, 2, 3, 1)) if first else x

    def restore(self, x: Tensor) -> Tensor:
        """Return (n, h, w, c) in the layout of the images that came in."""
        if self._first:
            x = _core.transpose(x, (0, 3, 1, 2))
        return _core.squeeze(x, (0,)) if self._single else x


def positions(size: Any, dtype: str) -> Tensor:
    """Return 0, 1, ..., size - 1, also for a size that a trace does not know."""
    if isinstance(size, int):
        return _core.from_numpy(np.arange(size, dtype=dtype))
    return _core.cumsum(_core.full((size,), 1, dtype), 0) - 1


def _bounded(index: Tensor, size: Any) -> Tensor:
    if isinstance(size, int):
        return _core.clip(index, 0, size - 1)
    return _core.maximum(_core.minimum(index, dim_value(size, "int32") - 1), 0)


def _folded(index: Tensor, size: Any, mode: str) -> Tensor:
    """Bring whole-numbered float positions into [0, size) by a periodic rule."""
    n = size if isinstance(size, int) else dim_value(size, index.dtype)
    if mode == "wrap":
        return index - _core.floor(index / n) * n
    # "reflect" repeats the border pixel, "mirror" does not.
    last = 2 * n - 1 if mode == "reflect" else 2 * n - 2
    period = last + 1 if mode == "reflect" else last
    if not isinstance(period, int):
        period = _core.maximum(period, 1)
    elif period == 0:
        return index * 0
    index = index - _core.floor(index / period) * period
    return _core.minimum(index, last - index)


def _sample(
    source: Tensor,
    coordinates: list[Tensor],
    sizes: list[Any],
    order: int,
    fill_mode: str,
    fill_value: Any,
    offset: Tensor | None = None,
) -> Tensor:
    """Interpolate a flattened grid.

    Args:
        source: (points,) or (points, channels): the grid, its axes made one.
        coordinates: for each axis of the grid the positions, all of one shape.
        sizes: of the axes of the grid.
        order: 0 (nearest) or 1 (linear).
        fill_mode: rule for positions outside.
        fill_value: value outside, for "constant".
        offset: where the grid of each position begins in `source`.
    """
    channels = source.ndim == 2
    whole = source.dtype not in ("float32", "float64")
    nodes = []
    for at, size in zip(coordinates, sizes, strict=True):
        if order == 0:
            taps: list[tuple[Tensor, Any]] = [(_core.round(at), None)]
        else:
            low = _core.floor(at)
            high = at - low
            taps = [(low, 1.0 - high), (low + 1.0, high)]
        axis_nodes = []
        for index, weight in taps:
            valid = None
            if fill_mode == "constant":
                limit = size if isinstance(size, int) else dim_value(size, index.dtype)
                valid = _core.logical_and(
                    _core.greater_equal(index, 0), _core.less(index, limit)
                )
            elif fill_mode != "nearest":
                index = _folded(index, size, fill_mode)
            axis_nodes.append((_bounded(cast(index, "int32"), size), valid, weight))
        nodes.append(axis_nodes)
    steps = [
        step if isinstance(step, int) else dim_value(step, "int32")
        for step in (dims_product(sizes[i + 1 :]) for i in range(len(sizes)))
    ]
    total: Any = None
    for corner in itertools.product(*nodes):
        place: Any = offset
        valid = weight = None
        for (index, inside, share), step in zip(corner, steps, strict=True):
            part = index if isinstance(step, int) and step == 1 else index * step
            place = part if place is None else place + part
            if inside is not None:
                valid = inside if valid is None else _core.logical_and(valid, inside)
            if share is not None:
                weight = share if weight is None else weight * share
        value = _core.gather(source, place, 0)
        if valid is not None:
            valid = _core.expand_dims(valid, -1) if channels else valid
            fill = int(fill_value) if whole else float(fill_value)
            value = _core.where(valid, value, fill)
        if weight is not None:
            weight = _core.expand_dims(weight, -1) if channels else weight
            value = value * weight
        total = value if total is None else total + value
    if whole and total.dtype != source.dtype:
        total = cast(_core.round(total), source.dtype)
    return cast(total, source.dtype)


def map_coordinates(
    inputs: Any,
    coordinates: Any,
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0,
) -> Tensor:
    """Values of a grid at positions between its points.

    Args:
        inputs: tensor of any rank n; integers are rounded back to integers.
        coordinates: (n, ...): the position along each axis of `inputs`.
        order: 0 (the nearest point) or 1 (linear in each direction).
        fill_mode: for positions outside: "constant", "nearest", "wrap", "mirror"
            (d c b | a b c d | c b a) or "reflect" (d c b a | a b c d | d c b a).
        fill_value: the value outside for "constant". Default 0.

    Returns:
        Tensor of shape coordinates.shape[1:].

    Raises:
        ValueError: the number of coordinates is not the rank, or an unknown rule.
    """
    x = to_tensor(inputs)
    if isinstance(coordinates, list | tuple):
        parts = [to_float(c) for c in coordinates]
    else:
        stacked = to_float(coordinates)
        if stacked.ndim < 2:
            raise ValueError(
                "map_coordinates: coordinates must have rank 2 or more, got "
                f"coordinates.shape={stacked.shape}"
            )
        parts = [stacked[i] for i in range(stacked.shape[0] or 0)]
    if len(parts) != x.ndim:
        raise ValueError(
            "map_coordinates: coordinates must have one entry for each axis of the "
            f"inputs, got inputs.shape={x.shape} and {len(parts)} entries"
        )
    check_choice(order, (0, 1), "order", "map_coordinates")
    check_choice(fill_mode, FILL_MODES, "fill_mode", "map_coordinates")
    flat = _core.reshape(x, (-1,))
    return _sample(flat, parts, list(x.dims), order, fill_mode, fill_value)


def _sample_images(
    x: Tensor,
    down: Tensor,
    right: Tensor,
    interpolation: str,
    fill_mode: str,
    fill_value: Any,
) -> Tensor:
    """(n, h, w, c) read at the rows `down` and columns `right`, (n or 1, h', w')."""
    n, h, w, c = x.dims
    rows = positions(n, "int32")
    extent = h * w
    size = extent if isinstance(extent, int) else dim_value(extent, "int32")
    return _sample(
        _core.reshape(x, (-1, c)),
        [down, right],
        [h, w],
        INTERPOLATIONS[interpolation],
        fill_mode,
        fill_value,
        _core.reshape(rows * size, (n, 1, 1)),
    )


def _grid(h: Any, w: Any, dtype: str) -> tuple[Tensor, Tensor]:
    """Return the row numbers (1, h, 1) and the column numbers (1, 1, w)."""
    down = _core.reshape(positions(h, dtype), (1, h, 1))
    return down, _core.reshape(positions(w, dtype), (1, 1, w))


def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    """Images under a projective map of the plane.

    The output at (x, y) is the input at ((a0 x + a1 y + a2) / k,
    (b0 x + b1 y + b2) / k) with k = c0 x + c1 y + 1.

    Args:
        images: (h, w, c) or (n, h, w, c).
        transform: (8,) or (n, 8): a0, a1, a2, b0, b1, b2, c0, c1.
        interpolation: "bilinear" (default) or "nearest".
        fill_mode: as of `map_coordinates`.
        fill_value: the value outside for "constant". Default 0.
        data_format: "channels_last" (default) or "channels_first".

    Returns:
        Images of the same shape and dtype.

    Raises:
        ValueError: wrong ranks, or an unknown interpolation or fill_mode.
    """
    who = "affine_transform"
    check_choice(interpolation, INTERPOLATIONS, "interpolation", who)
    check_choice(fill_mode, FILL_MODES, "fill_mode", who)
    t = to_float(transform)
    if t.ndim not in (1, 2) or t.shape[-1] != 8:
        raise ValueError(
            f"{who}: transform must have shape (8,) or (n, 8), got "
            f"transform.shape={t.shape}"
        )
    tilted = t.is_symbolic or bool(np.any(t.numpy()[..., 6:]))
    t = _core.expand_dims(t, 0) if t.ndim == 1 else t
    layout = ImageLayout(images, data_format, who)
    entries = [t[:, i] for i in range(8 if tilted else 6)]
    return layout.restore(
        project(layout.images, entries, interpolation, fill_mode, fill_value)
    )


def project(
    x: Tensor,
    transform: list[Tensor],
    interpolation: str,
    fill_mode: str,
    fill_value: float,
) -> Tensor:
    """(n, h, w, c) under the map with the entries a0, a1, a2, b0, b1, b2[, c0, c1].

    Each entry has the shape (n,) or (1,).
    """
    t = [_core.reshape(entry, (-1, 1, 1)) for entry in transform]
    down, right = _grid(x.dims[1], x.dims[2], t[0].dtype)
    to_right = t[0] * right + t[1] * down + t[2]
    to_down = t[3] * right + t[4] * down + t[5]
    if len(t) == 8:
        k = t[6] * right + t[7] * down + 1.0
        to_right, to_down = to_right / k, to_down / k
    return _sample_images(x, to_down, to_right, interpolation, fill_mode, fill_value)


def _square_to(points: Tensor) -> list[Tensor]:
    """Return the 9 entries of the map from the unit square to quadrangles.

    The points are the images of (0, 0), (1, 0), (0, 1) and (1, 1).

    Source: Heckbert, Fundamentals of Texture Mapping and Image Warping, 1989,
        section 2.2.3.
    """
    (x0, y0), (x1, y1), (x3, y3), (x2, y2) = (
        (points[:, i, 0], points[:, i, 1]) for i in range(4)
    )
    ax, ay, bx, by = x1 - x2, y1 - y2, x3 - x2, y3 - y2
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    area = ax * by - bx * ay
    g = (sx * by - bx * sy) / area
    h = (ax * sy - sx * ay) / area
    one = g * 0.0 + 1.0
    return [
        x1 - x0 + g * x1,
        x3 - x0 + h * x3,
        x0,
        y1 - y0 + g * y1,
        y3 - y0 + h * y3,
        y0,
        g,
        h,
        one,
    ]


def _homography(start: Tensor, end: Tensor) -> list[Tensor]:
    """Return the 8 coefficients of the projective map that takes end to start."""
    a, b, c, d, e, f, g, h, i = _square_to(end)
    back = [
        [e * i - f * h, c * h - b * i, b * f - c * e],
        [f * g - d * i, a * i - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    s = _square_to(start)
    product = [
        s[3 * row] * back[0][column]
        + s[3 * row + 1] * back[1][column]
        + s[3 * row + 2] * back[2][column]
        for row in range(3)
        for column in range(3)
    ]
    return [entry / product[8] for entry in product[:8]]


def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    """Images seen in another perspective: four points move to four others.

    Args:
        images: (h, w, c) or (n, h, w, c).
        start_points: (4, 2) or (n, 4, 2): (x, y) of the points in the input.
        end_points: where they lie in the output, of the same shape.
        interpolation: "bilinear" (default) or "nearest".
        fill_value: the value outside. Default 0.
        data_format: "channels_last" (default) or "channels_first".

    Returns:
        Images of the same shape and dtype.

    Raises:
        ValueError: wrong shapes, or an unknown interpolation.
    """
    who = "perspective_transform"
    check_choice(interpolation, INTERPOLATIONS, "interpolation", who)
    start, end = to_tensor(start_points), to_tensor(end_points)
    for name, points in (("start_points", start), ("end_points", end)):
        if points.ndim not in (2, 3) or points.shape[-2:] != (4, 2):
            raise ValueError(
                f"{who}: {name} must have shape (4, 2) or (n, 4, 2), got "
                f"{name}.shape={points.shape}"
            )
    if start.shape != end.shape:
        raise ValueError(
            f"{who}: start_points and end_points must have the same shape, got "
            f"{start.shape} and {end.shape}"
        )
    layout = ImageLayout(images, data_format, who)
    x = layout.images
    kind = x.dtype if x.dtype == "float64" else "float32"
    # The few numbers of the map are computed with more digits than the pixels.
    start, end = (
        _core.expand_dims(p, 0) if p.ndim == 2 else p
        for p in (cast(start, "float64"), cast(end, "float64"))
    )
    entries = [cast(entry, kind) for entry in _homography(start, end)]
    return layout.restore(project(x, entries, interpolation, "constant", fill_value))


def displace(
    x: Tensor,
    down: Tensor,
    right: Tensor,
    interpolation: str,
    fill_mode: str,
    fill_value: Any,
) -> Tensor:
    """(n, h, w, c) with each pixel taken from (down, right) beside it, (n, h, w)."""
    row, column = _grid(x.dims[1], x.dims[2], down.dtype)
    return _sample_images(
        x, down + row, right + column, interpolation, fill_mode, fill_value
    )


def gaussian_size(sigma: float) -> int:
    """Return the odd number of points that holds three sigma on either side."""
    return math.floor(6 * sigma) | 1
