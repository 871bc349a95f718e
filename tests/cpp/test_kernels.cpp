// The kernels of the chosen CPU backend against scalar references: values, tails, misaligned
// pointers, special values, the same bits for every thread count. Run once per LAMELLA_ISA.
// Matmul, convolution and pooling have their own file.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "backend/kernels.h"
#include "backend/registry.h"

namespace lamella::kernels {
namespace {

using std::int32_t;
using std::int64_t;
using std::uint8_t;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

int fault = 0;
Exec exec(int threads = 1) { return {threads, &fault}; }

/// Lengths around the vector width W of the backend for elements of T.
template <class T>
std::vector<int64_t> lengths() {
  const int64_t w = table().vector_bytes / static_cast<int64_t>(sizeof(T));
  return {0, 1, 2, w - 1, w, w + 1, 2 * w, 3 * w + 1, 8 * w + 3, 1000};
}

/// n elements that start `shift` elements off the allocation's alignment, between guard elements.
template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t n, int shift = 0) : n_(n), shift_(shift) {
    bytes_.assign(static_cast<std::size_t>(n + shift + 2 * kGuard) * sizeof(T), 0xA5);
  }
  Buffer(const std::vector<T>& v, int shift = 0) : Buffer(static_cast<int64_t>(v.size()), shift) {
    std::copy(v.begin(), v.end(), data());
  }
  T* data() { return reinterpret_cast<T*>(bytes_.data()) + kGuard + shift_; }
  const T* data() const { return reinterpret_cast<const T*>(bytes_.data()) + kGuard + shift_; }
  T& operator[](int64_t i) { return data()[i]; }
  int64_t size() const { return n_; }
  std::vector<T> vector() const { return std::vector<T>(data(), data() + n_); }
  bool intact() const {
    const auto first = static_cast<std::size_t>(kGuard + shift_) * sizeof(T);
    const auto last = first + static_cast<std::size_t>(n_) * sizeof(T);
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      if ((i < first || i >= last) && bytes_[i] != 0xA5) return false;
    }
    return true;
  }

 private:
  static constexpr int kGuard = 16;
  int64_t n_;
  int shift_;
  std::vector<unsigned char> bytes_;
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// Error in units of the last place of the reference.
template <class T>
double ulps(T got, long double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : kInf;
  const T rounded = static_cast<T>(want);
  if (got == rounded) return 0;
  if (std::isnan(got)) return kInf;
  const T largest = std::numeric_limits<T>::max();
  if (std::isinf(rounded) || std::isinf(got)) {
    return std::fabs(got) >= largest && std::fabs(rounded) >= largest ? 1 : kInf;
  }
  const T magnitude = std::fabs(rounded);
  T unit = std::nextafter(magnitude, std::numeric_limits<T>::infinity()) - magnitude;
  if (std::isinf(unit)) unit = magnitude - std::nextafter(magnitude, T(0));
  return static_cast<double>(std::fabs(static_cast<long double>(got) - want) / unit);
}

template <class T>
std::vector<T> uniform(int64_t n, double low, double high, unsigned seed = 1) {
  std::mt19937_64 engine(seed);
  std::uniform_real_distribution<double> d(low, high);
  std::vector<T> v(static_cast<std::size_t>(n));
  for (T& x : v) x = static_cast<T>(d(engine));
  return v;
}

template <class T>
void close(const std::vector<T>& got, const std::vector<long double>& want, double tolerance,
           const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(want[i])) {
      ASSERT_TRUE(std::isnan(got[i])) << what << " at " << i;
      continue;
    }
    if (std::isinf(want[i])) {
      ASSERT_EQ(got[i], static_cast<T>(want[i])) << what << " at " << i;
      continue;
    }
    ASSERT_NEAR(static_cast<double>(got[i]), static_cast<double>(want[i]),
                tolerance * (1 + std::fabs(static_cast<double>(want[i]))))
        << what << " at " << i;
  }
}

/// run(exec) gives the same bits for every thread count; returns them.
template <class F>
auto same_for_threads(F run) {
  const auto one = run(exec(1));
  for (const int threads : {2, 3, 8}) {
    EXPECT_TRUE(same_bits(one, run(exec(threads)))) << threads << " threads";
  }
  return one;
}

template <class T>
constexpr double kEps = std::numeric_limits<T>::epsilon();

template <class T>
struct KernelsFloat : testing::Test {};
using Floats = testing::Types<float, double>;
TYPED_TEST_SUITE(KernelsFloat, Floats);

template <class T>
struct KernelsNumber : testing::Test {};
using Numbers = testing::Types<float, double, int32_t, int64_t>;
TYPED_TEST_SUITE(KernelsNumber, Numbers);

// ---------------------------------------------------------------- registry

TEST(Registry, ChoosesASupportedBackend) {
  const BackendInfo info = backend_info();
  EXPECT_EQ(table().abi_version, kAbiVersion);
  EXPECT_EQ(info.isa, table().isa);
  EXPECT_NE(std::find(info.supported.begin(), info.supported.end(), info.isa),
            info.supported.end());
  EXPECT_NE(std::find(info.available.begin(), info.available.end(), info.isa),
            info.available.end());
  EXPECT_GE(info.vector_bytes, 16);
  EXPECT_FALSE(info.compiler.empty());
}

// ---------------------------------------------------------------- unary

struct UnaryCase {
  const char* name;
  UnaryOp op;
  double low, high;
  double ulp_float, ulp_double;  // negative: absolute error in units of epsilon
  std::function<long double(long double, long double, long double)> reference;
  bool special = true;  // NaN, infinities and zeros too
};

long double sigmoid_of(long double x) { return 1 / (1 + std::exp(-x)); }

const std::vector<UnaryCase>& unary_cases() {
  using L = long double;
  static const std::vector<UnaryCase> cases = {
      {"neg", UnaryOp::kNeg, -10, 10, 0, 0, [](L x, L, L) { return -x; }},
      {"abs", UnaryOp::kAbs, -10, 10, 0, 0, [](L x, L, L) { return std::fabs(x); }},
      {"sign", UnaryOp::kSign, -10, 10, 0, 0,
       [](L x, L, L) { return std::isnan(x) ? x : L((x > 0) - (x < 0)); }},
      {"square", UnaryOp::kSquare, -10, 10, 0.51, 0.51, [](L x, L, L) { return x * x; }},
      {"exp", UnaryOp::kExp, -110, 95, 1.1, 1.1, [](L x, L, L) { return std::exp(x); }},
      {"exp wide", UnaryOp::kExp, -760, 720, 1.1, 1.1, [](L x, L, L) { return std::exp(x); }},
      {"expm1", UnaryOp::kExpm1, -40, 95, 1.6, 2.1, [](L x, L, L) { return std::expm1(x); }},
      {"expm1 small", UnaryOp::kExpm1, -1, 1, 1.6, 2.1, [](L x, L, L) { return std::expm1(x); }},
      {"log", UnaryOp::kLog, -0.5, 10, 1.1, 1.1, [](L x, L, L) { return std::log(x); }},
      {"log1p", UnaryOp::kLog1p, -1.5, 10, 1.6, 1.6, [](L x, L, L) { return std::log1p(x); }},
      {"log1p small", UnaryOp::kLog1p, -1e-3, 1e-3, 1.6, 1.6,
       [](L x, L, L) { return std::log1p(x); }},
      {"sqrt", UnaryOp::kSqrt, -0.5, 100, 0.51, 0.51, [](L x, L, L) { return std::sqrt(x); }},
      {"rsqrt", UnaryOp::kRsqrt, 0.01, 100, 1.5, 1.5, [](L x, L, L) { return 1 / std::sqrt(x); },
       false},
      {"reciprocal", UnaryOp::kReciprocal, -10, 10, 0.51, 0.51, [](L x, L, L) { return 1 / x; }},
      {"sin", UnaryOp::kSin, -200, 200, 1.6, 2.6, [](L x, L, L) { return std::sin(x); }},
      {"sin large", UnaryOp::kSin, -1e7, 1e7, 1.6, 2.6, [](L x, L, L) { return std::sin(x); }},
      {"cos", UnaryOp::kCos, -200, 200, 1.6, 2.6, [](L x, L, L) { return std::cos(x); }},
      {"tan", UnaryOp::kTan, -10, 10, 1.5, 1.5, [](L x, L, L) { return std::tan(x); }},
      {"asin", UnaryOp::kAsin, -1.1, 1.1, 1.5, 1.5, [](L x, L, L) { return std::asin(x); }},
      {"acos", UnaryOp::kAcos, -1.1, 1.1, 1.5, 1.5, [](L x, L, L) { return std::acos(x); }},
      {"atan", UnaryOp::kAtan, -10, 10, 1.5, 1.5, [](L x, L, L) { return std::atan(x); }},
      {"sinh", UnaryOp::kSinh, -10, 10, 2.5, 2.5, [](L x, L, L) { return std::sinh(x); }},
      {"cosh", UnaryOp::kCosh, -10, 10, 2.5, 2.5, [](L x, L, L) { return std::cosh(x); }},
      {"tanh", UnaryOp::kTanh, -12, 12, 1.6, 1.6, [](L x, L, L) { return std::tanh(x); }},
      {"tanh small", UnaryOp::kTanh, -0.8, 0.8, 1.6, 1.6, [](L x, L, L) { return std::tanh(x); }},
      {"erf", UnaryOp::kErf, -6, 6, 1.6, 1.6, [](L x, L, L) { return std::erf(x); }},
      {"floor", UnaryOp::kFloor, -10, 10, 0, 0, [](L x, L, L) { return std::floor(x); }},
      {"ceil", UnaryOp::kCeil, -10, 10, 0, 0, [](L x, L, L) { return std::ceil(x); }},
      {"round", UnaryOp::kRound, -10, 10, 0, 0, [](L x, L, L) { return std::nearbyint(x); }},
      {"sigmoid", UnaryOp::kSigmoid, -100, 40, 2.6, 2.6, [](L x, L, L) { return sigmoid_of(x); }},
      {"softplus", UnaryOp::kSoftplus, -80, 80, 2.1, 2.1,
       [](L x, L, L) { return x > 100 ? x : std::log1p(std::exp(x)); }},
      {"relu", UnaryOp::kRelu, -10, 10, 0, 0,
       [](L x, L, L) { return std::isnan(x) ? x : std::max(x, L(0)); }},
      {"leaky_relu", UnaryOp::kLeakyRelu, -10, 10, 1.1, 1.1,
       [](L x, L a, L) { return x < 0 ? a * x : x; }},
      {"elu", UnaryOp::kElu, -30, 10, 2.1, 2.6,
       [](L x, L a, L) { return x < 0 ? a * std::expm1(x) : x; }},
      {"selu", UnaryOp::kSelu, -30, 10, 3.6, 3.6,
       [](L x, L, L) {
         return 1.0507009873554804934193349852946L *
                (x < 0 ? 1.6732632423543772848170429916717L * std::expm1(x) : x);
       }},
      {"gelu", UnaryOp::kGelu, -8, 8, -4, -4,
       [](L x, L, L) { return x / 2 * (1 + std::erf(x * 0.70710678118654752440L)); }, false},
      {"gelu_tanh", UnaryOp::kGeluTanh, -8, 8, -6, -6,
       [](L x, L, L) {
         return x / 2 * (1 + std::tanh(0.79788456080286535588L * (x + 0.044715L * x * x * x)));
       },
       false},
      {"silu", UnaryOp::kSilu, -60, 60, 3.6, 3.6, [](L x, L, L) { return x * sigmoid_of(x); },
       false},
      {"softsign", UnaryOp::kSoftsign, -10, 10, 1.6, 1.6,
       [](L x, L, L) { return x / (1 + std::fabs(x)); }},
      {"hard_sigmoid", UnaryOp::kHardSigmoid, -5, 5, -1, -1,
       [](L x, L, L) { return std::isnan(x) ? x : std::clamp(x / 6 + 0.5L, L(0), L(1)); }},
      {"hard_silu", UnaryOp::kHardSilu, -5, 5, -6, -6,
       [](L x, L, L) { return x * std::clamp(x / 6 + 0.5L, L(0), L(1)); }, false},
      {"clip", UnaryOp::kClip, -10, 10, 0, 0,
       [](L x, L a, L b) { return std::isnan(x) ? x : std::min(std::max(x, a), b); }},
  };
  return cases;
}

