// Winograd's convolution against plain sums in double: errors measured in units of the sums' own
// (root of the sum of squared products), the direct kernels beside them, over shapes with ragged
// tiles, any padding, few and many channels; the same bits for every thread count and batch
// position; NaN and Inf reach what they reach in the direct sums.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "backend/kernels.h"
#include "lamella/error.h"
#include "lamella/ops.h"
#include "lamella/runtime.h"

namespace {

using lamella::DType;
using namespace lamella::kernels;
using i64 = std::int64_t;

constexpr double kUnit = 5.9604644775390625e-8;  // half of float's epsilon

enum class Pass { kForward, kData, kWeights };

ConvGeometry image(i64 n, i64 height, i64 width, i64 c, i64 o, i64 pad_top, i64 pad_left,
                   i64 out_height, i64 out_width) {
  ConvGeometry g{};
  g.n = n;
  g.c = c;
  g.o = o;
  g.groups = 1;
  for (int d = 0; d < 3; ++d) g.in[d] = g.out[d] = g.k[d] = g.stride[d] = g.dilation[d] = 1;
  g.k[1] = g.k[2] = 3;
  g.in[1] = height;
  g.in[2] = width;
  g.pad[1] = pad_top;
  g.pad[2] = pad_left;
  g.out[1] = out_height;
  g.out[2] = out_width;
  return g;
}

ConvGeometry same(i64 n, i64 size, i64 c, i64 o) {
  return image(n, size, size, c, o, 1, 1, size, size);
}

ConvGeometry valid(i64 n, i64 size, i64 c, i64 o) {
  return image(n, size, size, c, o, 0, 0, size - 2, size - 2);
}

std::string text(const ConvGeometry& g) {
  std::ostringstream s;
  s << g.n << " images " << g.in[1] << "x" << g.in[2] << "x" << g.c << " -> " << g.out[1] << "x"
    << g.out[2] << "x" << g.o << ", padding " << g.pad[1] << ", " << g.pad[2];
  return s.str();
}

std::size_t size(i64 n) { return static_cast<std::size_t>(n); }

struct Data {
  ConvGeometry g;
  std::vector<float> x, w, dy, bias;
};

Data draw(const ConvGeometry& g, unsigned seed, bool positive = false) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  const auto values = [&](i64 n) {
    std::vector<float> v(size(n));
    for (float& f : v) f = normal(engine);
    return v;
  };
  Data d{g, values(g.n * g.in[1] * g.in[2] * g.c), values(9 * g.c * g.o),
         values(g.n * g.out[1] * g.out[2] * g.o), values(std::max(g.c, g.o))};
  if (positive) {  // what a relu hands on
    for (float& f : d.x) f = std::max(f, 0.0F);
  }
  return d;
}

std::size_t results(Pass pass, const Data& d) {
  return pass == Pass::kForward ? d.dy.size() : pass == Pass::kData ? d.x.size() : d.w.size();
}

template <class Args>
void call(Kernel<Args> kernel, WorkspaceFn<Args> workspace, Args args, int threads) {
  std::vector<unsigned char> memory(workspace(args) + 128, 0xff);  // reads as NaN
  const auto at = reinterpret_cast<std::uintptr_t>(memory.data());
  args.workspace = memory.data() + ((at + 63) / 64 * 64 - at);
  int fault = 0;
  kernel(args, Exec{threads, &fault});
  EXPECT_EQ(fault, 0);
  EXPECT_TRUE(std::all_of(memory.end() - 64, memory.end(), [](unsigned char b) {
    return b == 0xff;
  })) << "wrote behind its workspace";
}

