// Batch normalization (statistics per column) and layer normalization (per row), forward and
// gradient. Rows are taken in chunks of fixed size; the chunks' partial results are combined in
// order, in double.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "backend/cpu/kernel_list.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using std::int64_t;

struct Chunks {
  int64_t rows;  // of a chunk; the last may be shorter
  int64_t count;
};
Chunks plan_chunks(int64_t rows, int64_t c) {
  const int64_t per_chunk = std::max<int64_t>(16, 16384 / std::max<int64_t>(1, c));
  return {per_chunk, (rows + per_chunk - 1) / per_chunk};
}

/// f(i, load, store) over the vectors of c columns; load and store handle the tail.
template <class T, class F>
inline void for_columns(int64_t c, F&& f) {
  using V = Vec<T>;
  constexpr int64_t kW = V::kWidth;
  int64_t i = 0;
  for (; i + kW <= c; i += kW) {
    f(i, [](const T* p) { return V::load(p); }, [](V v, T* p) { v.store(p); });
  }
  if (i < c) {
    const int64_t n = c - i;
    f(
        i, [n](const T* p) { return V::load_partial(p, n); },
        [n](V v, T* p) { v.store_partial(p, n); });
  }
}

/// Sums of f(row, load) over `rows` rows, four rows in flight.
template <class T, class F>
inline Vec<T> sum_rows(int64_t rows, F f) {
  using V = Vec<T>;
  V a[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    for (int k = 0; k < 4; ++k) a[k] = a[k] + f(r + k);
  }
  for (; r < rows; ++r) a[0] = a[0] + f(r);
  return (a[0] + a[2]) + (a[1] + a[3]);
}

constexpr int64_t kColumnTile = 64;

/// f(i, n) over column tiles, serially.
template <class F>
void for_tiles(int64_t c, F f) {
  for (int64_t i = 0; i < c; i += kColumnTile) f(i, std::min(kColumnTile, c - i));
}

/// total[k] = sum over chunks of partial[chunk * stride + k] for n columns, in double.
template <class T>
void add_chunks(const T* partial, int64_t chunks, int64_t stride, int64_t n, double* total) {
  std::fill(total, total + n, 0.0);
  for (int64_t k = 0; k < chunks; ++k) {
    for (int64_t i = 0; i < n; ++i) total[i] += static_cast<double>(partial[k * stride + i]);
  }
}

template <class T>
void batch_norm(const BatchNormArgs& args, const Exec& exec) {
  using V = Vec<T>;
  const int64_t rows = args.rows;
  const int64_t c = args.c;
  const T* x = static_cast<const T*>(args.x);
  const T* gamma = static_cast<const T*>(args.gamma);
  const T* beta = static_cast<const T*>(args.beta);
  T* y = static_cast<T*>(args.y);
  T* mean = static_cast<T*>(args.mean);
  T* var = static_cast<T*>(args.var);
  const Chunks chunks = plan_chunks(rows, c);
  T* partial = static_cast<T*>(args.workspace);  // (chunk, mean | squared deviations, c)
  T* scale = partial + chunks.count * 2 * c;

  const int64_t cost = 3 * chunks.rows * c;
  parallel_for(exec, chunks.count, grain_for(cost), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const T* from = x + k * chunks.rows * c;
      const int64_t n = std::min(chunks.rows, rows - k * chunks.rows);
      T* means = partial + k * 2 * c;
      const V count = V::set1(static_cast<T>(n));
      for_columns<T>(c, [&](int64_t i, auto load, auto store) {
        const V m = sum_rows<T>(n, [&](int64_t r) { return load(from + r * c + i); }) / count;
        const V m2 = sum_rows<T>(n, [&](int64_t r) {
          const V d = load(from + r * c + i) - m;
          return d * d;
        });
        store(m, means + i);
        store(m2, means + c + i);
      });
    }
  });

  const double inv_rows = 1.0 / static_cast<double>(rows);
  for_tiles(c, [&](int64_t i0, int64_t n) {
    double m[kColumnTile] = {};
    double m2[kColumnTile] = {};
    for (int64_t k = 0; k < chunks.count; ++k) {
      const auto count = static_cast<double>(std::min(chunks.rows, rows - k * chunks.rows));
      const T* means = partial + k * 2 * c + i0;
      for (int64_t i = 0; i < n; ++i) m[i] += count * static_cast<double>(means[i]);
    }
    for (int64_t i = 0; i < n; ++i) m[i] *= inv_rows;
    for (int64_t k = 0; k < chunks.count; ++k) {
      const auto count = static_cast<double>(std::min(chunks.rows, rows - k * chunks.rows));
      const T* means = partial + k * 2 * c + i0;
      for (int64_t i = 0; i < n; ++i) {
        const double d = static_cast<double>(means[i]) - m[i];
        m2[i] += static_cast<double>(means[c + i]) + count * d * d;
      }
    }
    for (int64_t i = 0; i < n; ++i) {
      const double v = m2[i] * inv_rows;
      mean[i0 + i] = static_cast<T>(m[i]);
      var[i0 + i] = static_cast<T>(v);
      const double g = gamma != nullptr ? static_cast<double>(gamma[i0 + i]) : 1.0;
      scale[i0 + i] = static_cast<T>(g / std::sqrt(static_cast<double>(var[i0 + i]) + args.eps));
    }
  });

  parallel_for(exec, rows, grain_for(2 * c), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* from = x + r * c;
      T* to = y + r * c;
      for_columns<T>(c, [&](int64_t i, auto load, auto store) {
        const V shift = beta != nullptr ? load(beta + i) : V::zero();
        store(fma(load(from + i) - load(mean + i), load(scale + i), shift), to + i);
      });
    }
  });
}

