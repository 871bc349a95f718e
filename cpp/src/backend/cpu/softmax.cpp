// Softmax, its gradient, and softmax with cross-entropy, row by row.
#include <cstdint>
#include <limits>
#include <type_traits>

#include "backend/cpu/kernel_list.h"
#include "backend/cpu/parallel.h"
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

/// The largest element (NaN may be lost: the sum of exponentials finds it).
template <class T>
inline T row_max(const T* x, int64_t cols) {
  using V = Vec<T>;
  constexpr int64_t kW = V::kWidth;
  const auto larger = [](V a, V b) { return select<T>(a > b, a, b); };
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
  return horizontal(larger(a, b), larger);
}

template <class T>
inline T log_one(T x) {
  return log(Vec<T>::set1(x))[0];
}

// Rows that fit in one vector stay in a register, four rows at a time to overlap their latencies.
constexpr int kRowsAtOnce = 4;

/// exp(x - max) of kRows short rows, zeros behind `cols`; the shifted rows go to `shifted`.
template <int kRows, class T>
inline void short_rows(const T* x, int64_t cols, Vec<T> (&shifted)[kRows], Vec<T> (&e)[kRows],
                       Vec<T> (&total)[kRows]) {
  using V = Vec<T>;
  const auto lanes = V::first(cols);
  const V low = V::set1(-std::numeric_limits<T>::infinity());
  V m[kRows];
  for (int k = 0; k < kRows; ++k) {
    shifted[k] = V::load_partial(x + k * cols, cols);
    m[k] = select<T>(lanes, shifted[k], low);
  }
  for (int k = 0; k < kRows; ++k) {
    m[k] = V::set1(horizontal(m[k], [](V a, V b) { return select<T>(a > b, a, b); }));
  }
  for (int k = 0; k < kRows; ++k) {
    shifted[k] = shifted[k] - m[k];
    e[k] = select<T>(lanes, exp(shifted[k]), V::zero());
  }
  for (int k = 0; k < kRows; ++k) total[k] = V::set1(sum(e[k]));
}

/// Calls f(rows as a compile-time constant, r) over [begin, end), kRowsAtOnce rows where possible.
template <class F>
inline void for_short_rows(int64_t begin, int64_t end, F&& f) {
  int64_t r = begin;
  for (; r + kRowsAtOnce <= end; r += kRowsAtOnce) {
    f(std::integral_constant<int, kRowsAtOnce>{}, r);
  }
  for (; r < end; ++r) f(std::integral_constant<int, 1>{}, r);
}

template <class T>
void softmax(const SoftmaxArgs& args, const Exec& exec) {
  using V = Vec<T>;
  const T* x0 = static_cast<const T*>(args.x);
  T* y0 = static_cast<T*>(args.y);
  const int64_t cols = args.cols;
  parallel_for(exec, args.rows, grain_for(6 * cols), [&](int64_t begin, int64_t end) {
    if (cols <= V::kWidth) {
      for_short_rows(begin, end, [&]<int kRows>(std::integral_constant<int, kRows>, int64_t r) {
        V shifted[kRows], e[kRows], total[kRows];
        short_rows<kRows>(x0 + r * cols, cols, shifted, e, total);
        for (int k = 0; k < kRows; ++k) {
          const V y = args.log ? shifted[k] - log(total[k]) : e[k] / total[k];
          y.store_partial(y0 + (r + k) * cols, cols);
        }
      });
      return;
    }
    for (int64_t r = begin; r < end; ++r) {
      const T* x = x0 + r * cols;
      T* y = y0 + r * cols;
      const V m = V::set1(row_max(x, cols));
      V acc = V::zero();
      if (args.log) {
        for_vectors<T>(
            cols, [&](int64_t i, int64_t n) { acc = acc + keep_n(exp(load_n(x + i, n) - m), n); });
        const V log_sum = V::set1(log_one(sum(acc)));
        for_vectors<T>(cols, [&](int64_t i, int64_t n) {
          store_n((load_n(x + i, n) - m) - log_sum, y + i, n);
        });
      } else {
        for_vectors<T>(cols, [&](int64_t i, int64_t n) {
          const V e = keep_n(exp(load_n(x + i, n) - m), n);
          store_n(e, y + i, n);
          acc = acc + e;
        });
        const V total = V::set1(sum(acc));
        for_vectors<T>(cols,
                       [&](int64_t i, int64_t n) { store_n(load_n(y + i, n) / total, y + i, n); });
      }
    }
  });
}

