// Ops that move, select, repeat or create elements.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "lamella/ops.h"
#include "ops/common.h"
#include "tensor/tensor_impl.h"

namespace lamella {
namespace {

/// A copy of `shape` elements between strided blocks, axes merged where both sides allow it.
void copy_strided(Lowering& l, std::size_t item_size, const Shape& shape, const void* src,
                  const std::vector<std::int64_t>& src_strides, void* dst,
                  const std::vector<std::int64_t>& dst_strides) {
  kernels::StridedCopyArgs args{};
  args.item_size = item_size;
  args.src = src;
  args.dst = dst;
  std::int64_t rev_shape[kMaxRank], rev_src[kMaxRank], rev_dst[kMaxRank];
  int m = 0;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    const auto u = static_cast<std::size_t>(i);
    const std::int64_t d = shape[i].value();
    if (d == 1) continue;
    if (m > 0 && src_strides[u] == rev_src[m - 1] * rev_shape[m - 1] &&
        dst_strides[u] == rev_dst[m - 1] * rev_shape[m - 1]) {
      rev_shape[m - 1] *= d;
      continue;
    }
    rev_shape[m] = d;
    rev_src[m] = src_strides[u];
    rev_dst[m] = dst_strides[u];
    ++m;
  }
  if (m == 0) rev_shape[0] = rev_src[0] = rev_dst[0] = 1, m = 1;
  args.rank = m;
  for (int i = 0; i < m; ++i) {
    args.shape[i] = rev_shape[m - 1 - i];
    args.src_strides[i] = rev_src[m - 1 - i];
    args.dst_strides[i] = rev_dst[m - 1 - i];
  }
  l.call(l.k.strided_copy, args);
}

char* offset(void* p, std::int64_t elements, std::size_t item_size) {
  return p == nullptr ? nullptr
                      : static_cast<char*>(p) + elements * static_cast<std::int64_t>(item_size);
}
const char* offset(const void* p, std::int64_t elements, std::size_t item_size) {
  return offset(const_cast<void*>(p), elements, item_size);
}

struct Reshape final : OpBase<Reshape> {
  static constexpr const char* kName = "reshape";
  std::vector<Dim> shape;
  OpKind kind() const override { return OpKind::kView; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const Shape to(shape);
    const Dim from_size = in[0].shape.numel(), to_size = to.numel();
    check<ShapeError>(!from_size.known() || !to_size.known() || from_size == to_size,
                      "reshape: shape ", in[0].shape, " has ", from_size, " elements, shape ", to,
                      " has ", to_size);
    return {{to, in[0].dtype}};
  }
  void lower(Lowering&) const override {}
  void visit(AttrVisitor& v) override { v.attr("shape", shape); }
  bool row_wise(const Rows&) const override { return true; }  // axis 0 is kept
  void vjp(const Vjp& v) const override { v.result[0] = ops::reshape(v.grad[0], v.in[0].shape()); }
};

struct Transpose final : OpBase<Transpose> {
  static constexpr const char* kName = "transpose";
  std::vector<std::int64_t> perm;
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    std::vector<std::int64_t> sorted = perm;
    std::sort(sorted.begin(), sorted.end());
    bool valid = static_cast<int>(perm.size()) == in[0].shape.rank();
    for (std::size_t i = 0; valid && i < sorted.size(); ++i)
      valid = sorted[i] == static_cast<std::int64_t>(i);
    check<ShapeError>(valid, "transpose: not a permutation of the axes of shape ", in[0].shape);
    Shape out;
    for (std::int64_t p : perm) out.push_back(in[0].shape[static_cast<int>(p)]);
    return {{out, in[0].dtype}};
  }
  void lower(Lowering& l) const override {
    const auto in_strides = strides_of(l.in_shape(0));
    std::vector<std::int64_t> src;
    for (std::int64_t p : perm) src.push_back(in_strides[static_cast<std::size_t>(p)]);
    copy_strided(l, size_of(l.in_spec(0).dtype), l.out_shape(0), l.in(0), src, l.out(0),
                 strides_of(l.out_shape(0)));
  }
  void visit(AttrVisitor& v) override { v.attr("perm", perm); }
  bool row_wise(const Rows&) const override { return perm[0] == 0; }
  void vjp(const Vjp& v) const override {
    std::vector<int> inverse(perm.size());
    for (std::size_t i = 0; i < perm.size(); ++i)
      inverse[static_cast<std::size_t>(perm[i])] = static_cast<int>(i);
    v.result[0] = ops::transpose(v.grad[0], inverse);
  }
};

