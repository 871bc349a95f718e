// Gathers over bands: tiles of neighbouring results by panels of channels.
#pragma once

#include "backend/cpu/conv_band.h"
#include "backend/cpu/conv_tile.h"
#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr std::int64_t kNearBytes = 24 << 10;  // of weights that stay in the first cache
inline constexpr std::int64_t kDirectUnits = 16;      // pieces of work wanted

// Tiles of results [i0, i1) of a block for columns [j, j + panel.cols).
template <class T>
void direct_tiles(const PanelConv<T>& c, const Panel& panel, std::int64_t j,
                  const BandPixels& pixels, std::int64_t i0, std::int64_t i1, T* out,
                  GatherTile<T> tile) {
  Epilogue<T> epilogue = c.epilogue;
  if (epilogue.bias != nullptr) epilogue.bias += j;
  tile.b_shift = j * c.plan.runs * c.plan.run;
  tile.cols = panel.cols;
  tile.c = out + j;
  tile.epilogue = &epilogue;
  const int most = gather_tile_rows<T>(panel.kind);
  GatherTileFn<T> kernel = nullptr;
  for (std::int64_t i = i0; i < i1; i += most) {
    const int rows = static_cast<int>(std::min<std::int64_t>(most, i1 - i));
    if (rows != tile.rows) kernel = gather_tile_for<T>(panel.kind, rows);
    tile.rows = rows;
    tile.a_off = pixels.src + i;
    tile.c_off = pixels.out + i;
    for (int r = 0; r < rows; ++r) {  // while the tile sums, its lines arrive
      const T* at = tile.c + tile.c_off[r];
      __builtin_prefetch(at, 1);
      if (panel.width * sizeof(T) > 64) __builtin_prefetch(at + panel.width / 2, 1);
    }
    kernel(tile);
  }
}

// The runs of taps of a block of results with the same taps; returns how many.
template <class T>
int block_segments(const PanelConv<T>& c, const T* base, std::int64_t at, const Span& s0,
                   const Span& s1, const Span& s2, std::int64_t width, Segment<T>* segments) {
  const Axis* a = c.gather.axis;
  const std::int64_t k = c.gather.k;
  const std::int64_t step = c.plan.across == 1 ? s2.to - s2.from : 1;  // taps of a run
  int n = 0;
  for (std::int64_t j0 = s0.from; j0 < s0.to; ++j0) {
    for (std::int64_t j1 = s1.from; j1 < s1.to; ++j1) {
      const std::int64_t row = at + j0 * c.plan.plane + j1 * a[1].step * c.plan.row;
      const std::int64_t tap = (j0 * a[1].taps + j1) * a[2].taps;
      for (std::int64_t j2 = s2.from; j2 < s2.to; j2 += step) {
        segments[n++] = {base + (row + j2 * a[2].step * c.plan.pixel),
                         c.packed + (tap + j2) * k * width, step * k};
      }
    }
  }
  return n;
}

/// Columns [j0, j1) of a block of a band.
template <class T>
void direct_block(const PanelConv<T>& c, const Band<T>& band, const Span& s0, const Span& s1,
                  const Span& s2, std::int64_t j0, std::int64_t j1, BandPixels& pixels) {
  const Axis* a = c.gather.axis;
  locate_pixels(c.gather, c.plan, s1.count, s2.count, pixels);
  const std::int64_t at =
      band.at + s1.at * a[1].scale * c.plan.row + s2.at * a[2].scale * c.plan.pixel;
  T* out = c.out + band.out + s1.at * c.gather.out_stride[1] + s2.at * c.gather.out_stride[2];
  // Few weights stay near while tiles finish all their columns; otherwise a panel at a time does.
  const std::int64_t k = c.plan.runs * c.plan.run;
  const bool near = k * (j1 - j0) * static_cast<std::int64_t>(sizeof(T)) <= kNearBytes;
  const std::int64_t count = s1.count * s2.count;
  const std::int64_t step = near ? 3 * kTileRows : count;
  Segment<T> segments[kBandRuns];
  GatherTile<T> tile{};
  tile.segments = segments;
  int width = 0;
  for (std::int64_t i = 0; i < count; i += step) {
    for (std::int64_t j = j0; j < j1;) {
      const Panel panel = next_narrow_panel<T>(c.gather.n - j);
      if (panel.width != width) {
        width = panel.width;
        tile.n_segments = block_segments(c, band.base, at, s0, s1, s2, width, segments);
      }
      direct_tiles(c, panel, j, pixels, i, std::min(count, i + step), out, tile);
      j += panel.cols;
    }
  }
}

/// Columns [j0, j1) of bands [b0, b1).
template <class T>
void direct_bands(const PanelConv<T>& c, std::int64_t b0, std::int64_t b1, std::int64_t j0,
                  std::int64_t j1) {
  alignas(64) T buffer[kBandBytes / static_cast<std::int64_t>(sizeof(T))];
  BandPixels pixels{};
  Span spans[3][kBandSpans];
  const Axis* a = c.gather.axis;
  for (std::int64_t index = b0; index < b1; ++index) {
    const Band<T> band = open_band(c.gather, c.plan, index, buffer);
    find_spans(a[0], c.plan.skip, band.q0, 1, spans[0]);
    const int n1 = find_spans(a[1], c.plan.skip, band.q1, band.rows, spans[1]);
    const int n2 = find_spans(a[2], c.plan.skip, band.q2, band.cols, spans[2]);
    for (int i = 0; i < n1; ++i) {
      for (int j = 0; j < n2; ++j) {
        direct_block(c, band, spans[0][0], spans[1][i], spans[2][j], j0, j1, pixels);
      }
    }
  }
}

template <class T>
void run_direct(const PanelConv<T>& c, const Exec& exec) {
  constexpr std::int64_t kW = kPanelWidth<T>;
  const std::int64_t bands = count_bands(c.gather, c.plan);
  const std::int64_t panels = (c.gather.n + kW - 1) / kW;
  const std::int64_t cost = c.plan.rows * c.plan.cols * c.plan.runs * c.plan.run * c.gather.n;
  // Few bands are shared out by their columns too.
  std::int64_t groups = 1;
  if (bands < kDirectUnits && bands * cost > 2 * kGemmGrain) {
    groups = std::min(panels, (kDirectUnits + bands - 1) / bands);
  }
  const std::int64_t grain = groups > 1 ? 1 : kGemmGrain / std::max<std::int64_t>(1, cost);
  parallel_for(exec, groups * bands, grain, [&](std::int64_t u0, std::int64_t u1) {
    if (groups == 1) {
      direct_bands(c, u0, u1, 0, c.gather.n);
      return;
    }
    for (std::int64_t u = u0; u < u1; ++u) {
      const std::int64_t group = u / bands;
      direct_bands(c, u % bands, u % bands + 1, panels * group / groups * kW,
                   std::min(c.gather.n, panels * (group + 1) / groups * kW));
    }
  });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
