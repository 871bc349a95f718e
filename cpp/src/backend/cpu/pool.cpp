// Maximum and average pooling. Vectors run along the channels; with few channels the rows of a
// window are first combined along the whole image row, where memory is contiguous.
#include <algorithm>
#include <limits>

#include "backend/cpu/conv_geometry.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

constexpr std::int64_t kRowBytes = 32 << 10;  // of a combined image row
constexpr std::int64_t kPoolChannels = 64;    // channels of one unit of the gradient's work

/// The part of a window that lies inside along one dimension: source positions [begin, end).
struct Span {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

Span span_of(const ConvGeometry& g, int d, std::int64_t q) {
  const std::int64_t at = q * g.stride[d] - g.pad[d];
  const std::int64_t begin = std::clamp<std::int64_t>(at, 0, g.in[d]);
  return {begin, std::clamp<std::int64_t>(at + g.k[d], begin, g.in[d])};
}

// The greater of m and x; a NaN wins and stays.
template <class T>
Vec<T> greater(Vec<T> m, Vec<T> x) {
  return select<T>((x > m) | (x != x), x, m);
}

template <class T>
struct Max {
  static Vec<T> start() { return Vec<T>::set1(-std::numeric_limits<T>::infinity()); }
  static Vec<T> step(Vec<T> m, Vec<T> x) { return greater(m, x); }
  static T step(T m, T x) { return x > m || x != x ? x : m; }
  static Vec<T> finish(Vec<T> m, std::int64_t) { return m; }
  static T finish(T m, std::int64_t) { return m; }
};

template <class T>
struct Average {
  static Vec<T> start() { return Vec<T>::zero(); }
  static Vec<T> step(Vec<T> m, Vec<T> x) { return m + x; }
  static T step(T m, T x) { return m + x; }
  static T count(std::int64_t n) { return static_cast<T>(std::max<std::int64_t>(1, n)); }
  static Vec<T> finish(Vec<T> m, std::int64_t n) { return m / Vec<T>::set1(count(n)); }
  static T finish(T m, std::int64_t n) { return m / count(n); }
};

/// One line of results.
template <class T>
struct PoolLine {
  const ConvGeometry& g;
  const T* image;  // of x
  Span d, h;
  T* y;
};

template <class T, class Op>
void pool_by_channels(const PoolLine<T>& p) {
  constexpr int kW = Vec<T>::kWidth;
  const ConvGeometry& g = p.g;
  const std::int64_t row = g.in[2] * g.c;
  for (std::int64_t q = 0; q < g.out[2]; ++q) {
    const Span w = span_of(g, 2, q);
    const std::int64_t count = p.d.size() * p.h.size() * w.size();
    for (std::int64_t c = 0; c < g.c; c += kW) {
      const std::int64_t left = std::min<std::int64_t>(kW, g.c - c);
      const bool whole = left == kW;
      Vec<T> acc = Op::start();
      for (std::int64_t i = p.d.begin; i < p.d.end; ++i) {
        for (std::int64_t j = p.h.begin; j < p.h.end; ++j) {
          const T* x = p.image + (i * g.in[1] + j) * row + w.begin * g.c + c;
          for (std::int64_t k = w.size(); k > 0; --k, x += g.c) {
            acc = Op::step(acc, whole ? Vec<T>::load(x) : Vec<T>::load_partial(x, left));
          }
        }
      }
      acc = Op::finish(acc, count);
      T* y = p.y + q * g.c + c;
      if (whole) {
        acc.store(y);
      } else {
        acc.store_partial(y, left);
      }
    }
  }
}

template <class T, class Op>
void pool_by_rows(const PoolLine<T>& p) {
  constexpr int kW = Vec<T>::kWidth;
  alignas(64) T combined[kRowBytes / static_cast<std::int64_t>(sizeof(T))];
  const ConvGeometry& g = p.g;
  const std::int64_t row = g.in[2] * g.c;
  for (std::int64_t e = 0; e < row; e += kW) {
    const std::int64_t left = std::min<std::int64_t>(kW, row - e);
    Vec<T> acc = Op::start();
    for (std::int64_t i = p.d.begin; i < p.d.end; ++i) {
      for (std::int64_t j = p.h.begin; j < p.h.end; ++j) {
        const T* x = p.image + (i * g.in[1] + j) * row + e;
        acc = Op::step(acc, left == kW ? Vec<T>::load(x) : Vec<T>::load_partial(x, left));
      }
    }
    acc.store_partial(combined + e, left);
  }
  for (std::int64_t q = 0; q < g.out[2]; ++q) {
    const Span w = span_of(g, 2, q);
    const std::int64_t count = p.d.size() * p.h.size() * w.size();
    for (std::int64_t c = 0; c < g.c; ++c) {
      T acc = Op::start()[0];
      for (std::int64_t k = w.begin; k < w.end; ++k) acc = Op::step(acc, combined[k * g.c + c]);
      p.y[q * g.c + c] = Op::finish(acc, count);
    }
  }
}

template <class T, class Op>
void pool(const PoolArgs& args, const Exec& exec) {
  const ConvGeometry& g = args.g;
  const std::int64_t row = g.in[2] * g.c;
  const bool by_rows =
      g.c < Vec<T>::kWidth / 2 && row * static_cast<std::int64_t>(sizeof(T)) <= kRowBytes;
  const std::int64_t cost = g.out[2] * g.c * product3(g.k);
  parallel_for(
      exec, g.n * g.out[0] * g.out[1], grain_for(cost / 2), [&](std::int64_t l0, std::int64_t l1) {
        for (std::int64_t l = l0; l < l1; ++l) {
          const Line at = line_at(l, g.out[0], g.out[1]);
          const PoolLine<T> line{g, static_cast<const T*>(args.x) + at.n * g.in[0] * g.in[1] * row,
                                 span_of(g, 0, at.q0), span_of(g, 1, at.q1),
                                 static_cast<T*>(args.y) + l * g.out[2] * g.c};
          if (by_rows) {
            pool_by_rows<T, Op>(line);
          } else {
            pool_by_channels<T, Op>(line);
          }
        }
      });
}

/// dx of channels [c0, c1) of one image.
template <class T, bool kAverage>
void pool_grad_image(const PoolGradArgs& args, std::int64_t n, std::int64_t c0, std::int64_t c1) {
  constexpr int kW = Vec<T>::kWidth;
  const ConvGeometry& g = args.g;
  const std::int64_t row = g.in[2] * g.c;
  const std::int64_t image = n * g.in[0] * g.in[1] * row;
  const T* x = static_cast<const T*>(args.x);
  T* dx = static_cast<T*>(args.dx) + image;
  if (c1 - c0 == g.c) {
    std::fill(dx, dx + g.in[0] * g.in[1] * row, T(0));
  } else {
    for (std::int64_t i = 0; i < product3(g.in); ++i) {
      std::fill(dx + i * g.c + c0, dx + i * g.c + c1, T(0));
    }
  }
  std::int64_t pixel = n * product3(g.out);
  for (std::int64_t q0 = 0; q0 < g.out[0]; ++q0) {
    const Span d = span_of(g, 0, q0);
    for (std::int64_t q1 = 0; q1 < g.out[1]; ++q1) {
      const Span h = span_of(g, 1, q1);
      for (std::int64_t q2 = 0; q2 < g.out[2]; ++q2, ++pixel) {
        const Span w = span_of(g, 2, q2);
        const Vec<T> count = Vec<T>::set1(Average<T>::count(d.size() * h.size() * w.size()));
        for (std::int64_t c = c0; c < c1; c += kW) {
          const std::int64_t left = std::min<std::int64_t>(kW, c1 - c);
          const bool whole = left == kW;
          const auto get = [&](const T* p) {
            return whole ? Vec<T>::load(p) : Vec<T>::load_partial(p, left);
          };
          Vec<T> dy = get(static_cast<const T*>(args.dy) + pixel * g.c + c);
          Vec<T> y = dy;
          if constexpr (kAverage) {
            dy = dy / count;
          } else {
            y = get(static_cast<const T*>(args.y) + pixel * g.c + c);
          }
          typename Vec<T>::Bits open = ~typename Vec<T>::Bits{};  // no maximum found yet
          for (std::int64_t i = d.begin; i < d.end; ++i) {
            for (std::int64_t j = h.begin; j < h.end; ++j) {
              for (std::int64_t k = w.begin; k < w.end; ++k) {
                const std::int64_t at = (i * g.in[1] + j) * row + k * g.c + c;
                Vec<T> sum = get(dx + at);
                if constexpr (kAverage) {
                  sum = sum + dy;
                } else {
                  const Vec<T> xv = get(x + image + at);
                  const auto hit = ((xv == y) | (xv != xv)) & open;
                  open &= ~hit;
                  sum = select<T>(hit, sum + dy, sum);
                }
                if (whole) {
                  sum.store(dx + at);
                } else {
                  sum.store_partial(dx + at, left);
                }
              }
            }
          }
        }
      }
    }
  }
}

template <class T>
void pool_grad(const PoolGradArgs& args, const Exec& exec) {
  const ConvGeometry& g = args.g;
  const std::int64_t groups = (g.c + kPoolChannels - 1) / kPoolChannels;
  const std::int64_t cost =
      product3(g.out) * product3(g.k) * std::min(g.c, kPoolChannels) + product3(g.in);
  parallel_for(exec, g.n * groups, grain_for(cost / 2), [&](std::int64_t u0, std::int64_t u1) {
    for (std::int64_t u = u0; u < u1; ++u) {
      const std::int64_t c0 = u % groups * kPoolChannels;
      const std::int64_t c1 = std::min(g.c, c0 + kPoolChannels);
      if (args.average) {
        pool_grad_image<T, true>(args, u / groups, c0, c1);
      } else {
        pool_grad_image<T, false>(args, u / groups, c0, c1);
      }
    }
  });
}

}  // namespace

void pool_kernel(const PoolArgs& args, const Exec& exec) {
  if (args.g.c == 0) return;
  if (args.dtype == DType::kFloat32) {
    args.average ? pool<float, Average<float>>(args, exec) : pool<float, Max<float>>(args, exec);
  } else {
    args.average ? pool<double, Average<double>>(args, exec)
                 : pool<double, Max<double>>(args, exec);
  }
}

void pool_grad_kernel(const PoolGradArgs& args, const Exec& exec) {
  if (args.g.c == 0) return;
  if (args.dtype == DType::kFloat32) {
    pool_grad<float>(args, exec);
  } else {
    pool_grad<double>(args, exec);
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
