// Convolution and pooling kernels against plain loops in double, over random geometries: three
// passes, both dtypes, several thread counts (same bits), poisoned outputs and guarded memory.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "backend/kernels.h"

namespace {

using lamella::DType;
using namespace lamella::kernels;
using i64 = std::int64_t;

constexpr int kThreads[] = {1, 2, 3, 8};
constexpr std::size_t kGuard = 64;

/// Memory between guards, filled with a pattern that reads as NaN.
class Guarded {
 public:
  explicit Guarded(std::size_t bytes) : bytes_(bytes), memory_(bytes + 4 * kGuard, 0xff) {
    const auto at = reinterpret_cast<std::uintptr_t>(memory_.data()) + kGuard;
    data_ = memory_.data() + ((at + 63) / 64 * 64 - at) + kGuard;
  }
  void* data() { return data_; }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }
  bool intact() const {
    for (std::size_t i = 0; i < kGuard; ++i) {
      if (data_[-1 - static_cast<std::ptrdiff_t>(i)] != 0xff || data_[bytes_ + i] != 0xff) {
        return false;
      }
    }
    return true;
  }

 private:
  std::size_t bytes_;
  std::vector<unsigned char> memory_;
  unsigned char* data_;
};

template <class T>
constexpr DType kType = sizeof(T) == 4 ? DType::kFloat32 : DType::kFloat64;

std::string text(const ConvGeometry& g) {
  std::ostringstream s;
  s << "n=" << g.n << " c=" << g.c << " o=" << g.o << " groups=" << g.groups;
  for (int d = 0; d < 3; ++d) {
    s << " | in=" << g.in[d] << " out=" << g.out[d] << " k=" << g.k[d] << " stride=" << g.stride[d]
      << " dilation=" << g.dilation[d] << " pad=" << g.pad[d];
  }
  return s.str();
}

i64 volume(const i64 (&v)[3]) { return v[0] * v[1] * v[2]; }

/// Calls f(x index, w index, y index) for every multiply-add of the convolution.
template <class F>
void each_product(const ConvGeometry& g, F&& f) {
  const i64 cg = g.c / g.groups;
  const i64 og = g.o / g.groups;
  for (i64 n = 0; n < g.n; ++n)
    for (i64 q0 = 0; q0 < g.out[0]; ++q0)
      for (i64 q1 = 0; q1 < g.out[1]; ++q1)
        for (i64 q2 = 0; q2 < g.out[2]; ++q2)
          for (i64 t0 = 0; t0 < g.k[0]; ++t0)
            for (i64 t1 = 0; t1 < g.k[1]; ++t1)
              for (i64 t2 = 0; t2 < g.k[2]; ++t2) {
                const i64 s0 = q0 * g.stride[0] + t0 * g.dilation[0] - g.pad[0];
                const i64 s1 = q1 * g.stride[1] + t1 * g.dilation[1] - g.pad[1];
                const i64 s2 = q2 * g.stride[2] + t2 * g.dilation[2] - g.pad[2];
                if (s0 < 0 || s0 >= g.in[0] || s1 < 0 || s1 >= g.in[1] || s2 < 0 || s2 >= g.in[2]) {
                  continue;
                }
                const i64 x = (((n * g.in[0] + s0) * g.in[1] + s1) * g.in[2] + s2) * g.c;
                const i64 y = (((n * g.out[0] + q0) * g.out[1] + q1) * g.out[2] + q2) * g.o;
                const i64 w = ((t0 * g.k[1] + t1) * g.k[2] + t2) * cg * g.o;
                for (i64 group = 0; group < g.groups; ++group)
                  for (i64 ci = 0; ci < cg; ++ci)
                    for (i64 co = 0; co < og; ++co) {
                      f(x + group * cg + ci, w + ci * g.o + group * og + co, y + group * og + co);
                    }
              }
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  i64 between(i64 lo, i64 hi) { return std::uniform_int_distribution<i64>(lo, hi)(engine_); }
  template <class T>
  std::vector<T> values(i64 n) {
    std::uniform_real_distribution<double> d(-1, 1);
    std::vector<T> v(static_cast<std::size_t>(n));
    for (T& x : v) x = static_cast<T>(d(engine_));
    return v;
  }
  template <std::size_t N>
  i64 one_of(const i64 (&v)[N]) {
    return v[between(0, N - 1)];
  }

 private:
  std::mt19937 engine_;
};

