// The loops over time of any cell, forward and backward.
//
// A cell is a struct `Cell` with its sizes and its equations on one vector of units; Python writes
// it.  A step multiplies some rows by a block of the recurrent weights, all gates of a block of units
// at once, and applies the equations to the sums while the first-level cache holds them.
#pragma once

#include "phases.h"
#include "sums.h"
#include "vectors.h"

constexpr int kChunksOfThread = 4;  // in one step

static inline int lanes_left(int64_t units, int64_t first) {
  return (int)std::max<int64_t>(0, std::min<int64_t>(kLanes, units - first));
}

// Prepare all blocks of units, then take the steps one after another, on all threads.
//
// The work of a step, `products` multiplications, is shared in blocks of units, and in groups of
// rows where blocks alone are too few to keep all threads busy to the end of the step.
// `take(step, block, row, rows)` does at most kRows rows.
template <int Tile, typename Pool, typename Prepare, typename Take>
void run_steps(Pool& pool, int64_t steps, int64_t blocks, int64_t batch, double products,
               Prepare prepare, Take take) {
  // A thread is worth waking for some microseconds of work.
  const int64_t threads =
      std::max<int64_t>(1, std::min<int64_t>(pool.num_threads(), products / 60000));
  const int64_t tiles = (batch + Tile - 1) / Tile;
  const int64_t wanted = threads == 1 ? 1 : kChunksOfThread * threads;
  const int64_t about = std::max<int64_t>(1, std::min(tiles, (wanted + blocks - 1) / blocks));
  const int64_t rows_of_group = (tiles + about - 1) / about * Tile;
  const int64_t groups = (batch + rows_of_group - 1) / rows_of_group;
  Phases::run(pool, steps + 1, blocks * groups, threads, [=](int64_t phase, int64_t chunk) {
    const int64_t block = chunk / groups, group = chunk % groups;
    if (phase == 0) return group == 0 ? prepare(block) : void();
    const int64_t first = group * rows_of_group, end = std::min(batch, first + rows_of_group);
    for (int64_t row = first; row < end; row += kRows)
      take(phase - 1, block, row, std::min<int64_t>(kRows, end - row));
  });
}

template <typename Cell>
struct Forward {
  static constexpr int G = Cell::gates, C = Cell::arrays;
  static constexpr int Blocks = at_least_one(kColumns / G);  // vectors of units in a block
  static constexpr int Columns = G * Blocks, Tile = rows_of_tile(Columns);

  int64_t T, B, H;
  const Scalar *w_hh, *b_hh, *input_gates[G], *params[at_least_one(Cell::params)];
  const bool *valid, *resets;
  const Scalar *carry[C], *reset_carry[C];
  Scalar *over_time[C], *last[C], *hidden_coefficients;
  Scalar *coefficients[at_least_one(Cell::other_coefficients)], *packed;

  static int64_t blocks(int64_t H) { return (H + Blocks * kLanes - 1) / (Blocks * kLanes); }
  static int64_t packed_size(int64_t H) { return blocks(H) * H * Columns * kLanes; }

  template <typename Pool>
  void run(Pool& pool) const {
    run_steps<Tile>(
        pool, T, blocks(H), B, double(B) * H * G * H, [this](int64_t block) { prepare(block); },
        [this](int64_t t, int64_t block, int64_t row, int64_t rows) { step(t, block, row, rows); });
  }

 private:
  // Pack a block of the weights, [H][gate][unit], and copy its part of the carry.
  void prepare(int64_t block) const {
    for (int64_t k = 0; k < H; k++)
      for (int g = 0; g < G; g++)
        for (int v = 0; v < Blocks; v++) {
          const int64_t unit = (block * Blocks + v) * kLanes;
          const int lanes = lanes_left(H, unit);
          Scalar* to = packed + ((block * H + k) * Columns + g * Blocks + v) * kLanes;
          store(to, lanes ? load(w_hh + k * G * H + g * H + unit, lanes) : Vector{});
        }
    const int64_t first = block * Blocks * kLanes;
    const int64_t units = std::min<int64_t>(Blocks * kLanes, H - first);
    for (int i = 0; i < C; i++)
      if (i != Cell::hidden)
        for (int64_t b = 0; b < B; b++)
          memcpy(last[i] + b * H + first, carry[i] + b * H + first, units * sizeof(Scalar));
  }

