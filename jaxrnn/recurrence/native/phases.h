// Work in phases on XLA's own threads.
//
// Each phase consists of the same chunks.  A thread claims a chunk of the current phase, and goes on
// to the next phase when all chunks of this one are done.  No thread is waited for that never came:
// the calling thread claims whatever is left.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
static inline void relax() { __builtin_ia32_pause(); }
#elif defined(__aarch64__)
static inline void relax() { asm volatile("yield"); }
#else
static inline void relax() {}
#endif

class Phases {
 public:
  typedef std::function<void(int64_t phase, int64_t chunk)> Body;

  Phases(int64_t phases, int64_t chunks, int64_t threads, Body body)
      : phases_(phases), chunks_(chunks), threads_(threads), body_(std::move(body)),
        claims_(chunks) {
    for (auto& claim : claims_) claim.next.store(0, std::memory_order_relaxed);
  }

  // `pool` is one of `xla::ffi::ThreadPool`.
  template <typename Pool>
  static void run(Pool& pool, int64_t phases, int64_t chunks, int64_t threads, Body body) {
    threads = std::max<int64_t>(1, std::min(threads, chunks));
    auto work = std::make_shared<Phases>(phases, chunks, threads, std::move(body));
    for (int64_t id = 1; id < threads; id++)
      pool.Schedule([work, id] { work->participate(id); });
    work->participate(0);
  }

 private:
  // A thread begins with the chunks that it had in the last phase, which its caches still hold.
  void participate(int64_t id) {
    const int64_t first = chunks_ * id / threads_;
    for (int64_t phase = 0; phase < phases_; phase++) {
      const int64_t all = (phase + 1) * chunks_;
      if (done_.load(std::memory_order_acquire) >= all) continue;
      int64_t done = 0;
      for (int64_t i = 0; i < chunks_; i++) {
        const int64_t chunk = (first + i) % chunks_;
        int64_t expected = phase;
        auto& next = claims_[chunk].next;
        if (next.load(std::memory_order_relaxed) == phase &&
            next.compare_exchange_strong(expected, phase + 1, std::memory_order_relaxed)) {
          body_(phase, chunk);
          done++;
        } else if (done) {  // those that follow are the others'
          done_.fetch_add(done, std::memory_order_acq_rel);
          done = 0;
        }
      }
      if (done) done_.fetch_add(done, std::memory_order_acq_rel);
      // The others are about to finish.  If not, one of them is not running: let it.
      for (int spins = 0; done_.load(std::memory_order_acquire) < all; spins++) {
        if (spins < 4000)
          relax();
        else if (spins < 4200)
          std::this_thread::yield();
        else
          std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
  }

  const int64_t phases_, chunks_, threads_;
  const Body body_;
  // A cache line for each, so that claims of one thread do not slow down those of another.
  struct alignas(64) Claim {
    std::atomic<int64_t> next;  // the next phase in which the chunk can be claimed
  };
  std::vector<Claim> claims_;
  alignas(64) std::atomic<int64_t> done_{0};
};
