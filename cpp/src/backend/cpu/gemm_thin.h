// Products with few elements of k, outer products above all: b's panel stays in registers and the
// rows run past it. Such products are bound by the writing of c.
#pragma once

#include "backend/cpu/gemm_product.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

// b's panel of 2 vectors a row must leave registers for the sums.
inline constexpr std::int64_t kThinK = kVectorBytes == 64 ? 8 : 4;

/// Rows [m0, m1) of `cols` columns from j on; b is their panel, rows ldb apart.
template <class T, int K, int NV>
void thin_panel(const Product<T>& p, std::int64_t m0, std::int64_t m1, std::int64_t j,
                std::int64_t cols, const T* b, std::int64_t ldb) {
  constexpr int kW = Vec<T>::kWidth;
  const std::int64_t last = cols - (NV - 1) * kW;
  const bool whole = last == kW;
  const Epilogue<T> epilogue = epilogue_from(p.epilogue, j);
  const bool relu = epilogue.act == Activation::kRelu;
  const auto load = [&](const T* from, Vec<T>(&v)[NV]) {
#pragma GCC unroll 2
    for (int q = 0; q < NV - 1; ++q) v[q] = Vec<T>::load(from + q * kW);
    const T* end = from + (NV - 1) * kW;
    v[NV - 1] = whole ? Vec<T>::load(end) : Vec<T>::load_partial(end, last);
  };
  Vec<T> bv[K][NV];
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) load(b + k * ldb, bv[k]);
  Vec<T> bias[NV];
#pragma GCC unroll 2
  for (int q = 0; q < NV; ++q) bias[q] = Vec<T>::set1(T(-0.0));  // changes no bit of a sum
  if (epilogue.bias != nullptr && epilogue.bias_step == 0) {
#pragma GCC unroll 2
    for (int q = 0; q < NV; ++q) bias[q] = Vec<T>::set1(*epilogue.bias);
  } else if (epilogue.bias != nullptr) {
    load(epilogue.bias, bias);
  }
  const T* a = p.a + m0 * p.a_row;
  T* c = p.c + m0 * p.ldc + j;
  for (std::int64_t i = m0; i < m1; ++i, a += p.a_row, c += p.ldc) {
    Vec<T> sum[NV];
#pragma GCC unroll 2
    for (int q = 0; q < NV; ++q) sum[q] = Vec<T>::zero();
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) {
      const Vec<T> x = Vec<T>::set1(a[k * p.a_step]);
#pragma GCC unroll 2
      for (int q = 0; q < NV; ++q) sum[q] = fma(x, bv[k][q], sum[q]);
    }
    if (p.accumulate) {
      Vec<T> before[NV];
      load(c, before);
#pragma GCC unroll 2
      for (int q = 0; q < NV; ++q) sum[q] = before[q] + sum[q];
    }
#pragma GCC unroll 2
    for (int q = 0; q < NV; ++q) {
      sum[q] = sum[q] + bias[q];
      if (relu) sum[q] = Vec<T>{relu_of(sum[q].v)};
      if (q < NV - 1 || whole) {
        sum[q].store(c + q * kW);
      } else {
        sum[q].store_partial(c + q * kW, last);
      }
    }
    if (epilogue.act != Activation::kNone && !relu) {
      activate(epilogue.act, epilogue.alpha, c, cols);
    }
  }
}

template <class T, int K>
void thin_columns(const Product<T>& p, std::int64_t m0, std::int64_t m1, std::int64_t n0,
                  std::int64_t n1) {
  constexpr int kW = Vec<T>::kWidth;
  alignas(64) T packed[K * 2 * kW];
  for (std::int64_t j = n0; j < n1;) {
    const Panel panel = next_panel<T>(n1 - j);
    const T* b = p.b + j;
    std::int64_t ldb = p.ldb;
    if (p.tb) {
      pack_panel_transposed(panel, p.b + j * p.ldb, p.ldb, K, packed);
      b = packed;
      ldb = panel.width;
    }
    if (panel.cols > kW) {
      thin_panel<T, K, 2>(p, m0, m1, j, panel.cols, b, ldb);
    } else {
      thin_panel<T, K, 1>(p, m0, m1, j, panel.cols, b, ldb);
    }
    j += panel.cols;
  }
}

/// Rows [m0, m1) and columns [n0, n1) of a product with at most kThinK elements of k.
template <class T>
void multiply_thin(const Product<T>& p, std::int64_t m0, std::int64_t m1, std::int64_t n0,
                   std::int64_t n1) {
  switch (p.k) {
    case 1:
      return thin_columns<T, 1>(p, m0, m1, n0, n1);
    case 2:
      return thin_columns<T, 2>(p, m0, m1, n0, n1);
    case 3:
      return thin_columns<T, 3>(p, m0, m1, n0, n1);
    case 4:
      return thin_columns<T, 4>(p, m0, m1, n0, n1);
    default:
      break;
  }
  if constexpr (kThinK > 4) {
    if (p.k == 5) return thin_columns<T, 5>(p, m0, m1, n0, n1);
    if (p.k == 6) return thin_columns<T, 6>(p, m0, m1, n0, n1);
    if (p.k == 7) return thin_columns<T, 7>(p, m0, m1, n0, n1);
    thin_columns<T, 8>(p, m0, m1, n0, n1);
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
