// Reductions, scans and softmax.
#include "ops/reduce.h"

#include <algorithm>
#include <numeric>

#include "lamella/ops.h"
#include "ops/common.h"

namespace lamella {

using kernels::ReduceOp;

namespace {
constexpr const char* kNames[] = {"sum",       "prod", "max", "min",    "mean",  "sum_squares",
                                  "logsumexp", "any",  "all", "argmax", "argmin"};
}  // namespace

std::vector<Spec> Reduce::infer(std::span<const Spec> in) const {
  const Shape& x = in[0].shape;
  for (std::size_t i = 0; i < axes.size(); ++i)
    check<ShapeError>(axes[i] >= 0 && axes[i] < x.rank() && (i == 0 || axes[i] > axes[i - 1]),
                      kNames[static_cast<int>(op)], ": axes do not fit shape ", x);
  const bool needs_floats = op == ReduceOp::kMean || op == ReduceOp::kLogSumExp;
  const bool needs_bools = op == ReduceOp::kAny || op == ReduceOp::kAll;
  check<DTypeError>((!needs_floats || is_floating(in[0].dtype)) &&
                        (needs_bools == (in[0].dtype == DType::kBool)) &&
                        in[0].dtype != DType::kUint8,
                    kNames[static_cast<int>(op)], ": not defined for ", lamella::name(in[0].dtype));
  Shape out;
  for (int i = 0; i < x.rank(); ++i) {
    const bool reduced = std::find(axes.begin(), axes.end(), i) != axes.end();
    if (!reduced)
      out.push_back(x[i]);
    else if (keepdims)
      out.push_back(Dim(1));
    if (reduced && x[i] == Dim(0))
      check<ShapeError>(
          op == ReduceOp::kSum || op == ReduceOp::kProd || op == ReduceOp::kAny ||
              op == ReduceOp::kAll || op == ReduceOp::kSumSquares || op == ReduceOp::kMean,
          kNames[static_cast<int>(op)], ": shape ", x, " has no elements along the reduced axes");
  }
  const DType t = op == ReduceOp::kArgMax || op == ReduceOp::kArgMin ? DType::kInt32 : in[0].dtype;
  return {{out, t}};
}

void Reduce::lower(Lowering& l) const {
  // Runs of reduced axes next to each other; more than one run is reduced run by run from the
  // right, except for arg-reductions, which have one axis or all.
  const Shape& x = l.in_shape(0);
  const DType t = l.in_spec(0).dtype;
  struct Run {
    std::int64_t outer, n, inner;
  };
  std::vector<bool> reduced(static_cast<std::size_t>(x.rank()));
  for (std::int64_t a : axes) reduced[static_cast<std::size_t>(a)] = true;
  std::vector<std::pair<std::int64_t, bool>> groups;  // merged sizes
  for (int i = 0; i < x.rank(); ++i) {
    const std::int64_t d = x[i].value();
    if (d == 1) continue;
    const bool r = reduced[static_cast<std::size_t>(i)];
    if (!groups.empty() && groups.back().second == r)
      groups.back().first *= d;
    else
      groups.emplace_back(d, r);
  }
  std::vector<Run> runs;
  for (std::size_t g = groups.size(); g-- > 0;) {
    if (!groups[g].second) continue;
    Run run{1, groups[g].first, 1};
    for (std::size_t i = 0; i < g; ++i) run.outer *= groups[i].first;
    for (std::size_t i = g + 1; i < groups.size(); ++i)
      if (!groups[i].second) run.inner *= groups[i].first;
    runs.push_back(run);
  }
  if (runs.empty()) runs.push_back({x.size(), 1, 1});
  const void* from = l.in(0);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Run& run = runs[i];
    kernels::ReduceArgs args{};
    // The squares are taken once; what follows adds them up.
    args.op = op == ReduceOp::kSumSquares && i > 0 ? ReduceOp::kSum : op;
    args.dtype = t;
    args.x = from;
    args.outer = run.outer;
    args.n = run.n;
    args.inner = run.inner;
    const bool last = i + 1 == runs.size();
    args.y =
        last ? l.out(0) : l.workspace(static_cast<std::size_t>(run.outer * run.inner) * size_of(t));
    args.workspace = l.workspace(l.k.reduce_workspace(args));
    l.call(l.k.reduce, args);
    from = args.y;
  }
}

