// A small thread pool behind parallel_for.
//
// The caller works too and waits only for chunks that a worker has really begun, never for a worker
// to wake up. On a machine that is busy with other processes this is the difference between a loop
// that takes its usual time and one that waits for the scheduler
// (docs/adr/0004-threads-do-not-change-results.md).
#include "backend/cpu/parallel.h"

#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <sched.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kPatience = 200;
constexpr int kSpins = 2000;  // some 50 microseconds: the gap between two kernels of one step

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#endif
}

inline void give_way() {
#if defined(__unix__) || defined(__APPLE__)
  sched_yield();
#else
  std::this_thread::yield();
#endif
}

/// The chunks that one thread begins with, and which of them comes next.
struct alignas(64) Range {
  std::atomic<std::int64_t> next{0};
  std::int64_t begin = 0, end = 0;

  /// Whether its thread is at work and has one chunk left at most: it will be done before that
  /// chunk's memory could come to another core, and find it in its cache next time.
  bool nearly_done() const {
    const std::int64_t n = next.load(std::memory_order_relaxed);
    return n > begin && end - n < 2;
  }
};

/// One loop at a time. Each thread begins with its own part of the chunks, the same part in every
/// loop of that length: what it wrote in the last loop, or in the last step, is still in its cache.
/// Then it helps the others. The fields from `body` on are written before `open` is set and stay as
/// they are until `inside` is zero again, so a worker that comes late sees either a whole job or a
/// closed door.
struct Pool {
  std::mutex caller;
  int workers = 0;

  std::atomic<std::uint32_t> jobs{0};  // counts jobs; workers sleep on it
  std::atomic<bool> open{false};
  std::atomic<int> inside{0};
  std::atomic<std::int64_t> done{0};

  void (*body)(void*, std::int64_t) = nullptr;
  void* context = nullptr;
  int threads = 0;  // of this loop: the caller and workers with a smaller number than the last
  Range ranges[kMaxThreads + 1];
};

thread_local bool in_loop = false;

Pool*& pool_slot() {
  static Pool* pool = new Pool;  // never destroyed: workers outlive static destructors
  return pool;
}

/// Thread `self` of a loop (the caller is 0): its own chunks, then what is left of the others';
/// `all` of it, or what would not soon be done anyway.
void work(Pool& p, int self, bool all) {
  std::int64_t finished = 0;
  for (int i = 0; i < p.threads; ++i) {
    Range& range = p.ranges[(self + i) % p.threads];
    while (i == 0 || all || !range.nearly_done()) {
      const std::int64_t c = range.next.fetch_add(1, std::memory_order_relaxed);
      if (c >= range.end) break;
      p.body(p.context, c);
      ++finished;
    }
  }
  if (finished > 0) p.done.fetch_add(finished, std::memory_order_release);
}

void worker(Pool* pool, int number) {
  Pool& p = *pool;
  in_loop = true;  // a loop inside a chunk runs serially
  std::uint32_t seen = 0;
  for (;;) {
    for (int spin = 0; spin < kSpins && p.jobs.load(std::memory_order_acquire) == seen; ++spin)
      relax();
    while (p.jobs.load(std::memory_order_acquire) == seen) p.jobs.wait(seen);
    seen = p.jobs.load(std::memory_order_acquire);
    p.inside.fetch_add(1, std::memory_order_seq_cst);
    if (p.open.load(std::memory_order_seq_cst) && number + 1 < p.threads)
      work(p, number + 1, false);
    p.inside.fetch_sub(1, std::memory_order_release);
  }
}

/// Starts workers up to `wanted`; a system that refuses more threads leaves fewer.
void hire(Pool& p, int wanted) {
#if defined(__unix__) || defined(__APPLE__)
  // Threads do not survive fork(): the child begins with an empty pool (the old one is left alone).
  static std::once_flag once;
  std::call_once(once, [] {
    pthread_atfork(nullptr, nullptr, [] {
      pool_slot() = new Pool;
      in_loop = false;
    });
  });
#endif
  while (p.workers < std::min(wanted, kMaxThreads)) {
    try {
      std::thread(worker, &p, p.workers).detach();
    } catch (const std::system_error&) {
      return;
    }
    ++p.workers;
  }
}

}  // namespace

void run_chunks(int threads, std::int64_t count, void (*body)(void*, std::int64_t), void* context) {
  auto serial = [&] {
    for (std::int64_t c = 0; c < count; ++c) body(context, c);
  };
  if (in_loop) return serial();
  Pool& p = *pool_slot();
  if (!p.caller.try_lock()) return serial();
  std::lock_guard lock(p.caller, std::adopt_lock);
  const int helpers = static_cast<int>(std::min<std::int64_t>(threads, count)) - 1;
  if (p.workers < helpers) hire(p, helpers);

  p.body = body;
  p.context = context;
  p.threads = std::min(helpers, p.workers) + 1;
  for (int t = 0; t < p.threads; ++t) {
    p.ranges[t].begin = count * t / p.threads;
    p.ranges[t].next.store(p.ranges[t].begin, std::memory_order_relaxed);
    p.ranges[t].end = count * (t + 1) / p.threads;
  }
  p.done.store(0, std::memory_order_relaxed);
  p.open.store(true, std::memory_order_seq_cst);
  p.jobs.fetch_add(1, std::memory_order_release);
  p.jobs.notify_all();

  in_loop = true;
  work(p, 0, false);
  for (int spin = 0; p.done.load(std::memory_order_acquire) < count; ++spin) {
    if (spin == kPatience) work(p, 0, true);  // a worker has lost its processor to someone
    spin < kSpins ? relax() : give_way();
  }
  in_loop = false;
  p.open.store(false, std::memory_order_seq_cst);
  for (int spin = 0; p.inside.load(std::memory_order_seq_cst) != 0; ++spin)
    spin < kSpins ? relax() : give_way();
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
