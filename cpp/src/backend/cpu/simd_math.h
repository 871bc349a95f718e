// Elementary functions on vectors. NaN and Inf propagate; denormal arguments and results are right.
// The bound at each function is the largest error seen against a long double reference, over dense
// samples of the whole range, with FMA (without FMA add 0.5 ulp at most);
// tests/cpp/test_kernels.cpp holds them to it. Functions marked "per lane" call std::.
#pragma once

#include <cmath>

#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// Constants of the number format that the bit tricks below need.
template <class T>
struct FloatFormat;
template <>
struct FloatFormat<float> {
  static constexpr int kMantissa = 23;
  static constexpr std::int32_t kBias = 127;
  static constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
};
template <>
struct FloatFormat<double> {
  static constexpr int kMantissa = 52;
  static constexpr std::int64_t kBias = 1023;
  static constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52
};

/// c[0] + x * (c[1] + x * (...))
template <class T, std::size_t kN>
inline Vec<T> polynomial(Vec<T> x, const T (&c)[kN]) {
  Vec<T> p = Vec<T>::set1(c[kN - 1]);
  for (std::size_t i = kN - 1; i-- > 0;) p = fma(p, x, Vec<T>::set1(c[i]));
  return p;
}

namespace math_detail {

/// 2^n for the integer n that (n + kMagic) = shifted holds in its low bits; n in the normal range.
template <class T>
inline Vec<T> pow2_of_shifted(Vec<T> shifted) {
  using F = FloatFormat<T>;
  using V = Vec<T>;
  const auto n =
      shifted.ubits() + (typename V::UBits{} + std::make_unsigned_t<typename V::Int>(F::kBias));
  return {(typename V::Packet)(n << F::kMantissa)};
}

/// p * 2^n for n (integral values) in about twice the normal range.
template <class T>
inline Vec<T> scale(Vec<T> p, Vec<T> n) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) {
    return {_mm512_maskz_scalef_ps(0xffff, p.v, n.v)};
  } else {
    return {_mm512_maskz_scalef_pd(0xff, p.v, n.v)};
  }
#else
  const Vec<T> magic = Vec<T>::set1(FloatFormat<T>::kMagic);
  const Vec<T> half = fma(n, Vec<T>::set1(T(0.5)), magic);
  const Vec<T> rest = (n - (half - magic)) + magic;
  return p * pow2_of_shifted(half) * pow2_of_shifted(rest);
#endif
}

/// x = n ln 2 + r with |r| <= ln 2 / 2.
template <class T>
inline void reduce_exp(Vec<T> x, Vec<T>& shifted, Vec<T>& n, Vec<T>& r) {
  constexpr bool kSingle = std::is_same_v<T, float>;
  constexpr T kHi = kSingle ? T(0.693359375) : T(6.93145751953125e-1);
  constexpr T kLo = kSingle ? T(-2.12194440e-4) : T(1.42860682030941723212e-6);
  const Vec<T> magic = Vec<T>::set1(FloatFormat<T>::kMagic);
  shifted = fma(x, Vec<T>::set1(T(1.44269504088896340736)), magic);
  n = shifted - magic;
  r = fma(n, Vec<T>::set1(-kHi), x);
  r = fma(n, Vec<T>::set1(-kLo), r);
}

inline constexpr float kExpm1F[] = {1.666666678e-01f, 4.166647455e-02f, 8.333280093e-03f,
                                    1.393420174e-03f, 1.991105489e-04f};
inline constexpr float kExpF[] = {1.666651471e-01f, 4.166637608e-02f, 8.369435041e-03f,
                                  1.394303495e-03f};
inline constexpr double kExpD[] = {1.66666666666666768e-01, 4.16666666666666921e-02,
                                   8.33333333332074259e-03, 1.38888888888686972e-03,
                                   1.98412698887076653e-04, 2.48015873592595489e-05,
                                   2.75572413262353951e-06, 2.75572427601375434e-07,
                                   2.51101286093372735e-08, 2.09246534214626675e-09};

