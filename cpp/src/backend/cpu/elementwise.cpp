// Elementwise kernels: unary, binary, select, cast, fill, iota.
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "backend/cpu/elementwise_loops.h"
#include "backend/cpu/kernel_list.h"
#include "backend/cpu/odometer.h"
#include "backend/cpu/simd_math.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using std::int64_t;

// ---------------------------------------------------------------- unary

template <class T, auto kOp>
void unary_vectors(const T* x, T* y, int64_t n, T a, T b) {
  using V = Vec<T>;
  const V va = V::set1(a);
  const V vb = V::set1(b);
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) kOp(V::load(x + i), va, vb).store(y + i);
  if (i < n) kOp(V::load_partial(x + i, n - i), va, vb).store_partial(y + i, n - i);
}

template <class T>
void copy_loop(const T* x, T* y, int64_t n, T, T) {
  if (x != y) std::memmove(y, x, static_cast<std::size_t>(n) * sizeof(T));
}

template <class T>
UnaryLoop<T> shared_unary_loop(UnaryOp op) {  // what floats and integers have in common
  using V = Vec<T>;
  switch (op) {
    case UnaryOp::kCopy:
      return copy_loop<T>;
    case UnaryOp::kNeg:
      return unary_vectors<T, [](V x, V, V) { return -x; }>;
    case UnaryOp::kAbs:
      return unary_vectors<T, [](V x, V, V) { return abs(x); }>;
    case UnaryOp::kSign:
      return unary_vectors<T, [](V x, V, V) {
        const V y = select<T>(x > V::zero(), V::set1(T(1)), x + V::zero());
        return select<T>(x < V::zero(), V::set1(T(-1)), y);
      }>;
    case UnaryOp::kSquare:
      return unary_vectors<T, [](V x, V, V) { return x * x; }>;
    case UnaryOp::kRelu:
      return unary_vectors<T, [](V x, V, V) { return select<T>(x <= V::zero(), V::zero(), x); }>;
    case UnaryOp::kClip:
      return unary_vectors<T, [](V x, V a, V b) {
        x = select<T>(x < a, a, x);
        return select<T>(x > b, b, x);
      }>;
    default:
      return nullptr;
  }
}

/// Halley's method on erf(y) = x, from Winitzki's approximation; what lies below 0 mirrors.
double inverse_erf(double x) {
  const double a = std::fabs(x);
  if (!(a < 1)) return a == 1 ? std::copysign(std::numeric_limits<double>::infinity(), x) : NAN;
  const double l = std::log1p(-a * a);
  const double c = 2 / (M_PI * 0.147) + l / 2;
  double y = std::sqrt(std::max(0.0, std::sqrt(c * c - l / 0.147) - c));
  for (int i = 0; i < 3; ++i) {
    const double gap = a < 0.5 ? std::erf(y) - a : (1 - a) - std::erfc(y);
    const double u = gap / (M_2_SQRTPI * std::exp(-y * y));
    y -= u / (1 + y * u);
  }
  return std::copysign(y, x);
}

/// The power series of the modified Bessel function of order kOrder: all terms have one sign.
template <int kOrder>
double bessel_i(double x) {
  if (x != x) return x;
  if (std::fabs(x) > 720) {  // beyond the largest double
    const double top = std::numeric_limits<double>::infinity();
    return kOrder == 1 ? std::copysign(top, x) : top;
  }
  const double q = x * x / 4;
  double term = kOrder == 1 ? x / 2 : 1;
  double sum = term;
  for (int k = 1; std::fabs(term) > 1e-17 * std::fabs(sum); ++k) {
    term *= q / (double(k) * double(k + kOrder));
    sum += term;
  }
  return sum;
}

template <class T>
Vec<T> hard_sigmoid(Vec<T> x) {
  using V = Vec<T>;
  const V y = fma(x, V::set1(T(1.0 / 6.0)), V::set1(T(0.5)));
  const V z = select<T>(y < V::zero(), V::zero(), y);
  return select<T>(z > V::set1(T(1)), V::set1(T(1)), z);
}

