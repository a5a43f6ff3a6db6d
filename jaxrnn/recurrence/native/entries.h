// The functions of a cell's code: they hand the arrays of a call to the loops, by position.
#pragma once

#include "interface.h"
#include "loops.h"
#include "reader.h"

template <typename Cell>
void run_forward(const Arrays& arrays, Pool& pool) {
  Reader reader(arrays);
  Forward<Cell> loop{arrays.T, arrays.B, arrays.H};
  loop.w_hh = reader.operand<Scalar>();
  loop.b_hh = reader.operand<Scalar>();
  reader.operands(loop.params, Cell::params);
  reader.operands(loop.input_gates);
  loop.valid = reader.operand<bool>();
  loop.resets = reader.operand<bool>();
  reader.operands(loop.carry);
  reader.operands(loop.reset_carry);
  reader.results(loop.over_time);
  reader.results(loop.last);
  loop.hidden_coefficients = reader.result();
  reader.results(loop.coefficients, Cell::other_coefficients);
  loop.packed = reader.result();
  loop.run(pool);
}

template <typename Cell>
void run_backward(const Arrays& arrays, Pool& pool) {
  Reader reader(arrays);
  Backward<Cell> loop{arrays.T, arrays.B, arrays.H};
  loop.w_hh = reader.operand<Scalar>();
  loop.hidden_coefficients = reader.operand<Scalar>();
  reader.operands(loop.coefficients, Cell::other_coefficients);
  loop.valid = reader.operand<bool>();
  loop.resets = reader.operand<bool>();
  reader.operands(loop.d_over_time);
  reader.operands(loop.d_last);
  loop.d_hidden_gates = reader.result();
  reader.results(loop.d_input_gates);
  reader.results(loop.d_carry);
  reader.results(loop.d_params, Cell::params);
  reader.results(loop.d_reset_carry);
  loop.packed = reader.result();
  loop.run(pool);
}

#define JAXRNN_DEFINE_ENTRIES(Cell)                                    \
  extern "C" void jaxrnn_forward(const Arrays& arrays, Pool& pool) {   \
    run_forward<Cell>(arrays, pool);                                   \
  }                                                                    \
  extern "C" void jaxrnn_backward(const Arrays& arrays, Pool& pool) {  \
    run_backward<Cell>(arrays, pool);                                  \
  }                                                                    \
  extern "C" int64_t forward_packed_size(int64_t H) {                  \
    return Forward<Cell>::packed_size(H);                              \
  }                                                                    \
  extern "C" int64_t backward_packed_size(int64_t H) {                 \
    return Backward<Cell>::packed_size(H);                             \
  }
