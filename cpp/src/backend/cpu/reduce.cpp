// Reductions and scans. Sums run in fixed blocks with several accumulators; blocks are combined
// pairwise, so the error of a float32 sum grows with the logarithm of its length and the result
// does not depend on the number of threads.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "backend/cpu/kernel_list.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/simd_math.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using std::int64_t;

// ---------------------------------------------------------------- what is reduced

template <class T>
struct Sum {
  static T identity() { return T(0); }
  static Vec<T> map(Vec<T> x) { return x; }
  static Vec<T> combine(Vec<T> a, Vec<T> b) { return a + b; }
  using Partial = Sum;
};
template <class T>
struct SumSquares : Sum<T> {
  static Vec<T> map(Vec<T> x) { return x * x; }
};
template <class T>
struct Prod {
  static T identity() { return T(1); }
  static Vec<T> map(Vec<T> x) { return x; }
  static Vec<T> combine(Vec<T> a, Vec<T> b) { return a * b; }
  using Partial = Prod;
};
template <class T>
struct Max {
  static T identity() {
    return Vec<T>::kFloating ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::min();
  }
  static Vec<T> map(Vec<T> x) { return x; }
  static Vec<T> combine(Vec<T> a, Vec<T> b) { return maximum(a, b); }
  using Partial = Max;
};
template <class T>
struct Min {
  static T identity() {
    return Vec<T>::kFloating ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
  }
  static Vec<T> map(Vec<T> x) { return x; }
  static Vec<T> combine(Vec<T> a, Vec<T> b) { return minimum(a, b); }
  using Partial = Min;
};

template <class R, class T>
T combine_one(T a, T b) {
  return R::combine(Vec<T>::set1(a), Vec<T>::set1(b))[0];
}

/// Combines partial results pairwise, in an order that depends on their number alone.
template <class R, class T, int kVectors>
class Cascade {
 public:
  using V = Vec<T>;
  void push(V (&v)[kVectors]) {
    for (std::uint64_t k = pushed_++; (k & 1) != 0; k >>= 1) {
      --top_;
      for (int i = 0; i < kVectors; ++i) v[i] = R::combine(stack_[top_][i], v[i]);
    }
    for (int i = 0; i < kVectors; ++i) stack_[top_][i] = v[i];
    ++top_;
  }
  void finish(V (&v)[kVectors]) {
    --top_;
    for (int i = 0; i < kVectors; ++i) v[i] = stack_[top_][i];
    while (top_ > 0) {
      --top_;
      for (int i = 0; i < kVectors; ++i) v[i] = R::combine(stack_[top_][i], v[i]);
    }
  }

 private:
  V stack_[48][kVectors];
  int top_ = 0;
  std::uint64_t pushed_ = 0;
};

// ---------------------------------------------------------------- contiguous elements

constexpr int64_t kBlock = 2048;

template <class R, class T>
Vec<T> reduce_block(const T* x, int64_t n) {
  using V = Vec<T>;
  constexpr int kW = V::kWidth;
  const V id = V::set1(R::identity());
  V acc[8] = {id, id, id, id, id, id, id, id};
  int64_t i = 0;
  for (; i + 8 * kW <= n; i += 8 * kW) {
    for (int k = 0; k < 8; ++k) acc[k] = R::combine(acc[k], R::map(V::load(x + i + k * kW)));
  }
  for (int k = 0; i + kW <= n; i += kW, k = (k + 1) & 3) {
    acc[k] = R::combine(acc[k], R::map(V::load(x + i)));
  }
  if (i < n) {
    const V tail = R::map(V::load_partial(x + i, n - i));
    acc[4] = R::combine(acc[4], select<T>(V::first(n - i), tail, id));
  }
  for (int h = 4; h > 0; h /= 2) {
    for (int k = 0; k < h; ++k) acc[k] = R::combine(acc[k], acc[k + h]);
  }
  return acc[0];
}

/// As reduce_block, for a few vectors: short rows should not pay for eight accumulators.
template <class R, class T>
Vec<T> reduce_short(const T* x, int64_t n) {
  using V = Vec<T>;
  constexpr int kW = V::kWidth;
  const V id = V::set1(R::identity());
  V a = id;
  V b = id;
  int64_t i = 0;
  for (; i + 2 * kW <= n; i += 2 * kW) {
    a = R::combine(a, R::map(V::load(x + i)));
    b = R::combine(b, R::map(V::load(x + i + kW)));
  }
  if (i + kW <= n) {
    a = R::combine(a, R::map(V::load(x + i)));
    i += kW;
  }
  if (i < n) {
    const V tail = R::map(V::load_partial(x + i, n - i));
    b = R::combine(b, select<T>(V::first(n - i), tail, id));
  }
  return R::combine(a, b);
}