/// log(m 2^k) of a positive normal u with u = m 2^k, m in [sqrt(1/2), sqrt(2)); `c` is a correction
/// to u that was lost in rounding, used where kCorrect.
template <bool kCorrect, class T>
inline Vec<T> log_core(Vec<T> u, Vec<T> extra_exponent, Vec<T> c) {
  using V = Vec<T>;
  using F = FloatFormat<T>;
  using U = std::make_unsigned_t<typename V::Int>;
  constexpr bool kSingle = std::is_same_v<T, float>;
  constexpr U kRootHalf = kSingle ? U(0x3f3504f3) : U(0x3fe6a09e667f3bccULL);
  constexpr U kOne = U(F::kBias) << F::kMantissa;
  constexpr U kFraction = (U(1) << F::kMantissa) - 1;
  constexpr U kMagicBits = U(F::kBias + F::kMantissa) << F::kMantissa;  // 2^mantissa

  const auto splat = [](U x) { return typename V::UBits{} + x; };
  const auto ix = u.ubits() + splat(kOne - kRootHalf);
  const auto k_bits = ix >> F::kMantissa;
  const V k_raw = {(typename V::Packet)(k_bits | splat(kMagicBits))};
  const V k = (k_raw - V::set1(T(U(1) << F::kMantissa) + T(F::kBias)));
  const V m = {(typename V::Packet)((ix & splat(kFraction)) + splat(kRootHalf))};
  V f = m - V::set1(T(1));
  if constexpr (kCorrect) {
    // c / 2^k: matters where u is small; beyond, c / u is far below an ulp.
    const auto inv = (splat(U(2 * F::kBias)) - k_bits) << F::kMantissa;  // 2^-k
    const V inv_pow = {(typename V::Packet)inv};
    f = select<T>(u < V::set1(T(1e18)), fma(c, inv_pow, f), f);
  }
  const V s = f / (V::set1(T(2)) + f);
  const V z = s * s;
  V r;
  if constexpr (kSingle) {
    static constexpr float kL[] = {0xaaaaaa.0p-24f, 0xccce13.0p-25f, 0x91e9ee.0p-25f,
                                   0xf89e26.0p-26f};
    r = z * polynomial(z, kL);
  } else {
    static constexpr double kL[] = {6.666666666666735130e-01, 3.999999999940941908e-01,
                                    2.857142874366239149e-01, 2.222219843214978396e-01,
                                    1.818357216161805012e-01, 1.531383769920937332e-01,
                                    1.479819860511658591e-01};
    r = z * polynomial(z, kL);
  }
  constexpr T kLn2Hi = kSingle ? T(6.9313812256e-01) : T(6.93147180369123816490e-01);
  constexpr T kLn2Lo = kSingle ? T(9.0580006145e-06) : T(1.90821492927058770002e-10);
  const V e = k + extra_exponent;
  const V half_square = V::set1(T(0.5)) * f * f;
  // e ln2_hi - ((f^2/2 - (s (f^2/2 + r) + e ln2_lo)) - f)
  const V inner = fma(e, V::set1(kLn2Lo), s * (half_square + r));
  return fma(e, V::set1(kLn2Hi), f - (half_square - inner));
}

template <class T, class F>
inline Vec<T> per_lane(Vec<T> x, F f) {
  alignas(64) T a[Vec<T>::kWidth];
  x.store(a);
  for (int i = 0; i < Vec<T>::kWidth; ++i) a[i] = f(a[i]);
  return Vec<T>::load(a);
}
template <class T, class F>
inline Vec<T> per_lane(Vec<T> x, Vec<T> y, F f) {
  alignas(64) T a[Vec<T>::kWidth];
  alignas(64) T b[Vec<T>::kWidth];
  x.store(a);
  y.store(b);
  for (int i = 0; i < Vec<T>::kWidth; ++i) a[i] = f(a[i], b[i]);
  return Vec<T>::load(a);
}

/// Does any element of the mask hold?
template <class T>
inline bool any(typename Vec<T>::Bits mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX__)
  return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#elif defined(__SSE4_1__)
  return !_mm_testz_si128((__m128i)mask, (__m128i)mask);
#else
  bool r = false;
  for (int i = 0; i < Vec<T>::kWidth; ++i) r |= mask[i] != 0;
  return r;
#endif
}

}  // namespace math_detail

