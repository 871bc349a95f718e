// Strides of broadcast operands, with axes merged so that kernels see small ranks.
#pragma once

#include <span>

#include "lamella/shape.h"

namespace lamella {

/// Fills `shape` and one stride array per operand for an output of shape `out`; returns the rank
/// (at least 1). Neighbouring axes that are dense (or broadcast) in every operand become one.
int merge_broadcast(const Shape& out, std::span<const Shape* const> operands, std::int64_t* shape,
                    std::span<std::int64_t* const> strides);

}  // namespace lamella
