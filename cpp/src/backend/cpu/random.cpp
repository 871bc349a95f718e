// Random numbers: Philox4x32-10 (Salmon et al., 2011), counter based. A counter gives four words of
// 32 bits; 16 counters ("lanes") form a block of 64 words, laid out word by word:
//   word w of lane l of block b is element 64 b + 16 w + l.
// The layout is part of the format: the same key gives the same words on every machine.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "backend/cpu/elementwise_loops.h"
#include "backend/cpu/kernel_list.h"
#include "backend/cpu/odometer.h"
#include "backend/cpu/simd_math.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using std::int64_t;
using std::uint32_t;
using std::uint64_t;

constexpr int kLanes = 16;
constexpr int kWords = 4 * kLanes;    // of a block
constexpr int kDoubles = kWords / 2;  // a float64 takes two words

// 32-bit values, one in each 64-bit element; the upper halves may hold anything.
constexpr int kPerVector = kVectorBytes / 8;
using Wide __attribute__((vector_size(kVectorBytes))) = uint64_t;

/// Product of the lower halves.
inline Wide mul32(Wide a, Wide b) {
#if defined(__AVX512F__)
  return (Wide)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (Wide)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (Wide)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  const Wide low = Wide{} + 0xffffffffu;
  return (a & low) * (b & low);
#endif
}

struct Key {
  uint32_t seed[2];  // the Philox key
  uint32_t draw[2];  // upper half of the counter
};

