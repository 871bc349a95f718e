#include "backend/cpu/conv_lanes.h"

#include "backend/cpu/conv_tile.h"
#include "backend/cpu/conv_weights.h"
#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

// Lane l takes x[l / sub * sub + s]: what source s of its group holds. Sub false: sub is 1.
template <class T, bool Sub>
struct Spread {
  using Index = typename Vec<T>::Bits;
  Index first{};

  explicit Spread(std::int64_t sub) {
    if constexpr (Sub) {
      for (int l = 0; l < Vec<T>::kWidth; ++l) {
        first[l] = static_cast<typename Vec<T>::Int>(l / sub * sub);
      }
    }
  }

  Vec<T> operator()(Vec<T> x, std::int64_t s) const {
    if constexpr (!Sub) {
      return x;
    } else {
      const Index at = first + static_cast<typename Vec<T>::Int>(s);
#if defined(__AVX512F__)
      if constexpr (sizeof(T) == 4) return {_mm512_permutexvar_ps((__m512i)at, x.v)};
      if constexpr (sizeof(T) == 8) return {_mm512_permutexvar_pd((__m512i)at, x.v)};
#elif defined(__AVX2__)
      if constexpr (sizeof(T) == 4) return {_mm256_permutevar8x32_ps(x.v, (__m256i)at)};
      // Of two, within 128 bits.
      if constexpr (sizeof(T) == 8) return {_mm256_permutevar_pd(x.v, (__m256i)(at << 1))};
#else
      Vec<T> out = x;
      for (int l = 0; l < Vec<T>::kWidth; ++l) out.v[l] = x.v[at[l]];
      return out;
#endif
    }
  }
};

/// Loads and stores of up to a vector of channels.
template <class T, bool Part>
struct Channels {
  std::int64_t left;
  Vec<T> load(const T* at) const {
    if constexpr (Part) {
      return Vec<T>::load_partial(at, left);
    } else {
      return Vec<T>::load(at);
    }
  }
  void store(Vec<T> v, T* at) const {
    if constexpr (Part) {
      v.store_partial(at, left);
    } else {
      v.store(at);
    }
  }
};

/// The rows of sources that a line of results reads, and their taps' weights.
template <class T>
struct LineRows {
  std::int64_t count;
  const T* src[kBandRuns];  // column 0
  const T* w[kBandRuns];    // tap 0 of the last axis
};

/// What is read in place of a column that does not exist: a branch would cost more.
template <class T>
alignas(64) constexpr T kZeros[Vec<T>::kWidth] = {};

/// What of a tile's sources may not exist.
enum class Missing : std::uint8_t { kNothing, kLanes, kColumns };  // kColumns: lanes as well

