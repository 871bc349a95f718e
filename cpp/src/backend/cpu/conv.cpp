// Convolution, its gradient for the input (also the forward pass of a transposed convolution) and
// for the weights: which of the implementations serves which sizes.
#include "backend/cpu/conv_direct.h"
#include "backend/cpu/conv_dots.h"
#include "backend/cpu/conv_few.h"
#include "backend/cpu/conv_geometry.h"
#include "backend/cpu/conv_implicit.h"
#include "backend/cpu/conv_lanes.h"
#include "backend/cpu/conv_pack.h"
#include "backend/cpu/conv_weights.h"
#include "backend/cpu/conv_winograd.h"
#include "backend/cpu/kernel_list.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

template <class T>
std::int64_t line_elements(std::int64_t n) {  // rounded up to whole cache lines
  constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
  return (n + kLine - 1) / kLine * kLine;
}

// ---------------------------------------------------------------- forward and backward, data

// Panels or dots, behind a pixel of zeros.
template <class T>
std::size_t gather_workspace(const ConvGeometry& g, std::int64_t k, std::int64_t n) {
  if (prefers_lanes<T>(g)) return static_cast<std::size_t>(product3(g.k) * k * g.c) * sizeof(T);
  return static_cast<std::size_t>(line_elements<T>(k) +
                                  packed_weights_size<T>(product3(g.k) * k, n)) *
         sizeof(T);
}

/// Results that no tap reaches: act(bias).
template <class T>
void fill_without_taps(const Gather<T>& p, const Epilogue<T>& epilogue, T* out) {
  const Axis* a = p.axis;
  for (std::int64_t n = 0; n < p.batch; ++n) {
    for (std::int64_t q0 = 0; q0 < a[0].grid; ++q0) {
      for (std::int64_t q1 = 0; q1 < a[1].grid; ++q1) {
        for (std::int64_t q2 = 0; q2 < a[2].grid; ++q2) {
          T* row = out + n * p.out_batch + q0 * p.out_stride[0] + q1 * p.out_stride[1] +
                   q2 * p.out_stride[2];
          std::fill(row, row + p.n, T(0));
          finish_row(epilogue, row, p.n);
        }
      }
    }
  }
}

/// One group's gather, by the implementation that its sizes ask for.
template <class T>
void run_gather(const Gather<T>& p, const WeightView<T>& view, const Epilogue<T>& epilogue,
                T* workspace, T* out, const Exec& exec) {
  if (p.taps() * p.k == 0) {
    fill_without_taps(p, epilogue, out);
    return;
  }
  T* packed = workspace + line_elements<T>(p.k);
  BandPlan plan = plan_bands(p, kBandPixels, false);
  if (plan.fits && prefers_dots(p, plan)) {
    pack_dots(p, plan, view, packed);
    run_dots(DotsConv<T>{p, plan, packed, out, epilogue}, exec);
    return;
  }
  if (plan.fits && prefers_few<T>(plan)) {
    pack_panels(p, view, packed, exec);
    run_few(PanelConv<T>{p, plan, packed, out, epilogue}, exec);
    return;
  }
  plan = plan_bands(p, kBandPixels, true);
  pack_panels(p, view, packed, exec);
  if (plan.fits) {
    run_direct(PanelConv<T>{p, plan, packed, out, epilogue}, exec);
  } else {
    std::fill(workspace, workspace + p.k, T(0));
    run_implicit(ImplicitConv<T>{p, out, packed, workspace, epilogue}, exec);
  }
}

