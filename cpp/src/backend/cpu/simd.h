// The vector operations that hand-written kernels need, over Eigen's packets, so that each kernel
// is written once for every instruction set. Partial loads and stores serve the tails: a tail
// element goes through the same instructions, and so gets the same bits, as any other. Comparisons
// and bit work use the vector extensions that GCC and Clang share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <Eigen/Core>
#include <limits>
#include <type_traits>
#include <utility>

#include "backend/cpu/partial_store.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// Bytes of one vector register as Eigen sees it.
inline constexpr int kVectorBytes =
    std::max<int>(16, sizeof(typename Eigen::internal::packet_traits<float>::type));

namespace simd_detail {

template <class T>
struct NativeVector {
  using type __attribute__((vector_size(kVectorBytes))) = T;
};
// Floats use Eigen's packet where Eigen has one, so that Eigen's packet functions apply.
template <class T, bool = (std::is_floating_point_v<T> &&
                           sizeof(typename Eigen::internal::packet_traits<T>::type) > sizeof(T))>
struct PacketOf {
  using type = typename NativeVector<T>::type;
};
template <class T>
struct PacketOf<T, true> {
  using type = typename Eigen::internal::packet_traits<T>::type;
};

template <std::size_t kSize>
struct IntOfSize {
  using type = std::int32_t;
};
template <>
struct IntOfSize<8> {
  using type = std::int64_t;
};

}  // namespace simd_detail

template <class T>
struct Vec {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  using Packet = typename simd_detail::PacketOf<T>::type;
  static constexpr int kWidth = sizeof(Packet) / sizeof(T);
  static constexpr bool kFloating = std::is_floating_point_v<T>;
  using Int = typename simd_detail::IntOfSize<sizeof(T)>::type;
  /// Integers of the element's size, as many as elements; a mask is all ones or all zeros in each.
  using Bits __attribute__((vector_size(sizeof(Packet)))) = Int;
  using UBits __attribute__((vector_size(sizeof(Packet)))) = std::make_unsigned_t<Int>;

  Packet v;

  static Vec load(const T* p) {
    Packet v;
    std::memcpy(&v, p, sizeof v);
    return {v};
  }
  static Vec set1(T x) { return {Packet{} + x}; }
  static Vec zero() { return {Packet{}}; }
  static Vec from_bits(Bits b) { return {(Packet)b}; }
  Bits bits() const { return (Bits)v; }
  UBits ubits() const { return (UBits)v; }

  /// The first n (0..kWidth) elements; the rest are zero.
  static Vec load_partial(const T* p, std::int64_t n) {
#if defined(__AVX512F__)
    const auto m = static_cast<std::uint32_t>((std::uint64_t{1} << n) - 1);
    if constexpr (sizeof(T) == 4) {
      return {(Packet)_mm512_maskz_loadu_epi32(static_cast<__mmask16>(m), p)};
    } else {
      return {(Packet)_mm512_maskz_loadu_epi64(static_cast<__mmask8>(m), p)};
    }
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4) {
      return {(Packet)_mm256_maskload_epi32(reinterpret_cast<const int*>(p), (__m256i)first(n))};
    } else {
      return {
          (Packet)_mm256_maskload_epi64(reinterpret_cast<const long long*>(p), (__m256i)first(n))};
    }
#else
    alignas(64) T buffer[kWidth] = {};
    std::memcpy(buffer, p, static_cast<std::size_t>(n) * sizeof(T));
    return load(buffer);
#endif
  }
  void store(T* p) const { std::memcpy(p, &v, sizeof v); }
  void store_partial(T* p, std::int64_t n) const {
#if defined(__AVX512F__)
    const auto m = static_cast<std::uint32_t>((std::uint64_t{1} << n) - 1);
    if constexpr (sizeof(T) == 4) {
      _mm512_mask_storeu_epi32(p, static_cast<__mmask16>(m), (__m512i)v);
    } else {
      _mm512_mask_storeu_epi64(p, static_cast<__mmask8>(m), (__m512i)v);
    }
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4) {
      store_pieces(reinterpret_cast<float*>(p), (__m256)v, n);
    } else {
      store_pieces(reinterpret_cast<double*>(p), (__m256d)v, n);
    }
#else
    alignas(64) T buffer[kWidth];
    store(buffer);
    std::memcpy(p, buffer, static_cast<std::size_t>(n) * sizeof(T));
