// What the passes of Winograd's convolution share: the tiles of an image, their way to the points,
// and scratch memory for the blocks of tiles that are worked on at once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cpu/conv_winograd_transform.h"
#include "backend/kernels.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr std::int64_t kLineFloats = 16;  // of a cache line

inline constexpr std::int64_t kLeastChannels = 16;

inline std::int64_t whole_lines(std::int64_t floats) {
  return (floats + kLineFloats - 1) / kLineFloats * kLineFloats;
}

/// Floats from one point's plane to the next. One line more than the plane needs: planes a power of
/// two apart would share their cache sets.
inline std::int64_t plane_floats(std::int64_t used) { return whole_lines(used) + kLineFloats; }

/// A grid of pixels in tiles of 4x4, the last of an axis cut short.
struct TileGrid {
  std::int64_t size[2], across[2], per_image, tiles;

  TileGrid(std::int64_t batch, std::int64_t height, std::int64_t width)
      : size{height, width},
        across{(height + kTileOut - 1) / kTileOut, (width + kTileOut - 1) / kTileOut},
        per_image(across[0] * across[1]),
        tiles(batch * per_image) {}
};

/// A 3x3 kernel over images, at stride 1, without dilation or groups.
inline bool has_winograd_shape(const ConvGeometry& g) {
  if (g.groups != 1 || g.k[0] != 1 || g.in[0] != 1 || g.out[0] != 1 || g.pad[0] != 0) return false;
  for (int d = 1; d < 3; ++d) {
    if (g.k[d] != 3 || g.stride[d] != 1 || g.dilation[d] != 1) return false;
    if (g.in[d] < 1 || g.out[d] < 1) return false;
  }
  return g.n > 0;
}

/// Multiply-adds that Winograd saves for each channel pair. Against them stand the transforms of
/// pixels, which few channels do not repay, and of weights, which few tiles do not repay; large
/// weights leave the cache on their way to the points and back.
inline std::int64_t winograd_saves(std::int64_t batch, const std::int64_t (&grid)[2]) {
  const TileGrid tiles(batch, grid[0], grid[1]);
  return 9 * batch * grid[0] * grid[1] - kTilePoints * tiles.tiles;
}

struct TileAt {
  std::int64_t image, top, left;
};

inline TileAt tile_at(const TileGrid& grid, std::int64_t tile) {
  const std::int64_t rest = tile % grid.per_image;
  return {tile / grid.per_image, rest / grid.across[1] * kTileOut,
          rest % grid.across[1] * kTileOut};
}

/// A batch of images and the zeros to read in place of a pixel outside.
struct Images {
  const float* data;
  std::int64_t size[2];
  std::int64_t pixel, channels;  // floats from one pixel to the next, and of them those to read
  const float* zeros;
};

/// to[point * plane + channel] from kFrom x kFrom pixels; `at` gives a pixel's address.
template <int kFrom, class One, class At>
EIGEN_ALWAYS_INLINE void pixels_to_points(At at, std::int64_t channels, One one, float* to,
                                          std::int64_t plane) {
  constexpr int kW = WinogradVec::kWidth;
  std::int64_t c = 0;
  for (; c + kW <= channels; c += kW) {
    transform_square<kFrom, kTileIn>(
        one, [&](int i, int j) { return WinogradVec::load(at(i, j) + c); },
        [&](int i, int j, WinogradVec t) { t.store(to + (i * kTileIn + j) * plane + c); });
  }
  if (const std::int64_t rest = channels - c; rest > 0) {
    transform_square<kFrom, kTileIn>(
        one, [&](int i, int j) { return WinogradVec::load_partial(at(i, j) + c, rest); },
        [&](int i, int j, WinogradVec t) {
          t.store_partial(to + (i * kTileIn + j) * plane + c, rest);
        });
  }
}

