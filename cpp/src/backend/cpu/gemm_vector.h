// Matrix-vector products: dot products of contiguous rows.
#pragma once

#include <cmath>
#include <cstring>
#include <utility>

#include "backend/cpu/gemm_product.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr std::int64_t kDotBlock =
    1024;  // elements of k that a dot product sums in registers
inline constexpr std::int64_t kFewElements = 4;    // of k, for which vectors would be mostly empty
inline constexpr std::int64_t kRowColumns = 1024;  // columns of a row that are summed at a time

namespace vector_detail {

template <class T, std::size_t... kI>
inline Vec<T> interleave(Vec<T> a, Vec<T> b, std::index_sequence<kI...>) {
  constexpr int kW = Vec<T>::kWidth;  // of every four lanes x0 .. x3: a0 + a2, b0 + b2, a1 + a3, ..
  return Vec<T>{__builtin_shufflevector(a.v, b.v,
                                        (kI / 4 * 4 + kI % 4 / 2 + (kI % 2 == 0 ? 0 : kW))...)} +
         Vec<T>{__builtin_shufflevector(a.v, b.v,
                                        (kI / 4 * 4 + kI % 4 / 2 + 2 + (kI % 2 == 0 ? 0 : kW))...)};
}

template <class T, std::size_t... kI>
inline Vec<T> join(Vec<T> ab, Vec<T> cd, std::index_sequence<kI...>) {
  constexpr int kW = Vec<T>::kWidth;
  return Vec<T>{__builtin_shufflevector(ab.v, cd.v,
                                        (kI / 4 * 4 + kI % 2 + (kI % 4 < 2 ? 0 : kW))...)} +
         Vec<T>{__builtin_shufflevector(ab.v, cd.v,
                                        (kI / 4 * 4 + kI % 2 + 2 + (kI % 4 < 2 ? 0 : kW))...)};
}

template <int kHalf, class T>
inline Vec<T> fold_to_four(Vec<T> x) {
  if constexpr (kHalf < 4) {
    return x;
  } else {
    x = x + simd_detail::swap_lanes<kHalf>(x, std::make_index_sequence<Vec<T>::kWidth>{});
    return fold_to_four<kHalf / 2>(x);
  }
}

}  // namespace vector_detail

/// out[r] = the sum of x[r]'s lanes, in the same order for every r.
template <class T>
inline void lane_sums(const Vec<T> (&x)[4], T* out) {
  constexpr int kW = Vec<T>::kWidth;
  if constexpr (kW < 4) {
    for (int r = 0; r < 4; ++r) out[r] = sum(x[r]);
  } else {
    constexpr auto kLanes = std::make_index_sequence<kW>{};
    const Vec<T> ab = vector_detail::interleave(x[0], x[1], kLanes);
    const Vec<T> cd = vector_detail::interleave(x[2], x[3], kLanes);
    const Vec<T> all = vector_detail::fold_to_four<kW / 2>(vector_detail::join(ab, cd, kLanes));
    std::memcpy(out, &all.v, 4 * sizeof(T));
  }
}

// The sums over [0, k) of rows[r] * v for the first `count` (1 .. 4) rows.
template <class T>
inline void dots(const T* rows, std::int64_t ld, int count, const T* v, std::int64_t k, T* out) {
  constexpr int kW = Vec<T>::kWidth;
  const T* row[4];
  Vec<T> acc[4];
  Vec<T> odd[4];
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r) {
    row[r] = rows + std::min(r, count - 1) * ld;
    acc[r] = odd[r] = Vec<T>::zero();
  }
  std::int64_t i = 0;
  for (; i + 2 * kW <= k; i += 2 * kW) {
    const Vec<T> v0 = Vec<T>::load(v + i);
    const Vec<T> v1 = Vec<T>::load(v + i + kW);
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      acc[r] = fma(Vec<T>::load(row[r] + i), v0, acc[r]);
      odd[r] = fma(Vec<T>::load(row[r] + i + kW), v1, odd[r]);
    }
  }
  if (i + kW <= k) {
    const Vec<T> v0 = Vec<T>::load(v + i);
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) acc[r] = fma(Vec<T>::load(row[r] + i), v0, acc[r]);
    i += kW;
  }
  if (i < k) {
    const Vec<T> v1 = Vec<T>::load_partial(v + i, k - i);
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      odd[r] = fma(Vec<T>::load_partial(row[r] + i, k - i), v1, odd[r]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r) acc[r] = acc[r] + odd[r];
  lane_sums(acc, out);
}