template <class R, class T>
Vec<T> combine_lanes(Vec<T> a, Vec<T> b) {
  return R::combine(a, b);
}

/// The row's result, still spread over the lanes.
template <class R, class T>
Vec<T> reduce_lanes(const T* x, int64_t n) {
  using V = Vec<T>;
  if (n < 8 * V::kWidth) return reduce_short<R>(x, n);
  if (n <= kBlock) return reduce_block<R>(x, n);
  Cascade<R, T, 1> cascade;
  for (int64_t i = 0; i < n; i += kBlock) {
    V v[1] = {reduce_block<R>(x + i, std::min(kBlock, n - i))};
    cascade.push(v);
  }
  V v[1];
  cascade.finish(v);
  return v[0];
}

template <class R, class T>
T reduce_contiguous(const T* x, int64_t n) {
  return horizontal(reduce_lanes<R>(x, n), combine_lanes<R, T>);
}

/// y[r] = reduction of row r of n elements, for rows [begin, end).
template <class R, class T>
void reduce_rows(const T* x, int64_t n, T* y, int64_t begin, int64_t end) {
  using V = Vec<T>;
  constexpr int64_t kW = V::kWidth;
  const auto run = [&](auto row) {
    for_row_blocks(begin, end, kW, [&](int64_t first, int64_t rows) {
      const auto one = [&](int64_t r) { return row(x + (first + r) * n); };
      const V result = fold_rows<T>(rows, one, combine_lanes<R, T>);
      if (rows == kW) {
        result.store(y + first);
      } else {
        result.store_partial(y + first, rows);
      }
    });
  };
  if (n <= kW) {
    const V id = V::set1(R::identity());
    const auto lanes = V::first(n);
    run([=](const T* from) {
      return R::combine(id, select<T>(lanes, R::map(V::load_partial(from, n)), id));
    });
  } else if (n < 8 * kW) {
    run([n](const T* from) { return reduce_short<R>(from, n); });
  } else {
    run([n](const T* from) { return reduce_lanes<R>(from, n); });
  }
}

// ---------------------------------------------------------------- columns

constexpr int64_t kRowBlock = 128;

/// y[i] = reduce over n rows of x[j * stride + i], for kVectors vectors of columns; `partial`
/// columns of the last vector (kWidth: all).
template <class R, class T, int kVectors, bool kPartial>
void reduce_column_tile(const T* x, int64_t n, int64_t stride, int64_t partial, T* y) {
  using V = Vec<T>;
  constexpr int kW = V::kWidth;
  constexpr int kRows = kVectors >= 4 ? 2 : 4;  // rows in flight
  const V id = V::set1(R::identity());
  const auto load = [&](const T* p, int k) {
    if (kPartial && k == kVectors - 1) return R::map(V::load_partial(p + k * kW, partial));
    return R::map(V::load(p + k * kW));
  };
  Cascade<R, T, kVectors> cascade;
  for (int64_t start = 0; start < n || start == 0; start += kRowBlock) {
    const int64_t end = std::min(n, start + kRowBlock);
    V acc[kRows][kVectors];
    for (int r = 0; r < kRows; ++r) {
      for (int k = 0; k < kVectors; ++k) acc[r][k] = id;
    }
    int64_t j = start;
    for (; j + kRows <= end; j += kRows) {
      for (int r = 0; r < kRows; ++r) {
        const T* p = x + (j + r) * stride;
        for (int k = 0; k < kVectors; ++k) acc[r][k] = R::combine(acc[r][k], load(p, k));
      }
    }
    for (; j < end; ++j) {
      const T* p = x + j * stride;
      for (int k = 0; k < kVectors; ++k) acc[0][k] = R::combine(acc[0][k], load(p, k));
    }
    for (int h = kRows / 2; h > 0; h /= 2) {
      for (int r = 0; r < h; ++r) {
        for (int k = 0; k < kVectors; ++k) acc[r][k] = R::combine(acc[r][k], acc[r + h][k]);
      }
    }
    if (n <= kRowBlock) {
      for (int k = 0; k < kVectors; ++k) {
        if (kPartial && k == kVectors - 1) {
          acc[0][k].store_partial(y + k * kW, partial);
        } else {
          acc[0][k].store(y + k * kW);
        }
      }
      return;
    }
    cascade.push(acc[0]);
  }
  V v[kVectors];
  cascade.finish(v);
  for (int k = 0; k < kVectors; ++k) {
    if (kPartial && k == kVectors - 1) {
      v[k].store_partial(y + k * kW, partial);
    } else {
      v[k].store(y + k * kW);
    }
  }
}

