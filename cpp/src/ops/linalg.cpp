// Stacks of square matrices: Cholesky, systems of equations, determinants. The gradients are those
// of M. Giles, "An extended collection of matrix derivative results" (2008).
#include <numeric>

#include "lamella/ops.h"
#include "ops/common.h"

namespace lamella {
namespace {

using kernels::LinalgOp;

constexpr const char* kNames[] = {"cholesky", "triangular_solve", "solve", "det", "slogdet"};

struct Linalg final : OpBase<Linalg> {
  static constexpr const char* kName = "linalg";
  LinalgOp op = LinalgOp::kSolve;
  bool lower_triangle = true, transposed = false;

  bool solves() const { return op == LinalgOp::kTriangularSolve || op == LinalgOp::kSolve; }
  Arity arity() const override { return {1 + std::size_t{solves()}, 1 + std::size_t{solves()}}; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const Spec& a = in[0];
    const char* what = kNames[static_cast<int>(op)];
    check_floating(what, a.dtype);
    const int r = a.shape.rank();
    check<ShapeError>(r >= 2 && a.shape[r - 1] == a.shape[r - 2], what,
                      ": expected square matrices, got shape ", a.shape);
    if (solves()) {
      const Shape& b = in[1].shape;
      check<ShapeError>(b.rank() == r && b[r - 2] == a.shape[r - 1], what, ": shapes ", a.shape,
                        " and ", b, " do not fit");
      return {in[1]};
    }
    if (op == LinalgOp::kCholesky) return {a};
    const Spec each{Shape(a.shape.begin(), static_cast<std::size_t>(r - 2)), a.dtype};
    if (op == LinalgOp::kDet) return {each};
    return {each, each};
  }
  void lower(Lowering& l) const override {
    const Shape& a = l.in_shape(0);
    const int r = a.rank();
    kernels::LinalgArgs args{};
    args.op = op;
    args.dtype = l.in_spec(0).dtype;
    args.lower = lower_triangle;
    args.transposed = transposed;
    args.a = l.in(0);
    args.b = solves() ? l.in(1) : nullptr;
    args.y = l.out(0);
    args.z = op == LinalgOp::kSlogdet ? l.out(1) : nullptr;
    args.n = a[r - 1].value();
    args.m = solves() ? l.in_shape(1)[r - 1].value() : 0;
    args.batch = product(a, 0, r - 2);
    args.workspace = l.workspace(l.k.linalg_workspace(args));
    l.call(l.k.linalg, args);
  }
  void visit(AttrVisitor& v) override {
    v.choice_of("op", op, kNames);
    v.attr("lower", lower_triangle);
    v.attr("transposed", transposed);
  }
  double flops(std::span<const Spec> in, std::span<const Spec>) const override {
    const Shape& a = in[0].shape;
    return static_cast<double>(a.size()) * static_cast<double>(a.back().value());
  }
  bool row_wise(const Rows& r) const override {
    return r.in[0].shape.rank() > 2 && r.cut[0] && (r.in.size() == 1 || r.cut[1]);
  }
  void vjp(const Vjp& v) const override;
};

const RegisterOp<Linalg> registered;

Tensor turned(const Tensor& x) {
  std::vector<int> perm(static_cast<std::size_t>(x.rank()));
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return ops::transpose(x, perm);
}

/// 1 below the diagonal (above, for `lower` false), `diagonal` on it, 0 elsewhere; as wide as x.
Tensor triangle(const Tensor& x, bool lower, double diagonal) {
  const Dim n = x.shape().back();
  check<ShapeError>(n.known(), "linear algebra: the size of the matrices must be known, got shape ",
                    x.shape());
  const Tensor index = ops::arange(0, static_cast<double>(n.value()), 1, x.dtype());
  const Tensor i = ops::expand_dims(index, 1), j = ops::expand_dims(index, 0);
  auto c = [&](double value) { return Tensor::scalar(value, x.dtype()); };
  return ops::where(ops::equal(i, j), c(diagonal),
                    ops::where(lower ? ops::greater(i, j) : ops::less(i, j), c(1), c(0)));
}

Tensor solve_any(LinalgOp kind, const Tensor& a, const Tensor& b, bool lower, bool transposed) {
  auto op = std::make_shared<Linalg>();
  op->op = kind;
  op->lower_triangle = lower;
  op->transposed = transposed;
  return apply1(op, {a, b});
}

Tensor as_floats(const Tensor& x) {
  return is_floating(x.dtype()) ? x : ops::cast(x, DType::kFloat32);
}

std::vector<Tensor> apply_to(LinalgOp kind, const Tensor& x) {
  auto op = std::make_shared<Linalg>();
  op->op = kind;
  return apply_op(op, {as_floats(x)});
}

/// Both operands with one dtype and the same leading axes.
std::pair<Tensor, Tensor> joined(const char* what, const Tensor& a, const Tensor& b) {
  DType t = promote(a.dtype(), b.dtype());
  if (!is_floating(t)) t = DType::kFloat32;
  check<ShapeError>(a.rank() >= 2 && b.rank() >= 2, what, ": expected matrices, got shapes ",
                    a.shape(), " and ", b.shape());
  auto lead = [](const Tensor& x) {
    return Shape(x.shape().begin(), static_cast<std::size_t>(x.rank() - 2));
  };
  const Shape batch = broadcast(what, lead(a), lead(b));
  auto spread = [&](const Tensor& x) {
    Shape s = batch;
    s.push_back(x.shape()[x.rank() - 2]);
    s.push_back(x.shape()[x.rank() - 1]);
    return ops::broadcast_to(ops::cast(x, t), s);
  };
  return {spread(a), spread(b)};
}

}  // namespace

void Linalg::vjp(const Vjp& v) const {
  using namespace ops;
  const Tensor& a = v.in[0];
  const Tensor& y = v.out[0];
  auto scaled_inverse = [&](const Tensor& factor) {  // factor * a^-T for each matrix
    return mul(turned(inverse(a)), expand_dims(expand_dims(factor, -1), -1));
  };
  switch (op) {
    case LinalgOp::kCholesky: {
      const Tensor p = mul(matmul(turned(y), v.grad[0]), triangle(a, true, 0.5));
      const Tensor half = triangular_solve(y, p, true, true);
      const Tensor s = turned(triangular_solve(y, turned(half), true, true));
      v.result[0] = mul(add(s, turned(s)), Tensor::scalar(0.5, a.dtype()));
      break;
    }
    case LinalgOp::kTriangularSolve: {
      const Tensor db = triangular_solve(a, v.grad[0], lower_triangle, !transposed);
      v.result[1] = db;
      if (!v.needs[0]) break;
      const Tensor d = transposed ? matmul(y, turned(db)) : matmul(db, turned(y));
      v.result[0] = neg(mul(d, triangle(a, lower_triangle, 1)));
      break;
    }
    case LinalgOp::kSolve: {
      const Tensor db = ops::solve(turned(a), v.grad[0]);
      v.result[1] = db;
      if (v.needs[0]) v.result[0] = neg(matmul(db, turned(y)));
      break;
    }
    case LinalgOp::kDet:
      v.result[0] = scaled_inverse(mul(v.grad[0], y));
      break;
    case LinalgOp::kSlogdet:  // the sign has no gradient
      if (v.grad[1].defined()) v.result[0] = scaled_inverse(v.grad[1]);
      break;
  }
}

namespace ops {

Tensor cholesky(const Tensor& x) { return apply_to(LinalgOp::kCholesky, x)[0]; }

Tensor triangular_solve(const Tensor& a, const Tensor& b, bool lower, bool transposed) {
  const auto [p, q] = joined("triangular_solve", a, b);
  return solve_any(LinalgOp::kTriangularSolve, p, q, lower, transposed);
}

Tensor solve(const Tensor& a, const Tensor& b) {
  const auto [p, q] = joined("solve", a, b);
  return solve_any(LinalgOp::kSolve, p, q, true, false);
}

Tensor inverse(const Tensor& x) {
  check<ShapeError>(x.rank() >= 2, "inverse: expected matrices, got shape ", x.shape());
  const Tensor floats = as_floats(x);
  const Tensor one = triangle(floats, true, 1);
  return solve(floats, mul(one, turned(one)));
}

Tensor det(const Tensor& x) { return apply_to(LinalgOp::kDet, x)[0]; }

std::pair<Tensor, Tensor> slogdet(const Tensor& x) {
  const std::vector<Tensor> out = apply_to(LinalgOp::kSlogdet, x);
  return {out[0], out[1]};
}

}  // namespace ops
}  // namespace lamella