/// out[i * out_step] = rows[i] . v for rows of K elements.
template <int K, class T>
void few_elements(const T* rows, std::int64_t ld, const T* v, std::int64_t v_step, T* out,
                  std::int64_t out_step, std::int64_t n, bool accumulate) {
  T x[K];
  for (int k = 0; k < K; ++k) x[k] = v[k * v_step];
  for (std::int64_t i = 0; i < n; ++i) {
    T sum = rows[i * ld] * x[0];
    for (int k = 1; k < K; ++k) sum += rows[i * ld + k] * x[k];
    T& y = out[i * out_step];
    y = accumulate ? y + sum : sum;
  }
}

/// The same for k (1 to 4) elements.
template <class T>
void few_elements(const T* rows, std::int64_t ld, const T* v, std::int64_t v_step, std::int64_t k,
                  T* out, std::int64_t out_step, std::int64_t n, bool accumulate) {
  switch (k) {
    case 1:
      return few_elements<1>(rows, ld, v, v_step, out, out_step, n, accumulate);
    case 2:
      return few_elements<2>(rows, ld, v, v_step, out, out_step, n, accumulate);
    case 3:
      return few_elements<3>(rows, ld, v, v_step, out, out_step, n, accumulate);
    default:
      return few_elements<4>(rows, ld, v, v_step, out, out_step, n, accumulate);
  }
}

/// out[i * out_step] = rows[i] . v for i in [0, n): rows contiguous along k, v with any step.
template <class T>
void matrix_vector(const T* rows, std::int64_t ld, const T* v, std::int64_t v_step, std::int64_t k,
                   T* out, std::int64_t out_step, std::int64_t n, bool accumulate,
                   const Epilogue<T>& epilogue) {
  T gathered[kDotBlock];
  if (k <= kFewElements) few_elements(rows, ld, v, v_step, k, out, out_step, n, accumulate);
  for (std::int64_t k0 = k <= kFewElements ? k : 0; k0 < k; k0 += kDotBlock) {
    const std::int64_t kn = std::min(kDotBlock, k - k0);
    const T* vb = v + k0 * v_step;
    if (v_step != 1) {
      for (std::int64_t i = 0; i < kn; ++i) gathered[i] = vb[i * v_step];
      vb = gathered;
    }
    const bool add = accumulate || k0 > 0;
    for (std::int64_t i = 0; i < n; i += 4) {
      const int some = static_cast<int>(std::min<std::int64_t>(4, n - i));
      if (some == 4 && out_step == 1 && !add) {
        dots(rows + i * ld + k0, ld, 4, vb, kn, out + i);
        continue;
      }
      T sums[4];
      dots(rows + i * ld + k0, ld, some, vb, kn, sums);
      for (int r = 0; r < some; ++r) {
        T& y = out[(i + r) * out_step];
        y = add ? y + sums[r] : sums[r];
      }
    }
  }
  if (epilogue.bias == nullptr && epilogue.act == Activation::kNone) return;
  if (out_step == 1) {
    finish_row(epilogue, out, n);
  } else {
    for (std::int64_t i = 0; i < n; ++i) {
      const Epilogue<T> here = epilogue_from(epilogue, i);
      finish_row(here, out + i * out_step, 1);
    }
  }
}

template <class T>
void by_dots(const Product<T>& p, const Exec& exec) {
  const std::int64_t grain = round_up(std::max<std::int64_t>(1, kGemmGrain / 4 / p.k), 4);
  if (p.n == 1 && p.a_step == 1) {  // rows of a
    Epilogue<T> epilogue = p.epilogue;
    epilogue.bias_step = 0;
    parallel_for(exec, p.m, grain, [&](std::int64_t i0, std::int64_t i1) {
      matrix_vector(p.a + i0 * p.a_row, p.a_row, p.b, p.tb ? 1 : p.ldb, p.k, p.c + i0 * p.ldc,
                    p.ldc, i1 - i0, p.accumulate, epilogue);
    });
  } else {  // rows of b^T
    parallel_for(exec, p.n, grain, [&](std::int64_t j0, std::int64_t j1) {
      matrix_vector(p.b + j0 * p.ldb, p.ldb, p.a, p.a_step, p.k, p.c + j0, 1, j1 - j0, p.accumulate,
                    epilogue_from(p.epilogue, j0));
    });
  }
}

