// The gradient of a convolution's weights: for every tap, dw (c x o) = sum over pixels of
// x[pixel + tap] (outer product) dy[pixel]. Pixels are cut into fixed parts with a dw of their own,
// which are added in order at the end, and within a part into blocks that stay in the cache.
#pragma once

#include "backend/cpu/conv_band.h"
#include "backend/cpu/conv_tile.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr std::int64_t kWeightParts = 8;          // parts of the pixels at most
inline constexpr std::int64_t kWeightUnits = 16;         // pieces of work wanted
inline constexpr std::int64_t kPartsElements = 1 << 21;  // of all parts' dw
inline constexpr std::int64_t kWeightPixels = 256;       // results of a band at most
inline constexpr std::int64_t kNearRows = 64;      // of dw from which a copy of the upstream pays
inline constexpr std::int64_t kShortRun = 8;       // up to here tiles take rows of several runs
inline constexpr std::int64_t kPiece = 256;        // pixels of a line at a time
inline constexpr std::int64_t kWeightBlock = 512;  // pixels at a time

/// Parts into which `units` pieces of work of `cost` multiply-adds each are cut, given dw's size.
inline std::int64_t weight_parts(std::int64_t units, std::int64_t cost, std::int64_t elements) {
  const std::int64_t by_memory = kPartsElements / std::max<std::int64_t>(1, elements);
  const std::int64_t wanted = static_cast<std::int64_t>(
      static_cast<double>(units) * static_cast<double>(cost) / static_cast<double>(2 * kGemmGrain));
  return std::clamp<std::int64_t>(std::min({wanted, by_memory, kWeightParts, units}), 1,
                                  kWeightParts);
}

/// dw[i] = parts[0][i] + parts[1][i] + ...
template <class T>
void add_parts(const T* parts, std::int64_t n_parts, std::int64_t elements, T* dw,
               const Exec& exec) {
  constexpr int kW = Vec<T>::kWidth;
  const std::int64_t vectors = (elements + kW - 1) / kW;
  parallel_for(exec, vectors, grain_for(n_parts * kW), [&](std::int64_t v0, std::int64_t v1) {
    for (std::int64_t i = v0 * kW; i < v1 * kW; i += kW) {
      const std::int64_t left = std::min<std::int64_t>(kW, elements - i);
      Vec<T> sum = Vec<T>::load_partial(parts + i, left);
      for (std::int64_t r = 1; r < n_parts; ++r) {
        sum = sum + Vec<T>::load_partial(parts + r * elements + i, left);
      }
      sum.store_partial(dw + i, left);
    }
  });
}

/// The gradient of a gather's weights over bands: rows (tap, channel of the source), n columns.
template <class T>
struct WeightsConv {
  Gather<T> gather;
  BandPlan plan;
  const T* upstream;  // laid out as the gather's results
  std::int64_t ldw;   // from row to row of dw
};

/// Rows of runs [r0, r1) of one panel: tiles within a run or, of short runs, across them.
template <class T, bool Apart>
void weights_of_panel(const Panel& panel, const std::int64_t* runs, std::int64_t run,
                      std::int64_t r0, std::int64_t r1, T* dw, WeightsTile<T> tile) {
  const std::int64_t most = weights_tile_rows<T, Apart>(panel.kind == PanelKind::kWide);
  const std::int64_t rows = Apart ? (r1 - r0) * run : run;  // that are cut into tiles
  const std::int64_t tiles = (rows + most - 1) / most;
  std::int64_t off[12];
  tile.a_off = off;
  for (std::int64_t r = r0; r < (Apart ? r0 + 1 : r1); ++r) {
    for (std::int64_t i = 0; i < tiles; ++i) {
      const std::int64_t at = rows * i / tiles;
      const int some = static_cast<int>(rows * (i + 1) / tiles - at);
      if constexpr (Apart) {
        for (int m = 0; m < some; ++m) off[m] = runs[r + (at + m) / run] + (at + m) % run;
      } else {
        tile.a_shift = runs[r] + at;
      }
      tile.c = dw + (r * run + at) * tile.ldc;
      (panel.cols < panel.width ? weights_tile_for<T, Apart, true>(panel.kind, some)
                                : weights_tile_for<T, Apart, false>(panel.kind, some))(tile);
    }
  }
}

// Results [first, end) of [0, count) from q on for which tap j of an axis exists.
inline void clip_to_tap(const Axis& a, std::int64_t j, std::int64_t q, std::int64_t count,
                        std::int64_t& first, std::int64_t& end) {
  std::int64_t lo = 0;
  std::int64_t hi = 0;
  valid_range(a, j, lo, hi);
  first = std::clamp<std::int64_t>(lo - q, 0, count);
  end = std::clamp<std::int64_t>(hi - q, first, count);
}

