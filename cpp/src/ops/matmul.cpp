#include "ops/matmul.h"

#include <algorithm>

#include "lamella/ops.h"
#include "ops/common.h"

namespace lamella {

std::span<const char* const> activation_names() {
  static constexpr const char* kNames[] = {"none", "relu",       "sigmoid", "tanh",
                                           "elu",  "leaky_relu", "silu",    "gelu"};
  return kNames;
}

namespace {

/// The product's sizes. A shared b (rank 2) lets all of a's leading axes count as rows.
struct Geometry {
  std::int64_t m, n, k, batch, a_stride, b_stride, lda, ldb;
};

Geometry geometry(const Shape& a, const Shape& b, bool ta, bool tb) {
  Geometry g{};
  const int ra = a.rank(), rb = b.rank();
  const std::int64_t a_rows = a[ra - 2].value(), a_cols = a[ra - 1].value();
  const std::int64_t b_rows = b[rb - 2].value(), b_cols = b[rb - 1].value();
  g.m = ta ? a_cols : a_rows;
  g.k = ta ? a_rows : a_cols;
  g.n = tb ? b_rows : b_cols;
  g.lda = a_cols;
  g.ldb = b_cols;
  const std::int64_t a_batch = product(a, 0, ra - 2), b_batch = product(b, 0, rb - 2);
  g.batch = std::max(a_batch, b_batch);
  g.a_stride = a_batch == 1 ? 0 : a_rows * a_cols;
  g.b_stride = b_batch == 1 ? 0 : b_rows * b_cols;
  if (a_batch == 0 || b_batch == 0) g.batch = 0;
  if (b_batch == 1 && !ta && g.batch > 1) {
    g.m *= g.batch;
    g.batch = 1;
  }
  return g;
}

}  // namespace

std::vector<Spec> Matmul::infer(std::span<const Spec> in) const {
  const Shape& a = in[0].shape;
  const Shape& b = in[1].shape;
  check_floating("matmul", in[0].dtype);
  const int ra = a.rank(), rb = b.rank();
  const Dim ka = a[ra - (ta ? 2 : 1)], kb = b[rb - (tb ? 1 : 2)];
  check<ShapeError>(!ka.known() || !kb.known() || ka == kb, "matmul: shapes ", a, " and ", b,
                    " do not fit: inner sizes ", ka, " and ", kb, " differ");
  Shape out;
  const Shape& lead = ra >= rb ? a : b;
  for (int i = 0; i < lead.rank() - 2; ++i) out.push_back(lead[i]);
  out.push_back(a[ra - (ta ? 1 : 2)]);
  out.push_back(b[rb - (tb ? 2 : 1)]);
  return {{out, in[0].dtype}};
}

bool Matmul::row_wise(const Rows& r) const {
  const int ra = r.in[0].shape.rank(), rb = r.in[1].shape.rank();
  if (r.only_first()) return rb == 2 && (ra > 2 || !ta);
  return ra == rb && ra > 2 && r.cut[0] && r.cut[1] && (r.in.size() == 2 || !r.cut[2]);
}

void Matmul::lower(Lowering& l) const {
  const Geometry g = geometry(l.in_shape(0), l.in_shape(1), ta, tb);
  kernels::MatmulArgs args{};
  args.dtype = l.in_spec(0).dtype;
  args.ta = ta;
  args.tb = tb;
  args.act = act;
  args.act_alpha = act_alpha;
  args.m = g.m;
  args.n = g.n;
  args.k = g.k;
  args.batch = g.batch;
  args.a = l.in(0);
  args.lda = g.lda;
  args.a_stride = g.a_stride;
  args.b = l.in(1);
  args.ldb = g.ldb;
  args.b_stride = g.b_stride;
  args.bias = l.inputs() > 2 ? l.in(2) : nullptr;
  args.c = l.out(0);
  args.ldc = g.n;
  args.c_stride = g.m * g.n;
  args.workspace = l.workspace(l.k.matmul_workspace(args));
  l.call(l.k.matmul, args);
}

void Matmul::visit(AttrVisitor& v) {
  v.attr("ta", ta);
  v.attr("tb", tb);
  v.choice_of("act", act, activation_names());
  v.attr("act_alpha", act_alpha);
}

double Matmul::flops(std::span<const Spec> in, std::span<const Spec> out) const {
  const Shape& a = in[0].shape;
  return 2.0 * static_cast<double>(out[0].shape.size()) *
         static_cast<double>(a[a.rank() - (ta ? 2 : 1)].value());
}

namespace {
Tensor product_of(const Tensor& a, const Tensor& b, bool ta, bool tb) {
  auto op = std::make_shared<Matmul>();
  op->ta = ta;
  op->tb = tb;
  return apply1(op, {a, b});
}
const RegisterOp<Matmul> registered;
}  // namespace

void Matmul::vjp(const Vjp& v) const {
  check<StateError>(act == kernels::Activation::kNone,
                    "matmul: a fused product is differentiated before fusion");
  if (v.in.size() > 2 && v.needs[2]) v.result[2] = ops::sum_to(v.grad[0], v.in[2].shape());
  Tensor a = v.in[0], b = v.in[1], g = v.grad[0];
  const Shape a_shape = a.shape(), b_shape = b.shape();
  if (b.rank() == 2 && a.rank() > 2 && !ta) {
    // The leading axes of a are rows of one product.
    auto rows = [](const Tensor& t) { return ops::reshape(t, Shape{Dim(0), t.shape().back()}, 0); };
    a = rows(a);
    g = rows(g);
  }
  if (v.needs[0]) {
    Tensor da = ta ? product_of(b, g, tb, true) : product_of(g, b, false, !tb);
    // Rows go back to the leading axes; a shared a collects over the batch.
    v.result[0] = da.rank() < a_shape.rank() ? ops::reshape(da, a_shape) : ops::sum_to(da, a_shape);
  }
  if (v.needs[1]) {
    Tensor db = tb ? product_of(g, a, true, ta) : product_of(a, g, !ta, false);
    v.result[1] = ops::sum_to(db, b_shape);
  }
}

namespace ops {

Tensor matmul(const Tensor& a, const Tensor& b) {
  check<ShapeError>(a.rank() >= 1 && b.rank() >= 1,
                    "matmul: expected at least one axis on both sides, got shapes ", a.shape(),
                    " and ", b.shape());
  DType t = promote(a.dtype(), b.dtype());
  if (!is_floating(t)) {
    // Exact in float64 up to 2^53; the result returns to the integers' type.
    return cast(matmul(cast(a, DType::kFloat64), cast(b, DType::kFloat64)),
                t == DType::kBool ? DType::kInt32 : t);
  }
  Tensor x = cast(a, t), y = cast(b, t);
  const bool row = x.rank() == 1, column = y.rank() == 1;
  if (row) x = expand_dims(x, 0);
  if (column) y = expand_dims(y, 1);
  // Batch axes of both sides are brought to one shape; a rank-2 side is shared.
  if (x.rank() > 2 && y.rank() > 2) {
    auto lead = [](const Tensor& v) {
      return Shape(v.shape().begin(), static_cast<std::size_t>(v.rank() - 2));
    };
    const Shape batch = broadcast("matmul", lead(x), lead(y));
    auto spread = [&](const Tensor& v) {
      Shape s = batch;
      s.push_back(v.shape()[v.rank() - 2]);
      s.push_back(v.shape()[v.rank() - 1]);
      return broadcast_to(v, s);
    };
    x = spread(x);
    y = spread(y);
  }
  Tensor z = product_of(x, y, false, false);
  if (row) z = squeeze(z, {-2});
  if (column) z = squeeze(z, {-1});
  return z;
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias) {
  check<ShapeError>(x.rank() >= 1 && w.rank() == 2 && x.shape().back() == w.shape()[1],
                    "linear: shapes ", x.shape(), " and ", w.shape(),
                    " do not fit: the last size of the input must be that of the weight (out, in)");
  check<ShapeError>(!bias.defined() || (bias.rank() == 1 && bias.shape()[0] == w.shape()[0]),
                    "linear: expected a bias of shape (", w.shape()[0], "), got ",
                    bias.defined() ? bias.shape() : Shape{});
  check<DTypeError>(x.dtype() == w.dtype() && (!bias.defined() || bias.dtype() == w.dtype()),
                    "linear: input, weight and bias must have one dtype, got ", name(x.dtype()),
                    " and ", name(w.dtype()));
  if (x.rank() == 1) return squeeze(linear(expand_dims(x, 0), w, bias), {0});
  auto op = std::make_shared<Matmul>();
  op->tb = true;
  return bias.defined() ? apply1(op, {x, w, bias}) : apply1(op, {x, w});
}

}  // namespace ops
}  // namespace lamella