struct Slice final : OpBase<Slice> {
  static constexpr const char* kName = "slice";
  std::vector<Dim> starts, sizes;
  std::vector<std::int64_t> steps;
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const auto rank = static_cast<std::size_t>(in[0].shape.rank());
    check<ShapeError>(starts.size() == rank && sizes.size() == rank && steps.size() == rank,
                      "slice: expected one start, size and step for each axis of shape ",
                      in[0].shape);
    for (int i = 0; i < in[0].shape.rank(); ++i) {
      const auto u = static_cast<std::size_t>(i);
      const Dim n = in[0].shape[i];
      if (!n.known() || !starts[u].known() || !sizes[u].known() || sizes[u] == Dim(0)) continue;
      const std::int64_t first = starts[u].value();
      const std::int64_t last = first + (sizes[u].value() - 1) * steps[u];
      check<ShapeError>(first < n.value() && last >= 0 && last < n.value(), "slice: elements ",
                        first, " to ", last, " of axis ", i, " are outside shape ", in[0].shape);
    }
    return {{Shape(sizes), in[0].dtype}};
  }
  bool row_wise(const Rows& r) const override {
    return starts[0] == Dim(0) && steps[0] == 1 && sizes[0] == r.in[0].shape[0];
  }
  /// Strides and offset of the selected elements inside the whole.
  std::int64_t locate(const Shape& whole, std::vector<std::int64_t>& strides) const {
    strides = strides_of(whole);
    std::int64_t first = 0;
    for (std::size_t i = 0; i < strides.size(); ++i) {
      first += starts[i].value() * strides[i];
      strides[i] *= steps[i];
    }
    return first;
  }
  void lower(Lowering& l) const override {
    if (l.out_shape(0).size() == 0) return;
    std::vector<std::int64_t> src;
    const std::int64_t first = locate(l.in_shape(0), src);
    const std::size_t item = size_of(l.in_spec(0).dtype);
    copy_strided(l, item, l.out_shape(0), offset(l.in(0), first, item), src, l.out(0),
                 strides_of(l.out_shape(0)));
  }
  void visit(AttrVisitor& v) override {
    v.attr("starts", starts);
    v.attr("sizes", sizes);
    v.attr("steps", steps);
  }
  void vjp(const Vjp& v) const override;
};

/// Zeros (or a value) of a whole shape with the input at the place a Slice would select: the
/// gradient of slice, and padding.
struct Place final : OpBase<Place> {
  static constexpr const char* kName = "place";
  std::vector<Dim> whole, starts;
  std::vector<std::int64_t> steps;
  double value = 0;
  Slice selection(const Shape& part) const {
    Slice s;
    s.starts = starts;
    s.sizes = dims_of(part);
    s.steps = steps;
    return s;
  }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    // The part must lie inside the whole, as a slice of it would.
    const Spec all{Shape(whole), in[0].dtype};
    selection(in[0].shape).infer(std::span<const Spec>(&all, 1));
    return {all};
  }
  bool row_wise(const Rows& r) const override {
    return starts[0] == Dim(0) && steps[0] == 1 && whole[0] == r.in[0].shape[0];
  }
  void lower(Lowering& l) const override {
    const Spec& out = l.out_spec(0);
    l.call(l.k.fill, {out.dtype, l.out(0), out.shape.size(), value});
    if (l.in_shape(0).size() == 0) return;
    std::vector<std::int64_t> dst;
    const std::int64_t first = selection(l.in_shape(0)).locate(out.shape, dst);
    const std::size_t item = size_of(out.dtype);
    copy_strided(l, item, l.in_shape(0), l.in(0), strides_of(l.in_shape(0)),
                 offset(l.out(0), first, item), dst);
  }
  void visit(AttrVisitor& v) override {
    v.attr("whole", whole);
    v.attr("starts", starts);
    v.attr("steps", steps);
    v.attr("value", value);
  }
  void vjp(const Vjp& v) const override {
    v.result[0] = ops::slice(v.grad[0], starts, dims_of(v.in[0].shape()), steps);
  }
};