TYPED_TEST(KernelsFloat, UnaryAgainstReference) {
  using T = TypeParam;
  for (const UnaryCase& c : unary_cases()) {
    std::vector<T> x = uniform<T>(20011, c.low, c.high);
    if (c.special) {
      for (const double s : {kInf, -kInf, kNan, 0.0, -0.0, 0.5, 1.0, -1.0, 1.5, 2.5, -0.5}) {
        x.push_back(static_cast<T>(s));
      }
      const T tiny[] = {std::numeric_limits<T>::denorm_min(), std::numeric_limits<T>::min(),
                        std::numeric_limits<T>::max() / 4, -std::numeric_limits<T>::min()};
      if (c.op != UnaryOp::kSoftsign) x.insert(x.end(), std::begin(tiny), std::end(tiny));
    }
    const T a = static_cast<T>(0.3);
    const T b = static_cast<T>(5);
    std::vector<T> y(x.size());
    table().unary({c.op, dtype_of<T>, x.data(), y.data(), static_cast<int64_t>(x.size()), a, b},
                  exec());
    const double bound = sizeof(T) == 4 ? c.ulp_float : c.ulp_double;
    double worst = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const long double want = c.reference(x[i], a, b);
      double e = 0;
      if (bound < 0 && !std::isnan(want) && !std::isinf(want)) {
        e = static_cast<double>(std::fabs(y[i] - want)) / kEps<T> /
            std::max(1.0, std::fabs(double(want)));
      } else {
        e = ulps(y[i], want);
      }
      if (e > worst) {
        worst = e;
        at = i;
      }
    }
    EXPECT_LE(worst, std::fabs(bound) + (table().vector_bytes == 16 ? 0.5 : 0.0))
        << c.name << " at x = " << x[at] << ": got " << y[at] << ", expected "
        << static_cast<double>(c.reference(x[at], a, b));
  }
}

TYPED_TEST(KernelsFloat, UnaryTailsHaveTheSameBits) {
  using T = TypeParam;
  for (const UnaryCase& c : unary_cases()) {
    for (const int64_t n : lengths<T>()) {
      for (const int shift : {0, 1, 3}) {
        Buffer<T> x(uniform<T>(n, c.low, c.high, 7), shift);
        Buffer<T> y(n, shift == 1 ? 2 : 0);
        table().unary({c.op, dtype_of<T>, x.data(), y.data(), n, 0.3, 5}, exec());
        ASSERT_TRUE(y.intact()) << c.name << " n " << n;
        for (int64_t i = 0; i < n; ++i) {
          T one;
          table().unary({c.op, dtype_of<T>, x.data() + i, &one, 1, 0.3, 5}, exec());
          ASSERT_EQ(std::memcmp(&one, &y[i], sizeof one), 0) << c.name << " n " << n << " at " << i;
        }
        Buffer<T> in_place(x.vector(), shift);
        table().unary({c.op, dtype_of<T>, in_place.data(), in_place.data(), n, 0.3, 5}, exec());
        ASSERT_TRUE(same_bits(in_place.vector(), y.vector())) << c.name << " in place";
      }
    }
  }
}

TYPED_TEST(KernelsFloat, UnarySameForThreads) {
  using T = TypeParam;
  const std::vector<T> x = uniform<T>(150001, -3, 3);
  for (const UnaryOp op : {UnaryOp::kRelu, UnaryOp::kTanh, UnaryOp::kTan, UnaryOp::kGelu}) {
    same_for_threads([&](const Exec& e) {
      std::vector<T> y(x.size());
      table().unary({op, dtype_of<T>, x.data(), y.data(), static_cast<int64_t>(x.size())}, e);
      return y;
    });
  }
}

TEST(Kernels, UnaryIntegersAndPredicates) {
  const std::vector<int32_t> x = {0, 1, -1, 7, -7, std::numeric_limits<int32_t>::min()};
  std::vector<int32_t> y(x.size());
  const auto run = [&](UnaryOp op, double a = 0, double b = 0) {
    table().unary({op, DType::kInt32, x.data(), y.data(), static_cast<int64_t>(x.size()), a, b},
                  exec());
    return y;
  };
  EXPECT_EQ(run(UnaryOp::kNeg)[3], -7);
  EXPECT_EQ(run(UnaryOp::kAbs)[4], 7);
  EXPECT_EQ(run(UnaryOp::kSign), (std::vector<int32_t>{0, 1, -1, 1, -1, -1}));
  EXPECT_EQ(run(UnaryOp::kSquare)[3], 49);
  EXPECT_EQ(run(UnaryOp::kClip, -kInf, 3)[3], 3);
  EXPECT_EQ(run(UnaryOp::kClip, -2, kInf)[4], -2);
  EXPECT_EQ(run(UnaryOp::kCopy), x);

  const std::vector<float> f = {0, 1, float(kNan), float(kInf), float(-kInf), -float(kNan)};
  std::vector<uint8_t> p(f.size());
  table().unary({UnaryOp::kIsNan, DType::kFloat32, f.data(), p.data(), 6}, exec());
  EXPECT_EQ(p, (std::vector<uint8_t>{0, 0, 1, 0, 0, 1}));
  table().unary({UnaryOp::kIsFinite, DType::kFloat32, f.data(), p.data(), 6}, exec());
  EXPECT_EQ(p, (std::vector<uint8_t>{1, 1, 0, 0, 0, 0}));
  table().unary({UnaryOp::kLogicalNot, DType::kBool, p.data(), p.data(), 6}, exec());
  EXPECT_EQ(p, (std::vector<uint8_t>{0, 0, 1, 1, 1, 1}));
}

// ---------------------------------------------------------------- binary

template <class T>
long double binary_reference(BinaryOp op, T xt, T yt) {
  const long double x = static_cast<long double>(xt);
  const long double y = static_cast<long double>(yt);
  const bool nan = std::isnan(x) || std::isnan(y);
  switch (op) {
    case BinaryOp::kAdd:
      return x + y;
    case BinaryOp::kSub:
      return x - y;
    case BinaryOp::kMul:
      return x * y;
    case BinaryOp::kDiv:
      return x / y;
    case BinaryOp::kMaximum:
      return nan ? kNan : std::max(x, y);
    case BinaryOp::kMinimum:
      return nan ? kNan : std::min(x, y);
    case BinaryOp::kPow:
      return std::pow(x, y);
    case BinaryOp::kFloorDiv:
      return std::floor(x / y);
    case BinaryOp::kMod:
      return x - y * std::floor(x / y);
    case BinaryOp::kSquaredDifference:
      return static_cast<long double>(static_cast<T>(xt - yt)) *
             static_cast<long double>(static_cast<T>(xt - yt));
    case BinaryOp::kAtan2:
      return std::atan2(x, y);
    case BinaryOp::kReluGrad:
      return y > 0 ? x : 0;
    case BinaryOp::kSigmoidGrad:
      return x * y * (1 - y);
    case BinaryOp::kTanhGrad:
      return x * (1 - y * y);
    case BinaryOp::kEqual:
      return x == y;
    case BinaryOp::kNotEqual:
      return x != y;
    case BinaryOp::kLess:
      return x < y;
    case BinaryOp::kLessEqual:
      return x <= y;
    case BinaryOp::kGreater:
      return x > y;
    case BinaryOp::kGreaterEqual:
      return x >= y;
    case BinaryOp::kLogicalAnd:
      return x != 0 && y != 0;
    case BinaryOp::kLogicalOr:
      return x != 0 || y != 0;
    default:
      return (x != 0) != (y != 0);
  }
}

template <class T>
std::vector<BinaryOp> arithmetic() {
  if constexpr (std::is_floating_point_v<T>) {
    return {BinaryOp::kAdd,         BinaryOp::kSub,     BinaryOp::kMul,
            BinaryOp::kMaximum,     BinaryOp::kMinimum, BinaryOp::kPow,
            BinaryOp::kFloorDiv,    BinaryOp::kMod,     BinaryOp::kSquaredDifference,
            BinaryOp::kDiv,         BinaryOp::kAtan2,   BinaryOp::kReluGrad,
            BinaryOp::kSigmoidGrad, BinaryOp::kTanhGrad};
  } else {
    return {BinaryOp::kAdd,      BinaryOp::kSub,     BinaryOp::kMul,
            BinaryOp::kMaximum,  BinaryOp::kMinimum, BinaryOp::kPow,
            BinaryOp::kFloorDiv, BinaryOp::kMod,     BinaryOp::kSquaredDifference};
  }
}

/// out over `shape` with explicit strides, by the reference.
template <class T, class Out>
void check_binary(BinaryOp op, std::vector<int64_t> shape, std::vector<int64_t> xs,
                  std::vector<int64_t> ys, const std::vector<T>& x, const std::vector<T>& y) {
  BinaryArgs args{};
  args.op = op;
  args.dtype = dtype_of<T>;
  args.rank = static_cast<int>(shape.size());
  int64_t n = 1;
  for (int d = 0; d < args.rank; ++d) {
    const auto k = static_cast<std::size_t>(d);
    args.shape[d] = shape[k];
    args.x_strides[d] = xs[k];
    args.y_strides[d] = ys[k];
    n *= shape[k];
  }
  Buffer<T> bx(x, 1), by(y, 3);
  Buffer<Out> out(n, 1);
  args.x = bx.data();
  args.y = by.data();
  args.out = out.data();
  table().binary(args, exec());
  ASSERT_TRUE(out.intact());
  for (int64_t i = 0; i < n; ++i) {
    int64_t rest = i, xi = 0, yi = 0;
    for (int d = args.rank - 1; d >= 0; --d) {
      const int64_t k = rest % args.shape[d];
      rest /= args.shape[d];
      xi += k * args.x_strides[d];
      yi += k * args.y_strides[d];
    }
    const T a = bx[xi];
    const T b = by[yi];
    // the same element alone
    Out one;
    BinaryArgs single = args;
    single.rank = 1;
    single.shape[0] = 1;
    single.x_strides[0] = single.y_strides[0] = 1;
    single.x = &a;
    single.y = &b;
    single.out = &one;
    table().binary(single, exec());
    ASSERT_EQ(std::memcmp(&one, &out[i], sizeof one), 0)
        << "op " << int(op) << " rank " << args.rank << " at " << i;
    const long double want = binary_reference(op, a, b);
    if constexpr (std::is_floating_point_v<Out>) {
      const bool loose = op == BinaryOp::kMod || op == BinaryOp::kPow ||
                         op == BinaryOp::kTanhGrad || op == BinaryOp::kSigmoidGrad;
      if (loose) {
        ASSERT_NEAR(double(one), double(want), 4 * kEps<Out> * (1 + std::fabs(double(want))))
            << int(op) << " " << a << " " << b;
      } else {
        ASSERT_LE(ulps(one, want), 2.1) << int(op) << " " << a << " " << b;
      }
    } else {
      ASSERT_EQ(static_cast<long double>(one), std::trunc(want)) << int(op) << " " << a << " " << b;
    }
  }
}

