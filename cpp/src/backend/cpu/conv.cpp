// Convolution, its gradient for the input (also the forward pass of a transposed convolution) and
// for the weights: which of the implementations serves which sizes.
#include "backend/cpu/conv_depthwise.h"
#include "backend/cpu/conv_direct.h"
#include "backend/cpu/conv_geometry.h"
#include "backend/cpu/conv_implicit.h"
#include "backend/cpu/conv_weights.h"
#include "backend/cpu/conv_winograd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

bool is_depthwise(const ConvGeometry& g) { return g.groups == g.c && g.o == g.c && g.c > 1; }

template <class T>
std::int64_t line_elements(std::int64_t n) {  // rounded up to whole cache lines
  constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
  return (n + kLine - 1) / kLine * kLine;
}

// ---------------------------------------------------------------- forward

template <class T>
std::size_t forward_workspace(const ConvGeometry& g) {
  if (is_depthwise(g)) return 0;
  const std::int64_t cg = g.c / g.groups;
  const std::int64_t og = g.o / g.groups;
  return static_cast<std::size_t>(line_elements<T>(cg) + packed_size<T>(product3(g.k) * cg, og)) *
         sizeof(T);
}

template <class T>
void pack_forward(const ConvGeometry& g, const T* w, T* packed, const Exec& exec) {
  const std::int64_t k = product3(g.k) * (g.c / g.groups);
  const std::int64_t n = g.o / g.groups;
  constexpr int kW = kPanelWidth<T>;
  parallel_for(exec, (n + kW - 1) / kW, std::max<std::int64_t>(1, 65536 / (kW * k)),
               [&](std::int64_t q0, std::int64_t q1) {
                 for (std::int64_t q = q0; q < q1; ++q) {
                   pack_panel(next_panel<T>(n - q * kW), w + q * kW, g.o, k, packed + q * kW * k);
                 }
               });
}

template <class T>
void forward(const ConvArgs& args, const Exec& exec) {
  const ConvGeometry& g = args.g;
  const T* x = static_cast<const T*>(args.x);
  const T* w = static_cast<const T*>(args.w);
  T* y = static_cast<T*>(args.y);
  const Epilogue<T> epilogue{static_cast<const T*>(args.bias), 1, args.act, args.act_alpha};
  if (is_depthwise(g)) {
    DepthwiseConv<T> p{};
    p.batch = g.n;
    p.c = g.c;
    p.src = x;
    p.w = w;
    p.out = y;
    p.epilogue = epilogue;
    std::int64_t stride = g.c;
    for (int d = 2; d >= 0; --d) {
      p.axis[d] = forward_axis(g, d);
      p.k[d] = g.k[d];
      p.out_stride[d] = stride;
      stride *= g.out[d];
    }
    p.out_batch = stride;
    run_depthwise(p, exec);
    return;
  }
  const std::int64_t cg = g.c / g.groups;
  const std::int64_t og = g.o / g.groups;
  T* zeros = static_cast<T*>(args.workspace);
  T* packed = zeros + line_elements<T>(cg);
  const BandPlan bands = plan_bands(g, sizeof(T));
  if (bands.fits) {
    pack_forward(g, w, packed, exec);
    run_direct(g, bands, x, packed, epilogue, y, exec);
    return;
  }
  std::fill(zeros, zeros + cg, T(0));
  for (std::int64_t group = 0; group < g.groups; ++group) {
    ImplicitConv<T> p{};
    p.batch = g.n;
    p.src = x + group * cg;
    p.src_pixel = g.c;
    p.k = cg;
    p.n = og;
    p.out = y + group * og;
    std::int64_t stride = g.o;
    for (int d = 2; d >= 0; --d) {
      p.axis[d] = forward_axis(g, d);
      p.out_stride[d] = stride;
      stride *= g.out[d];
    }
    p.out_batch = stride;
    p.packed = packed;
    p.zeros = zeros;
    p.epilogue = epilogue;
    if (p.epilogue.bias != nullptr) p.epilogue.bias += group * og;
    if (p.taps() * p.k == 0) {
      fill_without_taps(p);
      continue;
    }
    p.by_dots = g.groups == 1 && prefers_dots<T>(og, cg);
    if (p.by_dots) {
      p.packed = w;  // as it is
    } else {
      pack_forward(g, w + group * og, packed, exec);
    }
    run_implicit(p, exec);
  }
}