template <class T>
UnaryLoop<T> float_unary_loop(UnaryOp op) {
  using V = Vec<T>;
  switch (op) {
    case UnaryOp::kExp:
      return unary_vectors<T, [](V x, V, V) { return exp(x); }>;
    case UnaryOp::kExpm1:
      return unary_vectors<T, [](V x, V, V) { return expm1(x); }>;
    case UnaryOp::kLog:
      return unary_vectors<T, [](V x, V, V) { return log(x); }>;
    case UnaryOp::kLog1p:
      return unary_vectors<T, [](V x, V, V) { return log1p(x); }>;
    case UnaryOp::kSqrt:
      return unary_vectors<T, [](V x, V, V) { return sqrt(x); }>;
    case UnaryOp::kRsqrt:
      return unary_vectors<T, [](V x, V, V) { return V::set1(T(1)) / sqrt(x); }>;
    case UnaryOp::kReciprocal:
      return unary_vectors<T, [](V x, V, V) { return V::set1(T(1)) / x; }>;
    case UnaryOp::kSin:
      return unary_vectors<T, [](V x, V, V) { return sin(x); }>;
    case UnaryOp::kCos:
      return unary_vectors<T, [](V x, V, V) { return cos(x); }>;
    case UnaryOp::kTan:
      return unary_vectors<T, [](V x, V, V) {
        return math_detail::per_lane(x, [](T v) { return std::tan(v); });
      }>;
    case UnaryOp::kAsin:
      return unary_vectors<T, [](V x, V, V) {
        return math_detail::per_lane(x, [](T v) { return std::asin(v); });
      }>;
    case UnaryOp::kAcos:
      return unary_vectors<T, [](V x, V, V) {
        return math_detail::per_lane(x, [](T v) { return std::acos(v); });
      }>;
    case UnaryOp::kAtan:
      return unary_vectors<T, [](V x, V, V) {
        return math_detail::per_lane(x, [](T v) { return std::atan(v); });
      }>;
    case UnaryOp::kSinh:
      return unary_vectors<T, [](V x, V, V) {
        return math_detail::per_lane(x, [](T v) { return std::sinh(v); });
      }>;
    case UnaryOp::kCosh:
      return unary_vectors<T, [](V x, V, V) {
        return math_detail::per_lane(x, [](T v) { return std::cosh(v); });
      }>;
    case UnaryOp::kTanh:
      return unary_vectors<T, [](V x, V, V) { return tanh(x); }>;
    case UnaryOp::kErf:
      return unary_vectors<T, [](V x, V, V) { return erf(x); }>;
    case UnaryOp::kFloor:
      return unary_vectors<T, [](V x, V, V) { return floor(x); }>;
    case UnaryOp::kCeil:
      return unary_vectors<T, [](V x, V, V) { return ceil(x); }>;
    case UnaryOp::kRound:
      return unary_vectors<T, [](V x, V, V) { return round_even(x); }>;
    case UnaryOp::kSigmoid:
      return unary_vectors<T, [](V x, V, V) { return sigmoid(x); }>;
    case UnaryOp::kSoftplus:
      return unary_vectors<T, [](V x, V, V) { return softplus(x); }>;
    case UnaryOp::kLeakyRelu:
      return unary_vectors<T, [](V x, V a, V) { return select<T>(x < V::zero(), a * x, x); }>;
    case UnaryOp::kElu:
      return unary_vectors<T,
                           [](V x, V a, V) { return select<T>(x < V::zero(), a * expm1(x), x); }>;
    case UnaryOp::kSelu:
      return unary_vectors<T, [](V x, V, V) {
        const V alpha = V::set1(T(1.6732632423543772848170429916717));
        const V scale = V::set1(T(1.0507009873554804934193349852946));
        return scale * select<T>(x < V::zero(), alpha * expm1(x), x);
      }>;
    case UnaryOp::kGelu:
      return unary_vectors<T, [](V x, V, V) {
        const V e = erf(x * V::set1(T(0.70710678118654752440)));
        return (V::set1(T(0.5)) * x) * (V::set1(T(1)) + e);
      }>;
    case UnaryOp::kGeluTanh:
      return unary_vectors<T, [](V x, V, V) {
        const V cubic = fma(V::set1(T(0.044715)) * x, x * x, x);
        const V t = tanh(V::set1(T(0.79788456080286535588)) * cubic);
        return (V::set1(T(0.5)) * x) * (V::set1(T(1)) + t);
      }>;
    case UnaryOp::kSilu:
      return unary_vectors<T, [](V x, V, V) { return x * sigmoid(x); }>;
    case UnaryOp::kSoftsign:
      return unary_vectors<T, [](V x, V, V) { return x / (V::set1(T(1)) + abs(x)); }>;
    case UnaryOp::kHardSigmoid:
      return unary_vectors<T, [](V x, V, V) { return hard_sigmoid(x); }>;
    case UnaryOp::kHardSilu:
      return unary_vectors<T, [](V x, V, V) { return x * hard_sigmoid(x); }>;
    case UnaryOp::kErfInv:
      return unary_vectors<T, [](V x, V, V) {
        return math_detail::per_lane(x, [](T v) { return static_cast<T>(inverse_erf(double(v))); });
      }>;
    case UnaryOp::kI0:
      return unary_vectors<T, [](V x, V, V) {
        return math_detail::per_lane(x, [](T v) { return static_cast<T>(bessel_i<0>(double(v))); });
      }>;
    case UnaryOp::kI1:
      return unary_vectors<T, [](V x, V, V) {
        return math_detail::per_lane(x, [](T v) { return static_cast<T>(bessel_i<1>(double(v))); });
      }>;
    default:
      return nullptr;
  }
}