TYPED_TEST(KernelsNumber, BinaryShapes) {
  using T = TypeParam;
  const bool real = std::is_floating_point_v<T>;
  for (const BinaryOp op : arithmetic<T>()) {
    const auto values = [&](int64_t n, unsigned seed) {
      const bool pow = op == BinaryOp::kPow;
      std::vector<T> v = uniform<T>(n, real && !pow ? -2 : pow ? 0 : -9, pow ? 4 : 9, seed);
      if (!real && (op == BinaryOp::kFloorDiv || op == BinaryOp::kMod)) {
        for (T& a : v) a = a == T(0) ? T(5) : a;
      }
      return v;
    };
    for (const int64_t n : lengths<T>()) {
      check_binary<T, T>(op, {n}, {1}, {1}, values(n, 1), values(n, 2));
      check_binary<T, T>(op, {n}, {1}, {0}, values(n, 1), values(1, 2));
      check_binary<T, T>(op, {n}, {0}, {1}, values(1, 1), values(n, 2));
      check_binary<T, T>(op, {n}, {0}, {0}, values(1, 1), values(1, 2));
    }
    for (const int64_t c : {1, 3, 10, 17, 130}) {
      check_binary<T, T>(op, {7, c}, {c, 1}, {0, 1}, values(7 * c, 1), values(c, 2));
      check_binary<T, T>(op, {7, c}, {0, 1}, {c, 1}, values(c, 1), values(7 * c, 2));
      check_binary<T, T>(op, {7, c}, {c, 1}, {1, 0}, values(7 * c, 1), values(7, 2));
      check_binary<T, T>(op, {7, c}, {1, 0}, {0, 1}, values(7, 1), values(c, 2));
      check_binary<T, T>(op, {2, 3, c}, {3 * c, c, 1}, {c, 0, 1}, values(6 * c, 1),
                         values(2 * c, 2));
      check_binary<T, T>(op, {c, 5}, {1, c}, {5, 1}, values(5 * c, 1), values(5 * c, 2));
    }
    check_binary<T, T>(op, {}, {}, {}, values(1, 1), values(1, 2));
  }
}

TYPED_TEST(KernelsNumber, Comparisons) {
  using T = TypeParam;
  for (int op = int(BinaryOp::kEqual); op <= int(BinaryOp::kLogicalXor); ++op) {
    std::vector<T> x = uniform<T>(77, -3, 3, 1);
    std::vector<T> y = uniform<T>(77, -3, 3, 2);
    for (int i = 0; i < 40; ++i) x[std::size_t(i)] = T(std::trunc(x[std::size_t(i)]));
    for (int i = 0; i < 40; ++i) y[std::size_t(i)] = T(std::trunc(y[std::size_t(i)]));
    if constexpr (std::is_floating_point_v<T>) x[3] = y[9] = static_cast<T>(kNan);
    check_binary<T, uint8_t>(BinaryOp(op), {77}, {1}, {1}, x, y);
    check_binary<T, uint8_t>(BinaryOp(op), {7, 11}, {11, 1}, {0, 1}, x, y);
    check_binary<T, uint8_t>(BinaryOp(op), {77}, {0}, {1}, x, y);
  }
}

TEST(Kernels, BinarySpecialValues) {
  const auto run = []<class T>(BinaryOp op, T x, T y) {
    T out;
    BinaryArgs args{};
    args.op = op;
    args.dtype = dtype_of<T>;
    args.x = &x;
    args.y = &y;
    args.out = &out;
    args.rank = 0;
    table().binary(args, exec());
    return out;
  };
  const float nan = float(kNan);
  EXPECT_TRUE(std::isnan(run(BinaryOp::kMaximum, nan, 1.0f)));
  EXPECT_TRUE(std::isnan(run(BinaryOp::kMaximum, 1.0f, nan)));
  EXPECT_TRUE(std::isnan(run(BinaryOp::kMinimum, nan, 1.0f)));
  EXPECT_TRUE(std::isnan(run(BinaryOp::kMinimum, 1.0f, nan)));
  EXPECT_EQ(run(BinaryOp::kFloorDiv, int32_t(7), int32_t(0)), 0);
  EXPECT_EQ(run(BinaryOp::kMod, int32_t(7), int32_t(0)), 0);
  EXPECT_EQ(run(BinaryOp::kFloorDiv, int32_t(-7), int32_t(2)), -4);
  EXPECT_EQ(run(BinaryOp::kMod, int32_t(-7), int32_t(2)), 1);
  EXPECT_EQ(run(BinaryOp::kMod, int32_t(7), int32_t(-2)), -1);
  EXPECT_EQ(run(BinaryOp::kFloorDiv, std::numeric_limits<int32_t>::min(), int32_t(-1)),
            std::numeric_limits<int32_t>::min());
  EXPECT_EQ(run(BinaryOp::kPow, int32_t(2), int32_t(-1)), 0);
  EXPECT_EQ(run(BinaryOp::kPow, int64_t(-3), int64_t(3)), -27);
  EXPECT_EQ(run(BinaryOp::kMod, -7.5, 2.0), 0.5);
  EXPECT_EQ(run(BinaryOp::kFloorDiv, -7.5, 2.0), -4.0);
  EXPECT_EQ(run(BinaryOp::kFloorDiv, 1.0, 0.0), kInf);
  EXPECT_EQ(run(BinaryOp::kReluGrad, 3.0f, 0.0f), 0.0f);
}

TYPED_TEST(KernelsNumber, BinarySameForThreads) {
  using T = TypeParam;
  const std::vector<T> x = uniform<T>(200 * 777, -9, 9, 1);
  const std::vector<T> y = uniform<T>(777, 1, 9, 2);
  for (const int64_t cols : {777, 21}) {
    same_for_threads([&](const Exec& e) {
      std::vector<T> out(x.size());
      BinaryArgs args{};
      args.op = BinaryOp::kMul;
      args.dtype = dtype_of<T>;
      args.x = x.data();
      args.y = y.data();
      args.out = out.data();
      args.rank = 2;
      args.shape[0] = static_cast<int64_t>(x.size()) / cols;
      args.shape[1] = cols;
      args.x_strides[0] = cols;
      args.x_strides[1] = 1;
      args.y_strides[0] = 0;
      args.y_strides[1] = 1;
      table().binary(args, e);
      for (std::size_t i = 0; i < out.size(); i += 97) {
        EXPECT_EQ(out[i], x[i] * y[i % std::size_t(cols)]);
      }
      return out;
    });
  }
}

TYPED_TEST(KernelsNumber, Select) {
  using T = TypeParam;
  const int64_t rows = 5, cols = 37;
  std::vector<uint8_t> c(rows * cols);
  for (std::size_t i = 0; i < c.size(); ++i) c[i] = i % 3 == 0;
  const std::vector<T> x = uniform<T>(rows * cols, -9, 9, 1);
  const std::vector<T> y = uniform<T>(rows * cols, -9, 9, 2);
  for (int form = 0; form < 8; ++form) {
    SelectArgs args{};
    args.dtype = dtype_of<T>;
    args.rank = 2;
    args.shape[0] = rows;
    args.shape[1] = cols;
    const auto strides = [&](int64_t* s, bool broadcast) {
      s[0] = broadcast ? 1 : cols;
      s[1] = broadcast ? 0 : 1;
    };
    strides(args.c_strides, (form & 1) != 0);
    strides(args.x_strides, (form & 2) != 0);
    strides(args.y_strides, (form & 4) != 0);
    Buffer<T> out(rows * cols, 1);
    args.cond = c.data();
    args.x = x.data();
    args.y = y.data();
    args.out = out.data();
    table().select(args, exec());
    ASSERT_TRUE(out.intact());
    for (int64_t i = 0; i < rows * cols; ++i) {
      const auto at = [&](const int64_t* s) {
        return std::size_t(i / cols * s[0] + i % cols * s[1]);
      };
      ASSERT_EQ(out[i], c[at(args.c_strides)] ? x[at(args.x_strides)] : y[at(args.y_strides)]);
    }
  }
}

TEST(Kernels, Cast) {
  const std::vector<double> values = {0,    1,     -1,   2.9,  -2.9,  1e10, -1e10,
                                      1e30, -1e30, kNan, kInf, -kInf, 0.5,  300};
  std::vector<float> f(values.begin(), values.end());
  const auto n = static_cast<int64_t>(f.size());
  std::vector<int32_t> i32(f.size());
  table().cast({DType::kFloat32, DType::kInt32, f.data(), i32.data(), n}, exec());
  constexpr int32_t kMax = std::numeric_limits<int32_t>::max();
  constexpr int32_t kMin = std::numeric_limits<int32_t>::min();
  EXPECT_EQ(i32,
            (std::vector<int32_t>{0, 1, -1, 2, -2, kMax, kMin, kMax, kMin, 0, kMax, kMin, 0, 300}));
  std::vector<int64_t> i64(f.size());
  table().cast({DType::kFloat64, DType::kInt64, values.data(), i64.data(), n}, exec());
  EXPECT_EQ(i64[5], 10000000000);
  EXPECT_EQ(i64[7], std::numeric_limits<int64_t>::max());
  EXPECT_EQ(i64[8], std::numeric_limits<int64_t>::min());
  EXPECT_EQ(i64[9], 0);
  std::vector<uint8_t> u8(f.size());
  table().cast({DType::kFloat32, DType::kUint8, f.data(), u8.data(), n}, exec());
  EXPECT_EQ(u8, (std::vector<uint8_t>{0, 1, 0, 2, 0, 255, 0, 255, 0, 0, 255, 0, 0, 255}));
  table().cast({DType::kFloat32, DType::kBool, f.data(), u8.data(), n}, exec());
  EXPECT_EQ(u8, (std::vector<uint8_t>{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}));
  std::vector<double> back(f.size());
  table().cast({DType::kInt32, DType::kFloat64, i32.data(), back.data(), n}, exec());
  EXPECT_EQ(back[5], kMax);
  // every pair at every length
  for (int from = 0; from < int(kDTypeCount); ++from) {
    for (int to = 0; to < int(kDTypeCount); ++to) {
      for (const int64_t m : {0, 1, 15, 16, 17, 49, 1000}) {
        std::vector<double> x(static_cast<std::size_t>(m));
        std::vector<double> y(x.size());
        for (std::size_t k = 0; k < x.size(); ++k) x[k] = double(k % 2);
        std::vector<double> mid(x.size()), mid2(x.size());
        table().cast({DType::kFloat64, DType(from), x.data(), mid.data(), m}, exec());
        table().cast({DType(from), DType(to), mid.data(), mid2.data(), m}, exec());
        table().cast({DType(to), DType::kFloat64, mid2.data(), y.data(), m}, exec());
        ASSERT_EQ(x, y) << from << " " << to;
      }
    }
  }
}