template <class T>
constexpr int64_t kTileColumns = 4 * Vec<T>::kWidth;

/// `cols` (at most kTileColumns) neighbouring columns.
template <class R, class T>
void reduce_columns(const T* x, int64_t n, int64_t stride, int64_t cols, T* y) {
  constexpr int64_t kW = Vec<T>::kWidth;
  if (cols == 4 * kW) return reduce_column_tile<R, T, 4, false>(x, n, stride, kW, y);
  int64_t i = 0;
  for (; i + kW <= cols; i += kW) {
    reduce_column_tile<R, T, 1, false>(x + i, n, stride, kW, y + i);
  }
  if (i < cols) reduce_column_tile<R, T, 1, true>(x + i, n, stride, cols - i, y + i);
}

// ---------------------------------------------------------------- how the work is cut

struct Cut {
  bool chunked = false;  // n is cut, partial results go to the workspace
  int64_t chunk = 0;
  int64_t chunks = 0;
};

Cut plan_cut(const ReduceArgs& args) {
  Cut cut;
  if (args.op == ReduceOp::kAny || args.op == ReduceOp::kAll || args.op == ReduceOp::kArgMax ||
      args.op == ReduceOp::kArgMin) {
    return cut;
  }
  if (args.inner > 1 && args.op == ReduceOp::kLogSumExp) return cut;
  cut.chunk =
      args.inner == 1 ? 32768 : std::max<int64_t>(512, 65536 / std::max<int64_t>(1, args.inner));
  cut.chunks = (args.n + cut.chunk - 1) / cut.chunk;
  const int64_t few = args.inner == 1 ? 64 : 8192;
  cut.chunked =
      args.outer > 0 && args.inner > 0 && cut.chunks > 1 && args.outer * args.inner <= few;
  return cut;
}

/// One reduction of (n, inner) columns, narrow ones with several rows side by side.
template <class R, class T>
void reduce_slab(const T* x, int64_t n, int64_t inner, T* y) {
  constexpr int64_t kTile = kTileColumns<T>;
  const int64_t beside = inner < kTile / 2 ? kTile / inner : 1;
  if (beside > 1 && n >= 4 * beside) {
    T wide[kTile];
    const int64_t width = beside * inner;
    const int64_t wide_rows = n / beside;
    reduce_columns<R, T>(x, wide_rows, width, width, wide);
    using P = typename R::Partial;
    const int64_t rest = n - wide_rows * beside;
    const T* tail = x + wide_rows * width;
    for (int64_t i = 0; i < inner; ++i) {
      T v = wide[i];
      for (int64_t g = 1; g < beside; ++g) v = combine_one<P>(v, wide[g * inner + i]);
      for (int64_t r = 0; r < rest; ++r) {
        v = combine_one<P>(v, R::map(Vec<T>::set1(tail[r * inner + i]))[0]);
      }
      y[i] = v;
    }
    return;
  }
  for (int64_t i = 0; i < inner; i += kTile) {
    reduce_columns<R, T>(x + i, n, inner, std::min(kTile, inner - i), y + i);
  }
}