std::vector<float> run(Pass pass, const Data& d, bool exact, int threads = 1,
                       Activation act = Activation::kNone, bool biased = false) {
  std::vector<float> out(results(pass, d), std::numeric_limits<float>::quiet_NaN());
  const float* bias = biased ? d.bias.data() : nullptr;
  const KernelTable& t = table();
  if (pass == Pass::kForward) {
    call(t.conv, t.conv_workspace,
         ConvArgs{DType::kFloat32, d.g, d.x.data(), d.w.data(), bias, act, 0.3, out.data(), nullptr,
                  exact},
         threads);
  } else if (pass == Pass::kData) {
    call(t.conv_backward_data, t.conv_backward_data_workspace,
         ConvBackwardDataArgs{DType::kFloat32, d.g, d.dy.data(), d.w.data(), bias, act, 0.3,
                              out.data(), nullptr, exact},
         threads);
  } else {
    call(t.conv_backward_weights, t.conv_backward_weights_workspace,
         ConvBackwardWeightsArgs{DType::kFloat32, d.g, d.x.data(), d.dy.data(), out.data(), nullptr,
                                 exact},
         threads);
  }
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Sums {
  std::vector<double> value, norm;  // norm: root of the sum of squared products
};

Sums reference(Pass pass, const Data& d) {
  const ConvGeometry& g = d.g;
  Sums s{std::vector<double>(results(pass, d)), std::vector<double>(results(pass, d))};
  const auto add = [&](i64 at, double p) {
    s.value[size(at)] += p;
    s.norm[size(at)] += p * p;
  };
  for (i64 n = 0; n < g.n; ++n)
    for (i64 q1 = 0; q1 < g.out[1]; ++q1)
      for (i64 q2 = 0; q2 < g.out[2]; ++q2)
        for (i64 t = 0; t < 9; ++t) {
          const i64 s1 = q1 + t / 3 - g.pad[1];
          const i64 s2 = q2 + t % 3 - g.pad[2];
          if (s1 < 0 || s1 >= g.in[1] || s2 < 0 || s2 >= g.in[2]) continue;
          const i64 x = ((n * g.in[1] + s1) * g.in[2] + s2) * g.c;
          const i64 y = ((n * g.out[1] + q1) * g.out[2] + q2) * g.o;
          for (i64 c = 0; c < g.c; ++c)
            for (i64 o = 0; o < g.o; ++o) {
              const i64 w = (t * g.c + c) * g.o + o;
              const double xv = d.x[size(x + c)];
              const double wv = d.w[size(w)];
              const double yv = d.dy[size(y + o)];
              if (pass == Pass::kForward) add(y + o, xv * wv);
              if (pass == Pass::kData) add(x + c, yv * wv);
              if (pass == Pass::kWeights) add(w, xv * yv);
            }
        }
  for (double& v : s.norm) v = std::sqrt(v);
  return s;
}

struct Error {
  double rms, max;  // in units of rounding
};

Error error(const std::vector<float>& got, const Sums& want) {
  double squares = 0;
  double max = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double e = std::abs(got[i] - want.value[i]) / std::max(want.norm[i], 1e-30) / kUnit;
    squares += e * e;
    max = std::max(max, std::isnan(e) ? std::numeric_limits<double>::infinity() : e);
  }
  return {std::sqrt(squares / static_cast<double>(got.size())), max};
}

constexpr Pass kPasses[] = {Pass::kForward, Pass::kData, Pass::kWeights};

TEST(Winograd, ErrorsStayWithinThoseStated) {
  // docs/winograd.md: at most four times the rms of the direct sums, and six times where those are
  // short, as in the gradient of the weights from images of few pixels; never above 24 units.
  for (const bool positive : {false, true}) {
    for (const ConvGeometry& g : {same(2, 16, 16, 16), valid(2, 18, 32, 64), same(3, 8, 64, 32),
                                  same(4, 7, 128, 48), same(1, 28, 40, 33), same(4, 7, 150, 140)}) {
      const Data d = draw(g, 3, positive);
      for (const Pass pass : kPasses) {
        SCOPED_TRACE(text(g) + " pass " + std::to_string(static_cast<int>(pass)));
        const Sums want = reference(pass, d);
        const std::vector<float> fast = run(pass, d, false);
        const std::vector<float> exact = run(pass, d, true);
        EXPECT_FALSE(same_bits(fast, exact)) << "not served by Winograd";
        const Error f = error(fast, want);
        const Error e = error(exact, want);
        EXPECT_LE(f.rms, (pass == Pass::kWeights ? 6 : 4) * e.rms);
        EXPECT_LE(f.rms, 24.0);
        EXPECT_LE(f.max, 400.0);
      }
    }
  }
}

TEST(Winograd, RandomShapes) {
  std::mt19937 engine(5);
  const auto between = [&](i64 lo, i64 hi) {
    return std::uniform_int_distribution<i64>(lo, hi)(engine);
  };
  for (int i = 0; i < 40; ++i) {
    const i64 most = i < 30 ? 90 : 180;
    const i64 height = between(3, 21);
    const i64 width = between(3, 21);
    const i64 top = between(0, 2);
    const i64 left = between(0, 2);
    const ConvGeometry g =
        image(between(1, 5), height, width, between(16, most), between(16, most), top, left,
              height + top + between(0, 2) - 2, width + left + between(0, 2) - 2);
    SCOPED_TRACE(text(g));
    const Data d = draw(g, static_cast<unsigned>(i));
    for (const Pass pass : kPasses) {
      SCOPED_TRACE(static_cast<int>(pass));
      const std::vector<float> one = run(pass, d, false);
      const Sums want = reference(pass, d);
      const Error f = error(one, want);
      const Error e = error(run(pass, d, true), want);
      ASSERT_LE(f.rms, 6 * e.rms);
      ASSERT_LE(f.max, 400.0);
      for (const int threads : {2, 3, 40}) {
        ASSERT_TRUE(same_bits(one, run(pass, d, false, threads))) << threads << " threads";
      }
    }
  }
}

