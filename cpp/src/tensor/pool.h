// A bounded cache of memory blocks: an eager op that allocates its result would otherwise spend its
// time in page faults.
#pragma once

#include <cstddef>
#include <memory>

namespace lamella::detail {

/// A 64-byte aligned block of at least `bytes`.
void* pool_take(std::size_t bytes);
/// Gives back a block that was taken with the same `bytes`.
void pool_give(void* block, std::size_t bytes);

/// Blocks handed out so far, for the test that a training step allocates nothing.
std::size_t pool_allocations();

}  // namespace lamella::detail
