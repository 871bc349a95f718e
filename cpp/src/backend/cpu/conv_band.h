// Bands: a piece of a gather's results together with the sources that its taps read. Of few
// channels, sources that reach into the padding are copied with their zeros onto the stack, so that
// every tap of every result exists. Of many, taps that do not exist are left out, and results that
// have the same taps form blocks. Neighbouring taps of a row are one contiguous run of elements
// where sources lie side by side.
#pragma once

#include "backend/cpu/conv_geometry.h"
#include "backend/cpu/gemm.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr std::int64_t kBandBytes = 128 << 10;  // of a band's sources
inline constexpr std::int64_t kBandPixels = 512;       // results of a band
inline constexpr std::int64_t kSkipChannels = 16;  // from which taps in the padding are left out
inline constexpr std::int64_t kBandSpans = 64;     // spans of an axis of a band
inline constexpr std::int64_t kBandRuns = 512;     // runs of contiguous taps

/// A grid of results, each a sum over taps of products of weights with one source pixel's channels.
template <class T>
struct Gather {
  std::int64_t batch;
  Axis axis[3];            // ascending
  const T* src;            // of the group's first channel
  std::int64_t src_pixel;  // elements of a source pixel, of all groups
  std::int64_t k;          // channels of a tap
  std::int64_t n;          // channels of a result
  std::int64_t out_batch;  // where results lie
  std::int64_t out_stride[3];

  std::int64_t taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
  std::int64_t pixels() const { return batch * axis[0].grid * axis[1].grid * axis[2].grid; }
};

/// y from x, for the group whose first channel src is.
template <class T>
Gather<T> forward_gather(const ConvGeometry& g, const T* src) {
  Gather<T> p{};
  p.batch = g.n;
  p.src = src;
  p.src_pixel = g.c;
  p.k = g.c / g.groups;
  p.n = g.o / g.groups;
  std::int64_t stride = g.o;
  for (int d = 2; d >= 0; --d) {
    p.axis[d] = forward_axis(g, d);
    p.out_stride[d] = stride;
    stride *= g.out[d];
  }
  p.out_batch = stride;
  return p;
}

/// One of product3(stride) phases of dx from dy; its first result lies at dx + offset.
template <class T>
Gather<T> backward_gather(const ConvGeometry& g, std::int64_t phase, const T* src,
                          std::int64_t& offset) {
  Gather<T> p{};
  p.batch = g.n;
  p.src = src;
  p.src_pixel = g.o;
  p.k = g.o / g.groups;
  p.n = g.c / g.groups;
  std::int64_t stride = g.c;
  offset = 0;
  for (int d = 2; d >= 0; --d) {
    p.axis[d] = ascending(backward_axis(g, d, phase % g.stride[d]));
    p.out_stride[d] = stride * g.stride[d];
    offset += phase % g.stride[d] * stride;
    stride *= g.in[d];
    phase /= g.stride[d];
  }
  p.out_batch = stride;
  return p;
}

struct BandPlan {
  bool fits;                       // false: these sizes are not for bands
  bool in_place;                   // sources are not copied
  bool skip;                       // some taps do not exist
  std::int64_t rows, cols;         // results of a band
  std::int64_t bands1, bands2;     // bands of a plane of results
  std::int64_t pixel, row, plane;  // from source to source as the tiles see them
  std::int64_t runs, run;          // runs of contiguous taps, their elements
  std::int64_t across;             // runs along the last axis
};

