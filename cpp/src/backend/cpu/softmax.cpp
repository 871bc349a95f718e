// Softmax, its gradient, and softmax with cross-entropy, row by row.
#include <algorithm>
#include <cstdint>
#include <limits>

#include "backend/cpu/kernel_list.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/simd_math.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using std::int64_t;

/// Calls f(i, n) for the vectors of a row: n is kWidth, or what is left at the end.
template <class T, class F>
inline void for_vectors(int64_t cols, F&& f) {
  constexpr int64_t kW = Vec<T>::kWidth;
  int64_t i = 0;
  for (; i + kW <= cols; i += kW) f(i, kW);
  if (i < cols) f(i, cols - i);
}

template <class T>
inline Vec<T> load_n(const T* p, int64_t n) {
  return n == Vec<T>::kWidth ? Vec<T>::load(p) : Vec<T>::load_partial(p, n);
}
template <class T>
inline void store_n(Vec<T> v, T* p, int64_t n) {
  if (n == Vec<T>::kWidth) {
    v.store(p);
  } else {
    v.store_partial(p, n);
  }
}
/// v with zeros behind the first n.
template <class T>
inline Vec<T> keep_n(Vec<T> v, int64_t n) {
  return n == Vec<T>::kWidth ? v : select<T>(Vec<T>::first(n), v, Vec<T>::zero());
}

/// The larger; a NaN in `x` is lost (the sum of exponentials finds it).
template <class T>
inline Vec<T> larger(Vec<T> m, Vec<T> x) {
  return at_least(m, x);
}

/// The largest of a row, still spread over the lanes.
template <class T>
inline Vec<T> row_max(const T* x, int64_t cols) {
  using V = Vec<T>;
  constexpr int64_t kW = V::kWidth;
  V a = V::set1(-std::numeric_limits<T>::infinity());
  V b = a;
  int64_t i = 0;
  for (; i + 2 * kW <= cols; i += 2 * kW) {
    a = larger(a, V::load(x + i));
    b = larger(b, V::load(x + i + kW));
  }
  for (; i + kW <= cols; i += kW) a = larger(a, V::load(x + i));
  if (i < cols) {
    b = larger(b, select<T>(V::first(cols - i), V::load_partial(x + i, cols - i), b));
  }
  return larger(a, b);
}

/// The largest of each of `rows` long rows.
template <class T>
inline Vec<T> rows_max(const T* x, int64_t rows, int64_t cols) {
  return fold_rows<T>(rows, [&](int64_t r) { return row_max(x + r * cols, cols); }, larger<T>);
}

template <class T>
inline Vec<T> add(Vec<T> a, Vec<T> b) {
  return a + b;
}

/// The sums over a tile's columns.
template <class T>
inline Vec<T> sum_columns(RowTile<T>& tile, int64_t cols) {
  return RowTile<T>::fold(cols, [&](int64_t c) { return tile[c]; }, add<T>) + Vec<T>::zero();
}
// Products that are summed go through fma(), lest the compiler fuses them in one place and not in
// another: a row in a tile gets the same bits as one in vectors.
/// The sums of `rows` rows; step(r, sum, i, n) adds the n elements of row r from i on.
template <class T, class F>
inline Vec<T> sum_rows(int64_t rows, int64_t cols, F step) {
  const auto row = [&](int64_t r) {
    Vec<T> acc = Vec<T>::zero();
    for_vectors<T>(cols, [&](int64_t i, int64_t n) { acc = step(r, acc, i, n); });
    return acc;
  };
  return fold_rows<T>(rows, row, add<T>) + Vec<T>::zero();
}

/// y[r, :] *= f[r]
template <class T>
inline void scale_rows(T* y, int64_t rows, int64_t cols, Vec<T> f) {
  for (int64_t r = 0; r < rows; ++r, y += cols) {
    const Vec<T> factor = Vec<T>::set1(f[r]);
    for_vectors<T>(cols,
                   [&](int64_t i, int64_t n) { store_n(load_n(y + i, n) * factor, y + i, n); });
  }
}

/// Calls f(tiled as a constant, first row, rows) for the blocks of rows [begin, end).
template <class T, class F>
inline void for_softmax_rows(int64_t cols, int64_t begin, int64_t end, F f) {
  const int64_t step = cols <= kTileCols ? Vec<T>::kWidth : rows_at_once<T>(cols);
  for (int64_t r = begin; r < end; r += step) {
    const int64_t rows = std::min(step, end - r);
    tiled<T>(rows, cols) ? f(std::true_type{}, r, rows) : f(std::false_type{}, r, rows);
  }
}