/// sums[0 .. n) += a[0 .. R) times R rows of b, in the order of k.
template <class T, int R>
inline void add_rows(const T* a, std::int64_t a_step, const T* b, std::int64_t ldb, std::int64_t n,
                     T* sums) {
  constexpr int kW = Vec<T>::kWidth;
  Vec<T> x[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) x[r] = Vec<T>::set1(a[r * a_step]);
  std::int64_t j = 0;
  for (; j + kW <= n; j += kW) {
    Vec<T> y = Vec<T>::load(sums + j);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) y = fma(x[r], Vec<T>::load(b + r * ldb + j), y);
    y.store(sums + j);
  }
  if (j < n) {
    Vec<T> y = Vec<T>::load(sums + j);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) y = fma(x[r], Vec<T>::load_partial(b + r * ldb + j, n - j), y);
    y.store(sums + j);
  }
}

/// All n (N) columns of a product with one row, where vectors of columns would be mostly empty:
/// four sums for each, of every fourth element of k.
template <int N, class T>
inline void row_by_few_columns(const Product<T>& p) {
  T sums[4][N] = {};
  const T* a = p.a;
  const T* b = p.b;
  std::int64_t k = p.k;
  for (; k >= 4; k -= 4, a += 4 * p.a_step, b += 4 * p.ldb) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const T x = a[q * p.a_step];
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) sums[q][j] += x * b[q * p.ldb + j];
    }
  }
  for (; k > 0; --k, a += p.a_step, b += p.ldb) {
    for (int j = 0; j < N; ++j) sums[0][j] += *a * b[j];
  }
  for (int j = 0; j < N; ++j) {
    const T sum = (sums[0][j] + sums[1][j]) + (sums[2][j] + sums[3][j]);
    p.c[j] = p.accumulate ? p.c[j] + sum : sum;
  }
  finish_row(p.epilogue, p.c, N);
}

/// The same for 2 to 4 columns; false for more.
template <class T>
inline bool row_by_few_columns(const Product<T>& p) {
  if (p.n < 2 || p.n > 4) return false;
  p.n == 2   ? row_by_few_columns<2>(p)
  : p.n == 3 ? row_by_few_columns<3>(p)
             : row_by_few_columns<4>(p);
  return true;
}

/// The sums of kBlocks blocks of k, k_block elements apart, over elements [k0, k1) of each; they do
/// not wait for each other. The last of NV vectors has `rest` columns where Masked.
template <class T, int NV, int kBlocks, bool kMasked>
inline void sum_blocks(const Product<T>& p, const T* a, const T* b, std::int64_t k_block,
                       std::int64_t k0, std::int64_t k1, std::int64_t rest, Vec<T>* sums) {
  constexpr int kW = Vec<T>::kWidth;
  const std::int64_t a_step = p.a_step, ldb = p.ldb;
  Vec<T> acc[kBlocks * NV];
#pragma GCC unroll 8
  for (int i = 0; i < kBlocks * NV; ++i) acc[i] = sums[i];
  const T* from = a + k0 * a_step;
  const T* row[kBlocks];
#pragma GCC unroll 4
  for (int q = 0; q < kBlocks; ++q) row[q] = b + (q * k_block + k0) * ldb;
  for (std::int64_t k = k0; k < k1; ++k) {
#pragma GCC unroll 4
    for (int q = 0; q < kBlocks; ++q) {
      const Vec<T> x = Vec<T>::set1(from[q * k_block * a_step]);
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) {
        const Vec<T> y = kMasked && v == NV - 1 ? Vec<T>::load_partial(row[q] + v * kW, rest)
                                                : Vec<T>::load(row[q] + v * kW);
        acc[q * NV + v] = fma(x, y, acc[q * NV + v]);
      }
      row[q] += ldb;
    }
    from += a_step;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kBlocks * NV; ++i) sums[i] = acc[i];
}