void Reduce::visit(AttrVisitor& v) {
  v.choice_of("op", op, kNames);
  v.attr("axes", axes);
  v.attr("keepdims", keepdims);
}

void Reduce::vjp(const Vjp& v) const {
  using namespace ops;
  const Tensor& x = v.in[0];
  if (!is_floating(x.dtype())) return;
  Shape kept = x.shape();
  Dim count(1);
  for (std::int64_t a : axes) {
    count = count * kept[static_cast<int>(a)];
    kept[static_cast<int>(a)] = Dim(1);
  }
  const Tensor g = reshape(v.grad[0], kept);
  const Tensor y = reshape(v.out[0], kept);
  auto spread = [&](const Tensor& t) { return broadcast_to(t, x.shape()); };
  switch (op) {
    case ReduceOp::kSum:
      v.result[0] = spread(g);
      break;
    case ReduceOp::kMean:
      v.result[0] = spread(
          mul(g, Tensor::scalar(1.0 / static_cast<double>(std::max<std::int64_t>(1, count.value())),
                                x.dtype())));
      break;
    case ReduceOp::kSumSquares:
      v.result[0] = mul(g, mul(x, Tensor::scalar(2, x.dtype())));
      break;
    case ReduceOp::kMax:
    case ReduceOp::kMin: {
      // Ties share the gradient equally.
      Tensor hit = cast(equal(x, y), x.dtype());
      Axes all_axes(axes.begin(), axes.end());
      v.result[0] = mul(hit, div(g, sum(hit, all_axes, true)));
      break;
    }
    case ReduceOp::kProd: {
      // Product of the others, without dividing by zeros: exclusive products from both sides.
      v.result[0] = mul(g, prod_of_others(x, axes));
      break;
    }
    case ReduceOp::kLogSumExp:
      v.result[0] = mul(g, exp(sub(x, y)));
      break;
    default:
      break;
  }
}

Tensor prod_of_others(const Tensor& x, const std::vector<std::int64_t>& axes) {
  using namespace ops;
  // Bring the reduced axes to the end as one axis.
  std::vector<int> perm;
  Shape kept;
  Dim n(1);
  for (int i = 0; i < x.rank(); ++i)
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) {
      perm.push_back(i);
      kept.push_back(x.shape()[i]);
    }
  for (std::int64_t a : axes) {
    perm.push_back(static_cast<int>(a));
    n = n * x.shape()[static_cast<int>(a)];
  }
  Tensor moved = transpose(x, perm);
  const Shape moved_shape = moved.shape();
  Tensor rows = reshape(moved, Shape{kept.numel(), n});
  if (n.value() == 0) return Tensor::zeros(x.shape(), x.dtype());
  const Tensor one = ops::full(Shape{kept.numel(), Dim(1)}, 1, x.dtype());
  auto exclusive = [&](const Tensor& r) {
    const Tensor body = slice(r, {Dim(0), Dim(0)}, {kept.numel(), n - Dim(1)}, {1, 1});
    const Tensor parts[] = {one, body};
    return cumprod(concat(parts, 1), 1);
  };
  Tensor before = exclusive(rows);
  Tensor after = flip(exclusive(flip(rows, {1})), {1});
  Tensor others = reshape(mul(before, after), moved_shape);
  std::vector<int> inverse(perm.size());
  for (std::size_t i = 0; i < perm.size(); ++i)
    inverse[static_cast<std::size_t>(perm[i])] = static_cast<int>(i);
  return transpose(others, inverse);
}