template <class T>
void batch_norm_grad(const BatchNormGradArgs& args, const Exec& exec) {
  using V = Vec<T>;
  const int64_t rows = args.rows;
  const int64_t c = args.c;
  const T* x = static_cast<const T*>(args.x);
  const T* gamma = static_cast<const T*>(args.gamma);
  const T* mean = static_cast<const T*>(args.mean);
  const T* var = static_cast<const T*>(args.var);
  const T* dy = static_cast<const T*>(args.dy);
  T* dx = static_cast<T*>(args.dx);
  T* dgamma = static_cast<T*>(args.dgamma);
  T* dbeta = static_cast<T*>(args.dbeta);
  const Chunks chunks = plan_chunks(rows, c);
  T* partial = static_cast<T*>(args.workspace);  // (chunk, sum dy | sum dy (x - mean), c)
  T* scale = partial + chunks.count * 2 * c;     // dx = scale (dy - offset - (x - mean) slope)
  T* offset = scale + c;
  T* slope = offset + c;

  parallel_for(exec, chunks.count, grain_for(3 * chunks.rows * c), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t start = k * chunks.rows * c;
      const int64_t n = std::min(chunks.rows, rows - k * chunks.rows);
      T* sums = partial + k * 2 * c;
      for_columns<T>(c, [&](int64_t i, auto load, auto store) {
        const V m = load(mean + i);
        V a[2] = {V::zero(), V::zero()};
        V b[2] = {V::zero(), V::zero()};
        const auto add = [&](int64_t r, int lane) {
          const V g = load(dy + start + r * c + i);
          a[lane] = a[lane] + g;
          b[lane] = fma(g, load(x + start + r * c + i) - m, b[lane]);
        };
        int64_t r = 0;
        for (; r + 2 <= n; r += 2) {
          add(r, 0);
          add(r + 1, 1);
        }
        if (r < n) add(r, 0);
        store(a[0] + a[1], sums + i);
        store(b[0] + b[1], sums + c + i);
      });
    }
  });

  const double inv_rows = rows > 0 ? 1.0 / static_cast<double>(rows) : 0.0;
  for_tiles(c, [&](int64_t i0, int64_t n) {
    double sum_g[kColumnTile];
    double sum_gx[kColumnTile];
    add_chunks(partial + i0, chunks.count, 2 * c, n, sum_g);
    add_chunks(partial + c + i0, chunks.count, 2 * c, n, sum_gx);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t j = i0 + i;
      const double inv = 1.0 / std::sqrt(static_cast<double>(var[j]) + args.eps);
      scale[j] = static_cast<T>((gamma != nullptr ? static_cast<double>(gamma[j]) : 1.0) * inv);
      offset[j] = static_cast<T>(sum_g[i] * inv_rows);
      slope[j] = static_cast<T>(sum_gx[i] * inv * inv * inv_rows);
      if (dgamma != nullptr) dgamma[j] = static_cast<T>(sum_gx[i] * inv);
      if (dbeta != nullptr) dbeta[j] = static_cast<T>(sum_g[i]);
    }
  });

  parallel_for(exec, rows, grain_for(3 * c), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * c;
      for_columns<T>(c, [&](int64_t i, auto load, auto store) {
        const V d = load(x + at + i) - load(mean + i);
        const V g = load(dy + at + i) - load(offset + i);
        store(load(scale + i) * fma(-d, load(slope + i), g), dx + at + i);
      });
    }
  });
}

