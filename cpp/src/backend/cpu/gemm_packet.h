// Packets of full, half and quarter width for the matrix kernels: narrow outputs take the packet
// that they fill, and the last packet of a row is read and written under a mask.
#pragma once

#include <cstdint>
#include <cstring>
#include <Eigen/Core>

#include "backend/cpu/partial_store.h"

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

template <class P>
inline constexpr int kLanes = Eigen::internal::unpacket_traits<P>::size;

template <class P>
using LaneOf = typename Eigen::internal::unpacket_traits<P>::type;

template <class T>
using FullPacket = typename Eigen::internal::packet_traits<T>::type;
template <class T>
using HalfPacket = typename Eigen::internal::unpacket_traits<FullPacket<T>>::half;
template <class T>
using QuarterPacket = typename Eigen::internal::unpacket_traits<HalfPacket<T>>::half;

/// The first n (1..lanes) elements of p; the others are zero and are not read.
template <class P>
EIGEN_STRONG_INLINE P load_first(const LaneOf<P>* p, std::int64_t n) {
  using T = LaneOf<P>;
#if defined(__AVX512VL__)
  const auto mask = static_cast<unsigned>((1U << n) - 1U);
  if constexpr (sizeof(P) == 64) {
    if constexpr (sizeof(T) == 4) return _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), p);
    if constexpr (sizeof(T) == 8) return _mm512_maskz_loadu_pd(static_cast<__mmask8>(mask), p);
  }
  if constexpr (sizeof(P) == 32) {
    if constexpr (sizeof(T) == 4) return _mm256_maskz_loadu_ps(static_cast<__mmask8>(mask), p);
    if constexpr (sizeof(T) == 8) return _mm256_maskz_loadu_pd(static_cast<__mmask8>(mask), p);
  }
  if constexpr (sizeof(P) == 16) {
    if constexpr (sizeof(T) == 4) return P(_mm_maskz_loadu_ps(static_cast<__mmask8>(mask), p));
    if constexpr (sizeof(T) == 8) return P(_mm_maskz_loadu_pd(static_cast<__mmask8>(mask), p));
  }
#elif defined(__AVX__)
  static constexpr std::int32_t kOnes[16] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                             0,  0,  0,  0,  0,  0,  0,  0};
  const std::int32_t* m = kOnes + 8 - n * static_cast<std::int64_t>(sizeof(T) / 4);
  if constexpr (sizeof(P) == 32) {
    const __m256i mask = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(m));
    if constexpr (sizeof(T) == 4) return _mm256_maskload_ps(p, mask);
    if constexpr (sizeof(T) == 8) return _mm256_maskload_pd(p, mask);
  }
  if constexpr (sizeof(P) == 16) {
    const __m128i mask = _mm_loadu_si128(reinterpret_cast<const __m128i*>(m));
    if constexpr (sizeof(T) == 4) return P(_mm_maskload_ps(p, mask));
    if constexpr (sizeof(T) == 8) return P(_mm_maskload_pd(p, mask));
  }
#endif
  alignas(64) T buffer[kLanes<P>] = {};
  std::memcpy(buffer, p, static_cast<std::size_t>(n) * sizeof(T));
  return Eigen::internal::pload<P>(buffer);
}

/// Writes the first n (1..lanes) elements and touches nothing behind them.
template <class P>
EIGEN_STRONG_INLINE void store_first(LaneOf<P>* p, const P& v, std::int64_t n) {
  using T = LaneOf<P>;
#if defined(__AVX512VL__)
  const auto mask = static_cast<unsigned>((1U << n) - 1U);
  if constexpr (sizeof(P) == 64) {
    if constexpr (sizeof(T) == 4) return _mm512_mask_storeu_ps(p, static_cast<__mmask16>(mask), v);
    if constexpr (sizeof(T) == 8) return _mm512_mask_storeu_pd(p, static_cast<__mmask8>(mask), v);
  }
  if constexpr (sizeof(P) == 32) {
    if constexpr (sizeof(T) == 4) return _mm256_mask_storeu_ps(p, static_cast<__mmask8>(mask), v);
    if constexpr (sizeof(T) == 8) return _mm256_mask_storeu_pd(p, static_cast<__mmask8>(mask), v);
  }
  if constexpr (sizeof(P) == 16) {
    if constexpr (sizeof(T) == 4) return _mm_mask_storeu_ps(p, static_cast<__mmask8>(mask), v);
    if constexpr (sizeof(T) == 8) return _mm_mask_storeu_pd(p, static_cast<__mmask8>(mask), v);
  }
#elif defined(__AVX__)
  if constexpr (sizeof(P) >= 16) {
    store_pieces(p, v, n);
    return;
  }
#endif
  alignas(64) T buffer[kLanes<P>];
  Eigen::internal::pstore(buffer, v);
  std::memcpy(p, buffer, static_cast<std::size_t>(n) * sizeof(T));
}

/// x > 0 ? x : +0, with the unary kernel's bits: pmax keeps a NaN (and -0) on its left, + 0 makes
/// -0 positive.
template <class P>
EIGEN_STRONG_INLINE P relu_of(const P& x) {
  const P zero = Eigen::internal::pset1<P>(LaneOf<P>(0));
  return Eigen::internal::padd(Eigen::internal::pmax(x, zero), zero);
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