// Predicates look at the bits, so that no compiler flag can fold them.
template <class T>
void predicate(UnaryOp op, const T* x, std::uint8_t* y, int64_t n) {
  using U = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr U kInf = std::bit_cast<U>(std::numeric_limits<T>::infinity());
  constexpr U kAbs = U(~U(0)) >> 1;
  if (op == UnaryOp::kIsNan) {
    for (int64_t i = 0; i < n; ++i) y[i] = (std::bit_cast<U>(x[i]) & kAbs) > kInf;
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = (std::bit_cast<U>(x[i]) & kAbs) < kInf;
  }
}

// ---------------------------------------------------------------- binary

enum Form { kVV, kVS, kSV };

template <class T, auto kOp, Form kForm>
void binary_vectors(const T* x, const T* y, T* out, int64_t n) {
  using V = Vec<T>;
  if (n <= 0) return;
  const V x0 = V::set1(*x);
  const V y0 = V::set1(*y);
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) {
    const V a = kForm == kSV ? x0 : V::load(x + i);
    const V b = kForm == kVS ? y0 : V::load(y + i);
    kOp(a, b).store(out + i);
  }
  if (i < n) {
    const V a = kForm == kSV ? x0 : V::load_partial(x + i, n - i);
    const V b = kForm == kVS ? y0 : V::load_partial(y + i, n - i);
    kOp(a, b).store_partial(out + i, n - i);
  }
}
template <class T, auto kOp>
constexpr BinaryLoops<T> vector_loops() {
  return {binary_vectors<T, kOp, kVV>, binary_vectors<T, kOp, kVS>, binary_vectors<T, kOp, kSV>};
}

template <class T, class Out, auto kOp, Form kForm>
void binary_scalars(const T* x, const T* y, Out* out, int64_t n) {
  if (n <= 0) return;
  const T x0 = *x;
  const T y0 = *y;
  for (int64_t i = 0; i < n; ++i) {
    out[i] = static_cast<Out>(kOp(kForm == kSV ? x0 : x[i], kForm == kVS ? y0 : y[i]));
  }
}
template <class T, class Out, auto kOp>
constexpr BinaryLoops<T, Out> scalar_loops() {
  return {binary_scalars<T, Out, kOp, kVV>, binary_scalars<T, Out, kOp, kVS>,
          binary_scalars<T, Out, kOp, kSV>};
}

