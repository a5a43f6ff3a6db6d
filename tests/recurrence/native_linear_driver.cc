// Runs the loops of a generated linear cell.
#include "source.cc"

#include "native_driver.h"

static double run(Threads& threads, int64_t T, int64_t B, int64_t H, bool everything) {
  Drawn arrays(1);
  constexpr int G = Cell::gates;
  const int64_t TBH = T * B * H;
  Pool pool{&threads, [](void* state, void (*task)(void*), void* data) {
              ((Threads*)state)->Schedule([task, data] { task(data); });
            }, threads.num_threads()};

  LinearForward<Cell> forward{};
  forward.T = T, forward.B = B, forward.H = H;
  for (int i = 0; i < Cell::params; i++) forward.params[i] = arrays.numbers(H);
  forward.input_gates = arrays.numbers(TBH * G);
  forward.valid = everything ? arrays.mask(T * B) : nullptr;
  forward.resets = everything ? arrays.mask(T * B) : nullptr;
  forward.start = arrays.numbers(B * H);
  forward.reset_state = everything ? arrays.numbers(B * H) : nullptr;
  forward.states = arrays.numbers(TBH);
  forward.last = arrays.numbers(B * H);
  if (Cell::reads_out) {
    forward.start_hidden = arrays.numbers(B * H);
    forward.hidden = arrays.numbers(TBH);
    forward.last_hidden = arrays.numbers(B * H);
  }
  forward.run(pool);

  LinearBackward<Cell> backward{};
  (LinearSequence<Cell>&)backward = forward;
  backward.start = forward.start;
  backward.states = forward.states;
  backward.reset_state = forward.reset_state;
  backward.d_states = everything || !Cell::reads_out ? forward.states : nullptr;
  backward.d_last = forward.last;
  backward.d_input_gates = arrays.numbers(TBH * G);
  for (int i = 0; i < Cell::params; i++) backward.d_params[i] = arrays.numbers(B * H);
  backward.d_start = arrays.numbers(B * H);
  backward.d_reset_state = everything ? arrays.numbers(B * H) : nullptr;
  if (Cell::reads_out) {
    backward.d_hidden = forward.hidden;
    backward.d_last_hidden = forward.last_hidden;
    backward.d_start_hidden = arrays.numbers(B * H);
  }
  backward.run(pool);
  double sum = 0;
  for (int64_t i = 0; i < TBH * G; i++) sum += backward.d_input_gates[i];
  return sum;
}

// One row, whose units are shared by several threads.
int main() { return run_all(run, {{90, 1, 700}}); }