TEST(Winograd, BiasAndActivations) {
  for (const ConvGeometry& g : {same(2, 9, 24, 40), same(2, 9, 130, 132)}) {
    const Data d = draw(g, 11);
    for (const Pass pass : {Pass::kForward, Pass::kData}) {
      const i64 columns = pass == Pass::kForward ? d.g.o : d.g.c;
      const std::vector<float> plain = run(pass, d, false);
      for (const Activation act :
           {Activation::kNone, Activation::kRelu, Activation::kTanh, Activation::kLeakyRelu}) {
        for (const bool biased : {false, true}) {
          const std::vector<float> got = run(pass, d, false, 2, act, biased);
          for (std::size_t i = 0; i < got.size(); ++i) {
            double want = plain[i];
            if (biased) want += d.bias[i % size(columns)];
            if (act == Activation::kRelu) want = std::max(want, 0.0);
            if (act == Activation::kTanh) want = std::tanh(want);
            if (act == Activation::kLeakyRelu && want < 0) want *= 0.3;
            ASSERT_NEAR(got[i], want, 1e-6 * (1 + std::abs(want)));
          }
        }
      }
    }
  }
}

TEST(Winograd, AnImageDoesNotDependOnItsNeighbours) {
  // Two images of the second are few tiles with many weights.
  for (const ConvGeometry& g : {same(7, 13, 48, 70), same(7, 16, 150, 140)}) {
    const Data d = draw(g, 17);
    for (const Pass pass : {Pass::kForward, Pass::kData}) {
      const std::vector<float> all = run(pass, d, false);
      const std::size_t each = all.size() / 7;
      for (const std::size_t first : {0, 2, 5}) {
        Data part = d;
        part.g.n = 2;
        const auto cut = [&](std::vector<float>& v) {
          const std::size_t row = v.size() / 7;
          v = std::vector<float>(v.begin() + static_cast<std::ptrdiff_t>(first * row),
                                 v.begin() + static_cast<std::ptrdiff_t>((first + 2) * row));
        };
        cut(part.x);
        cut(part.dy);
        const std::vector<float> two = run(pass, part, false);
        EXPECT_EQ(std::memcmp(two.data(), all.data() + first * each, two.size() * sizeof(float)),
                  0);
      }
    }
  }
}

TEST(Winograd, NaNAndInfinityStayInTheirWindow) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  for (const float odd : {kNaN, kInf, 1e38F}) {
    for (const ConvGeometry& g : {same(2, 11, 32, 40), same(2, 11, 140, 130)}) {
      Data d = draw(g, 23);
      for (std::vector<float>* v : {&d.x, &d.dy}) (*v)[v->size() / 3] = odd;
      for (const Pass pass : kPasses) {
        SCOPED_TRACE(static_cast<int>(pass));
        const std::vector<float> fast = run(pass, d, false, 2);
        const std::vector<float> exact = run(pass, d, true);
        for (std::size_t i = 0; i < fast.size(); ++i) {
          ASSERT_EQ(std::isnan(fast[i]), std::isnan(exact[i])) << i;
          ASSERT_EQ(std::isinf(fast[i]), std::isinf(exact[i])) << i;
        }
      }
    }
  }
}

TEST(Winograd, LeavesOtherConvolutionsAlone) {
  std::vector<ConvGeometry> others(4, same(2, 12, 32, 32));
  others[0].stride[1] = 2;
  others[0].out[1] = 6;
  others[1].dilation[2] = 2;
  others[1].out[2] = 10;
  others[2].groups = 2;
  others[3].k[2] = 1;
  others[3].pad[2] = 0;
  for (const ConvGeometry& g : others) {
    SCOPED_TRACE(text(g));
    Data d = draw(g, 29);
    for (const Pass pass : kPasses) {
      EXPECT_TRUE(same_bits(run(pass, d, false), run(pass, d, true)));
    }
  }
}

TEST(Winograd, TheSwitchReachesTheKernels) {
  namespace ops = lamella::ops;
  using lamella::ConvAccuracy;
  const Data d = draw(same(2, 12, 32, 32), 31);
  const auto x = lamella::Tensor::from(d.x, lamella::Shape{2, 12, 12, 32});
  const auto w = lamella::Tensor::from(d.w, lamella::Shape{3, 3, 32, 32});
  ops::ConvOptions options;
  options.padding = ops::Padding::kSame;
  const auto result = [&] {
    const lamella::Tensor y = ops::conv(x, w, options);
    return std::vector<float>(y.data<float>(), y.data<float>() + y.size());
  };
  const ConvAccuracy before = lamella::conv_accuracy();
  lamella::set_conv_accuracy(ConvAccuracy::kExact);
  EXPECT_TRUE(same_bits(result(), run(Pass::kForward, d, true)));
  lamella::set_conv_accuracy(ConvAccuracy::kDefault);
  EXPECT_TRUE(same_bits(result(), run(Pass::kForward, d, false)));
  lamella::set_conv_accuracy(before);
  EXPECT_EQ(lamella::conv_accuracy_of("exact"), ConvAccuracy::kExact);
  EXPECT_THROW(lamella::conv_accuracy_of("fast"), lamella::Error);
}

}  // namespace