namespace {

struct Scan final : OpBase<Scan> {
  static constexpr const char* kName = "scan";
  static constexpr const char* kOps[] = {"cumsum", "cumprod"};
  kernels::ScanOp op = kernels::ScanOp::kCumSum;
  std::int64_t axis = 0;
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    check<ShapeError>(axis >= 0 && axis < in[0].shape.rank(), "scan: axis ", axis,
                      " is out of range for shape ", in[0].shape);
    return {in[0]};
  }
  void lower(Lowering& l) const override {
    const Shape& x = l.in_shape(0);
    const int a = static_cast<int>(axis);
    l.call(l.k.scan, {op, l.in_spec(0).dtype, l.in(0), l.out(0), product(x, 0, a), x[a].value(),
                      product(x, a + 1, x.rank())});
  }
  bool row_wise(const Rows&) const override { return axis != 0; }
  void visit(AttrVisitor& v) override {
    v.choice_of("op", op, kOps);
    v.attr("axis", axis);
  }
  void vjp(const Vjp& v) const override {
    using namespace ops;
    const int a = static_cast<int>(axis);
    auto suffix_sum = [&](const Tensor& t) { return flip(cumsum(flip(t, {a}), a), {a}); };
    if (op == kernels::ScanOp::kCumSum)
      v.result[0] = suffix_sum(v.grad[0]);
    else  // exact for inputs without zeros
      v.result[0] = div(suffix_sum(mul(v.grad[0], v.out[0])), v.in[0]);
  }
};

const RegisterOp<Reduce> r1;
const RegisterOp<Scan> r2;
const RegisterOp<Softmax> r3;
const RegisterOp<SoftmaxGrad> r4;

}  // namespace

// ---------------------------------------------------------------- softmax over the last axis

void Softmax::lower(Lowering& l) const {
  const Shape& x = l.in_shape(0);
  const std::int64_t cols = x.back().value();
  l.call(l.k.softmax,
         {l.in_spec(0).dtype, log, l.in(0), l.out(0), product(x, 0, x.rank() - 1), cols});
}

void Softmax::vjp(const Vjp& v) const {
  auto op = std::make_shared<SoftmaxGrad>();
  op->log = log;
  v.result[0] = apply1(op, {v.out[0], v.grad[0]});
}

void SoftmaxGrad::lower(Lowering& l) const {
  const Shape& y = l.in_shape(0);
  l.call(l.k.softmax_grad, {l.in_spec(0).dtype, log, l.in(0), l.in(1), l.out(0),
                            product(y, 0, y.rank() - 1), y.back().value()});
}

void SoftmaxGrad::vjp(const Vjp& v) const {
  using namespace ops;
  const Tensor& y = v.in[0];
  const Tensor& g = v.in[1];
  const Tensor& h = v.grad[0];
  if (log) {  // dx = g - exp(y) * sum(g)
    Tensor p = exp(y);
    if (v.needs[0]) v.result[0] = neg(mul(mul(h, p), sum(g, {-1}, true)));
    if (v.needs[1]) v.result[1] = sub(h, sum(mul(h, p), {-1}, true));
  } else {  // dx = y * (g - sum(g * y))
    Tensor s = sum(mul(g, y), {-1}, true);
    Tensor hy = sum(mul(h, y), {-1}, true);
    if (v.needs[0]) v.result[0] = sub(mul(h, sub(g, s)), mul(hy, g));
    if (v.needs[1]) v.result[1] = mul(y, sub(h, hy));
  }
}

