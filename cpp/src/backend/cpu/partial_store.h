// The first elements of a vector written without masks: AMD's processors before AVX-512 take dozens
// of cycles for a masked store.
#pragma once

#include "backend/kernels.h"

#if defined(__AVX__) && !defined(__AVX512VL__)

#include <immintrin.h>

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline void store_pieces(float* p, __m128 v, std::int64_t n) {
  if (n >= 4) {
    _mm_storeu_ps(p, v);
    return;
  }
  if ((n & 2) != 0) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), v);
    v = _mm_movehl_ps(v, v);
    p += 2;
  }
  if ((n & 1) != 0) _mm_store_ss(p, v);
}

inline void store_pieces(double* p, __m128d v, std::int64_t n) {
  if (n >= 2) {
    _mm_storeu_pd(p, v);
  } else if (n == 1) {
    _mm_store_sd(p, v);
  }
}

inline void store_pieces(float* p, __m256 v, std::int64_t n) {
  if (n >= 8) {
    _mm256_storeu_ps(p, v);
  } else if (n >= 4) {
    _mm_storeu_ps(p, _mm256_castps256_ps128(v));
    store_pieces(p + 4, _mm256_extractf128_ps(v, 1), n - 4);
  } else {
    store_pieces(p, _mm256_castps256_ps128(v), n);
  }
}

inline void store_pieces(double* p, __m256d v, std::int64_t n) {
  if (n >= 4) {
    _mm256_storeu_pd(p, v);
  } else if (n >= 2) {
    _mm_storeu_pd(p, _mm256_castpd256_pd128(v));
    store_pieces(p + 2, _mm256_extractf128_pd(v, 1), n - 2);
  } else {
    store_pieces(p, _mm256_castpd256_pd128(v), n);
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels

#endif
