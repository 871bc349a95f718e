// Factorizations of square matrices. Rows are the contiguous direction, so all loops but Cholesky's
// add multiples of rows to rows.
#include <algorithm>
#include <cmath>
#include <Eigen/Core>
#include <limits>
#include <utility>

#include "backend/cpu/kernel_list.h"
#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using std::int64_t;

template <class T>
using Row = Eigen::Map<Eigen::Array<T, Eigen::Dynamic, 1>>;
template <class T>
using ConstRow = Eigen::Map<const Eigen::Array<T, Eigen::Dynamic, 1>>;

/// y -= f * x
template <class T>
void subtract(T* y, T f, const T* x, int64_t n) {
  Row<T>(y, n) -= f * ConstRow<T>(x, n);
}

template <class T>
void cholesky(const T* a, T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T* row = y + i * n;
    std::fill(row + i + 1, row + n, T(0));
    for (int64_t j = 0; j <= i; ++j) {
      const T* other = y + j * n;
      const T rest = a[i * n + j] - (ConstRow<T>(row, j) * ConstRow<T>(other, j)).sum();
      if (j < i) {
        row[j] = rest / other[j];
      } else if (rest > T(0)) {
        row[i] = std::sqrt(rest);
      } else {
        return std::fill(y, y + n * n, std::numeric_limits<T>::quiet_NaN());
      }
    }
  }
}

/// Solves op(a) x = y for x, which takes the place of y.
template <class T>
void triangular_solve(const T* a, T* y, int64_t n, int64_t m, bool lower, bool transposed) {
  const auto element = [&](int64_t i, int64_t j) {
    return transposed ? a[j * n + i] : a[i * n + j];
  };
  const bool forward = lower != transposed;
  for (int64_t step = 0; step < n; ++step) {
    const int64_t k = forward ? step : n - 1 - step;
    Row<T>(y + k * m, m) /= element(k, k);
    const int64_t first = forward ? k + 1 : 0;
    const int64_t last = forward ? n : k;
    for (int64_t i = first; i < last; ++i) subtract(y + i * m, element(i, k), y + k * m, m);
  }
}

/// Eliminates below the diagonal of w (n, n) with partial pivoting, doing the same to y (n, m);
/// returns the sign of the row exchanges.
template <class T>
T eliminate(T* w, T* y, int64_t n, int64_t m) {
  T sign = 1;
  for (int64_t k = 0; k < n; ++k) {
    int64_t pivot = k;
    for (int64_t i = k + 1; i < n; ++i)
      if (std::abs(w[i * n + k]) > std::abs(w[pivot * n + k])) pivot = i;
    if (pivot != k) {
      std::swap_ranges(w + k * n + k, w + (k + 1) * n, w + pivot * n + k);
      std::swap_ranges(y + k * m, y + (k + 1) * m, y + pivot * m);
      sign = -sign;
    }
    const T top = w[k * n + k];
    if (top == T(0)) continue;
    for (int64_t i = k + 1; i < n; ++i) {
      const T f = w[i * n + k] / top;
      subtract(w + i * n + k + 1, f, w + k * n + k + 1, n - k - 1);
      subtract(y + i * m, f, y + k * m, m);
    }
  }
  return sign;
}

template <class T>
void run(const LinalgArgs& args, int64_t i) {
  const int64_t n = args.n, m = args.m;
  const T* a = static_cast<const T*>(args.a) + i * n * n;
  const T* b = args.b == nullptr ? nullptr : static_cast<const T*>(args.b) + i * n * m;
  T* y = static_cast<T*>(args.y);
  if (args.op == LinalgOp::kCholesky) return cholesky(a, y + i * n * n, n);
  if (args.op == LinalgOp::kTriangularSolve || args.op == LinalgOp::kSolve) {
    y += i * n * m;
    std::copy(b, b + n * m, y);
  }
  if (args.op == LinalgOp::kTriangularSolve)
    return triangular_solve(a, y, n, m, args.lower, args.transposed);

  T* w = static_cast<T*>(args.workspace) + i * n * n;
  std::copy(a, a + n * n, w);
  if (args.op == LinalgOp::kSolve) {
    eliminate(w, y, n, m);
    return triangular_solve(w, y, n, m, false, false);
  }
  T sign = eliminate(w, static_cast<T*>(nullptr), n, 0);
  T det = sign, log = 0;
  for (int64_t k = 0; k < n; ++k) {
    const T d = w[k * n + k];
    det *= d;
    log += std::log(std::abs(d));
    sign = d == T(0) ? T(0) : d != d ? d : d < T(0) ? -sign : sign;
  }
  y[i] = args.op == LinalgOp::kDet ? det : sign;
  if (args.op == LinalgOp::kSlogdet) static_cast<T*>(args.z)[i] = log;
}

}  // namespace

std::size_t linalg_workspace(const LinalgArgs& args) {
  if (args.op == LinalgOp::kCholesky || args.op == LinalgOp::kTriangularSolve) return 0;
  return static_cast<std::size_t>(args.batch * args.n * args.n) * size_of(args.dtype);
}

void linalg_kernel(const LinalgArgs& args, const Exec& exec) {
  const int64_t cost = args.n * args.n * (args.n + args.m);
  parallel_for(exec, args.batch, grain_for(cost), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      visit_floating(args.dtype, [&]<class T>(TypeTag<T>) { run<T>(args, i); });
  });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
