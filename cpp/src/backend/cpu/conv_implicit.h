// Convolution as a matrix product without the matrix: rows are pixels, read through pointers to
// their taps (a row of zeros where a tap falls into padding), columns are packed weights.
#pragma once

#include "backend/cpu/conv_band.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr std::int64_t kTapBlock = 64;         // taps at a time
inline constexpr std::int64_t kTapBlockK = 1024;      // and elements of k, about
inline constexpr std::int64_t kChunkPointers = 2304;  // pointers of a chunk of pixels
inline constexpr std::int64_t kChunkStrips = 8;       // strips of a chunk of pixels

template <class T>
struct ImplicitConv : Gather<T> {
  T* out;           // of the group's first channel
  const T* packed;  // panels (next_narrow_panel) of n columns and taps * k rows
  const T* zeros;   // k zeros
  Epilogue<T> epilogue;
};

/// Where the pixels of a chunk lie: the source coordinates of their first tap and their offsets.
struct ChunkPixels {
  static constexpr std::int64_t kMost = kChunkStrips * kStrip;
  std::int64_t at[3][kMost];
  std::int64_t src_off[kMost];
  std::int64_t out_off[kMost];
  bool inside;  // all taps of all pixels exist
};

template <class T>
void locate(const ImplicitConv<T>& p, std::int64_t first, std::int64_t count, std::int64_t padded,
            ChunkPixels& c) {
  const Axis* a = p.axis;
  std::int64_t q2 = first % a[2].grid;
  std::int64_t rest = first / a[2].grid;
  std::int64_t q1 = rest % a[1].grid;
  rest /= a[1].grid;
  std::int64_t q0 = rest % a[0].grid;
  std::int64_t n = rest / a[0].grid;
  const std::int64_t image = a[0].src * a[1].src * a[2].src;
  bool inside = true;
  std::int64_t low[3];  // where all taps of an axis exist
  std::int64_t high[3];
  for (int d = 0; d < 3; ++d) {
    const std::int64_t end = (a[d].taps - 1) * a[d].step;
    low[d] = std::max<std::int64_t>(0, -end);
    high[d] = a[d].src - std::max<std::int64_t>(0, end);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t s0 = q0 * a[0].scale + a[0].base;
    const std::int64_t s1 = q1 * a[1].scale + a[1].base;
    const std::int64_t s2 = q2 * a[2].scale + a[2].base;
    c.at[0][i] = s0;
    c.at[1][i] = s1;
    c.at[2][i] = s2;
    c.src_off[i] = (n * image + (s0 * a[1].src + s1) * a[2].src + s2) * p.src_pixel;
    c.out_off[i] =
        n * p.out_batch + q0 * p.out_stride[0] + q1 * p.out_stride[1] + q2 * p.out_stride[2];
    inside = inside & (s0 >= low[0]) & (s0 < high[0]) & (s1 >= low[1]) & (s1 < high[1]) &
             (s2 >= low[2]) & (s2 < high[2]);
    if (++q2 == a[2].grid) {
      q2 = 0;
      if (++q1 == a[1].grid) {
        q1 = 0;
        if (++q0 == a[0].grid) {
          q0 = 0;
          ++n;
        }
      }
    }
  }
  for (std::int64_t i = count; i < padded; ++i) {  // the last strip's missing rows repeat the last
    for (auto& at : c.at) at[i] = at[count - 1];
    c.src_off[i] = c.src_off[count - 1];
    c.out_off[i] = c.out_off[count - 1];
  }
  c.inside = inside;
}

