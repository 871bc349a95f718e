// Walks the rows of a strided iteration space: a linear position and the element offset of each
// operand.
#pragma once

#include <cstdint>

#include "backend/kernels.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

template <int kOperands>
class Odometer {
 public:
  /// `rank` leading axes of `shape`; strides[k] belongs to operand k.
  Odometer(int rank, const std::int64_t* shape, const std::int64_t* const (&strides)[kOperands])
      : rank_(rank), shape_(shape) {
    for (int k = 0; k < kOperands; ++k) strides_[k] = strides[k];
  }

  void seek(std::int64_t linear) {
    for (int k = 0; k < kOperands; ++k) offset_[k] = 0;
    for (int d = rank_ - 1; d >= 0; --d) {
      const std::int64_t q = linear / shape_[d];
      index_[d] = linear - q * shape_[d];
      linear = q;
      for (int k = 0; k < kOperands; ++k) offset_[k] += index_[d] * strides_[k][d];
    }
  }

  void next() {
    for (int d = rank_ - 1; d >= 0; --d) {
      for (int k = 0; k < kOperands; ++k) offset_[k] += strides_[k][d];
      if (++index_[d] < shape_[d]) return;
      for (int k = 0; k < kOperands; ++k) offset_[k] -= shape_[d] * strides_[k][d];
      index_[d] = 0;
    }
  }

  std::int64_t offset(int operand) const { return offset_[operand]; }

 private:
  int rank_;
  const std::int64_t* shape_;
  const std::int64_t* strides_[kOperands];
  std::int64_t index_[kMaxRank] = {};
  std::int64_t offset_[kOperands] = {};
};

/// Number of elements of `rank` axes.
inline std::int64_t count(int rank, const std::int64_t* shape) {
  std::int64_t n = 1;
  for (int d = 0; d < rank; ++d) n *= shape[d];
  return n;
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
