// The product of a few rows with a packed operand that recurrent cells take at every time step.
#include "backend/cpu/recurrent.h"

#include <array>
#include <utility>

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

/// Rows of a tile of V vectors: the sums, a row of b and an element of a fit into the registers.
template <int V>
inline constexpr int kTileRows = std::min(12, (kVectorBytes == 64 ? 24 : 12) / V);

template <class T, int R, int V>
void tile(const T* a, std::int64_t lda, const T* b, std::int64_t k, T* c, std::int64_t ldc,
          bool add) {
  constexpr int kW = Vec<T>::kWidth;
  Vec<T> sum[R][V];
#pragma GCC unroll 12
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) {
      sum[i][j] = add ? Vec<T>::load(c + i * ldc + j * kW) : Vec<T>::zero();
    }
  }
  for (; k > 0; --k) {
    Vec<T> row[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) row[j] = Vec<T>::load(b + j * kW);
#pragma GCC unroll 12
    for (int i = 0; i < R; ++i) {
      const Vec<T> x = Vec<T>::set1(a[i * lda]);
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) sum[i][j] = fma(x, row[j], sum[i][j]);
    }
    ++a;
    b += V * kW;
  }
#pragma GCC unroll 12
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) sum[i][j].store(c + i * ldc + j * kW);
  }
}

template <class T>
using TileOf = void (*)(const T*, std::int64_t, const T*, std::int64_t, T*, std::int64_t, bool);

template <class T, int V, int... R>
constexpr std::array<TileOf<T>, sizeof...(R)> tiles(std::integer_sequence<int, R...>) {
  return {tile<T, R + 1, V>...};
}

/// Rows are dealt evenly to as few tiles as can hold them.
template <class T, int V>
void multiply_panel(std::int64_t rows, const T* a, std::int64_t lda, const T* b, std::int64_t k,
                    T* c, std::int64_t ldc, bool add) {
  static constexpr auto kTiles = tiles<T, V>(std::make_integer_sequence<int, kTileRows<V>>{});
  for (std::int64_t left = (rows + kTileRows<V> - 1) / kTileRows<V>; left > 0; --left) {
    const std::int64_t some = (rows + left - 1) / left;
    kTiles[static_cast<std::size_t>(some - 1)](a, lda, b, k, c, ldc, add);
    rows -= some;
    a += some * lda;
    c += some * ldc;
  }
}

}  // namespace

std::int64_t recurrent_chunk(std::int64_t batch, std::int64_t time, std::int64_t units,
                             std::int64_t gates) {
  constexpr std::int64_t kGrain = 1 << 18;  // multiply-adds worth a chunk
  const std::int64_t kernel = units * units * gates;
  // Every chunk reads the packed kernel at every step: the larger it is, the more rows share it.
  const std::int64_t least = kernel <= 1 << 13 ? 4 : kernel <= 1 << 16 ? 8 : 16;
  const std::int64_t row = std::max<std::int64_t>(1, time * (kernel + 32 * units * gates));
  const std::int64_t worth = std::max(least, (kGrain + row - 1) / row);
  const std::int64_t chunks = std::max<std::int64_t>(1, batch / worth);
  return (batch + chunks - 1) / chunks;
}

template <class T>
void pack_gates(const T* b, std::int64_t ldb, std::int64_t units, std::int64_t gates,
                PackedOperand<T>& out) {
  constexpr std::int64_t kW = Vec<T>::kWidth;
  const std::int64_t vectors = (units + kW - 1) / kW;  // of a gate
  out.vectors = vectors * gates;
  for (std::int64_t v = 0; v < out.vectors; ++v) {
    const std::int64_t panel = v / kPanelVectors * kPanelVectors;
    const std::int64_t width = std::min<std::int64_t>(kPanelVectors, out.vectors - panel) * kW;
    const std::int64_t unit = v % vectors * kW;
    const T* from = b + v / vectors * units + unit;
    T* to = out.data + panel * kW * out.k + (v - panel) * kW;
    for (std::int64_t i = 0; i < out.k; ++i) {
      Vec<T>::load_partial(from + i * ldb, std::min(kW, units - unit)).store(to + i * width);
    }
  }
}

template <class T>
void pack_transposed(const T* b, std::int64_t ldb, std::int64_t columns, PackedOperand<T>& out) {
  constexpr std::int64_t kW = Vec<T>::kWidth;
  out.vectors = (columns + kW - 1) / kW;
  for (std::int64_t j = 0; j < out.vectors * kW; ++j) {
    const std::int64_t panel = j / kW / kPanelVectors * kPanelVectors;
    const std::int64_t width = std::min<std::int64_t>(kPanelVectors, out.vectors - panel) * kW;
    T* to = out.data + panel * kW * out.k + (j - panel * kW);
    for (std::int64_t i = 0; i < out.k; ++i) to[i * width] = j < columns ? b[j * ldb + i] : T(0);
  }
}

template <class T>
void multiply_packed(std::int64_t rows, const T* a, std::int64_t lda, const PackedOperand<T>& b,
                     T* c, std::int64_t ldc, bool add) {
  constexpr std::int64_t kW = Vec<T>::kWidth;
  for (std::int64_t v = 0; v < b.vectors; v += kPanelVectors) {
    const T* panel = b.data + v * kW * b.k;
    switch (std::min<std::int64_t>(kPanelVectors, b.vectors - v)) {
      case 1:
        multiply_panel<T, 1>(rows, a, lda, panel, b.k, c + v * kW, ldc, add);
        break;
      case 2:
        multiply_panel<T, 2>(rows, a, lda, panel, b.k, c + v * kW, ldc, add);
        break;
      case 3:
        multiply_panel<T, 3>(rows, a, lda, panel, b.k, c + v * kW, ldc, add);
        break;
      default:
        multiply_panel<T, 4>(rows, a, lda, panel, b.k, c + v * kW, ldc, add);
    }
  }
}

#define LAMELLA_RECURRENT_INSTANCES(T)                                                            \
  template void pack_gates<T>(const T*, std::int64_t, std::int64_t, std::int64_t,                 \
                              PackedOperand<T>&);                                                 \
  template void pack_transposed<T>(const T*, std::int64_t, std::int64_t, PackedOperand<T>&);      \
  template void multiply_packed<T>(std::int64_t, const T*, std::int64_t, const PackedOperand<T>&, \
                                   T*, std::int64_t, bool);
LAMELLA_RECURRENT_INSTANCES(float)
LAMELLA_RECURRENT_INSTANCES(double)
#undef LAMELLA_RECURRENT_INSTANCES

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