#endif
  }

  /// Mask of the first n elements.
  static Bits first(std::int64_t n) {
    alignas(64) static constexpr auto kRamp = [] {
      struct {
        Int a[2 * kWidth];
      } r{};
      for (int i = 0; i < kWidth; ++i) r.a[i] = -1;
      return r;
    }();
    Bits b;
    std::memcpy(&b, kRamp.a + (kWidth - n), sizeof b);
    return b;
  }

  T operator[](int i) const { return v[i]; }

  // Integers wrap around.
  friend Vec operator+(Vec a, Vec b) {
    if constexpr (kFloating) return {a.v + b.v};
    return {(Packet)(a.ubits() + b.ubits())};
  }
  friend Vec operator-(Vec a, Vec b) {
    if constexpr (kFloating) return {a.v - b.v};
    return {(Packet)(a.ubits() - b.ubits())};
  }
  friend Vec operator*(Vec a, Vec b) {
    if constexpr (kFloating) return {a.v * b.v};
    return {(Packet)(a.ubits() * b.ubits())};
  }
  friend Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
  friend Vec operator-(Vec a) {
    if constexpr (kFloating) return {(Packet)(a.ubits() ^ sign_bits())};
    return zero() - a;
  }
  friend Bits operator<(Vec a, Vec b) { return (Bits)(a.v < b.v); }
  friend Bits operator>(Vec a, Vec b) { return (Bits)(a.v > b.v); }
  friend Bits operator<=(Vec a, Vec b) { return (Bits)(a.v <= b.v); }
  friend Bits operator>=(Vec a, Vec b) { return (Bits)(a.v >= b.v); }
  friend Bits operator==(Vec a, Vec b) { return (Bits)(a.v == b.v); }
  friend Bits operator!=(Vec a, Vec b) { return (Bits)(a.v != b.v); }

  static UBits sign_bits() {
    return UBits{} + (std::make_unsigned_t<Int>(1) << (sizeof(T) * 8 - 1));
  }
};

/// a * b + c, fused where the instruction set has it.
template <class T>
inline Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return {_mm512_fmadd_ps(a.v, b.v, c.v)};
  if constexpr (std::is_same_v<T, double>) return {_mm512_fmadd_pd(a.v, b.v, c.v)};
#elif defined(__FMA__)
  if constexpr (std::is_same_v<T, float>) return {_mm256_fmadd_ps(a.v, b.v, c.v)};
  if constexpr (std::is_same_v<T, double>) return {_mm256_fmadd_pd(a.v, b.v, c.v)};
#endif
  return a * b + c;
}

/// mask ? a : b
template <class T>
inline Vec<T> select(typename Vec<T>::Bits mask, Vec<T> a, Vec<T> b) {
  return {mask ? a.v : b.v};
}

template <class T>
inline Vec<T> abs(Vec<T> x) {
  if constexpr (Vec<T>::kFloating) {
    return {(typename Vec<T>::Packet)(x.ubits() & ~Vec<T>::sign_bits())};
  } else {
    return select<T>(x < Vec<T>::zero(), -x, x);
  }
}

/// |x| with the sign of s.
template <class T>
inline Vec<T> copy_sign(Vec<T> x, Vec<T> s) {
  const auto sign = Vec<T>::sign_bits();
  return {(typename Vec<T>::Packet)((x.ubits() & ~sign) | (s.ubits() & sign))};
}

/// The larger; a NaN in either wins, as in numpy.
template <class T>
inline Vec<T> maximum(Vec<T> a, Vec<T> b) {
  const Vec<T> m = select<T>(a > b, a, b);  // b where either is NaN
  if constexpr (Vec<T>::kFloating) return select<T>(a != a, a, m);
  return m;
}
template <class T>
inline Vec<T> minimum(Vec<T> a, Vec<T> b) {
  const Vec<T> m = select<T>(a < b, a, b);
  if constexpr (Vec<T>::kFloating) return select<T>(a != a, a, m);
  return m;
}

// Bounds on floats that leave a NaN in x alone. (The processor's min and max return their second
// operand where either is NaN.)
template <class T>
inline Vec<T> at_most(Vec<T> x, Vec<T> bound) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return {_mm512_maskz_min_ps(0xffff, bound.v, x.v)};
  if constexpr (std::is_same_v<T, double>) return {_mm512_maskz_min_pd(0xff, bound.v, x.v)};
#elif defined(__AVX__)
  if constexpr (std::is_same_v<T, float>) return {_mm256_min_ps(bound.v, x.v)};
  if constexpr (std::is_same_v<T, double>) return {_mm256_min_pd(bound.v, x.v)};
#elif defined(__SSE2__)
  if constexpr (std::is_same_v<T, float>) return {_mm_min_ps(bound.v, x.v)};
  if constexpr (std::is_same_v<T, double>) return {_mm_min_pd(bound.v, x.v)};
#endif
  return select<T>(x > bound, bound, x);
}
template <class T>
inline Vec<T> at_least(Vec<T> x, Vec<T> bound) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return {_mm512_maskz_max_ps(0xffff, bound.v, x.v)};
  if constexpr (std::is_same_v<T, double>) return {_mm512_maskz_max_pd(0xff, bound.v, x.v)};
