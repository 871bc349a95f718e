// c = act(op(a) op(b) + bias). Large products pack b into the workspace and copies of a's blocks
// onto the stack; others read both operands in place and pack at most one panel at a time, on the
// stack. Products with one row or one column are matrix-vector products with loops of their own.
#include <algorithm>
#include <cstring>

#include "backend/cpu/gemm.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

constexpr std::int64_t kFewRows = 64;         // up to here b's panels are not worth packing
constexpr std::int64_t kSmallB = 8192;        // elements of b that stay in the first-level cache
constexpr std::int64_t kLargeCost = 1 << 22;  // multiply-adds from which blocking pays
constexpr std::int64_t kBlockM = 48;          // rows of a copied at a time
constexpr std::int64_t kGroupN = 512;         // columns that share a copy of a
constexpr std::int64_t kBlockN = 4096;        // columns of b packed at a time
constexpr std::int64_t kDotBlock = 1024;      // elements of k that a dot product sums in registers

/// One product: strides of op(a) are explicit, so its transposition is no case of its own.
template <class T>
struct Product {
  std::int64_t m, n, k;
  const T* a;
  std::int64_t a_row, a_step;  // from row to row of op(a), from k to k
  const T* b;
  std::int64_t ldb;
  bool tb;
  T* c;
  std::int64_t ldc;
  bool accumulate;
  Epilogue<T> epilogue;
};

std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

bool is_large(std::int64_t m, std::int64_t n, std::int64_t k) {
  return m > kFewRows && n > 1 && k > 0 && m * n >= (kLargeCost + k - 1) / k;
}

template <class T>
Epilogue<T> epilogue_from(const Epilogue<T>& e, std::int64_t column) {
  Epilogue<T> shifted = e;
  if (e.bias != nullptr) shifted.bias = e.bias + column * e.bias_step;
  return shifted;
}

// ---------------------------------------------------------------- no product at all

template <class T>
void without_k(const Product<T>& p) {
  if (p.accumulate) return;
  for (std::int64_t i = 0; i < p.m; ++i) {
    std::fill(p.c + i * p.ldc, p.c + i * p.ldc + p.n, T(0));
    finish_row(p.epilogue, p.c + i * p.ldc, p.n);
  }
}

// ---------------------------------------------------------------- dot products

// The sum over [0, k) of rows[r] * v for R rows at once; each sum is the same whatever R is.
template <class T, int R>
void dots(const T* rows, std::int64_t ld, const T* v, std::int64_t k, T* out) {
  constexpr int kW = Vec<T>::kWidth;
  Vec<T> acc[R][2];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = Vec<T>::zero();
  std::int64_t i = 0;
  for (; i + 2 * kW <= k; i += 2 * kW) {
    const Vec<T> v0 = Vec<T>::load(v + i);
    const Vec<T> v1 = Vec<T>::load(v + i + kW);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      acc[r][0] = fma(Vec<T>::load(rows + r * ld + i), v0, acc[r][0]);
      acc[r][1] = fma(Vec<T>::load(rows + r * ld + i + kW), v1, acc[r][1]);
    }
  }
  for (int half = 0; i < k; ++half, i += kW) {
    const std::int64_t left = std::min<std::int64_t>(kW, k - i);
    const Vec<T> vp = Vec<T>::load_partial(v + i, left);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec<T> rp = Vec<T>::load_partial(rows + r * ld + i, left);
      if (half == 0) {
        acc[r][0] = fma(rp, vp, acc[r][0]);
      } else {
        acc[r][1] = fma(rp, vp, acc[r][1]);
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    T lanes[kW];
    (acc[r][0] + acc[r][1]).store(lanes);
    for (int w = kW / 2; w > 0; w /= 2) {
      for (int j = 0; j < w; ++j) lanes[j] += lanes[j + w];
    }
    out[r] = lanes[0];
  }
}

