// The arrays of a call, one after the other.
#pragma once

#include "interface.h"
#include "vectors.h"

class Reader {
 public:
  explicit Reader(const Arrays& arrays) : operand_(arrays.operands), result_(arrays.results) {}

  template <typename T>
  const T* operand() { return (const T*)*operand_++; }

  Scalar* result() { return (Scalar*)*result_++; }

  template <typename T, int N>
  void operands(const T* (&arrays)[N], int count = N) {
    for (int i = 0; i < count; i++) arrays[i] = operand<T>();
  }

  template <int N>
  void results(Scalar* (&arrays)[N], int count = N) {
    for (int i = 0; i < count; i++) arrays[i] = result();
  }

 private:
  const void* const* operand_;
  void* const* result_;
};
