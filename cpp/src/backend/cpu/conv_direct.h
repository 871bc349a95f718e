// Gathers over bands: tiles of neighbouring results by panels of channels.
#pragma once

#include "backend/cpu/conv_band.h"
#include "backend/cpu/conv_tile.h"
#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr std::int64_t kNearBytes = 24 << 10;  // of weights that stay in the first cache
inline constexpr std::int64_t kDirectUnits = 16;      // pieces of work wanted

template <class T>
struct DirectConv {
  Gather<T> gather;
  BandPlan plan;
  const T* packed;  // panels (next_conv_panel) of n columns and taps * k rows
  T* out;           // of the group's first channel
  Epilogue<T> epilogue;
};

// Tiles [i0, i1) of a band for columns [j, j + panel.cols).
template <class T>
void direct_tiles(const DirectConv<T>& c, const Panel& panel, std::int64_t j,
                  const BandPixels& pixels, const Segment<T>* segments, std::int64_t b_shift,
                  T* out, std::int64_t i0, std::int64_t i1) {
  Epilogue<T> epilogue = c.epilogue;
  if (epilogue.bias != nullptr) epilogue.bias += j;
  GatherTile<T> tile{};
  tile.segments = segments;
  tile.n_segments = c.plan.runs;
  tile.b_shift = b_shift;
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
    for (int r = 0; r < rows; ++r) {
      const T* at = tile.c + tile.c_off[r];
      __builtin_prefetch(at, 1);
      if (panel.width * sizeof(T) > 64) __builtin_prefetch(at + panel.width / 2, 1);
    }
    kernel(tile);
  }
}

/// Columns [j0, j1) of bands [b0, b1).
template <class T>
void direct_bands(const DirectConv<T>& c, std::int64_t b0, std::int64_t b1, std::int64_t j0,
                  std::int64_t j1) {
  alignas(64) T buffer[kBandBytes / static_cast<std::int64_t>(sizeof(T))];
  BandPixels pixels;
  std::int64_t runs[kBandRuns];
  Segment<T> segments[kBandRuns];
  locate_runs(c.gather, c.plan, runs);
  locate_pixels(c.gather, c.plan, pixels);
  const std::int64_t k = c.plan.runs * c.plan.run;
  // Few weights stay near while tiles finish all their columns; otherwise a panel at a time does.
  const bool near = k * (j1 - j0) * static_cast<std::int64_t>(sizeof(T)) <= kNearBytes;
  for (std::int64_t index = b0; index < b1; ++index) {
    const Band<T> band = open_band(c.gather, c.plan, index, buffer);
    const std::int64_t count = band.rows * band.cols;
    const std::int64_t step = near ? 3 * kTileRows : count;
    for (std::int64_t i = 0; i < count; i += step) {
      int width = 0;
      for (std::int64_t j = j0; j < j1;) {
        const Panel panel = next_conv_panel<T>(c.gather.n - j);
        if (panel.width != width) {
          width = panel.width;
          for (std::int64_t r = 0; r < c.plan.runs; ++r) {
            segments[r] = {band.input + runs[r], c.packed + r * c.plan.run * width, c.plan.run};
          }
        }
        direct_tiles(c, panel, j, pixels, segments, j * k, c.out + band.out, i,
                     std::min(count, i + step));
        j += panel.cols;
      }
    }
  }
}

template <class T>
void run_direct(const DirectConv<T>& c, const Exec& exec) {
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
