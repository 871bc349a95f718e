// c = act(op(a) op(b) + bias). Large products pack b into the workspace and copies of a's blocks
// onto the stack; others read both operands in place and pack at most one panel at a time, on the
// stack. Products with one row or one column are matrix-vector products with loops of their own.
#include <algorithm>
#include <cstring>

#include "backend/cpu/gemm_blocked.h"
#include "backend/cpu/gemm_thin.h"
#include "backend/cpu/gemm_vector.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

constexpr std::int64_t kFewRows = 64;         // up to here b's panels are not worth packing
constexpr std::int64_t kFewColumns = 96;      // and a's rows not worth copying
constexpr std::int64_t kStripsToPack = 4;     // or up to here, where b's rows collide
constexpr std::int64_t kSmallB = 8192;        // elements of b that stay in the first-level cache
constexpr std::int64_t kLongK = 2048;         // of which packed panels serve even few rows
constexpr std::int64_t kLargeCost = 1 << 22;  // multiply-adds from which blocking pays

/// `ta`: the rows of op(a) lie apart, which a copy mends.
bool is_large(std::int64_t m, std::int64_t n, std::int64_t k, bool ta) {
  return m > (k >= kLongK || (ta && k >= kLongK / 8) ? kFewRows / 4 : kFewRows) &&
         n > kFewColumns && k > 0 && m * n >= (kLargeCost + k - 1) / k;
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

// ---------------------------------------------------------------- in place

template <class T>
Product<T> row_of(const Product<T>& p, std::int64_t i) {
  Product<T> row = p;
  row.m = 1;
  row.a += i * p.a_row;
  row.c += i * p.ldc;
  return row;
}

/// Rows [m0, m1) and columns [n0, n1), panel by panel, in blocks of k_block elements of k.
template <class T>
void multiply_panels(const Product<T>& p, std::int64_t m0, std::int64_t m1, std::int64_t n0,
                     std::int64_t n1, std::int64_t k_block) {
  alignas(64) T packed[kBlockK * kPanelWidth<T>];
  const std::int64_t rows = m1 - m0;
  // Rows a page apart contend for one set of the first-level cache. Low tiles read them often.
  const bool collide =
      kWideRows<T> < kStrip && p.ldb * static_cast<std::int64_t>(sizeof(T)) % 4096 == 0;
  const bool pack = p.tb || (collide && rows > kStripsToPack * kWideRows<T>) ||
                    (rows > kFewRows && p.k * p.n > kSmallB);
  for (std::int64_t j = n0; j < n1;) {
    const Panel panel =
        rows == 1 && !pack ? next_row_panel<T>(n1 - j) : next_narrow_panel<T>(n1 - j);
    if (rows == 1 && !pack && k_block < p.k && panel.cols <= 2 * Vec<T>::kWidth) {
      const Product<T> row = row_of(p, m0);
      if (panel.cols <= Vec<T>::kWidth) {
        row_by_panel<T, 1>(row, j, panel.cols);
      } else {
        row_by_panel<T, 2>(row, j, panel.cols);
      }
      j += panel.cols;
      continue;
    }
    const Epilogue<T> epilogue = epilogue_from(p.epilogue, j);
    for (std::int64_t k0 = 0; k0 < p.k; k0 += k_block) {
      const std::int64_t kn = std::min(k_block, p.k - k0);
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

constexpr std::int64_t kNearElements = 16384;  // of c that a second pass finds near

/// Rows [m0, m1) and columns [n0, n1). Activations that are no single instruction are computed for
/// many elements at a time, where c is small enough to come back to.
template <class T>
void multiply_in_place(const Product<T>& product, std::int64_t m0, std::int64_t m1, std::int64_t n0,
                       std::int64_t n1) {
  Product<T> p = product;
  const Activation act = p.epilogue.act;
  const std::int64_t rows = m1 - m0, columns = n1 - n0;
  const bool later = act != Activation::kNone && act != Activation::kRelu && rows > 1 &&
                     rows * columns <= kNearElements;
  if (later) p.epilogue.act = Activation::kNone;
  if (p.k <= kThinK) {
    multiply_thin(p, m0, m1, n0, n1);
  } else if (rows == 1 && !p.tb && columns > (p.k * columns > kSmallB ? 2 : 4) * kPanelWidth<T>) {
    row_by_matrix(row_of(p, m0), n0, n1);
  } else {
    multiply_panels(p, m0, m1, n0, n1, block_k(p.k, p.n));
  }
  if (!later) return;
  T* c = p.c + m0 * p.ldc + n0;
  if (p.ldc == columns) {
    activate(act, p.epilogue.alpha, c, rows * columns);
  } else {
    for (std::int64_t i = 0; i < rows; ++i) {
      activate(act, p.epilogue.alpha, c + i * p.ldc, columns);
    }
  }
}

// Multiply-adds from which threads share a product: some 4 microseconds, against less than one for
// waking a spinning thread and waiting for it.
constexpr std::int64_t kLeastShared = 1 << 18;

/// About `grain` of n items, such that there is one chunk or an even number: two threads then meet
/// in the middle, as in all other loops.
std::int64_t even_grain(std::int64_t n, std::int64_t grain) {
  if (n <= grain) return n;
  const std::int64_t chunks = round_up((n + grain - 1) / grain, 2);
  return (n + chunks - 1) / chunks;
}

// ---------------------------------------------------------------- few rows, many weights

constexpr std::int64_t kLeastAdded = 8192;      // elements of c that a thread finishes
constexpr std::int64_t kLargestSums = 1 << 16;  // elements of c that are cheap to add once more

/// Blocks of k whose sums are computed side by side; 1: one after the other. Threads that share the
/// columns would all read lines of every row of b. In a training step b is a weight, and writing
/// a line that another core has read costs the update more than the second thread saves. A block of
/// k is rows of b: the rows whose gradients and updates fall to the same thread. Either way the
/// blocks are the same, and added in the same order.
std::int64_t blocks_side_by_side(std::int64_t m, std::int64_t n, std::int64_t k, bool tb) {
  if (tb || m == 1 || m > 4 * kFewRows || m * n * k < kLeastShared) return 1;
  const std::int64_t block = block_k(k, n), blocks = (k + block - 1) / block;
  return m * n * (blocks - 1) <= kLargestSums ? blocks : 1;
}

template <class T>
void multiply_in_blocks(const Product<T>& p, std::int64_t blocks, T* sums, const Exec& exec) {
  const std::int64_t block = block_k(p.k, p.n);
  const std::int64_t columns = 2 * kPanelWidth<T>;
  const std::int64_t across = (p.n + columns - 1) / columns;
  parallel_for(exec, blocks * across, 1, [&](std::int64_t u, std::int64_t) {
    const std::int64_t i = u / across;
    Product<T> q = p;
    q.k = std::min(block, p.k - i * block);
    q.a = p.a + i * block * p.a_step;
    q.b = p.b + i * block * p.ldb;
    q.epilogue = {};
    if (i > 0) {
      q.c = sums + (i - 1) * p.m * p.n;
      q.ldc = p.n;
      q.accumulate = false;
    }
    const std::int64_t j = u % across * columns;
    multiply_panels(q, 0, p.m, j, std::min(p.n, j + columns), q.k);
  });
  parallel_for(exec, p.m, even_grain(p.m, kLeastAdded / p.n + 1),
               [&](std::int64_t i0, std::int64_t i1) {
                 for (std::int64_t i = i0; i < i1; ++i) {
                   T* c = p.c + i * p.ldc;
                   for (std::int64_t more = 1; more < blocks; ++more) {
                     const T* from = sums + ((more - 1) * p.m + i) * p.n;
                     for (std::int64_t j = 0; j < p.n; ++j) c[j] += from[j];
                   }
                   finish_row(p.epilogue, c, p.n);
                 }
               });
}

// ---------------------------------------------------------------- medium

template <class T>
void multiply_medium(const Product<T>& p, const Exec& exec) {
  const std::int64_t cost = p.m * p.n * p.k;
  if (exec.threads == 1 || cost < kLeastShared) {
    multiply_in_place(p, 0, p.m, 0, p.n);
    return;
  }
  if (p.m > kFewRows && !(p.tb && p.n >= 4 * kPanelWidth<T>)) {
    const std::int64_t grain = round_up(kGemmGrain / std::max<std::int64_t>(1, p.n * p.k), kStrip);
    const std::int64_t fewest = (p.tb ? 6 : 2) * kStrip;  // every unit packs b again
    parallel_for(exec, p.m, even_grain(p.m, std::max(fewest, grain)),
                 [&](std::int64_t i0, std::int64_t i1) { multiply_in_place(p, i0, i1, 0, p.n); });
    return;
  }
  // A grid of units; where b is packed, every unit of columns packs it once.
  const std::int64_t rows = p.tb ? p.m : std::min<std::int64_t>(p.m, kStrip);
  const std::int64_t unit = p.m == 1 ? 4 * kPanelWidth<T> : kPanelWidth<T>;
  const std::int64_t columns = std::max(unit, round_up(kGemmGrain / (2 * rows * p.k), unit));
  const std::int64_t across = (p.n + columns - 1) / columns;
  const std::int64_t down = (p.m + rows - 1) / rows;
  parallel_for(exec, across * down, 1, [&](std::int64_t u, std::int64_t) {
    const std::int64_t i = u % down * rows;
    const std::int64_t j = u / down * columns;
    multiply_in_place(p, i, std::min(p.m, i + rows), j, std::min(p.n, j + columns));
  });
}

// ---------------------------------------------------------------- dispatch

/// `alone`: not one of a batch; then `workspace` is what matmul_workspace asks for.
template <class T>
void multiply(Product<T> p, T* workspace, bool alone, const Exec& exec) {
  if (p.tb && p.k == 1 && p.ldb == 1) p.tb = false;  // one row, whichever way it is seen
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
    if (q.k > kDotBlock || !row_by_few_columns(q)) multiply_medium(q, exec);
  } else if (p.n == 1 && p.a_step == 1) {
    by_dots(p, exec);
  } else if (p.m == 1 && p.tb) {
    by_dots(p, exec);
  } else if (const auto blocks = blocks_side_by_side(p.m, p.n, p.k, p.tb); alone && blocks > 1) {
    multiply_in_blocks(p, blocks, workspace, exec);
  } else if (workspace != nullptr && is_large(p.m, p.n, p.k, p.a_step != 1)) {
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
  if (p.batch == 1 || is_large(p.m, p.n, p.k, p.ta)) {
    for (std::int64_t i = 0; i < p.batch; ++i)
      multiply(nth(i), static_cast<T*>(p.workspace), p.batch == 1, exec);
    return;
  }
  const std::int64_t cost = std::max<std::int64_t>(1, p.m * p.n * std::max<std::int64_t>(1, p.k));
  const Exec serial{1, exec.fault};
  parallel_for(exec, p.batch, kGemmGrain / 4 / cost, [&](std::int64_t i0, std::int64_t i1) {
    for (std::int64_t i = i0; i < i1; ++i)
      multiply(nth(i), static_cast<T*>(nullptr), false, serial);
  });
}

}  // namespace

std::size_t matmul_workspace(const MatmulArgs& p) {
  const std::size_t item = p.dtype == DType::kFloat32 ? 4 : 8;
  if (const auto blocks = blocks_side_by_side(p.m, p.n, p.k, p.tb); p.batch == 1 && blocks > 1) {
    return static_cast<std::size_t>((blocks - 1) * p.m * p.n) * item;
  }
  if (!is_large(p.m, p.n, p.k, p.ta)) return 0;
  const std::int64_t k = std::min(p.k, kBlockK);
  const std::int64_t n = std::min(p.n, kBlockN);
  return item *
         static_cast<std::size_t>(item == 4 ? packed_size<float>(k, n) : packed_size<double>(k, n));
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
