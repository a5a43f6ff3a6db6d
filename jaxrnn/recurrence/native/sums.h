// Products of some rows with a block of weights, summed in the first-level cache.
#pragma once

#include <algorithm>
#include <type_traits>

#include "vectors.h"

constexpr int kColumns = kRegisters >= 32 ? 4 : 2;  // vectors of weights in registers, about
constexpr int kRows = 32;                           // rows that are multiplied together, at most
constexpr int kWeightBytes = 24 * 1024;             // of weights, for a cache of 32 to 48 KB

constexpr int at_least_one(int n) { return n < 1 ? 1 : n; }

// Rows of a tile, so that accumulators, weights and one number of the row fit the registers.
constexpr int rows_of_tile(int columns) {
  return at_least_one((kRegisters - 1 - columns) / columns);
}

constexpr int next_smaller(int rows) { return rows > 4 ? 4 : rows > 2 ? 2 : 1; }

// Rows `first` to `end` in tiles of Rows, and what remains in smaller ones.
template <int Rows, typename Body>
static inline void for_tiles(int64_t first, int64_t end, const Body& body) {
  for (; first + Rows <= end; first += Rows) body(first, std::integral_constant<int, Rows>());
  if constexpr (Rows > 1) for_tiles<next_smaller(Rows)>(first, end, body);
}

// The sums of a step for some rows and one block of packed weights, [K][Stride] vectors, of which
// the first `Columns` are used.
template <int Tile, int Stride, int Columns>
struct Sums {
  Vector of_row[kRows][Columns];
  const Scalar* rows[kRows];  // the factors, K each
  bool needed[kRows];         // whether anything reads a row's sums

  // Add all products.  A part of the weights stays in the cache while all rows are multiplied by it.
  void add_products(const Scalar* weights, int64_t K, int64_t num_rows) {
    constexpr int64_t depth = at_least_one(kWeightBytes / (Stride * sizeof(Vector)));
    for (int64_t k = 0; k < K; k += depth)
      for_tiles<Tile>(0, num_rows, [&](int64_t first, auto size) {
        add<decltype(size)::value>(first, weights, k, std::min(K, k + depth));
      });
  }

 private:
  template <int Rows>
  void add(int64_t first, const Scalar* weights, int64_t k, int64_t end) {
    if (std::none_of(needed + first, needed + first + Rows, [](bool is) { return is; })) return;
    Vector sums[Rows][Columns];
    const Scalar* factors[Rows];
    for (int r = 0; r < Rows; r++) {
      factors[r] = rows[first + r];
      for (int c = 0; c < Columns; c++) sums[r][c] = of_row[first + r][c];
    }
    for (weights += k * Stride * kLanes; k < end; k++, weights += Stride * kLanes) {
      Vector w[Columns];
      for (int c = 0; c < Columns; c++) w[c] = load(weights + c * kLanes);
      for (int r = 0; r < Rows; r++)
        for (int c = 0; c < Columns; c++) sums[r][c] += factors[r][k] * w[c];
    }
    for (int r = 0; r < Rows; r++)
      for (int c = 0; c < Columns; c++) of_row[first + r][c] = sums[r][c];
  }
};