TYPED_TEST(KernelsNumber, FillAndIota) {
  using T = TypeParam;
  for (const int64_t n : lengths<T>()) {
    Buffer<T> y(n, 1);
    table().fill({dtype_of<T>, y.data(), n, 7}, exec());
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], T(7));
    table().iota({dtype_of<T>, y.data(), n, -3, 2}, exec());
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], T(-3 + 2 * i));
    ASSERT_TRUE(y.intact());
  }
}

// ---------------------------------------------------------------- fused

TYPED_TEST(KernelsFloat, FusedEqualsSeparate) {
  using T = TypeParam;
  std::mt19937 engine(3);
  const auto pick = [&](int n) { return static_cast<int>(engine() % static_cast<unsigned>(n)); };
  const UnaryOp unaries[] = {UnaryOp::kNeg,  UnaryOp::kTanh,     UnaryOp::kSigmoid, UnaryOp::kRelu,
                             UnaryOp::kExp,  UnaryOp::kSquare,   UnaryOp::kClip,    UnaryOp::kGelu,
                             UnaryOp::kSilu, UnaryOp::kSoftplus, UnaryOp::kElu};
  const BinaryOp binaries[] = {BinaryOp::kAdd,      BinaryOp::kSub,
                               BinaryOp::kMul,      BinaryOp::kMaximum,
                               BinaryOp::kReluGrad, BinaryOp::kSigmoidGrad,
                               BinaryOp::kTanhGrad, BinaryOp::kSquaredDifference};
  const std::vector<std::pair<int64_t, int64_t>> shapes = {
      {1, 1},   {1, 31},  {1, 700},  {3, 5}, {200, 10},
      {9, 512}, {5, 513}, {3, 2000}, {1, 0}, {700, 130}};
  for (int trial = 0; trial < 120; ++trial) {
    const auto [rows, cols] = shapes[static_cast<std::size_t>(trial) % shapes.size()];
    const int64_t n = rows * cols;
    FusedArgs args{};
    args.dtype = dtype_of<T>;
    args.rows = rows;
    args.cols = cols;
    args.n_inputs = 1 + pick(kMaxFusedInputs);
    std::vector<std::vector<T>> inputs;
    std::vector<std::vector<T>> values;  // every value at full size
    for (int v = 0; v < args.n_inputs; ++v) {
      args.access[v] = v == 0 ? FusedAccess::kElement : FusedAccess(pick(4));
      const int64_t size = args.access[v] == FusedAccess::kElement  ? n
                           : args.access[v] == FusedAccess::kScalar ? 1
                           : args.access[v] == FusedAccess::kRow    ? cols
                                                                    : rows;
      inputs.push_back(uniform<T>(size, -2, 2, unsigned(engine())));
      std::vector<T> full(static_cast<std::size_t>(n));
      for (int64_t i = 0; i < n; ++i) {
        const int64_t at = args.access[v] == FusedAccess::kElement  ? i
                           : args.access[v] == FusedAccess::kScalar ? 0
                           : args.access[v] == FusedAccess::kRow    ? i % cols
                                                                    : i / cols;
        full[static_cast<std::size_t>(i)] = inputs.back()[static_cast<std::size_t>(at)];
      }
      values.push_back(full);
    }
    args.n_instr = 1 + pick(kMaxFused);
    for (int i = 0; i < args.n_instr; ++i) {
      FusedInstr& in = args.instr[i];
      const int known = args.n_inputs + i;
      in.binary = pick(2) == 0;
      in.unary = unaries[pick(int(std::size(unaries)))];
      in.bin = binaries[pick(int(std::size(binaries)))];
      in.x = static_cast<std::int16_t>(pick(3) != 0 ? known - 1 : pick(known));
      in.y = static_cast<std::int16_t>(pick(known));
      in.a = -0.5;
      in.b = 0.75;
      std::vector<T> out(static_cast<std::size_t>(n));
      const T* x = values[static_cast<std::size_t>(in.x)].data();
      const T* y = values[static_cast<std::size_t>(in.y)].data();
      if (in.binary) {
        BinaryArgs b{};
        b.op = in.bin;
        b.dtype = args.dtype;
        b.x = x;
        b.y = y;
        b.out = out.data();
        b.rank = 1;
        b.shape[0] = n;
        b.x_strides[0] = b.y_strides[0] = 1;
        table().binary(b, exec());
      } else {
        table().unary({in.unary, args.dtype, x, out.data(), n, in.a, in.b}, exec());
      }
      values.push_back(out);
    }
    args.n_outputs = 1 + pick(kMaxFusedOutputs);
    for (int k = 0; k < args.n_outputs; ++k) {
      args.out_value[k] = static_cast<std::int16_t>(k == 0 ? args.n_inputs + args.n_instr - 1
                                                           : pick(args.n_inputs + args.n_instr));
    }
    const bool in_place = pick(2) == 0;
    for (const int threads : {1, 3}) {
      std::vector<Buffer<T>> in_copies;
      for (int v = 0; v < args.n_inputs; ++v) {
        in_copies.emplace_back(inputs[static_cast<std::size_t>(v)], v % 3);
      }
      for (int v = 0; v < args.n_inputs; ++v) {
        args.inputs[v] = in_copies[static_cast<std::size_t>(v)].data();
      }
      std::vector<Buffer<T>> outs;
      for (int k = 0; k < args.n_outputs; ++k) outs.emplace_back(n, k % 2);
      for (int k = 0; k < args.n_outputs; ++k) {
        args.outputs[k] = outs[static_cast<std::size_t>(k)].data();
      }
      // the first output may lie over the first input, unless another output is that input
      bool over = in_place;
      for (int k = 1; k < args.n_outputs; ++k) over = over && args.out_value[k] != 0;
      if (over) args.outputs[0] = in_copies[0].data();
      table().fused(args, exec(threads));
      for (int k = 0; k < args.n_outputs; ++k) {
        const auto got =
            k == 0 && over ? in_copies[0].vector() : outs[static_cast<std::size_t>(k)].vector();
        ASSERT_TRUE(same_bits(got, values[static_cast<std::size_t>(args.out_value[k])]))
            << "trial " << trial << " output " << k << " threads " << threads;
        ASSERT_TRUE(outs[static_cast<std::size_t>(k)].intact());
      }
      for (const auto& b : in_copies) ASSERT_TRUE(b.intact());
    }
  }
}

// ---------------------------------------------------------------- moving data

template <class U>
void check_copy(const std::vector<int64_t>& shape, const std::vector<int64_t>& ss,
                const std::vector<int64_t>& ds, int64_t src_start, int64_t dst_start,
                int64_t src_size, int64_t dst_size) {
  std::vector<U> src(static_cast<std::size_t>(src_size));
  for (std::size_t i = 0; i < src.size(); ++i) src[i] = static_cast<U>(i * 2654435761u + 1);
  Buffer<U> dst(dst_size, 1);
  std::vector<U> want = dst.vector();
  StridedCopyArgs args{};
  args.item_size = sizeof(U);
  args.rank = static_cast<int>(shape.size());
  int64_t n = 1;
  for (int d = 0; d < args.rank; ++d) {
    const auto k = static_cast<std::size_t>(d);
    args.shape[d] = shape[k];
    args.src_strides[d] = ss[k];
    args.dst_strides[d] = ds[k];
    n *= shape[k];
  }
  for (int64_t i = 0; i < n; ++i) {
    int64_t rest = i, si = src_start, di = dst_start;
    for (int d = args.rank - 1; d >= 0; --d) {
      const int64_t k = rest % args.shape[d];
      rest /= args.shape[d];
      si += k * args.src_strides[d];
      di += k * args.dst_strides[d];
    }
    want[static_cast<std::size_t>(di)] = src[static_cast<std::size_t>(si)];
  }
  args.src = src.data() + src_start;
  args.dst = dst.data() + dst_start;
  table().strided_copy(args, exec(3));
  ASSERT_TRUE(dst.intact());
  ASSERT_EQ(dst.vector(), want);
}

template <class U>
void check_copies() {
  for (const int64_t a : {1, 2, 7, 16, 33, 100}) {
    for (const int64_t b : {1, 3, 8, 17, 64, 129}) {
      check_copy<U>({b, a}, {1, b}, {a, 1}, 0, 0, a * b, a * b);  // transpose
      check_copy<U>({a, b}, {b, 1}, {1, a}, 0, 0, a * b, a * b);  // the same, other axis order
      check_copy<U>({a, b}, {b, 1}, {b + 3, 1}, 0, 2, a * b, a * (b + 3));    // pad
      check_copy<U>({a, b}, {2 * b, 2}, {b, 1}, 1, 0, 2 * a * b + 2, a * b);  // step slice
      check_copy<U>({a, b}, {b, -1}, {b, 1}, b - 1, 0, a * b, a * b);         // flip
      check_copy<U>({a, b}, {b, 1}, {b, -1}, 0, b - 1, a * b, a * b);
      check_copy<U>({a, b}, {0, 1}, {b, 1}, 0, 0, b, a * b);  // broadcast
      check_copy<U>({a, b}, {1, 0}, {b, 1}, 0, 0, a, a * b);  // repeat
      check_copy<U>({3, a, b}, {a * b, 1, a}, {a * b, b, 1}, 0, 0, 3 * a * b, 3 * a * b);
      check_copy<U>({b, 3, a}, {a, a * b, 1}, {3 * a, a, 1}, 0, 0, 3 * a * b, 3 * a * b);
    }
  }
  check_copy<U>({}, {}, {}, 0, 0, 1, 1);
  check_copy<U>({0, 5}, {5, 1}, {5, 1}, 0, 0, 1, 1);
  check_copy<U>({2, 3, 4, 5}, {1, 2, 6, 24}, {60, 20, 5, 1}, 0, 0, 120, 120);
  check_copy<U>({700, 301}, {1, 700}, {301, 1}, 0, 0, 210700, 210700);
}
TEST(Kernels, StridedCopy) {
  check_copies<uint8_t>();
  check_copies<std::uint32_t>();
  check_copies<std::uint64_t>();
}

