// Maximum and average pooling. Vectors run along the channels; what is left beyond whole vectors is
// covered by halves, quarters and so on down to one channel, so few channels waste no lanes.
#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "backend/cpu/conv_geometry.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using std::int64_t;

constexpr int64_t kPoolChannels = 64;  // channels of one unit of an overlapping gradient's work

// ---------------------------------------------------------------- channels side by side

/// kWidth (a power of two) neighbouring channels. One or two floats sit in a register of four, for
/// scalar comparisons would become branches that random data mispredict.
template <class T, int kWidth>
struct Lanes {
  static constexpr std::size_t kBytes = kWidth * sizeof(T);
  using V __attribute__((vector_size(kBytes < 16 ? 16 : kBytes))) = T;
  static V get(const T* p) {
    V v{};
    std::memcpy(&v, p, kBytes);
    return v;
  }
  static void put(V v, T* p) { std::memcpy(p, &v, kBytes); }
};

template <int kWidth, class F>
inline void for_remaining_lanes(int64_t c, int64_t end, F& f) {
  if constexpr (kWidth > 0) {
    if ((end - c) & kWidth) {
      f(std::integral_constant<int, kWidth>{}, c);
      c += kWidth;
    }
    for_remaining_lanes<kWidth / 2>(c, end, f);
  }
}
/// f(width as a compile-time constant, first channel) over pieces that cover channels [c, end).
template <class T, class F>
inline void for_lanes(int64_t c, int64_t end, F f) {
  constexpr int kFull = Vec<T>::kWidth;
  for (; c + kFull <= end; c += kFull) f(std::integral_constant<int, kFull>{}, c);
  for_remaining_lanes<kFull / 2>(c, end, f);
}

// ---------------------------------------------------------------- windows

/// The part of a window that lies inside along one dimension: source positions [begin, end).
struct Span {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
  bool holds(int64_t i) const { return i >= begin && i < end; }
};

Span span_of(const ConvGeometry& g, int d, int64_t q) {
  const int64_t at = q * g.stride[d] - g.pad[d];
  const int64_t begin = std::clamp<int64_t>(at, 0, g.in[d]);
  return {begin, std::clamp<int64_t>(at + g.k[d], begin, g.in[d])};
}

/// Where windows do not overlap: the source positions from window q to the next.
Span share_of(const ConvGeometry& g, int d, int64_t q) {
  const auto start = [&](int64_t p) {
    return std::clamp<int64_t>(p * g.stride[d] - g.pad[d], 0, g.in[d]);
  };
  return {q == 0 ? 0 : start(q), q + 1 == g.out[d] ? g.in[d] : start(q + 1)};
}

/// One line of windows (n, q0, q1) with what it reads and writes.
template <class T>
struct PoolLine {
  const ConvGeometry& g;
  Span d, h;
  const T* x;      // the image
  const T* dy;     // gradients only
  T* dx;           // gradients only: the image
  T* y;            // the line
  int64_t inside;  // windows of the line from here on may reach beyond its end

  int64_t row() const { return g.in[2] * g.c; }
};

/// PoolLine::inside.
int64_t windows_inside(const ConvGeometry& g) {
  return (g.in[2] - g.k[2] + g.pad[2]) / g.stride[2] + 1;
}

/// The lines [begin, end) of a batch's planes, with where they lie.
template <class F>
inline void for_lines(const ConvGeometry& g, int64_t begin, int64_t end, F f) {
  Line at = line_at(begin, g.out[0], g.out[1]);
  for (int64_t l = begin; l < end; ++l) {
    f(l, at);
    if (++at.q1 < g.out[1]) continue;
    at.q1 = 0;
    if (++at.q0 < g.out[0]) continue;
    at.q0 = 0;
    ++at.n;
  }
}