template <class T>
void forward(const ConvArgs& args, const Exec& exec) {
  const T* x = static_cast<const T*>(args.x);
  const T* w = static_cast<const T*>(args.w);
  T* y = static_cast<T*>(args.y);
  const ConvGeometry g = merge_pixels(args.g);
  const Epilogue<T> epilogue{static_cast<const T*>(args.bias), 1, args.act, args.act_alpha};
  if (prefers_lanes<T>(g)) {
    run_lanes(LanesConv<T>{forward_gather(g, x), w, g.k[1], g.k[2], y, epilogue}, exec);
    return;
  }
  const std::int64_t cg = g.c / g.groups;
  const std::int64_t og = g.o / g.groups;
  for (std::int64_t group = 0; group < g.groups; ++group) {
    const Gather<T> p = forward_gather(g, x + group * cg);
    Epilogue<T> e = epilogue;
    if (e.bias != nullptr) e.bias += group * og;
    run_gather(p, WeightView<T>{w + group * og, p.axis, g.k[1], g.k[2], cg, g.o, false}, e,
               static_cast<T*>(args.workspace), y + group * og, exec);
  }
}

template <class T>
void backward_data(const ConvBackwardDataArgs& args, const Exec& exec) {
  const ConvGeometry g = merge_pixels(args.g);
  const T* dy = static_cast<const T*>(args.dy);
  const T* w = static_cast<const T*>(args.w);
  T* dx = static_cast<T*>(args.dx);
  T* workspace = static_cast<T*>(args.workspace);
  const Epilogue<T> epilogue{static_cast<const T*>(args.bias), 1, args.act, args.act_alpha};
  const std::int64_t cg = g.c / g.groups;
  const std::int64_t og = g.o / g.groups;
  const bool lanes = prefers_lanes<T>(g);
  if (lanes && cg > 1) turn_groups(g, w, workspace);
  for (std::int64_t phase = 0; phase < product3(g.stride); ++phase) {
    for (std::int64_t group = 0; group < (lanes ? 1 : g.groups); ++group) {
      std::int64_t offset = 0;
      const Gather<T> p = backward_gather(g, phase, dy + group * og, offset);
      if (p.pixels() == 0) continue;
      T* out = dx + offset + group * cg;
      if (lanes) {
        run_lanes(LanesConv<T>{p, cg > 1 ? workspace : w, g.k[1], g.k[2], out, epilogue}, exec);
        continue;
      }
      Epilogue<T> e = epilogue;
      if (e.bias != nullptr) e.bias += group * cg;
      run_gather(p, WeightView<T>{w + group * og, p.axis, g.k[1], g.k[2], cg, g.o, true}, e,
                 workspace, out, exec);
    }
  }
}

// ---------------------------------------------------------------- backward, weights

/// dw of a 1x1 convolution with so many weights that a product's blocks serve it better.
bool is_large_product(const ConvGeometry& merged) {
  constexpr std::int64_t kLargeWeights = 1 << 17;
  return merged.groups == 1 && merged.n == 1 && product3(merged.k) == 1 &&
         product3(merged.in) == merged.in[2] && merged.in[2] == merged.out[2] &&
         merged.stride[2] == 1 && merged.pad[2] == 0 && merged.c * merged.o >= kLargeWeights;
}

/// dw = x^T dy over all pixels.
MatmulArgs weights_product(const ConvGeometry& merged, DType dtype) {
  MatmulArgs p{};
  p.dtype = dtype;
  p.ta = true;
  p.act = Activation::kNone;
  p.batch = 1;
  p.m = p.lda = merged.c;
  p.n = p.ldb = p.ldc = merged.o;
  p.k = merged.in[2];
  return p;
}

/// How dw is computed over bands: the work in parts of the bands and blocks of dw's rows.
struct WeightsPlan {
  ConvGeometry g;
  BandPlan bands;
  bool swapped;  // dy is the padded image with few channels, x the upstream: dw comes transposed
  std::int64_t count, parts, blocks;
};

template <class T>
Gather<T> weights_gather(const ConvGeometry& g, bool swapped, const T* src) {
  std::int64_t offset = 0;
  return swapped ? backward_gather(g, 0, src, offset) : forward_gather(g, src);
}

