// The functions of a linear cell's code: they hand the arrays of a call to the loops, by position.
#pragma once

#include "interface.h"
#include "linear_loops.h"
#include "reader.h"

template <typename Cell>
void read_sequence(Reader& reader, LinearSequence<Cell>& sequence) {
  reader.operands(sequence.params, Cell::params);
  sequence.input_gates = reader.operand<Scalar>();
  sequence.valid = reader.operand<bool>();
  sequence.resets = reader.operand<bool>();
}

template <typename Cell>
void run_forward(const Arrays& arrays, Pool& pool) {
  Reader reader(arrays);
  LinearForward<Cell> loop{};
  loop.T = arrays.T, loop.B = arrays.B, loop.H = arrays.H;
  read_sequence<Cell>(reader, loop);
  loop.start_hidden = reader.operand<Scalar>();
  loop.start = reader.operand<Scalar>();
  loop.reset_state = reader.operand<Scalar>();
  loop.hidden = reader.result();
  loop.states = reader.result();
  loop.last_hidden = reader.result();
  loop.last = reader.result();
  loop.run(pool);
}

template <typename Cell>
void run_backward(const Arrays& arrays, Pool& pool) {
  Reader reader(arrays);
  LinearBackward<Cell> loop{};
  loop.T = arrays.T, loop.B = arrays.B, loop.H = arrays.H;
  read_sequence<Cell>(reader, loop);
  loop.start = reader.operand<Scalar>();
  loop.states = reader.operand<Scalar>();
  loop.reset_state = reader.operand<Scalar>();
  loop.d_hidden = reader.operand<Scalar>();
  loop.d_states = reader.operand<Scalar>();
  loop.d_last_hidden = reader.operand<Scalar>();
  loop.d_last = reader.operand<Scalar>();
  loop.d_input_gates = reader.result();
  reader.results(loop.d_params, Cell::params);
  loop.d_start_hidden = reader.result();
  loop.d_start = reader.result();
  loop.d_reset_state = reader.result();
  loop.run(pool);
}

#define JAXRNN_DEFINE_LINEAR_ENTRIES(Cell)                             \
  extern "C" void jaxrnn_forward(const Arrays& arrays, Pool& pool) {   \
    run_forward<Cell>(arrays, pool);                                   \
  }                                                                    \
  extern "C" void jaxrnn_backward(const Arrays& arrays, Pool& pool) {  \
    run_backward<Cell>(arrays, pool);                                  \
  }
