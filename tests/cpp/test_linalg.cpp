// Linear algebra, sorting, bits and gradients of traced tensors.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "lamella/lamella.h"

namespace lamella {
namespace {

Tensor matrix(std::vector<double> values, std::int64_t n, std::int64_t m) {
  return Tensor::from(values, Shape{Dim(n), Dim(m)});
}

void expect_near(const Tensor& got, const std::vector<double>& want) {
  const auto values = got.to_vector<double>();
  ASSERT_EQ(values.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(values[i], want[i], 1e-12) << i;
}

TEST(Linalg, CholeskyOfADefiniteMatrix) {
  expect_near(ops::cholesky(matrix({4, 2, 2, 5}, 2, 2)), {2, 0, 1, 2});
}

TEST(Linalg, CholeskyOfAnIndefiniteMatrixIsNan) {
  for (double v : ops::cholesky(matrix({1, 2, 2, 1}, 2, 2)).to_vector<double>())
    EXPECT_TRUE(std::isnan(v));
}

TEST(Linalg, SolveExchangesRowsWhereThePivotIsZero) {
  const Tensor a = matrix({0, 2, 4, 1}, 2, 2);
  expect_near(ops::solve(a, matrix({2, 6}, 2, 1)), {1.25, 1});
  expect_near(ops::det(a), {-8});
  const auto [sign, log] = ops::slogdet(a);
  expect_near(sign, {-1});
  expect_near(log, {std::log(8.0)});
  expect_near(ops::matmul(ops::inverse(a), a), {1, 0, 0, 1});
}

TEST(Linalg, DeterminantOfASingularMatrixIsZero) {
  const Tensor a = matrix({1, 2, 2, 4}, 2, 2);
  expect_near(ops::det(a), {0});
  EXPECT_EQ(ops::slogdet(a).first.item(), 0);
  EXPECT_EQ(ops::slogdet(a).second.item(), -std::numeric_limits<double>::infinity());
}

TEST(Linalg, TriangularSolveReadsOneTriangle) {
  const Tensor a = matrix({2, 9, 1, 4}, 2, 2), b = matrix({2, 9}, 2, 1);
  expect_near(ops::triangular_solve(a, b, true, false), {1, 2});
  expect_near(ops::triangular_solve(a, b, true, true), {-0.125, 2.25});
}

TEST(Linalg, ShapesThatDoNotFitThrow) {
  EXPECT_THROW(ops::det(matrix({1, 2}, 1, 2)), ShapeError);
  EXPECT_THROW(ops::solve(matrix({1, 0, 0, 1}, 2, 2), matrix({1, 2, 3}, 3, 1)), ShapeError);
}

TEST(Sort, IsStableAndPutsNanLast) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Tensor x = matrix({2, nan, 1, 2, 1}, 1, 5);
  EXPECT_EQ(ops::argsort(x).to_vector<std::int32_t>(), (std::vector<std::int32_t>{2, 4, 0, 3, 1}));
  EXPECT_EQ(ops::argsort(x, -1, true).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{1, 0, 3, 2, 4}));
}

TEST(Bits, ShiftsBeyondTheWidthLeaveNothing) {
  const Tensor x = Tensor::from(std::vector<std::int32_t>{5, -5, 1}, Shape{Dim(3)});
  const Tensor by = Tensor::from(std::vector<std::int32_t>{1, 40, -1}, Shape{Dim(3)});
  EXPECT_EQ(ops::shift_left(x, by).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{10, 0, 0}));
  EXPECT_EQ(ops::shift_right(x, by).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{2, -1, 0}));
  EXPECT_THROW(ops::bit_and(x, matrix({1, 2, 3}, 1, 3)), DTypeError);
}

}  // namespace
}  // namespace lamella
