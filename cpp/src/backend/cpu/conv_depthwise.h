// Depthwise convolution (one input channel and one output channel per group): vectors run along the
// channels, several neighbouring results share each vector of weights.
#pragma once

#include "backend/cpu/conv_geometry.h"
#include "backend/cpu/conv_weights.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// Forward or one phase of backward-data, over dense sources of c channels.
template <class T>
struct DepthwiseConv {
  std::int64_t batch, c;
  Axis axis[3];
  const T* src;
  const T* w;         // (k0, k1, k2, c)
  std::int64_t k[3];  // the convolution's, to find an axis's tap in w
  T* out;
  std::int64_t out_batch;
  std::int64_t out_stride[3];
  Epilogue<T> epilogue;
};

// One vector of channels of R neighbouring results; taps [j2, j2_end) of the last axis exist for
// all.
template <class T, int R, bool Part>
void depthwise_results(const DepthwiseConv<T>& p, const Line& line, std::int64_t q,
                       std::int64_t channel, std::int64_t left, std::int64_t j2,
                       std::int64_t j2_end, T* out) {
  const Axis* a = p.axis;
  const auto get = [left](const T* at) {
    if constexpr (Part) {
      return Vec<T>::load_partial(at, left);
    } else {
      return Vec<T>::load(at);
    }
  };
  Vec<T> acc[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) acc[r] = Vec<T>::zero();
  const std::int64_t apart = a[2].scale * p.c;
  for (std::int64_t j0 = 0; j0 < a[0].taps; ++j0) {
    const std::int64_t s0 = line.q0 * a[0].scale + a[0].base + j0 * a[0].step;
    if (s0 < 0 || s0 >= a[0].src) continue;
    for (std::int64_t j1 = 0; j1 < a[1].taps; ++j1) {
      const std::int64_t s1 = line.q1 * a[1].scale + a[1].base + j1 * a[1].step;
      if (s1 < 0 || s1 >= a[1].src) continue;
      const std::int64_t tap =
          ((a[0].first_tap + j0 * a[0].tap_step) * p.k[1] + a[1].first_tap + j1 * a[1].tap_step) *
              p.k[2] +
          a[2].first_tap;
      const T* row = p.src + ((line.n * a[0].src + s0) * a[1].src + s1) * a[2].src * p.c + channel;
      const T* w = p.w + tap * p.c + channel;
      for (std::int64_t j = j2; j < j2_end; ++j) {
        const T* x = row + (q * a[2].scale + a[2].base + j * a[2].step) * p.c;
        const Vec<T> wv = get(w + j * a[2].tap_step * p.c);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) acc[r] = fma(get(x + r * apart), wv, acc[r]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    Vec<T> v = acc[r];
    if (p.epilogue.bias != nullptr) v = v + get(p.epilogue.bias + channel);
    if (p.epilogue.act == Activation::kRelu) v = Vec<T>{relu_of(v.v)};
    if constexpr (Part) {
      v.store_partial(out + r * p.out_stride[2], left);
    } else {
      v.store(out + r * p.out_stride[2]);
    }
  }
}

// All channels of R neighbouring results.
template <class T, int R>
void depthwise_channels(const DepthwiseConv<T>& p, const Line& line, std::int64_t q,
                        std::int64_t j2, std::int64_t j2_end, T* out) {
  constexpr int kW = Vec<T>::kWidth;
  std::int64_t c = 0;
  for (; c + kW <= p.c; c += kW) {
    depthwise_results<T, R, false>(p, line, q, c, kW, j2, j2_end, out + c);
  }
  if (c < p.c) depthwise_results<T, R, true>(p, line, q, c, p.c - c, j2, j2_end, out + c);
}

/// Results [lo, hi) of a line have all taps of the last axis.
template <class T>
void depthwise_line(const DepthwiseConv<T>& p, const Line& line, std::int64_t lo, std::int64_t hi,
                    T* out) {
  constexpr int kR = 6;
  const Axis& a = p.axis[2];
  for (std::int64_t q = 0; q < a.grid;) {
    T* at = out + q * p.out_stride[2];
    if (q >= lo && q + kR <= hi) {
      depthwise_channels<T, kR>(p, line, q, 0, a.taps, at);
      q += kR;
      continue;
    }
    std::int64_t j = 0;
    std::int64_t end = a.taps;
    const auto exists = [&](std::int64_t tap) {
      const std::int64_t s = q * a.scale + a.base + tap * a.step;
      return s >= 0 && s < a.src;
    };
    while (j < end && !exists(j)) ++j;
    while (end > j && !exists(end - 1)) --end;
    depthwise_channels<T, 1>(p, line, q, j, end, at);
    ++q;
  }
}

template <class T>
void run_depthwise(const DepthwiseConv<T>& p, const Exec& exec) {
  const bool relu = p.epilogue.act == Activation::kRelu;  // done in registers
  const Axis* a = p.axis;
  std::int64_t lo = 0;  // results all of whose taps exist along the last axis
  std::int64_t hi = a[2].grid;
  for (std::int64_t j = 0; j < a[2].taps; ++j) {
    std::int64_t from = 0;
    std::int64_t to = 0;
    valid_range(a[2], j, from, to);
    lo = std::max(lo, from);
    hi = std::min(hi, to);
  }
  const std::int64_t taps = a[0].taps * a[1].taps * a[2].taps;
  const std::int64_t cost = a[2].grid * p.c * (taps + 1);
  parallel_for(exec, p.batch * a[0].grid * a[1].grid, grain_for(cost / 4),
               [&](std::int64_t l0, std::int64_t l1) {
                 for (std::int64_t l = l0; l < l1; ++l) {
                   const Line line = line_at(l, a[0].grid, a[1].grid);
                   T* out = p.out + line.n * p.out_batch + line.q0 * p.out_stride[0] +
                            line.q1 * p.out_stride[1];
                   depthwise_line(p, line, lo, hi, out);
                   if (p.epilogue.act != Activation::kNone && !relu) {
                     for (std::int64_t q = 0; q < a[2].grid; ++q) {
                       activate(p.epilogue.act, p.epilogue.alpha, out + q * p.out_stride[2], p.c);
                     }
                   }
                 }
               });
}

// dw of one row of taps (k2 of them, R at a time) over one line of results.
template <class T, int R, bool Part>
void depthwise_weights_taps(const Axis& a, std::int64_t c, std::int64_t left, std::int64_t j,
                            const T* x, const T* dy, T* dw) {
  const auto get = [left](const T* at) {
    if constexpr (Part) {
      return Vec<T>::load_partial(at, left);
    } else {
      return Vec<T>::load(at);
    }
  };
  Vec<T> acc[R];
  std::int64_t lo[R];
  std::int64_t hi[R];
  std::int64_t from = 0;  // results for which all R taps exist
  std::int64_t to = a.grid;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    acc[r] = Vec<T>::zero();
    valid_range(a, j + r, lo[r], hi[r]);
    from = std::max(from, lo[r]);
    to = std::min(to, hi[r]);
  }
  to = std::max(from, to);
  const auto source = [&](std::int64_t q, int r) {
    return x + (q * a.scale + a.base + (j + r) * a.step) * c;
  };
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    for (std::int64_t q = lo[r]; q < std::min(from, hi[r]); ++q) {
      acc[r] = fma(get(source(q, r)), get(dy + q * c), acc[r]);
    }
  }
  for (std::int64_t q = from; q < to; ++q) {
    const Vec<T> g = get(dy + q * c);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[r] = fma(get(source(q, r)), g, acc[r]);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    for (std::int64_t q = std::max(to, lo[r]); q < hi[r]; ++q) {
      acc[r] = fma(get(source(q, r)), get(dy + q * c), acc[r]);
    }
    T* out = dw + r * c;
    if constexpr (Part) {
      (get(out) + acc[r]).store_partial(out, left);
    } else {
      (get(out) + acc[r]).store(out);
    }
  }
}