/// The sum of f(i, load) over the vectors of c columns, two sums side by side; f must be zero
/// behind the last column.
template <class T, class F>
inline Vec<T> sum_columns(int64_t c, F f) {
  using V = Vec<T>;
  constexpr int64_t kW = V::kWidth;
  const auto load = [](const T* p) { return V::load(p); };
  V a = V::zero();
  V b = V::zero();
  int64_t i = 0;
  for (; i + 2 * kW <= c; i += 2 * kW) {
    a = a + f(i, load);
    b = b + f(i + kW, load);
  }
  if (i + kW <= c) {
    a = a + f(i, load);
    i += kW;
  }
  if (i < c) {
    const int64_t n = c - i;
    b = b +
        select<T>(V::first(n), f(i, [n](const T* p) { return V::load_partial(p, n); }), V::zero());
  }
  return a + b;
}

/// Rows [first, first + rows) at most kWidth: their statistics are worked out together.
template <class T>
void layer_norm_rows(const LayerNormArgs& args, int64_t first, int64_t rows) {
  using V = Vec<T>;
  const int64_t c = args.c;
  const T* gamma = static_cast<const T*>(args.gamma);
  const T* beta = static_cast<const T*>(args.beta);
  const T* x0 = static_cast<const T*>(args.x) + first * c;
  T* y0 = static_cast<T*>(args.y) + first * c;
  const V count = V::set1(static_cast<T>(c));
  const auto add = [](V a, V b) { return a + b; };
  const V mean =
      fold_rows<T>(
          rows,
          [&](int64_t r) {
            return sum_columns<T>(c, [&](int64_t i, auto load) { return load(x0 + r * c + i); });
          },
          add) /
      count;
  const V var = fold_rows<T>(
                    rows,
                    [&](int64_t r) {
                      const V m = V::set1(mean[r]);
                      return sum_columns<T>(c, [&](int64_t i, auto load) {
                        const V d = load(x0 + r * c + i) - m;
                        return d * d;
                      });
                    },
                    add) /
                count;
  mean.store_partial(static_cast<T*>(args.mean) + first, rows);
  var.store_partial(static_cast<T*>(args.var) + first, rows);
  const V inverse = V::set1(T(1)) / sqrt(var + V::set1(static_cast<T>(args.eps)));
  for (int64_t r = 0; r < rows; ++r) {
    const V m = V::set1(mean[r]);
    const V inv = V::set1(inverse[r]);
    for_columns<T>(c, [&](int64_t i, auto load, auto store) {
      V z = (load(x0 + r * c + i) - m) * inv;
      if (gamma != nullptr) z = z * load(gamma + i);
      if (beta != nullptr) z = z + load(beta + i);
      store(z, y0 + r * c + i);
    });
  }
}

template <class T>
void layer_norm(const LayerNormArgs& args, const Exec& exec) {
  parallel_for(exec, args.rows, grain_for(4 * args.c), [&](int64_t begin, int64_t end) {
    for_row_blocks(begin, end, rows_at_once<T>(args.c),
                   [&](int64_t r, int64_t rows) { layer_norm_rows<T>(args, r, rows); });
  });
}