/// skips: the caller can leave taps out. apart: copied sources lie so that walks from pixel to
/// pixel meet different sets of the cache.
template <class T>
BandPlan plan_bands(const Gather<T>& p, std::int64_t most_pixels, bool skips, bool apart = false) {
  const Axis* a = p.axis;
  BandPlan b{};
  if (p.pixels() * p.taps() * p.k == 0) return b;
  const auto span = [&](int d, std::int64_t n) {
    return (n - 1) * a[d].scale + (a[d].taps - 1) * a[d].step + 1;
  };
  constexpr auto kItem = static_cast<std::int64_t>(sizeof(T));
  apart = apart && p.k * kItem % 256 == 0;
  bool whole = true;  // all taps exist
  bool few = true;    // taps of an axis
  for (int d = 0; d < 3; ++d) {
    whole = whole && a[d].base >= 0 && a[d].base + span(d, a[d].grid) <= a[d].src;
    few = few && 2 * a[d].taps < kBandSpans;
  }
  b.skip = skips && !whole && few && p.k >= kSkipChannels;
  b.in_place = !apart && (whole || b.skip);
  b.pixel = b.in_place ? p.src_pixel : p.k + (apart ? 64 / kItem : 0);
  const bool joined = a[2].taps == 1 || (a[2].step == 1 && b.pixel == p.k);
  b.across = joined ? 1 : a[2].taps;
  b.run = joined ? a[2].taps * p.k : p.k;
  b.runs = a[0].taps * a[1].taps * b.across;
  b.rows = 1;
  b.cols = std::min(a[2].grid, most_pixels);
  constexpr std::int64_t kMost = kBandBytes / kItem;
  const auto elements = [&](std::int64_t rows, std::int64_t cols) {
    return b.in_place ? 0 : a[0].taps * span(1, rows) * span(2, cols) * b.pixel;
  };
  while (b.cols > 1 && elements(1, b.cols) > kMost) b.cols = (b.cols + 1) / 2;
  if (b.cols == a[2].grid) {
    b.rows = std::min(a[1].grid, std::max<std::int64_t>(1, most_pixels / b.cols));
    while (b.rows > 1 && elements(b.rows, b.cols) > kMost) --b.rows;
    const std::int64_t bands = (a[1].grid + b.rows - 1) / b.rows;
    b.rows = (a[1].grid + bands - 1) / bands;
  }
  b.bands1 = (a[1].grid + b.rows - 1) / b.rows;
  b.bands2 = (a[2].grid + b.cols - 1) / b.cols;
  b.fits = elements(b.rows, b.cols) <= kMost && b.runs <= kBandRuns;
  b.row = b.in_place ? a[2].src * p.src_pixel : span(2, b.cols) * b.pixel;
  b.plane = b.in_place ? a[0].step * a[1].src * b.row : span(1, b.rows) * b.row;
  return b;
}

/// A gather over bands by panels of its results' channels.
template <class T>
struct PanelConv {
  Gather<T> gather;
  BandPlan plan;
  const T* packed;  // panels (next_narrow_panel) of n columns and taps * k rows
  T* out;           // of the group's first channel
  Epilogue<T> epilogue;
};

template <class T>
std::int64_t count_bands(const Gather<T>& p, const BandPlan& b) {
  return p.batch * p.axis[0].grid * b.bands1 * b.bands2;
}

/// Results [q1, q1 + rows) x [q2, q2 + cols) of a plane, and their sources.
template <class T>
struct Band {
  std::int64_t q0, q1, q2, rows, cols;
  std::int64_t out;  // offset of the first result
  const T* base;     // the image or the copy
  std::int64_t at;   // of the first tap's source of the first result, from base
};

template <class T>
void copy_band(const Gather<T>& p, const BandPlan& plan, const Band<T>& band, const T* image,
               std::int64_t s0, std::int64_t s1, std::int64_t s2, T* buffer) {
  const Axis* a = p.axis;
  const std::int64_t height = (band.rows - 1) * a[1].scale + (a[1].taps - 1) * a[1].step + 1;
  const std::int64_t width = (band.cols - 1) * a[2].scale + (a[2].taps - 1) * a[2].step + 1;
  const std::int64_t from = std::clamp<std::int64_t>(-s2, 0, width);  // columns that exist
  const std::int64_t to = std::clamp<std::int64_t>(a[2].src - s2, from, width);
  for (std::int64_t j = 0; j < a[0].taps; ++j) {
    const std::int64_t d = s0 + j * a[0].step;
    for (std::int64_t i = 0; i < height; ++i) {
      T* out = buffer + j * plan.plane + i * plan.row;
      const std::int64_t h = s1 + i;
      if (d < 0 || d >= a[0].src || h < 0 || h >= a[1].src) {
        std::fill(out, out + width * plan.pixel, T(0));
        continue;
      }
      const T* row = image + ((d * a[1].src + h) * a[2].src + s2 + from) * p.src_pixel;
      std::fill(out, out + from * plan.pixel, T(0));
      if (p.src_pixel == plan.pixel) {
        std::copy_n(row, (to - from) * p.k, out + from * p.k);
      } else {
        for (std::int64_t w = 0; w < to - from; ++w) {
          std::copy_n(row + w * p.src_pixel, p.k, out + (from + w) * plan.pixel);
        }
      }
      std::fill(out + to * plan.pixel, out + width * plan.pixel, T(0));
    }
  }
}

