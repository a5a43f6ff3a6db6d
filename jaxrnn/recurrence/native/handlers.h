// What XLA calls: operands and results by position, where an array without elements is absent.
#pragma once

#include "loops.h"
#include "xla/ffi/api/ffi.h"

class Reader {
 public:
  Reader(xla::ffi::RemainingArgs args, xla::ffi::RemainingRets rets) : args_(args), rets_(rets) {}

  template <typename T>
  const T* operand() {
    auto buffer = args_.get<xla::ffi::AnyBuffer>(args_read_++).value();
    return buffer.element_count() ? (const T*)buffer.untyped_data() : nullptr;
  }

  Scalar* result() {
    xla::ffi::AnyBuffer buffer = *rets_.get<xla::ffi::AnyBuffer>(rets_read_++).value();
    return buffer.element_count() ? (Scalar*)buffer.untyped_data() : nullptr;
  }

  template <typename T, int N>
  void operands(const T* (&arrays)[N], int count = N) {
    for (int i = 0; i < count; i++) arrays[i] = operand<T>();
  }

  template <int N>
  void results(Scalar* (&arrays)[N], int count = N) {
    for (int i = 0; i < count; i++) arrays[i] = result();
  }

 private:
  xla::ffi::RemainingArgs args_;
  xla::ffi::RemainingRets rets_;
  size_t args_read_ = 0, rets_read_ = 0;
};

template <typename Cell>
xla::ffi::Error run_forward(int64_t T, int64_t B, int64_t H, xla::ffi::ThreadPool pool,
                            xla::ffi::RemainingArgs args, xla::ffi::RemainingRets rets) {
  Reader reader(args, rets);
  Forward<Cell> loop{T, B, H};
  loop.w_hh = reader.operand<Scalar>();
  loop.b_hh = reader.operand<Scalar>();
  reader.operands(loop.params, Cell::params);
  loop.input_gates = reader.operand<Scalar>();
  loop.valid = reader.operand<bool>();
  loop.resets = reader.operand<bool>();
  reader.operands(loop.carry);
  reader.operands(loop.reset_carry);
  reader.results(loop.over_time);
  reader.results(loop.last);
  loop.hidden_gates = reader.result();
  loop.hidden_coefficients = reader.result();
  reader.results(loop.coefficients, Cell::other_coefficients);
  loop.packed = reader.result();
  loop.run(pool);
  return xla::ffi::Error::Success();
}

template <typename Cell>
xla::ffi::Error run_backward(int64_t T, int64_t B, int64_t H, xla::ffi::ThreadPool pool,
                             xla::ffi::RemainingArgs args, xla::ffi::RemainingRets rets) {
  Reader reader(args, rets);
  Backward<Cell> loop{T, B, H};
  loop.w_hh = reader.operand<Scalar>();
  loop.hidden_coefficients = reader.operand<Scalar>();
  reader.operands(loop.coefficients, Cell::other_coefficients);
  loop.valid = reader.operand<bool>();
  loop.resets = reader.operand<bool>();
  reader.operands(loop.d_over_time);
  reader.operands(loop.d_last);
  loop.d_hidden_gates = reader.result();
  reader.results(loop.d_input_gates);
  reader.results(loop.d_new);
  reader.results(loop.d_carry);
  reader.results(loop.d_reset_carry);
  loop.packed = reader.result();
  loop.run(pool);
  return xla::ffi::Error::Success();
}

#define JAXRNN_DEFINE_HANDLERS(Cell)                                             \
  using namespace xla::ffi;                                                      \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(forward, run_forward<Cell>,                      \
                                Ffi::Bind()                                      \
                                    .Attr<int64_t>("T")                          \
                                    .Attr<int64_t>("B")                          \
                                    .Attr<int64_t>("H")                          \
                                    .Ctx<ThreadPool>()                           \
                                    .RemainingArgs()                             \
                                    .RemainingRets());                           \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(backward, run_backward<Cell>,                    \
                                Ffi::Bind()                                      \
                                    .Attr<int64_t>("T")                          \
                                    .Attr<int64_t>("B")                          \
                                    .Attr<int64_t>("H")                          \
                                    .Ctx<ThreadPool>()                           \
                                    .RemainingArgs()                             \
                                    .RemainingRets());                           \
  extern "C" int64_t forward_packed_size(int64_t H) {                            \
    return Forward<Cell>::packed_size(H);                                        \
  }                                                                              \
  extern "C" int64_t backward_packed_size(int64_t H) {                           \
    return Backward<Cell>::packed_size(H);                                       \
  }