template <class R, class T>
void reduce_with(const ReduceArgs& args, const Exec& exec) {
  using P = typename R::Partial;
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  const int64_t n = args.n;
  const int64_t inner = args.inner;
  const Cut cut = plan_cut(args);
  if (cut.chunked) {
    T* partial = static_cast<T*>(args.workspace);  // (outer, chunks, inner)
    parallel_for(exec, args.outer * cut.chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        const int64_t o = c / cut.chunks;
        const int64_t start = (c - o * cut.chunks) * cut.chunk;
        const int64_t len = std::min(cut.chunk, n - start);
        const T* from = x + (o * n + start) * inner;
        if (inner == 1) {
          partial[c] = reduce_contiguous<R>(from, len);
        } else {
          reduce_slab<R>(from, len, inner, partial + c * inner);
        }
      }
    });
    for (int64_t o = 0; o < args.outer; ++o) {
      const T* from = partial + o * cut.chunks * inner;
      if (inner == 1) {
        y[o] = reduce_contiguous<P>(from, cut.chunks);
      } else {
        reduce_slab<P>(from, cut.chunks, inner, y + o * inner);
      }
    }
    return;
  }
  if (inner == 1) {
    parallel_for(exec, args.outer, grain_for(n + 8),
                 [&](int64_t begin, int64_t end) { reduce_rows<R>(x, n, y, begin, end); });
    return;
  }
  if (inner < kTileColumns<T>) {
    parallel_for(exec, args.outer, grain_for(n * inner), [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) {
        reduce_slab<R>(x + o * n * inner, n, inner, y + o * inner);
      }
    });
    return;
  }
  const int64_t tiles = (inner + kTileColumns<T> - 1) / kTileColumns<T>;
  parallel_for(exec, args.outer * tiles, grain_for(n * kTileColumns<T>),
               [&](int64_t begin, int64_t end) {
                 for (int64_t c = begin; c < end; ++c) {
                   const int64_t o = c / tiles;
                   const int64_t i = (c - o * tiles) * kTileColumns<T>;
                   reduce_columns<R>(x + o * n * inner + i, n, inner,
                                     std::min(kTileColumns<T>, inner - i), y + o * inner + i);
                 }
               });
}

// ---------------------------------------------------------------- log-sum-exp

/// sum exp(x - shift) over n contiguous elements, pairwise in blocks.
template <class T>
T sum_exp(const T* x, int64_t n, T shift) {
  using V = Vec<T>;
  constexpr int kW = V::kWidth;
  const V s = V::set1(shift);
  Cascade<Sum<T>, T, 1> cascade;
  for (int64_t start = 0; start < n || start == 0; start += kBlock) {
    const int64_t end = std::min(n, start + kBlock);
    V a = V::zero();
    V b = V::zero();
    int64_t i = start;
    for (; i + 2 * kW <= end; i += 2 * kW) {
      a = a + exp(V::load(x + i) - s);
      b = b + exp(V::load(x + i + kW) - s);
    }
    for (; i + kW <= end; i += kW) a = a + exp(V::load(x + i) - s);
    if (i < end) {
      b = b + select<T>(V::first(end - i), exp(V::load_partial(x + i, end - i) - s), V::zero());
    }
    V v[1] = {a + b};
    cascade.push(v);
  }
  V v[1];
  cascade.finish(v);
  return sum(v[0]);
}

/// The shift that keeps exp in range: the maximum, or 0 where that is not finite.
template <class T>
Vec<T> finite_or_zero(Vec<T> m) {
  const Vec<T> inf = Vec<T>::set1(std::numeric_limits<T>::infinity());
  return select<T>(abs(m) < inf, m, Vec<T>::zero());
}
template <class T>
T finite_or_zero(T m) {
  return finite_or_zero(Vec<T>::set1(m))[0];
}
template <class T>
T log_one(T x) {
  return log(Vec<T>::set1(x))[0];
}
template <class T>
T exp_one(T x) {
  return exp(Vec<T>::set1(x))[0];
}

