// Matrix products against plain loops in double: transpositions, leading dimensions, batches,
// accumulation, bias and activations; the same bits for any thread count and for any row alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "backend/kernels.h"

namespace {

using lamella::DType;
using namespace lamella::kernels;
using i64 = std::int64_t;

struct Case {
  i64 m, n, k;
  bool ta = false, tb = false, accumulate = false, bias = false;
  Activation act = Activation::kNone;
  i64 batch = 1, gap = 0;  // gap: elements between rows
};

std::size_t size(i64 n) { return static_cast<std::size_t>(n); }

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  i64 between(i64 lo, i64 hi) { return std::uniform_int_distribution<i64>(lo, hi)(engine_); }
  bool coin() { return between(0, 1) == 1; }
  template <class T>
  std::vector<T> values(i64 n) {
    std::uniform_real_distribution<double> d(-1, 1);
    std::vector<T> v(size(n));
    for (T& x : v) x = static_cast<T>(d(engine_));
    return v;
  }

 private:
  std::mt19937 engine_;
};

/// matmul with a workspace of its own; false where something was written behind the workspace.
bool multiply(MatmulArgs p, int threads) {
  const std::size_t bytes = table().matmul_workspace(p);
  std::vector<unsigned char> memory(bytes + 192, 0xff);
  const auto at = reinterpret_cast<std::uintptr_t>(memory.data());
  unsigned char* workspace = memory.data() + ((at + 63) / 64 * 64 - at);
  p.workspace = workspace;
  int fault = 0;
  table().matmul(p, Exec{threads, &fault});
  return std::all_of(workspace + bytes, workspace + bytes + 64,
                     [](unsigned char c) { return c == 0xff; });
}

UnaryOp unary_of(Activation act) {
  switch (act) {
    case Activation::kRelu:
      return UnaryOp::kRelu;
    case Activation::kSigmoid:
      return UnaryOp::kSigmoid;
    case Activation::kTanh:
      return UnaryOp::kTanh;
    case Activation::kElu:
      return UnaryOp::kElu;
    case Activation::kLeakyRelu:
      return UnaryOp::kLeakyRelu;
    case Activation::kSilu:
      return UnaryOp::kSilu;
    case Activation::kGelu:
      return UnaryOp::kGelu;
    default:
      return UnaryOp::kCopy;
  }
}

template <class T>
void check(const Case& c, Random& r) {
  SCOPED_TRACE(testing::Message() << c.m << "x" << c.k << "x" << c.n << " ta=" << c.ta
                                  << " tb=" << c.tb << " accumulate=" << c.accumulate
                                  << " bias=" << c.bias << " act=" << static_cast<int>(c.act)
                                  << " batch=" << c.batch << " gap=" << c.gap << " " << sizeof(T));
  const i64 lda = (c.ta ? c.m : c.k) + c.gap;
  const i64 ldb = (c.tb ? c.k : c.n) + c.gap;
  const i64 ldc = c.n + c.gap;
  const i64 a_size = lda * (c.ta ? c.k : c.m);
  const i64 b_size = ldb * (c.tb ? c.n : c.k);
  const i64 c_size = ldc * c.m;
  const auto a = r.values<T>(a_size * c.batch);
  const auto b = r.values<T>(b_size * c.batch);
  const auto bias = r.values<T>(c.n);
  auto start = r.values<T>(c_size * c.batch + 16);
  const auto inside = [&](i64 i) { return i < c_size * c.batch && i % c_size % ldc < c.n; };
  if (!c.accumulate) {
    for (i64 i = 0; i < c_size * c.batch; ++i) {
      if (inside(i)) start[size(i)] = std::numeric_limits<T>::quiet_NaN();
    }
  }
  MatmulArgs p{};
  p.dtype = sizeof(T) == 4 ? DType::kFloat32 : DType::kFloat64;
  p.ta = c.ta;
  p.tb = c.tb;
  p.accumulate = c.accumulate;
  p.m = c.m;
  p.n = c.n;
  p.k = c.k;
  p.batch = c.batch;
  p.a = a.data();
  p.lda = lda;
  p.a_stride = a_size;
  p.b = b.data();
  p.ldb = ldb;
  p.b_stride = b_size;
  p.bias = c.bias && !c.accumulate ? bias.data() : nullptr;
  p.ldc = ldc;
  p.c_stride = c_size;
  p.act_alpha = 0.3;

  auto plain = start;
  p.c = plain.data();
  ASSERT_TRUE(multiply(p, 1));
  for (i64 i = 0; i < static_cast<i64>(plain.size()); ++i) {
    if (!inside(i)) {
      ASSERT_EQ(plain[size(i)], start[size(i)]) << "wrote between or behind rows";
      continue;
    }
    const i64 q = i / c_size;
    const i64 row = i % c_size / ldc;
    const i64 column = i % c_size % ldc;
    double sum = c.accumulate ? start[size(i)] : p.bias != nullptr ? bias[size(column)] : T(0);
    double magnitude = 1 + std::abs(sum);
    for (i64 l = 0; l < c.k; ++l) {
      const double x = a[size(q * a_size + (c.ta ? l * lda + row : row * lda + l))];
      const double y = b[size(q * b_size + (c.tb ? column * ldb + l : l * ldb + column))];
      sum += x * y;
      magnitude += std::abs(x * y);
    }
    ASSERT_LE(std::abs(sum - static_cast<double>(plain[size(i)])),
              4 * std::numeric_limits<T>::epsilon() * magnitude)
        << "at " << row << ", " << column;
  }
  for (const int threads : {2, 3, 8}) {
    auto other = start;
    p.c = other.data();
    ASSERT_TRUE(multiply(p, threads));
    ASSERT_EQ(std::memcmp(other.data(), plain.data(), plain.size() * sizeof(T)), 0) << threads;
  }
  if (c.act != Activation::kNone && !c.accumulate) {  // fused, and as a kernel of its own
    auto fused = start;
    p.c = fused.data();
    p.act = c.act;
    ASSERT_TRUE(multiply(p, 2));
    UnaryArgs u{};
    u.op = unary_of(c.act);
    u.dtype = p.dtype;
    u.a = p.act_alpha;
    int fault = 0;
    for (i64 q = 0; q < c.batch; ++q) {
      for (i64 i = 0; i < c.m; ++i) {
        u.x = u.y = plain.data() + q * c_size + i * ldc;
        u.n = c.n;
        table().unary(u, Exec{1, &fault});
      }
    }
    ASSERT_EQ(std::memcmp(fused.data(), plain.data(), plain.size() * sizeof(T)), 0)
        << "activation differs from the unary kernel's";
  }
}