// The results of a band as segments of lines, of those for which tap r exists where taps are left
// out. Returns how many.
template <class T>
std::int64_t tap_segments(const WeightsConv<T>& c, const Band<T>& band, std::int64_t r,
                          const T* upstream, std::int64_t line, std::int64_t pixel,
                          Segment<T>* segments) {
  const Axis* a = c.gather.axis;
  std::int64_t lo = 0;
  std::int64_t hi = band.cols;
  std::int64_t from = 0;
  std::int64_t to = band.rows;
  if (c.plan.skip) {
    const std::int64_t rest = r / a[2].taps;
    clip_to_tap(a[2], r % a[2].taps, band.q2, band.cols, lo, hi);
    clip_to_tap(a[1], rest % a[1].taps, band.q1, band.rows, from, to);
    const std::int64_t s0 = band.q0 * a[0].scale + a[0].base + rest / a[1].taps * a[0].step;
    if (lo == hi || s0 < 0 || s0 >= a[0].src) return 0;
  }
  std::int64_t n = 0;
  for (std::int64_t q = from; q < to; ++q) {
    segments[n++] = {
        band.base + (band.at + q * a[1].scale * c.plan.row + lo * a[2].scale * c.plan.pixel),
        upstream + q * line + lo * pixel, hi - lo};
  }
  return n;
}

/// Rows of runs [r0, r1) of dw from bands [b0, b1).
template <class T>
void weights_of_bands(const WeightsConv<T>& c, std::int64_t b0, std::int64_t b1, std::int64_t r0,
                      std::int64_t r1, T* dw) {
  alignas(64) T buffer[kBandBytes / static_cast<std::int64_t>(sizeof(T))];
  alignas(64) T near[kWeightPixels * kPanelWidth<T>];  // a panel of the upstream
  std::int64_t runs[kBandRuns];
  Segment<T> segments[kWeightPixels];
  locate_runs(c.gather, c.plan, runs);
  const Gather<T>& p = c.gather;
  const std::int64_t run = c.plan.run;
  const std::int64_t together = c.plan.skip ? 1 : r1 - r0;  // runs with the same results
  for (std::int64_t index = b0; index < b1; ++index) {
    const Band<T> band = open_band(p, c.plan, index, buffer);
    for (std::int64_t j = 0; j < p.n;) {
      const Panel panel = next_narrow_panel<T>(p.n - j);
      const T* upstream = c.upstream + band.out + j;
      std::int64_t line = p.out_stride[1];
      WeightsTile<T> tile{};
      tile.segments = segments;
      tile.a_step = p.axis[2].scale * c.plan.pixel;
      tile.ldb = p.out_stride[2];
      tile.ldc = c.ldw;
      tile.last = panel.width == kPanelWidth<T> ? panel.cols - panel.width / 2 : panel.cols;
      tile.add = index > b0;
      if (p.n > kPanelWidth<T> && (r1 - r0) * run >= kNearRows) {
        for (std::int64_t r = 0; r < band.rows; ++r) {
          pack_panel(panel, upstream + r * line, tile.ldb, band.cols,
                     near + r * band.cols * panel.width);
        }
        upstream = near;
        line = band.cols * panel.width;
        tile.ldb = panel.width;
      }
      for (std::int64_t r = r0; r < r1; r += together) {
        tile.n_segments = tap_segments(c, band, r, upstream, line, tile.ldb, segments);
        (run < kShortRun ? weights_of_panel<T, true> : weights_of_panel<T, false>)(panel, runs, run,
                                                                                   r, r + together,
                                                                                   dw + j, tile);
      }
      j += panel.cols;
    }
  }
}

/// Lines of results in pieces of at most kPiece pixels, in blocks of about kWeightBlock pixels.
struct WeightPlan {
  std::int64_t pieces_per_line, pieces, block, blocks;
  std::int64_t parts, tap_groups;
};