void Slice::vjp(const Vjp& v) const {
  auto op = std::make_shared<Place>();
  op->whole = dims_of(v.in[0].shape());
  op->starts = starts;
  op->steps = steps;
  v.result[0] = apply1(op, {v.grad[0]});
}

struct Concat final : OpBase<Concat> {
  static constexpr const char* kName = "concat";
  Arity arity() const override { return {1, 4096}; }
  std::int64_t axis = 0;
  bool row_wise(const Rows& r) const override {
    return axis != 0 && std::all_of(r.cut.begin(), r.cut.end(), [](bool cut) { return cut; });
  }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const int a = static_cast<int>(axis);
    check<ShapeError>(axis >= 0 && axis < in[0].shape.rank(), "concatenate: axis ", axis,
                      " is out of range for shape ", in[0].shape);
    Shape out = in[0].shape;
    for (std::size_t i = 1; i < in.size(); ++i) {
      const Shape& s = in[i].shape;
      check<DTypeError>(in[i].dtype == in[0].dtype, "concatenate: dtypes differ");
      check<ShapeError>(s.rank() == out.rank(), "concatenate: all parts need the same rank, got ",
                        in[0].shape, " and ", s);
      for (int d = 0; d < out.rank(); ++d) {
        if (d == a) continue;
        check<ShapeError>(!s[d].known() || !out[d].known() || s[d] == out[d],
                          "concatenate: shapes ", in[0].shape, " and ", s, " differ outside axis ",
                          axis);
      }
      out[a] = out[a] + s[a];
    }
    return {{out, in[0].dtype}};
  }
  void lower(Lowering& l) const override {
    const Shape& out = l.out_shape(0);
    const auto dst = strides_of(out);
    const std::size_t item = size_of(l.out_spec(0).dtype);
    std::int64_t at = 0;
    for (int i = 0; i < l.inputs(); ++i) {
      const Shape& part = l.in_shape(i);
      if (part.size() > 0)
        copy_strided(l, item, part, l.in(i), strides_of(part),
                     offset(l.out(0), at * dst[static_cast<std::size_t>(axis)], item), dst);
      at += part[static_cast<int>(axis)].value();
    }
  }
  void visit(AttrVisitor& v) override { v.attr("axis", axis); }
  void vjp(const Vjp& v) const override {
    Dim at(0);
    for (std::size_t i = 0; i < v.in.size(); ++i) {
      const Shape& s = v.in[i].shape();
      if (v.needs[i]) {
        std::vector<Dim> starts(static_cast<std::size_t>(s.rank()), Dim(0));
        starts[static_cast<std::size_t>(axis)] = at;
        v.result[i] =
            ops::slice(v.grad[0], starts, dims_of(s), std::vector<std::int64_t>(starts.size(), 1));
      }
      at = at + s[static_cast<int>(axis)];
    }
  }
};