ConvGeometry random_geometry(Random& r) {
  static constexpr i64 kChannels[] = {1, 2, 3, 5, 8, 16, 17, 32, 64};
  ConvGeometry g{};
  g.n = r.one_of({0, 1, 1, 2, 3});
  const i64 kind = r.between(0, 4);
  g.groups = 1;
  g.c = r.one_of(kChannels);
  g.o = r.one_of(kChannels);
  if (kind == 0) {  // depthwise, sometimes with a multiplier
    g.groups = g.c;
    g.o = g.c * r.one_of({1, 1, 1, 2, 3});
  } else if (kind == 1) {
    g.groups = r.between(1, 3);
    g.c = g.groups * r.between(1, 9);
    g.o = g.groups * r.between(1, 20);
  }
  const i64 rank = r.one_of({1, 2, 2, 2, 3});
  for (int d = 0; d < 3; ++d) {
    g.in[d] = g.out[d] = g.k[d] = g.stride[d] = g.dilation[d] = 1;
    if (d < 3 - rank) continue;
    g.k[d] = r.between(1, rank == 3 ? 3 : 5);
    g.stride[d] = r.between(1, 3);
    g.dilation[d] = r.between(1, 3);
    if (r.between(0, 1) == 0) g.stride[d] = g.dilation[d] = 1;
    const i64 span = (g.k[d] - 1) * g.dilation[d] + 1;
    g.pad[d] = r.one_of({0, 0, 1, span / 2, span - 1});
    const i64 after = r.one_of({i64{0}, i64{0}, g.pad[d], g.pad[d] + 1});
    g.in[d] = r.between(1, rank == 1 ? 70 : rank == 2 ? 20 : 7);
    if (g.in[d] + g.pad[d] + after < span) g.in[d] = span;
    g.out[d] = (g.in[d] + g.pad[d] + after - span) / g.stride[d] + 1;
  }
  return g;
}

/// Runs a kernel for every thread count: expects the same bits, intact guards; returns the result.
template <class T, class Args>
std::vector<T> run(Kernel<Args> kernel, WorkspaceFn<Args> workspace, Args args,
                   void* Args::* workspace_member, std::type_identity_t<void* Args::*> out, i64 n) {
  std::vector<T> first;
  for (const int threads : kThreads) {
    Guarded result(static_cast<std::size_t>(n) * sizeof(T));
    const std::size_t bytes = workspace ? workspace(args) : 0;
    Guarded scratch(bytes);
    args.*out = result.data();
    if (workspace) args.*workspace_member = scratch.data();
    int fault = 0;
    kernel(args, Exec{threads, &fault});
    EXPECT_EQ(fault, 0);
    EXPECT_TRUE(result.intact()) << "wrote outside its output";
    EXPECT_TRUE(scratch.intact()) << "wrote outside its workspace";
    const std::vector<T> values(result.as<T>(), result.as<T>() + n);
    if (threads == 1 || n == 0) {
      first = values;
    } else {
      EXPECT_EQ(std::memcmp(first.data(), values.data(), first.size() * sizeof(T)), 0)
          << "bits differ at " << threads << " threads";
    }
  }
  return first;
}

/// |got - want| within a few roundings of the sum of absolute products.
template <class T>
void expect_close(const std::vector<T>& got, const std::vector<double>& want,
                  const std::vector<double>& magnitude) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double bound = 8 * std::numeric_limits<T>::epsilon() * (magnitude[i] + 1);
    ASSERT_LE(std::abs(static_cast<double>(got[i]) - want[i]), bound) << "element " << i;
    ASSERT_FALSE(std::isnan(got[i])) << "element " << i;
  }
}

double act(Activation a, double alpha, double x) {
  switch (a) {
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kLeakyRelu:
      return x < 0 ? alpha * x : x;
    default:
      return x;
  }
}

