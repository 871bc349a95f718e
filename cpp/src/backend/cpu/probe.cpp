// What the machine can do at best: multiply-adds in registers, copies through memory.
#include <algorithm>

#include "backend/cpu/kernel_list.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using std::int64_t;

constexpr int kChains = 12;  // independent sums: two units of latency four, and some to spare

template <class T>
void multiply_adds(T* y, int64_t flops) {
  using V = Vec<T>;
  V sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = V::set1(T(i));
  V a = V::set1(T(0.999)), b = V::set1(T(0.001));
  const int64_t rounds = flops / (2 * kChains * V::kWidth);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sums[i].v = sums[i].v * a.v + b.v;
  }
  V total = V::zero();
  for (int i = 0; i < kChains; ++i) total.v += sums[i].v;
  total.store_partial(y, 1);
}

template <class T>
void copy(const T* x, T* y, int64_t n, int64_t repeats) {
  using V = Vec<T>;
  for (int64_t r = 0; r < repeats; ++r) {
    int64_t i = 0;
    for (; i + 4 * V::kWidth <= n; i += 4 * V::kWidth)
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) V::load(x + i + k * V::kWidth).store(y + i + k * V::kWidth);
    for (; i < n; ++i) y[i] = x[i];
    __asm__ volatile("" ::: "memory");  // every round is done
  }
}

}  // namespace

void probe_kernel(const ProbeArgs& args, const Exec& exec) {
  const auto typed = [&]<class T>(T) {
    parallel_for(exec, args.pieces, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        T* y = static_cast<T*>(args.y) + p * args.n;
        if (args.x == nullptr) {
          multiply_adds(y, args.repeats);
        } else {
          copy(static_cast<const T*>(args.x) + p * args.n, y, args.n, args.repeats);
        }
      }
    });
  };
  args.dtype == DType::kFloat64 ? typed(double{}) : typed(float{});
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
