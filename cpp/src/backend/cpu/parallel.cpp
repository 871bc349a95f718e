// A small thread pool behind parallel_for.
//
// The caller works too and waits only for chunks that a worker has really begun, never for a worker
// to wake up. On a machine that is busy with other processes this is the difference between a loop
// that takes its usual time and one that waits for the scheduler (docs/adr/0004-threads.md).
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

/// One loop at a time. The fields from `body` on are written before `open` is set and stay as they
/// are until `inside` is zero again, so a worker that comes late sees either a whole job or a
/// closed door.
struct Pool {
  std::mutex caller;
  int workers = 0;

  std::atomic<std::uint32_t> jobs{0};  // counts jobs; workers sleep on it
  std::atomic<bool> open{false};
  std::atomic<int> inside{0};
  std::atomic<std::int64_t> next{0}, done{0};

  void (*body)(void*, std::int64_t) = nullptr;
  void* context = nullptr;
  std::int64_t count = 0;
  int helpers = 0;  // workers with a smaller number may help
};

thread_local bool in_loop = false;

Pool*& pool_slot() {
  static Pool* pool = new Pool;  // never destroyed: workers outlive static destructors
  return pool;
}

void work(Pool& p) {
  for (;;) {
    const std::int64_t c = p.next.fetch_add(1, std::memory_order_relaxed);
    if (c >= p.count) return;
    p.body(p.context, c);
    p.done.fetch_add(1, std::memory_order_release);
  }
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
    if (p.open.load(std::memory_order_seq_cst) && number < p.helpers) work(p);
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
  p.count = count;
  p.helpers = helpers;
  p.next.store(0, std::memory_order_relaxed);
  p.done.store(0, std::memory_order_relaxed);
  p.open.store(true, std::memory_order_seq_cst);
  p.jobs.fetch_add(1, std::memory_order_release);
  p.jobs.notify_all();

  in_loop = true;
  work(p);
  in_loop = false;
  for (int spin = 0; p.done.load(std::memory_order_acquire) < count; ++spin)
    spin < kSpins ? relax() : give_way();
  p.open.store(false, std::memory_order_seq_cst);
  for (int spin = 0; p.inside.load(std::memory_order_seq_cst) != 0; ++spin)
    spin < kSpins ? relax() : give_way();
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