// Division and remainder as in Python: the quotient is rounded down, the remainder has the sign of
// the divisor.
template <class T>
T python_mod(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    const T m = std::fmod(x, y);
    if (m == T(0)) return std::copysign(T(0), y);
    return (m < T(0)) != (y < T(0)) ? m + y : m;
  } else {
    if (y == 0 || y == -1) return 0;
    const T m = x % y;
    return m != 0 && (m < 0) != (y < 0) ? m + y : m;
  }
}
template <class T>
T python_floor_div(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    if (y == T(0)) return x / y;
    T m = std::fmod(x, y);
    T q = (x - m) / y;
    if (m != T(0) && (m < T(0)) != (y < T(0))) q -= T(1);
    if (q == T(0)) return std::copysign(T(0), x / y);
    const T f = std::floor(q);
    return q - f > T(0.5) ? f + T(1) : f;
  } else {
    using U = std::make_unsigned_t<T>;
    if (y == 0) return 0;
    if (y == -1) return static_cast<T>(U(0) - static_cast<U>(x));
    const T q = x / y;
    return x % y != 0 && (x < 0) != (y < 0) ? q - 1 : q;
  }
}
template <class T>
T power(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::pow(x, y);
  } else {
    using U = std::make_unsigned_t<T>;
    if (y < 0) {  // 1 / x^|y|, towards zero
      if (x == 1) return 1;
      if (x == -1) return y % 2 == 0 ? 1 : -1;
      return 0;
    }
    U r = 1;
    U base = static_cast<U>(x);
    for (U e = static_cast<U>(y); e != 0; e >>= 1) {
      if (e & 1) r *= base;
      base *= base;
    }
    return static_cast<T>(r);
  }
}

template <class T>
BinaryLoops<T> float_binary_loops(BinaryOp op) {
  using V = Vec<T>;
  switch (op) {
    case BinaryOp::kDiv:
      return vector_loops<T, [](V x, V y) { return x / y; }>();
    case BinaryOp::kAtan2:
      return scalar_loops<T, T, [](T x, T y) { return std::atan2(x, y); }>();
    case BinaryOp::kNextAfter:
      return scalar_loops<T, T, [](T x, T y) { return std::nextafter(x, y); }>();
    case BinaryOp::kReluGrad:
      return vector_loops<T, [](V g, V y) { return select<T>(y > V::zero(), g, V::zero()); }>();
    case BinaryOp::kSigmoidGrad:
      return vector_loops<T, [](V g, V y) { return (g * y) * (V::set1(T(1)) - y); }>();
    case BinaryOp::kTanhGrad:
      return vector_loops<T, [](V g, V y) { return g * fma(-y, y, V::set1(T(1))); }>();
    default:
      return {};
  }
}

template <class T>
BinaryLoops<T> integer_binary_loops(BinaryOp op) {
  using U = std::make_unsigned_t<T>;
  constexpr U kBits = 8 * sizeof(T);
  switch (op) {
    case BinaryOp::kGcd:
      return scalar_loops<T, T, [](T x, T y) {
        U a = x < 0 ? U(0) - static_cast<U>(x) : static_cast<U>(x);
        U b = y < 0 ? U(0) - static_cast<U>(y) : static_cast<U>(y);
        while (b != 0) a = std::exchange(b, a % b);
        return static_cast<T>(a);
      }>();
    case BinaryOp::kBitAnd:
      return scalar_loops<T, T, [](T x, T y) { return x & y; }>();
    case BinaryOp::kBitOr:
      return scalar_loops<T, T, [](T x, T y) { return x | y; }>();
    case BinaryOp::kBitXor:
      return scalar_loops<T, T, [](T x, T y) { return x ^ y; }>();
    case BinaryOp::kShiftLeft:
      return scalar_loops<T, T, [](T x, T y) {
        return static_cast<U>(y) >= kBits ? T(0) : static_cast<T>(static_cast<U>(x) << y);
      }>();
    case BinaryOp::kShiftRight:
      return scalar_loops<T, T, [](T x, T y) {
        return static_cast<T>(x >> (static_cast<U>(y) >= kBits ? kBits - 1 : static_cast<U>(y)));
      }>();
    default:
      return {};
  }
}