namespace ops {
namespace {

Tensor reduce(ReduceOp op, const Tensor& x, const Axes& axes, bool keepdims) {
  auto node = std::make_shared<Reduce>();
  node->op = op;
  node->keepdims = keepdims;
  const char* what = kNames[static_cast<int>(op)];
  if (axes.empty()) {
    node->axes.resize(static_cast<std::size_t>(x.rank()));
    std::iota(node->axes.begin(), node->axes.end(), 0);
  } else {
    for (int a : axes) node->axes.push_back(normalize_axis(what, a, x.rank()));
    std::sort(node->axes.begin(), node->axes.end());
    check<ShapeError>(std::adjacent_find(node->axes.begin(), node->axes.end()) == node->axes.end(),
                      what, ": an axis is named twice");
  }
  Tensor in = x;
  switch (op) {
    case ReduceOp::kMean:
    case ReduceOp::kLogSumExp:
      if (!is_floating(x.dtype())) in = cast(x, DType::kFloat32);
      break;
    case ReduceOp::kAny:
    case ReduceOp::kAll:
      in = cast(x, DType::kBool);
      break;
    default:
      if (x.dtype() == DType::kBool || x.dtype() == DType::kUint8) in = cast(x, DType::kInt32);
  }
  return apply1(node, in);
}

Tensor scan(kernels::ScanOp op, const Tensor& x, int axis) {
  auto node = std::make_shared<Scan>();
  node->op = op;
  node->axis = normalize_axis("cumulative", axis, x.rank());
  return apply1(
      node, {x.dtype() == DType::kBool || x.dtype() == DType::kUint8 ? cast(x, DType::kInt32) : x});
}

Tensor softmax_any(const Tensor& x, int axis, bool log) {
  Tensor in = is_floating(x.dtype()) ? x : cast(x, DType::kFloat32);
  check<ShapeError>(x.rank() >= 1, "softmax: expected at least one axis, got a scalar");
  const int a = normalize_axis("softmax", axis, x.rank());
  auto op = std::make_shared<Softmax>();
  op->log = log;
  if (a == x.rank() - 1) return apply1(op, in);
  std::vector<int> perm(static_cast<std::size_t>(x.rank()));
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm[static_cast<std::size_t>(a)], perm.back());  // its own inverse
  return transpose(apply1(op, {transpose(in, perm)}), perm);
}

}  // namespace

Tensor sum(const Tensor& x, const Axes& axes, bool k) { return reduce(ReduceOp::kSum, x, axes, k); }
Tensor prod(const Tensor& x, const Axes& axes, bool k) {
  return reduce(ReduceOp::kProd, x, axes, k);
}
Tensor max(const Tensor& x, const Axes& axes, bool k) { return reduce(ReduceOp::kMax, x, axes, k); }
Tensor min(const Tensor& x, const Axes& axes, bool k) { return reduce(ReduceOp::kMin, x, axes, k); }
Tensor mean(const Tensor& x, const Axes& axes, bool k) {
  return reduce(ReduceOp::kMean, x, axes, k);
}
Tensor var(const Tensor& x, const Axes& axes, bool k) {
  Tensor in = is_floating(x.dtype()) ? x : cast(x, DType::kFloat32);
  return mean(square(sub(in, mean(in, axes, true))), axes, k);
}
Tensor any(const Tensor& x, const Axes& axes, bool k) { return reduce(ReduceOp::kAny, x, axes, k); }
Tensor all(const Tensor& x, const Axes& axes, bool k) { return reduce(ReduceOp::kAll, x, axes, k); }
Tensor logsumexp(const Tensor& x, const Axes& axes, bool k) {
  // More than one run of axes does not combine run by run, so bring them together first.
  const auto n = axes.size();
  if (n <= 1 || static_cast<int>(n) == x.rank()) return reduce(ReduceOp::kLogSumExp, x, axes, k);
  Tensor m = stop_gradient(max(x, axes, true));
  Tensor safe = where(isfinite(m), m, Tensor::scalar(0, m.dtype()));
  Tensor y = add(log(sum(exp(sub(x, safe)), axes, true)), safe);
  return k ? y : squeeze(y, axes);
}
Tensor argmax(const Tensor& x, const Axes& axis, bool k) {
  check<ShapeError>(axis.size() <= 1, "argmax: expected one axis or none");
  return reduce(ReduceOp::kArgMax, x, axis, k);
}
Tensor argmin(const Tensor& x, const Axes& axis, bool k) {
  check<ShapeError>(axis.size() <= 1, "argmin: expected one axis or none");
  return reduce(ReduceOp::kArgMin, x, axis, k);
}
Tensor cumsum(const Tensor& x, int axis) { return scan(kernels::ScanOp::kCumSum, x, axis); }
Tensor cumprod(const Tensor& x, int axis) { return scan(kernels::ScanOp::kCumProd, x, axis); }
Tensor softmax(const Tensor& x, int axis) { return softmax_any(x, axis, false); }
Tensor log_softmax(const Tensor& x, int axis) { return softmax_any(x, axis, true); }

}  // namespace ops
}  // namespace lamella