template <class T>
void softmax_grad(const SoftmaxGradArgs& args, const Exec& exec) {
  using V = Vec<T>;
  const T* y0 = static_cast<const T*>(args.y);
  const T* g0 = static_cast<const T*>(args.g);
  T* dx0 = static_cast<T*>(args.dx);
  const int64_t cols = args.cols;
  parallel_for(
      exec, args.rows, grain_for((args.log ? 6 : 3) * cols), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const T* y = y0 + r * cols;
          const T* g = g0 + r * cols;
          T* dx = dx0 + r * cols;
          V acc = V::zero();
          if (args.log) {
            for_vectors<T>(cols, [&](int64_t i, int64_t n) { acc = acc + load_n(g + i, n); });
            const V total = V::set1(sum(acc));
            for_vectors<T>(cols, [&](int64_t i, int64_t n) {
              store_n(fma(-exp(load_n(y + i, n)), total, load_n(g + i, n)), dx + i, n);
            });
          } else {
            for_vectors<T>(cols, [&](int64_t i, int64_t n) {
              acc = fma(load_n(y + i, n), load_n(g + i, n), acc);
            });
            const V total = V::set1(sum(acc));
            for_vectors<T>(cols, [&](int64_t i, int64_t n) {
              store_n(load_n(y + i, n) * (load_n(g + i, n) - total), dx + i, n);
            });
          }
        }
      });
}

template <class T>
void softmax_cross_entropy(const SoftmaxCrossEntropyArgs& args, const Exec& exec) {
  using V = Vec<T>;
  const T* z0 = static_cast<const T*>(args.logits);
  const T* t0 = static_cast<const T*>(args.target);
  T* p0 = static_cast<T*>(args.probs);
  T* loss = static_cast<T*>(args.loss);
  const int64_t cols = args.cols;
  const V minus_inf = V::set1(-std::numeric_limits<T>::infinity());
  // a masked class (logit -Inf) that is not a target costs nothing
  const auto weigh = [minus_inf](V target, V shifted) {
    const auto masked = (target == V::zero()) & (shifted == minus_inf);
    return select<T>(masked, V::zero(), target * shifted);
  };
  parallel_for(exec, args.rows, grain_for(8 * cols), [&](int64_t begin, int64_t end) {
    if (cols <= V::kWidth) {
      const auto lanes = V::first(cols);
      for_short_rows(begin, end, [&]<int kRows>(std::integral_constant<int, kRows>, int64_t r) {
        V shifted[kRows], e[kRows], total[kRows];
        short_rows<kRows>(z0 + r * cols, cols, shifted, e, total);
        for (int k = 0; k < kRows; ++k) {
          const V target = V::load_partial(t0 + (r + k) * cols, cols);
          const V weighed = select<T>(lanes, weigh(target, shifted[k]), V::zero());
          // log(total) is the same in every element
          loss[r + k] = sum(select<T>(lanes, target, V::zero())) * log(total[k])[0] - sum(weighed);
          (e[k] / total[k]).store_partial(p0 + (r + k) * cols, cols);
        }
      });
      return;
    }
    for (int64_t r = begin; r < end; ++r) {
      const T* z = z0 + r * cols;
      const T* t = t0 + r * cols;
      T* p = p0 + r * cols;
      const V m = V::set1(row_max(z, cols));
      V acc = V::zero();
      V acc_t = V::zero();
      V acc_tz = V::zero();
      for_vectors<T>(cols, [&](int64_t i, int64_t n) {
        const V d = load_n(z + i, n) - m;
        const V e = keep_n(exp(d), n);
        const V target = load_n(t + i, n);
        acc = acc + e;
        acc_t = acc_t + target;
        acc_tz = acc_tz + keep_n(weigh(target, d), n);
        store_n(e, p + i, n);
      });
      const T s = sum(acc);
      loss[r] = sum(acc_t) * log_one(s) - sum(acc_tz);
      const V total = V::set1(s);
      for_vectors<T>(cols,
                     [&](int64_t i, int64_t n) { store_n(load_n(p + i, n) / total, p + i, n); });
    }
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
