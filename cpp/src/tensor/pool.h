// A bounded cache of memory blocks: an eager op that allocates its result would otherwise spend its
// time in page faults.
#pragma once

#include <cstddef>
#include <memory>

namespace lamella::detail {

/// A 64-byte aligned block of at least `bytes`; the owner gives it back to the pool.
std::shared_ptr<void> pool_allocate(std::size_t bytes, void** data);

/// Blocks handed out so far, for the test that a training step allocates nothing.
std::size_t pool_allocations();

}  // namespace lamella::detail