namespace math_detail {
/// exp(x) for x that is not large.
template <class T>
inline Vec<T> exp_below(Vec<T> x) {
  using V = Vec<T>;
  constexpr bool kSingle = std::is_same_v<T, float>;
  x = at_least(x, V::set1(kSingle ? T(-104) : T(-746)));
  V shifted, n, r;
  math_detail::reduce_exp(x, shifted, n, r);
  const V r2 = r * r;
  V p;
  if constexpr (kSingle) {
    p = polynomial(r, math_detail::kExpF);
  } else {
    p = polynomial(r, math_detail::kExpD);
  }
  p = fma(p, r, V::set1(T(0.5)));
  p = fma(p, r2, r) + V::set1(T(1));
#if !defined(__AVX512F__)
  // Where no result is subnormal or infinite, n is added to the exponents.
  if (!any<T>(~(abs(x) <= V::set1(kSingle ? T(87) : T(708))))) {
    return {(typename V::Packet)(p.ubits() + (shifted.ubits() << FloatFormat<T>::kMantissa))};
  }
#endif
  return math_detail::scale(p, n);
}
}  // namespace math_detail

/// float 1.0 ulp, double 1.0 ulp.
template <class T>
inline Vec<T> exp(Vec<T> x) {
  return math_detail::exp_below(
      at_most(x, Vec<T>::set1(std::is_same_v<T, float> ? T(89) : T(710))));
}

/// float 1.5 ulp, double 2.0 ulp.
template <class T>
inline Vec<T> expm1(Vec<T> x) {
  using V = Vec<T>;
  constexpr bool kSingle = std::is_same_v<T, float>;
  const V x0 = x;
  const V hi = V::set1(kSingle ? T(89) : T(710));
  const V lo = V::set1(kSingle ? T(-25) : T(-50));
  x = at_least(at_most(x, hi), lo);
  V shifted, n, r;
  math_detail::reduce_exp(x, shifted, n, r);
  const V r2 = r * r;
  V p;
  if constexpr (kSingle) {
    p = polynomial(r, math_detail::kExpm1F);
  } else {
    p = polynomial(r, math_detail::kExpD);
  }
  p = fma(fma(p, r, V::set1(T(0.5))), r2, r);
  // (1 + p) 2^n - 1, halved so that n = 128 does not overflow too early.
  const V half_pow =
      V::set1(T(0.5)) * math_detail::scale(V::set1(T(1)), n - V::set1(T(1))) * V::set1(T(2));
  const V y = fma(half_pow, p, half_pow - V::set1(T(0.5)));
  // Tiny and signed zero arguments return themselves.
  return select<T>(x0 == V::zero(), x0, y + y);
}

/// float 1.0 ulp, double 1.0 ulp. log(0) = -Inf, log(x < 0) = NaN.
template <class T>
inline Vec<T> log(Vec<T> x) {
  using V = Vec<T>;
  constexpr bool kSingle = std::is_same_v<T, float>;
  const auto tiny = x < V::set1(std::numeric_limits<T>::min());
  const V up = V::set1(kSingle ? T(33554432.0) : T(18014398509481984.0));  // 2^25, 2^54
  const V u = select<T>(tiny, x * up, x);
  const V extra = select<T>(tiny, V::set1(kSingle ? T(-25) : T(-54)), V::zero());
  V y = math_detail::log_core<false>(u, extra, V::zero());
  const T inf = std::numeric_limits<T>::infinity();
  y = select<T>(x == V::set1(inf), V::set1(inf), y);
  y = select<T>(x == V::zero(), V::set1(-inf), y);
  y = select<T>(x < V::zero(), V::set1(std::numeric_limits<T>::quiet_NaN()), y);
  return select<T>(x != x, x, y);
}

/// float 1.5 ulp, double 1.5 ulp. log1p(-1) = -Inf, log1p(x < -1) = NaN.
template <class T>
inline Vec<T> log1p(Vec<T> x) {
  using V = Vec<T>;
  const V one = V::set1(T(1));
  const V u = one + x;
  // What the sum lost, from the side that is exact.
  const V lost = select<T>(x > one, one - (u - x), x - (u - one));
  V y = math_detail::log_core<true>(u, V::zero(), lost);
  const T inf = std::numeric_limits<T>::infinity();
  y = select<T>(x == V::set1(inf), x, y);
  y = select<T>(u == V::zero(), V::set1(-inf), y);
  y = select<T>(u < V::zero(), V::set1(std::numeric_limits<T>::quiet_NaN()), y);
  y = select<T>(x != x, x, y);
  return select<T>(abs(x) < V::set1(std::numeric_limits<T>::epsilon() / 4), x, y);
}

