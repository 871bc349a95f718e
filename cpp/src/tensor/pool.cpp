#include "tensor/pool.h"

#include <atomic>
#include <bit>
#include <cstdint>
#include <mutex>
#include <new>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "tensor/tensor_impl.h"

namespace lamella::detail {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kHugeBlock = std::size_t{64} << 20;
constexpr std::size_t kMaxCachedBlock = std::size_t{64} << 20;
constexpr std::size_t kMaxCached = std::size_t{256} << 20;
constexpr int kClasses = 64 * 4;

// Size classes: four per power of two, so at most a quarter of a block is unused.
std::size_t round_up(std::size_t bytes) {
  if (bytes <= kAlignment) return kAlignment;
  const std::size_t step = std::max(kAlignment, std::bit_floor(bytes - 1) / 4);
  return (bytes + step - 1) / step * step;
}

int class_of(std::size_t rounded) {
  const int log = static_cast<int>(std::bit_width(rounded)) - 1;
  const auto quarter = static_cast<int>((rounded >> (log >= 2 ? log - 2 : 0)) & 3);
  return log * 4 + quarter;
}

struct Pool {
  std::mutex mutex;
  std::vector<void*> free[kClasses];
  std::size_t cached = 0;
};

Pool& pool();

#if defined(__unix__) || defined(__APPLE__)
// fork() in one thread while another allocates: the child must not inherit a locked mutex.
void before_fork() {
  snapshots_mutex().lock();
  pool().mutex.lock();
}
void after_fork() {
  pool().mutex.unlock();
  snapshots_mutex().unlock();
}
#endif

Pool& pool() {
  static auto* p = [] {
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork(before_fork, after_fork, after_fork);
#endif
    return new Pool;  // never destroyed: tensors may outlive static destructors
  }();
  return *p;
}

std::atomic<std::size_t> allocations{0};

std::align_val_t alignment_of(std::size_t rounded) {
  return std::align_val_t{rounded >= kHugeBlock ? kHugePage : kAlignment};
}

/// Blocks from kHugeBlock on begin at a huge page and ask the system for such pages: a training
/// step that walks through 200 MB would otherwise wait for address translations, 4 KB at a time.
/// Smaller ones do not repay the first touch, for which the system may have to make room.
void* allocate_block(std::size_t rounded) {
  void* block = ::operator new(rounded, alignment_of(rounded));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (rounded >= kHugeBlock) madvise(block, rounded / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return block;
}

void* take(std::size_t rounded) {
  Pool& p = pool();
  {
    std::lock_guard lock(p.mutex);
    auto& list = p.free[class_of(rounded)];
    if (!list.empty()) {
      void* block = list.back();
      list.pop_back();
      p.cached -= rounded;
      return block;
    }
  }
  return allocate_block(rounded);
}

void give(void* block, std::size_t rounded) {
  Pool& p = pool();
  {
    std::lock_guard lock(p.mutex);
    if (rounded <= kMaxCachedBlock && p.cached + rounded <= kMaxCached) {
      p.free[class_of(rounded)].push_back(block);
      p.cached += rounded;
      return;
    }
  }
  ::operator delete(block, alignment_of(rounded));
}

}  // namespace

void* pool_take(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return take(round_up(bytes));
}

void pool_give(void* block, std::size_t bytes) { give(block, round_up(bytes)); }

std::size_t pool_allocations() { return allocations.load(std::memory_order_relaxed); }

}  // namespace lamella::detail
