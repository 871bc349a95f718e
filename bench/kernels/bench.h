// A kernel on a shape: how to call it, and what it must compute and move at least.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/kernels.h"

namespace bench {

/// What a call needs besides its argument block: memory that lives as long as the case.
class Arena {
 public:
  /// 64-byte aligned; `fill` gives numbers in [-1, 1), else the contents are zero.
  void* floats(std::int64_t n, lamella::DType dtype, bool fill = true);
  void* bytes(std::size_t n);

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::vector<std::unique_ptr<void, Free>> blocks_;
};

using Run = std::function<void(const lamella::kernels::Exec&)>;

struct Case {
  std::string kernel;  // as the kernel table calls it, with the operation where it has several
  std::string shape;
  double flops;  // of products; 0 where memory is what counts
  double bytes;  // read and written once each
  std::function<Run(Arena&)> make;
};

/// All cases in one floating-point type.
std::vector<Case> memory_cases(lamella::DType dtype);   // elementwise, moves, reductions, norms
std::vector<Case> product_cases(lamella::DType dtype);  // matmul and convolution

/// A call of kernel `fn` with `args`, which the returned function owns.
template <class Args>
Run call(const lamella::kernels::Kernel<Args>& fn, Args args) {
  return [fn, args](const lamella::kernels::Exec& exec) { fn(args, exec); };
}

inline double item_bytes(lamella::DType dtype) { return dtype == lamella::DType::kFloat64 ? 8 : 4; }

}  // namespace bench
