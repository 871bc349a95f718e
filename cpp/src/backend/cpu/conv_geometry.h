// How a convolution's passes walk their images. Forward and backward-data are the same gather: a
// grid of results, each the sum over taps of (weights of the tap) x (one source pixel). For
// backward-data with stride s the grid is one of s phases, so that only taps that meet a dy pixel
// take part.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "backend/kernels.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// One spatial dimension of a gather: result q reads source q * scale + base + j * step for tap j,
/// which is the convolution's tap first_tap + j * tap_step.
struct Axis {
  std::int64_t src, grid, taps;
  std::int64_t scale, base, step;
  std::int64_t first_tap, tap_step;
};

inline std::int64_t product3(const std::int64_t (&v)[3]) { return v[0] * v[1] * v[2]; }

inline Axis forward_axis(const ConvGeometry& g, int d) {
  return {g.in[d], g.out[d], g.k[d], g.stride[d], -g.pad[d], g.dilation[d], 0, 1};
}

/// The results q with q % stride == phase, numbered q / stride.
inline Axis backward_axis(const ConvGeometry& g, int d, std::int64_t phase) {
  const std::int64_t s = g.stride[d];
  const std::int64_t common = std::gcd(s, g.dilation[d]);
  Axis a{};
  a.src = g.out[d];
  a.grid = phase < g.in[d] ? (g.in[d] - phase + s - 1) / s : 0;
  a.scale = 1;
  a.step = -g.dilation[d] / common;
  a.tap_step = s / common;
  for (std::int64_t t = 0; t < std::min(g.k[d], a.tap_step); ++t) {
    const std::int64_t at = phase + g.pad[d] - t * g.dilation[d];
    if (at % s == 0) {
      a.first_tap = t;
      a.taps = (g.k[d] - 1 - t) / a.tap_step + 1;
      a.base = at / s;
      break;
    }
  }
  return a;
}

/// The same axis with its taps in the order of their sources. Tap j of the result is tap
/// `taps - 1 - j` of the axis where the step was negative.
inline Axis ascending(Axis a) {
  if (a.step >= 0) return a;
  a.base += (a.taps - 1) * a.step;
  a.step = -a.step;
  a.first_tap += (a.taps - 1) * a.tap_step;
  a.tap_step = -a.tap_step;
  return a;
}

/// The convolution's tap that an axis's tap j is.
inline std::int64_t tap_of(const Axis& a, std::int64_t j) { return a.first_tap + j * a.tap_step; }

/// The range of results whose source for tap j exists.
inline void valid_range(const Axis& a, std::int64_t j, std::int64_t& lo, std::int64_t& hi) {
  const std::int64_t at = a.base + j * a.step;  // q * scale + at must lie in [0, src)
  lo = at >= 0 ? 0 : std::min(a.grid, (-at + a.scale - 1) / a.scale);
  hi = at >= a.src ? 0 : std::min(a.grid, (a.src - 1 - at) / a.scale + 1);
  hi = std::max(lo, hi);
}

/// The range of results all of whose taps exist.
inline void inner_range(const Axis& a, std::int64_t& lo, std::int64_t& hi) {
  lo = 0;
  hi = a.grid;
  for (std::int64_t j = 0; j < a.taps; ++j) {
    std::int64_t from = 0;
    std::int64_t to = 0;
    valid_range(a, j, from, to);
    lo = std::max(lo, from);
    hi = std::min(hi, to);
  }
  hi = std::max(lo, hi);
}

/// A line is one row of results along the last dimension.
struct Line {
  std::int64_t n, q0, q1;
};

inline Line line_at(std::int64_t index, std::int64_t grid0, std::int64_t grid1) {
  const std::int64_t rest = index / grid1;
  return {rest / grid0, rest % grid0, index % grid1};
}

/// A 1x1 convolution without stride or padding treats pixels alike: they become one long line.
inline ConvGeometry merge_pixels(ConvGeometry g) {
  for (int d = 0; d < 3; ++d) {
    if (g.k[d] != 1 || g.stride[d] != 1 || g.pad[d] != 0 || g.in[d] != g.out[d]) return g;
  }
  const std::int64_t pixels = g.n * product3(g.in);
  g.n = 1;
  for (int d = 0; d < 3; ++d) g.in[d] = g.out[d] = 1;
  g.in[2] = g.out[2] = pixels;
  return g;
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