/// float 1.5 ulp, double 1.5 ulp.
template <class T>
inline Vec<T> tanh(Vec<T> x) {
  using V = Vec<T>;
  constexpr bool kSingle = std::is_same_v<T, float>;
  const V t = abs(x);
  const auto small = t < V::set1(T(0.625));
  const V s = x * x;
  const V one = V::set1(T(1));
  const V two = V::set1(T(2));
  const V e = exp(t + t);
  if constexpr (kSingle) {
    static constexpr float kT[] = {-3.333333091e-01f, 1.333320977e-01f,  -5.394720465e-02f,
                                   2.170296897e-02f,  -8.182678013e-03f, 2.147540334e-03f};
    const V near = fma(polynomial(s, kT) * s, x, x);
    const V far = copy_sign(one - two / (one + e), x);
    return select<T>(small, near, far);
  } else {
    static constexpr double kP[] = {-1.61468768441708447952e3, -9.92877231001918586564e1,
                                    -9.64399179425052238628e-1};
    static constexpr double kQ[] = {4.84406305325125486048e3, 2.23548839060100448583e3,
                                    1.12811678491632931402e2, 1.0};
    const V num = select<T>(small, polynomial(s, kP) * s * x, two);
    const V den = select<T>(small, polynomial(s, kQ), one + e);
    const V z = num / den;
    return select<T>(small, x + z, copy_sign(one - z, x));
  }
}

/// 1 / (1 + exp(-x)): float 2.5 ulp, double 2.5 ulp.
template <class T>
inline Vec<T> sigmoid(Vec<T> x) {
  using V = Vec<T>;
  const V below = {(typename V::Packet)(x.ubits() | V::sign_bits())};  // -|x|
  const V e = math_detail::exp_below(below);
  const V one = V::set1(T(1));
  return select<T>(x >= V::zero(), one, e) / (one + e);
}

/// float 1.5 ulp; double per lane, 1 ulp.
template <class T>
inline Vec<T> erf(Vec<T> x) {
  using V = Vec<T>;
  if constexpr (std::is_same_v<T, double>) {
    return math_detail::per_lane(x, [](double a) { return std::erf(a); });
  } else {
    const V t = abs(x);
    const V s = x * x;
    // near 0: x + x p(x^2)
    static constexpr float kNear[] = {1.28379166e-1f,  -3.76125336e-1f, 1.12819925e-1f,
                                      -2.67681349e-2f, 4.99119423e-3f,  -5.96761703e-4f};
    const V near = fma(polynomial(s, kNear), x, x);
    // elsewhere: 1 - exp(-q(|x|)); erf is 1 in float beyond 4
    const V c = at_most(t, V::set1(4.0f));
    static constexpr float kFar[] = {-1.28717512e-1f, -6.34846687e-1f, -1.06777877e-1f,
                                     2.42546219e-2f,  -3.88396438e-3f, 3.83197126e-4f,
                                     -1.72853470e-5f};
    const V q = fma(polynomial(c, kFar), c, -c);
    const V far = copy_sign(V::set1(1.0f) - exp(q), x);
    return select<T>(t > V::set1(0.927734375f), far, near);
  }
}