// ---------------------------------------------------------------- backward, data

template <class T>
std::size_t backward_data_workspace(const ConvGeometry& g) {
  if (is_depthwise(g)) return 0;
  const std::int64_t cg = g.c / g.groups;
  const std::int64_t og = g.o / g.groups;
  return static_cast<std::size_t>(line_elements<T>(og) + packed_size<T>(product3(g.k) * og, cg)) *
         sizeof(T);
}

// Panels of cg columns and rows (tap of this phase, output channel), from w (taps, cg, o). Without
// panels (cg is 1) just the rows.
template <class T>
void pack_backward(const ConvGeometry& g, const Axis (&a)[3], const T* w, T* packed, bool rows_only,
                   const Exec& exec) {
  const std::int64_t cg = g.c / g.groups;
  const std::int64_t og = g.o / g.groups;
  const std::int64_t taps = a[0].taps * a[1].taps * a[2].taps;
  constexpr int kW = kPanelWidth<T>;
  const std::int64_t panels = (cg + kW - 1) / kW;
  parallel_for(exec, panels * taps, std::max<std::int64_t>(1, 65536 / (kW * og)),
               [&](std::int64_t u0, std::int64_t u1) {
                 for (std::int64_t u = u0; u < u1; ++u) {
                   const std::int64_t q = u / taps;
                   const std::int64_t j = u % taps;
                   const std::int64_t j2 = a[2].first_tap + j % a[2].taps * a[2].tap_step;
                   const std::int64_t rest = j / a[2].taps;
                   const std::int64_t j1 = a[1].first_tap + rest % a[1].taps * a[1].tap_step;
                   const std::int64_t j0 = a[0].first_tap + rest / a[1].taps * a[0].tap_step;
                   const std::int64_t tap = (j0 * g.k[1] + j1) * g.k[2] + j2;
                   if (rows_only) {
                     std::copy_n(w + tap * g.o, og, packed + j * og);
                     continue;
                   }
                   const Panel panel = next_panel<T>(cg - q * kW);
                   pack_panel_transposed(panel, w + (tap * cg + q * kW) * g.o, g.o, og,
                                         packed + q * kW * taps * og + j * og * panel.width);
                 }
               });
}

template <class T>
void backward_data(const ConvBackwardDataArgs& args, const Exec& exec) {
  const ConvGeometry& g = args.g;
  const T* dy = static_cast<const T*>(args.dy);
  const T* w = static_cast<const T*>(args.w);
  T* dx = static_cast<T*>(args.dx);
  const std::int64_t cg = g.c / g.groups;
  const std::int64_t og = g.o / g.groups;
  const std::int64_t strides[3] = {g.in[1] * g.in[2] * g.c, g.in[2] * g.c, g.c};
  const bool depthwise = is_depthwise(g);
  T* zeros = static_cast<T*>(args.workspace);
  T* packed = zeros + line_elements<T>(og);
  if (!depthwise) std::fill(zeros, zeros + og, T(0));
  for (std::int64_t phase = 0; phase < product3(g.stride); ++phase) {
    const std::int64_t r[3] = {phase / g.stride[2] / g.stride[1], phase / g.stride[2] % g.stride[1],
                               phase % g.stride[2]};
    Axis axis[3];
    std::int64_t out_stride[3];
    std::int64_t offset = 0;
    for (int d = 0; d < 3; ++d) {
      axis[d] = backward_axis(g, d, r[d]);
      out_stride[d] = strides[d] * g.stride[d];
      offset += r[d] * strides[d];
    }
    if (axis[0].grid * axis[1].grid * axis[2].grid == 0) continue;
    for (std::int64_t group = 0; group < (depthwise ? 1 : g.groups); ++group) {
      Epilogue<T> epilogue{static_cast<const T*>(args.bias), 1, args.act, args.act_alpha};
      if (epilogue.bias != nullptr) epilogue.bias += group * cg;
      ImplicitConv<T> p{};
      p.batch = g.n;
      p.src = dy + group * og;
      p.src_pixel = g.o;
      p.k = og;
      p.n = depthwise ? g.c : cg;
      p.out = dx + offset + group * cg;
      p.out_batch = g.in[0] * strides[0];
      std::copy_n(axis, 3, p.axis);
      std::copy_n(out_stride, 3, p.out_stride);
      p.packed = packed;
      p.zeros = zeros;
      p.epilogue = epilogue;
      if (p.taps() * p.k == 0) {
        fill_without_taps(p);
      } else if (depthwise) {
        DepthwiseConv<T> q{};
        q.batch = g.n;
        q.c = g.c;
        q.src = dy;
        q.w = w;
        q.out = p.out;
        q.out_batch = p.out_batch;
        q.epilogue = epilogue;
        std::copy_n(axis, 3, q.axis);
        std::copy_n(out_stride, 3, q.out_stride);
        std::copy_n(g.k, 3, q.k);
        run_depthwise(q, exec);
      } else {
        p.by_dots = prefers_dots<T>(cg, og);
        pack_backward(g, axis, w + group * og, packed, p.by_dots, exec);
        run_implicit(p, exec);
      }
    }
  }
}