  void step(int64_t t, int64_t block, int64_t first_row, int64_t rows) const {
    const Scalar* previous = t ? over_time[Cell::hidden] + (t - 1) * B * H : carry[Cell::hidden];
    Sums<Tile, Columns, Columns> sums;
    bool reset[kRows];
    for (int64_t r = 0; r < rows; r++) {
      const int64_t b = first_row + r;
      reset[r] = resets && resets[t * B + b];
      sums.rows[r] = (reset[r] ? reset_carry[Cell::hidden] : previous) + b * H;
      sums.needed[r] = !valid || valid[t * B + b];
    }
    for (int c = 0; c < Columns; c++) {
      const int64_t unit = (block * Blocks + c % Blocks) * kLanes;
      const int lanes = lanes_left(H, unit);
      const Vector bias = b_hh ? load(b_hh + c / Blocks * H + unit, lanes) : Vector{};
      for (int64_t r = 0; r < rows; r++) sums.of_row[r][c] = bias;
    }
    sums.add_products(packed + block * H * Columns * kLanes, H, rows);
    for (int v = 0; v < Blocks; v++) {
      const int64_t unit = (block * Blocks + v) * kLanes;
      const int lanes = lanes_left(H, unit);
      if (!lanes) return;
      for (int64_t r = 0; r < rows; r++) {
        Vector h[G];
        for (int g = 0; g < G; g++) h[g] = sums.of_row[r][g * Blocks + v];
        if (hidden_coefficients)
          finish<true>(t, first_row + r, unit, lanes, h, previous, reset[r]);
        else
          finish<false>(t, first_row + r, unit, lanes, h, previous, reset[r]);
      }
    }
  }

  // Apply the equations to one vector of units of one row, and store the results.
  template <bool Linearize>
  void finish(int64_t t, int64_t b, int64_t unit, int lanes, const Vector (&h)[G],
              const Scalar* previous_hidden, bool reset) const {
    const int64_t here = b * H + unit, row = t * B + b;
    Vector x[G], c[C], p[at_least_one(Cell::params)], n[C];
    Vector k[at_least_one(Cell::hidden_coefficients + Cell::other_coefficients)];
    for (int g = 0; g < G; g++) x[g] = load(input_gates[g] + row * H + unit, lanes);
    for (int i = 0; i < C; i++) {
      const Scalar* previous = i == Cell::hidden ? previous_hidden : last[i];
      c[i] = load((reset ? reset_carry[i] : previous) + here, lanes);
    }
    for (int i = 0; i < Cell::params; i++) p[i] = load(params[i] + unit, lanes);
    if (!valid || valid[row]) {
      Cell::template update<Linearize>(x, h, c, p, n, k);
    } else {
      for (int i = 0; i < C; i++) n[i] = c[i];
      for (auto& coefficient : k) coefficient = Vector{};
    }
    for (int i = 0; i < C; i++) {
      if (over_time[i]) store(over_time[i] + t * B * H + here, n[i], lanes);
      if (i != Cell::hidden || t == T - 1) store(last[i] + here, n[i], lanes);
    }
    if (!Linearize) return;
    constexpr int R = Cell::hidden_coefficients;
    for (int i = 0; i < R; i++) store(hidden_coefficients + (row * R + i) * H + unit, k[i], lanes);
    for (int i = 0; i < Cell::other_coefficients; i++)
      store(coefficients[i] + row * H + unit, k[R + i], lanes);
  }
};

template <typename Cell>
struct Backward {
  static constexpr int G = Cell::gates, C = Cell::arrays;
  static constexpr int Columns = kColumns, Tile = rows_of_tile(Columns);  // vectors of units

  int64_t T, B, H;
  const Scalar *w_hh, *hidden_coefficients;
  const Scalar* coefficients[at_least_one(Cell::other_coefficients)];
  const bool *valid, *resets;
  const Scalar *d_over_time[C], *d_last[C];
  Scalar *d_hidden_gates, *d_input_gates[G], *d_carry[C], *d_reset_carry[C], *packed;
  Scalar* d_params[at_least_one(Cell::params)];  // of each row

  static int64_t blocks(int64_t H) { return (H + Columns * kLanes - 1) / (Columns * kLanes); }
  static int64_t packed_size(int64_t H) { return blocks(H) * G * H * Columns * kLanes; }

  template <typename Pool>
  void run(Pool& pool) const {
    run_steps<Tile>(
        pool, T + 1, blocks(H), B, double(B) * H * G * H, [this](int64_t block) { prepare(block); },
        [this](int64_t index, int64_t block, int64_t row, int64_t rows) {
          const int64_t t = T - 1 - index, vectors = (H + kLanes - 1) / kLanes - block * Columns;
          if (vectors == 1) return step<1>(t, block, row, rows);
          if (vectors == 2) return step<2>(t, block, row, rows);
          step<Columns>(t, block, row, rows);
        });
  }