TYPED_TEST(KernelsNumber, GatherScatterOneHot) {
  using T = TypeParam;
  for (const int64_t inner : {1, 2, 7, 16, 33}) {
    const int64_t outer = 3, axis = 50;
    const std::vector<T> x = uniform<T>(outer * axis * inner, -9, 9);
    std::vector<int32_t> index;
    std::mt19937 engine(5);
    for (int i = 0; i < 333; ++i) index.push_back(static_cast<int32_t>(engine() % 100) - 50);
    const auto n = static_cast<int64_t>(index.size());
    const auto row = [&](std::size_t j) { return (index[j] + axis) % axis; };
    const auto gathered = same_for_threads([&](const Exec& e) {
      Buffer<T> y(outer * n * inner, 1);
      table().gather(
          {sizeof(T), DType::kInt32, x.data(), index.data(), y.data(), outer, axis, inner, n}, e);
      EXPECT_TRUE(y.intact());
      return y.vector();
    });
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t i = 0; i < inner; ++i) {
          ASSERT_EQ(gathered[std::size_t((o * n + j) * inner + i)],
                    x[std::size_t((o * axis + row(std::size_t(j))) * inner + i)]);
        }
      }
    }
    std::vector<T> want(x.size(), T(0));
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t i = 0; i < inner; ++i) {
          T& w = want[std::size_t((o * axis + row(std::size_t(j))) * inner + i)];
          w = static_cast<T>(w + gathered[std::size_t((o * n + j) * inner + i)]);
        }
      }
    }
    const std::vector<int64_t> index64(index.begin(), index.end());
    const auto scattered = same_for_threads([&](const Exec& e) {
      Buffer<T> y(outer * axis * inner, 1);
      table().scatter_add({dtype_of<T>, DType::kInt64, gathered.data(), index64.data(), y.data(),
                           outer, axis, inner, n},
                          e);
      EXPECT_TRUE(y.intact());
      return y.vector();
    });
    ASSERT_TRUE(same_bits(scattered, want));
  }
  EXPECT_EQ(fault, 0);
  const std::vector<int64_t> index = {1, 7, -1, -9, 0};
  std::vector<T> x = {1, 2, 3}, y(5);
  table().gather({sizeof(T), DType::kInt64, x.data(), index.data(), y.data(), 1, 3, 1, 5}, exec());
  EXPECT_EQ(fault, int(Fault::kIndexOutOfRange));
  EXPECT_EQ(y, (std::vector<T>{2, 1, 3, 1, 1}));
  fault = 0;
  std::vector<T> g = {1, 2, 4, 8, 16}, z(3);
  table().scatter_add({dtype_of<T>, DType::kInt64, g.data(), index.data(), z.data(), 1, 3, 1, 5},
                      exec());
  EXPECT_EQ(fault, int(Fault::kIndexOutOfRange));
  EXPECT_EQ(z, (std::vector<T>{16, 1, 4}));
  fault = 0;
  std::vector<T> hot(15);
  table().one_hot({dtype_of<T>, DType::kInt64, index.data(), hot.data(), 5, 3}, exec());
  EXPECT_EQ(hot, (std::vector<T>{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}));
  EXPECT_EQ(fault, 0);
  table().one_hot({dtype_of<T>, DType::kInt64, index.data(), hot.data(), 5, 3, true}, exec());
  EXPECT_EQ(fault, int(Fault::kIndexOutOfRange));
  fault = 0;
}

TEST(Kernels, Feed) {
  std::vector<uint8_t> images(10 * 20);
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<uint8_t>(i);
  const std::vector<int64_t> index = {9, 0, 3};
  std::vector<float> batch(3 * 17);
  table().feed(
      {DType::kUint8, DType::kFloat32, images.data(), batch.data(), index.data(), 0, 3, 17, 20},
      exec());
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t k = 0; k < 17; ++k) {
      ASSERT_EQ(batch[std::size_t(i * 17 + k)],
                float(images[std::size_t(index[std::size_t(i)] * 20 + k)]));
    }
  }
  std::vector<double> data = uniform<double>(60, 0, 1);
  table().feed({DType::kFloat64, DType::kFloat32, data.data(), batch.data(), nullptr, 4, 3, 5, 40},
               exec());
  for (int64_t i = 0; i < 15; ++i)
    ASSERT_EQ(batch[std::size_t(i)], float(data[std::size_t(20 + i)]));
  std::vector<double> same(15);
  table().feed({DType::kFloat64, DType::kFloat64, data.data(), same.data(), nullptr, 4, 3, 5, 40},
               exec());
  for (int64_t i = 0; i < 15; ++i) ASSERT_EQ(same[std::size_t(i)], data[std::size_t(20 + i)]);
}

// Rows of 4, 8 and 16 bytes, short and long ones, few and many; in order and shuffled; dense, with
// gaps between them, and sliding windows that overlap.
TEST(Kernels, FeedOfEveryLength) {
  for (const int64_t items : {1, 2, 3, 4, 5, 300, 700}) {
    for (const int64_t n : {1, 30, 70}) {
      for (const int64_t gap : {int64_t{0}, int64_t{3}, items / 4 - items}) {
        const int64_t stride = items + gap;
        const auto data = uniform<float>(80 * stride + items, -9, 9);
        std::vector<int64_t> index(static_cast<std::size_t>(n));
        for (int64_t i = 0; i < n; ++i) index[std::size_t(i)] = (i * 37 + 11) % 80;
        for (const bool shuffled : {false, true}) {
          std::vector<float> y(std::size_t(n * items));
          std::vector<double> wide(y.size());
          const int64_t* order = shuffled ? index.data() : nullptr;
          table().feed({DType::kFloat32, DType::kFloat32, data.data(), y.data(), order, 7, n, items,
                        stride * 4},
                       exec());
          table().feed({DType::kFloat32, DType::kFloat64, data.data(), wide.data(), order, 7, n,
                        items, stride * 4},
                       exec());
          for (int64_t i = 0; i < n; ++i) {
            const int64_t row = shuffled ? index[std::size_t(i)] : 7 + i;
            for (int64_t k = 0; k < items; ++k) {
              const float want = data[std::size_t(row * stride + k)];
              ASSERT_EQ(y[std::size_t(i * items + k)], want) << items << " " << n << " " << gap;
              ASSERT_EQ(wide[std::size_t(i * items + k)], double(want));
            }
          }
        }
      }
    }
  }
}

// ---------------------------------------------------------------- reductions

template <class T, class Y>
std::vector<Y> reduce(ReduceOp op, const std::vector<T>& x, int64_t outer, int64_t n, int64_t inner,
                      const Exec& e, int shift = 1) {
  Buffer<T> bx(x, shift);
  Buffer<Y> y(outer * inner, shift);
  ReduceArgs args{op, dtype_of<T>, bx.data(), y.data(), outer, n, inner, nullptr};
  std::vector<double> workspace(table().reduce_workspace(args) / 8 + 8, kNan);
  args.workspace = workspace.data();
  table().reduce(args, e);
  EXPECT_TRUE(y.intact());
  return y.vector();
}

template <class T>
long double reduce_reference(ReduceOp op, const std::vector<long double>& v) {
  using L = long double;
  L acc = 0;
  switch (op) {
    case ReduceOp::kSum:
    case ReduceOp::kMean:
      for (const L x : v) acc += x;
      return op == ReduceOp::kMean ? acc / static_cast<L>(v.size()) : acc;
    case ReduceOp::kProd:
      acc = 1;
      for (const L x : v) acc *= x;
      return acc;
    case ReduceOp::kSumSquares:
      for (const L x : v) acc += x * x;
      return acc;
    case ReduceOp::kMax:
      return v.empty() ? -static_cast<L>(kInf) : *std::max_element(v.begin(), v.end());
    case ReduceOp::kMin:
      return v.empty() ? static_cast<L>(kInf) : *std::min_element(v.begin(), v.end());
    case ReduceOp::kLogSumExp:
      for (const L x : v) acc += std::exp(x);
      return std::log(acc);
    default:
      return 0;
  }
}

TYPED_TEST(KernelsNumber, Reduce) {
  using T = TypeParam;
  constexpr bool kReal = std::is_floating_point_v<T>;
  std::vector<ReduceOp> ops = {ReduceOp::kSum, ReduceOp::kProd, ReduceOp::kMax, ReduceOp::kMin,
                               ReduceOp::kSumSquares};
  if (kReal) ops.insert(ops.end(), {ReduceOp::kMean, ReduceOp::kLogSumExp});
  struct Shape {
    int64_t outer, n, inner;
  };
  std::vector<Shape> shapes = {{1, 5000, 1},  {70, 33, 1},  {2, 70000, 1}, {1, 300, 10},
                               {1, 4000, 3},  {3, 500, 64}, {1, 9000, 40}, {2, 7, 129},
                               {4, 130, 257}, {1, 2000, 16}};
  for (const int64_t n : lengths<T>()) {
    if (n == 0) continue;
    shapes.push_back({3, n, 1});
    shapes.push_back({1, 5, n});
    shapes.push_back({2, n, 3});
  }
  for (const ReduceOp op : ops) {
    for (const Shape& s : shapes) {
      const bool product = op == ReduceOp::kProd;
      std::vector<T> x = uniform<T>(s.outer * s.n * s.inner, kReal ? -2 : -9, kReal ? 2 : 9, 11);
      if (product) {
        for (T& v : x) v = kReal ? T(1) + v / T(200) : (v > 5 ? T(-1) : T(1));
      }
      const auto got = same_for_threads(
          [&](const Exec& e) { return reduce<T, T>(op, x, s.outer, s.n, s.inner, e); });
      ASSERT_TRUE(same_bits(got, reduce<T, T>(op, x, s.outer, s.n, s.inner, exec(), 0)));
      for (int64_t o = 0; o < s.outer; ++o) {
        for (int64_t i = 0; i < s.inner; ++i) {
          std::vector<long double> v;
          long double size = 1;
          for (int64_t j = 0; j < s.n; ++j) {
            v.push_back(static_cast<long double>(x[std::size_t((o * s.n + j) * s.inner + i)]));
            size += std::fabs(v.back()) * (op == ReduceOp::kSumSquares ? std::fabs(v.back()) : 1);
          }
          const long double want = reduce_reference<T>(op, v);
          const T y = got[std::size_t(o * s.inner + i)];
          if constexpr (kReal) {
            const double scale = product || op == ReduceOp::kLogSumExp
                                     ? 1 + std::fabs(double(want)) * (product ? double(s.n) : 1)
                                     : double(size);
            ASSERT_NEAR(double(y), double(want), 6 * kEps<T> * scale)
                << int(op) << " " << s.outer << " " << s.n << " " << s.inner;
          } else {
            ASSERT_EQ(static_cast<long double>(y), want);
          }
        }
      }
    }
  }
  // nothing to reduce: the identity
  EXPECT_EQ((reduce<T, T>(ReduceOp::kSum, {}, 2, 0, 3, exec())), std::vector<T>(6, T(0)));
  EXPECT_EQ((reduce<T, T>(ReduceOp::kProd, {}, 2, 0, 1, exec())), std::vector<T>(2, T(1)));
}