inline WeightPlan plan_weights(const ConvGeometry& g) {
  WeightPlan p{};
  p.pieces_per_line = (g.out[2] + kPiece - 1) / kPiece;
  p.pieces = g.n * g.out[0] * g.out[1] * p.pieces_per_line;
  p.block = std::max<std::int64_t>(
      1, kWeightBlock / std::min(kPiece, std::max<std::int64_t>(1, g.out[2])));
  p.blocks = (p.pieces + p.block - 1) / p.block;
  const std::int64_t taps = product3(g.k);
  const std::int64_t elements = taps * (g.c / g.groups) * g.o;
  const std::int64_t cost = elements * p.block * std::min(kPiece, g.out[2]);
  p.parts = weight_parts(p.blocks, cost, elements);
  const bool split = static_cast<double>(cost) * static_cast<double>(p.blocks) > 16.0 * kGemmGrain;
  p.tap_groups = split ? std::min(taps, (kWeightUnits + p.parts - 1) / p.parts) : 1;
  return p;
}

/// dw of taps [t0, t1) from blocks [b0, b1).
template <class T>
void weights_of_blocks(const ConvGeometry& g, const WeightPlan& plan, const T* x, const T* dy,
                       std::int64_t b0, std::int64_t b1, std::int64_t t0, std::int64_t t1, T* dw) {
  const Axis axis[3] = {forward_axis(g, 0), forward_axis(g, 1), forward_axis(g, 2)};
  const std::int64_t cg = g.c / g.groups;
  const std::int64_t og = g.o / g.groups;
  Segment<T> segments[kWeightBlock + 1];
  for (std::int64_t block = b0; block < b1; ++block) {
    const std::int64_t p0 = block * plan.block;
    const std::int64_t p1 = std::min(plan.pieces, p0 + plan.block);
    for (std::int64_t t = t0; t < t1; ++t) {
      const std::int64_t j2 = t % g.k[2];
      const std::int64_t j1 = t / g.k[2] % g.k[1];
      const std::int64_t j0 = t / g.k[2] / g.k[1];
      std::int64_t lo = 0;
      std::int64_t hi = 0;
      valid_range(axis[2], j2, lo, hi);
      int n = 0;
      for (std::int64_t piece = p0; piece < p1; ++piece) {
        const std::int64_t index = piece / plan.pieces_per_line;
        const std::int64_t start = piece % plan.pieces_per_line * kPiece;
        const std::int64_t from = std::max(lo, start);
        const std::int64_t to = std::min(hi, start + kPiece);
        if (from >= to) continue;
        const Line line = line_at(index, g.out[0], g.out[1]);
        const std::int64_t s0 = line.q0 * g.stride[0] + axis[0].base + j0 * axis[0].step;
        const std::int64_t s1 = line.q1 * g.stride[1] + axis[1].base + j1 * axis[1].step;
        const std::int64_t s2 = from * g.stride[2] + axis[2].base + j2 * axis[2].step;
        if (s0 < 0 || s0 >= g.in[0] || s1 < 0 || s1 >= g.in[1]) continue;
        segments[n++] = {x + (((line.n * g.in[0] + s0) * g.in[1] + s1) * g.in[2] + s2) * g.c,
                         dy + (index * g.out[2] + from) * g.o, to - from};
      }
      if (n == 0 && block > b0) continue;  // the first block writes its zeros
      for (std::int64_t group = 0; group < g.groups; ++group) {
        for (std::int64_t j = 0; j < og; j += kPanelWidth<T>) {
          Tile<T> tile{};
          tile.segments = segments;
          tile.n_segments = n;
          tile.a_shift = group * cg;
          tile.b_shift = group * og + j;
          tile.a_step = g.stride[2] * g.c;
          tile.ldb = g.o;
          tile.c = dw + t * cg * g.o + group * og + j;
          tile.add = block > b0;
          run_strips(next_panel<T>(og - j), true, cg, 1, g.o, tile);
        }
      }
    }
  }
}

template <class T>
void run_weights(const ConvGeometry& g, const T* x, const T* dy, T* dw, T* workspace,
                 const Exec& exec) {
  const WeightPlan plan = plan_weights(g);
  const std::int64_t taps = product3(g.k);
  const std::int64_t elements = taps * (g.c / g.groups) * g.o;
  T* parts = plan.parts > 1 ? workspace : dw;
  parallel_for(exec, plan.parts * plan.tap_groups, 1, [&](std::int64_t u0, std::int64_t u1) {
    for (std::int64_t u = u0; u < u1; ++u) {
      const std::int64_t part = u / plan.tap_groups;
      const std::int64_t group = u % plan.tap_groups;
      weights_of_blocks(g, plan, x, dy, plan.blocks * part / plan.parts,
                        plan.blocks * (part + 1) / plan.parts, taps * group / plan.tap_groups,
                        taps * (group + 1) / plan.tap_groups, parts + part * elements);
    }
  });
  if (plan.parts > 1) add_parts(parts, plan.parts, elements, dw, exec);
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