namespace math_detail {

template <class T>
struct Reduced {
  Vec<T> r;                         // in [-pi/4, pi/4]
  typename Vec<T>::UBits quadrant;  // of x, modulo 4
};

/// x = n pi/2 + r for |x| <= kTrigLimit.
template <class T>
inline constexpr T kTrigLimit = std::is_same_v<T, float> ? T(1e5) : T(8e5);

template <class T>
inline Reduced<T> reduce_trig(Vec<T> x) {
  using V = Vec<T>;
  const V magic = V::set1(FloatFormat<T>::kMagic);
  const V shifted = fma(x, V::set1(T(0.63661977236758134308)), magic);
  const V n = shifted - magic;
  V r;
  if constexpr (std::is_same_v<T, float>) {
    // in double, half a register at a time
    for (int h = 0; h < 2; ++h) {
      using Half __attribute__((vector_size(kVectorBytes / 2))) = float;
      using Wide __attribute__((vector_size(kVectorBytes))) = double;
      Half xh, nh;
      std::memcpy(&xh, reinterpret_cast<const char*>(&x.v) + h * sizeof xh, sizeof xh);
      std::memcpy(&nh, reinterpret_cast<const char*>(&n.v) + h * sizeof nh, sizeof nh);
      const Wide xd = __builtin_convertvector(xh, Wide);
      const Wide nd = __builtin_convertvector(nh, Wide);
      const Wide rd = (xd - nd * 1.57079632673412561417e+00) - nd * 6.07710050650619224932e-11;
      const Half rh = __builtin_convertvector(rd, Half);
      std::memcpy(reinterpret_cast<char*>(&r.v) + h * sizeof rh, &rh, sizeof rh);
    }
  } else {
    r = fma(n, V::set1(-1.57079632673412561417e+00), x);
    r = fma(n, V::set1(-6.07710050630396597660e-11), r);
    r = fma(n, V::set1(-2.02226624879595063154e-21), r);
  }
  return {r, shifted.ubits() & (typename V::UBits{} + 3)};
}

/// sin where the quadrant is even, else cos; negated in quadrants 2 and 3.
template <class T>
inline Vec<T> sin_of(const Reduced<T>& a) {
  using V = Vec<T>;
  const V z = a.r * a.r;
  V s, c;
  const V hz = V::set1(T(0.5)) * z;
  const V w = V::set1(T(1)) - hz;
  if constexpr (std::is_same_v<T, float>) {
    static constexpr float kS[] = {-1.6666654611e-1f, 8.3321608736e-3f, -1.9515295891e-4f};
    static constexpr float kC[] = {4.166664568298827e-2f, -1.388731625493765e-3f,
                                   2.443315711809948e-5f};
    s = fma(polynomial(z, kS) * z, a.r, a.r);
    c = w + fma(polynomial(z, kC), z * z, (V::set1(T(1)) - w) - hz);
  } else {
    static constexpr double kS[] = {-1.66666666666666324348e-01, 8.33333333332248946124e-03,
                                    -1.98412698298579493134e-04, 2.75573137070700676789e-06,
                                    -2.50507602534068634195e-08, 1.58969099521155010221e-10};
    static constexpr double kC[] = {4.16666666666666019037e-02, -1.38888888888741095749e-03,
                                    2.48015872894767294178e-05, -2.75573143513906633035e-07,
                                    2.08757232129817482790e-09, -1.13596475577881948265e-11};
    s = fma(polynomial(z, kS) * z, a.r, a.r);
    c = w + fma(polynomial(z, kC), z * z, (V::set1(T(1)) - w) - hz);
  }
  const auto one = typename V::UBits{} + 1;
  const auto odd = (typename V::Bits)((a.quadrant & one) == one);
  const V y = select<T>(odd, c, s);
  const auto flip = (a.quadrant >> 1) << (sizeof(T) * 8 - 1);
  return {(typename V::Packet)(y.ubits() ^ flip)};
}

}  // namespace math_detail

/// float 1.5 ulp, double 2.5 ulp; beyond 1e5 (8e5) per lane.
template <class T>
inline Vec<T> sin(Vec<T> x) {
  using V = Vec<T>;
  if (math_detail::any<T>(~(abs(x) <= V::set1(math_detail::kTrigLimit<T>)))) [[unlikely]] {
    const V small = select<T>(abs(x) <= V::set1(math_detail::kTrigLimit<T>), x, V::zero());
    const V y = math_detail::sin_of(math_detail::reduce_trig(small));
    const V z = math_detail::per_lane(x, [](T a) { return std::sin(a); });
    return select<T>(abs(x) <= V::set1(math_detail::kTrigLimit<T>), y, z);
  }
  const V y = math_detail::sin_of(math_detail::reduce_trig(x));
  return select<T>(x == V::zero(), x, y);
}

/// float 1.5 ulp, double 2.5 ulp; beyond 1e5 (8e5) per lane.
template <class T>
inline Vec<T> cos(Vec<T> x) {
  using V = Vec<T>;
  const auto cos_small = [](V a) {
    auto reduced = math_detail::reduce_trig(a);
    const auto q = typename V::UBits{} + 1;
    reduced.quadrant = (reduced.quadrant + q) & (typename V::UBits{} + 3);
    return math_detail::sin_of(reduced);
  };
  const auto in_range = abs(x) <= V::set1(math_detail::kTrigLimit<T>);
  if (math_detail::any<T>(~in_range)) [[unlikely]] {
    const V z = math_detail::per_lane(x, [](T a) { return std::cos(a); });
    return select<T>(in_range, cos_small(select<T>(in_range, x, V::zero())), z);
  }
  return cos_small(x);
}

/// log(1 + exp(x)): float 2 ulp, double 2 ulp.
template <class T>
inline Vec<T> softplus(Vec<T> x) {
  using V = Vec<T>;
  return select<T>(x <= V::zero(), V::zero(), x) + log1p(math_detail::exp_below(-abs(x)));
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
