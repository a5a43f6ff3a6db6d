// Vectors of numbers and the functions of equations on them.
//
// The vectors are those of GCC and Clang, so the same code becomes AVX-512, AVX2 or NEON.  The
// functions that most cells use are polynomials; the others call the C library lane by lane.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#ifdef JAXRNN_FLOAT64
typedef double Scalar;
typedef int64_t Integer;
#else
typedef float Scalar;
typedef int32_t Integer;
#endif

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRegisters = 32;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32, kRegisters = 16;
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16, kRegisters = 32;
#else
constexpr int kVectorBytes = 16, kRegisters = 16;
#endif

constexpr int kLanes = kVectorBytes / sizeof(Scalar);
typedef Scalar Vector __attribute__((vector_size(kVectorBytes)));
typedef Integer Mask __attribute__((vector_size(kVectorBytes)));
typedef Scalar UnalignedVector
    __attribute__((vector_size(kVectorBytes), aligned(alignof(Scalar)), may_alias));

static inline Vector splat(Scalar x) { return x - Vector{}; }  // a sum would turn -0 into 0

static inline Vector load(const Scalar* from) { return *(const UnalignedVector*)from; }

static inline void store(Scalar* to, Vector x) { *(UnalignedVector*)to = x; }

// The same for the first `lanes` lanes; the others are zero, or are not stored.
static inline Vector load(const Scalar* from, int lanes) {
  if (lanes >= kLanes) return load(from);
  Vector x{};
  memcpy(&x, from, lanes * sizeof(Scalar));
  return x;
}

static inline void store(Scalar* to, Vector x, int lanes) {
  if (lanes >= kLanes) return store(to, x);
  memcpy(to, &x, lanes * sizeof(Scalar));
}

// Comparisons with NaN are false: these return it wherever it is.
static inline Vector maximum(Vector x, Vector y) { return (x > y) | (x != x) ? x : y; }
static inline Vector minimum(Vector x, Vector y) { return (x < y) | (x != x) ? x : y; }

template <typename Function>
static inline Vector lane_by_lane(Vector x, Function function) {
  for (int i = 0; i < kLanes; i++) x[i] = function(x[i]);
  return x;
}

template <typename Function>
static inline Vector lane_by_lane(Vector x, Vector y, Function function) {
  for (int i = 0; i < kLanes; i++) x[i] = function(x[i], y[i]);
  return x;
}

#define JAXRNN_LANE_BY_LANE(name) \
  static inline Vector name(Vector x) { \
    return lane_by_lane(x, [](Scalar s) -> Scalar { return std::name(s); }); \
  }
JAXRNN_LANE_BY_LANE(acos)
JAXRNN_LANE_BY_LANE(acosh)
JAXRNN_LANE_BY_LANE(asin)
JAXRNN_LANE_BY_LANE(asinh)
JAXRNN_LANE_BY_LANE(atan)
JAXRNN_LANE_BY_LANE(atanh)
JAXRNN_LANE_BY_LANE(cbrt)
JAXRNN_LANE_BY_LANE(ceil)
JAXRNN_LANE_BY_LANE(cos)
JAXRNN_LANE_BY_LANE(cosh)
JAXRNN_LANE_BY_LANE(erf)
JAXRNN_LANE_BY_LANE(erfc)
JAXRNN_LANE_BY_LANE(exp2)
JAXRNN_LANE_BY_LANE(floor)
JAXRNN_LANE_BY_LANE(sin)
JAXRNN_LANE_BY_LANE(sinh)
JAXRNN_LANE_BY_LANE(sqrt)
JAXRNN_LANE_BY_LANE(tan)

static inline Vector abs(Vector x) { return x <= 0 ? Vector{} - x : x; }
static inline Vector sign(Vector x) {
  return x > 0 ? splat(1) : x < 0 ? splat(-1) : x;
}
static inline Vector rsqrt(Vector x) { return 1 / sqrt(x); }
static inline Mask is_finite(Vector x) {
  return abs(x) < std::numeric_limits<Scalar>::infinity();
}
static inline Vector atan2(Vector y, Vector x) {
  return lane_by_lane(y, x, [](Scalar a, Scalar b) -> Scalar { return std::atan2(a, b); });
}
static inline Vector pow(Vector x, Vector y) {
  return lane_by_lane(x, y, [](Scalar a, Scalar b) -> Scalar { return std::pow(a, b); });
}
static inline Vector integer_pow(Vector x, int exponent) {
  Vector result = splat(1);
  for (int e = exponent < 0 ? -exponent : exponent; e; e >>= 1, x *= x)
    if (e & 1) result *= x;
  return exponent < 0 ? 1 / result : result;
}