template <class T>
BinaryLoops<T, std::uint8_t> compare_loops(BinaryOp op) {
  switch (op) {
    case BinaryOp::kEqual:
      return scalar_loops<T, std::uint8_t, [](T x, T y) { return x == y; }>();
    case BinaryOp::kNotEqual:
      return scalar_loops<T, std::uint8_t, [](T x, T y) { return x != y; }>();
    case BinaryOp::kLess:
      return scalar_loops<T, std::uint8_t, [](T x, T y) { return x < y; }>();
    case BinaryOp::kLessEqual:
      return scalar_loops<T, std::uint8_t, [](T x, T y) { return x <= y; }>();
    case BinaryOp::kGreater:
      return scalar_loops<T, std::uint8_t, [](T x, T y) { return (x > y); }>();
    case BinaryOp::kGreaterEqual:
      return scalar_loops<T, std::uint8_t, [](T x, T y) { return x >= y; }>();
    case BinaryOp::kLogicalAnd:
      return scalar_loops<T, std::uint8_t, [](T x, T y) { return (x != T(0)) & (y != T(0)); }>();
    case BinaryOp::kLogicalOr:
      return scalar_loops<T, std::uint8_t, [](T x, T y) { return (x != T(0)) | (y != T(0)); }>();
    case BinaryOp::kLogicalXor:
      return scalar_loops<T, std::uint8_t, [](T x, T y) { return (x != T(0)) != (y != T(0)); }>();
    default:
      return {};
  }
}

bool is_comparison(BinaryOp op) { return op >= BinaryOp::kEqual; }

/// One stretch of n elements, by the strides of its operands.
template <class T, class Out>
void binary_run(const BinaryLoops<T, Out>& loops, const T* x, int64_t xs, const T* y, int64_t ys,
                Out* out, int64_t n) {
  if (n == 1 || (xs == 1 && ys == 1)) return loops.vv(x, y, out, n);
  if (xs == 1 && ys == 0) return loops.vs(x, y, out, n);
  if (xs == 0 && ys == 1) return loops.sv(x, y, out, n);
  if (xs == 0 && ys == 0) {
    loops.vv(x, y, out, 1);
    std::fill(out + 1, out + n, out[0]);
    return;
  }
  constexpr int64_t kTile = 256;
  T a[kTile];
  T b[kTile];
  for (int64_t i = 0; i < n; i += kTile) {
    const int64_t m = std::min(kTile, n - i);
    for (int64_t j = 0; j < m; ++j) {
      a[j] = x[(i + j) * xs];
      b[j] = y[(i + j) * ys];
    }
    loops.vv(a, b, out + i, m);
  }
}

template <class T, class Out>
void binary_any(const BinaryArgs& args, const BinaryLoops<T, Out>& loops, int cost,
                const Exec& exec) {
  if (loops.vv == nullptr) return;
  const T* x = static_cast<const T*>(args.x);
  const T* y = static_cast<const T*>(args.y);
  Out* out = static_cast<Out*>(args.out);
  if (args.rank <= 1) {
    const int64_t n = args.rank == 0 ? 1 : args.shape[0];
    const int64_t xs = args.rank == 0 ? 0 : args.x_strides[0];
    const int64_t ys = args.rank == 0 ? 0 : args.y_strides[0];
    for_elements(exec, n, cost, [&](int64_t begin, int64_t end) {
      binary_run(loops, x + begin * xs, xs, y + begin * ys, ys, out + begin, end - begin);
    });
    return;
  }
  const int last = args.rank - 1;
  const int64_t inner = args.shape[last];
  const int64_t rows = count(last, args.shape);
  if (inner == 0 || rows == 0) return;
  const int64_t xs = args.x_strides[last];
  const int64_t ys = args.y_strides[last];

  // Short rows against one shared row: repeat that row, then run over many rows at once.
  constexpr int64_t kTile = 512;
  if (args.rank == 2 && xs == 1 && ys == 1 && inner <= kTile / 4 && rows > 1) {
    const bool x_shared = args.x_strides[0] == 0 && args.y_strides[0] == inner;
    const bool y_shared = args.y_strides[0] == 0 && args.x_strides[0] == inner;
    if (x_shared || y_shared) {
      const int64_t per_tile = std::min(kTile / inner, rows);
      T tile[kTile];
      const T* shared = x_shared ? x : y;
      for (int64_t r = 0; r < per_tile; ++r) {
        std::memcpy(tile + r * inner, shared, static_cast<std::size_t>(inner) * sizeof(T));
      }
      const T* full = x_shared ? y : x;
      const auto run = [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; r += per_tile) {
          const int64_t m = std::min(per_tile, end - r) * inner;
          const T* row = full + r * inner;
          loops.vv(x_shared ? tile : row, x_shared ? row : tile, out + r * inner, m);
        }
      };
      parallel_for(exec, rows, grain_for(inner * cost), run);
      return;
    }
  }

  // Rows, long ones in pieces.
  const int64_t piece = std::min<int64_t>(inner, kGrainOps / cost);
  const int64_t pieces = (inner + piece - 1) / piece;
  const int64_t* const strides[2] = {args.x_strides, args.y_strides};
  parallel_for(exec, rows * pieces, grain_for(piece * cost), [&](int64_t begin, int64_t end) {
    Odometer<2> at(last, args.shape, strides);
    int64_t row = begin / pieces;
    int64_t p = begin - row * pieces;
    at.seek(row);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t start = p * piece;
      const int64_t n = std::min(piece, inner - start);
      binary_run(loops, x + at.offset(0) + start * xs, xs, y + at.offset(1) + start * ys, ys,
                 out + row * inner + start, n);
      if (++p == pieces) {
        p = 0;
        ++row;
        at.next();
      }
    }
  });
}