template <class T>
void layer_norm_grad(const LayerNormGradArgs& args, const Exec& exec) {
  using V = Vec<T>;
  const int64_t rows = args.rows;
  const int64_t c = args.c;
  const T* gamma = static_cast<const T*>(args.gamma);
  const T* mean = static_cast<const T*>(args.mean);
  const T* var = static_cast<const T*>(args.var);
  T* dgamma = static_cast<T*>(args.dgamma);
  T* dbeta = static_cast<T*>(args.dbeta);
  const bool weights = dgamma != nullptr || dbeta != nullptr;
  const Chunks chunks = plan_chunks(rows, c);
  T* partial = static_cast<T*>(args.workspace);  // (chunk, dgamma | dbeta, c)
  const T inv_c = T(1) / static_cast<T>(c);
  parallel_for(exec, chunks.count, grain_for(6 * chunks.rows * c), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      T* sum_gx = partial + k * 2 * c;
      T* sum_g = sum_gx + c;
      if (weights) std::fill(sum_gx, sum_gx + 2 * c, T(0));
      const int64_t last = std::min(rows, (k + 1) * chunks.rows);
      for (int64_t r = k * chunks.rows; r < last; ++r) {
        const T* x = static_cast<const T*>(args.x) + r * c;
        const T* dy = static_cast<const T*>(args.dy) + r * c;
        T* dx = static_cast<T*>(args.dx) + r * c;
        const V m = V::set1(mean[r]);
        const V inv = V::set1(T(1) / std::sqrt(var[r] + static_cast<T>(args.eps)));
        V s = V::zero();
        V sx = V::zero();
        for_columns<T>(c, [&](int64_t i, auto load, auto store) {
          const V upstream = load(dy + i);
          const V hat = (load(x + i) - m) * inv;
          const V g = gamma != nullptr ? upstream * load(gamma + i) : upstream;
          s = s + g;
          sx = fma(g, hat, sx);  // g is 0 behind the tail
          if (weights) {
            store(fma(upstream, hat, load(sum_gx + i)), sum_gx + i);
            store(load(sum_g + i) + upstream, sum_g + i);
          }
        });
        const V offset = V::set1(sum(s) * inv_c);
        const V slope = V::set1(sum(sx) * inv_c);
        for_columns<T>(c, [&](int64_t i, auto load, auto store) {
          const V upstream = load(dy + i);
          const V hat = (load(x + i) - m) * inv;
          const V g = gamma != nullptr ? upstream * load(gamma + i) : upstream;
          store(inv * fma(-hat, slope, g - offset), dx + i);
        });
      }
    }
  });
  if (!weights) return;
  for_tiles(c, [&](int64_t i0, int64_t n) {
    double total[kColumnTile];
    if (dgamma != nullptr) {
      add_chunks(partial + i0, chunks.count, 2 * c, n, total);
      for (int64_t i = 0; i < n; ++i) dgamma[i0 + i] = static_cast<T>(total[i]);
    }
    if (dbeta != nullptr) {
      add_chunks(partial + c + i0, chunks.count, 2 * c, n, total);
      for (int64_t i = 0; i < n; ++i) dbeta[i0 + i] = static_cast<T>(total[i]);
    }
  });
}

std::size_t workspace_bytes(DType dtype, int64_t rows, int64_t c, int64_t extra) {
  return static_cast<std::size_t>((plan_chunks(rows, c).count * 2 + extra) * c) * size_of(dtype);
}

}  // namespace

void batch_norm_kernel(const BatchNormArgs& args, const Exec& exec) {
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) { batch_norm<T>(args, exec); });
}
std::size_t batch_norm_workspace(const BatchNormArgs& args) {
  return workspace_bytes(args.dtype, args.rows, args.c, 1);
}

void batch_norm_grad_kernel(const BatchNormGradArgs& args, const Exec& exec) {
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) { batch_norm_grad<T>(args, exec); });
}
std::size_t batch_norm_grad_workspace(const BatchNormGradArgs& args) {
  return workspace_bytes(args.dtype, args.rows, args.c, 3);
}

void layer_norm_kernel(const LayerNormArgs& args, const Exec& exec) {
  if (args.c == 0) return;
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) { layer_norm<T>(args, exec); });
}

void layer_norm_grad_kernel(const LayerNormGradArgs& args, const Exec& exec) {
  if (args.c == 0) return;
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) { layer_norm_grad<T>(args, exec); });
}
std::size_t layer_norm_grad_workspace(const LayerNormGradArgs& args) {
  if (args.dgamma == nullptr && args.dbeta == nullptr) return 0;
  return workspace_bytes(args.dtype, args.rows, args.c, 0);
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