/// f(kRows, kCols as constants, q begin, q end, columns of the first window) over the windows of a
/// line, neighbours of the same extent together. Zero stands for an extent known at run time.
template <class T, class F>
inline void for_windows(const PoolLine<T>& p, F f) {
  const ConvGeometry& g = p.g;
  using Any = std::integral_constant<int, 0>;
  using Two = std::integral_constant<int, 2>;
  using Three = std::integral_constant<int, 3>;
  for (int64_t q = 0; q < g.out[2];) {
    const Span w = span_of(g, 2, q);
    int64_t end = q + 1;
    if (w.size() == g.k[2]) {
      end = std::max(end, std::min(g.out[2], p.inside));
    }
    if (p.d.size() == 1 && p.h.size() == 2 && w.size() == 2) {
      f(Two{}, Two{}, q, end, w);
    } else if (p.d.size() == 1 && p.h.size() == 3 && w.size() == 3) {
      f(Three{}, Three{}, q, end, w);
    } else {
      f(Any{}, Any{}, q, end, w);
    }
    q = end;
  }
}

/// f(offset in the image) over the elements of one window, in order; `at` is the window's first
/// column and channel.
template <int kRows, int kCols, class T, class F>
inline void for_window(const PoolLine<T>& p, int64_t cols, int64_t at, F f) {
  const int64_t row = p.row();
  const int64_t c = p.g.c;
  if constexpr (kRows > 0) {
    const int64_t top = (p.d.begin * p.g.in[1] + p.h.begin) * row + at;
    for (int j = 0; j < kRows; ++j) {
      for (int k = 0; k < kCols; ++k) f(top + j * row + k * c);
    }
  } else {
    for (int64_t i = p.d.begin; i < p.d.end; ++i) {
      for (int64_t j = p.h.begin; j < p.h.end; ++j) {
        const int64_t left = (i * p.g.in[1] + j) * row + at;
        for (int64_t k = 0; k < cols; ++k) f(left + k * c);
      }
    }
  }
}

// ---------------------------------------------------------------- forward

/// Division by the number of elements that count.
template <class T>
struct Mean {
  T n, inverse;
  bool exact;  // a power of two: the product has the bits of the quotient

  explicit Mean(int64_t count)
      : n(static_cast<T>(std::max<int64_t>(1, count))),
        inverse(T(1) / n),
        exact((count & (count - 1)) == 0) {}
  template <class V>
  V operator()(V sum) const {
    return exact ? sum * inverse : sum / n;
  }
};

/// x > m ? x : m, which is one instruction: m where one of them is NaN.
template <class V>
V larger(V x, V m) {
  using T = std::decay_t<decltype(x[0])>;
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && sizeof(T) == 4) {
    return (V)_mm512_maskz_max_ps(0xffff, (__m512)x, (__m512)m);
  } else if constexpr (sizeof(V) == 64) {
    return (V)_mm512_maskz_max_pd(0xff, (__m512d)x, (__m512d)m);
  }
#endif
#if defined(__AVX__)
  if constexpr (sizeof(V) == 32 && sizeof(T) == 4) return (V)_mm256_max_ps((__m256)x, (__m256)m);
  if constexpr (sizeof(V) == 32 && sizeof(T) == 8) return (V)_mm256_max_pd((__m256d)x, (__m256d)m);
#endif
#if defined(__SSE2__)
  if constexpr (sizeof(V) == 16 && sizeof(T) == 4) return (V)_mm_max_ps((__m128)x, (__m128)m);
  if constexpr (sizeof(V) == 16 && sizeof(T) == 8) return (V)_mm_max_pd((__m128d)x, (__m128d)m);
#endif
  return x > m ? x : m;
}

struct Max {
  template <class T>
  static constexpr T kStart = -std::numeric_limits<T>::infinity();
  template <class V>
  static V step(V m, V x) {  // a NaN wins and stays
    return x != x ? x : larger(x, m);
  }
  template <class V, class T>
  static V finish(V m, const Mean<T>&) {
    return m;
  }
};