TEST(Matmul, RandomSizes) {
  Random r(5);
  static constexpr i64 kSizes[] = {1, 2, 3, 5, 8, 12, 13, 16, 17, 31, 33, 64, 65, 100};
  for (int i = 0; i < 600; ++i) {
    Case c{};
    c.m = kSizes[r.between(0, 13)];
    c.n = kSizes[r.between(0, 13)];
    c.k = i % 40 == 0 ? 0 : i % 41 == 0 ? 2500 : r.between(1, 400);
    c.ta = r.coin();
    c.tb = r.coin();
    c.accumulate = r.between(0, 3) == 0;
    c.bias = r.coin();
    c.act = static_cast<Activation>(r.between(0, 7));
    c.batch = r.coin() ? 1 : r.between(1, 4);
    c.gap = r.coin() ? 0 : 3;
    if (i % 2 == 0) {
      check<float>(c, r);
    } else {
      check<double>(c, r);
    }
    if (HasFatalFailure()) return;
  }
}

TEST(Matmul, FewElementsOfK) {
  Random r(7);
  for (i64 k = 1; k <= 9; ++k) {
    for (i64 i = 0; i < 12; ++i) {
      Case c{};
      c.m = r.between(1, 70);
      c.n = r.between(1, 70);
      c.k = k;
      c.ta = r.coin();
      c.tb = r.coin();
      c.accumulate = i % 4 == 0;
      c.bias = r.coin();
      c.act = static_cast<Activation>(r.between(0, 7));
      c.batch = r.between(1, 2);
      c.gap = r.coin() ? 0 : 3;
      check<float>(c, r);
      check<double>(c, r);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Matmul, RowsAndColumns) {
  Random r(8);
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      check<float>({1, 2500, 600, ta, tb, false, true, Activation::kRelu, 1, 1}, r);
      check<double>({1, 1100, 70, ta, tb, true, false, Activation::kNone, 2, 0}, r);
      check<float>({601, 1, 1300, ta, tb, false, true, Activation::kTanh, 1, 0}, r);
      check<double>({77, 1, 19, ta, tb, true, false, Activation::kNone, 2, 2}, r);
      if (HasFatalFailure()) return;
    }
  }
}