template <class T>
WeightsPlan plan_band_weights(const ConvGeometry& geometry) {
  WeightsPlan p{};
  p.g = merge_pixels(geometry);
  const ConvGeometry& g = p.g;
  p.swapped = g.groups == 1 && g.o < g.c && g.o < kLanes<HalfPacket<T>> && product3(g.stride) == 1;
  const Gather<T> gather = weights_gather<T>(g, p.swapped, nullptr);
  p.bands = plan_bands(gather, kWeightPixels, true, gather.n >= kPanelWidth<T>);
  if (p.bands.skip) part_runs(gather, p.bands);
  if (!p.bands.fits) return p;
  const std::int64_t elements = product3(g.k) * (g.c / g.groups) * g.o;
  const std::int64_t cost = p.bands.rows * p.bands.cols * elements;
  p.count = count_bands(gather, p.bands);
  p.parts = weight_parts(p.count, cost, elements);
  const bool split = static_cast<double>(cost) * static_cast<double>(p.count) > 16.0 * kGemmGrain;
  p.blocks = split ? std::clamp<std::int64_t>(kWeightUnits / p.parts, 1, p.bands.runs) : 1;
  return p;
}

template <class T>
std::size_t backward_weights_workspace(const ConvGeometry& g) {
  if (g.n * product3(g.out) == 0) return 0;
  if (const ConvGeometry merged = merge_pixels(g); is_large_product(merged)) {
    return matmul_workspace(
        weights_product(merged, sizeof(T) == 4 ? DType::kFloat32 : DType::kFloat64));
  }
  const std::int64_t elements = product3(g.k) * (g.c / g.groups) * g.o;
  const WeightsPlan plan = plan_band_weights<T>(g);
  const std::int64_t parts = prefers_lanes<T>(g) ? lanes_weight_parts(g)
                             : plan.bands.fits   ? plan.parts
                                                 : plan_weights(plan.g).parts;
  return parts > 1 || plan.swapped ? static_cast<std::size_t>(parts * elements) * sizeof(T) : 0;
}

/// dw[t][i][j] = parts[tap that is t][j][i], for dw from swapped roles.
template <class T>
void turn_weights(const ConvGeometry& g, const T* swapped, T* dw) {
  const std::int64_t taps = product3(g.k);
  for (std::int64_t t = 0; t < taps; ++t) {
    const T* from = swapped + (taps - 1 - t) * g.c * g.o;  // a gather's taps ascend
    for (std::int64_t i = 0; i < g.c; ++i) {
      for (std::int64_t j = 0; j < g.o; ++j) *dw++ = from[j * g.c + i];
    }
  }
}

template <class T>
void run_band_weights(const WeightsPlan& plan, const T* x, const T* dy, T* workspace, T* dw,
                      const Exec& exec) {
  const ConvGeometry& g = plan.g;
  const std::int64_t elements = product3(g.k) * (g.c / g.groups) * g.o;
  T* parts = plan.parts > 1 || plan.swapped ? workspace : dw;
  const WeightsConv<T> c{weights_gather(g, plan.swapped, plan.swapped ? dy : x), plan.bands,
                         plan.swapped ? x : dy, plan.swapped ? g.c : g.o};
  parallel_for(exec, plan.parts * plan.blocks, 1, [&](std::int64_t u0, std::int64_t u1) {
    for (std::int64_t u = u0; u < u1; ++u) {
      const std::int64_t r = u / plan.blocks;
      const std::int64_t block = u % plan.blocks;
      for (std::int64_t group = 0; group < g.groups; ++group) {
        WeightsConv<T> one = c;
        one.gather.src += group * one.gather.k;
        one.upstream += group * one.gather.n;
        weights_of_bands(one, plan.count * r / plan.parts, plan.count * (r + 1) / plan.parts,
                         c.plan.runs * block / plan.blocks, c.plan.runs * (block + 1) / plan.blocks,
                         parts + r * elements + group * one.gather.n);
      }
    }
  });
  if (plan.parts > 1) add_parts(parts, plan.parts, elements, plan.swapped ? parts : dw, exec);
  if (plan.swapped) turn_weights(g, parts, dw);
}