inline Key read_key(const int64_t* key) {
  const auto seed = static_cast<uint64_t>(key[0]);
  const auto draw = static_cast<uint64_t>(key[1]);
  return {{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
          {static_cast<uint32_t>(draw), static_cast<uint32_t>(draw >> 32)}};
}

/// The 64 words of a block. `attempt` numbers redraws of the same elements; it sits in the top bits
/// of the index, which no real index reaches.
void philox_block(const Key& key, uint64_t block, uint32_t attempt, uint32_t (&out)[kWords]) {
  const Wide low = Wide{} + 0xffffffffu;
  const Wide m0 = Wide{} + 0xD2511F53u;
  const Wide m1 = Wide{} + 0xCD9E8D57u;
  for (int g = 0; g < kLanes; g += kPerVector) {
    Wide index;
    for (int l = 0; l < kPerVector; ++l) {
      index[l] = block * kLanes + static_cast<uint64_t>(g + l);
    }
    Wide c0 = index & low;
    Wide c1 = (index >> 32) ^ (Wide{} + (static_cast<uint64_t>(attempt) << 24));
    Wide c2 = Wide{} + key.draw[0];
    Wide c3 = Wide{} + key.draw[1];
    uint32_t k0 = key.seed[0];
    uint32_t k1 = key.seed[1];
    for (int round = 0; round < 10; ++round) {
      const Wide p0 = mul32(c0, m0);
      const Wide p1 = mul32(c2, m1);
      const Wide n0 = (p1 >> 32) ^ c1 ^ (Wide{} + k0);
      const Wide n2 = (p0 >> 32) ^ c3 ^ (Wide{} + k1);
      c0 = n0;
      c1 = p1;
      c2 = n2;
      c3 = p0;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    const Wide c[4] = {c0, c1, c2, c3};
    for (int w = 0; w < 4; ++w) {
      for (int l = 0; l < kPerVector; ++l) {
        out[w * kLanes + g + l] = static_cast<uint32_t>(c[w][l]);
      }
    }
  }
}

/// Words as floats in [0, 1): 24 bits, or 53 bits of two words.
inline void unit(const uint32_t (&w)[kWords], float* u) {
  for (int i = 0; i < kWords; ++i)
    u[i] = static_cast<float>(static_cast<int>(w[i] >> 8)) * 0x1p-24f;
}
inline double unit_of(uint32_t hi, uint32_t lo) {
  const uint64_t bits = (static_cast<uint64_t>(hi) << 32 | lo) >> 11;
  return static_cast<double>(static_cast<int64_t>(bits)) * 0x1p-53;
}
inline void unit(const uint32_t (&w)[kWords], double* u) {
  for (int h = 0; h < 2; ++h) {
    for (int l = 0; l < kLanes; ++l) {
      u[h * kLanes + l] = unit_of(w[2 * h * kLanes + l], w[(2 * h + 1) * kLanes + l]);
    }
  }
}

template <class T>
constexpr int kPerBlock = sizeof(T) == 4 ? kWords : kDoubles;

/// Box-Muller on pairs (first, second) of uniform numbers: both results, of one block.
template <class T>
void normal_block(const uint32_t (&w)[kWords], T* z) {
  using V = Vec<T>;
  constexpr int kN = kPerBlock<T>;
  T u[kN];
  if constexpr (sizeof(T) == 4) {
    // 31 bits for the radius: the tail reaches 6.6 standard deviations; angle in [-pi, pi)
    for (int pair = 0; pair < 2; ++pair) {
      for (int l = 0; l < kLanes; ++l) {
        const uint32_t r = w[2 * pair * kLanes + l];
        const uint32_t a = w[(2 * pair + 1) * kLanes + l];
        u[2 * pair * kLanes + l] = (static_cast<float>(static_cast<int>(r >> 1)) + 0.5f) * 0x1p-31f;
        u[(2 * pair + 1) * kLanes + l] = static_cast<float>(static_cast<int>(a >> 8) - (1 << 23)) *
                                         (0x1p-23f * 3.14159265358979323846f);
      }
    }
  } else {
    unit(w, u);
    for (int l = 0; l < kLanes; ++l) {
      u[l] = u[l] + 0x1p-54;
      u[kLanes + l] = (u[kLanes + l] - 0.5) * 6.28318530717958647693;
    }
  }
  for (int pair = 0; pair < kN / (2 * kLanes); ++pair) {
    for (int l = 0; l < kLanes; l += V::kWidth) {
      const int i = 2 * pair * kLanes + l;
      const V radius = sqrt(V::set1(T(-2)) * log(V::load(u + i)));
      const V angle = V::load(u + i + kLanes);
      (radius * cos(angle)).store(z + i);
      (radius * sin(angle)).store(z + i + kLanes);
    }
  }
}

template <class T>
void truncated_normal_block(const Key& key, uint64_t block, T* z) {
  constexpr int kN = kPerBlock<T>;
  uint32_t w[kWords];
  philox_block(key, block, 0, w);
  normal_block(w, z);
  for (uint32_t attempt = 1; attempt < 64; ++attempt) {
    bool inside = true;
    for (int i = 0; i < kN; ++i) inside &= std::abs(z[i]) <= T(2);
    if (inside) return;
    T again[kN];
    philox_block(key, block, attempt, w);
    normal_block(w, again);
    for (int i = 0; i < kN; ++i) z[i] = std::abs(z[i]) <= T(2) ? z[i] : again[i];
  }
  for (int i = 0; i < kN; ++i) z[i] = std::clamp(z[i], T(-2), T(2));  // never in practice
}

/// Fills y from blocks of kN elements: make(block, tile).
template <class T, int kN, class F>
void fill_blocks(const Exec& exec, T* y, int64_t n, int cost, F make) {
  const int64_t blocks = (n + kN - 1) / kN;
  parallel_for(exec, blocks, grain_for(int64_t{kN} * cost), [&](int64_t begin, int64_t end) {
    T tile[kN];
    for (int64_t b = begin; b < end; ++b) {
      make(static_cast<uint64_t>(b), tile);
      const int64_t m = std::min<int64_t>(kN, n - b * kN);
      std::memcpy(y + b * kN, tile, static_cast<std::size_t>(m) * sizeof(T));
    }
  });
}

/// A word below this (as 64 bits) happens with the given probability.
inline uint64_t threshold(double probability) {
  if (!(probability > 0)) return 0;
  if (probability >= 1) return uint64_t{1} << 32;
  return static_cast<uint64_t>(std::llround(probability * 0x1p32));
}

template <class T>
void random_floats(const RandomArgs& args, const Key& key, const Exec& exec) {
  constexpr int kN = kPerBlock<T>;
  T* y = static_cast<T*>(args.y);
  const T a = static_cast<T>(args.a);
  const T b = static_cast<T>(args.b);
  switch (args.kind) {
    case RandomKind::kUniform: {
      const T range = static_cast<T>(args.b - args.a);
      const T top = b > a ? std::nextafter(b, a) : a;  // rounding must not reach b
      fill_blocks<T, kN>(exec, y, args.n, 4, [&](uint64_t block, T(&tile)[kN]) {
        uint32_t w[kWords];
        philox_block(key, block, 0, w);
        unit(w, tile);
        if (a == T(0) && range == T(1)) return;
        for (int i = 0; i < kN; ++i) {
          const T v = tile[i] * range + a;
          tile[i] = v < top ? v : top;
        }
      });
      return;
    }
    case RandomKind::kNormal:
      fill_blocks<T, kN>(exec, y, args.n, 8, [&](uint64_t block, T(&tile)[kN]) {
        uint32_t w[kWords];
        philox_block(key, block, 0, w);
        normal_block(w, tile);
        if (a == T(0) && b == T(1)) return;
        for (int i = 0; i < kN; ++i) tile[i] = tile[i] * b + a;
      });
      return;
    default:
      fill_blocks<T, kN>(exec, y, args.n, 16, [&](uint64_t block, T(&tile)[kN]) {
        truncated_normal_block(key, block, tile);
        for (int i = 0; i < kN; ++i) tile[i] = tile[i] * b + a;
      });
  }
}

/// Uniform integers in [a, b).
template <class T>
void random_ints(const RandomArgs& args, const Key& key, const Exec& exec) {
  T* y = static_cast<T*>(args.y);
  const auto low = saturate_to<int64_t>(std::ceil(args.a));
  const auto high = saturate_to<int64_t>(std::ceil(args.b));
  const uint64_t range =
      high > low ? static_cast<uint64_t>(high) - static_cast<uint64_t>(low) : uint64_t{1};
  if (range <= (uint64_t{1} << 32)) {  // one word each
    fill_blocks<T, kWords>(exec, y, args.n, 4, [&](uint64_t block, T(&tile)[kWords]) {
      uint32_t w[kWords];
      philox_block(key, block, 0, w);
      for (int i = 0; i < kWords; ++i) {
        tile[i] = static_cast<T>(static_cast<uint64_t>(low) +
                                 ((range >> 32) != 0 ? w[i] : (w[i] * range) >> 32));
      }
    });
    return;
  }
  fill_blocks<T, kDoubles>(exec, y, args.n, 8, [&](uint64_t block, T(&tile)[kDoubles]) {
    uint32_t w[kWords];
    philox_block(key, block, 0, w);
    for (int i = 0; i < kDoubles; ++i) {
      const int at = i / kLanes * 2 * kLanes + i % kLanes;
      const uint64_t bits = static_cast<uint64_t>(w[at]) << 32 | w[at + kLanes];
      // upper half of the product of 64-bit values
      const uint64_t rl = range & 0xffffffffu, rh = range >> 32;
      const uint64_t bl = bits & 0xffffffffu, bh = bits >> 32;
      const uint64_t mid = bh * rl + ((bl * rl) >> 32);
      const uint64_t mid2 = bl * rh + (mid & 0xffffffffu);
      tile[i] = static_cast<T>(static_cast<uint64_t>(low) + bh * rh + (mid >> 32) + (mid2 >> 32));
    }
  });
}

/// The words of consecutive or scattered draws, one block at a time.
class Draws {
 public:
  explicit Draws(const Key& key) : key_(key) {}
  uint32_t operator[](int64_t draw) {
    const int64_t block = draw / kWords;
    if (block != block_) {
      philox_block(key_, static_cast<uint64_t>(block), 0, words_);
      block_ = block;
    }
    return words_[draw - block * kWords];
  }

 private:
  Key key_;
  int64_t block_ = -1;
  uint32_t words_[kWords];
};

template <class T>
void dropout(const DropoutArgs& args, const Exec& exec) {
  const Key key = read_key(args.key);
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  const uint64_t drop = threshold(args.rate);
  const T scale = args.rate < 1 ? static_cast<T>(1 / (1 - args.rate)) : T(0);
  const auto apply = [&](T v, uint32_t word) { return word >= drop ? v * scale : T(0); };

  if (args.rank == 0) {
    y[0] = apply(x[0], Draws(key)[0]);
    return;
  }
  // Axes that the mask walks densely are one: the ordinary case is a single axis of stride 1.
  int64_t shape[kMaxRank];
  int64_t strides[kMaxRank];
  int rank = 0;
  for (int d = 0; d < args.rank; ++d) {
    if (args.shape[d] == 0) return;
    if (args.shape[d] == 1 && args.rank > 1) continue;
    if (rank > 0 && strides[rank - 1] == args.mask_strides[d] * args.shape[d]) {
      shape[rank - 1] *= args.shape[d];
      strides[rank - 1] = args.mask_strides[d];
    } else {
      shape[rank] = args.shape[d];
      strides[rank] = args.mask_strides[d];
      ++rank;
    }
  }
  if (rank == 0) {
    y[0] = apply(x[0], Draws(key)[0]);
    return;
  }
  const int last = rank - 1;
  const int64_t inner = shape[last];
  const int64_t ms = strides[last];
  if (rank == 1 && ms == 1) {
    const int64_t blocks = (inner + kWords - 1) / kWords;
    parallel_for(exec, blocks, grain_for(kWords * 4), [&](int64_t begin, int64_t end) {
      uint32_t w[kWords];
      for (int64_t b = begin; b < end; ++b) {
        philox_block(key, static_cast<uint64_t>(b), 0, w);
        const int64_t start = b * kWords;
        const int64_t m = std::min<int64_t>(kWords, inner - start);
        if (m == kWords) {
          for (int i = 0; i < kWords; ++i) y[start + i] = apply(x[start + i], w[i]);
        } else {
          for (int64_t i = 0; i < m; ++i) y[start + i] = apply(x[start + i], w[i]);
        }
      }
    });
    return;
  }
  const int64_t rows = count(last, shape);
  const int64_t* const all_strides[1] = {strides};
  parallel_for(exec, rows, grain_for(inner * 4 + 64), [&](int64_t begin, int64_t end) {
    Odometer<1> at(last, shape, all_strides);
    at.seek(begin);
    Draws draws(key);
    for (int64_t r = begin; r < end; ++r, at.next()) {
      const T* from = x + r * inner;
      T* to = y + r * inner;
      if (ms == 0) {
        const bool keep = draws[at.offset(0)] >= drop;
        for (int64_t i = 0; i < inner; ++i) to[i] = keep ? from[i] * scale : T(0);
      } else {
        for (int64_t i = 0; i < inner; ++i) to[i] = apply(from[i], draws[at.offset(0) + i * ms]);
      }
    }
  });
}

}  // namespace

void random_kernel(const RandomArgs& args, const Exec& exec) {
  if (args.n == 0) return;
  const Key key = read_key(args.key);
  visit_dtype(args.dtype, [&]<class T>(TypeTag<T>) {
    if (args.kind == RandomKind::kBernoulli) {
      const uint64_t below = threshold(args.a);
      fill_blocks<T, kWords>(exec, static_cast<T*>(args.y), args.n, 4,
                             [&](uint64_t block, T(&tile)[kWords]) {
                               uint32_t w[kWords];
                               philox_block(key, block, 0, w);
                               for (int i = 0; i < kWords; ++i)
                                 tile[i] = static_cast<T>(w[i] < below);
                             });
    } else if constexpr (std::is_floating_point_v<T>) {
      random_floats<T>(args, key, exec);
    } else if constexpr (!std::is_same_v<T, bool>) {
      random_ints<T>(args, key, exec);
    }
  });
}

void dropout_kernel(const DropoutArgs& args, const Exec& exec) {
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) { dropout<T>(args, exec); });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