 private:
  // Pack a block of the transposed weights, [gate][unit that is read][unit of the block].
  void prepare(int64_t block) const {
    const int64_t first = block * Columns * kLanes;
    const int64_t units = std::min<int64_t>(Columns * kLanes, H - first);
    Scalar* to = packed + block * G * H * Columns * kLanes;
    if (units < Columns * kLanes) memset(to, 0, G * H * Columns * kLanes * sizeof(Scalar));
    for (int64_t k0 = 0; k0 < G * H; k0 += 16)  // whole cache lines of the rows that are read
      for (int64_t unit = 0; unit < units; unit++)
        for (int64_t k = k0; k < std::min(k0 + 16, G * H); k++)
          to[k * Columns * kLanes + unit] = w_hh[(first + unit) * G * H + k];
    for (int64_t b = 0; b < B; b++) {
      for (int i = 0; i < C; i++)
        if (d_reset_carry[i]) memset(d_reset_carry[i] + b * H + first, 0, units * sizeof(Scalar));
      for (int i = 0; i < Cell::params; i++)
        memset(d_params[i] + b * H + first, 0, units * sizeof(Scalar));
    }
  }

  // Step t, or the end of the run at t = -1, for the first `Used` vectors of a block.
  template <int Used>
  void step(int64_t t, int64_t block, int64_t first_row, int64_t rows) const {
    Sums<Tile, Columns, Used> sums;
    for (int64_t r = 0; r < rows; r++)
      for (int c = 0; c < Used; c++) sums.of_row[r][c] = Vector{};
    if (t < T - 1) {
      for (int64_t r = 0; r < rows; r++) {
        sums.rows[r] = d_hidden_gates + ((t + 1) * B + first_row + r) * G * H;
        sums.needed[r] = true;
      }
      sums.add_products(packed + block * G * H * Columns * kLanes, G * H, rows);
    }
    for (int c = 0; c < Used; c++) {
      const int64_t unit = (block * Columns + c) * kLanes;
      const int lanes = lanes_left(H, unit);
      if (!lanes) return;
      for (int64_t r = 0; r < rows; r++) finish(t, first_row + r, unit, lanes, sums.of_row[r][c]);
    }
  }

  // Pull the cotangents of the carry after step t back to its gates and to its start.
  void finish(int64_t t, int64_t b, int64_t unit, int lanes, Vector d_hidden) const {
    const int64_t here = b * H + unit, row = t * B + b;
    Vector d[C];
    for (int i = 0; i < C; i++)
      d[i] = load((t == T - 1 ? d_last[i] : d_carry[i]) + here, lanes);
    d[Cell::hidden] += d_hidden;
    if (t < T - 1 && resets && resets[row + B])
      for (int i = 0; i < C; i++) {
        Scalar* sum = d_reset_carry[i] + here;
        store(sum, load(sum, lanes) + d[i], lanes);
        d[i] = Vector{};
      }
    if (t < 0) {
      for (int i = 0; i < C; i++) store(d_carry[i] + here, d[i], lanes);
      return;
    }
    for (int i = 0; i < C; i++)
      if (d_over_time[i]) d[i] += load(d_over_time[i] + t * B * H + here, lanes);
    constexpr int R = Cell::hidden_coefficients;
    Vector k[at_least_one(R + Cell::other_coefficients)], dh[G] = {}, dx[G] = {}, start[C] = {};
    Vector dp[at_least_one(Cell::params)] = {};
    const bool is_valid = !valid || valid[row];
    if (is_valid) {
      for (int i = 0; i < R; i++)
        k[i] = load(hidden_coefficients + (row * R + i) * H + unit, lanes);
      for (int i = 0; i < Cell::other_coefficients; i++)
        k[R + i] = load(coefficients[i] + row * H + unit, lanes);
      Cell::pull_back(k, d, dh, dx, start, dp);
    } else {
      for (int i = 0; i < C; i++) start[i] = d[i];
    }
    for (int i = 0; i < C; i++) store(d_carry[i] + here, start[i], lanes);
    for (int i = 0; i < Cell::params; i++)
      store(d_params[i] + here, load(d_params[i] + here, lanes) + dp[i], lanes);
    for (int g = 0; g < G; g++) {
      store(d_hidden_gates + (row * G + g) * H + unit, dh[g], lanes);
      if (d_input_gates[g]) store(d_input_gates[g] + row * H + unit, dx[g], lanes);
    }
  }
};