/// The same from the pixels whose first is at (top, left), zeros outside the image.
template <int kFrom, class One>
inline void tile_to_points(const Images& x, std::int64_t image, std::int64_t top, std::int64_t left,
                           One one, float* to, std::int64_t plane) {
  if (top >= 0 && left >= 0 && top + kFrom <= x.size[0] && left + kFrom <= x.size[1]) {
    const std::int64_t row = x.size[1] * x.pixel;
    const float* first = x.data + ((image * x.size[0] + top) * x.size[1] + left) * x.pixel;
    pixels_to_points<kFrom>([&](int i, int j) { return first + i * row + j * x.pixel; }, x.channels,
                            one, to, plane);
    return;
  }
  const float* pixel[kFrom][kFrom];
  for (int i = 0; i < kFrom; ++i) {
    const std::int64_t row = top + i;
    for (int j = 0; j < kFrom; ++j) {
      const std::int64_t column = left + j;
      const bool inside = row >= 0 && row < x.size[0] && column >= 0 && column < x.size[1];
      pixel[i][j] =
          inside ? x.data + ((image * x.size[0] + row) * x.size[1] + column) * x.pixel : x.zeros;
    }
  }
  pixels_to_points<kFrom>([&](int i, int j) { return pixel[i][j]; }, x.channels, one, to, plane);
}

/// What a block of tiles will read or write, asked for line by line while the products of another
/// keep the processor busy: most pixels come from memory, and each is touched once or twice.
class Ahead {
 public:
  /// About the pixels that `count` tiles from `first` on cover: tiles lie as pixels do.
  Ahead(const TileGrid& grid, std::int64_t first, std::int64_t count, const float* data,
        std::int64_t floats, bool writes)
      : at_(data + floats * std::min(first, grid.tiles) / grid.tiles),
        end_(data + floats * std::min(first + count, grid.tiles) / grid.tiles),
        writes_(writes) {}

  /// Asks for the next part of what is left, of so many equal ones.
  void ask(std::int64_t parts) {
    constexpr std::int64_t kLine = 64 / sizeof(float);
    const float* stop = at_ + (end_ - at_) / parts;
    if (writes_) {
      for (; at_ < stop; at_ += kLine) __builtin_prefetch(at_, 1, 2);
    } else {
      for (; at_ < stop; at_ += kLine) __builtin_prefetch(at_, 0, 2);
    }
  }

 private:
  const float* at_;
  const float* end_;
  bool writes_;
};

/// Sums up what is zero for every finite number, and NaN for the others.
class Watch {
 public:
  void see(WinogradVec y) { sum_ = fma(y, WinogradVec::zero(), sum_); }
  void see(const Watch& other) { sum_ = sum_ + other.sum_; }
  bool finite() const { return sum(sum_) == 0.0F; }

 private:
  WinogradVec sum_ = WinogradVec::zero();
};

/// Scratch memory for as many chunks as run at once, and whether all have met finite results only.
/// The loop must have no more threads than slots. `line` is a cache line of the workspace.
class Slots {
 public:
  /// How many for `units` pieces of work: 4 at least, then as many as fit into 32 MB, 32 at most.
  static std::int64_t count_for(std::int64_t units, std::int64_t slot_floats) {
    constexpr std::int64_t kFloats = 8 << 20;
    return std::min(units, std::clamp<std::int64_t>(kFloats / slot_floats, 4, 32));
  }

  Slots(void* line, std::int64_t count)
      : free_(static_cast<std::uint64_t*>(line)), finite_(free_ + 1) {
    *free_ = (std::uint64_t{1} << count) - 1;
    *finite_ = 1;
  }
  int take() {
    std::uint64_t mask = __atomic_load_n(free_, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(free_, &mask, mask & (mask - 1), true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
    }
    return __builtin_ctzll(mask);
  }
  void give(int slot) { __atomic_fetch_or(free_, std::uint64_t{1} << slot, __ATOMIC_RELEASE); }

  void note(const Watch& watch) {
    if (!watch.finite()) __atomic_store_n(finite_, 0, __ATOMIC_RELAXED);
  }
  bool finite() const { return __atomic_load_n(finite_, __ATOMIC_RELAXED) != 0; }

 private:
  std::uint64_t* free_;
  std::uint64_t* finite_;
};

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
