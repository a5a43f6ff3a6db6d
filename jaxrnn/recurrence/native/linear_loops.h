// The loops over time of any linear cell, forward and backward.
//
// A cell is a struct `Cell` with its sizes and its equations on one vector of units; Python writes
// it.  A thread keeps its part of the state in its cache and reads the sequence once, from one end
// to the other.  The backward loop computes the coefficients anew, from the gates.
#pragma once

#include "phases.h"
#include "vectors.h"

constexpr int at_least_one(int n) { return n < 1 ? 1 : n; }

template <typename Cell>
struct LinearSequence {
  static constexpr int G = Cell::gates, P = Cell::params;

  int64_t T, B, H;
  const Scalar *params[at_least_one(P)], *input_gates;
  const bool *valid, *resets;

  // Calls step(i, row, first unit, lanes) for all rows and units at each step i.
  template <typename Step>
  void run(Pool& pool, Step step) const {
    // A thread is worth waking for some microseconds of work.
    const int64_t threads =
        std::max<int64_t>(1, std::min<int64_t>(pool.num_threads(), T * B * H / 16384));
    const int64_t groups = std::min(B, threads), blocks = (H + kLanes - 1) / kLanes;
    const int64_t parts = std::min(blocks, (threads + groups - 1) / groups);
    Phases::run(pool, 1, groups * parts, threads, [=, *this](int64_t, int64_t chunk) {
      const int64_t group = chunk / parts, part = chunk % parts;
      for (int64_t i = 0; i < T; i++)
        for (int64_t row = B * group / groups; row < B * (group + 1) / groups; row++)
          for (int64_t u = blocks * part / parts; u < blocks * (part + 1) / parts; u++)
            step(i, row, u * kLanes, (int)std::min<int64_t>(kLanes, H - u * kLanes));
    });
  }

  bool is_valid(int64_t t, int64_t row) const { return !valid || valid[t * B + row]; }
  bool is_reset(int64_t t, int64_t row) const { return resets && resets[t * B + row]; }

  void load_inputs(int64_t t, int64_t row, int64_t unit, int lanes, Vector* x, Vector* p) const {
    const Scalar* gates = input_gates + (t * B + row) * G * H + unit;
    for (int g = 0; g < G; g++) x[g] = load(gates + g * H, lanes);
    for (int i = 0; i < P; i++) p[i] = load(params[i] + unit, lanes);
  }
};

template <typename Cell>
struct LinearForward : LinearSequence<Cell> {
  using Base = LinearSequence<Cell>;
  const Scalar *start_hidden, *start, *reset_state;
  Scalar *hidden, *states, *last_hidden, *last;  // states may be null; hidden, where it is the state

  void run(Pool& pool) const {
    Base::run(pool, [*this](int64_t t, int64_t row, int64_t unit, int lanes) {
      const int64_t at = row * this->H + unit, now = t * this->B * this->H + at;
      Vector state = load((t ? last : start) + at, lanes), output{};
      if (this->is_valid(t, row)) {
        if (this->is_reset(t, row)) state = load(reset_state + at, lanes);
        Vector x[Base::G], p[at_least_one(Base::P)];
        this->load_inputs(t, row, unit, lanes, x, p);
        Cell::update(x, p, state, state, output);
      } else if (Cell::reads_out) {
        output = load((t ? last_hidden : start_hidden) + at, lanes);
      }
      store(last + at, state, lanes);
      if (states) store(states + now, state, lanes);
      if (Cell::reads_out) store(last_hidden + at, output, lanes);
      if (Cell::reads_out) store(hidden + now, output, lanes);
    });
  }
};

template <typename Cell>
struct LinearBackward : LinearSequence<Cell> {
  using Base = LinearSequence<Cell>;
  const Scalar *start, *states, *reset_state;
  const Scalar *d_hidden, *d_states, *d_last_hidden, *d_last;  // over time, or null
  // d_start and d_start_hidden hold the cotangents of the carry on their way.
  Scalar *d_input_gates, *d_params[at_least_one(Cell::params)], *d_start_hidden, *d_start,
      *d_reset_state;

  void run(Pool& pool) const {
    const int64_t T = this->T, B = this->B, H = this->H;
    Base::run(pool, [=, *this](int64_t i, int64_t row, int64_t unit, int lanes) {
      const int64_t t = T - 1 - i, at = row * H + unit, now = t * B * H + at;
      const bool first = i == 0;
      Vector d_state = load((first ? d_last : d_start) + at, lanes), d_output{};
      if (d_states) d_state += load(d_states + now, lanes);
      if (Cell::reads_out) {
        d_output = load((first ? d_last_hidden : d_start_hidden) + at, lanes);
        if (d_hidden) d_output += load(d_hidden + now, lanes);
      }
      Vector dx[Base::G]{}, dp[at_least_one(Base::P)]{}, d_reset{};
      if (this->is_valid(t, row)) {
        const bool reset = this->is_reset(t, row);
        const Scalar* before = reset ? reset_state : t ? states + (t - 1) * B * H : start;
        Vector x[Base::G], p[at_least_one(Base::P)];
        this->load_inputs(t, row, unit, lanes, x, p);
        Cell::pull_back(x, p, load(before + at, lanes), load(states + now, lanes), d_output,
                        d_state, dx, dp);
        d_output = Vector{};
        if (reset) d_reset = d_state, d_state = Vector{};
      }
      Scalar* gates = d_input_gates + (t * B + row) * Base::G * H + unit;
      for (int g = 0; g < Base::G; g++) store(gates + g * H, dx[g], lanes);
      for (int k = 0; k < Base::P; k++) add(d_params[k] + at, dp[k], lanes, first);
      if (d_reset_state) add(d_reset_state + at, d_reset, lanes, first);
      store(d_start + at, d_state, lanes);
      if (Cell::reads_out) store(d_start_hidden + at, d_output, lanes);
    });
  }

  static void add(Scalar* sum, Vector term, int lanes, bool first) {
    store(sum, first ? term : load(sum, lanes) + term, lanes);
  }
};