/// All full vectors of channels, or the rest where something is missing, of R neighbouring results
/// from column q on. Taps of the last axis: K at a time share loads where K > 0, with results Scale
/// apart; K == 0 takes any. Returns the channels done.
template <class T, int R, int K, int Scale, bool Sub, Missing kMissing>
std::int64_t lanes_tile(const LanesConv<T>& p, const LineRows<T>& rows, std::int64_t q,
                        std::int64_t channel, T* out) {
  constexpr int kW = Vec<T>::kWidth;
  const Gather<T>& g = p.gather;
  const Axis a = g.axis[2];
  const std::int64_t c = g.src_pixel;
  const Spread<T, Sub> spread(g.k);
  const std::int64_t subs = Sub ? g.k : 1;
  const std::int64_t s2 = q * a.scale + a.base;
  const std::int64_t to_tap = a.tap_step * subs * c;
  const std::int64_t to_out = g.out_stride[2];
  const bool relu = p.epilogue.act == Activation::kRelu;
  constexpr bool kPart = kMissing != Missing::kNothing;
  for (; kPart ? channel < c : channel + kW <= c; channel += kW) {
    const Channels<T, kPart> lanes{std::min<std::int64_t>(kW, c - channel)};
    Vec<T> acc[R];
    each<R>([&](auto r) { acc[r] = Vec<T>::zero(); });
    for (std::int64_t n = 0; n < rows.count; ++n) {
      const T* row = rows.src[n] + s2 * c + channel;
      const T* w = rows.w[n] + channel;
      const auto source = [&](std::int64_t at, std::int64_t s) {
        const T* from = row + at * c;
        if (kMissing == Missing::kColumns)
          from = s2 + at >= 0 && s2 + at < a.src ? from : kZeros<T>;
        return spread(lanes.load(from), s);
      };
      for (std::int64_t s = 0; s < subs; ++s, w += c) {
        if constexpr (K > 0) {
          Vec<T> wv[K];
          each<K>([&](auto j) { wv[j] = lanes.load(w + j * to_tap); });
          if constexpr (sizeof(Vec<T>) == 64) {
            // Registers for all sources: neighbouring multiply-adds are of different results.
            Vec<T> x[(R - 1) * Scale + K];
            each<(R - 1) * Scale + K>([&](auto at) { x[at] = source(at, s); });
            each<K>([&](auto j) {
              each<R>([&](auto r) { acc[r] = fma(x[r * Scale + j], wv[j], acc[r]); });
            });
          } else {
            each<(R - 1) * Scale + K>([&](auto at) {
              const Vec<T> x = source(at, s);
              each<K>([&](auto j) {
                constexpr int kAt = decltype(at)::value - decltype(j)::value;
                if constexpr (kAt >= 0 && kAt % Scale == 0 && kAt / Scale < R) {
                  acc[kAt / Scale] = fma(x, wv[j], acc[kAt / Scale]);
                }
              });
            });
          }
        } else {
          for (std::int64_t j = 0; j < a.taps; ++j) {
            const Vec<T> wv = lanes.load(w + j * to_tap);
            each<R>([&](auto r) { acc[r] = fma(source(r * a.scale + j * a.step, s), wv, acc[r]); });
          }
        }
      }
    }
    if (p.epilogue.bias != nullptr) {
      const Vec<T> bias = lanes.load(p.epilogue.bias + channel);
      each<R>([&](auto r) { acc[r] = acc[r] + bias; });
    }
    if (relu) {
      each<R>([&](auto r) { acc[r] = Vec<T>{relu_of(acc[r].v)}; });
    }
    each<R>([&](auto r) { lanes.store(acc[r], out + r * to_out + channel); });
  }
  return channel;
}

/// All channels of R results from column q on.
template <class T, int R, int K, int Scale, bool Sub>
void lanes_columns(const LanesConv<T>& p, const LineRows<T>& rows, bool inside, std::int64_t q,
                   T* out) {
  if (!inside) {
    lanes_tile<T, R, K, Scale, Sub, Missing::kColumns>(p, rows, q, 0, out);
    return;
  }
  const std::int64_t done = lanes_tile<T, R, K, Scale, Sub, Missing::kNothing>(p, rows, q, 0, out);
  if (done < p.gather.src_pixel) {
    lanes_tile<T, R, K, Scale, Sub, Missing::kLanes>(p, rows, q, done, out);
  }
}

/// Results of a tile for a line of n: those that cover it with the least work.
inline std::int64_t lanes_tile_results(std::int64_t n) {
  if (n < 6) return n >= 4 ? 4 : n >= 2 ? 2 : 1;
  std::int64_t best = 6;
  for (const std::int64_t r : {7, 8}) {
    if (r <= n && (n + r - 1) / r * r <= (n + best - 1) / best * best) best = r;
  }
  return best;
}

/// A line of results; the last tile begins earlier, and computes some results again.
template <class T, int K, int Scale, bool Sub>
void lanes_line(const LanesConv<T>& p, const LineRows<T>& rows, std::int64_t lo, std::int64_t hi,
                T* out) {
  const std::int64_t n = p.gather.axis[2].grid;
  const std::int64_t r = lanes_tile_results(n);
  for (std::int64_t at = 0;; at = std::min(at + r, n - r)) {
    const bool inside = at >= lo && at + r <= hi;
    T* to = out + at * p.gather.out_stride[2];
    switch (r) {
      case 8:
        lanes_columns<T, 8, K, Scale, Sub>(p, rows, inside, at, to);
        break;
      case 7:
        lanes_columns<T, 7, K, Scale, Sub>(p, rows, inside, at, to);
        break;
      case 6:
        lanes_columns<T, 6, K, Scale, Sub>(p, rows, inside, at, to);
        break;
      case 4:
        lanes_columns<T, 4, K, Scale, Sub>(p, rows, inside, at, to);
        break;
      case 2:
        lanes_columns<T, 2, K, Scale, Sub>(p, rows, inside, at, to);
        break;
      default:
        lanes_columns<T, 1, K, Scale, Sub>(p, rows, inside, at, to);
    }
    if (at + r >= n) return;
  }
}