// ---------------------------------------------------------------- select

template <class U>
void select_run(const std::uint8_t* c, int64_t cs, const U* x, int64_t xs, const U* y, int64_t ys,
                U* out, int64_t n) {
  if (cs == 1 && xs == 1 && ys == 1) {
    for (int64_t i = 0; i < n; ++i) out[i] = c[i] ? x[i] : y[i];
  } else if (cs == 1 && xs == 1 && ys == 0) {
    const U y0 = *y;
    for (int64_t i = 0; i < n; ++i) out[i] = c[i] ? x[i] : y0;
  } else if (cs == 1 && xs == 0 && ys == 1) {
    const U x0 = *x;
    for (int64_t i = 0; i < n; ++i) out[i] = c[i] ? x0 : y[i];
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = c[i * cs] ? x[i * xs] : y[i * ys];
  }
}

template <class U>
void select_any(const SelectArgs& args, const Exec& exec) {
  const auto* c = static_cast<const std::uint8_t*>(args.cond);
  const U* x = static_cast<const U*>(args.x);
  const U* y = static_cast<const U*>(args.y);
  U* out = static_cast<U*>(args.out);
  if (args.rank == 0) {
    *out = *c ? *x : *y;
    return;
  }
  const int last = args.rank - 1;
  const int64_t inner = args.shape[last];
  const int64_t rows = count(last, args.shape);
  if (inner == 0 || rows == 0) return;
  const int64_t cs = args.c_strides[last];
  const int64_t xs = args.x_strides[last];
  const int64_t ys = args.y_strides[last];
  const int64_t piece = std::min<int64_t>(inner, kGrainOps);
  const int64_t pieces = (inner + piece - 1) / piece;
  const int64_t* const strides[3] = {args.c_strides, args.x_strides, args.y_strides};
  parallel_for(exec, rows * pieces, grain_for(piece), [&](int64_t begin, int64_t end) {
    Odometer<3> at(last, args.shape, strides);
    int64_t row = begin / pieces;
    int64_t p = begin - row * pieces;
    at.seek(row);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t start = p * piece;
      select_run(c + at.offset(0) + start * cs, cs, x + at.offset(1) + start * xs, xs,
                 y + at.offset(2) + start * ys, ys, out + row * inner + start,
                 std::min(piece, inner - start));
      if (++p == pieces) {
        p = 0;
        ++row;
        at.next();
      }
    }
  });
}

}  // namespace

// ---------------------------------------------------------------- shared with fused.cpp

template <class T>
UnaryLoop<T> unary_loop(UnaryOp op) {
  if (const UnaryLoop<T> loop = shared_unary_loop<T>(op)) return loop;
  if constexpr (std::is_floating_point_v<T>) return float_unary_loop<T>(op);
  return nullptr;
}
template UnaryLoop<float> unary_loop<float>(UnaryOp);
template UnaryLoop<double> unary_loop<double>(UnaryOp);
template UnaryLoop<std::int32_t> unary_loop<std::int32_t>(UnaryOp);
template UnaryLoop<std::int64_t> unary_loop<std::int64_t>(UnaryOp);

