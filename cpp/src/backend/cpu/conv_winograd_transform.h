// Winograd's transforms for 3x3 convolutions with tiles of 4x4 results, F(4x4, 3x3): polynomials
// are multiplied through their values at 0, +-a, +-b and infinity. The textbook takes a = 1, b = 2;
// a = 5/8, b = 3/2 cost the same and halve the error (docs/winograd.md), and all powers of them
// that occur are exact in float.
#pragma once

#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr int kTileIn = 6;                      // a tile reads 6x6 pixels
inline constexpr int kTileOut = 4;                     // and makes 4x4
inline constexpr int kTilePoints = kTileIn * kTileIn;  // products of a tile and channel pair
inline constexpr int kTilePixels = kTileOut * kTileOut;

namespace winograd_detail {
inline constexpr double kA = 0.625;
inline constexpr double kB = 1.5;
inline constexpr double kA2 = kA * kA;
inline constexpr double kB2 = kB * kB;
inline constexpr double kNormA = 1 / (2 * kA2 * (kA2 - kB2));
inline constexpr double kNormB = 1 / (2 * kB2 * (kB2 - kA2));
}  // namespace winograd_detail

using WinogradVec = Vec<float>;

inline WinogradVec times(double constant, WinogradVec x) {
  return WinogradVec::set1(static_cast<float>(constant)) * x;
}
inline WinogradVec plus_times(WinogradVec x, double constant, WinogradVec y) {
  return fma(WinogradVec::set1(static_cast<float>(constant)), y, x);
}

/// Six values of the polynomial dual to the pixels d.
inline void to_points(const WinogradVec (&d)[6], WinogradVec (&t)[6]) {
  using namespace winograd_detail;
  const WinogradVec even_a = plus_times(d[4], -kB2, d[2]);
  const WinogradVec odd_a = plus_times(d[3], -kB2, d[1]);
  const WinogradVec even_b = plus_times(d[4], -kA2, d[2]);
  const WinogradVec odd_b = plus_times(d[3], -kA2, d[1]);
  t[0] = plus_times(plus_times(d[4], -(kA2 + kB2), d[2]), kA2 * kB2, d[0]);
  t[1] = plus_times(even_a, kA, odd_a);
  t[2] = plus_times(even_a, -kA, odd_a);
  t[3] = plus_times(even_b, kB, odd_b);
  t[4] = plus_times(even_b, -kB, odd_b);
  t[5] = plus_times(plus_times(d[5], -(kA2 + kB2), d[3]), kA2 * kB2, d[1]);
}

/// Three taps at the six points.
inline void weights_to_points(const WinogradVec (&w)[3], WinogradVec (&t)[6]) {
  using namespace winograd_detail;
  const WinogradVec even_a = plus_times(times(kNormA, w[0]), kA2 * kNormA, w[2]);
  const WinogradVec even_b = plus_times(times(kNormB, w[0]), kB2 * kNormB, w[2]);
  t[0] = times(1 / (kA2 * kB2), w[0]);
  t[1] = plus_times(even_a, kA * kNormA, w[1]);
  t[2] = plus_times(even_a, -kA * kNormA, w[1]);
  t[3] = plus_times(even_b, kB * kNormB, w[1]);
  t[4] = plus_times(even_b, -kB * kNormB, w[1]);
  t[5] = w[2];
}

/// Four pixels of a gradient at the six points.
inline void gradient_to_points(const WinogradVec (&d)[4], WinogradVec (&t)[6]) {
  using namespace winograd_detail;
  const WinogradVec even_a = plus_times(times(kNormA, d[0]), kA2 * kNormA, d[2]);
  const WinogradVec odd_a = plus_times(times(kA * kNormA, d[1]), kA2 * kA * kNormA, d[3]);
  const WinogradVec even_b = plus_times(times(kNormB, d[0]), kB2 * kNormB, d[2]);
  const WinogradVec odd_b = plus_times(times(kB * kNormB, d[1]), kB2 * kB * kNormB, d[3]);
  t[0] = times(1 / (kA2 * kB2), d[0]);
  t[1] = even_a + odd_a;
  t[2] = even_a - odd_a;
  t[3] = even_b + odd_b;
  t[4] = even_b - odd_b;
  t[5] = d[3];
}

/// Four results from the products at the six points.
inline void from_points(const WinogradVec (&m)[6], WinogradVec (&y)[4]) {
  using namespace winograd_detail;
  const WinogradVec sum_a = m[1] + m[2];
  const WinogradVec diff_a = m[1] - m[2];
  const WinogradVec sum_b = m[3] + m[4];
  const WinogradVec diff_b = m[3] - m[4];
  y[0] = m[0] + (sum_a + sum_b);
  y[1] = plus_times(times(kB, diff_b), kA, diff_a);
  y[2] = plus_times(times(kB2, sum_b), kA2, sum_a);
  y[3] = plus_times(plus_times(m[5], kB2 * kB, diff_b), kA2 * kA, diff_a);
}

/// Three weights from the products at the six points.
inline void weights_from_points(const WinogradVec (&m)[6], WinogradVec (&w)[3]) {
  using namespace winograd_detail;
  const WinogradVec sum_a = m[1] + m[2];
  const WinogradVec diff_a = m[1] - m[2];
  const WinogradVec sum_b = m[3] + m[4];
  const WinogradVec diff_b = m[3] - m[4];
  w[0] = m[0] + (sum_a + sum_b);
  w[1] = plus_times(times(kB, diff_b), kA, diff_a);
  w[2] = plus_times(plus_times(m[5], kB2, sum_b), kA2, sum_a);
}

/// out(i, j, .) for i, j < kTo gets the transform of in(i, j), i, j < kFrom, by `one` along each
/// axis. Both are callables, so that values go straight from and to memory. Always inlined: what
/// the callables keep between calls stays in registers.
template <int kFrom, int kTo, class One, class In, class Out>
EIGEN_ALWAYS_INLINE void transform_square(One one, In in, Out out) {
  WinogradVec half[kTo][kFrom];
#pragma GCC unroll 8
  for (int j = 0; j < kFrom; ++j) {
    WinogradVec column[kFrom];
    WinogradVec t[kTo];
#pragma GCC unroll 8
    for (int i = 0; i < kFrom; ++i) column[i] = in(i, j);
    one(column, t);
#pragma GCC unroll 8
    for (int i = 0; i < kTo; ++i) half[i][j] = t[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < kTo; ++i) {
    WinogradVec t[kTo];
    one(half[i], t);
#pragma GCC unroll 8
    for (int j = 0; j < kTo; ++j) out(i, j, t[j]);
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