#ifdef JAXRNN_FLOAT64
JAXRNN_LANE_BY_LANE(exp)
JAXRNN_LANE_BY_LANE(expm1)
JAXRNN_LANE_BY_LANE(log)
JAXRNN_LANE_BY_LANE(log1p)
JAXRNN_LANE_BY_LANE(tanh)
#else
// 2^n e^r with |r| <= log(2) / 2, and for e^r a polynomial of degree six, its Taylor series with the
// coefficients of Cephes.  n is applied in two factors, each of which is a finite number.
static inline Vector exp(Vector x) {
  const Scalar largest = 88.7228394f, smallest = -103.972081f;  // inf above, zero below
  Vector clamped = x > largest ? splat(largest) : x < smallest ? splat(smallest) : x;
  const Scalar rounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  Vector shifted = clamped * 1.44269504088896341f + rounder;
  Vector n = shifted - rounder;
  Vector r = clamped - n * 0.693359375f - n * -2.12194440e-4f;
  Vector p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1;
  Mask exponent = (Mask)shifted - (Mask)splat(rounder), half = exponent >> 1;
  Vector result = p * (Vector)((half + 127) << 23) * (Vector)((exponent - half + 127) << 23);
  result = x > largest ? splat(std::numeric_limits<Scalar>::infinity()) : result;
  return x < smallest ? Vector{} : x != x ? x : result;
}

// Near zero a polynomial, its Taylor series; elsewhere nothing is lost by subtracting one.
static inline Vector expm1(Vector x) {
  Vector p = splat(1.0f / 40320);
  p = p * x + 1.0f / 5040;
  p = p * x + 1.0f / 720;
  p = p * x + 1.0f / 120;
  p = p * x + 1.0f / 24;
  p = p * x + 1.0f / 6;
  p = p * x + 1.0f / 2;
  return abs(x) < 0.35f ? p * x * x + x : exp(x) - 1;
}

// log(2^n m) with sqrt(1/2) <= m < sqrt(2), and for log m a polynomial with the coefficients of
// Cephes.
static inline Vector log(Vector x) {
  const Scalar smallest = 1.17549435e-38f, infinity = std::numeric_limits<Scalar>::infinity();
  const Mask subnormal = x < smallest;
  const Mask bits = (Mask)(subnormal ? x * 8388608.0f : x);  // times 2^23
  Mask n = (bits >> 23) - 126 - (subnormal & 23);
  Vector m = (Vector)((bits & 0x007fffff) | 0x3f000000);  // 1/2 <= m < 1
  const Mask small = m < 0.707106781186547524f;
  n = n + small;  // minus one where it is true
  m = small ? m + m - 1 : m - 1;
  const Vector s = m * m, exponent = __builtin_convertvector(n, Vector);
  Vector p = splat(7.0376836292e-2f);
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  Vector result = p * m * s + exponent * -2.12194440e-4f - 0.5f * s + m + exponent * 0.693359375f;
  result = x == infinity ? x : result;
  result = x == 0 ? splat(-infinity) : result;
  return (x < 0) | (x != x) ? splat(std::numeric_limits<Scalar>::quiet_NaN()) : result;
}

// log(1 + x), with what rounding 1 + x loses put back.
static inline Vector log1p(Vector x) {
  const Vector sum = 1 + x, infinity = splat(std::numeric_limits<Scalar>::infinity());
  const Vector lost = x - (sum - 1);
  Vector result = log(sum) + (sum < infinity & sum > 0 ? lost / sum : Vector{});
  return abs(x) < 1e-7f ? x : result;
}

// A quotient of two polynomials, with the coefficients of Eigen.
static inline Vector tanh(Vector x) {
  const Scalar end = 7.90531110763549805f;  // beyond it the quotient would exceed one
  const Scalar one = 9.010914f;             // beyond it tanh rounds to one, and its slope to zero
  Vector c = x > end ? splat(end) : x < -end ? splat(-end) : x;
  Vector s = c * c;
  Vector p = splat(-2.76076847742355e-16f);
  p = p * s + 2.00018790482477e-13f;
  p = p * s - 8.60467152213735e-11f;
  p = p * s + 5.12229709037114e-08f;
  p = p * s + 1.48572235717979e-05f;
  p = p * s + 6.37261928875436e-04f;
  p = p * s + 4.89352455891786e-03f;
  Vector q = splat(1.19825839466702e-06f);
  q = q * s + 1.18534705686654e-04f;
  q = q * s + 2.26843463243900e-03f;
  q = q * s + 4.89352518554385e-03f;
  Vector result = abs(x) < 4e-4f ? x : c * p / q;
  return x > one ? splat(1) : x < -one ? splat(-1) : result;
}
#endif

static inline Vector logistic(Vector x) { return 1 / (1 + exp(-x)); }