template <class T>
BinaryLoops<T> binary_loops(BinaryOp op) {
  using V = Vec<T>;
  switch (op) {
    case BinaryOp::kAdd:
      return vector_loops<T, [](V x, V y) { return x + y; }>();
    case BinaryOp::kSub:
      return vector_loops<T, [](V x, V y) { return x - y; }>();
    case BinaryOp::kMul:
      return vector_loops<T, [](V x, V y) { return x * y; }>();
    case BinaryOp::kMaximum:
      return vector_loops<T, [](V x, V y) { return maximum(x, y); }>();
    case BinaryOp::kMinimum:
      return vector_loops<T, [](V x, V y) { return minimum(x, y); }>();
    case BinaryOp::kSquaredDifference:
      return vector_loops<T, [](V x, V y) { return (x - y) * (x - y); }>();
    case BinaryOp::kPow:
      return scalar_loops<T, T, power<T>>();
    case BinaryOp::kFloorDiv:
      return scalar_loops<T, T, python_floor_div<T>>();
    case BinaryOp::kMod:
      return scalar_loops<T, T, python_mod<T>>();
    default:
      if constexpr (std::is_floating_point_v<T>)
        return float_binary_loops<T>(op);
      else
        return integer_binary_loops<T>(op);
  }
}
template BinaryLoops<float> binary_loops<float>(BinaryOp);
template BinaryLoops<double> binary_loops<double>(BinaryOp);
template BinaryLoops<std::int32_t> binary_loops<std::int32_t>(BinaryOp);
template BinaryLoops<std::int64_t> binary_loops<std::int64_t>(BinaryOp);

int unary_cost(UnaryOp op) {
  switch (op) {
    case UnaryOp::kTan:
    case UnaryOp::kAsin:
    case UnaryOp::kAcos:
    case UnaryOp::kAtan:
    case UnaryOp::kSinh:
    case UnaryOp::kCosh:
    case UnaryOp::kErfInv:
    case UnaryOp::kI0:
    case UnaryOp::kI1:
      return 32;
    case UnaryOp::kExp:
    case UnaryOp::kExpm1:
    case UnaryOp::kLog:
    case UnaryOp::kLog1p:
    case UnaryOp::kSin:
    case UnaryOp::kCos:
    case UnaryOp::kTanh:
    case UnaryOp::kErf:
    case UnaryOp::kSigmoid:
    case UnaryOp::kSoftplus:
    case UnaryOp::kElu:
    case UnaryOp::kSelu:
    case UnaryOp::kGelu:
    case UnaryOp::kGeluTanh:
    case UnaryOp::kSilu:
      return 4;
    default:
      return 1;
  }
}

int binary_cost(BinaryOp op) {
  switch (op) {
    case BinaryOp::kPow:
    case BinaryOp::kAtan2:
    case BinaryOp::kFloorDiv:
    case BinaryOp::kMod:
    case BinaryOp::kGcd:
      return 32;
    default:
      return 1;
  }
}

// ---------------------------------------------------------------- kernels

void unary_kernel(const UnaryArgs& args, const Exec& exec) {
  const auto run = [&]<class T>(TypeTag<T>) {
    const T* x = static_cast<const T*>(args.x);
    T* y = static_cast<T*>(args.y);
    const UnaryLoop<T> loop = unary_loop<T>(args.op);
    if (loop == nullptr) return;
    const T a = saturate_to<T>(args.a);
    const T b = saturate_to<T>(args.b);
    for_elements(exec, args.n, unary_cost(args.op), [&](int64_t begin, int64_t end) {
      loop(x + begin, y + begin, end - begin, a, b);
    });
  };
  if (args.op == UnaryOp::kIsNan || args.op == UnaryOp::kIsFinite) {
    visit_floating(args.dtype, [&]<class T>(TypeTag<T>) {
      const T* x = static_cast<const T*>(args.x);
      auto* y = static_cast<std::uint8_t*>(args.y);
      for_elements(exec, args.n, 1, [&](int64_t begin, int64_t end) {
        predicate(args.op, x + begin, y + begin, end - begin);
      });
    });
    return;
  }
  switch (args.dtype) {
    case DType::kFloat32:
      return run(TypeTag<float>{});
    case DType::kFloat64:
      return run(TypeTag<double>{});
    case DType::kInt32:
      return run(TypeTag<std::int32_t>{});
    case DType::kInt64:
      return run(TypeTag<std::int64_t>{});
    case DType::kBool:
    case DType::kUint8: {
      const auto* x = static_cast<const std::uint8_t*>(args.x);
      auto* y = static_cast<std::uint8_t*>(args.y);
      for_elements(exec, args.n, 1, [&](int64_t begin, int64_t end) {
        if (args.op == UnaryOp::kLogicalNot) {
          for (int64_t i = begin; i < end; ++i) y[i] = x[i] == 0;
        } else {
          copy_loop<std::uint8_t>(x + begin, y + begin, end - begin, 0, 0);
        }
      });
      return;
    }
  }
}