struct BroadcastTo final : OpBase<BroadcastTo> {
  static constexpr const char* kName = "broadcast_to";
  std::vector<Dim> shape;
  bool row_wise(const Rows& r) const override { return r.broadcast(); }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const Shape to(shape);
    check<ShapeError>(broadcast("broadcast_to", in[0].shape, to).rank() == to.rank(),
                      "broadcast_to: shape ", in[0].shape, " has more axes than ", to);
    return {{to, in[0].dtype}};
  }
  void lower(Lowering& l) const override {
    const Shape& out = l.out_shape(0);
    const Shape& in = l.in_shape(0);
    const auto dense = strides_of(in);
    std::vector<std::int64_t> src(static_cast<std::size_t>(out.rank()), 0);
    for (int i = 0; i < in.rank(); ++i) {
      const int o = i + out.rank() - in.rank();
      check<ShapeError>(in[i] == Dim(1) || in[i] == out[o], "broadcast_to: shape ", in,
                        " does not broadcast to ", out);
      if (!(in[i] == Dim(1))) src[static_cast<std::size_t>(o)] = dense[static_cast<std::size_t>(i)];
    }
    if (out.size() == 0) return;
    copy_strided(l, size_of(l.in_spec(0).dtype), out, l.in(0), src, l.out(0), strides_of(out));
  }
  void visit(AttrVisitor& v) override { v.attr("shape", shape); }
  void vjp(const Vjp& v) const override { v.result[0] = ops::sum_to(v.grad[0], v.in[0].shape()); }
};

struct Gather final : OpBase<Gather> {
  static constexpr const char* kName = "gather";
  Arity arity() const override { return {2, 2}; }
  std::int64_t axis = 0;
  double bytes(std::span<const Spec> in, std::span<const Spec> out) const override {
    return Op::bytes(in.subspan(1), out) + Op::bytes({}, out);  // the rows that are read
  }
  bool row_wise(const Rows& r) const override { return axis == 0 ? !r.cut[0] : r.only_first(); }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    check<DTypeError>(in[1].dtype == DType::kInt32 || in[1].dtype == DType::kInt64,
                      "gather: expected an int32 or int64 index, got ", lamella::name(in[1].dtype));
    check<ShapeError>(axis >= 0 && axis < in[0].shape.rank(), "gather: axis ", axis,
                      " is out of range for shape ", in[0].shape);
    Shape out;
    for (int i = 0; i < axis; ++i) out.push_back(in[0].shape[i]);
    for (Dim d : in[1].shape) out.push_back(d);
    for (int i = static_cast<int>(axis) + 1; i < in[0].shape.rank(); ++i)
      out.push_back(in[0].shape[i]);
    return {{out, in[0].dtype}};
  }
  void lower(Lowering& l) const override {
    const Shape& x = l.in_shape(0);
    const int a = static_cast<int>(axis);
    l.call(l.k.gather,
           {size_of(l.in_spec(0).dtype), l.in_spec(1).dtype, l.in(0), l.in(1), l.out(0),
            product(x, 0, a), x[a].value(), product(x, a + 1, x.rank()), l.in_shape(1).size()});
  }
  void visit(AttrVisitor& v) override { v.attr("axis", axis); }
  void vjp(const Vjp& v) const override;
};