template <class T>
void find_rows(const LanesConv<T>& p, const Line& line, LineRows<T>& rows) {
  const Gather<T>& g = p.gather;
  const Axis* a = g.axis;
  rows.count = 0;
  for (std::int64_t j0 = 0; j0 < a[0].taps; ++j0) {
    const std::int64_t s0 = line.q0 * a[0].scale + a[0].base + j0 * a[0].step;
    if (s0 < 0 || s0 >= a[0].src) continue;
    for (std::int64_t j1 = 0; j1 < a[1].taps; ++j1) {
      const std::int64_t s1 = line.q1 * a[1].scale + a[1].base + j1 * a[1].step;
      if (s1 < 0 || s1 >= a[1].src) continue;
      rows.src[rows.count] =
          g.src + ((line.n * a[0].src + s0) * a[1].src + s1) * a[2].src * g.src_pixel;
      rows.w[rows.count++] =
          p.w + ((tap_of(a[0], j0) * p.k1 + tap_of(a[1], j1)) * p.k2 + a[2].first_tap) * g.k *
                    g.src_pixel;
    }
  }
}

template <class T>
using LanesLineFn = void (*)(const LanesConv<T>&, const LineRows<T>&, std::int64_t, std::int64_t,
                             T*);

template <class T, bool Sub>
LanesLineFn<T> lanes_line_for(const Axis& a) {
  if (a.step == 1 && a.taps == 3 && a.scale == 1) return lanes_line<T, 3, 1, Sub>;
  if (a.step == 1 && a.taps == 3 && a.scale == 2) return lanes_line<T, 3, 2, Sub>;
  if (!Sub && a.step == 1 && a.taps == 5 && a.scale == 1) return lanes_line<T, 5, 1, false>;
  return lanes_line<T, 0, 1, Sub>;
}

// ---------------------------------------------------------------- weights

/// dw of K1 x K2 taps of the last two axes over one line of results, one vector of channels and
/// source s of its groups. x: the line's source of the first tap of column 0.
template <class T, int K1, int K2, bool Sub, bool Part>
void lanes_weights_tile(const Axis& a1, const Axis& a2, std::int64_t c, std::int64_t sub,
                        std::int64_t left, std::int64_t s, std::int64_t j2, const T* x, const T* dy,
                        T* dw, std::int64_t dw_row) {
  const Channels<T, Part> lanes{left};
  const Spread<T, Sub> spread(sub);
  const std::int64_t row = a1.step * a2.src * c;
  const std::int64_t column = a2.step * c;
  const std::int64_t tap = (Sub ? sub : 1) * c;
  Vec<T> acc[K1 * K2];
  each<K1 * K2>([&](auto i) { acc[i] = Vec<T>::zero(); });
  std::int64_t lo[K2];
  std::int64_t hi[K2];
  std::int64_t from = 0;  // results for which all taps exist
  std::int64_t to = a2.grid;
  each<K2>([&](auto j) {
    valid_range(a2, j2 + j, lo[j], hi[j]);
    from = std::max(from, lo[j]);
    to = std::min(to, hi[j]);
  });
  to = std::max(from, to);
  x += j2 * column;
  const auto add_tap = [&](auto j, std::int64_t q) {
    const Vec<T> g = lanes.load(dy + q * c);
    const T* at = x + q * a2.scale * c + j * column;
    each<K1>([&](auto i) {
      acc[i * K2 + j] = fma(spread(lanes.load(at + i * row), s), g, acc[i * K2 + j]);
    });
  };
  each<K2>([&](auto j) {
    for (std::int64_t q = lo[j]; q < std::min(from, hi[j]); ++q) add_tap(j, q);
  });
  for (std::int64_t q = from; q < to; ++q) {
    const Vec<T> g = lanes.load(dy + q * c);
    const T* at = x + q * a2.scale * c;
    each<K1>([&](auto i) {
      each<K2>([&](auto j) {
        acc[i * K2 + j] = fma(spread(lanes.load(at + i * row + j * column), s), g, acc[i * K2 + j]);
      });
    });
  }
  each<K2>([&](auto j) {
    for (std::int64_t q = std::max(to, lo[j]); q < hi[j]; ++q) add_tap(j, q);
  });
  each<K1>([&](auto i) {
    each<K2>([&](auto j) {
      T* out = dw + i * dw_row + (j2 + j) * tap + s * c;
      lanes.store(lanes.load(out) + acc[i * K2 + j], out);
    });
  });
}