/// pointers[(strip * n_taps + t) * kStrip + i] for taps [first, first + n_taps).
template <class T>
void point(const ImplicitConv<T>& p, const ChunkPixels& c, std::int64_t strips, std::int64_t first,
           std::int64_t n_taps, const T** pointers) {
  const Axis* a = p.axis;
  for (std::int64_t t = 0; t < n_taps; ++t) {
    const std::int64_t j2 = (first + t) % a[2].taps;
    const std::int64_t rest = (first + t) / a[2].taps;
    const std::int64_t d2 = j2 * a[2].step;
    const std::int64_t d1 = rest % a[1].taps * a[1].step;
    const std::int64_t d0 = rest / a[1].taps * a[0].step;
    const std::int64_t delta = ((d0 * a[1].src + d1) * a[2].src + d2) * p.src_pixel;
    for (std::int64_t s = 0; s < strips; ++s) {
      const T** row = pointers + (s * n_taps + t) * kStrip;
      const std::int64_t* off = c.src_off + s * kStrip;
      if (c.inside) {
        for (int i = 0; i < kStrip; ++i) row[i] = p.src + (off[i] + delta);
        continue;
      }
      const std::int64_t* at0 = c.at[0] + s * kStrip;
      const std::int64_t* at1 = c.at[1] + s * kStrip;
      const std::int64_t* at2 = c.at[2] + s * kStrip;
      for (int i = 0; i < kStrip; ++i) {
        const bool exists =
            (static_cast<std::uint64_t>(at0[i] + d0) < static_cast<std::uint64_t>(a[0].src)) &
            (static_cast<std::uint64_t>(at1[i] + d1) < static_cast<std::uint64_t>(a[1].src)) &
            (static_cast<std::uint64_t>(at2[i] + d2) < static_cast<std::uint64_t>(a[2].src));
        row[i] = exists ? p.src + (off[i] + delta) : p.zeros;
      }
    }
  }
}

template <class T>
void run_chunk(const ImplicitConv<T>& p, std::int64_t first, std::int64_t count) {
  ChunkPixels pixels;
  const T* pointers[kChunkPointers];
  const std::int64_t taps = p.taps();
  const std::int64_t block = std::clamp<std::int64_t>(kTapBlockK / p.k, 1, kTapBlock);
  const std::int64_t strips = (count + kStrip - 1) / kStrip;
  locate(p, first, count, strips * kStrip, pixels);
  for (std::int64_t t0 = 0; t0 < taps; t0 += block) {
    const std::int64_t tn = std::min(block, taps - t0);
    point(p, pixels, strips, t0, tn, pointers);
    for (std::int64_t j = 0; j < p.n;) {
      const Panel panel = next_narrow_panel<T>(p.n - j);
      const int most = tile_rows<T>(panel.kind);
      const IndirectTileFn<T> kernel = indirect_tile_kernel<T>(panel);
      Epilogue<T> epilogue = p.epilogue;
      if (epilogue.bias != nullptr) epilogue.bias += j;
      IndirectTile<T> tile{};
      tile.taps = tn;
      tile.k = p.k;
      tile.b = p.packed + j * taps * p.k + t0 * p.k * panel.width;
      tile.c = p.out + j;
      tile.cols = panel.cols;
      tile.add = t0 > 0;
      tile.epilogue = t0 + tn == taps ? &epilogue : nullptr;
      for (std::int64_t s = 0; s < strips; ++s) {
        const std::int64_t left = count - s * kStrip;
        for (int i = 0; i < kStrip && i < left; i += most) {
          tile.pointers = pointers + s * tn * kStrip + i;
          tile.c_off = pixels.out_off + s * kStrip + i;
          tile.rows = static_cast<int>(std::min<std::int64_t>(most, left - i));
          kernel(tile);
        }
      }
      j += panel.cols;
    }
  }
}

/// Pixels of a chunk; a function of the sizes alone.
template <class T>
std::int64_t chunk_pixels(const ImplicitConv<T>& p) {
  const std::int64_t block = std::clamp<std::int64_t>(kTapBlockK / p.k, 1, kTapBlock);
  const std::int64_t taps = std::min(block, p.taps());
  return kStrip * std::clamp<std::int64_t>(kChunkPointers / (taps * kStrip), 1, kChunkStrips);
}

template <class T>
void run_implicit(const ImplicitConv<T>& p, const Exec& exec) {
  const std::int64_t chunk = chunk_pixels(p);
  const std::int64_t chunks = (p.pixels() + chunk - 1) / chunk;
  const std::int64_t cost = chunk * p.taps() * p.k * p.n;
  parallel_for(exec, chunks, kGemmGrain / std::max<std::int64_t>(1, cost),
               [&](std::int64_t c0, std::int64_t c1) {
                 for (std::int64_t c = c0; c < c1; ++c) {
                   run_chunk(p, c * chunk, std::min(chunk, p.pixels() - c * chunk));
                 }
               });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
