#include "ops/conv.h"

#include <algorithm>
#include <limits>

#include "lamella/ops.h"
#include "ops/common.h"
#include "ops/matmul.h"

namespace lamella {
namespace {

constexpr const char* kPaddings[] = {"valid", "same", "causal", "explicit"};

int spatial(const Shape& x) { return x.rank() - 2; }

double conv_flops(const Shape& y, const Shape& w) {
  // Every output element takes one multiply-add for each tap and channel of its group.
  const double taps = static_cast<double>(product(w, 0, w.rank() - 1));
  return 2.0 * static_cast<double>(y.size()) * taps;
}

void check_conv(const char* op, const Spec& x, const Spec& w, std::int64_t groups) {
  check_floating(op, x.dtype);
  check<DTypeError>(x.dtype == w.dtype, op, ": input is ", name(x.dtype), " but kernel is ",
                    name(w.dtype));
  check<ShapeError>(
      x.shape.rank() >= 3 && x.shape.rank() <= 5, op,
      ": expected an input of shape (batch, spatial..., channels) with 1 to 3 spatial "
      "axes, got shape ",
      x.shape);
  check<ShapeError>(w.shape.rank() == x.shape.rank(), op, ": input of shape ", x.shape,
                    " needs a kernel of rank ", x.shape.rank(), ", got shape ", w.shape);
  const Dim c = x.shape.back(), cg = w.shape[w.shape.rank() - 2];
  check<ShapeError>(c == cg * Dim(groups), op, ": input of shape ", x.shape, " has ", c,
                    " channels, kernel of shape ", w.shape, " with groups=", groups, " expects ",
                    cg * Dim(groups));
  check<ShapeError>(w.shape.back().value() % groups == 0, op, ": ", w.shape.back(),
                    " output channels cannot be divided into ", groups, " groups");
}

/// One stride and dilation for each spatial axis, all positive (a file may say anything).
void check_attrs(const char* op, const ConvAttrs& a, const Shape& x) {
  check<ShapeError>(x.rank() >= 3 && x.rank() <= 5, op,
                    ": expected 1 to 3 spatial axes, got shape ", x);
  const auto axes = static_cast<std::size_t>(spatial(x));
  bool valid = a.strides.size() == axes && a.dilation.size() == axes && a.groups >= 1;
  if (a.padding == ConvAttrs::kExplicit)
    valid = valid && a.before.size() == axes && a.after.size() == axes;
  for (std::size_t i = 0; valid && i < axes; ++i) valid = a.strides[i] >= 1 && a.dilation[i] >= 1;
  check<ShapeError>(valid, op, ": strides, dilation or padding do not fit shape ", x);
}

/// x, w and y of one convolution belong together.
void check_operands(const char* op, const Shape& x, const Shape& w, const Shape& y,
                    std::int64_t groups) {
  check<ShapeError>(x.rank() == w.rank() && x.rank() == y.rank() && w.back() == y.back() &&
                        x.back() == w[w.rank() - 2] * Dim(groups) && w.back().known() &&
                        w.back().value() % groups == 0 && (x[0] == y[0]),
                    op, ": shapes ", x, ", ", w, " and ", y, " do not belong to one convolution");
}

}  // namespace

void ConvAttrs::visit(AttrVisitor& v) {
  v.choice_of("padding", padding, kPaddings);
  v.attr("strides", strides);
  v.attr("dilation", dilation);
  v.attr("before", before);
  v.attr("after", after);
  v.attr("groups", groups);
}

Dim ConvAttrs::out_size(Dim in, std::int64_t kernel, std::size_t axis) const {
  const std::int64_t s = strides[axis], extent = (kernel - 1) * dilation[axis] + 1;
  switch (padding) {
    case static_cast<int>(ops::Padding::kSame):
    case static_cast<int>(ops::Padding::kCausal):
      return ceil_div(in, Dim(s));
    case kExplicit: {
      const std::int64_t more = before[axis] + after[axis] - extent;  // after may be negative
      return floor_div(more >= 0 ? in + Dim(more) : in - Dim(-more), Dim(s)) + Dim(1);
    }
    default:
      if (in.known() && in.value() < extent) return Dim(0);
      return floor_div(in - Dim(extent), Dim(s)) + Dim(1);
  }
}

std::int64_t ConvAttrs::pad_before(std::int64_t in, std::int64_t kernel, std::size_t axis) const {
  const std::int64_t s = strides[axis], extent = (kernel - 1) * dilation[axis] + 1;
  switch (padding) {
    case static_cast<int>(ops::Padding::kSame): {
      const std::int64_t out = (in + s - 1) / s;
      return std::max<std::int64_t>((out - 1) * s + extent - in, 0) / 2;
    }
    case static_cast<int>(ops::Padding::kCausal):
      return extent - 1;
    case kExplicit:
      return before[axis];
    default:
      return 0;
  }
}

kernels::ConvGeometry ConvAttrs::geometry(const Shape& x, const Shape& w) const {
  kernels::ConvGeometry g{};
  g.n = x[0].value();
  g.c = x.back().value();
  g.o = w.back().value();
  g.groups = groups;
  const int n = spatial(x);
  for (int i = 0; i < 3; ++i) {
    g.in[i] = g.out[i] = g.k[i] = g.stride[i] = g.dilation[i] = 1;
    g.pad[i] = 0;
    const int axis = i - (3 - n);
    if (axis < 0) continue;
    const auto u = static_cast<std::size_t>(axis);
    g.in[i] = x[1 + axis].value();
    g.k[i] = w[axis].value();
    g.stride[i] = strides[u];
    g.dilation[i] = dilation[u];
    g.out[i] = out_size(x[1 + axis], g.k[i], u).value();
    g.pad[i] = pad_before(g.in[i], g.k[i], u);
  }
  return g;
}

// ---------------------------------------------------------------- forward

std::vector<Spec> Conv::infer(std::span<const Spec> in) const {
  const Shape& x = in[0].shape;
  const Shape& w = in[1].shape;
  check_attrs("conv", attrs, x);
  check_conv("conv", in[0], in[1], attrs.groups);
  Shape out{x[0]};
  for (int i = 0; i < spatial(x); ++i) {
    const Dim size = attrs.out_size(x[1 + i], w[i].value(), static_cast<std::size_t>(i));
    check<ShapeError>(!size.known() || size.value() > 0 || (x[1 + i] == Dim(0)),
                      "conv: input of shape ", x, " is smaller than the kernel of shape ", w,
                      "; use padding=\"same\" or a smaller kernel");
    out.push_back(size);
  }
  out.push_back(w.back());
  return {{out, in[0].dtype}};
}

void Conv::lower(Lowering& l) const {
  kernels::ConvArgs args{};
  args.dtype = l.in_spec(0).dtype;
  args.exact = attrs.exact;
  args.g = attrs.geometry(l.in_shape(0), l.in_shape(1));
  args.x = l.in(0);
  args.w = l.in(1);
  args.bias = l.inputs() > 2 ? l.in(2) : nullptr;
  args.act = act;
  args.act_alpha = act_alpha;
  args.y = l.out(0);
  args.workspace = l.workspace(l.k.conv_workspace(args));
  l.call(l.k.conv, args);
}

void Conv::visit(AttrVisitor& v) {
  attrs.visit(v);
  v.choice_of("act", act, activation_names());
  v.attr("act_alpha", act_alpha);
}

double Conv::flops(std::span<const Spec> in, std::span<const Spec> out) const {
  return conv_flops(out[0].shape, in[1].shape);
}

void Conv::vjp(const Vjp& v) const {
  check<StateError>(act == kernels::Activation::kNone && v.in.size() == 2,
                    "conv: a fused convolution is differentiated before fusion");
  if (v.needs[0]) {
    auto op = std::make_shared<ConvBackwardData>();
    op->attrs = attrs;
    op->x_shape = dims_of(v.in[0].shape());
    v.result[0] = apply1(op, {v.grad[0], v.in[1]});
  }
  if (v.needs[1]) {
    auto op = std::make_shared<ConvBackwardWeights>();
    op->attrs = attrs;
    op->w_shape = dims_of(v.in[1].shape());
    v.result[1] = apply1(op, {v.in[0], v.grad[0]});
  }
}

// ---------------------------------------------------------------- backward data

std::vector<Spec> ConvBackwardData::infer(std::span<const Spec> in) const {
  check_attrs("conv_backward_data", attrs, Shape(x_shape));
  check_operands("conv_backward_data", Shape(x_shape), in[1].shape, in[0].shape, attrs.groups);
  return {{Shape(x_shape), in[0].dtype}};
}

void ConvBackwardData::lower(Lowering& l) const {
  kernels::ConvBackwardDataArgs args{};
  args.dtype = l.in_spec(0).dtype;
  args.exact = attrs.exact;
  args.g = attrs.geometry(l.out_shape(0), l.in_shape(1));
  // A transposed convolution may see fewer rows of dy than its output would give; what counts is
  // dy.
  const Shape& dy = l.in_shape(0);
  for (int i = 0; i < spatial(dy); ++i) args.g.out[3 - spatial(dy) + i] = dy[1 + i].value();
  args.dy = l.in(0);
  args.w = l.in(1);
  args.bias = l.inputs() > 2 ? l.in(2) : nullptr;
  args.act = act;
  args.act_alpha = act_alpha;
  args.dx = l.out(0);
  args.workspace = l.workspace(l.k.conv_backward_data_workspace(args));
  l.call(l.k.conv_backward_data, args);
}

void ConvBackwardData::visit(AttrVisitor& v) {
  attrs.visit(v);
  v.attr("x_shape", x_shape);
  v.choice_of("act", act, activation_names());
  v.attr("act_alpha", act_alpha);
}

double ConvBackwardData::flops(std::span<const Spec> in, std::span<const Spec>) const {
  return conv_flops(in[0].shape, in[1].shape);
}

void ConvBackwardData::vjp(const Vjp& v) const {
  check<StateError>(act == kernels::Activation::kNone && v.in.size() == 2,
                    "conv_transpose: a fused convolution is differentiated before fusion");
  if (v.needs[0]) {
    auto op = std::make_shared<Conv>();
    op->attrs = attrs;
    v.result[0] = apply1(op, {v.grad[0], v.in[1]});
  }
  if (v.needs[1]) {
    auto op = std::make_shared<ConvBackwardWeights>();
    op->attrs = attrs;
    op->w_shape = dims_of(v.in[1].shape());
    v.result[1] = apply1(op, {v.grad[0], v.in[0]});
  }
}

// ---------------------------------------------------------------- backward weights

std::vector<Spec> ConvBackwardWeights::infer(std::span<const Spec> in) const {
  check_attrs("conv_backward_weights", attrs, in[0].shape);
  check_operands("conv_backward_weights", in[0].shape, Shape(w_shape), in[1].shape, attrs.groups);
  return {{Shape(w_shape), in[0].dtype}};
}

void ConvBackwardWeights::lower(Lowering& l) const {
  kernels::ConvBackwardWeightsArgs args{};
  args.dtype = l.in_spec(0).dtype;
  args.exact = attrs.exact;
  args.g = attrs.geometry(l.in_shape(0), l.out_shape(0));
  const Shape& dy = l.in_shape(1);
  for (int i = 0; i < spatial(dy); ++i) args.g.out[3 - spatial(dy) + i] = dy[1 + i].value();
  args.x = l.in(0);
  args.dy = l.in(1);
  args.dw = l.out(0);
  args.workspace = l.workspace(l.k.conv_backward_weights_workspace(args));
  l.call(l.k.conv_backward_weights, args);
}

void ConvBackwardWeights::visit(AttrVisitor& v) {
  attrs.visit(v);
  v.attr("w_shape", w_shape);
}

double ConvBackwardWeights::flops(std::span<const Spec> in, std::span<const Spec> out) const {
  return conv_flops(in[1].shape, out[0].shape);
}

void ConvBackwardWeights::vjp(const Vjp& v) const {
  if (v.needs[0]) {
    auto op = std::make_shared<ConvBackwardData>();
    op->attrs = attrs;
    op->x_shape = dims_of(v.in[0].shape());
    v.result[0] = apply1(op, {v.in[1], v.grad[0]});
  }
  if (v.needs[1]) {
    auto op = std::make_shared<Conv>();
    op->attrs = attrs;
    v.result[1] = apply1(op, {v.in[0], v.grad[0]});
  }
}

// ---------------------------------------------------------------- pooling

namespace {

struct PoolAttrs {
  bool average = false;
  std::vector<std::int64_t> size;
  ConvAttrs conv;
  void visit(AttrVisitor& v) {
    v.attr("average", average);
    v.attr("size", size);
    conv.visit(v);
  }
  kernels::ConvGeometry geometry(const Shape& x) const {
    Shape w;
    for (std::int64_t s : size) w.push_back(Dim(s));
    w.push_back(Dim(1));
    w.push_back(x.back());
    kernels::ConvGeometry g = conv.geometry(x, w);
    g.groups = g.c;
    return g;
  }
  /// For each window the element of `values` (x's shape) where x has its first maximum y.
  Tensor select_first_maximum(const Tensor& x, const Tensor& y, const Tensor& values) const;
};

Tensor PoolAttrs::select_first_maximum(const Tensor& x, const Tensor& y,
                                       const Tensor& values) const {
  const int axes = spatial(x.shape());
  std::vector<std::pair<std::int64_t, std::int64_t>> widths(static_cast<std::size_t>(axes) + 2);
  std::vector<Dim> starts(widths.size(), Dim(0)), sizes(widths.size());
  std::vector<std::int64_t> steps(widths.size(), 1);
  sizes.front() = x.shape()[0];
  sizes.back() = x.shape().back();
  for (int i = 0; i < axes; ++i) {
    const auto u = static_cast<std::size_t>(i);
    check<ShapeError>(x.shape()[1 + i].known() && y.shape()[1 + i].known(),
                      "max_pool: second derivatives need known spatial sizes, got shape ",
                      x.shape());
    const std::int64_t in = x.shape()[1 + i].value(), out = y.shape()[1 + i].value();
    const std::int64_t before = conv.pad_before(in, size[u], u);
    const std::int64_t reach = (out - 1) * conv.strides[u] + size[u];
    widths[u + 1] = {before, std::max<std::int64_t>(0, reach - before - in)};
    sizes[u + 1] = y.shape()[1 + i];
    steps[u + 1] = conv.strides[u];
  }
  const Tensor padded = ops::pad(x, widths, -std::numeric_limits<double>::infinity());
  const Tensor from = ops::pad(values, widths);
  Tensor result = ops::full(y.shape(), 0, values.dtype());
  Tensor found;
  std::vector<std::int64_t> at(static_cast<std::size_t>(axes), 0);
  for (bool more = true; more;) {
    for (std::size_t u = 0; u < at.size(); ++u) starts[u + 1] = Dim(at[u]);
    const Tensor hit = ops::equal(ops::slice(padded, starts, sizes, steps), y);
    const Tensor here = found.defined() ? ops::logical_and(hit, ops::logical_not(found)) : hit;
    result = ops::where(here, ops::slice(from, starts, sizes, steps), result);
    found = found.defined() ? ops::logical_or(found, hit) : hit;
    more = false;
    for (std::size_t u = at.size(); u-- > 0 && !more;) {
      more = ++at[u] < size[u];
      if (!more) at[u] = 0;
    }
  }
  return result;
}

struct Pool final : OpBase<Pool> {
  static constexpr const char* kName = "pool";
  PoolAttrs attrs;
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const Shape& x = in[0].shape;
    check_floating("pooling", in[0].dtype);
    check<ShapeError>(spatial(x) == static_cast<int>(attrs.size.size()),
                      "pooling: expected an input with ", attrs.size.size(),
                      " spatial axes between batch and channels, got shape ", x);
    check_attrs("pooling", attrs.conv, x);
    Shape out{x[0]};
    for (int i = 0; i < spatial(x); ++i) {
      const auto u = static_cast<std::size_t>(i);
      const Dim size = attrs.conv.out_size(x[1 + i], attrs.size[u], u);
      check<ShapeError>(!size.known() || size.value() > 0, "pooling: input of shape ", x,
                        " is smaller than the window of size ", attrs.size[u]);
      out.push_back(size);
    }
    out.push_back(x.back());
    return {{out, in[0].dtype}};
  }
  void lower(Lowering& l) const override {
    l.call(l.k.pool,
           {l.in_spec(0).dtype, attrs.average, attrs.geometry(l.in_shape(0)), l.in(0), l.out(0)});
  }
  bool row_wise(const Rows&) const override { return true; }
  void visit(AttrVisitor& v) override { attrs.visit(v); }
  void vjp(const Vjp& v) const override;
};

/// dx from x, y, dy (average pooling ignores the values of x and y).
struct PoolGrad final : OpBase<PoolGrad> {
  static constexpr const char* kName = "pool_grad";
  Arity arity() const override { return {3, 3}; }
  PoolAttrs attrs;
  std::vector<Spec> infer(std::span<const Spec> in) const override { return {in[0]}; }
  void lower(Lowering& l) const override {
    l.call(l.k.pool_grad, {l.in_spec(0).dtype, attrs.average, attrs.geometry(l.in_shape(0)),
                           l.in(0), l.in(1), l.in(2), l.out(0)});
  }
  void visit(AttrVisitor& v) override { attrs.visit(v); }
  void vjp(const Vjp& v) const override {
    // Linear in dy; for max pooling the choice of the maximum is locally constant.
    if (!v.needs[2]) return;
    if (!attrs.average) {
      v.result[2] = attrs.select_first_maximum(v.in[0], v.in[1], v.grad[0]);
      return;
    }
    auto op = std::make_shared<Pool>();
    op->attrs = attrs;
    v.result[2] = apply1(op, {v.grad[0]});
  }
};

void Pool::vjp(const Vjp& v) const {
  auto op = std::make_shared<PoolGrad>();
  op->attrs = attrs;
  v.result[0] = apply1(op, {v.in[0], v.out[0], v.grad[0]});
}

const RegisterOp<Conv> r1;
const RegisterOp<ConvBackwardData> r2;
const RegisterOp<ConvBackwardWeights> r3;
const RegisterOp<Pool> r4;
const RegisterOp<PoolGrad> r5;

std::vector<std::int64_t> per_axis(const char* op, const char* what,
                                   const std::vector<std::int64_t>& given, int axes,
                                   std::int64_t otherwise) {
  if (given.empty()) return std::vector<std::int64_t>(static_cast<std::size_t>(axes), otherwise);
  check(static_cast<int>(given.size()) == axes, op, ": expected ", axes, " ", what, ", got ",
        given.size());
  for (std::int64_t v : given) check(v >= 1, op, ": ", what, " must be positive, got ", v);
  return given;
}

ConvAttrs attrs_for(const char* op, const Tensor& x, const ops::ConvOptions& o) {
  check<ShapeError>(
      x.rank() >= 3 && x.rank() <= 5, op,
      ": expected an input of shape (batch, spatial..., channels) with 1 to 3 spatial "
      "axes, got shape ",
      x.shape());
  check(o.groups >= 1, op, ": groups must be positive, got ", o.groups);
  check(o.padding != ops::Padding::kCausal || x.rank() == 3, op,
        ": padding=\"causal\" is for one spatial axis only");
  ConvAttrs a;
  a.strides = per_axis(op, "strides", o.strides, spatial(x.shape()), 1);
  a.dilation = per_axis(op, "dilation rates", o.dilation, spatial(x.shape()), 1);
  a.padding = static_cast<int>(o.padding);
  a.groups = o.groups;
  return a;
}

Tensor pool(const Tensor& x, const ops::PoolOptions& o, bool average) {
  auto op = std::make_shared<Pool>();
  const int axes = static_cast<int>(o.size.size());
  op->attrs.average = average;
  op->attrs.size = per_axis("pooling", "pool sizes", o.size, axes, 1);
  op->attrs.conv.strides =
      o.strides.empty() ? op->attrs.size : per_axis("pooling", "strides", o.strides, axes, 1);
  op->attrs.conv.dilation.assign(o.size.size(), 1);
  op->attrs.conv.padding = static_cast<int>(o.padding);
  return apply1(op, {x});
}

}  // namespace

