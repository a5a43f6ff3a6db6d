// The functions that XLA calls, compiled once for all cells.
#include <vector>

#include "interface.h"
#include "xla/ffi/api/ffi.h"

using namespace xla::ffi;

static Error call(void (*run)(const Arrays&, Pool&), int64_t T, int64_t B, int64_t H,
                  ThreadPool threads, RemainingArgs args, RemainingRets rets) {
  std::vector<const void*> operands(args.size());
  std::vector<void*> results(rets.size());
  for (size_t i = 0; i < operands.size(); i++) {
    const AnyBuffer buffer = args.get<AnyBuffer>(i).value();
    operands[i] = buffer.element_count() ? buffer.untyped_data() : nullptr;
  }
  for (size_t i = 0; i < results.size(); i++) {
    AnyBuffer buffer = *rets.get<AnyBuffer>(i).value();
    results[i] = buffer.element_count() ? buffer.untyped_data() : nullptr;
  }
  const auto schedule = [](void* state, void (*task)(void*), void* data) {
    ((ThreadPool*)state)->Schedule([task, data] { task(data); });
  };
  Pool pool{&threads, schedule, threads.num_threads()};
  run({operands.data(), results.data(), T, B, H}, pool);
  return Error::Success();
}

static Error run_forward(int64_t T, int64_t B, int64_t H, ThreadPool threads, RemainingArgs args,
                         RemainingRets rets) {
  return call(jaxrnn_forward, T, B, H, threads, args, rets);
}

static Error run_backward(int64_t T, int64_t B, int64_t H, ThreadPool threads, RemainingArgs args,
                          RemainingRets rets) {
  return call(jaxrnn_backward, T, B, H, threads, args, rets);
}

#define JAXRNN_BINDING          \
  Ffi::Bind()                   \
      .Attr<int64_t>("T")       \
      .Attr<int64_t>("B")       \
      .Attr<int64_t>("H")       \
      .Ctx<ThreadPool>()        \
      .RemainingArgs()          \
      .RemainingRets()

XLA_FFI_DEFINE_HANDLER_SYMBOL(forward, run_forward, JAXRNN_BINDING);
XLA_FFI_DEFINE_HANDLER_SYMBOL(backward, run_backward, JAXRNN_BINDING);