template <class T>
void log_sum_exp(const ReduceArgs& args, const Exec& exec) {
  using V = Vec<T>;
  constexpr int64_t kW = V::kWidth;
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  const int64_t n = args.n;
  const int64_t inner = args.inner;
  const Cut cut = plan_cut(args);
  if (cut.chunked) {  // (maximum, sum) of each chunk
    T* partial = static_cast<T*>(args.workspace);
    parallel_for(exec, args.outer * cut.chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        const int64_t o = c / cut.chunks;
        const int64_t start = (c - o * cut.chunks) * cut.chunk;
        const int64_t len = std::min(cut.chunk, n - start);
        const T shift = finite_or_zero(reduce_contiguous<Max<T>>(x + o * n + start, len));
        partial[2 * c] = shift;
        partial[2 * c + 1] = sum_exp(x + o * n + start, len, shift);
      }
    });
    for (int64_t o = 0; o < args.outer; ++o) {
      const T* from = partial + 2 * o * cut.chunks;
      // a chunk of -Inf has shift 0 and sum 0: it must not set the common shift
      T m = -std::numeric_limits<T>::infinity();
      for (int64_t c = 0; c < cut.chunks; ++c) {
        if (from[2 * c + 1] != T(0)) m = std::max(m, from[2 * c]);
      }
      m = finite_or_zero(m);
      T s = T(0);
      for (int64_t c = 0; c < cut.chunks; ++c) {
        if (from[2 * c + 1] != T(0)) s += from[2 * c + 1] * exp_one(from[2 * c] - m);
      }
      y[o] = m + log_one(s);
    }
    return;
  }
  if (inner == 1) {
    parallel_for(exec, args.outer, grain_for(4 * n + 8), [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) {
        const T shift = finite_or_zero(reduce_contiguous<Max<T>>(x + o * n, n));
        y[o] = shift + log_one(sum_exp(x + o * n, n, shift));
      }
    });
    return;
  }
  const int64_t tiles = (inner + kW - 1) / kW;
  parallel_for(exec, args.outer * tiles, grain_for(4 * n * kW), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const int64_t o = c / tiles;
      const int64_t i = (c - o * tiles) * kW;
      const int64_t cols = std::min(kW, inner - i);
      const T* from = x + o * n * inner + i;
      T tile[kW] = {};
      reduce_columns<Max<T>>(from, n, inner, cols, tile);
      const V shift = finite_or_zero(V::load(tile));
      V total = V::zero();
      for (int64_t start = 0; start < n; start += kRowBlock) {
        V part = V::zero();
        for (int64_t j = start; j < std::min(n, start + kRowBlock); ++j) {
          part = part + exp(V::load_partial(from + j * inner, cols) - shift);
        }
        total = total + part;
      }
      (shift + log(total)).store_partial(y + o * inner + i, cols);
    }
  });
}

// ---------------------------------------------------------------- arg max, any

/// Does a beat b? NaN beats numbers; equal elements do not beat each other.
template <bool kMax, class T>
bool beats(T a, T b) {
  if constexpr (kMax) {
    return (a > b) | ((a != a) & (b == b));
  } else {
    return (a < b) | ((a != a) & (b == b));
  }
}

/// beats() lane by lane.
template <bool kMax, class T>
typename Vec<T>::Bits beating(Vec<T> a, Vec<T> b) {
  const auto better = kMax ? a > b : a < b;
  if constexpr (!Vec<T>::kFloating) return better;
  return better | ((a != a) & (b == b));
}

/// One row's candidates: lane l has the first best of elements l, l + kWidth, ... and its place.
template <class T>
struct ArgLanes {
  Vec<T> best;
  Vec<typename Vec<T>::Int> where;
};

template <bool kMax, class T>
ArgLanes<T> arg_lanes(const T* x, int64_t n) {
  using V = Vec<T>;
  using Int = typename V::Int;
  using I = Vec<Int>;
  constexpr int64_t kW = V::kWidth;
  using R = std::conditional_t<kMax, Max<T>, Min<T>>;
  alignas(64) static constexpr auto kRamp = [] {
    struct {
      Int at[kW];
    } r{};
    for (int i = 0; i < kW; ++i) r.at[i] = i;
    return r;
  }();
  I at = I::load(kRamp.at);
  if (n < kW) {  // lanes without an element never win
    const auto here = V::first(n);
    return {select<T>(here, V::load_partial(x, n), V::set1(R::identity())),
            select<Int>(here, at, I::set1(std::numeric_limits<Int>::max()))};
  }
  ArgLanes<T> lanes{V::load(x), at};
  const I step = I::set1(kW);
  const auto compare = [&](V v, typename V::Bits mask) {
    at = at + step;
    const auto wins = beating<kMax>(v, lanes.best) & mask;
    lanes.best = select<T>(wins, v, lanes.best);
    lanes.where = select<Int>(wins, at, lanes.where);
  };
  int64_t i = kW;
  for (; i + kW <= n; i += kW) compare(V::load(x + i), ~typename V::Bits{});
  if (i < n) compare(V::load_partial(x + i, n - i), V::first(n - i));
  return lanes;
}

