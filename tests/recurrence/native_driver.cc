// Runs the loops of a generated cell.
#include "source.cc"

#include "native_driver.h"

static double run(Threads& pool, int64_t T, int64_t B, int64_t H, bool everything) {
  Drawn arrays(1);
  constexpr int G = Cell::gates, C = Cell::arrays, R = Cell::hidden_coefficients;
  const int64_t TBH = T * B * H;
  Forward<Cell> forward{T, B, H};
  forward.w_hh = arrays.numbers(H * G * H);
  forward.b_hh = everything ? arrays.numbers(G * H) : nullptr;
  for (int i = 0; i < Cell::params; i++) forward.params[i] = arrays.numbers(H);
  for (int g = 0; g < G; g++) forward.input_gates[g] = arrays.numbers(TBH);
  forward.valid = everything ? arrays.mask(T * B) : nullptr;
  forward.resets = everything ? arrays.mask(T * B) : nullptr;
  for (int i = 0; i < C; i++) {
    forward.carry[i] = arrays.numbers(B * H);
    forward.reset_carry[i] = everything ? arrays.numbers(B * H) : nullptr;
    forward.over_time[i] = everything || i == Cell::hidden ? arrays.numbers(TBH) : nullptr;
    forward.last[i] = arrays.numbers(B * H);
  }
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
    backward.d_carry[i] = arrays.numbers(B * H);
    backward.d_reset_carry[i] = everything ? arrays.numbers(B * H) : nullptr;
  }
  for (int i = 0; i < Cell::params; i++) backward.d_params[i] = arrays.numbers(B * H);
  backward.d_hidden_gates = arrays.numbers(TBH * G);
  for (int g = 0; g < G; g++) backward.d_input_gates[g] = everything ? arrays.numbers(TBH) : nullptr;
  backward.packed = arrays.numbers(Backward<Cell>::packed_size(H));
  backward.run(pool);
  double sum = 0;
  for (int64_t i = 0; i < TBH * G; i++) sum += backward.d_hidden_gates[i];
  return sum;
}

int main() { return run_all(run); }
