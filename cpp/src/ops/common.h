// Small helpers shared by the op families.
#pragma once

#include <algorithm>
#include <vector>

#include "ops/op.h"

namespace lamella {

/// A non-negative axis; throws ShapeError when out of range.
inline int normalize_axis(const char* op, int axis, int rank) {
  check<ShapeError>(axis >= -rank && axis < rank, op, ": axis ", axis,
                    " is out of range for a tensor of rank ", rank);
  return axis < 0 ? axis + rank : axis;
}

inline std::vector<Dim> dims_of(const Shape& s) { return {s.begin(), s.end()}; }

/// Row-major strides in elements of a known shape.
inline std::vector<std::int64_t> strides_of(const Shape& s) {
  std::vector<std::int64_t> strides(static_cast<std::size_t>(s.rank()));
  std::int64_t stride = 1;
  for (int i = s.rank() - 1; i >= 0; --i) {
    strides[static_cast<std::size_t>(i)] = stride;
    stride *= s[i].value();
  }
  return strides;
}

inline std::int64_t product(const Shape& s, int begin, int end) {
  std::int64_t n = 1;
  for (int i = begin; i < end; ++i) n *= s[i].value();
  return n;
}

inline void check_floating(const char* op, DType t) {
  check<DTypeError>(is_floating(t), op, ": expected float32 or float64, got ", name(t));
}

}  // namespace lamella