/// y[r] = place of the first best of row r, for at most kWidth rows.
template <bool kMax, class T>
void arg_rows(const T* x, int64_t n, std::int32_t* y, int64_t rows) {
  using V = Vec<T>;
  using Int = typename V::Int;
  using I = Vec<Int>;
  using R = std::conditional_t<kMax, Max<T>, Min<T>>;
  ArgLanes<T> lanes[V::kWidth];
  for (int64_t r = 0; r < rows; ++r) lanes[r] = arg_lanes<kMax>(x + r * n, n);
  const V best = fold_rows<T>(rows, [&](int64_t r) { return lanes[r].best; }, combine_lanes<R, T>);
  const I none = I::set1(std::numeric_limits<Int>::max());
  const auto candidates = [&](int64_t r) {
    const V winner = V::set1(best[r]);
    auto equal = lanes[r].best == winner;
    if constexpr (V::kFloating) equal |= (lanes[r].best != lanes[r].best) & (winner != winner);
    return select<Int>(equal, lanes[r].where, none);
  };
  const I place = fold_rows<Int>(rows, candidates, [](I a, I b) { return minimum(a, b); });
  for (int64_t r = 0; r < rows; ++r) y[r] = static_cast<std::int32_t>(place[r]);
}

template <bool kMax, class T>
void reduce_arg(const ReduceArgs& args, const Exec& exec) {
  const T* x = static_cast<const T*>(args.x);
  auto* y = static_cast<std::int32_t*>(args.y);
  const int64_t n = args.n;
  const int64_t inner = args.inner;
  if (inner == 1) {
    parallel_for(exec, args.outer, grain_for(n + 8), [&](int64_t begin, int64_t end) {
      if (n == 0) return std::fill(y + begin, y + end, 0);
      for_row_blocks(begin, end, Vec<T>::kWidth,
                     [&](int64_t r, int64_t rows) { arg_rows<kMax>(x + r * n, n, y + r, rows); });
    });
    return;
  }
  constexpr int64_t kTile = 128;
  const int64_t tiles = (inner + kTile - 1) / kTile;
  parallel_for(exec, args.outer * tiles, grain_for(n * std::min(inner, kTile)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t c = begin; c < end; ++c) {
                   const int64_t o = c / tiles;
                   const int64_t i0 = (c - o * tiles) * kTile;
                   const int64_t m = std::min(kTile, inner - i0);
                   const T* from = x + o * n * inner + i0;
                   std::int32_t* out = y + o * inner + i0;
                   std::fill(out, out + m, 0);
                   if (n == 0) continue;
                   T best[kTile];
                   std::copy(from, from + m, best);
                   for (int64_t j = 1; j < n; ++j) {
                     const T* row = from + j * inner;
                     for (int64_t i = 0; i < m; ++i) {
                       const bool wins = beats<kMax>(row[i], best[i]);
                       best[i] = wins ? row[i] : best[i];
                       out[i] = wins ? static_cast<std::int32_t>(j) : out[i];
                     }
                   }
                 }
               });
}

void reduce_bool(const ReduceArgs& args, const Exec& exec) {
  const auto* x = static_cast<const std::uint8_t*>(args.x);
  auto* y = static_cast<std::uint8_t*>(args.y);
  const int64_t n = args.n;
  const int64_t inner = args.inner;
  const std::uint8_t all = args.op == ReduceOp::kAll ? 1 : 0;
  // any(x) != 0, and all(x) = not any(not x)
  parallel_for(exec, args.outer, grain_for(n * inner), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      const std::uint8_t* from = x + o * n * inner;
      if (inner == 1) {
        std::uint8_t acc = 0;
        for (int64_t j = 0; j < n; ++j) acc |= static_cast<std::uint8_t>((from[j] != 0) ^ all);
        y[o] = acc ^ all;
        continue;
      }
      std::uint8_t* out = y + o * inner;
      std::fill(out, out + inner, std::uint8_t{0});
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t i = 0; i < inner; ++i) {
          out[i] |= static_cast<std::uint8_t>((from[j * inner + i] != 0) ^ all);
        }
      }
      for (int64_t i = 0; i < inner; ++i) out[i] ^= all;
    }
  });
}

// ---------------------------------------------------------------- scans