// Where threads take a block of k each, rows of c each, or columns each; few columns of a^T b.
TEST(Matmul, SharedSizes) {
  Random r(12);
  for (const bool accumulate : {false, true}) {
    for (const bool ta : {false, true}) {
      check<float>({32, 100, 784, ta, false, accumulate, true, Activation::kSigmoid, 1, 0}, r);
      check<float>({64, 60, 200, ta, false, accumulate, true, Activation::kNone, 1, 1}, r);
      check<double>({10, 256, 192, ta, false, accumulate, true, Activation::kRelu, 1, 2}, r);
      check<float>({8, 40, 2200, ta, false, accumulate, true, Activation::kTanh, 1, 0}, r);
      check<float>({32, 40, 500, ta, false, accumulate, false, Activation::kNone, 2, 0}, r);
      check<float>({32, 128, 4100, ta, false, accumulate, true, Activation::kRelu, 1, 0}, r);
      check<float>({64, 256, 2100, ta, false, accumulate, false, Activation::kNone, 2, 0}, r);
      check<double>({20, 600, 2048, ta, true, accumulate, false, Activation::kNone, 1, 3}, r);
      check<float>({130, 140, 64, ta, true, accumulate, false, Activation::kNone, 1, 1}, r);
      check<double>({784, 100, 32, ta, false, accumulate, false, Activation::kNone, 1, 0}, r);
      for (const i64 m : {2, 3, 4, 5})
        check<float>({m, 1, 403, ta, false, accumulate, true, Activation::kRelu, 1, 0}, r);
      if (HasFatalFailure()) return;
    }
  }
}

// Units of rows and columns, of which the last may be a single row.
TEST(Matmul, WideProductsOfFewRows) {
  Random r(13);
  for (const i64 m : {2, 12, 13, 14, 25, 37}) {
    for (const i64 k : {9, 16, 64}) {
      check<float>({m, r.between(2500, 6000), k, r.coin(), r.coin(), false, true}, r);
      check<double>({m, r.between(700, 3000), k, r.coin(), r.coin(), true}, r);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Matmul, LargeSizes) {
  Random r(6);
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      check<float>({300, 700, 300, ta, tb, false, true, Activation::kRelu, 1, 1}, r);
      check<float>({200, 517, 290, ta, tb, true, false, Activation::kNone, 2, 0}, r);
      check<double>({130, 517, 290, ta, tb, false, true, Activation::kTanh, 1, 0}, r);
      check<float>({70, 5000, 20, ta, tb, false, true, Activation::kGelu, 1, 0}, r);
      check<double>({70, 100, 1100, ta, tb, true, false, Activation::kNone, 1, 0}, r);
      check<float>({40, 1024, 40, ta, tb, false, true, Activation::kNone, 1, 0}, r);
      check<float>({32, 100, 784, ta, tb, false, true, Activation::kSilu, 1, 0}, r);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Matmul, ARowDoesNotDependOnTheOthers) {
  Random r(10);
  for (const auto& [k, n] : {std::pair<i64, i64>{700, 1},
                             {3, 1},
                             {300, 2},
                             {300, 130},
                             {200, 256},
                             {1100, 90},
                             {2100, 128},
                             {700, 7},
                             {520, 16},
                             {1352, 16},
                             {2100, 10},
                             {2600, 20},
                             {700, 33},
                             {700, 300},
                             {5, 40},
                             {5, 300},
                             {90, 2500}}) {
    const auto a = r.values<float>(150 * k);
    const auto b = r.values<float>(k * n);
    std::vector<float> all(size(150 * n));
    std::vector<float> one(size(n));
    MatmulArgs p{};
    p.dtype = DType::kFloat32;
    p.m = 150;
    p.n = n;
    p.k = k;
    p.batch = 1;
    p.a = a.data();
    p.lda = k;
    p.b = b.data();
    p.ldb = n;
    p.c = all.data();
    p.ldc = n;
    ASSERT_TRUE(multiply(p, 2));
    for (const i64 row : {0, 77, 149}) {
      p.m = 1;
      p.a = a.data() + row * k;
      p.c = one.data();
      ASSERT_TRUE(multiply(p, 1));
      ASSERT_EQ(std::memcmp(one.data(), all.data() + row * n, size(n) * sizeof(float)), 0) << n;
    }
    std::vector<float> few(size(40 * n));
    p.m = 40;
    p.a = a.data() + 60 * k;
    p.c = few.data();
    ASSERT_TRUE(multiply(p, 2));
    ASSERT_EQ(std::memcmp(few.data(), all.data() + 60 * n, few.size() * sizeof(float)), 0) << n;
  }
}

TEST(Matmul, NaNAndInfinityPropagateThroughRelu) {
  std::vector<float> a = {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity(), -2.0F};
  const std::vector<float> b(20, 1.0F);
  std::vector<float> c(80);
  MatmulArgs p{};
  p.dtype = DType::kFloat32;
  p.m = 4;
  p.n = 20;
  p.k = 1;
  p.batch = 1;
  p.a = a.data();
  p.lda = 1;
  p.b = b.data();
  p.ldb = 20;
  p.c = c.data();
  p.ldc = 20;
  p.act = Activation::kRelu;
  ASSERT_TRUE(multiply(p, 1));
  for (std::size_t j = 0; j < 20; ++j) {
    EXPECT_TRUE(std::isnan(c[j]));
    EXPECT_EQ(c[20 + j], std::numeric_limits<float>::infinity());
    EXPECT_EQ(c[40 + j], 0.0F);
    EXPECT_EQ(c[60 + j], 0.0F);
  }
}

}  // namespace