TYPED_TEST(KernelsFloat, ReduceSpecialValues) {
  using T = TypeParam;
  const T nan = static_cast<T>(kNan);
  const T inf = static_cast<T>(kInf);
  for (const int64_t inner : {1, 5, 70}) {
    for (const int64_t at : {0, 17, 39}) {
      std::vector<T> x = uniform<T>(40 * inner, -2, 2);
      x[std::size_t(at * inner)] = nan;
      for (const ReduceOp op :
           {ReduceOp::kMax, ReduceOp::kMin, ReduceOp::kSum, ReduceOp::kLogSumExp}) {
        const auto y = reduce<T, T>(op, x, 1, 40, inner, exec());
        EXPECT_TRUE(std::isnan(y[0])) << int(op) << " inner " << inner << " at " << at;
        for (int64_t i = 1; i < inner; ++i) EXPECT_FALSE(std::isnan(y[std::size_t(i)]));
      }
      EXPECT_EQ((reduce<T, int32_t>(ReduceOp::kArgMax, x, 1, 40, inner, exec())[0]), at);
      EXPECT_EQ((reduce<T, int32_t>(ReduceOp::kArgMin, x, 1, 40, inner, exec())[0]), at);
    }
    const std::vector<T> low(std::size_t(100 * inner), -inf);
    EXPECT_EQ((reduce<T, T>(ReduceOp::kLogSumExp, low, 1, 100, inner, exec())[0]), -inf);
    EXPECT_EQ((reduce<T, T>(ReduceOp::kMax, low, 1, 100, inner, exec())[0]), -inf);
    std::vector<T> high(std::size_t(100 * inner), T(1));
    high[std::size_t(50 * inner)] = inf;
    EXPECT_EQ((reduce<T, T>(ReduceOp::kLogSumExp, high, 1, 100, inner, exec())[0]), inf);
  }
  // large shifts do not overflow; chunks of -Inf do not disturb the others
  std::vector<T> x(200000, -inf);
  x[150000] = T(-5000);
  x[150001] = T(-5000);
  EXPECT_NEAR(double(reduce<T, T>(ReduceOp::kLogSumExp, x, 1, 200000, 1, exec())[0]),
              -5000 + std::log(2.0), 1e-3);
  EXPECT_TRUE(std::isnan(reduce<T, T>(ReduceOp::kMean, {}, 1, 0, 1, exec())[0]));
}

TEST(Kernels, LongFloatSum) {
  const std::vector<float> x = uniform<float>(3000000, 0, 1);
  double want = 0;
  for (const float v : x) want += v;
  const auto y = same_for_threads(
      [&](const Exec& e) { return reduce<float, float>(ReduceOp::kSum, x, 1, 3000000, 1, e); });
  EXPECT_NEAR(y[0], want, want * 2e-7);
  const auto columns = same_for_threads(
      [&](const Exec& e) { return reduce<float, float>(ReduceOp::kSum, x, 1, 1000000, 3, e); });
  EXPECT_NEAR(columns[0] + columns[1] + columns[2], want, want * 3e-7);
}

TYPED_TEST(KernelsNumber, ArgMax) {
  using T = TypeParam;
  for (const int64_t inner : {1, 4, 200}) {
    for (const int64_t n : {1, 9, 64, 100, 1000}) {
      std::vector<T> x = uniform<T>(3 * n * inner, -50, 50, 9);
      for (T& v : x) v = T(std::trunc(v));
      const auto top = same_for_threads(
          [&](const Exec& e) { return reduce<T, int32_t>(ReduceOp::kArgMax, x, 3, n, inner, e); });
      const auto low = reduce<T, int32_t>(ReduceOp::kArgMin, x, 3, n, inner, exec());
      for (int64_t o = 0; o < 3; ++o) {
        for (int64_t i = 0; i < inner; ++i) {
          int32_t a = 0, b = 0;
          const auto at = [&](int64_t j) { return x[std::size_t((o * n + j) * inner + i)]; };
          for (int64_t j = 1; j < n; ++j) {
            if (at(j) > at(a)) a = int32_t(j);
            if (at(j) < at(b)) b = int32_t(j);
          }
          ASSERT_EQ(top[std::size_t(o * inner + i)], a);
          ASSERT_EQ(low[std::size_t(o * inner + i)], b);
        }
      }
    }
  }
}

TEST(Kernels, AnyAll) {
  for (const int64_t inner : {1, 3}) {
    for (const int64_t n : {0, 1, 100}) {
      std::vector<uint8_t> zeros(std::size_t(n * inner), 0), ones(std::size_t(n * inner), 1);
      const auto run = [&](ReduceOp op, const std::vector<uint8_t>& x) {
        std::vector<uint8_t> y(std::size_t(inner), 9);
        ReduceArgs args{op, DType::kBool, x.data(), y.data(), 1, n, inner, nullptr};
        EXPECT_EQ(table().reduce_workspace(args), 0u);
        table().reduce(args, exec());
        return int(y[0]);
      };
      EXPECT_EQ(run(ReduceOp::kAny, zeros), 0);
      EXPECT_EQ(run(ReduceOp::kAll, ones), 1);
      EXPECT_EQ(run(ReduceOp::kAny, ones), n > 0);
      EXPECT_EQ(run(ReduceOp::kAll, zeros), n == 0);
      if (n == 100) {
        zeros[std::size_t(70 * inner)] = 1;
        ones[std::size_t(70 * inner)] = 0;
        EXPECT_EQ(run(ReduceOp::kAny, zeros), 1);
        EXPECT_EQ(run(ReduceOp::kAll, ones), 0);
      }
    }
  }
}

TYPED_TEST(KernelsNumber, Scan) {
  using T = TypeParam;
  for (const int64_t inner : {1, 3, 16, 100}) {
    for (const int64_t n : {0, 1, 50}) {
      const std::vector<T> x = uniform<T>(2 * n * inner, 1, 3, 4);
      for (const ScanOp op : {ScanOp::kCumSum, ScanOp::kCumProd}) {
        const auto y = same_for_threads([&](const Exec& e) {
          Buffer<T> out(2 * n * inner, 1);
          table().scan({op, dtype_of<T>, x.data(), out.data(), 2, n, inner}, e);
          EXPECT_TRUE(out.intact());
          return out.vector();
        });
        for (int64_t o = 0; o < 2; ++o) {
          for (int64_t i = 0; i < inner; ++i) {
            T acc = op == ScanOp::kCumSum ? T(0) : T(1);
            for (int64_t j = 0; j < n; ++j) {
              const auto at = std::size_t((o * n + j) * inner + i);
              if constexpr (std::is_floating_point_v<T>) {
                acc = op == ScanOp::kCumSum ? acc + x[at] : acc * x[at];
              } else {
                using U = std::make_unsigned_t<T>;
                acc = static_cast<T>(op == ScanOp::kCumSum ? U(acc) + U(x[at]) : U(acc) * U(x[at]));
              }
              ASSERT_EQ(y[at], acc);
            }
          }
        }
      }
    }
  }
}

// ---------------------------------------------------------------- softmax

TYPED_TEST(KernelsFloat, Softmax) {
  using T = TypeParam;
  using L = long double;
  auto all = lengths<T>();
  all.push_back(5000);
  for (const int64_t cols : all) {
    if (cols == 0) continue;
    const int64_t rows = 13;
    const std::vector<T> z = uniform<T>(rows * cols, -8, 8, 1);
    const std::vector<T> g = uniform<T>(rows * cols, -1, 1, 2);
    std::vector<T> t = uniform<T>(rows * cols, 0, 2 / double(cols), 3);
    std::vector<L> soft, log_soft, dx, dx_log, loss;
    for (int64_t r = 0; r < rows; ++r) {
      const auto at = [&](const std::vector<T>& v, int64_t c) {
        return L(v[std::size_t(r * cols + c)]);
      };
      L s = 0, sum_g = 0, dot = 0, l = 0;
      for (int64_t c = 0; c < cols; ++c) s += std::exp(at(z, c));
      for (int64_t c = 0; c < cols; ++c) {
        soft.push_back(std::exp(at(z, c)) / s);
        log_soft.push_back(at(z, c) - std::log(s));
        sum_g += at(g, c);
        dot += at(g, c) * soft.back();
        l -= at(t, c) * log_soft.back();
      }
      loss.push_back(l);
      for (int64_t c = 0; c < cols; ++c) {
        const L y = soft[std::size_t(r * cols + c)];
        dx.push_back(y * (at(g, c) - dot));
        dx_log.push_back(at(g, c) - y * sum_g);
      }
    }
    for (const bool log : {false, true}) {
      const auto y = same_for_threads([&](const Exec& e) {
        Buffer<T> out(rows * cols, 1);
        table().softmax({dtype_of<T>, log, z.data(), out.data(), rows, cols}, e);
        EXPECT_TRUE(out.intact());
        return out.vector();
      });
      close(y, log ? log_soft : soft, 8 * kEps<T>, log ? "log_softmax" : "softmax");
      Buffer<T> in_place(z);
      table().softmax({dtype_of<T>, log, in_place.data(), in_place.data(), rows, cols}, exec());
      ASSERT_TRUE(same_bits(in_place.vector(), y));
      Buffer<T> d(g, 1);
      table().softmax_grad({dtype_of<T>, log, y.data(), d.data(), d.data(), rows, cols}, exec());
      ASSERT_TRUE(d.intact());
      close(d.vector(), log ? dx_log : dx, 16 * kEps<T>, "softmax_grad");
    }
    Buffer<T> probs(rows * cols, 1), losses(rows, 1);
    table().softmax_cross_entropy(
        {dtype_of<T>, z.data(), t.data(), losses.data(), probs.data(), rows, cols}, exec());
    ASSERT_TRUE(probs.intact() && losses.intact());
    close(probs.vector(), soft, 8 * kEps<T>, "probs");
    close(losses.vector(), loss, 16 * kEps<T>, "loss");
  }
}

TYPED_TEST(KernelsFloat, SoftmaxSpecialValues) {
  using T = TypeParam;
  const T inf = static_cast<T>(kInf);
  for (const std::size_t cols : {3u, 40u}) {
    std::vector<T> x(cols, T(1)), y(cols);
    const auto run = [&](bool log) {
      table().softmax({dtype_of<T>, log, x.data(), y.data(), 1, int64_t(cols)}, exec());
      return y;
    };
    x[2] = -inf;
    EXPECT_EQ(run(false)[2], T(0));
    EXPECT_NEAR(double(run(false)[0]), 1.0 / double(cols - 1), 1e-6);
    EXPECT_EQ(run(true)[2], -inf);
    std::vector<T> t(cols, T(0)), p(cols), loss(1);
    t[0] = T(1);
    table().softmax_cross_entropy(
        {dtype_of<T>, x.data(), t.data(), loss.data(), p.data(), 1, int64_t(cols)}, exec());
    EXPECT_NEAR(double(loss[0]), std::log(double(cols - 1)), 1e-6);
    x[1] = static_cast<T>(kNan);
    for (const bool log : {false, true}) {
      for (const T v : run(log)) EXPECT_TRUE(std::isnan(v));
    }
    std::fill(x.begin(), x.end(), -inf);
    for (const T v : run(false)) EXPECT_TRUE(std::isnan(v));
    std::fill(x.begin(), x.end(), T(1e30));
    EXPECT_NEAR(double(run(false)[0]), 1.0 / double(cols), 1e-6);
  }
}

// ---------------------------------------------------------------- normalization