template <class T>
void check_all_passes(const ConvGeometry& g, Random& r) {
  SCOPED_TRACE(text(g) + (sizeof(T) == 4 ? " float" : " double"));
  const KernelTable& table = lamella::kernels::table();
  const i64 nx = g.n * volume(g.in) * g.c;
  const i64 ny = g.n * volume(g.out) * g.o;
  const i64 nw = volume(g.k) * (g.c / g.groups) * g.o;
  const auto x = r.values<T>(nx);
  const auto w = r.values<T>(nw);
  const auto dy = r.values<T>(ny);
  const auto bias = r.values<T>(std::max(g.c, g.o));
  const bool biased = r.between(0, 1) == 1;
  const Activation a = std::vector<Activation>{
      Activation::kNone, Activation::kRelu, Activation::kSigmoid, Activation::kTanh,
      Activation::kLeakyRelu}[static_cast<std::size_t>(r.between(0, 4))];
  const auto size = [](i64 n) { return static_cast<std::size_t>(n); };
  std::vector<double> y(size(ny)), ym(size(ny)), dx(size(nx)), dxm(size(nx)), dw(size(nw)),
      dwm(size(nw));
  each_product(g, [&](i64 ix, i64 iw, i64 iy) {
    const auto add = [](double& sum, double& magnitude, double p, double q) {
      sum += p * q;
      magnitude += std::abs(p * q);
    };
    add(y[size(iy)], ym[size(iy)], x[size(ix)], w[size(iw)]);
    add(dx[size(ix)], dxm[size(ix)], dy[size(iy)], w[size(iw)]);
    add(dw[size(iw)], dwm[size(iw)], dy[size(iy)], x[size(ix)]);
  });
  for (i64 i = 0; i < ny; ++i) {
    y[size(i)] = act(a, 0.3, y[size(i)] + (biased ? bias[size(i % g.o)] : T(0)));
  }
  for (i64 i = 0; i < nx; ++i) {
    dx[size(i)] = act(a, 0.3, dx[size(i)] + (biased ? bias[size(i % g.c)] : T(0)));
  }

  ConvArgs f{};
  f.exact = true;  // Winograd has tests of its own
  f.dtype = kType<T>;
  f.g = g;
  f.x = x.data();
  f.w = w.data();
  f.bias = biased ? bias.data() : nullptr;
  f.act = a;
  f.act_alpha = 0.3;
  {
    SCOPED_TRACE("forward");
    expect_close(
        run<T>(table.conv, table.conv_workspace, f, &ConvArgs::workspace, &ConvArgs::y, ny), y, ym);
  }
  ConvBackwardDataArgs d{};
  d.exact = true;
  d.dtype = kType<T>;
  d.g = g;
  d.dy = dy.data();
  d.w = w.data();
  d.bias = biased ? bias.data() : nullptr;
  d.act = a;
  d.act_alpha = 0.3;
  {
    SCOPED_TRACE("backward data");
    expect_close(run<T>(table.conv_backward_data, table.conv_backward_data_workspace, d,
                        &ConvBackwardDataArgs::workspace, &ConvBackwardDataArgs::dx, nx),
                 dx, dxm);
  }
  ConvBackwardWeightsArgs b{};
  b.exact = true;
  b.dtype = kType<T>;
  b.g = g;
  b.x = x.data();
  b.dy = dy.data();
  {
    SCOPED_TRACE("backward weights");
    expect_close(run<T>(table.conv_backward_weights, table.conv_backward_weights_workspace, b,
                        &ConvBackwardWeightsArgs::workspace, &ConvBackwardWeightsArgs::dw, nw),
                 dw, dwm);
  }
}

ConvGeometry image(i64 n, i64 c, i64 o, i64 size, i64 k, i64 stride, i64 pad, i64 groups = 1) {
  ConvGeometry g{};
  g.n = n;
  g.c = c;
  g.o = o;
  g.groups = groups;
  g.in[0] = g.out[0] = g.k[0] = 1;
  for (int d = 0; d < 3; ++d) g.stride[d] = g.dilation[d] = 1;
  for (int d = 1; d < 3; ++d) {
    g.in[d] = size;
    g.k[d] = k;
    g.stride[d] = stride;
    g.pad[d] = pad;
    g.out[d] = (size + 2 * pad - k) / stride + 1;
  }
  return g;
}

