// Kernels that work on many rows at a time: a row must get the bits that it gets alone, whatever
// its place among the others and however many threads share them.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "backend/kernels.h"
#include "backend/registry.h"

namespace lamella::kernels {
namespace {

using std::int64_t;

int fault = 0;

template <class T>
struct Rows : testing::Test {
  static constexpr DType kType = sizeof(T) == 4 ? DType::kFloat32 : DType::kFloat64;

  static std::vector<T> draw(int64_t n, unsigned seed) {
    std::mt19937_64 engine(seed);
    std::uniform_real_distribution<double> d(-3, 3);
    std::vector<T> v(static_cast<std::size_t>(n));
    for (T& x : v) x = static_cast<T>(d(engine));
    return v;
  }

  /// run(x, out, rows, cols, exec) fills out with `per_row` values a row.
  using Run = std::function<void(const T*, T*, int64_t, int64_t, const Exec&)>;

  static void check(const std::string& what, bool per_element, const Run& run) {
    for (const int64_t cols :
         {1, 2, 3, 4, 7, 8, 9, 10, 15, 16, 17, 24, 31, 32, 33, 64, 100, 2500}) {
      for (const int64_t rows : {1, 2, 5, 8, 16, 37, 260}) {
        if (rows * cols > 100000) continue;
        const std::vector<T> x = draw(rows * cols, static_cast<unsigned>(7 * rows + cols));
        const int64_t per_row = per_element ? cols : 1;
        std::vector<T> all(static_cast<std::size_t>(rows * per_row));
        run(x.data(), all.data(), rows, cols, {1, &fault});
        for (const int threads : {2, 3}) {
          std::vector<T> again(all.size());
          run(x.data(), again.data(), rows, cols, {threads, &fault});
          ASSERT_EQ(std::memcmp(all.data(), again.data(), all.size() * sizeof(T)), 0)
              << what << ' ' << rows << " x " << cols << ", " << threads << " threads";
        }
        std::vector<T> alone(static_cast<std::size_t>(per_row));
        for (int64_t r = 0; r < rows; ++r) {
          run(x.data() + r * cols, alone.data(), 1, cols, {1, &fault});
          ASSERT_EQ(std::memcmp(all.data() + r * per_row, alone.data(), alone.size() * sizeof(T)),
                    0)
              << what << ' ' << rows << " x " << cols << ", row " << r;
        }
      }
    }
  }
};
using Floats = testing::Types<float, double>;
TYPED_TEST_SUITE(Rows, Floats);

TYPED_TEST(Rows, SoftmaxSameAlone) {
  using T = TypeParam;
  for (const bool log : {false, true}) {
    this->check(log ? "log_softmax" : "softmax", true,
                [log](const T* x, T* y, int64_t rows, int64_t cols, const Exec& exec) {
                  table().softmax({Rows<T>::kType, log, x, y, rows, cols}, exec);
                });
    this->check(log ? "log_softmax_grad" : "softmax_grad", true,
                [log](const T* x, T* dx, int64_t rows, int64_t cols, const Exec& exec) {
                  std::vector<T> y(static_cast<std::size_t>(rows * cols));
                  table().softmax({Rows<T>::kType, log, x, y.data(), rows, cols}, exec);
                  table().softmax_grad({Rows<T>::kType, log, y.data(), x, dx, rows, cols}, exec);
                });
  }
}

TYPED_TEST(Rows, CrossEntropySameAlone) {
  using T = TypeParam;
  for (const bool loss : {false, true}) {
    this->check(loss ? "loss" : "probabilities", !loss,
                [loss](const T* x, T* out, int64_t rows, int64_t cols, const Exec& exec) {
                  const auto n = static_cast<std::size_t>(rows * cols);
                  std::vector<T> other(loss ? n : static_cast<std::size_t>(rows));
                  std::vector<T> target(x, x + n);
                  for (T& t : target) t = t * t;
                  table().softmax_cross_entropy(
                      {Rows<T>::kType, x, target.data(), loss ? out : other.data(),
                       loss ? other.data() : out, rows, cols},
                      exec);
                });
  }
}

TYPED_TEST(Rows, LayerNormSameAlone) {
  using T = TypeParam;
  this->check(
      "layer_norm", true, [](const T* x, T* y, int64_t rows, int64_t cols, const Exec& exec) {
        std::vector<T> mean(static_cast<std::size_t>(rows));
        std::vector<T> var(mean);
        table().layer_norm(
            {Rows<T>::kType, x, nullptr, nullptr, y, mean.data(), var.data(), rows, cols, 1e-3},
            exec);
      });
}

TYPED_TEST(Rows, ReductionsSameAlone) {
  using T = TypeParam;
  for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMin, ReduceOp::kProd,
                            ReduceOp::kSumSquares, ReduceOp::kMean}) {
    this->check("reduction " + std::to_string(static_cast<int>(op)), false,
                [op](const T* x, T* y, int64_t rows, int64_t cols, const Exec& exec) {
                  table().reduce({op, Rows<T>::kType, x, y, rows, cols, 1, nullptr}, exec);
                });
  }
}

TYPED_TEST(Rows, ArgMaxTakesTheFirstOfEquals) {
  using T = TypeParam;
  std::mt19937_64 engine(3);
  for (const int64_t cols : {1, 2, 3, 7, 8, 10, 16, 17, 33, 100, 1000}) {
    const int64_t rows = 37;
    std::vector<T> x(static_cast<std::size_t>(rows * cols));
    for (T& v : x) v = static_cast<T>(engine() % 4) - T(2);
    x[static_cast<std::size_t>(5 * cols + cols / 2)] = std::numeric_limits<T>::quiet_NaN();
    for (int64_t j = 0; j < cols; ++j) {
      x[static_cast<std::size_t>(6 * cols + j)] = -std::numeric_limits<T>::infinity();
    }
    std::vector<std::int32_t> got(static_cast<std::size_t>(rows));
    table().reduce(
        {ReduceOp::kArgMax, Rows<T>::kType, x.data(), got.data(), rows, cols, 1, nullptr},
        {2, &fault});
    for (int64_t r = 0; r < rows; ++r) {
      const T* row = x.data() + r * cols;
      int64_t best = 0;
      for (int64_t j = 1; j < cols; ++j) {
        if (row[j] > row[best] || (row[j] != row[j] && row[best] == row[best])) best = j;
      }
      EXPECT_EQ(got[static_cast<std::size_t>(r)], best) << cols << " columns, row " << r;
    }
  }
}

}  // namespace
}  // namespace lamella::kernels