void binary_kernel(const BinaryArgs& args, const Exec& exec) {
  const int cost = binary_cost(args.op);
  const auto run = [&]<class T>(TypeTag<T>) {
    if (is_comparison(args.op)) {
      binary_any(args, compare_loops<T>(args.op), cost, exec);
    } else {
      binary_any(args, binary_loops<T>(args.op), cost, exec);
    }
  };
  switch (args.dtype) {
    case DType::kFloat32:
      return run(TypeTag<float>{});
    case DType::kFloat64:
      return run(TypeTag<double>{});
    case DType::kInt32:
      return run(TypeTag<std::int32_t>{});
    case DType::kInt64:
      return run(TypeTag<std::int64_t>{});
    case DType::kBool:
    case DType::kUint8:
      return binary_any(args, compare_loops<std::uint8_t>(args.op), cost, exec);
  }
}

void select_kernel(const SelectArgs& args, const Exec& exec) {
  switch (size_of(args.dtype)) {
    case 1:
      return select_any<std::uint8_t>(args, exec);
    case 4:
      return select_any<std::uint32_t>(args, exec);
    default:
      return select_any<std::uint64_t>(args, exec);
  }
}

void cast_kernel(const CastArgs& args, const Exec& exec) {
  // bool is read and written as a byte, so that a stray value cannot upset the compiler
  const auto from_as = [&]<class From, class To>(TypeTag<From>, TypeTag<To>, bool to_bool) {
    const From* x = static_cast<const From*>(args.x);
    To* y = static_cast<To*>(args.y);
    for_elements(exec, args.n, 1, [&](int64_t begin, int64_t end) {
      if (to_bool) {
        for (int64_t i = begin; i < end; ++i) y[i] = static_cast<To>(x[i] != From(0));
      } else {
        for (int64_t i = begin; i < end; ++i) y[i] = saturate_to<To>(x[i]);
      }
    });
  };
  const auto byte_for_bool = []<class T>(TypeTag<T>) {
    return TypeTag<std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>>{};
  };
  visit_dtype(args.from, [&]<class From>(TypeTag<From> from) {
    visit_dtype(args.to, [&]<class To>(TypeTag<To> to) {
      from_as(byte_for_bool(from), byte_for_bool(to), std::is_same_v<To, bool>);
    });
  });
}

void fill_kernel(const FillArgs& args, const Exec& exec) {
  visit_dtype(args.dtype, [&]<class T>(TypeTag<T>) {
    T* y = static_cast<T*>(args.y);
    const T value =
        std::is_same_v<T, bool> ? static_cast<T>(args.value != 0) : saturate_to<T>(args.value);
    for_elements(exec, args.n, 1,
                 [&](int64_t begin, int64_t end) { std::fill(y + begin, y + end, value); });
  });
}

void iota_kernel(const IotaArgs& args, const Exec& exec) {
  visit_dtype(args.dtype, [&]<class T>(TypeTag<T>) {
    T* y = static_cast<T*>(args.y);
    for_elements(exec, args.n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const double v = args.start + static_cast<double>(i) * args.step;
        y[i] = std::is_same_v<T, bool> ? static_cast<T>(v != 0) : saturate_to<T>(v);
      }
    });
  });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