TEST(Conv, RandomGeometries) {
  Random r(7);
  for (int i = 0; i < 250; ++i) {
    const ConvGeometry g = random_geometry(r);
    if (i % 2 == 0) {
      check_all_passes<float>(g, r);
    } else {
      check_all_passes<double>(g, r);
    }
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
}

TEST(Conv, SizesThatTakeSeveralChunks) {
  Random r(8);
  check_all_passes<float>(image(9, 1, 8, 28, 3, 1, 0), r);        // direct, in place
  check_all_passes<float>(image(3, 3, 40, 37, 7, 2, 3), r);       // direct, padded, stride
  check_all_passes<float>(image(5, 32, 64, 13, 3, 1, 1), r);      // implicit
  check_all_passes<double>(image(2, 70, 90, 17, 3, 2, 1), r);     // two phases
  check_all_passes<float>(image(3, 130, 36, 9, 3, 1, 1), r);      // taps in blocks
  check_all_passes<float>(image(2, 48, 100, 25, 1, 1, 0), r);     // pixels merged
  check_all_passes<float>(image(3, 512, 260, 7, 1, 1, 0), r);     // and the weights a product
  check_all_passes<float>(image(4, 70, 70, 30, 3, 1, 1, 70), r);  // depthwise
  check_all_passes<float>(image(1, 1, 1, 1, 1, 1, 0), r);
  check_all_passes<float>(image(1, 9, 3, 5, 11, 1, 5), r);  // kernel larger than the image
}

ConvGeometry dilated(ConvGeometry g, i64 dilation) {
  for (int d = 1; d < 3; ++d) {
    g.dilation[d] = dilation;
    g.out[d] = (g.in[d] + 2 * g.pad[d] - (g.k[d] - 1) * dilation - 1) / g.stride[d] + 1;
  }
  return g;
}

template <class T>
class ConvOf : public testing::Test {};
using Floats = testing::Types<float, double>;
TYPED_TEST_SUITE(ConvOf, Floats);

TYPED_TEST(ConvOf, FewChannels) {
  Random r(9);
  for (const i64 few : {1, 2, 3, 4, 5}) {
    check_all_passes<TypeParam>(image(2, few, 24, 13, 3, 1, 1), r);
    check_all_passes<TypeParam>(image(2, 24, few, 13, 3, 1, 1), r);
    check_all_passes<TypeParam>(image(2, 16, few, 14, 3, 2, 1), r);
    check_all_passes<TypeParam>(image(2, 6, few, 11, 5, 1, 0), r);
    if (this->HasFailure()) return;
  }
}

TYPED_TEST(ConvOf, FewElementsToASum) {  // rows of results of every width, panels of every kind
  Random r(14);
  for (i64 size = 1; size <= 33; ++size) {
    const i64 o = std::vector<i64>{5, 8, 13, 16, 24, 32, 45}[static_cast<std::size_t>(size % 7)];
    const i64 c = 1 + size % 4;
    check_all_passes<TypeParam>(image(1, c, o, size, 3, 1 + size % 5 / 4, 1), r);
    check_all_passes<TypeParam>(image(2, c, o, size + 2, 3, 1 + size % 3 / 2, 0), r);
    if (this->HasFailure()) return;
  }
  check_all_passes<TypeParam>(dilated(image(1, 2, 9, 20, 3, 2, 2), 2), r);
  check_all_passes<TypeParam>(image(1, 2, 12, 600, 1, 1, 0), r);
}

TYPED_TEST(ConvOf, TapsInThePaddingAreLeftOut) {
  Random r(10);
  check_all_passes<TypeParam>(image(2, 16, 16, 8, 3, 1, 1), r);
  check_all_passes<TypeParam>(image(2, 64, 24, 7, 5, 1, 2), r);  // sources apart, 1.5 vectors
  check_all_passes<TypeParam>(image(2, 20, 33, 9, 3, 1, 2), r);  // more padding than "same"
  check_all_passes<TypeParam>(image(1, 32, 40, 12, 3, 2, 1), r);
  check_all_passes<TypeParam>(image(1, 17, 16, 2, 7, 1, 3), r);  // no result has all taps
  check_all_passes<TypeParam>(dilated(image(2, 16, 18, 15, 3, 1, 2), 2), r);
  check_all_passes<TypeParam>(dilated(image(1, 8, 9, 60, 3, 1, 30), 30), r);  // no band holds it
  check_all_passes<TypeParam>(dilated(image(1, 8, 9, 90, 3, 1, 40), 40), r);
  ConvGeometry line = image(2, 18, 20, 1, 1, 1, 0);
  line.in[2] = line.out[2] = 1100;  // several bands of a line
  line.k[2] = 5;
  line.pad[2] = 2;
  check_all_passes<TypeParam>(line, r);
  ConvGeometry volume = image(2, 16, 12, 5, 3, 1, 1);
  volume.in[0] = volume.out[0] = 4;
  volume.k[0] = 3;
  volume.pad[0] = 1;
  check_all_passes<TypeParam>(volume, r);
}

TYPED_TEST(ConvOf, Groups) {
  Random r(11);
  for (const i64 of_group : {1, 2, 4, 8, 16}) {
    for (const i64 channels : {16, 48, 80}) {
      const i64 groups = channels / of_group;
      check_all_passes<TypeParam>(image(2, channels, channels, 7, 3, 1, 1, groups), r);
      check_all_passes<TypeParam>(image(1, channels, channels, 10, 3, 2, 1, groups), r);
      check_all_passes<TypeParam>(image(1, channels, channels, 9, 5, 1, 2, groups), r);
      if (this->HasFailure()) return;
    }
  }
  check_all_passes<TypeParam>(image(2, 37, 37, 18, 3, 1, 1, 37), r);
  check_all_passes<TypeParam>(image(2, 12, 12, 11, 4, 3, 1, 6), r);
  check_all_passes<TypeParam>(dilated(image(1, 12, 12, 14, 3, 1, 2, 3), 2), r);
}

TEST(Conv, NaNStaysInItsWindow) {
  for (const i64 c : {1, 16}) {
    const ConvGeometry g = image(1, c, 20, 12, 3, 1, 1);
    std::vector<float> x(static_cast<std::size_t>(144 * c), 1.0F);
    x[static_cast<std::size_t>((5 * 12 + 5) * c)] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> w(static_cast<std::size_t>(9 * c * 20), 0.5F);
    ConvArgs f{};
    f.dtype = DType::kFloat32;
    f.g = g;
    f.x = x.data();
    f.w = w.data();
    f.act = Activation::kRelu;
    const auto y = run<float>(table().conv, table().conv_workspace, f, &ConvArgs::workspace,
                              &ConvArgs::y, 144 * 20);
    for (i64 i = 0; i < 144; ++i) {
      const bool near = std::abs(i / 12 - 5) <= 1 && std::abs(i % 12 - 5) <= 1;
      for (i64 o = 0; o < 20; ++o) {
        ASSERT_EQ(std::isnan(y[static_cast<std::size_t>(i * 20 + o)]), near) << i;
      }
    }
  }
}

template <class T>
void check_pool(const ConvGeometry& g, bool average, Random& r) {
  SCOPED_TRACE(text(g) + (average ? " average" : " max"));
  const i64 nx = g.n * volume(g.in) * g.c;
  const i64 ny = g.n * volume(g.out) * g.c;
  auto x = r.values<T>(nx);
  for (T& v : x) v = std::round(v * T(4));  // equal maxima occur
  const auto dy = r.values<T>(ny);
  std::vector<double> y(static_cast<std::size_t>(ny));
  std::vector<double> dx(static_cast<std::size_t>(nx));
  for (i64 i = 0; i < ny; ++i) {
    const i64 c = i % g.c;
    i64 rest = i / g.c;
    i64 q[3];
    for (int d = 2; d >= 0; --d) {
      q[d] = rest % g.out[d];
      rest /= g.out[d];
    }
    std::vector<i64> window;
    for (i64 t0 = 0; t0 < g.k[0]; ++t0)
      for (i64 t1 = 0; t1 < g.k[1]; ++t1)
        for (i64 t2 = 0; t2 < g.k[2]; ++t2) {
          const i64 s[3] = {q[0] * g.stride[0] + t0 - g.pad[0], q[1] * g.stride[1] + t1 - g.pad[1],
                            q[2] * g.stride[2] + t2 - g.pad[2]};
          bool inside = true;
          for (int d = 0; d < 3; ++d) inside = inside && s[d] >= 0 && s[d] < g.in[d];
          if (!inside) continue;
          window.push_back((((rest * g.in[0] + s[0]) * g.in[1] + s[1]) * g.in[2] + s[2]) * g.c + c);
        }
    const auto at = [&](i64 j) { return static_cast<double>(x[static_cast<std::size_t>(j)]); };
    const double g_y = dy[static_cast<std::size_t>(i)];
    double& out = y[static_cast<std::size_t>(i)];
    if (average) {
      for (const i64 j : window) {
        out += at(j) / static_cast<double>(window.size());
        dx[static_cast<std::size_t>(j)] += g_y / static_cast<double>(window.size());
      }
    } else {
      i64 best = window.front();
      for (const i64 j : window) best = at(j) > at(best) ? j : best;
      out = at(best);
      dx[static_cast<std::size_t>(best)] += g_y;
    }
  }
  PoolArgs f{};
  f.dtype = kType<T>;
  f.average = average;
  f.g = g;
  f.x = x.data();
  const std::vector<double> ones_y(y.size(), 8.0);
  const std::vector<double> ones_x(dx.size(), 8.0);
  const auto got = run<T, PoolArgs>(table().pool, nullptr, f, nullptr, &PoolArgs::y, ny);
  expect_close(got, y, ones_y);
  PoolGradArgs b{};
  b.dtype = kType<T>;
  b.average = average;
  b.g = g;
  b.x = average ? nullptr : x.data();
  b.y = average ? nullptr : got.data();
  b.dy = dy.data();
  expect_close(run<T, PoolGradArgs>(table().pool_grad, nullptr, b, nullptr, &PoolGradArgs::dx, nx),
               dx, ones_x);
}

TEST(Pool, RandomGeometries) {
  Random r(9);
  for (int i = 0; i < 300; ++i) {
    ConvGeometry g = random_geometry(r);
    g.groups = 1;
    if (i % 10 == 0) g.c = 130;
    for (int d = 0; d < 3; ++d) {
      g.dilation[d] = 1;
      g.k[d] = r.between(1, std::min<i64>(4, g.in[d]));
      g.pad[d] = r.between(0, g.k[d] - 1);
      g.out[d] = (g.in[d] + g.pad[d] - g.k[d]) / g.stride[d] + 1;
      // A last window that overhangs, as SAME padding has, but never lies outside.
      if (r.between(0, 1) == 1 && g.out[d] * g.stride[d] - g.pad[d] < g.in[d]) ++g.out[d];
    }
    if (i % 3 == 0) {
      check_pool<double>(g, i % 2 == 0, r);
    } else {
      check_pool<float>(g, i % 2 == 0, r);
    }
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
}

TEST(Pool, NaNWins) {
  for (const i64 c : {1, 20}) {
    const ConvGeometry g = image(1, c, c, 4, 2, 2, 0);
    std::vector<float> x(static_cast<std::size_t>(16 * c), 1.0F);
    x[static_cast<std::size_t>(5 * c)] = std::numeric_limits<float>::quiet_NaN();
    PoolArgs f{};
    f.dtype = DType::kFloat32;
    f.g = g;
    f.x = x.data();
    const auto y = run<float, PoolArgs>(table().pool, nullptr, f, nullptr, &PoolArgs::y, 4 * c);
    EXPECT_TRUE(std::isnan(y[0]));
    if (c > 1) {
      EXPECT_EQ(y[1], 1.0F);
    }
    EXPECT_EQ(y[static_cast<std::size_t>(c)], 1.0F);
    PoolGradArgs b{};
    b.dtype = DType::kFloat32;
    b.g = g;
    b.x = x.data();
    b.y = y.data();
    const std::vector<float> dy(static_cast<std::size_t>(4 * c), 1.0F);
    b.dy = dy.data();
    const auto dx =
        run<float, PoolGradArgs>(table().pool_grad, nullptr, b, nullptr, &PoolGradArgs::dx, 16 * c);
    EXPECT_EQ(dx[0], 0.0F);
    EXPECT_EQ(dx[static_cast<std::size_t>(5 * c)], 1.0F);
    EXPECT_EQ(dx[static_cast<std::size_t>(2 * c)], 1.0F);
  }
}

}  // namespace