/// Turns a tile of short rows into x - max(x).
template <class T>
inline void shift_by_max(RowTile<T>& x, int64_t cols) {
  // a NaN that stays in m spoils the row, as it should; one that is lost does so in the sum
  Vec<T> m = x[0];
  Vec<T> m1 = x[cols / 2];
  for (int64_t c = 1; c < cols / 2; ++c) {
    m = larger(m, x[c]);
    m1 = larger(m1, x[cols / 2 + c]);
  }
  m = larger(larger(m, m1), x[cols - 1]);
  for (int64_t c = 0; c < cols; ++c) x[c] = x[c] - m;
}

template <class T>
void softmax_tile(const SoftmaxArgs& args, int64_t r, int64_t rows) {
  using V = Vec<T>;
  const int64_t cols = args.cols;
  RowTile<T> tile;
  tile.load(static_cast<const T*>(args.x) + r * cols, rows, cols);
  shift_by_max(tile, cols);
  if (args.log) {
    RowTile<T> e;
    e.clear(cols);
    for (int64_t c = 0; c < cols; ++c) e[c] = exp(tile[c]);
    const V log_total = log(sum_columns(e, cols));
    for (int64_t c = 0; c < cols; ++c) tile[c] = tile[c] - log_total;
  } else {
    for (int64_t c = 0; c < cols; ++c) tile[c] = exp(tile[c]);
    const V inverse = V::set1(T(1)) / sum_columns(tile, cols);
    for (int64_t c = 0; c < cols; ++c) tile[c] = tile[c] * inverse;
  }
  tile.store(static_cast<T*>(args.y) + r * cols, rows, cols);
}

template <class T>
void softmax_rows(const SoftmaxArgs& args, int64_t first, int64_t rows) {
  using V = Vec<T>;
  const int64_t cols = args.cols;
  const T* x0 = static_cast<const T*>(args.x) + first * cols;
  T* y0 = static_cast<T*>(args.y) + first * cols;
  const V m = rows_max(x0, rows, cols);
  if (args.log) {
    const V log_total = log(sum_rows<T>(rows, cols, [&](int64_t r, V acc, int64_t i, int64_t n) {
      return acc + keep_n(exp(load_n(x0 + r * cols + i, n) - V::set1(m[r])), n);
    }));
    for (int64_t r = 0; r < rows; ++r) {
      const V shift = V::set1(m[r]);
      const V f = V::set1(log_total[r]);
      for_vectors<T>(cols, [&](int64_t i, int64_t n) {
        store_n((load_n(x0 + r * cols + i, n) - shift) - f, y0 + r * cols + i, n);
      });
    }
    return;
  }
  const V total = sum_rows<T>(rows, cols, [&](int64_t r, V acc, int64_t i, int64_t n) {
    const V e = keep_n(exp(load_n(x0 + r * cols + i, n) - V::set1(m[r])), n);
    store_n(e, y0 + r * cols + i, n);
    return acc + e;
  });
  scale_rows(y0, rows, cols, V::set1(T(1)) / total);
}

template <class T>
void softmax(const SoftmaxArgs& args, const Exec& exec) {
  parallel_for(exec, args.rows, grain_for(6 * args.cols), [&](int64_t begin, int64_t end) {
    for_softmax_rows<T>(args.cols, begin, end, [&](auto tiled, int64_t r, int64_t rows) {
      tiled ? softmax_tile<T>(args, r, rows) : softmax_rows<T>(args, r, rows);
    });
  });
}

template <class T>
void softmax_grad_rows(const SoftmaxGradArgs& args, int64_t first, int64_t rows) {
  using V = Vec<T>;
  const int64_t cols = args.cols;
  const T* y0 = static_cast<const T*>(args.y) + first * cols;
  const T* g0 = static_cast<const T*>(args.g) + first * cols;
  T* dx0 = static_cast<T*>(args.dx) + first * cols;
  const V totals =
      args.log ? sum_rows<T>(rows, cols,
                             [&](int64_t r, V acc, int64_t i, int64_t n) {
                               return acc + load_n(g0 + r * cols + i, n);
                             })
               : sum_rows<T>(rows, cols, [&](int64_t r, V acc, int64_t i, int64_t n) {
                   return fma(load_n(y0 + r * cols + i, n), load_n(g0 + r * cols + i, n), acc);
                 });
  for (int64_t r = 0; r < rows; ++r) {
    const T* y = y0 + r * cols;
    const T* g = g0 + r * cols;
    T* dx = dx0 + r * cols;
    const V total = V::set1(totals[r]);
    if (args.log) {
      for_vectors<T>(cols, [&](int64_t i, int64_t n) {
        store_n(fma(-exp(load_n(y + i, n)), total, load_n(g + i, n)), dx + i, n);
      });
    } else {
      for_vectors<T>(cols, [&](int64_t i, int64_t n) {
        store_n(load_n(y + i, n) * (load_n(g + i, n) - total), dx + i, n);
      });
    }
  }
}

