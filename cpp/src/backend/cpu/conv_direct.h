// Convolution of images with few channels. A band of output rows takes its input rows with their
// padding onto the stack (or reads them in place where there is none), so that the taps along a row
// are one contiguous run of kw * c elements and every tile is free of special cases.
#pragma once

#include "backend/cpu/conv_geometry.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr std::int64_t kDirectChannels = 8;
inline constexpr std::int64_t kDirectRuns = 64;       // runs of contiguous taps
inline constexpr std::int64_t kDirectRows = 512;      // rows of dw: taps * c
inline constexpr std::int64_t kBandBytes = 32 << 10;  // of a band's input
inline constexpr std::int64_t kBandPixels = 1024;

struct BandPlan {
  bool fits;                    // false: these sizes are not for the direct kernels
  bool in_place;                // nothing is padded
  std::int64_t rows;            // output rows of a band
  std::int64_t bands;           // bands of an output plane
  std::int64_t row;             // elements of an input row as the tiles see it
  std::int64_t plane;           // from input plane to plane
  std::int64_t runs, run_size;  // contiguous taps
};

inline BandPlan plan_bands(const ConvGeometry& g, std::size_t item) {
  BandPlan p{};
  const auto span = [&](int d, std::int64_t n) {
    return (n - 1) * g.stride[d] + (g.k[d] - 1) * g.dilation[d] + 1;
  };
  const bool dense = g.dilation[2] == 1;
  p.runs = g.k[0] * g.k[1] * (dense ? 1 : g.k[2]);
  p.run_size = (dense ? g.k[2] : 1) * g.c;
  if (g.groups != 1 || g.c > kDirectChannels || p.runs > kDirectRuns ||
      product3(g.k) * g.c > kDirectRows || product3(g.out) == 0 || g.pad[2] < 0) {
    return p;
  }
  p.in_place = true;
  for (int d = 0; d < 3; ++d) {
    p.in_place = p.in_place && g.pad[d] == 0 && span(d, g.out[d]) <= g.in[d];
  }
  const std::int64_t most = kBandBytes / static_cast<std::int64_t>(item);
  const std::int64_t row = span(2, g.out[2]) * g.c;
  std::int64_t rows = std::min(g.out[1], std::max<std::int64_t>(1, kBandPixels / g.out[2]));
  while (rows > 1 && g.k[0] * span(1, rows) * row > most) rows = (rows + 1) / 2;
  p.rows = rows;
  p.bands = (g.out[1] + rows - 1) / rows;
  p.fits = rows * g.out[2] <= kBandPixels && (p.in_place || g.k[0] * span(1, rows) * row <= most);
  p.row = p.in_place ? g.in[2] * g.c : row;
  p.plane = p.in_place ? g.in[1] * p.row : span(1, rows) * row;
  return p;
}

/// A band: output rows [h0, h0 + rows) of plane `d` of image n, and its input.
template <class T>
struct Band {
  std::int64_t n, d, h0, rows;
  const T* input;
};

template <class T>
Band<T> open_band(const ConvGeometry& g, const BandPlan& p, const T* x, std::int64_t index,
                  T* buffer) {
  const Line at = line_at(index, g.out[0], p.bands);
  Band<T> band{at.n, at.q0, at.q1 * p.rows, 0, nullptr};
  band.rows = std::min(p.rows, g.out[1] - band.h0);
  const std::int64_t d0 = band.d * g.stride[0] - g.pad[0];
  const std::int64_t h0 = band.h0 * g.stride[1] - g.pad[1];
  const std::int64_t in_row = g.in[2] * g.c;
  const T* image = x + band.n * g.in[0] * g.in[1] * in_row;
  if (p.in_place) {
    band.input = image + (d0 * g.in[1] + h0) * in_row;
    return band;
  }
  const std::int64_t height = (band.rows - 1) * g.stride[1] + (g.k[1] - 1) * g.dilation[1] + 1;
  const std::int64_t left = std::min(p.row, g.pad[2] * g.c);
  const std::int64_t some = std::clamp<std::int64_t>(p.row - left, 0, in_row);
  for (std::int64_t td = 0; td < g.k[0]; ++td) {
    const std::int64_t d = d0 + td * g.dilation[0];
    for (std::int64_t i = 0; i < height; ++i) {
      T* out = buffer + td * p.plane + i * p.row;
      const std::int64_t h = h0 + i;
      if (d < 0 || d >= g.in[0] || h < 0 || h >= g.in[1]) {
        std::fill(out, out + p.row, T(0));
        continue;
      }
      std::fill(out, out + left, T(0));
      std::copy_n(image + (d * g.in[1] + h) * in_row, some, out + left);
      std::fill(out + left + some, out + p.row, T(0));
    }
  }
  band.input = buffer;
  return band;
}

/// From plane to plane of the taps: copied bands hold just the planes that taps read.
inline std::int64_t tap_plane(const ConvGeometry& g, const BandPlan& p) {
  return p.in_place ? g.dilation[0] * p.plane : p.plane;
}

