// What a cell's code and the handlers that XLA calls know of each other.
//
// The handlers are the same for all cells, and XLA's headers take longer to compile than a cell.
#pragma once

#include <cstdint>

// XLA's threads.
struct Pool {
  void* state;
  void (*schedule)(void* state, void (*task)(void*), void* data);
  int64_t threads;

  template <typename Task>
  void Schedule(Task task) {
    schedule(
        state,
        [](void* data) {
          Task* task = (Task*)data;
          (*task)();
          delete task;
        },
        new Task(static_cast<Task&&>(task)));
  }

  int64_t num_threads() const { return threads; }
};

// Operands and results by position; null for an array without elements, which is absent.
struct Arrays {
  const void* const* operands;
  void* const* results;
  int64_t T, B, H;
};

extern "C" void jaxrnn_forward(const Arrays& arrays, Pool& pool);
extern "C" void jaxrnn_backward(const Arrays& arrays, Pool& pool);
