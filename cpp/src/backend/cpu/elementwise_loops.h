// The inner loops of the elementwise operations. The separate kernels (elementwise.cpp) and the
// fused chains (fused.cpp) call the same functions, so they give the same bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// y[i] = op(x[i]); y may equal x; a and b are the operation's parameters.
template <class T>
using UnaryLoop = void (*)(const T* x, T* y, std::int64_t n, T a, T b);

/// T: float, double, int32_t, int64_t. Null where the operation does not exist for T.
template <class T>
UnaryLoop<T> unary_loop(UnaryOp op);

/// out[i] = op(x[i], y[i]); in `vs` y is one element, in `sv` x is. out may equal a full operand.
template <class T, class Out = T>
struct BinaryLoops {
  using Fn = void (*)(const T* x, const T* y, Out* out, std::int64_t n);
  Fn vv = nullptr;
  Fn vs = nullptr;
  Fn sv = nullptr;
};

/// T: float, double, int32_t, int64_t; arithmetic and gradient operations.
template <class T>
BinaryLoops<T> binary_loops(BinaryOp op);

/// Elementary operations per element, roughly.
int unary_cost(UnaryOp op);
int binary_cost(BinaryOp op);

/// x as a T: saturating, NaN gives 0.
template <class T, class From>
inline T saturate_to(From x) {
  if constexpr (std::is_floating_point_v<From> && !std::is_floating_point_v<T>) {
    // 2^31 and 2^63 are floats, the largest integers below them are not
    constexpr From kTop = sizeof(T) == 8 ? From(9223372036854775808.0)
                                         : From(std::numeric_limits<T>::max() / 2 + 1) * From(2);
    constexpr From kBottom = From(std::numeric_limits<T>::min());
    if (x != x) return T(0);
    if (x >= kTop) return std::numeric_limits<T>::max();
    if (x <= kBottom) return std::numeric_limits<T>::min();
    return static_cast<T>(x);
  } else {
    return static_cast<T>(x);
  }
}

/// f(begin, end) over [0, n) at `cost` operations an element; serial without overhead when small.
template <class F>
inline void for_elements(const Exec& exec, std::int64_t n, int cost, F&& f) {
  const std::int64_t grain = kGrainOps / cost;
  if (n <= grain) {
    if (n > 0) f(std::int64_t{0}, n);
    return;
  }
  parallel_for(exec, n, grain, f);
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
