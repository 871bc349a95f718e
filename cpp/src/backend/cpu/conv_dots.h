// Gathers with few result channels, which would leave most of a panel empty: vectors run along the
// taps' contiguous elements instead, and each result is a dot product.
#pragma once

#include "backend/cpu/conv_band.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr std::int64_t kDotColumns = 4;  // result channels at most

template <class T>
struct DotsConv {
  Gather<T> gather;
  BandPlan plan;
  const T* packed;  // runs of whole vectors (zeros behind the run), n of each side by side
  T* out;
  Epilogue<T> epilogue;
};

template <class T>
bool prefers_dots(const Gather<T>& p, const BandPlan& plan) {
  return p.n <= kDotColumns && 2 * plan.run > Vec<T>::kWidth;
}

/// Vectors of a run.
template <class T>
std::int64_t run_vectors(std::int64_t run) {
  return (run + Vec<T>::kWidth - 1) / Vec<T>::kWidth;
}

/// Pixels of a tile: with their n columns each they fill the registers.
template <class T>
constexpr int dot_rows(int n) {
  constexpr bool kMany = sizeof(Vec<T>) == 64;
  return n <= 2 ? (kMany || n == 1 ? 8 : 6) : n == 3 ? (kMany ? 8 : 4) : (kMany ? 6 : 2);
}

// Sums of all lanes of N vectors at once, N a power of two up to the width: neighbouring vectors
// are folded into one until each lane of the last holds a sum. The order of additions in a sum is
// the same whatever N is.
template <int kBlock, class T, std::size_t... kI>
Vec<T> fold_two(Vec<T> a, Vec<T> b, std::index_sequence<kI...>) {
  return Vec<T>{__builtin_shufflevector(a.v, b.v, (kI / kBlock * 2 * kBlock + kI % kBlock)...)} +
         Vec<T>{__builtin_shufflevector(a.v, b.v,
                                        (kI / kBlock * 2 * kBlock + kBlock + kI % kBlock)...)};
}
template <int N, int kBlock, class T>
Vec<T> fold_sums(const Vec<T>* v) {
  constexpr auto kLanesOf = std::make_index_sequence<Vec<T>::kWidth>{};
  if constexpr (kBlock == 0) {
    return v[0];
  } else {
    constexpr int kHalf = N > 1 ? N / 2 : 1;
    Vec<T> folded[kHalf];
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i) {
      folded[i] = fold_two<kBlock>(v[2 * i], v[N > 1 ? 2 * i + 1 : 2 * i], kLanesOf);
    }
    return fold_sums<kHalf, kBlock / 2>(folded);
  }
}
template <int N, class T>
EIGEN_STRONG_INLINE void sums_of(const Vec<T>* v, T* out) {
  constexpr int kW = Vec<T>::kWidth;
  if constexpr (N >= kW) {
    fold_sums<kW, kW / 2>(v).store(out);
    if constexpr (N > kW) sums_of<N - kW>(v + kW, out + kW);
  } else {
    constexpr int kSome = N >= 8 ? 8 : N >= 4 ? 4 : N >= 2 ? 2 : 1;
    const Vec<T> sums = fold_sums<kSome, kW / 2>(v);
    for (int i = 0; i < kSome; ++i) out[i] = sums[i];
    if constexpr (N > kSome) sums_of<N - kSome>(v + kSome, out + kSome);
  }
}

/// sums[r][o] of R pixels.
template <class T, int N, int R>
void dot_tile(const T* input, const std::int64_t* runs, std::int64_t n_runs, std::int64_t run,
              const std::int64_t* src, int rows, const T* w, T* sums) {
  constexpr int kW = Vec<T>::kWidth;
  Vec<T> acc[R * N];
#pragma GCC unroll 32
  for (int i = 0; i < R * N; ++i) acc[i] = Vec<T>::zero();
  std::int64_t off[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) off[r] = src[r < rows ? r : rows - 1];
  const auto add = [&](auto load, const T* a) {
    Vec<T> wv[N];
#pragma GCC unroll 4
    for (int o = 0; o < N; ++o) wv[o] = Vec<T>::load(w + o * kW);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec<T> x = load(a + off[r]);
#pragma GCC unroll 4
      for (int o = 0; o < N; ++o) acc[r * N + o] = fma(x, wv[o], acc[r * N + o]);
    }
    w += N * kW;
  };
  for (std::int64_t s = 0; s < n_runs; ++s) {
    const T* a = input + runs[s];
    std::int64_t left = run;
    for (; left >= kW; left -= kW, a += kW) {
      add([](const T* at) { return Vec<T>::load(at); }, a);
    }
    if (left > 0) add([left](const T* at) { return Vec<T>::load_partial(at, left); }, a);
  }
  sums_of<R * N>(acc, sums);
}

template <class T, int N>
void dot_bands(const DotsConv<T>& c, std::int64_t b0, std::int64_t b1) {
  constexpr int kR = dot_rows<T>(N);
  alignas(64) T buffer[kBandBytes / static_cast<std::int64_t>(sizeof(T))];
  BandPixels pixels{};
  std::int64_t runs[kBandRuns];
  locate_runs(c.gather, c.plan, runs);
  for (std::int64_t index = b0; index < b1; ++index) {
    const Band<T> band = open_band(c.gather, c.plan, index, buffer);
    const std::int64_t count = band.rows * band.cols;
    locate_pixels(c.gather, c.plan, band.rows, band.cols, pixels);
    for (std::int64_t i = 0; i < count; i += kR) {
      const int rows = static_cast<int>(std::min<std::int64_t>(kR, count - i));
      alignas(64) T sums[kR * N];
      dot_tile<T, N, kR>(band.base + band.at, runs, c.plan.runs, c.plan.run, pixels.src + i, rows,
                         c.packed, sums);
      if (c.epilogue.bias != nullptr) {
        for (int r = 0; r < rows; ++r) {
          for (int o = 0; o < N; ++o) sums[r * N + o] += c.epilogue.bias[o];
        }
      }
      if (c.epilogue.act != Activation::kNone) {
        activate(c.epilogue.act, c.epilogue.alpha, sums, rows * N);
      }
      T* out = c.out + band.out;
      for (int r = 0; r < rows; ++r) {
        for (int o = 0; o < N; ++o) out[pixels.out[i + r] + o] = sums[r * N + o];
      }
    }
  }
}

template <class T>
void run_dots(const DotsConv<T>& c, const Exec& exec) {
  const std::int64_t cost = c.plan.rows * c.plan.cols * c.plan.runs * c.plan.run * c.gather.n;
  parallel_for(exec, count_bands(c.gather, c.plan), kGemmGrain / std::max<std::int64_t>(1, cost),
               [&](std::int64_t b0, std::int64_t b1) {
                 switch (c.gather.n) {
                   case 1:
                     return dot_bands<T, 1>(c, b0, b1);
                   case 2:
                     return dot_bands<T, 2>(c, b0, b1);
                   case 3:
                     return dot_bands<T, 3>(c, b0, b1);
                   default:
                     return dot_bands<T, 4>(c, b0, b1);
                 }
               });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