/// K1 rows of taps, all taps of the last axis, all channels.
template <class T, int K1, bool Sub>
void lanes_weights_rows(const Axis& a1, const Axis& a2, std::int64_t c, std::int64_t sub,
                        const T* x, const T* dy, T* dw, std::int64_t dw_row) {
  constexpr int kW = Vec<T>::kWidth;
  const auto columns = [&](auto k2, std::int64_t j2) {
    constexpr int kK2 = decltype(k2)::value;
    for (std::int64_t at = 0; at < c; at += kW) {
      const std::int64_t left = std::min<std::int64_t>(kW, c - at);
      for (std::int64_t s = 0; s < (Sub ? sub : 1); ++s) {
        (left == kW ? lanes_weights_tile<T, K1, kK2, Sub, false>
                    : lanes_weights_tile<T, K1, kK2, Sub, true>)(a1, a2, c, sub, left, s, j2,
                                                                 x + at, dy + at, dw + at, dw_row);
      }
    }
  };
  std::int64_t j = 0;
  while (j < a2.taps) {
    const std::int64_t left = a2.taps - j;
    if (K1 == 1 && left >= 5 && left != 6) {
      columns(std::integral_constant<int, K1 == 1 ? 5 : 1>{}, j);
      j += 5;
    } else if (left >= 3) {
      columns(std::integral_constant<int, 3>{}, j);
      j += 3;
    } else {
      columns(std::integral_constant<int, 1>{}, j);
      ++j;
    }
  }
}

template <class T, bool Sub>
void lanes_weights_part(const ConvGeometry& g, const T* x, const T* dy, std::int64_t l0,
                        std::int64_t l1, T* dw) {
  const Axis a[3] = {forward_axis(g, 0), forward_axis(g, 1), forward_axis(g, 2)};
  const std::int64_t sub = g.c / g.groups;
  const std::int64_t dw_row = g.k[2] * sub * g.c;
  std::fill(dw, dw + g.k[0] * g.k[1] * dw_row, T(0));
  for (std::int64_t l = l0; l < l1; ++l) {
    const Line line = line_at(l, g.out[0], g.out[1]);
    const T* upstream = dy + l * g.out[2] * g.c;
    for (std::int64_t j0 = 0; j0 < g.k[0]; ++j0) {
      const std::int64_t s0 = line.q0 * a[0].scale + a[0].base + j0 * a[0].step;
      if (s0 < 0 || s0 >= g.in[0]) continue;
      const T* plane = x + (line.n * g.in[0] + s0) * g.in[1] * g.in[2] * g.c;
      const std::int64_t s1 = line.q1 * a[1].scale + a[1].base;
      std::int64_t from = 0;  // rows of taps that exist
      std::int64_t to = g.k[1];
      while (from < to && s1 + from * a[1].step < 0) ++from;
      while (to > from && s1 + (to - 1) * a[1].step >= g.in[1]) --to;
      for (std::int64_t j1 = from; j1 < to;) {
        const T* source = plane + ((s1 + j1 * a[1].step) * g.in[2] + a[2].base) * g.c;
        T* out = dw + (j0 * g.k[1] + j1) * dw_row;
        const std::int64_t rows = g.k[2] == 3 ? std::min<std::int64_t>(3, to - j1) : 1;
        (rows == 3 ? lanes_weights_rows<T, 3, Sub>
         : rows == 2
             ? lanes_weights_rows<T, 2, Sub>
             : lanes_weights_rows<T, 1, Sub>)(a[1], a[2], g.c, sub, source, upstream, out, dw_row);
        j1 += rows;
      }
    }
  }
}

}  // namespace