struct Average {
  template <class T>
  static constexpr T kStart = 0;
  template <class V>
  static V step(V m, V x) {
    return m + x;
  }
  template <class V, class T>
  static V finish(V m, const Mean<T>& mean) {
    return mean(m);
  }
};

template <class T, class Op>
void pool_line(const PoolLine<T>& p) {
  const int64_t c = p.g.c;
  for_windows(p, [&](auto rows, auto cols, int64_t begin, int64_t end, Span w) {
    const Mean<T> mean(p.d.size() * p.h.size() * w.size());
    const int64_t step = p.g.stride[2] * c;
    for_lanes<T>(0, c, [&](auto width, int64_t c0) {
      using L = Lanes<T, width>;
      using V = typename L::V;
      const PoolLine<T> line = p;
      int64_t at = w.begin * c + c0;
      for (int64_t q = begin; q < end; ++q, at += step) {
        V acc = V{} + Op::template kStart<T>;
        for_window<rows, cols>(line, w.size(), at, [&](int64_t offset) {
          acc = Op::template step<V>(acc, L::get(line.x + offset));
        });
        L::put(Op::template finish<V>(acc, mean), line.y + q * c + c0);
      }
    });
  });
}

template <class T, class Op>
void pool(const PoolArgs& args, const Exec& exec) {
  const ConvGeometry& g = args.g;
  const int64_t image = product3(g.in) * g.c;
  const int64_t cost = g.out[2] * g.c * product3(g.k);
  const int64_t inside = windows_inside(g);
  parallel_for(exec, g.n * g.out[0] * g.out[1], grain_for(cost / 2), [&](int64_t l0, int64_t l1) {
    for_lines(g, l0, l1, [&](int64_t l, const Line& at) {
      pool_line<T, Op>({g, span_of(g, 0, at.q0), span_of(g, 1, at.q1),
                        static_cast<const T*>(args.x) + at.n * image, nullptr, nullptr,
                        static_cast<T*>(args.y) + l * g.out[2] * g.c, inside});
    });
  });
}

// ---------------------------------------------------------------- gradient

/// The gradient of one line's channels [c0, c1); added to dx where kAdd, else stored.
template <class T, bool kAverage, bool kAdd>
void pool_grad_line(const PoolLine<T>& p, int64_t c0, int64_t c1) {
  const int64_t c = p.g.c;
  for_windows(p, [&](auto rows, auto cols, int64_t begin, int64_t end, Span w) {
    const Mean<T> mean(p.d.size() * p.h.size() * w.size());
    const int64_t step = p.g.stride[2] * c;
    for_lanes<T>(c0, c1, [&](auto width, int64_t first) {
      using L = Lanes<T, width>;
      using V = typename L::V;
      const PoolLine<T> line = p;
      int64_t at = w.begin * c + first;
      for (int64_t q = begin; q < end; ++q, at += step) {
        V left = L::get(line.dy + q * c + first);  // the first maximum takes it all
        V y = left;
        if constexpr (kAverage) {
          left = mean(left);
        } else {
          y = L::get(line.y + q * c + first);
        }
        for_window<rows, cols>(line, w.size(), at, [&](int64_t offset) {
          V part = left;
          if constexpr (!kAverage) {
            const V x = L::get(line.x + offset);
            const auto hit = (x == y) | (x != x);
            part = hit ? left : V{};
            left = hit ? V{} : left;
          }
          if constexpr (kAdd) part = L::get(line.dx + offset) + part;
          L::put(part, line.dx + offset);
        });
      }
    });
  });
}