template <class T, bool kProduct>
void scan(const ScanArgs& args, const Exec& exec) {
  using V = Vec<T>;
  constexpr int64_t kW = V::kWidth;
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  const int64_t n = args.n;
  const int64_t inner = args.inner;
  const auto step = [](V a, V b) {
    if constexpr (kProduct) return a * b;
    return a + b;
  };
  const int64_t tiles = (inner + kW - 1) / kW;
  parallel_for(exec, args.outer * tiles, grain_for(2 * n * std::min(inner, kW)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t c = begin; c < end; ++c) {
                   const int64_t o = c / tiles;
                   const int64_t i = (c - o * tiles) * kW;
                   const int64_t m = std::min(kW, inner - i);
                   const T* from = x + o * n * inner + i;
                   T* to = y + o * n * inner + i;
                   V acc = V::set1(kProduct ? T(1) : T(0));
                   if (m == kW) {
                     for (int64_t j = 0; j < n; ++j) {
                       acc = step(acc, V::load(from + j * inner));
                       acc.store(to + j * inner);
                     }
                   } else if (inner == 1) {
                     using S =
                         std::conditional_t<V::kFloating, T, std::make_unsigned_t<typename V::Int>>;
                     S a = kProduct ? S(1) : S(0);
                     for (int64_t j = 0; j < n; ++j) {
                       a = kProduct ? a * static_cast<S>(from[j]) : a + static_cast<S>(from[j]);
                       to[j] = static_cast<T>(a);
                     }
                   } else {
                     for (int64_t j = 0; j < n; ++j) {
                       acc = step(acc, V::load_partial(from + j * inner, m));
                       acc.store_partial(to + j * inner, m);
                     }
                   }
                 }
               });
}

template <class F>
void visit_number(DType t, F&& f) {
  switch (t) {
    case DType::kInt32:
      return f(TypeTag<std::int32_t>{});
    case DType::kInt64:
      return f(TypeTag<std::int64_t>{});
    case DType::kFloat32:
      return f(TypeTag<float>{});
    default:
      return f(TypeTag<double>{});
  }
}

/// Whether a reduction of one element gives that element.
bool keeps_single(ReduceOp op) {
  return op == ReduceOp::kSum || op == ReduceOp::kProd || op == ReduceOp::kMax ||
         op == ReduceOp::kMin || op == ReduceOp::kMean;
}

}  // namespace

void reduce_kernel(const ReduceArgs& args, const Exec& exec) {
  if (args.outer == 0 || args.inner == 0) return;
  if (args.n == 1 && keeps_single(args.op)) {
    if (args.y != args.x)
      std::memcpy(args.y, args.x,
                  static_cast<std::size_t>(args.outer * args.inner) * size_of(args.dtype));
    return;
  }
  if (args.op == ReduceOp::kAny || args.op == ReduceOp::kAll) return reduce_bool(args, exec);
  visit_number(args.dtype, [&]<class T>(TypeTag<T>) {
    switch (args.op) {
      case ReduceOp::kSum:
        return reduce_with<Sum<T>, T>(args, exec);
      case ReduceOp::kProd:
        return reduce_with<Prod<T>, T>(args, exec);
      case ReduceOp::kMax:
        return reduce_with<Max<T>, T>(args, exec);
      case ReduceOp::kMin:
        return reduce_with<Min<T>, T>(args, exec);
      case ReduceOp::kSumSquares:
        return reduce_with<SumSquares<T>, T>(args, exec);
      case ReduceOp::kArgMax:
        return reduce_arg<true, T>(args, exec);
      case ReduceOp::kArgMin:
        return reduce_arg<false, T>(args, exec);
      case ReduceOp::kMean:
        if constexpr (std::is_floating_point_v<T>) {
          reduce_with<Sum<T>, T>(args, exec);
          T* y = static_cast<T*>(args.y);
          const T n = static_cast<T>(args.n);
          for (int64_t i = 0; i < args.outer * args.inner; ++i) y[i] = y[i] / n;
        }
        return;
      case ReduceOp::kLogSumExp:
        if constexpr (std::is_floating_point_v<T>) log_sum_exp<T>(args, exec);
        return;
      default:
        return;
    }
  });
}

std::size_t reduce_workspace(const ReduceArgs& args) {
  const Cut cut = plan_cut(args);
  if (!cut.chunked) return 0;
  const int64_t values = args.op == ReduceOp::kLogSumExp ? 2 : 1;
  return static_cast<std::size_t>(args.outer * cut.chunks * args.inner * values) *
         size_of(args.dtype);
}

void scan_kernel(const ScanArgs& args, const Exec& exec) {
  if (args.outer == 0 || args.n == 0 || args.inner == 0) return;
  visit_number(args.dtype, [&]<class T>(TypeTag<T>) {
    if (args.op == ScanOp::kCumSum) {
      scan<T, false>(args, exec);
    } else {
      scan<T, true>(args, exec);
    }
  });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