/// Zeros of `shape` to which rows are added at `index`: the gradient of gather.
struct ScatterAdd final : OpBase<ScatterAdd> {
  static constexpr const char* kName = "scatter_add";
  Arity arity() const override { return {2, 2}; }
  std::vector<Dim> shape;
  std::int64_t axis = 0;
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    // The gradient of gather: what is added has the shape that gather would give.
    const Shape to(shape);
    check<ShapeError>(axis >= 0 && axis < to.rank(), "scatter_add: axis ", axis,
                      " is out of range for shape ", to);
    check<DTypeError>(in[1].dtype == DType::kInt32 || in[1].dtype == DType::kInt64,
                      "scatter_add: expected an int32 or int64 index, got ",
                      lamella::name(in[1].dtype));
    Dim part = in[1].shape.numel();
    for (int i = 0; i < to.rank(); ++i)
      if (i != axis) part = part * to[i];
    check<ShapeError>(part == in[0].shape.numel() || !part.known() || !in[0].shape.numel().known(),
                      "scatter_add: shape ", in[0].shape, " does not fit ", to);
    return {{Shape(shape), in[0].dtype}};
  }
  void lower(Lowering& l) const override {
    const Shape& y = l.out_shape(0);
    const int a = static_cast<int>(axis);
    l.call(l.k.scatter_add,
           {l.in_spec(0).dtype, l.in_spec(1).dtype, l.in(0), l.in(1), l.out(0), product(y, 0, a),
            y[a].value(), product(y, a + 1, y.rank()), l.in_shape(1).size()});
  }
  void visit(AttrVisitor& v) override {
    v.attr("shape", shape);
    v.attr("axis", axis);
  }
  void vjp(const Vjp& v) const override {
    v.result[0] = ops::gather(v.grad[0], v.in[1], static_cast<int>(axis));
  }
};

void Gather::vjp(const Vjp& v) const {
  auto op = std::make_shared<ScatterAdd>();
  op->shape = dims_of(v.in[0].shape());
  op->axis = axis;
  v.result[0] = apply1(op, {v.grad[0], v.in[1]});
}

struct OneHot final : OpBase<OneHot> {
  static constexpr const char* kName = "one_hot";
  std::int64_t classes = 0;
  DType to = DType::kFloat32;
  bool strict = false;
  bool row_wise(const Rows&) const override { return true; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    check<DTypeError>(in[0].dtype == DType::kInt32 || in[0].dtype == DType::kInt64,
                      "one_hot: expected int32 or int64, got ", lamella::name(in[0].dtype));
    check(classes >= 1, "one_hot: num_classes must be positive, got ", classes);
    Shape out = in[0].shape;
    out.push_back(Dim(classes));
    return {{out, to}};
  }
  void lower(Lowering& l) const override {
    l.call(l.k.one_hot,
           {to, l.in_spec(0).dtype, l.in(0), l.out(0), l.in_shape(0).size(), classes, strict});
  }
  void visit(AttrVisitor& v) override {
    v.attr("classes", classes);
    v.dtype("to", to);
    v.attr("strict", strict);
  }
  void vjp(const Vjp&) const override {}
};

struct Full final : OpBase<Full> {
  static constexpr const char* kName = "full";
  Arity arity() const override { return {0, 0}; }
  std::vector<Dim> shape;
  double value = 0;
  DType to = DType::kFloat32;
  bool row_wise(const Rows&) const override { return true; }
  std::vector<Spec> infer(std::span<const Spec>) const override { return {{Shape(shape), to}}; }
  void lower(Lowering& l) const override {
    l.call(l.k.fill, {to, l.out(0), l.out_shape(0).size(), value});
  }
  void visit(AttrVisitor& v) override {
    v.attr("shape", shape);
    v.attr("value", value);
    v.dtype("to", to);
  }
};

const RegisterOp<Reshape> r1;
const RegisterOp<Transpose> r2;
const RegisterOp<Slice> r3;
const RegisterOp<Place> r4;
const RegisterOp<Concat> r5;
const RegisterOp<BroadcastTo> r6;
const RegisterOp<Gather> r7;
const RegisterOp<ScatterAdd> r8;
const RegisterOp<OneHot> r9;
const RegisterOp<Full> r10;

Tensor to_index(const Tensor& t) {
  check<DTypeError>(!is_floating(t.dtype()), "index: expected integers, got ", name(t.dtype()),
                    "; cast the indices to int32 first");
  return t.dtype() == DType::kInt64 ? t : ops::cast(t, DType::kInt32);
}

}  // namespace

