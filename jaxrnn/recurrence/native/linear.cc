// The elementwise linear recurrence and its adjoint: see `linear_recurrence.py`.
//
// A thread keeps its part of the state in its cache and reads the sequence once, from one end to the
// other.  The inner loops are plain, and compilers vectorise them.
#include "interface.h"
#include "phases.h"

#ifdef JAXRNN_FLOAT64
typedef double Scalar;
#else
typedef float Scalar;
#endif

#ifdef JAXRNN_COMPLEX
struct Number {
  Scalar real, imaginary;
};
static inline Number operator+(Number x, Number y) {
  return {x.real + y.real, x.imaginary + y.imaginary};
}
static inline Number operator*(Number x, Number y) {
  return {x.real * y.real - x.imaginary * y.imaginary,
          x.real * y.imaginary + x.imaginary * y.real};
}
#else
typedef Scalar Number;
#endif

// Numbers whose loops are not divided.  A complex product is not rounded alike in a loop's vectors
// and in what remains of them; whole vectors in each part keep that from depending on the threads.
constexpr int64_t kBlock = 32;

struct Recurrence {
  int64_t T, B, H;
  const Number *varying, *constant, *b, *start;  // a is [T, B, H], or one row [H] for all steps
  const bool* resets;                            // [T, B], or null
  Number *all, *last;

  const Number* factors(int64_t t, int64_t row) const {
    return varying ? varying + (t * B + row) * H : constant;
  }

  bool is_reset(int64_t t, int64_t row) const { return resets && resets[t * B + row]; }

  // h[t] = a[t] * h[t-1] + b[t]
  void forward(int64_t row, int64_t t, int64_t first, int64_t end) const {
    const int64_t at = (t * B + row) * H;
    const Number* __restrict a = factors(t, row);
    const Number* __restrict term = b + at;
    const Number* __restrict before = t ? all + at - B * H : start + row * H;
    Number* __restrict h = all + at;
    if (is_reset(t, row))
      for (int64_t i = first; i < end; i++) h[i] = term[i];
    else
      for (int64_t i = first; i < end; i++) h[i] = a[i] * before[i] + term[i];
    if (t == T - 1)
      for (int64_t i = first; i < end; i++) last[row * H + i] = h[i];
  }

  // u[t] = b[t] + m[t+1], m[t] = a[t] * u[t]; m is kept in `last`
  void adjoint(int64_t row, int64_t t, int64_t first, int64_t end) const {
    const int64_t at = (t * B + row) * H;
    const Number* __restrict a = factors(t, row);
    const Number* __restrict term = b + at;
    const Number* after = (t == T - 1 ? start : last) + row * H;  // often the same memory as m
    Number* __restrict u = all + at;
    for (int64_t i = first; i < end; i++) u[i] = term[i] + after[i];
    Number* m = last + row * H;
    if (is_reset(t, row))
      for (int64_t i = first; i < end; i++) m[i] = Number{};
    else
      for (int64_t i = first; i < end; i++) m[i] = a[i] * u[i];
  }

  template <typename Step>
  void run(Pool& pool, Step step) const {
    // A thread is worth waking for some microseconds of work.
    const int64_t worth = T * B * H / 16384, threads =
        std::max<int64_t>(1, std::min<int64_t>(pool.num_threads(), worth));
    const int64_t groups = std::min(B, threads), blocks = (H + kBlock - 1) / kBlock;
    const int64_t parts = std::min(blocks, (threads + groups - 1) / groups);
    Phases::run(pool, 1, groups * parts, threads, [=, *this](int64_t, int64_t chunk) {
      const int64_t group = chunk / parts, part = chunk % parts;
      const int64_t first = blocks * part / parts * kBlock;
      const int64_t end = std::min(H, blocks * (part + 1) / parts * kBlock);
      for (int64_t t = 0; t < T; t++)
        for (int64_t row = B * group / groups; row < B * (group + 1) / groups; row++)
          step(*this, row, t, first, end);
    });
  }
};

static Recurrence recurrence(const Arrays& arrays) {
  const void* const* operands = arrays.operands;
  return {arrays.T,
          arrays.B,
          arrays.H,
          (const Number*)operands[0],
          (const Number*)operands[1],
          (const Number*)operands[2],
          (const Number*)operands[3],
          (const bool*)operands[4],
          (Number*)arrays.results[0],
          (Number*)arrays.results[1]};
}

extern "C" void jaxrnn_forward(const Arrays& arrays, Pool& pool) {
  recurrence(arrays).run(
      pool, [](const Recurrence& all, int64_t row, int64_t t, int64_t first, int64_t end) {
        all.forward(row, t, first, end);
      });
}

extern "C" void jaxrnn_backward(const Arrays& arrays, Pool& pool) {
  recurrence(arrays).run(
      pool, [](const Recurrence& all, int64_t row, int64_t t, int64_t first, int64_t end) {
        all.adjoint(row, all.T - 1 - t, first, end);
      });
}