template <class T, bool Part>
void depthwise_weights_row(const Axis& a, std::int64_t c, std::int64_t left, const T* x,
                           const T* dy, T* dw) {
  std::int64_t j = 0;
  for (; j + 5 <= a.taps && a.taps != 6; j += 5) {
    depthwise_weights_taps<T, 5, Part>(a, c, left, j, x, dy, dw + j * c);
  }
  for (; j + 3 <= a.taps; j += 3) {
    depthwise_weights_taps<T, 3, Part>(a, c, left, j, x, dy, dw + j * c);
  }
  for (; j < a.taps; ++j) {
    depthwise_weights_taps<T, 1, Part>(a, c, left, j, x, dy, dw + j * c);
  }
}

inline std::int64_t depthwise_weight_parts(const ConvGeometry& g) {
  const std::int64_t elements = product3(g.k) * g.c;
  return weight_parts(g.n * g.out[0] * g.out[1], elements * g.out[2] * 4, elements);
}

template <class T>
void run_depthwise_weights(const ConvGeometry& g, const T* x, const T* dy, T* dw, T* workspace,
                           const Exec& exec) {
  constexpr int kW = Vec<T>::kWidth;
  const Axis axis[3] = {forward_axis(g, 0), forward_axis(g, 1), forward_axis(g, 2)};
  const std::int64_t elements = product3(g.k) * g.c;
  const std::int64_t lines = g.n * g.out[0] * g.out[1];
  const std::int64_t n_parts = depthwise_weight_parts(g);
  T* parts = n_parts > 1 ? workspace : dw;
  parallel_for(exec, n_parts, 1, [&](std::int64_t r0, std::int64_t r1) {
    for (std::int64_t r = r0; r < r1; ++r) {
      T* part = parts + r * elements;
      std::fill(part, part + elements, T(0));
      for (std::int64_t l = lines * r / n_parts; l < lines * (r + 1) / n_parts; ++l) {
        const Line line = line_at(l, g.out[0], g.out[1]);
        const T* upstream = dy + l * g.out[2] * g.c;
        for (std::int64_t j0 = 0; j0 < g.k[0]; ++j0) {
          const std::int64_t s0 = line.q0 * g.stride[0] + axis[0].base + j0 * axis[0].step;
          if (s0 < 0 || s0 >= g.in[0]) continue;
          for (std::int64_t j1 = 0; j1 < g.k[1]; ++j1) {
            const std::int64_t s1 = line.q1 * g.stride[1] + axis[1].base + j1 * axis[1].step;
            if (s1 < 0 || s1 >= g.in[1]) continue;
            const T* row = x + ((line.n * g.in[0] + s0) * g.in[1] + s1) * g.in[2] * g.c;
            T* to = part + (j0 * g.k[1] + j1) * g.k[2] * g.c;
            std::int64_t channel = 0;
            for (; channel + kW <= g.c; channel += kW) {
              depthwise_weights_row<T, false>(axis[2], g.c, kW, row + channel, upstream + channel,
                                              to + channel);
            }
            if (channel < g.c) {
              depthwise_weights_row<T, true>(axis[2], g.c, g.c - channel, row + channel,
                                             upstream + channel, to + channel);
            }
          }
        }
      }
    }
  });
  if (n_parts > 1) add_parts(parts, n_parts, elements, dw, exec);
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