namespace ops {

Tensor full(const Shape& shape, double value, DType dtype) {
  auto op = std::make_shared<Full>();
  op->shape = dims_of(shape);
  op->value = value;
  op->to = dtype;
  return apply1(op, {});
}

Tensor scatter_add(const Tensor& x, const Tensor& index, std::int64_t size, int axis) {
  check<ShapeError>(index.rank() == 1, "scatter_add: expected a vector of indices, got shape ",
                    index.shape());
  const int a = normalize_axis("scatter_add", axis, x.rank());
  auto op = std::make_shared<ScatterAdd>();
  op->shape = dims_of(x.shape());
  op->shape[static_cast<std::size_t>(a)] = Dim(size);
  op->axis = a;
  return apply1(op, {x, to_index(index)});
}

Tensor arange(double start, double stop, double step, DType dtype) {
  check(step != 0, "arange: step must not be 0");
  const auto n = static_cast<std::int64_t>(std::max(0.0, std::ceil((stop - start) / step)));
  Tensor t = Tensor::empty(Shape{Dim(n)}, dtype);
  kernels::Exec exec;
  int fault = 0;
  exec.fault = &fault;
  kernels::table().iota({dtype, t.mutable_raw(), n, start, step}, exec);
  return t;
}

Tensor reshape(const Tensor& x, const Shape& shape, int infer_axis) {
  auto op = std::make_shared<Reshape>();
  op->shape = dims_of(shape);
  if (infer_axis >= 0) {
    Dim others(1);
    for (int i = 0; i < shape.rank(); ++i)
      if (i != infer_axis) others = others * shape[i];
    const Dim total = x.shape().numel();
    const auto u = static_cast<std::size_t>(infer_axis);
    if (others.known() && others.value() == 0) {
      op->shape[u] = Dim(0);
    } else {
      check<ShapeError>(!total.known() || !others.known() || total.value() % others.value() == 0,
                        "reshape: shape ", x.shape(), " with ", total,
                        " elements cannot be divided into rows of ", others);
      op->shape[u] = floor_div(total, others);
    }
  }
  if (Shape(op->shape) == x.shape()) return x;
  return apply1(op, x);
}

Tensor transpose(const Tensor& x, std::vector<int> perm) {
  if (perm.empty()) {
    perm.resize(static_cast<std::size_t>(x.rank()));
    std::iota(perm.rbegin(), perm.rend(), 0);
  }
  check<ShapeError>(static_cast<int>(perm.size()) == x.rank(), "transpose: expected ", x.rank(),
                    " axes for shape ", x.shape(), ", got ", perm.size());
  auto op = std::make_shared<Transpose>();
  std::vector<bool> seen(perm.size());
  bool identity = true;
  for (std::size_t i = 0; i < perm.size(); ++i) {
    const int p = normalize_axis("transpose", perm[i], x.rank());
    check<ShapeError>(!seen[static_cast<std::size_t>(p)], "transpose: axis ", p, " is named twice");
    seen[static_cast<std::size_t>(p)] = true;
    op->perm.push_back(p);
    identity = identity && p == static_cast<int>(i);
  }
  return identity ? x : apply1(op, x);
}

Tensor concat(std::span<const Tensor> parts, int axis) {
  check(!parts.empty(), "concatenate: expected at least one tensor, got none");
  DType t = parts[0].dtype();
  for (const Tensor& p : parts) t = promote(t, p.dtype());
  std::vector<Tensor> same;
  for (const Tensor& p : parts) same.push_back(cast(p, t));
  if (same.size() == 1) return same[0];
  auto op = std::make_shared<Concat>();
  op->axis = normalize_axis("concatenate", axis, parts[0].rank());
  return apply_op(op, same)[0];
}

Tensor stack(std::span<const Tensor> parts, int axis) {
  check(!parts.empty(), "stack: expected at least one tensor, got none");
  const int at = normalize_axis("stack", axis, parts[0].rank() + 1);
  std::vector<Tensor> wide;
  for (const Tensor& p : parts) {
    check<ShapeError>(p.shape() == parts[0].shape(), "stack: all tensors need one shape, got ",
                      parts[0].shape(), " and ", p.shape());
    wide.push_back(expand_dims(p, at));
  }
  return concat(wide, at);
}

Tensor slice(const Tensor& x, const std::vector<Dim>& starts, const std::vector<Dim>& sizes,
             const std::vector<std::int64_t>& steps) {
  const auto rank = static_cast<std::size_t>(x.rank());
  check<ShapeError>(starts.size() == rank && sizes.size() == rank && steps.size() == rank,
                    "slice: expected one start, size and step for each axis of shape ", x.shape());
  auto op = std::make_shared<Slice>();
  op->starts = starts;
  op->sizes = sizes;
  op->steps = steps;
  bool whole = true;
  for (std::size_t i = 0; i < rank; ++i)
    whole = whole && sizes[i] == x.shape()[static_cast<int>(i)] && steps[i] == 1;
  return whole ? x : apply1(op, x);
}

namespace {

/// The first selected element, if they all lie side by side; -1 otherwise.
std::int64_t first_of_dense(const Shape& whole, const std::vector<Dim>& starts,
                            const std::vector<Dim>& sizes, const std::vector<std::int64_t>& steps) {
  std::int64_t first = 0, stride = 1, count = 1;
  for (auto i = static_cast<std::size_t>(whole.rank()); i-- > 0;) {
    const Dim n = whole[static_cast<int>(i)];
    if (!n.known() || !starts[i].known() || !sizes[i].known()) return -1;
    const std::int64_t start = starts[i].value(), size = sizes[i].value();
    if (size == 0 || start + size > n.value()) return -1;
    if (size > 1 && (steps[i] != 1 || count != stride)) return -1;
    first += start * stride;
    stride *= n.value();
    count *= size;
  }
  return first;
}

}  // namespace

Tensor slice_as(const Tensor& x, const std::vector<Dim>& starts, const std::vector<Dim>& sizes,
                const std::vector<std::int64_t>& steps, const Shape& shape) {
  const auto rank = static_cast<std::size_t>(x.rank());
  const bool fits = starts.size() == rank && sizes.size() == rank && steps.size() == rank;
  if (!fits || x.is_symbolic() || x.requires_grad())
    return reshape(slice(x, starts, sizes, steps), shape);
  const std::int64_t first = first_of_dense(x.shape(), starts, sizes, steps);
  if (first < 0) return detail::view(slice(x, starts, sizes, steps), shape);
  x.raw();  // has values
  return detail::make_tensor(
      x.impl()->storage, x.impl()->offset + static_cast<std::size_t>(first) * size_of(x.dtype()),
      shape, x.dtype());
}

Tensor row(const Tensor& x, std::int64_t index) {
  check<ShapeError>(x.rank() >= 1, "row: a scalar has no rows");
  const Dim n = x.shape()[0];
  check<ShapeError>(!n.known() || (index < n.value() && index >= -n.value()), "row: index ", index,
                    " is out of range for axis 0 of size ", n);
  const Dim at = index >= 0 ? Dim(index) : n - Dim(-index);
  const Shape rest(x.shape().begin() + 1, static_cast<std::size_t>(x.rank() - 1));
  if (!x.is_symbolic() && !x.requires_grad()) {
    x.raw();  // has values
    const std::size_t bytes = static_cast<std::size_t>(rest.size()) * size_of(x.dtype());
    return detail::make_tensor(x.impl()->storage,
                               x.impl()->offset + static_cast<std::size_t>(at.value()) * bytes,
                               rest, x.dtype());
  }
  std::vector<Dim> starts(static_cast<std::size_t>(x.rank()), Dim(0)), sizes = dims_of(x.shape());
  starts[0] = at;
  sizes[0] = Dim(1);
  return reshape(slice(x, starts, sizes, std::vector<std::int64_t>(sizes.size(), 1)), rest);
}

Tensor pad(const Tensor& x, const std::vector<std::pair<std::int64_t, std::int64_t>>& widths,
           double value) {
  check<ShapeError>(static_cast<int>(widths.size()) == x.rank(),
                    "pad: expected one pair of widths for each axis of shape ", x.shape(), ", got ",
                    widths.size());
  auto op = std::make_shared<Place>();
  for (int i = 0; i < x.rank(); ++i) {
    const auto [before, after] = widths[static_cast<std::size_t>(i)];
    check(before >= 0 && after >= 0, "pad: widths must not be negative, got (", before, ", ", after,
          ")");
    op->whole.push_back(x.shape()[i] + Dim(before) + Dim(after));
    op->starts.push_back(Dim(before));
    op->steps.push_back(1);
  }
  op->value = value;
  return apply1(op, x);
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  auto op = std::make_shared<BroadcastTo>();
  op->shape = dims_of(shape);
  return apply1(op, x);
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const int extra = x.rank() - shape.rank();
  Axes axes;
  for (int i = 0; i < x.rank(); ++i)
    if (i < extra || (shape[i - extra] == Dim(1) && !(x.shape()[i] == Dim(1)))) axes.push_back(i);
  return reshape(axes.empty() ? x : sum(x, axes, true), shape);
}

Tensor gather(const Tensor& x, const Tensor& index, int axis) {
  auto op = std::make_shared<Gather>();
  op->axis = normalize_axis("gather", axis, x.rank());
  return apply1(op, {x, to_index(index)});
}

Tensor one_hot(const Tensor& index, std::int64_t classes, DType dtype, bool strict) {
  check(classes >= 1, "one_hot: num_classes must be positive, got ", classes);
  auto op = std::make_shared<OneHot>();
  op->classes = classes;
  op->to = dtype;
  op->strict = strict;
  return apply1(op, {to_index(index)});
}

Tensor flip(const Tensor& x, const std::vector<int>& axes) {
  std::vector<Dim> starts(static_cast<std::size_t>(x.rank()), Dim(0));
  std::vector<std::int64_t> steps(starts.size(), 1);
  auto op = std::make_shared<Slice>();
  op->sizes = dims_of(x.shape());
  for (int axis : axes) {
    const int a = normalize_axis("flip", axis, x.rank());
    if (x.shape()[a] == Dim(0)) return x;
    starts[static_cast<std::size_t>(a)] = x.shape()[a] - Dim(1);
    steps[static_cast<std::size_t>(a)] = -1;
  }
  op->starts = starts;
  op->steps = steps;
  return apply1(op, x);
}

Tensor expand_dims(const Tensor& x, int axis) {
  const int at = normalize_axis("expand_dims", axis, x.rank() + 1);
  Shape shape;
  for (int i = 0; i <= x.rank(); ++i) {
    if (i == at) shape.push_back(Dim(1));
    if (i < x.rank()) shape.push_back(x.shape()[i]);
  }
  return reshape(x, shape);
}

Tensor squeeze(const Tensor& x, const std::vector<int>& axes) {
  std::vector<bool> drop(static_cast<std::size_t>(x.rank()));
  for (int axis : axes) {
    const int a = normalize_axis("squeeze", axis, x.rank());
    check<ShapeError>(x.shape()[a] == Dim(1), "squeeze: axis ", axis, " of shape ", x.shape(),
                      " has size ", x.shape()[a], ", expected 1");
    drop[static_cast<std::size_t>(a)] = true;
  }
  Shape shape;
  for (int i = 0; i < x.rank(); ++i) {
    const bool gone = axes.empty() ? x.shape()[i] == Dim(1) : drop[static_cast<std::size_t>(i)];
    if (!gone) shape.push_back(x.shape()[i]);
  }
  return reshape(x, shape);
}

}  // namespace ops
}  // namespace lamella