/// Zeros of the source positions that belong to a line whose windows do not overlap, outside them.
template <class T>
void clear_gaps(const PoolLine<T>& p, Span planes, Span rows) {
  const ConvGeometry& g = p.g;
  for (int64_t i = planes.begin; i < planes.end; ++i) {
    for (int64_t j = rows.begin; j < rows.end; ++j) {
      T* dx = p.dx + (i * g.in[1] + j) * p.row();
      if (!p.d.holds(i) || !p.h.holds(j)) {
        std::fill(dx, dx + p.row(), T(0));
        continue;
      }
      int64_t done = 0;
      for (int64_t q = 0; q <= g.out[2]; ++q) {
        const Span w = q < g.out[2] ? span_of(g, 2, q) : Span{g.in[2], g.in[2]};
        if (done < w.begin) std::fill(dx + done * g.c, dx + w.begin * g.c, T(0));
        done = w.end;
      }
    }
  }
}

template <class T, bool kAverage>
void pool_grad(const PoolGradArgs& args, const Exec& exec) {
  const ConvGeometry& g = args.g;
  const int64_t image = product3(g.in) * g.c;
  const int64_t out_row = g.out[2] * g.c;
  const int64_t inside = windows_inside(g);
  const auto line_of = [&](int64_t l, const Line& at) {
    const auto offset = [&](const void* p, int64_t by) {
      return p != nullptr ? static_cast<const T*>(p) + by : nullptr;
    };
    return PoolLine<T>{g,
                       span_of(g, 0, at.q0),
                       span_of(g, 1, at.q1),
                       offset(args.x, at.n * image),
                       static_cast<const T*>(args.dy) + l * out_row,
                       static_cast<T*>(args.dx) + at.n * image,
                       const_cast<T*>(offset(args.y, l * out_row)),
                       inside};
  };
  const int64_t lines = g.out[0] * g.out[1];
  const bool apart = g.k[0] <= g.stride[0] && g.k[1] <= g.stride[1] && g.k[2] <= g.stride[2];
  if (apart && lines > 0) {
    bool gaps = false;
    for (int d = 0; d < 3; ++d) gaps = gaps || g.pad[d] != 0 || g.out[d] * g.k[d] != g.in[d];
    const int64_t cost = g.stride[0] * g.stride[1] * g.in[2] * g.c;
    parallel_for(exec, g.n * lines, grain_for(cost), [&](int64_t l0, int64_t l1) {
      for_lines(g, l0, l1, [&](int64_t l, const Line& at) {
        const PoolLine<T> line = line_of(l, at);
        if (gaps) clear_gaps(line, share_of(g, 0, at.q0), share_of(g, 1, at.q1));
        pool_grad_line<T, kAverage, false>(line, 0, g.c);
      });
    });
    return;
  }
  const int64_t groups = (g.c + kPoolChannels - 1) / kPoolChannels;
  const int64_t cost =
      product3(g.out) * product3(g.k) * std::min(g.c, kPoolChannels) + product3(g.in);
  parallel_for(exec, g.n * groups, grain_for(cost / 2), [&](int64_t u0, int64_t u1) {
    for (int64_t u = u0; u < u1; ++u) {
      const int64_t n = u / groups;
      const int64_t c0 = u % groups * kPoolChannels;
      const int64_t c1 = std::min(g.c, c0 + kPoolChannels);
      T* dx = static_cast<T*>(args.dx) + n * image;
      if (c1 - c0 == g.c) {
        std::fill(dx, dx + image, T(0));
      } else {
        for (int64_t i = 0; i < product3(g.in); ++i) {
          std::fill(dx + i * g.c + c0, dx + i * g.c + c1, T(0));
        }
      }
      for_lines(g, n * lines, (n + 1) * lines, [&](int64_t l, const Line& at) {
        pool_grad_line<T, kAverage, true>(line_of(l, at), c0, c1);
      });
    }
  });
}

}  // namespace

void pool_kernel(const PoolArgs& args, const Exec& exec) {
  if (args.g.c == 0) return;
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) {
    args.average ? pool<T, Average>(args, exec) : pool<T, Max>(args, exec);
  });
}

void pool_grad_kernel(const PoolGradArgs& args, const Exec& exec) {
  if (args.g.c == 0) return;
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) {
    args.average ? pool_grad<T, true>(args, exec) : pool_grad<T, false>(args, exec);
  });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