template <class T>
void run_lanes(const LanesConv<T>& p, const Exec& exec) {
  const bool relu = p.epilogue.act == Activation::kRelu;  // done in registers
  const Gather<T>& g = p.gather;
  const Axis* a = g.axis;
  std::int64_t lo = 0;
  std::int64_t hi = 0;
  inner_range(a[2], lo, hi);
  const LanesLineFn<T> run_line =
      g.k > 1 ? lanes_line_for<T, true>(a[2]) : lanes_line_for<T, false>(a[2]);
  const std::int64_t cost = a[2].grid * g.src_pixel * (g.taps() * g.k + 1);
  parallel_for(
      exec, g.batch * a[0].grid * a[1].grid, grain_for(cost / 4),
      [&](std::int64_t l0, std::int64_t l1) {
        LineRows<T> rows;
        for (std::int64_t l = l0; l < l1; ++l) {
          const Line line = line_at(l, a[0].grid, a[1].grid);
          find_rows(p, line, rows);
          T* out =
              p.out + line.n * g.out_batch + line.q0 * g.out_stride[0] + line.q1 * g.out_stride[1];
          run_line(p, rows, lo, hi, out);
          if (p.epilogue.act != Activation::kNone && !relu) {
            for (std::int64_t q = 0; q < a[2].grid; ++q) {
              activate(p.epilogue.act, p.epilogue.alpha, out + q * g.out_stride[2], g.src_pixel);
            }
          }
        }
      });
}

template <class T>
void turn_groups(const ConvGeometry& g, const T* w, T* out) {
  const std::int64_t sub = g.c / g.groups;
  for (std::int64_t t = 0; t < product3(g.k); ++t, w += sub * g.c) {
    for (std::int64_t o = 0; o < sub; ++o) {
      for (std::int64_t c = 0; c < g.c; ++c) *out++ = w[c % sub * g.c + c / sub * sub + o];
    }
  }
}

std::int64_t lanes_weight_parts(const ConvGeometry& g) {
  const std::int64_t elements = product3(g.k) * (g.c / g.groups) * g.c;
  return weight_parts(g.n * g.out[0] * g.out[1], elements * g.out[2] * 4, elements);
}

template <class T>
void run_lanes_weights(const ConvGeometry& g, const T* x, const T* dy, T* dw, T* workspace,
                       const Exec& exec) {
  const std::int64_t elements = product3(g.k) * (g.c / g.groups) * g.c;
  const std::int64_t lines = g.n * g.out[0] * g.out[1];
  const std::int64_t n_parts = lanes_weight_parts(g);
  T* parts = n_parts > 1 ? workspace : dw;
  parallel_for(exec, n_parts, 1, [&](std::int64_t r0, std::int64_t r1) {
    for (std::int64_t r = r0; r < r1; ++r) {
      (g.c > g.groups ? lanes_weights_part<T, true>
                      : lanes_weights_part<T, false>)(g, x, dy, lines * r / n_parts,
                                                      lines * (r + 1) / n_parts,
                                                      parts + r * elements);
    }
  });
  if (n_parts > 1) add_parts(parts, n_parts, elements, dw, exec);
}

#define LAMELLA_LANES_INSTANCES(T)                                 \
  template void run_lanes<T>(const LanesConv<T>&, const Exec&);    \
  template void turn_groups<T>(const ConvGeometry&, const T*, T*); \
  template void run_lanes_weights<T>(const ConvGeometry&, const T*, const T*, T*, T*, const Exec&);
LAMELLA_LANES_INSTANCES(float)
LAMELLA_LANES_INSTANCES(double)
#undef LAMELLA_LANES_INSTANCES

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