/// buffer: kBandBytes.
template <class T>
Band<T> open_band(const Gather<T>& p, const BandPlan& plan, std::int64_t index, T* buffer) {
  const Axis* a = p.axis;
  const std::int64_t b2 = index % plan.bands2;
  const Line at = line_at(index / plan.bands2, a[0].grid, plan.bands1);
  Band<T> band{};
  band.q0 = at.q0;
  band.q1 = at.q1 * plan.rows;
  band.q2 = b2 * plan.cols;
  band.rows = std::min(plan.rows, a[1].grid - band.q1);
  band.cols = std::min(plan.cols, a[2].grid - band.q2);
  band.out = at.n * p.out_batch + at.q0 * p.out_stride[0] + band.q1 * p.out_stride[1] +
             band.q2 * p.out_stride[2];
  const std::int64_t s0 = at.q0 * a[0].scale + a[0].base;
  const std::int64_t s1 = band.q1 * a[1].scale + a[1].base;
  const std::int64_t s2 = band.q2 * a[2].scale + a[2].base;
  const T* image = p.src + at.n * a[0].src * a[1].src * a[2].src * p.src_pixel;
  if (plan.in_place) {
    band.base = image;
    band.at = ((s0 * a[1].src + s1) * a[2].src + s2) * p.src_pixel;
  } else {
    copy_band(p, plan, band, image, s0, s1, s2, buffer);
    band.base = buffer;
  }
  return band;
}

/// Neighbouring results of one axis with the same taps: results [at, at + count) of the band, taps
/// [from, to).
struct Span {
  std::int64_t at, count, from, to;
};

/// The spans of results [q, q + count); unless `skip` all have all taps. Returns how many.
inline int find_spans(const Axis& a, bool skip, std::int64_t q, std::int64_t count, Span* spans) {
  spans[0] = {0, count, 0, a.taps};
  if (!skip) return 1;
  int n = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t s = (q + i) * a.scale + a.base;
    Span one{i, 1, 0, a.taps};
    while (one.from < one.to && s + one.from * a.step < 0) ++one.from;
    while (one.to > one.from && s + (one.to - 1) * a.step >= a.src) --one.to;
    if (n > 0 && spans[n - 1].from == one.from && spans[n - 1].to == one.to) {
      ++spans[n - 1].count;
    } else {
      spans[n++] = one;
    }
  }
  return n;
}

/// Makes every tap a run of its own.
template <class T>
void part_runs(const Gather<T>& p, BandPlan& plan) {
  plan.across = p.axis[2].taps;
  plan.run = p.k;
  plan.runs = p.taps();
  plan.fits = plan.fits && plan.runs <= kBandRuns;
}

/// Where runs lie in a band: offsets[i] of the i-th run's first element.
template <class T>
void locate_runs(const Gather<T>& p, const BandPlan& plan, std::int64_t* offsets) {
  const Axis* a = p.axis;
  for (std::int64_t j0 = 0; j0 < a[0].taps; ++j0) {
    for (std::int64_t j1 = 0; j1 < a[1].taps; ++j1) {
      for (std::int64_t j2 = 0; j2 < plan.across; ++j2) {
        *offsets++ = j0 * plan.plane + j1 * a[1].step * plan.row + j2 * a[2].step * plan.pixel;
      }
    }
  }
}

/// Where neighbouring results lie, from the first one on: in the band, and in the output.
struct BandPixels {
  std::int64_t rows, cols;
  std::int64_t src[kBandPixels];
  std::int64_t out[kBandPixels];
};

template <class T>
void locate_pixels(const Gather<T>& p, const BandPlan& plan, std::int64_t rows, std::int64_t cols,
                   BandPixels& pixels) {
  if (pixels.rows == rows && pixels.cols == cols) return;
  pixels.rows = rows;
  pixels.cols = cols;
  std::int64_t i = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t w = 0; w < cols; ++w, ++i) {
      pixels.src[i] = r * p.axis[1].scale * plan.row + w * p.axis[2].scale * plan.pixel;
      pixels.out[i] = r * p.out_stride[1] + w * p.out_stride[2];
    }
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