/// out[i * out_step] = rows[i] . v for i in [0, n): rows contiguous along k, v with any step.
template <class T>
void matrix_vector(const T* rows, std::int64_t ld, const T* v, std::int64_t v_step, std::int64_t k,
                   T* out, std::int64_t out_step, std::int64_t n, bool accumulate,
                   const Epilogue<T>& epilogue) {
  T gathered[kDotBlock];
  for (std::int64_t k0 = 0; k0 < k; k0 += kDotBlock) {
    const std::int64_t kn = std::min(kDotBlock, k - k0);
    const T* vb = v + k0 * v_step;
    if (v_step != 1) {
      for (std::int64_t i = 0; i < kn; ++i) gathered[i] = vb[i * v_step];
      vb = gathered;
    }
    for (std::int64_t i = 0; i < n; i += 4) {
      T sums[4];
      const std::int64_t some = std::min<std::int64_t>(4, n - i);
      if (some == 4) {
        dots<T, 4>(rows + i * ld + k0, ld, vb, kn, sums);
      } else {
        for (std::int64_t r = 0; r < some; ++r) {
          dots<T, 1>(rows + (i + r) * ld + k0, ld, vb, kn, sums + r);
        }
      }
      for (std::int64_t r = 0; r < some; ++r) {
        T& y = out[(i + r) * out_step];
        y = accumulate || k0 > 0 ? y + sums[r] : sums[r];
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

// ---------------------------------------------------------------- in place

/// Rows [m0, m1) and columns [n0, n1).
template <class T>
void multiply_in_place(const Product<T>& p, std::int64_t m0, std::int64_t m1, std::int64_t n0,
                       std::int64_t n1) {
  alignas(64) T packed[kBlockK * kPanelWidth<T>];
  const std::int64_t rows = m1 - m0;
  const bool pack = p.tb || (rows > kFewRows && p.k * p.n > kSmallB);
  for (std::int64_t j = n0; j < n1;) {
    const Panel panel = rows == 1 && !pack ? next_row_panel<T>(n1 - j) : next_panel<T>(n1 - j);
    const Epilogue<T> epilogue = epilogue_from(p.epilogue, j);
    for (std::int64_t k0 = 0; k0 < p.k; k0 += kBlockK) {
      const std::int64_t kn = std::min(kBlockK, p.k - k0);
      const T* b = p.tb ? p.b + j * p.ldb + k0 : p.b + k0 * p.ldb + j;
      std::int64_t ldb = p.ldb;
      if (pack) {
        if (p.tb) {
          pack_panel_transposed(panel, b, ldb, kn, packed);
        } else {
          pack_panel(panel, b, ldb, kn, packed);
        }
        b = packed;
        ldb = panel.width;
      }
      const Segment<T> segment{p.a + m0 * p.a_row + k0 * p.a_step, b, kn};
      Tile<T> tile{};
      tile.segments = &segment;
      tile.n_segments = 1;
      tile.a_step = p.a_step;
      tile.ldb = ldb;
      tile.c = p.c + m0 * p.ldc + j;
      tile.add = p.accumulate || k0 > 0;
      tile.epilogue = k0 + kn == p.k ? &epilogue : nullptr;
      run_strips(panel, !pack, rows, p.a_row, p.ldc, tile);
    }
    j += panel.cols;
  }
}

template <class T>
void multiply_medium(const Product<T>& p, const Exec& exec) {
  const std::int64_t cost = p.m * p.n * p.k;
  if (exec.threads == 1 || cost < 2 * kGemmGrain) {
    multiply_in_place(p, 0, p.m, 0, p.n);
    return;
  }
  if (p.m <= kFewRows) {
    const std::int64_t unit = p.m == 1 ? 4 * kPanelWidth<T> : kPanelWidth<T>;
    const std::int64_t grain = round_up(kGemmGrain / std::max<std::int64_t>(1, p.m * p.k), unit);
    parallel_for(exec, p.n, std::max(unit, grain),
                 [&](std::int64_t j0, std::int64_t j1) { multiply_in_place(p, 0, p.m, j0, j1); });
  } else {
    const std::int64_t grain = round_up(kGemmGrain / std::max<std::int64_t>(1, p.n * p.k), kStrip);
    parallel_for(exec, p.m, std::max<std::int64_t>(2 * kStrip, grain),
                 [&](std::int64_t i0, std::int64_t i1) { multiply_in_place(p, i0, i1, 0, p.n); });
  }
}

// ---------------------------------------------------------------- blocked

/// A copy of op(a)'s rows [0, rows) and k elements that the tiles read without cache conflicts.
template <class T>
struct BlockOfA {
  static constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
  alignas(64) T data[kBlockM * (kBlockK + kLine)];
  std::int64_t row, step;

  void copy(const Product<T>& p, const T* a, std::int64_t rows, std::int64_t k) {
    if (p.a_step == 1) {
      row = kBlockK + kLine;
      step = 1;
      for (std::int64_t i = 0; i < rows; ++i) std::copy_n(a + i * p.a_row, k, data + i * row);
    } else {
      row = 1;
      step = kBlockM;
      for (std::int64_t i = 0; i < k; ++i) std::copy_n(a + i * p.a_step, rows, data + i * step);
    }
  }
};

template <class T>
void multiply_blocked(const Product<T>& p, T* packed, const Exec& exec) {
  constexpr int kW = kPanelWidth<T>;
  for (std::int64_t n0 = 0; n0 < p.n; n0 += kBlockN) {
    const std::int64_t nn = std::min(kBlockN, p.n - n0);
    const std::int64_t panels = (nn + kW - 1) / kW;
    for (std::int64_t k0 = 0; k0 < p.k; k0 += kBlockK) {
      const std::int64_t kn = std::min(kBlockK, p.k - k0);
      const auto panel_data = [&](std::int64_t q) { return packed + q * kW * kn; };
      parallel_for(exec, panels, std::max<std::int64_t>(1, 65536 / (kW * kn)),
                   [&](std::int64_t q0, std::int64_t q1) {
                     for (std::int64_t q = q0; q < q1; ++q) {
                       const Panel panel = next_panel<T>(nn - q * kW);
                       const std::int64_t j = n0 + q * kW;
                       if (p.tb) {
                         pack_panel_transposed(panel, p.b + j * p.ldb + k0, p.ldb, kn,
                                               panel_data(q));
                       } else {
                         pack_panel(panel, p.b + k0 * p.ldb + j, p.ldb, kn, panel_data(q));
                       }
                     }
                   });
      const std::int64_t groups = (nn + kGroupN - 1) / kGroupN;
      const std::int64_t blocks = (p.m + kBlockM - 1) / kBlockM;
      parallel_for(exec, groups * blocks, 1, [&](std::int64_t u0, std::int64_t u1) {
        BlockOfA<T> block;
        for (std::int64_t u = u0; u < u1; ++u) {
          const std::int64_t i = u % blocks * kBlockM;
          const std::int64_t rows = std::min(kBlockM, p.m - i);
          const std::int64_t g0 = u / blocks * kGroupN;  // b's group stays in the cache
          const std::int64_t g1 = std::min(nn, g0 + kGroupN);
          block.copy(p, p.a + i * p.a_row + k0 * p.a_step, rows, kn);
          for (std::int64_t j = g0; j < g1; j += kW) {
            const Panel panel = next_panel<T>(nn - j);
            const Epilogue<T> epilogue = epilogue_from(p.epilogue, n0 + j);
            const Segment<T> segment{block.data, panel_data(j / kW), kn};
            Tile<T> tile{};
            tile.segments = &segment;
            tile.n_segments = 1;
            tile.a_step = block.step;
            tile.ldb = panel.width;
            tile.c = p.c + i * p.ldc + n0 + j;
            tile.add = p.accumulate || k0 > 0;
            tile.epilogue = k0 + kn == p.k ? &epilogue : nullptr;
            run_strips(panel, false, rows, block.row, p.ldc, tile);
          }
        }
      });
    }
  }
}

// ---------------------------------------------------------------- dispatch

template <class T>
void multiply(Product<T> p, T* workspace, const Exec& exec) {
  if (p.k == 0) {
    without_k(p);
    return;
  }
  if (p.n == 1 && p.ldc == 1 && p.m > 1 && p.a_row == 1 && p.a_step != 1) {
    // A column of op(a) = a^T: c^T = b^T a, one row times a row-major matrix.
    Product<T> q = p;
    q.m = 1;
    q.n = p.m;
    q.a = p.b;
    q.a_row = 0;
    q.a_step = p.tb ? 1 : p.ldb;
    q.b = p.a;
    q.ldb = p.a_step;
    q.tb = false;
    q.ldc = p.m;
    q.epilogue.bias_step = 0;
    multiply_medium(q, exec);
  } else if (p.n == 1 && p.a_step == 1) {
    by_dots(p, exec);
  } else if (p.m == 1 && p.tb) {
    by_dots(p, exec);
  } else if (workspace != nullptr && is_large(p.m, p.n, p.k)) {
    multiply_blocked(p, workspace, exec);
  } else {
    multiply_medium(p, exec);
  }
}

template <class T>
void multiply_all(const MatmulArgs& p, const Exec& exec) {
  Product<T> product{};
  product.m = p.m;
  product.n = p.n;
  product.k = p.k;
  product.a_row = p.ta ? 1 : p.lda;
  product.a_step = p.ta ? p.lda : 1;
  product.ldb = p.ldb;
  product.tb = p.tb;
  product.ldc = p.ldc;
  product.accumulate = p.accumulate;
  if (!p.accumulate) {
    product.epilogue.bias = static_cast<const T*>(p.bias);
    product.epilogue.act = p.act;
    product.epilogue.alpha = p.act_alpha;
  }
  const auto nth = [&](std::int64_t i) {
    Product<T> q = product;
    q.a = static_cast<const T*>(p.a) + i * p.a_stride;
    q.b = static_cast<const T*>(p.b) + i * p.b_stride;
    q.c = static_cast<T*>(p.c) + i * p.c_stride;
    return q;
  };
  if (p.batch == 1 || is_large(p.m, p.n, p.k)) {
    for (std::int64_t i = 0; i < p.batch; ++i) multiply(nth(i), static_cast<T*>(p.workspace), exec);
    return;
  }
  const std::int64_t cost = std::max<std::int64_t>(1, p.m * p.n * std::max<std::int64_t>(1, p.k));
  const Exec serial{1, exec.fault};
  parallel_for(exec, p.batch, kGemmGrain / cost, [&](std::int64_t i0, std::int64_t i1) {
    for (std::int64_t i = i0; i < i1; ++i) multiply(nth(i), static_cast<T*>(nullptr), serial);
  });
}

}  // namespace

std::size_t matmul_workspace(const MatmulArgs& p) {
  if (!is_large(p.m, p.n, p.k)) return 0;
  const std::int64_t k = std::min(p.k, kBlockK);
  const std::int64_t n = std::min(p.n, kBlockN);
  return static_cast<std::size_t>(p.dtype == DType::kFloat32 ? packed_size<float>(k, n) * 4
                                                             : packed_size<double>(k, n) * 8);
}

void matmul_kernel(const MatmulArgs& p, const Exec& exec) {
  if (p.m <= 0 || p.n <= 0 || p.batch <= 0) return;
  if (p.dtype == DType::kFloat32) {
    multiply_all<float>(p, exec);
  } else {
    multiply_all<double>(p, exec);
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