namespace ops {

Tensor conv(const Tensor& x, const Tensor& w, const ConvOptions& options) {
  auto op = std::make_shared<Conv>();
  op->attrs = attrs_for("conv", x, options);
  return apply1(op, {x, w});
}

Tensor depthwise_conv(const Tensor& x, const Tensor& w, const ConvOptions& options) {
  check<ShapeError>(w.rank() == x.rank(), "depthwise_conv: input of shape ", x.shape(),
                    " needs a kernel of rank ", x.rank(), ", got shape ", w.shape());
  ConvOptions o = options;
  const Dim c = w.shape()[w.rank() - 2];
  o.groups = c.value();
  // (k..., c, m) -> (k..., 1, c * m): output channel c * m + j, as the kernel wants it.
  Shape flat;
  for (int i = 0; i < w.rank() - 2; ++i) flat.push_back(w.shape()[i]);
  flat.push_back(Dim(1));
  flat.push_back(c * w.shape().back());
  return conv(x, reshape(w, flat), o);
}

Tensor conv_transpose(const Tensor& x, const Tensor& w, const ConvOptions& options,
                      const std::vector<std::int64_t>& output_padding) {
  check(options.padding != Padding::kCausal, "conv_transpose: padding must be valid or same");
  check<ShapeError>(w.rank() == x.rank(), "conv_transpose: input of shape ", x.shape(),
                    " needs a kernel of rank ", x.rank(), ", got shape ", w.shape());
  check<ShapeError>(w.shape().back() == x.shape().back(), "conv_transpose: input of shape ",
                    x.shape(), " has ", x.shape().back(), " channels, kernel of shape ", w.shape(),
                    " (k..., out, in) expects ", w.shape().back());
  auto op = std::make_shared<ConvBackwardData>();
  op->attrs = attrs_for("conv_transpose", x, options);
  op->attrs.padding = ConvAttrs::kExplicit;
  op->x_shape.push_back(x.shape()[0]);
  for (int i = 0; i < spatial(x.shape()); ++i) {
    const auto u = static_cast<std::size_t>(i);
    const std::int64_t s = op->attrs.strides[u];
    const std::int64_t k = (w.shape()[i].value() - 1) * op->attrs.dilation[u] + 1;
    // Zeros that a stride-1 convolution over the spread-out input would see on both sides
    // (Keras's rule; the output then has (n - 1) s + left + right - k + 2 elements).
    std::int64_t left, right;
    if (options.padding == Padding::kValid) {
      const std::int64_t extra = output_padding.empty() ? std::max(k, s) - k : output_padding[u];
      left = k - 1;
      right = k - 1 + extra;
    } else {
      const std::int64_t total =
          output_padding.empty() ? s + k - 2 : k + k % 2 - 2 + output_padding[u];
      left = std::min(total / 2 + total % 2, k - 1);
      right = total - left;
    }
    op->attrs.before.push_back(k - 1 - left);
    op->attrs.after.push_back(k - 1 - right);
    op->x_shape.push_back((x.shape()[i + 1] * Dim(s) + Dim(left + right + 2)) - Dim(s + k));
  }
  op->x_shape.push_back(w.shape()[w.rank() - 2]);
  return apply1(op, {x, w});
}

Tensor max_pool(const Tensor& x, const PoolOptions& options) { return pool(x, options, false); }
Tensor avg_pool(const Tensor& x, const PoolOptions& options) { return pool(x, options, true); }

}  // namespace ops
}  // namespace lamella