/// packed: panels of o columns and taps * c rows.
template <class T>
void run_direct(const ConvGeometry& g, const BandPlan& p, const T* x, const T* packed,
                const Epilogue<T>& whole, T* y, const Exec& exec) {
  const std::int64_t k = product3(g.k) * g.c;
  const std::int64_t cost = p.rows * g.out[2] * k * g.o;
  parallel_for(exec, g.n * g.out[0] * p.bands, kGemmGrain / std::max<std::int64_t>(1, cost),
               [&](std::int64_t b0, std::int64_t b1) {
                 alignas(64) T buffer[kBandBytes / static_cast<std::int64_t>(sizeof(T))];
                 std::int64_t a_off[kBandPixels + kStrip];
                 std::int64_t c_off[kStrip];
                 Segment<T> segments[kDirectRuns];
                 for (int i = 0; i < kStrip; ++i) c_off[i] = i * g.o;
                 const std::int64_t pixel = g.stride[2] * g.c;
                 for (std::int64_t r = 0, i = 0; r < p.rows; ++r) {
                   for (std::int64_t w = 0; w < g.out[2]; ++w) {
                     a_off[i++] = r * g.stride[1] * p.row + w * pixel;
                   }
                 }
                 for (std::int64_t index = b0; index < b1; ++index) {
                   const Band<T> band = open_band(g, p, x, index, buffer);
                   const std::int64_t pixels = band.rows * g.out[2];
                   T* out =
                       y + (((band.n * g.out[0] + band.d) * g.out[1] + band.h0) * g.out[2]) * g.o;
                   for (std::int64_t j = 0; j < g.o; j += kPanelWidth<T>) {
                     const Panel panel = next_panel<T>(g.o - j);
                     const T* b = packed + j * k;
                     int n = 0;
                     const std::int64_t across = p.run_size == g.c ? g.k[2] : 1;
                     for (std::int64_t td = 0; td < g.k[0]; ++td) {
                       for (std::int64_t th = 0; th < g.k[1]; ++th) {
                         for (std::int64_t tw = 0; tw < across; ++tw, ++n) {
                           segments[n] = {band.input + td * tap_plane(g, p) +
                                              th * g.dilation[1] * p.row + tw * g.dilation[2] * g.c,
                                          b, p.run_size};
                           b += p.run_size * panel.width;
                         }
                       }
                     }
                     Epilogue<T> epilogue = whole;
                     if (epilogue.bias != nullptr) epilogue.bias += j;
                     Tile<T> tile{};
                     tile.segments = segments;
                     tile.n_segments = n;
                     tile.a_step = 1;
                     tile.ldb = panel.width;
                     tile.c_off = c_off;
                     tile.cols = panel.cols;
                     tile.epilogue = &epilogue;
                     const int most = tile_rows<T>(panel.kind);
                     TileFn<T> kernel = nullptr;
                     for (std::int64_t i = 0; i < pixels; i += most) {
                       const int rows = static_cast<int>(std::min<std::int64_t>(most, pixels - i));
                       if (rows != tile.rows) kernel = tile_kernel<T>(panel, rows, false);
                       tile.rows = rows;
                       tile.a_off = a_off + i;
                       tile.c = out + i * g.o + j;
                       kernel(tile);
                     }
                   }
                 }
               });
}

/// dw (+)= of bands [b0, b1).
template <class T>
void weights_direct(const ConvGeometry& g, const BandPlan& p, const T* x, const T* dy,
                    std::int64_t b0, std::int64_t b1, T* dw) {
  alignas(64) T buffer[kBandBytes / static_cast<std::int64_t>(sizeof(T))];
  std::int64_t a_off[kDirectRows];
  std::int64_t c_off[kStrip];
  Segment<T> segments[kBandPixels];
  for (int i = 0; i < kStrip; ++i) c_off[i] = i * g.o;
  std::int64_t m = 0;
  for (std::int64_t td = 0; td < g.k[0]; ++td) {
    for (std::int64_t th = 0; th < g.k[1]; ++th) {
      for (std::int64_t tw = 0; tw < g.k[2]; ++tw) {
        for (std::int64_t ci = 0; ci < g.c; ++ci) {
          a_off[m++] =
              td * tap_plane(g, p) + th * g.dilation[1] * p.row + tw * g.dilation[2] * g.c + ci;
        }
      }
    }
  }
  for (std::int64_t index = b0; index < b1; ++index) {
    const Band<T> band = open_band(g, p, x, index, buffer);
    const T* upstream = dy + (((band.n * g.out[0] + band.d) * g.out[1] + band.h0) * g.out[2]) * g.o;
    for (std::int64_t r = 0; r < band.rows; ++r) {
      segments[r] = {band.input + r * g.stride[1] * p.row, upstream + r * g.out[2] * g.o, g.out[2]};
    }
    for (std::int64_t j = 0; j < g.o; j += kPanelWidth<T>) {
      const Panel panel = next_panel<T>(g.o - j);
      const int most = tile_rows<T>(panel.kind);
      Tile<T> tile{};
      tile.segments = segments;
      tile.n_segments = static_cast<int>(band.rows);
      tile.b_shift = j;
      tile.a_step = g.stride[2] * g.c;
      tile.ldb = g.o;
      tile.c_off = c_off;
      tile.cols = panel.cols;
      tile.add = index > b0;
      for (std::int64_t i = 0; i < m; i += most) {
        tile.rows = static_cast<int>(std::min<std::int64_t>(most, m - i));
        tile.a_off = a_off + i;
        tile.c = dw + i * g.o + j;
        tile_kernel<T>(panel, tile.rows, true)(tile);
      }
    }
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
