// Threads and arrays for drivers that run the loops of a generated cell under a sanitizer.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <random>
#include <vector>

class Threads {
 public:
  explicit Threads(int threads) {
    for (int i = 0; i < threads; i++) threads_.emplace_back([this] { work(); });
  }
  ~Threads() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  template <typename Task>
  void Schedule(Task task) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      tasks_.emplace_back(std::move(task));
    }
    wake_.notify_one();
  }
  int64_t num_threads() const { return threads_.size(); }

 private:
  void work() {
    for (;;) {
      std::function<void()> task;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  bool stop_ = false;
};

// Arrays of exactly the size that the loops may touch.
class Drawn {
 public:
  explicit Drawn(int seed) : generator_(seed) {}
  Scalar* numbers(int64_t size) {
    scalars_.emplace_back(new Scalar[size]);
    for (int64_t i = 0; i < size; i++) scalars_.back()[i] = std::normal_distribution<>()(generator_);
    return scalars_.back().get();
  }
  bool* mask(int64_t size) {
    masks_.emplace_back(new bool[size]);
    for (int64_t i = 0; i < size; i++) masks_.back()[i] = generator_() % 3 > 0;
    return masks_.back().get();
  }

 private:
  std::mt19937 generator_;
  std::vector<std::unique_ptr<Scalar[]>> scalars_;
  std::vector<std::unique_ptr<bool[]>> masks_;
};

struct Sizes {
  int64_t T, B, H;
};

// Calls `run(threads, T, B, H, everything)` for many sizes, also several calls at once, whose results
// must be the same to the last bit.
template <typename Run>
int run_all(Run run, const std::vector<Sizes>& more = {}) {
  std::vector<Sizes> sizes = {{1, 1, 1}, {3, 2, 5}, {4, 7, 16}, {5, 13, 33}, {2, 40, 64},
                              {6, 3, 130}, {3, 9, 257}, {40, 4, 20}};
  sizes.insert(sizes.end(), more.begin(), more.end());
  for (int threads : {1, 2, 5}) {
    Threads pool(threads);
    for (auto& size : sizes)
      for (bool everything : {false, true}) {
        const double expected = run(pool, size.T, size.B, size.H, everything);
        std::vector<std::thread> callers;
        std::atomic<int> wrong{0};
        for (int i = 0; i < 3; i++)
          callers.emplace_back([&] {
            wrong += run(pool, size.T, size.B, size.H, everything) != expected;
          });
        for (auto& caller : callers) caller.join();
        if (wrong) return printf("the bits of calls at once differ\n"), 1;
      }
  }
  printf("clean\n");
  return 0;
}