template <class T>
void softmax_grad(const SoftmaxGradArgs& args, const Exec& exec) {
  const int64_t cost = (args.log ? 6 : 3) * args.cols;
  parallel_for(exec, args.rows, grain_for(cost), [&](int64_t begin, int64_t end) {
    for_row_blocks(begin, end, rows_at_once<T>(args.cols),
                   [&](int64_t r, int64_t rows) { softmax_grad_rows<T>(args, r, rows); });
  });
}

/// target * shifted, where a masked class (logit -Inf) that is not a target costs nothing.
template <class T>
inline Vec<T> weigh(Vec<T> target, Vec<T> shifted) {
  using V = Vec<T>;
  const V minus_inf = V::set1(-std::numeric_limits<T>::infinity());
  const auto masked = (target == V::zero()) & (shifted == minus_inf);
  return select<T>(masked, V::zero(), fma(target, shifted, V::zero()));
}

template <class T>
void cross_entropy_tile(const SoftmaxCrossEntropyArgs& args, int64_t r, int64_t rows) {
  using V = Vec<T>;
  const int64_t cols = args.cols;
  RowTile<T> z;
  RowTile<T> t;
  z.load(static_cast<const T*>(args.logits) + r * cols, rows, cols);
  t.load(static_cast<const T*>(args.target) + r * cols, rows, cols);
  shift_by_max(z, cols);
  const V sum_t = sum_columns(t, cols);
  for (int64_t c = 0; c < cols; ++c) t[c] = weigh(t[c], z[c]);
  const V sum_tz = sum_columns(t, cols);
  for (int64_t c = 0; c < cols; ++c) z[c] = exp(z[c]);
  const V total = sum_columns(z, cols);
  store_n(fma(sum_t, log(total), -sum_tz), static_cast<T*>(args.loss) + r, rows);
  const V inverse = V::set1(T(1)) / total;
  for (int64_t c = 0; c < cols; ++c) z[c] = z[c] * inverse;
  z.store(static_cast<T*>(args.probs) + r * cols, rows, cols);
}

template <class T>
void cross_entropy_rows(const SoftmaxCrossEntropyArgs& args, int64_t first, int64_t rows) {
  using V = Vec<T>;
  const int64_t cols = args.cols;
  const T* z0 = static_cast<const T*>(args.logits) + first * cols;
  const T* t0 = static_cast<const T*>(args.target) + first * cols;
  T* p0 = static_cast<T*>(args.probs) + first * cols;
  const V m = rows_max(z0, rows, cols);
  V part_t[V::kWidth];
  V part_tz[V::kWidth];
  const V total = fold_rows<T>(
                      rows,
                      [&](int64_t r) {
                        const V shift = V::set1(m[r]);
                        V acc = V::zero();
                        V acc_t = V::zero();
                        V acc_tz = V::zero();
                        for_vectors<T>(cols, [&](int64_t i, int64_t n) {
                          const V d = load_n(z0 + r * cols + i, n) - shift;
                          const V e = keep_n(exp(d), n);
                          const V target = load_n(t0 + r * cols + i, n);
                          acc = acc + e;
                          acc_t = acc_t + target;
                          acc_tz = acc_tz + keep_n(weigh(target, d), n);
                          store_n(e, p0 + r * cols + i, n);
                        });
                        part_t[r] = acc_t;
                        part_tz[r] = acc_tz;
                        return acc;
                      },
                      add<T>) +
                  V::zero();
  const auto fold = [&](const V* part) {
    return fold_rows<T>(rows, [part](int64_t r) { return part[r]; }, add<T>) + V::zero();
  };
  const V sum_t = fold(part_t);
  const V sum_tz = fold(part_tz);
  store_n(fma(sum_t, log(total), -sum_tz), static_cast<T*>(args.loss) + first, rows);
  scale_rows(p0, rows, cols, V::set1(T(1)) / total);
}

template <class T>
void softmax_cross_entropy(const SoftmaxCrossEntropyArgs& args, const Exec& exec) {
  parallel_for(exec, args.rows, grain_for(8 * args.cols), [&](int64_t begin, int64_t end) {
    for_softmax_rows<T>(args.cols, begin, end, [&](auto tiled, int64_t r, int64_t rows) {
      tiled ? cross_entropy_tile<T>(args, r, rows) : cross_entropy_rows<T>(args, r, rows);
    });
  });
}

}  // namespace

void softmax_kernel(const SoftmaxArgs& args, const Exec& exec) {
  if (args.cols == 0) return;
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) { softmax<T>(args, exec); });
}

void softmax_grad_kernel(const SoftmaxGradArgs& args, const Exec& exec) {
  if (args.cols == 0) return;
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) { softmax_grad<T>(args, exec); });
}

void softmax_cross_entropy_kernel(const SoftmaxCrossEntropyArgs& args, const Exec& exec) {
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) { softmax_cross_entropy<T>(args, exec); });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
