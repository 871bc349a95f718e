#include "ops/broadcast.h"

#include <algorithm>

namespace lamella {

int merge_broadcast(const Shape& out, std::span<const Shape* const> operands, std::int64_t* shape,
                    std::span<std::int64_t* const> strides) {
  const int rank = out.rank();
  const std::size_t n = operands.size();
  if (std::all_of(operands.begin(), operands.end(), [&](const Shape* s) { return *s == out; })) {
    shape[0] = out.size();
    for (std::int64_t* s : strides) s[0] = 1;
    return 1;
  }
  std::int64_t full[8][kMaxRank] = {};  // operand, axis
  for (std::size_t o = 0; o < n; ++o) {
    const Shape& s = *operands[o];
    std::int64_t stride = 1;
    for (int axis = rank - 1, i = s.rank() - 1; i >= 0; --axis, --i) {
      const std::int64_t d = s[i].value();
      full[o][axis] = d == 1 ? 0 : stride;
      stride *= d;
    }
  }
  // From the last axis outwards, join an axis to the one after it when all operands allow it.
  std::int64_t merged_shape[kMaxRank];
  std::int64_t merged[8][kMaxRank];
  int m = 0;
  for (int axis = rank - 1; axis >= 0; --axis) {
    const std::int64_t d = out[axis].value();
    if (d == 1) continue;
    bool join = m > 0;
    for (std::size_t o = 0; join && o < n; ++o) {
      const std::int64_t inner = merged[o][m - 1];
      join = full[o][axis] == inner * merged_shape[m - 1];
    }
    if (join) {
      merged_shape[m - 1] *= d;
    } else {
      merged_shape[m] = d;
      for (std::size_t o = 0; o < n; ++o) merged[o][m] = full[o][axis];
      ++m;
    }
  }
  if (m == 0) {
    merged_shape[0] = 1;
    for (std::size_t o = 0; o < n; ++o) merged[o][0] = 1;
    m = 1;
  }
  for (int i = 0; i < m; ++i) {
    shape[i] = merged_shape[m - 1 - i];
    for (std::size_t o = 0; o < n; ++o) strides[o][i] = merged[o][m - 1 - i];
  }
  return m;
}

}  // namespace lamella