TYPED_TEST(KernelsFloat, BatchNorm) {
  using T = TypeParam;
  using L = long double;
  struct Shape {
    int64_t rows, c;
  };
  for (const Shape s :
       {Shape{1, 5}, {32, 1}, {33, 3}, {100, 16}, {9000, 7}, {300, 70}, {64, 1100}}) {
    const int64_t n = s.rows * s.c;
    std::vector<T> x = uniform<T>(n, 90, 100, 1);  // far from zero: no cancellation
    const std::vector<T> dy = uniform<T>(n, -1, 1, 2);
    const std::vector<T> gamma = uniform<T>(s.c, 0.5, 2, 3);
    const std::vector<T> beta = uniform<T>(s.c, -1, 1, 4);
    const double eps = 1e-3;
    for (const bool affine : {true, false}) {
      std::vector<L> mean(std::size_t(s.c)), var(mean), y(static_cast<std::size_t>(n)), dx(y),
          dg(mean), db(mean);
      for (int64_t i = 0; i < s.c; ++i) {
        const auto col = [&](const std::vector<T>& v, int64_t r) {
          return L(v[std::size_t(r * s.c + i)]);
        };
        L m = 0, v = 0, sg = 0, sgx = 0;
        for (int64_t r = 0; r < s.rows; ++r) m += col(x, r);
        m /= L(s.rows);
        for (int64_t r = 0; r < s.rows; ++r) v += (col(x, r) - m) * (col(x, r) - m);
        v /= L(s.rows);
        const L inv = 1 / std::sqrt(v + L(eps));
        const L ga = affine ? L(gamma[std::size_t(i)]) : 1;
        for (int64_t r = 0; r < s.rows; ++r) {
          sg += col(dy, r);
          sgx += col(dy, r) * (col(x, r) - m) * inv;
        }
        for (int64_t r = 0; r < s.rows; ++r) {
          const L hat = (col(x, r) - m) * inv;
          y[std::size_t(r * s.c + i)] = hat * ga + (affine ? L(beta[std::size_t(i)]) : 0);
          dx[std::size_t(r * s.c + i)] =
              ga * inv * (col(dy, r) - sg / L(s.rows) - hat * sgx / L(s.rows));
        }
        mean[std::size_t(i)] = m;
        var[std::size_t(i)] = v;
        dg[std::size_t(i)] = sgx;
        db[std::size_t(i)] = sg;
      }
      std::vector<T> got_mean, got_var, got_dg, got_db;
      const auto got_y = same_for_threads([&](const Exec& e) {
        Buffer<T> out(n, 1), m(s.c, 1), v(s.c, 1);
        BatchNormArgs args{dtype_of<T>,
                           x.data(),
                           affine ? gamma.data() : nullptr,
                           affine ? beta.data() : nullptr,
                           out.data(),
                           m.data(),
                           v.data(),
                           s.rows,
                           s.c,
                           eps,
                           nullptr};
        std::vector<double> workspace(table().batch_norm_workspace(args) / 8 + 8, kNan);
        args.workspace = workspace.data();
        table().batch_norm(args, e);
        EXPECT_TRUE(out.intact() && m.intact() && v.intact());
        got_mean = m.vector();
        got_var = v.vector();
        return out.vector();
      });
      const double tolerance = (s.rows == 1 ? 8 : 1) * 400 * kEps<T>;
      close(got_mean, mean, 4 * kEps<T>, "mean");
      close(got_var, var, 200 * kEps<T>, "var");
      close(got_y, y, tolerance, "batch_norm");
      const auto got_dx = same_for_threads([&](const Exec& e) {
        Buffer<T> out(n, 1), g(s.c, 1), b(s.c, 1);
        BatchNormGradArgs args{dtype_of<T>,
                               x.data(),
                               affine ? gamma.data() : nullptr,
                               got_mean.data(),
                               got_var.data(),
                               dy.data(),
                               out.data(),
                               affine ? g.data() : nullptr,
                               affine ? b.data() : nullptr,
                               s.rows,
                               s.c,
                               eps,
                               nullptr};
        std::vector<double> workspace(table().batch_norm_grad_workspace(args) / 8 + 8, kNan);
        args.workspace = workspace.data();
        table().batch_norm_grad(args, e);
        EXPECT_TRUE(out.intact() && g.intact() && b.intact());
        got_dg = g.vector();
        got_db = b.vector();
        return out.vector();
      });
      if (s.rows > 1) close(got_dx, dx, tolerance, "batch_norm dx");
      if (affine && s.rows > 1) {
        close(got_dg, dg, tolerance * std::sqrt(double(s.rows)), "dgamma");
        close(got_db, db, 20 * kEps<T> * std::sqrt(double(s.rows)), "dbeta");
      }
    }
  }
}

TYPED_TEST(KernelsFloat, LayerNorm) {
  using T = TypeParam;
  using L = long double;
  for (const int64_t c : lengths<T>()) {
    if (c < 2) continue;
    const int64_t rows = c > 500 ? 70 : 700;
    const int64_t n = rows * c;
    const std::vector<T> x = uniform<T>(n, -3, 5, 1);
    const std::vector<T> dy = uniform<T>(n, -1, 1, 2);
    const std::vector<T> gamma = uniform<T>(c, 0.5, 2, 3);
    const std::vector<T> beta = uniform<T>(c, -1, 1, 4);
    const double eps = 1e-3;
    for (const bool affine : {true, false}) {
      std::vector<L> y, dx, dg(std::size_t(c), 0), db(std::size_t(c), 0);
      for (int64_t r = 0; r < rows; ++r) {
        const auto at = [&](const std::vector<T>& v, int64_t i) {
          return L(v[std::size_t(r * c + i)]);
        };
        const auto ga = [&](int64_t i) { return affine ? L(gamma[std::size_t(i)]) : L(1); };
        L m = 0, v = 0, s = 0, sx = 0;
        for (int64_t i = 0; i < c; ++i) m += at(x, i);
        m /= L(c);
        for (int64_t i = 0; i < c; ++i) v += (at(x, i) - m) * (at(x, i) - m);
        v /= L(c);
        const L inv = 1 / std::sqrt(v + L(eps));
        for (int64_t i = 0; i < c; ++i) {
          const L hat = (at(x, i) - m) * inv;
          y.push_back(hat * ga(i) + (affine ? L(beta[std::size_t(i)]) : 0));
          s += at(dy, i) * ga(i);
          sx += at(dy, i) * ga(i) * hat;
          dg[std::size_t(i)] += at(dy, i) * hat;
          db[std::size_t(i)] += at(dy, i);
        }
        for (int64_t i = 0; i < c; ++i) {
          const L hat = (at(x, i) - m) * inv;
          dx.push_back(inv * (at(dy, i) * ga(i) - s / L(c) - hat * sx / L(c)));
        }
      }
      std::vector<T> mean, var, got_dg, got_db;
      const auto got = same_for_threads([&](const Exec& e) {
        Buffer<T> out(n, 1), m(rows, 1), v(rows, 1);
        table().layer_norm(
            {dtype_of<T>, x.data(), affine ? gamma.data() : nullptr, affine ? beta.data() : nullptr,
             out.data(), m.data(), v.data(), rows, c, eps},
            e);
        EXPECT_TRUE(out.intact() && m.intact() && v.intact());
        mean = m.vector();
        var = v.vector();
        return out.vector();
      });
      close(got, y, 40 * kEps<T>, "layer_norm");
      const auto got_dx = same_for_threads([&](const Exec& e) {
        Buffer<T> out(n, 1), g(c, 1), b(c, 1);
        LayerNormGradArgs args{dtype_of<T>,
                               x.data(),
                               affine ? gamma.data() : nullptr,
                               mean.data(),
                               var.data(),
                               dy.data(),
                               out.data(),
                               affine ? g.data() : nullptr,
                               affine ? b.data() : nullptr,
                               rows,
                               c,
                               eps,
                               nullptr};
        std::vector<double> workspace(table().layer_norm_grad_workspace(args) / 8 + 8, kNan);
        args.workspace = workspace.data();
        table().layer_norm_grad(args, e);
        EXPECT_TRUE(out.intact() && g.intact() && b.intact());
        got_dg = g.vector();
        got_db = b.vector();
        return out.vector();
      });
      close(got_dx, dx, (c == 2 ? 20 : 1) * 200 * kEps<T>, "layer_norm dx");
      if (affine) {
        close(got_dg, dg, 1000 * kEps<T>, "dgamma");
        close(got_db, db, 200 * kEps<T>, "dbeta");
      }
    }
  }
}

// ---------------------------------------------------------------- random numbers

template <class T>
std::vector<T> random(RandomKind kind, int64_t n, double a, double b, const Exec& e,
                      int64_t seed = 42, int64_t draw = 7) {
  const int64_t key[2] = {seed, draw};
  Buffer<T> y(n, 1);
  table().random({kind, dtype_of<T>, key, y.data(), n, a, b}, e);
  EXPECT_TRUE(y.intact());
  return y.vector();
}

TEST(Kernels, PhiloxKnownAnswer) {
  // the published vector for counter 0 and key 0; element 16 w is word w of lane 0
  const auto y = random<int64_t>(RandomKind::kUniform, 64, 0, 0x1p32, exec(), 0, 0);
  EXPECT_EQ(y[0], 0x6627e8d5);
  EXPECT_EQ(y[16], 0xe169c58d);
  EXPECT_EQ(y[32], 0xbc57ac4c);
  EXPECT_EQ(y[48], 0x9b00dbd8);
}

TYPED_TEST(KernelsFloat, RandomMoments) {
  using T = TypeParam;
  const int64_t n = 400000;
  struct Case {
    RandomKind kind;
    double a, b, mean, var, low, high;
  };
  for (const Case& c : {Case{RandomKind::kUniform, 0, 1, 0.5, 1.0 / 12, 0, 1},
                        Case{RandomKind::kUniform, -3, 1, -1, 16.0 / 12, -3, 1},
                        Case{RandomKind::kNormal, 0, 1, 0, 1, -7, 7},
                        Case{RandomKind::kNormal, 2, 3, 2, 9, -20, 24},
                        Case{RandomKind::kTruncatedNormal, 0, 1, 0, 0.773741, -2, 2},
                        Case{RandomKind::kBernoulli, 0.3, 0, 0.3, 0.21, 0, 1}}) {
    const auto y =
        same_for_threads([&](const Exec& e) { return random<T>(c.kind, n, c.a, c.b, e); });
    double mean = 0, var = 0, lag = 0;
    for (const T v : y) mean += double(v);
    mean /= double(n);
    for (std::size_t i = 0; i < y.size(); ++i) {
      var += (double(y[i]) - mean) * (double(y[i]) - mean);
      lag += (double(y[i]) - mean) * (double(y[(i + 16) % y.size()]) - mean);
      ASSERT_GE(double(y[i]), c.low);
      ASSERT_LE(double(y[i]), c.high);
      if (c.kind == RandomKind::kUniform) {
        ASSERT_LT(double(y[i]), c.b);
      }
    }
    var /= double(n);
    EXPECT_NEAR(mean, c.mean, 5 * std::sqrt(c.var / double(n)));
    EXPECT_NEAR(var, c.var, 0.01 * c.var);
    EXPECT_LT(std::fabs(lag / double(n) / var),
              5 / std::sqrt(double(n)));  // the pair of Box-Muller
    // an element does not depend on how many are drawn
    for (const int64_t m : {1, 15, 16, 17, 49, 64, 65, 1000}) {
      const auto part = random<T>(c.kind, m, c.a, c.b, exec());
      ASSERT_TRUE(same_bits(part, std::vector<T>(y.begin(), y.begin() + m)));
    }
    EXPECT_FALSE(same_bits(y, random<T>(c.kind, n, c.a, c.b, exec(), 42, 8)));
    EXPECT_FALSE(same_bits(y, random<T>(c.kind, n, c.a, c.b, exec(), 43, 7)));
  }
  const auto edge = random<T>(RandomKind::kUniform, n, 1, 2, exec());
  for (const T v : edge) ASSERT_TRUE(v >= T(1) && v < T(2));
}