/// The same for `blocks` (1 to 4) blocks, all elements; the last block has `last` elements.
template <class T, int NV, bool kMasked>
inline void sum_some_blocks(const Product<T>& p, const T* a, const T* b, std::int64_t k_block,
                            int blocks, std::int64_t last, std::int64_t rest, Vec<T>* sums) {
  switch (blocks) {
    case 1:
      return sum_blocks<T, NV, 1, kMasked>(p, a, b, k_block, 0, last, rest, sums);
    case 2:
      sum_blocks<T, NV, 2, kMasked>(p, a, b, k_block, 0, last, rest, sums);
      return sum_blocks<T, NV, 1, kMasked>(p, a, b, k_block, last, k_block, rest, sums);
    case 3:
      sum_blocks<T, NV, 3, kMasked>(p, a, b, k_block, 0, last, rest, sums);
      return sum_blocks<T, NV, 2, kMasked>(p, a, b, k_block, last, k_block, rest, sums);
    default:
      sum_blocks<T, NV, 4, kMasked>(p, a, b, k_block, 0, last, rest, sums);
      return sum_blocks<T, NV, 3, kMasked>(p, a, b, k_block, last, k_block, rest, sums);
  }
}

/// Columns [j, j + cols), NV vectors, of a product with one row and several blocks of k. Block
/// after block, every multiply-add would wait for the one before.
template <class T, int NV>
void row_by_panel(const Product<T>& p, std::int64_t j, std::int64_t cols) {
  constexpr int kW = Vec<T>::kWidth;
  constexpr int kMost = 4;  // blocks side by side
  const std::int64_t k_block = block_k(p.k, p.n);
  const std::int64_t rest = cols - (NV - 1) * kW;
  T* c = p.c + j;
  bool add = p.accumulate;
  for (std::int64_t k0 = 0; k0 < p.k; k0 += kMost * k_block) {
    const std::int64_t kn = std::min(kMost * k_block, p.k - k0);
    const int blocks = static_cast<int>((kn + k_block - 1) / k_block);
    const std::int64_t last = kn - (blocks - 1) * k_block;
    const T* a = p.a + k0 * p.a_step;
    const T* b = p.b + k0 * p.ldb + j;
    Vec<T> sums[kMost * NV] = {};
    if (rest == kW) {
      sum_some_blocks<T, NV, false>(p, a, b, k_block, blocks, last, rest, sums);
    } else {
      sum_some_blocks<T, NV, true>(p, a, b, k_block, blocks, last, rest, sums);
    }
    for (int v = 0; v < NV; ++v) {
      const std::int64_t some = v < NV - 1 ? kW : rest;
      Vec<T> y = sums[v];
      if (add) y = Vec<T>::load_partial(c + v * kW, some) + y;
      for (int q = 1; q < blocks; ++q) y = y + sums[q * NV + v];
      y.store_partial(c + v * kW, some);
    }
    add = true;
  }
  finish_row(epilogue_from(p.epilogue, j), c, cols);
}

/// Columns [j0, j1) of a product with one row; b is read row after row.
template <class T>
void row_by_matrix(const Product<T>& p, std::int64_t j0, std::int64_t j1) {
  constexpr int kW = Vec<T>::kWidth;
  alignas(64) T sums[kRowColumns];
  const std::int64_t k_block = block_k(p.k, p.n);
  for (; j0 < j1; j0 += kRowColumns) {
    const std::int64_t n = std::min(kRowColumns, j1 - j0);
    T* c = p.c + j0;
    for (std::int64_t k0 = 0; k0 < p.k; k0 += k_block) {
      const std::int64_t end = std::min(p.k, k0 + k_block);
      std::fill(sums, sums + round_up(n, kW), T(0));
      std::int64_t k = k0;
      const T* a = p.a + k * p.a_step;
      const T* b = p.b + k * p.ldb + j0;
      for (; k + 8 <= end; k += 8, a += 8 * p.a_step, b += 8 * p.ldb) {
        add_rows<T, 8>(a, p.a_step, b, p.ldb, n, sums);
      }
      for (; k + 2 <= end; k += 2, a += 2 * p.a_step, b += 2 * p.ldb) {
        add_rows<T, 2>(a, p.a_step, b, p.ldb, n, sums);
      }
      if (k < end) add_rows<T, 1>(a, p.a_step, b, p.ldb, n, sums);
      if (p.accumulate || k0 > 0) {
        for (std::int64_t j = 0; j < n; ++j) c[j] += sums[j];
      } else {
        std::copy_n(sums, n, c);
      }
    }
    finish_row(epilogue_from(p.epilogue, j0), c, n);
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
