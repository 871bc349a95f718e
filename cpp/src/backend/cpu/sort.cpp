// The order that sorts each row.
#include <algorithm>
#include <bit>
#include <numeric>

#include "backend/cpu/kernel_list.h"
#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using std::int64_t;

/// Whether x comes before y in ascending order; NaN counts as the largest value.
template <class T>
bool before(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) return x < y || (x == x && y != y);
  return x < y;
}

template <class T>
void sort_row(const T* x, std::int32_t* y, int64_t n, bool descending) {
  std::iota(y, y + n, 0);
  // Ties go by position, so that no two compare equal and an unstable sort (which needs no memory)
  // gives the stable order.
  std::sort(y, y + n, [&](std::int32_t i, std::int32_t j) {
    const T& a = descending ? x[j] : x[i];
    const T& b = descending ? x[i] : x[j];
    return before(a, b) || (!before(b, a) && i < j);
  });
}

}  // namespace

void argsort_kernel(const ArgsortArgs& args, const Exec& exec) {
  const auto run = [&]<class T>(TypeTag<T>) {
    const T* x = static_cast<const T*>(args.x);
    const int64_t n = args.n;
    const int64_t cost = n * 4 * std::bit_width(static_cast<std::uint64_t>(n));
    parallel_for(exec, args.rows, grain_for(cost), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) sort_row(x + r * n, args.y + r * n, n, args.descending);
    });
  };
  if (args.dtype == DType::kBool) return run(TypeTag<std::uint8_t>{});
  visit_dtype(args.dtype, run);
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