TEST(Kernels, RandomIntegers) {
  const auto dice = random<int32_t>(RandomKind::kUniform, 60000, 1, 7, exec());
  std::vector<int> counts(8);
  for (const int32_t v : dice) {
    ASSERT_TRUE(v >= 1 && v < 7);
    ++counts[std::size_t(v)];
  }
  for (int v = 1; v < 7; ++v) EXPECT_NEAR(counts[std::size_t(v)], 10000, 500);
  const auto wide = random<int64_t>(RandomKind::kUniform, 10000, -0x1p62, 0x1p62, exec());
  double mean = 0;
  for (const int64_t v : wide) {
    ASSERT_TRUE(v >= -(int64_t{1} << 62) && v < (int64_t{1} << 62));
    mean += double(v) / 0x1p62 / 10000;
  }
  EXPECT_NEAR(mean, 0, 0.03);
  const auto coin = random<bool>(RandomKind::kBernoulli, 100, 1, 0, exec());
  for (const bool v : coin) EXPECT_TRUE(v);
}

TYPED_TEST(KernelsFloat, Dropout) {
  using T = TypeParam;
  const int64_t key[2] = {1, 2};
  const int64_t n = 100003;
  const std::vector<T> x = uniform<T>(n, 1, 2);
  const auto run = [&](std::vector<int64_t> shape, std::vector<int64_t> strides, double rate,
                       const Exec& e) {
    DropoutArgs args{};
    args.dtype = dtype_of<T>;
    args.key = key;
    args.x = x.data();
    args.rate = rate;
    args.rank = static_cast<int>(shape.size());
    int64_t size = 1;
    for (std::size_t d = 0; d < shape.size(); ++d) {
      args.shape[d] = shape[d];
      args.mask_strides[d] = strides[d];
      size *= shape[d];
    }
    Buffer<T> y(size, 1);
    args.y = y.data();
    table().dropout(args, e);
    EXPECT_TRUE(y.intact());
    return y.vector();
  };
  const auto y = same_for_threads([&](const Exec& e) { return run({n}, {1}, 0.25, e); });
  int64_t kept = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (y[i] == T(0)) continue;
    ++kept;
    ASSERT_NEAR(double(y[i]), double(x[i]) / 0.75, 1e-5);
  }
  EXPECT_NEAR(double(kept) / double(n), 0.75, 0.01);
  // a shared mask: element (i, j) of (50, 40) uses draw j, or i
  const auto rows = same_for_threads([&](const Exec& e) { return run({50, 40}, {0, 1}, 0.25, e); });
  const auto columns = run({50, 40}, {1, 0}, 0.25, exec());
  const auto dense = run({50, 40}, {40, 1}, 0.25, exec());
  for (std::size_t i = 0; i < 50; ++i) {
    for (std::size_t j = 0; j < 40; ++j) {
      ASSERT_EQ(rows[i * 40 + j] != T(0), y[j] != T(0));
      ASSERT_EQ(columns[i * 40 + j] != T(0), y[i] != T(0));
      ASSERT_EQ(dense[i * 40 + j], y[i * 40 + j]);
    }
  }
  EXPECT_TRUE(same_bits(run({5}, {1}, 0, exec()), std::vector<T>(x.begin(), x.begin() + 5)));
}

// ---------------------------------------------------------------- optimizers

struct OptimizerCase {
  const char* name;
  OptimizerKind kind;
  int slots;
  bool skip_second = false;  // slot 1 absent although slot 2 is there
  bool nesterov = false;
};

TYPED_TEST(KernelsFloat, Optimizers) {
  using T = TypeParam;
  const std::vector<OptimizerCase> cases = {
      {"sgd", OptimizerKind::kSgd, 0},
      {"momentum", OptimizerKind::kSgd, 1},
      {"nesterov", OptimizerKind::kSgd, 1, false, true},
      {"rmsprop", OptimizerKind::kRmsprop, 1},
      {"rmsprop momentum", OptimizerKind::kRmsprop, 2},
      {"rmsprop centered", OptimizerKind::kRmsprop, 3, true},
      {"rmsprop both", OptimizerKind::kRmsprop, 3},
      {"adagrad", OptimizerKind::kAdagrad, 1},
      {"adadelta", OptimizerKind::kAdadelta, 2},
      {"adam", OptimizerKind::kAdam, 2},
      {"amsgrad", OptimizerKind::kAdam, 3},
      {"adamax", OptimizerKind::kAdamax, 2},
      {"nadam", OptimizerKind::kNadam, 2},
  };
  const float lr = 0.01f;
  const double mom = 0.9, rho = 0.95, b1 = 0.9, b2 = 0.999, eps = 1e-7;
  for (const OptimizerCase& c : cases) {
    for (const int64_t n : {int64_t{1}, int64_t{17}, int64_t{1003}, int64_t{100001}}) {
      for (const double decay : {0.0, 0.1}) {
        const auto size = static_cast<std::size_t>(n);
        const double grad_scale = 0.5, clip = 0.8;
        const auto run = [&](const Exec& e) {
          Buffer<T> p(uniform<T>(n, -1, 1, 1), 1);
          std::vector<Buffer<T>> s;
          for (int k = 0; k < 3; ++k)
            s.emplace_back(std::vector<T>(size, c.kind == OptimizerKind::kAdagrad ? T(0.1) : T(0)),
                           k);
          float u_product = 1;
          for (int64_t step = 0; step < 3; ++step) {
            const std::vector<T> g = uniform<T>(n, -2, 2, unsigned(step) + 5);
            OptimizerArgs args{};
            args.kind = c.kind;
            args.dtype = dtype_of<T>;
            args.n = n;
            args.shared = true;
            args.p = p.data();
            args.g = g.data();
            for (int k = 0; k < c.slots; ++k) {
              args.slot[k] = k == 1 && c.skip_second ? nullptr : s[std::size_t(k)].data();
            }
            args.lr = &lr;
            args.step = &step;
            args.u_product = &u_product;
            args.grad_scale = &grad_scale;
            args.clip_value = clip;
            args.weight_decay = decay;
            args.momentum = mom;
            args.rho = rho;
            args.beta_1 = b1;
            args.beta_2 = b2;
            args.epsilon = eps;
            args.nesterov = c.nesterov;
            args.centered = c.slots == 3;
            args.amsgrad = c.slots == 3;
            table().optimizer(args, e);
            u_product *= static_cast<float>(b1 * (1 - 0.5 * std::pow(0.96, double(step + 1))));
          }
          EXPECT_TRUE(p.intact());
          for (const auto& b : s) EXPECT_TRUE(b.intact());
          return p.vector();
        };
        const auto got = same_for_threads(run);
        // the formulas of Keras 3, in double
        std::vector<long double> want;
        const std::vector<T> p0 = uniform<T>(n, -1, 1, 1);
        std::vector<std::vector<T>> grads;
        for (unsigned step = 0; step < 3; ++step) grads.push_back(uniform<T>(n, -2, 2, step + 5));
        for (std::size_t i = 0; i < size; ++i) {
          double p = double(p0[i]), s[3] = {0, 0, 0}, u_product = 1;
          if (c.kind == OptimizerKind::kAdagrad) s[0] = 0.1;
          for (int step = 0; step < 3; ++step) {
            const double t = step + 1;
            const double g = std::clamp(double(grads[std::size_t(step)][i]) * 0.5, -clip, clip);
            const double rate = double(lr);
            p -= p * decay * rate;
            switch (c.kind) {
              case OptimizerKind::kSgd:
                if (c.slots == 0) {
                  p -= rate * g;
                } else {
                  s[0] = mom * s[0] - rate * g;
                  p += c.nesterov ? mom * s[0] - rate * g : s[0];
                }
                break;
              case OptimizerKind::kRmsprop: {
                s[0] = rho * s[0] + (1 - rho) * g * g;
                double d = s[0] + eps;
                if (c.slots == 3) {
                  s[2] = rho * s[2] + (1 - rho) * g;
                  d = s[0] - s[2] * s[2] + eps;
                }
                const double inc = rate * g / std::sqrt(d);
                if (c.slots >= 2 && !c.skip_second) {
                  s[1] = mom * s[1] + inc;
                  p -= s[1];
                } else {
                  p -= inc;
                }
                break;
              }
              case OptimizerKind::kAdagrad:
                s[0] += g * g;
                p -= rate * g / std::sqrt(s[0] + eps);
                break;
              case OptimizerKind::kAdadelta: {
                s[0] = rho * s[0] + (1 - rho) * g * g;
                const double delta = -std::sqrt(s[1] + eps) * g / std::sqrt(s[0] + eps);
                s[1] = rho * s[1] + (1 - rho) * delta * delta;
                p += rate * delta;
                break;
              }
              case OptimizerKind::kAdam: {
                const double alpha = rate * std::sqrt(1 - std::pow(b2, t)) / (1 - std::pow(b1, t));
                s[0] += (g - s[0]) * (1 - b1);
                s[1] += (g * g - s[1]) * (1 - b2);
                s[2] = std::max(s[2], s[1]);
                p -= s[0] * alpha / (std::sqrt(c.slots == 3 ? s[2] : s[1]) + eps);
                break;
              }
              case OptimizerKind::kAdamax:
                s[0] += (g - s[0]) * (1 - b1);
                s[1] = std::max(b2 * s[1], std::fabs(g));
                p -= rate * s[0] / ((1 - std::pow(b1, t)) * (s[1] + eps));
                break;
              case OptimizerKind::kNadam: {
                const double u = b1 * (1 - 0.5 * std::pow(0.96, t));
                const double u1 = b1 * (1 - 0.5 * std::pow(0.96, t + 1));
                u_product *= u;
                s[0] += (g - s[0]) * (1 - b1);
                s[1] += (g * g - s[1]) * (1 - b2);
                const double m_hat =
                    u1 * s[0] / (1 - u_product * u1) + (1 - u) * g / (1 - u_product);
                p -= rate * m_hat / (std::sqrt(s[1] / (1 - std::pow(b2, t))) + eps);
                break;
              }
            }
          }
          want.push_back(p);
        }
        const bool cancels = c.kind == OptimizerKind::kRmsprop && c.slots == 3;
        close(got, want, c.kind == OptimizerKind::kNadam ? 1e-6 : (cancels ? 40 : 6) * kEps<T>,
              c.name);
      }
    }
  }
}

TYPED_TEST(KernelsFloat, ClipScale) {
  using T = TypeParam;
  const std::vector<T> sums = {T(9), T(16)};
  double scale = 0;
  table().clip_scale({dtype_of<T>, sums.data(), 2, 10, &scale}, exec());
  EXPECT_EQ(scale, 1);
  table().clip_scale({dtype_of<T>, sums.data(), 2, 2, &scale}, exec());
  EXPECT_DOUBLE_EQ(scale, 0.4);
}

}  // namespace
}  // namespace lamella::kernels
