// Runs the loops of a generated cell for many sizes, several calls at once, under a sanitizer.
#include "source.cc"

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <random>

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

static double run(Threads& pool, int seed, int64_t T, int64_t B, int64_t H, bool everything) {
  Drawn arrays(seed);
  constexpr int G = Cell::gates, C = Cell::arrays, R = Cell::hidden_coefficients;
  const int64_t TBH = T * B * H;
  Forward<Cell> forward{T, B, H};
  forward.w_hh = arrays.numbers(H * G * H);
  forward.b_hh = everything ? arrays.numbers(G * H) : nullptr;
  for (int i = 0; i < Cell::params; i++) forward.params[i] = arrays.numbers(H);
  forward.input_gates = arrays.numbers(TBH * G);
  forward.valid = everything ? arrays.mask(T * B) : nullptr;
  forward.resets = everything ? arrays.mask(T * B) : nullptr;
  for (int i = 0; i < C; i++) {
    forward.carry[i] = arrays.numbers(B * H);
    forward.reset_carry[i] = everything ? arrays.numbers(B * H) : nullptr;
    forward.over_time[i] = everything || i == Cell::hidden ? arrays.numbers(TBH) : nullptr;
    forward.last[i] = arrays.numbers(B * H);
  }
  forward.hidden_gates = everything ? arrays.numbers(TBH * G) : nullptr;
  forward.hidden_coefficients = arrays.numbers(TBH * R);
  for (int i = 0; i < Cell::other_coefficients; i++) forward.coefficients[i] = arrays.numbers(TBH);
  forward.packed = arrays.numbers(Forward<Cell>::packed_size(H));
  forward.run(pool);

  Backward<Cell> backward{T, B, H};
  backward.w_hh = forward.w_hh;
  backward.hidden_coefficients = forward.hidden_coefficients;
  for (int i = 0; i < Cell::other_coefficients; i++)
    backward.coefficients[i] = forward.coefficients[i];
  backward.valid = forward.valid;
  backward.resets = forward.resets;
  for (int i = 0; i < C; i++) {
    backward.d_over_time[i] = forward.over_time[i];
    backward.d_last[i] = forward.last[i];
    backward.d_new[i] = everything ? arrays.numbers(TBH) : nullptr;
    backward.d_carry[i] = arrays.numbers(B * H);
    backward.d_reset_carry[i] = everything ? arrays.numbers(B * H) : nullptr;
  }
  backward.d_hidden_gates = arrays.numbers(TBH * G);
  for (int g = 0; g < G; g++) backward.d_input_gates[g] = everything ? arrays.numbers(TBH) : nullptr;
  backward.packed = arrays.numbers(Backward<Cell>::packed_size(H));
  backward.run(pool);
  double sum = 0;
  for (int64_t i = 0; i < TBH * G; i++) sum += backward.d_hidden_gates[i];
  return sum;
}

int main() {
  const int64_t sizes[][3] = {{1, 1, 1}, {3, 2, 5}, {4, 7, 16}, {5, 13, 33}, {2, 40, 64},
                              {6, 3, 130}, {3, 9, 257}, {40, 4, 20}};
  for (int threads : {1, 2, 5}) {
    Threads pool(threads);
    for (auto& size : sizes)
      for (bool everything : {false, true}) {
        const double expected = run(pool, 1, size[0], size[1], size[2], everything);
        std::vector<std::thread> callers;
        std::atomic<int> wrong{0};
        for (int i = 0; i < 3; i++)
          callers.emplace_back([&] {
            wrong += run(pool, 1, size[0], size[1], size[2], everything) != expected;
          });
        for (auto& caller : callers) caller.join();
        if (wrong) return printf("the bits of calls at once differ\n"), 1;
      }
  }
  printf("clean\n");
}
