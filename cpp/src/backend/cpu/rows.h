// Work on rows (the last axis), many rows at a time. Rows of a few elements are transposed into a
// tile, where lane l of every vector belongs to row l, so that short rows cost no horizontal
// operations and no idle lanes. Other rows are folded to one vector each, and kWidth such vectors
// to one vector of results. Both ways combine a row's elements in the same order, so a row's bits
// do not depend on how many others there are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// Rows of at most this many elements go through a tile.
inline constexpr std::int64_t kTileCols = 32;

/// Rows to take together so that they stay in the L1 cache.
template <class T>
inline std::int64_t rows_at_once(std::int64_t cols) {
  return std::clamp<std::int64_t>(2048 / std::max<std::int64_t>(1, cols), 1, Vec<T>::kWidth);
}

#if defined(__AVX512F__)
namespace rows_detail {

/// One step of a transposition by 128-bit quarters: even quarters of a and b, then odd ones.
template <int kWidth>
inline void deal_quarters(__m512 (&v)[kWidth], int stride) {
  for (int k = 0; k < kWidth; ++k) {
    if ((k & stride) != 0) continue;
    const __m512 a = v[k];
    const __m512 b = v[k + stride];
    v[k] = _mm512_shuffle_f32x4(a, b, 0x88);
    v[k + stride] = _mm512_shuffle_f32x4(a, b, 0xdd);
  }
}

inline __m512 low_pairs(__m512 a, __m512 b) {
  return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
inline __m512 high_pairs(__m512 a, __m512 b) {
  return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

inline void transpose(__m512 (&v)[16]) {  // of 32-bit elements
  for (int k = 0; k < 16; k += 4) {
    const __m512 a = _mm512_unpacklo_ps(v[k], v[k + 1]);
    const __m512 b = _mm512_unpackhi_ps(v[k], v[k + 1]);
    const __m512 c = _mm512_unpacklo_ps(v[k + 2], v[k + 3]);
    const __m512 d = _mm512_unpackhi_ps(v[k + 2], v[k + 3]);
    v[k] = low_pairs(a, c);
    v[k + 1] = high_pairs(a, c);
    v[k + 2] = low_pairs(b, d);
    v[k + 3] = high_pairs(b, d);
  }
  // v[4 g + j] holds, in quarter q, element 4 q + j of rows 4 g .. 4 g + 3
  deal_quarters(v, 4);
  deal_quarters(v, 8);
}

inline void transpose(__m512 (&v)[8]) {  // of 64-bit elements
  for (int k = 0; k < 8; k += 2) {
    const __m512 a = v[k];
    v[k] = low_pairs(a, v[k + 1]);
    v[k + 1] = high_pairs(a, v[k + 1]);
  }
  deal_quarters(v, 2);
  deal_quarters(v, 4);
}

}  // namespace rows_detail
#endif

/// Element j of vector i and element i of vector j change places.
template <class T>
inline void transpose(Vec<T> (&v)[Vec<T>::kWidth]) {
  constexpr int kW = Vec<T>::kWidth;
#if defined(__AVX512F__)
  __m512 block[kW];
  for (int k = 0; k < kW; ++k) block[k] = (__m512)v[k].v;
  rows_detail::transpose(block);
  for (int k = 0; k < kW; ++k) v[k] = {(typename Vec<T>::Packet)block[k]};
#else
  using F = std::conditional_t<sizeof(T) == 4, float, double>;
  using P = typename Vec<F>::Packet;
  if constexpr (std::is_same_v<P, typename Eigen::internal::packet_traits<F>::type>) {
    Eigen::internal::PacketBlock<P, kW> block;
    for (int k = 0; k < kW; ++k) block.packet[k] = (P)v[k].v;
    Eigen::internal::ptranspose(block);
    for (int k = 0; k < kW; ++k) v[k] = {(typename Vec<T>::Packet)block.packet[k]};
  } else {
    T a[kW][kW];
    for (int k = 0; k < kW; ++k) {
      for (int l = 0; l < kW; ++l) a[l][k] = v[k][l];
    }
    for (int k = 0; k < kW; ++k) v[k] = Vec<T>::load(a[k]);
  }
#endif
}

/// The first n results of rows: lane r is the combination by f, in the order of horizontal(), of
/// the lanes of row(r). The lanes from n on are undefined.
template <class T, class Row, class F>
inline Vec<T> fold_rows(std::int64_t n, Row row, F f) {
  constexpr int kW = Vec<T>::kWidth;
  if (n == 1) return Vec<T>::set1(horizontal(row(std::int64_t{0}), f));
  if (n < kW / 2) {
    alignas(64) T a[kW] = {};
    for (std::int64_t r = 0; r < n; ++r) a[r] = horizontal(row(r), f);
    return Vec<T>::load(a);
  }
  Vec<T> v[kW];
  for (int r = 0; r < kW; ++r) v[r] = r < n ? row(r) : Vec<T>::zero();
  transpose<T>(v);
  for (int half = kW / 2; half > 0; half /= 2) {
    for (int k = 0; k < half; ++k) v[k] = f(v[k], v[k + half]);
  }
  return v[0];
}

/// Up to kWidth rows of at most kTileCols elements: vector j holds element j of every row.
template <class T>
class RowTile {
 public:
  using V = Vec<T>;
  static constexpr int kW = V::kWidth;

  V& operator[](std::int64_t col) { return columns_[col]; }

  /// Combines value(column) in the order of a row in vectors: column c goes to lane c % kWidth,
  /// lanes are then combined by f as in horizontal(). The columns up to the next multiple of
  /// kWidth, which load() fills with zeros, take part.
  template <class Value, class F>
  static V fold(std::int64_t cols, Value value, F f) {
    V lane[kW];
    for (int k = 0; k < kW; ++k) lane[k] = value(k);
    for (std::int64_t c = kW; c < cols; c += kW) {
      for (int k = 0; k < kW; ++k) lane[k] = f(lane[k], value(c + k));
    }
    for (int half = kW / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; ++k) lane[k] = f(lane[k], lane[k + half]);
    }
    return lane[0];
  }

  void clear(std::int64_t cols) {
    for (std::int64_t c = 0; c < cols; c += kW) {
      for (int k = 0; k < kW; ++k) columns_[c + k] = V::zero();
    }
  }

  /// Missing rows become zero, and missing columns up to the next multiple of kWidth.
  void load(const T* x, std::int64_t rows, std::int64_t cols) {
    for (std::int64_t c = 0; c < cols; c += kW) {
      const std::int64_t n = std::min<std::int64_t>(kW, cols - c);
      V block[kW];
      for (int r = 0; r < kW; ++r) {
        if (r >= rows) {
          block[r] = V::zero();
        } else {
          block[r] = n == kW ? V::load(x + r * cols + c) : V::load_partial(x + r * cols + c, n);
        }
      }
      transpose<T>(block);
      for (int k = 0; k < kW; ++k) columns_[c + k] = block[k];
    }
  }

  void store(T* y, std::int64_t rows, std::int64_t cols) const {
    for (std::int64_t c = 0; c < cols; c += kW) {
      const std::int64_t n = std::min<std::int64_t>(kW, cols - c);
      V block[kW];
      for (std::int64_t k = 0; k < kW; ++k) block[k] = k < n ? columns_[c + k] : V::zero();
      transpose<T>(block);
      for (int r = 0; r < kW && r < rows; ++r) {
        T* to = y + r * cols + c;
        // what a whole vector spills into later rows is overwritten by them; a tile of more than
        // one block has written part of those already
        if (n == kW || (c == 0 && (rows - r) * cols >= kW)) {
          block[r].store(to);
        } else {
          block[r].store_partial(to, n);
        }
      }
    }
  }

 private:
  V columns_[kTileCols];
};

/// Are `rows` rows of `cols` elements better done in a tile?
template <class T>
inline bool tiled(std::int64_t rows, std::int64_t cols) {
  return cols > 0 && cols <= kTileCols && 2 * rows >= Vec<T>::kWidth;
}

/// f(first row, rows) over [begin, end), `step` rows at a time.
template <class F>
inline void for_row_blocks(std::int64_t begin, std::int64_t end, std::int64_t step, F f) {
  for (std::int64_t r = begin; r < end; r += step) f(r, std::min(step, end - r));
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