#elif defined(__AVX__)
  if constexpr (std::is_same_v<T, float>) return {_mm256_max_ps(bound.v, x.v)};
  if constexpr (std::is_same_v<T, double>) return {_mm256_max_pd(bound.v, x.v)};
#elif defined(__SSE2__)
  if constexpr (std::is_same_v<T, float>) return {_mm_max_ps(bound.v, x.v)};
  if constexpr (std::is_same_v<T, double>) return {_mm_max_pd(bound.v, x.v)};
#endif
  return select<T>(x < bound, bound, x);
}

template <class T>
inline Vec<T> sqrt(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return {_mm512_maskz_sqrt_ps(0xffff, x.v)};
  if constexpr (std::is_same_v<T, double>) return {_mm512_maskz_sqrt_pd(0xff, x.v)};
#elif defined(__AVX__)
  if constexpr (std::is_same_v<T, float>) return {_mm256_sqrt_ps(x.v)};
  if constexpr (std::is_same_v<T, double>) return {_mm256_sqrt_pd(x.v)};
#elif defined(__SSE2__)
  if constexpr (std::is_same_v<T, float>) return {_mm_sqrt_ps(x.v)};
  if constexpr (std::is_same_v<T, double>) return {_mm_sqrt_pd(x.v)};
#else
  for (int i = 0; i < Vec<T>::kWidth; ++i) x.v[i] = std::sqrt(x.v[i]);
  return x;
#endif
}

// Rounding to integers (round: half to even).
#if defined(__AVX512F__)
#define LAMELLA_ROUND_(MODE)                                                      \
  if constexpr (std::is_same_v<T, float>)                                         \
    return {_mm512_maskz_roundscale_ps(0xffff, x.v, (MODE) | _MM_FROUND_NO_EXC)}; \
  else                                                                            \
    return { _mm512_maskz_roundscale_pd(0xff, x.v, (MODE) | _MM_FROUND_NO_EXC) }
#elif defined(__AVX__)
#define LAMELLA_ROUND_(MODE)                                   \
  if constexpr (std::is_same_v<T, float>)                      \
    return {_mm256_round_ps(x.v, (MODE) | _MM_FROUND_NO_EXC)}; \
  else                                                         \
    return { _mm256_round_pd(x.v, (MODE) | _MM_FROUND_NO_EXC) }
#elif defined(__SSE4_1__)
#define LAMELLA_ROUND_(MODE)                                \
  if constexpr (std::is_same_v<T, float>)                   \
    return {_mm_round_ps(x.v, (MODE) | _MM_FROUND_NO_EXC)}; \
  else                                                      \
    return { _mm_round_pd(x.v, (MODE) | _MM_FROUND_NO_EXC) }
#endif
template <class T>
inline Vec<T> floor(Vec<T> x) {
#if defined(LAMELLA_ROUND_)
  LAMELLA_ROUND_(_MM_FROUND_TO_NEG_INF);
#else
  for (int i = 0; i < Vec<T>::kWidth; ++i) x.v[i] = std::floor(x.v[i]);
  return x;
#endif
}
template <class T>
inline Vec<T> ceil(Vec<T> x) {
#if defined(LAMELLA_ROUND_)
  LAMELLA_ROUND_(_MM_FROUND_TO_POS_INF);
#else
  for (int i = 0; i < Vec<T>::kWidth; ++i) x.v[i] = std::ceil(x.v[i]);
  return x;
#endif
}
template <class T>
inline Vec<T> round_even(Vec<T> x) {
#if defined(LAMELLA_ROUND_)
  LAMELLA_ROUND_(_MM_FROUND_TO_NEAREST_INT);
#else
  for (int i = 0; i < Vec<T>::kWidth; ++i) x.v[i] = std::nearbyint(x.v[i]);
  return x;
#endif
}
#undef LAMELLA_ROUND_

namespace simd_detail {
template <int kHalf, class T, std::size_t... kI>
inline Vec<T> swap_lanes(Vec<T> x, std::index_sequence<kI...>) {
  return {__builtin_shufflevector(x.v, x.v, (kI ^ kHalf)...)};
}
template <int kHalf, class T, class F>
inline Vec<T> fold_lanes(Vec<T> x, F f) {
  if constexpr (kHalf == 0) {
    return x;
  } else {
    x = f(x, swap_lanes<kHalf>(x, std::make_index_sequence<Vec<T>::kWidth>{}));
    return fold_lanes<kHalf / 2>(x, f);
  }
}
}  // namespace simd_detail

/// Combines the elements of x by f (on vectors), halves first: the order depends on the width
/// alone.
template <class T, class F>
inline T horizontal(Vec<T> x, F f) {
  return simd_detail::fold_lanes<Vec<T>::kWidth / 2>(x, f)[0];
}
template <class T>
inline T sum(Vec<T> x) {
  return horizontal(x, [](Vec<T> a, Vec<T> b) { return a + b; });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
