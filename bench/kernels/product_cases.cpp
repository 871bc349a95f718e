// Matrix products and convolutions.

#include <array>

#include "bench.h"

namespace bench {

using namespace lamella::kernels;
using lamella::DType;

namespace {

Case matmul(DType dtype, std::int64_t m, std::int64_t k, std::int64_t n, bool ta, bool tb) {
  Case c;
  c.kernel = std::string("matmul") + (ta ? "_ta" : "") + (tb ? "_tb" : "");
  c.shape = std::to_string(m) + "x" + std::to_string(k) + "x" + std::to_string(n);
  c.flops = 2.0 * static_cast<double>(m * k * n);
  c.bytes = item_bytes(dtype) * static_cast<double>(m * k + k * n + m * n);
  c.make = [=](Arena& arena) {
    MatmulArgs args{};
    args.dtype = dtype;
    args.ta = ta, args.tb = tb;
    args.act = Activation::kNone;
    args.m = m, args.n = n, args.k = k;
    args.batch = 1;
    args.a = arena.floats(m * k, dtype), args.lda = ta ? m : k;
    args.b = arena.floats(k * n, dtype), args.ldb = tb ? k : n;
    args.c = arena.floats(m * n, dtype), args.ldc = n;
    args.workspace = arena.bytes(table().matmul_workspace(args));
    return call(table().matmul, args);
  };
  return c;
}

struct Convolution {
  const char* name;
  std::int64_t n, in[3], c, k[3], o;
  std::int64_t stride = 1;
  bool same = true;
  std::int64_t dilation = 1, groups = 1;
};

const Convolution kConvolutions[] = {
    {"1to8", 64, {1, 28, 28}, 1, {1, 3, 3}, 8, 1, false},
    {"1to32", 64, {1, 28, 28}, 1, {1, 3, 3}, 32, 1, false},
    {"3to64", 32, {1, 32, 32}, 3, {1, 3, 3}, 64},
    {"64to3", 16, {1, 32, 32}, 64, {1, 3, 3}, 3},
    {"3x3 16", 64, {1, 32, 32}, 16, {1, 3, 3}, 16},
    {"3x3 32", 8, {1, 56, 56}, 32, {1, 3, 3}, 32},
    {"3x3 64", 4, {1, 56, 56}, 64, {1, 3, 3}, 64},
    {"3x3 128", 4, {1, 28, 28}, 128, {1, 3, 3}, 128},
    {"3x3 256", 4, {1, 14, 14}, 256, {1, 3, 3}, 256},
    {"3x3 512", 4, {1, 7, 7}, 512, {1, 3, 3}, 512},
    {"1x1 64to256", 4, {1, 56, 56}, 64, {1, 1, 1}, 256},
    {"1x1 256to64", 4, {1, 56, 56}, 256, {1, 1, 1}, 64},
    {"1x1 512", 8, {1, 14, 14}, 512, {1, 1, 1}, 512},
    {"5x5 32", 16, {1, 28, 28}, 32, {1, 5, 5}, 32},
    {"7x7 s2 3to64", 2, {1, 229, 229}, 3, {1, 7, 7}, 64, 2, false},
    {"3x3 s2 64to128", 8, {1, 57, 57}, 64, {1, 3, 3}, 128, 2, false},
    {"dilated 64", 8, {1, 28, 28}, 64, {1, 3, 3}, 64, 1, true, 2},
    {"groups 4 of 32", 8, {1, 28, 28}, 128, {1, 3, 3}, 128, 1, true, 1, 4},
    {"depthwise 64", 8, {1, 56, 56}, 64, {1, 3, 3}, 64, 1, true, 1, 64},
    {"1-D 5 64", 32, {1, 1, 256}, 64, {1, 1, 5}, 64},
    {"3-D 3 16to32", 2, {16, 28, 28}, 16, {3, 3, 3}, 32},
};

ConvGeometry geometry(const Convolution& v) {
  ConvGeometry g{};
  g.n = v.n, g.c = v.c, g.o = v.o, g.groups = v.groups;
  for (int d = 0; d < 3; ++d) {
    const bool spatial = v.in[d] > 1;
    g.in[d] = v.in[d], g.k[d] = v.k[d];
    g.stride[d] = spatial ? v.stride : 1;
    g.dilation[d] = spatial ? v.dilation : 1;
    const auto reach = (v.k[d] - 1) * g.dilation[d];
    const auto pad = v.same ? reach : 0;
    g.pad[d] = pad / 2;
    g.out[d] = (v.in[d] + pad - reach - 1) / g.stride[d] + 1;
  }
  return g;
}

void add_convolution(std::vector<Case>& cases, DType dtype, const Convolution& v) {
  const ConvGeometry g = geometry(v);
  const std::int64_t nx = g.n * g.in[0] * g.in[1] * g.in[2] * g.c;
  const std::int64_t ny = g.n * g.out[0] * g.out[1] * g.out[2] * g.o;
  const std::int64_t taps = g.k[0] * g.k[1] * g.k[2] * g.c / g.groups;
  const std::int64_t nw = taps * g.o;
  Case c;
  c.shape = std::string(v.name) + " @" + std::to_string(v.n) + "x" +
            (g.in[0] > 1 ? std::to_string(g.in[0]) + "x" : "") + std::to_string(g.in[1]) + "x" +
            std::to_string(g.in[2]);
  c.flops = 2.0 * static_cast<double>(ny * taps);
  c.bytes = item_bytes(dtype) * static_cast<double>(nx + ny + nw);
  c.kernel = "conv";
  c.make = [=](Arena& arena) {
    ConvArgs args{};
    args.dtype = dtype, args.g = g, args.act = Activation::kNone;
    args.x = arena.floats(nx, dtype), args.w = arena.floats(nw, dtype);
    args.y = arena.floats(ny, dtype);
    args.workspace = arena.bytes(table().conv_workspace(args));
    return call(table().conv, args);
  };
  cases.push_back(c);
  c.kernel = "conv_backward_data";
  c.make = [=](Arena& arena) {
    ConvBackwardDataArgs args{};
    args.dtype = dtype, args.g = g, args.act = Activation::kNone;
    args.dy = arena.floats(ny, dtype), args.w = arena.floats(nw, dtype);
    args.dx = arena.floats(nx, dtype);
    args.workspace = arena.bytes(table().conv_backward_data_workspace(args));
    return call(table().conv_backward_data, args);
  };
  cases.push_back(c);
  c.kernel = "conv_backward_weights";
  c.make = [=](Arena& arena) {
    ConvBackwardWeightsArgs args{};
    args.dtype = dtype, args.g = g;
    args.x = arena.floats(nx, dtype), args.dy = arena.floats(ny, dtype);
    args.dw = arena.floats(nw, dtype);
    args.workspace = arena.bytes(table().conv_backward_weights_workspace(args));
    return call(table().conv_backward_weights, args);
  };
  cases.push_back(c);
}

}  // namespace

std::vector<Case> product_cases(DType dtype) {
  std::vector<Case> cases;
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      if (ta && tb) continue;
      for (const std::int64_t n : {64, 128, 256, 512, 1024, 2048}) {
        cases.push_back(matmul(dtype, n, n, n, ta, tb));
      }
    }
  }
  // A dense layer: forward, its weights' gradient, its input's gradient.
  for (const auto& [m, k, n] : {std::array<std::int64_t, 3>{32, 784, 100}, {32, 100, 10}}) {
    cases.push_back(matmul(dtype, m, k, n, false, false));
    cases.push_back(matmul(dtype, k, m, n, true, false));
    cases.push_back(matmul(dtype, m, n, k, false, true));
  }
  for (const auto& convolution : kConvolutions) add_convolution(cases, dtype, convolution);
  return cases;
}

}  // namespace bench