template <class T>
void backward_weights(const ConvBackwardWeightsArgs& args, const Exec& exec) {
  const ConvGeometry& g = args.g;
  const T* x = static_cast<const T*>(args.x);
  const T* dy = static_cast<const T*>(args.dy);
  T* dw = static_cast<T*>(args.dw);
  T* workspace = static_cast<T*>(args.workspace);
  if (g.n * product3(g.out) == 0) {
    std::fill(dw, dw + product3(g.k) * (g.c / g.groups) * g.o, T(0));
    return;
  }
  if (prefers_lanes<T>(g)) {
    run_lanes_weights(g, x, dy, dw, workspace, exec);
    return;
  }
  if (const ConvGeometry merged = merge_pixels(g); is_large_product(merged)) {
    MatmulArgs product = weights_product(merged, args.dtype);
    product.a = x;
    product.b = dy;
    product.c = dw;
    product.workspace = workspace;
    matmul_kernel(product, exec);
    return;
  }
  const WeightsPlan plan = plan_band_weights<T>(g);
  if (plan.bands.fits) {
    run_band_weights(plan, x, dy, workspace, dw, exec);
  } else {
    run_weights(plan.g, x, dy, dw, workspace, exec);
  }
}

}  // namespace

std::size_t conv_workspace(const ConvArgs& args) {
  if (takes_winograd(args)) {
    return std::max(winograd_workspace(args), conv_workspace(sums_only(args)));
  }
  return args.dtype == DType::kFloat32
             ? gather_workspace<float>(args.g, args.g.c / args.g.groups, args.g.o / args.g.groups)
             : gather_workspace<double>(args.g, args.g.c / args.g.groups, args.g.o / args.g.groups);
}

void conv_kernel(const ConvArgs& args, const Exec& exec) {
  if (args.g.n * product3(args.g.out) * args.g.o == 0) return;
  if (takes_winograd(args) && run_winograd(args, exec)) return;
  if (args.dtype == DType::kFloat32) {
    forward<float>(args, exec);
  } else {
    forward<double>(args, exec);
  }
}

std::size_t conv_backward_data_workspace(const ConvBackwardDataArgs& args) {
  if (takes_winograd(args)) {
    return std::max(winograd_workspace(args), conv_backward_data_workspace(sums_only(args)));
  }
  return args.dtype == DType::kFloat32
             ? gather_workspace<float>(args.g, args.g.o / args.g.groups, args.g.c / args.g.groups)
             : gather_workspace<double>(args.g, args.g.o / args.g.groups, args.g.c / args.g.groups);
}

void conv_backward_data_kernel(const ConvBackwardDataArgs& args, const Exec& exec) {
  if (args.g.n * product3(args.g.in) * args.g.c == 0) return;
  if (takes_winograd(args) && run_winograd(args, exec)) return;
  if (args.dtype == DType::kFloat32) {
    backward_data<float>(args, exec);
  } else {
    backward_data<double>(args, exec);
  }
}

std::size_t conv_backward_weights_workspace(const ConvBackwardWeightsArgs& args) {
  if (takes_winograd(args)) {
    return std::max(winograd_workspace(args), conv_backward_weights_workspace(sums_only(args)));
  }
  return args.dtype == DType::kFloat32 ? backward_weights_workspace<float>(args.g)
                                       : backward_weights_workspace<double>(args.g);
}

void conv_backward_weights_kernel(const ConvBackwardWeightsArgs& args, const Exec& exec) {
  if (takes_winograd(args) && run_winograd(args, exec)) return;
  if (args.dtype == DType::kFloat32) {
    backward_weights<float>(args, exec);
  } else {
    backward_weights<double>(args, exec);
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