// ---------------------------------------------------------------- backward, weights

struct DirectWeights {
  BandPlan bands;
  std::int64_t count, parts;
};

DirectWeights plan_direct_weights(const ConvGeometry& g, std::size_t item) {
  DirectWeights p{};
  p.bands = plan_bands(g, item);
  const std::int64_t elements = product3(g.k) * (g.c / g.groups) * g.o;
  p.count = g.n * g.out[0] * p.bands.bands;
  p.parts = weight_parts(p.count, p.bands.rows * g.out[2] * elements, elements);
  return p;
}

template <class T>
std::size_t backward_weights_workspace(const ConvGeometry& geometry) {
  const ConvGeometry g = merge_pixels(geometry);
  if (g.n * product3(g.out) == 0) return 0;
  const std::int64_t elements = product3(g.k) * (g.c / g.groups) * g.o;
  const DirectWeights direct = plan_direct_weights(g, sizeof(T));
  const std::int64_t parts = is_depthwise(g)     ? depthwise_weight_parts(g)
                             : direct.bands.fits ? direct.parts
                                                 : plan_weights(g).parts;
  return parts > 1 ? static_cast<std::size_t>(parts * elements) * sizeof(T) : 0;
}

template <class T>
void backward_weights(const ConvBackwardWeightsArgs& args, const Exec& exec) {
  const ConvGeometry g = merge_pixels(args.g);
  const T* x = static_cast<const T*>(args.x);
  const T* dy = static_cast<const T*>(args.dy);
  T* dw = static_cast<T*>(args.dw);
  T* workspace = static_cast<T*>(args.workspace);
  const std::int64_t elements = product3(g.k) * (g.c / g.groups) * g.o;
  if (g.n * product3(g.out) == 0) {
    std::fill(dw, dw + elements, T(0));
    return;
  }
  if (is_depthwise(g)) {
    run_depthwise_weights(g, x, dy, dw, workspace, exec);
    return;
  }
  const DirectWeights direct = plan_direct_weights(g, sizeof(T));
  if (!direct.bands.fits) {
    run_weights(g, x, dy, dw, workspace, exec);
    return;
  }
  T* parts = direct.parts > 1 ? workspace : dw;
  parallel_for(exec, direct.parts, 1, [&](std::int64_t r0, std::int64_t r1) {
    for (std::int64_t r = r0; r < r1; ++r) {
      weights_direct(g, direct.bands, x, dy, direct.count * r / direct.parts,
                     direct.count * (r + 1) / direct.parts, parts + r * elements);
    }
  });
  if (direct.parts > 1) add_parts(parts, direct.parts, elements, dw, exec);
}

}  // namespace

std::size_t conv_workspace(const ConvArgs& args) {
  if (takes_winograd(args)) {
    return std::max(winograd_workspace(args), conv_workspace(sums_only(args)));
  }
  return args.dtype == DType::kFloat32 ? forward_workspace<float>(args.g)
                                       : forward_workspace<double>(args.g);
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
  return args.dtype == DType::kFloat32 ? backward_data_workspace<float>(args.g)
                                       : backward_data_workspace<double>(args.g);
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
