// Elementwise ops: one operand, two operands with broadcasting, select, cast.
#include "ops/elementwise.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "lamella/autograd.h"
#include "lamella/ops.h"
#include "ops/broadcast.h"

namespace lamella {

using kernels::BinaryOp;
using kernels::UnaryOp;

namespace {

constexpr const char* kUnaryNames[] = {
    "copy",      "neg",     "abs",      "sign",         "square",     "exp",  "expm1",  "log",
    "log1p",     "sqrt",    "rsqrt",    "reciprocal",   "sin",        "cos",  "tan",    "asin",
    "acos",      "atan",    "sinh",     "cosh",         "tanh",       "erf",  "floor",  "ceil",
    "round",     "sigmoid", "softplus", "relu",         "leaky_relu", "elu",  "selu",   "gelu",
    "gelu_tanh", "silu",    "softsign", "hard_sigmoid", "hard_silu",  "clip", "erfinv", "i0",
    "i1",        "isnan",   "isfinite", "logical_not"};

constexpr const char* kBinaryNames[] = {
    "add",       "sub",           "mul",         "div",        "maximum",
    "minimum",   "pow",           "floor_div",   "mod",        "squared_difference",
    "atan2",     "nextafter",     "gcd",         "bit_and",    "bit_or",
    "bit_xor",   "shift_left",    "shift_right", "relu_grad",  "sigmoid_grad",
    "tanh_grad", "equal",         "not_equal",   "less",       "less_equal",
    "greater",   "greater_equal", "logical_and", "logical_or", "logical_xor"};

bool is_predicate(UnaryOp op) { return op >= UnaryOp::kIsNan; }
bool is_comparison(BinaryOp op) { return op >= BinaryOp::kEqual && op <= BinaryOp::kGreaterEqual; }
bool is_logical(BinaryOp op) { return op >= BinaryOp::kLogicalAnd; }
bool is_integral(BinaryOp op) { return op >= BinaryOp::kGcd && op <= BinaryOp::kShiftRight; }
/// Defined on integers as they are; everything else computes in float32.
bool allows_integers(UnaryOp op) {
  switch (op) {
    case UnaryOp::kCopy:
    case UnaryOp::kNeg:
    case UnaryOp::kAbs:
    case UnaryOp::kSign:
    case UnaryOp::kSquare:
    case UnaryOp::kClip:
      return true;
    default:
      return false;
  }
}

Tensor constant(double value, const Tensor& like) { return Tensor::scalar(value, like.dtype()); }

Tensor run(UnaryOp op, const Tensor& x, double a = 0, double b = 0) {
  if (is_floating(x.dtype()) && op != UnaryOp::kLogicalNot)
    return apply1(UnaryElementwise::shared(op, a, b), x);
  Tensor in = x;
  if (op == UnaryOp::kLogicalNot) {
    if (in.dtype() != DType::kBool) in = ops::cast(in, DType::kBool);
  } else if (op == UnaryOp::kFloor || op == UnaryOp::kCeil || op == UnaryOp::kRound) {
    return in;
  } else if (!allows_integers(op)) {
    in = ops::cast(in, DType::kFloat32);
  } else if (in.dtype() == DType::kUint8) {  // bytes compute in int32 and wrap around
    return ops::cast(run(op, ops::cast(in, DType::kInt32), a, b), DType::kUint8);
  } else if (in.dtype() == DType::kBool && (op == UnaryOp::kAbs || op == UnaryOp::kSign)) {
    return in;
  } else if (in.dtype() == DType::kBool) {
    in = ops::cast(in, DType::kInt32);
  } else if (op == UnaryOp::kRelu) {
    return ops::maximum(in, constant(0, in));
  }
  return apply1(UnaryElementwise::shared(op, a, b), in);
}

/// A rank-0 constant adopts nothing: promotion is by dtype alone; the bindings make Python scalars
/// weak before they come here.
Tensor run(BinaryOp op, const Tensor& x, const Tensor& y) {
  DType t = promote(x.dtype(), y.dtype());
  if (t == DType::kBool) {  // as numpy does
    if (op == BinaryOp::kAdd || op == BinaryOp::kMaximum) op = BinaryOp::kLogicalOr;
    if (op == BinaryOp::kMul || op == BinaryOp::kMinimum) op = BinaryOp::kLogicalAnd;
  }
  if (is_logical(op)) t = DType::kBool;
  check<DTypeError>(!is_integral(op) || !is_floating(t), kBinaryNames[static_cast<int>(op)],
                    ": expected integers, got ", name(x.dtype()), " and ", name(y.dtype()));
  if (op == BinaryOp::kDiv || op == BinaryOp::kAtan2 || op == BinaryOp::kNextAfter)
    t = is_floating(t) ? t : DType::kFloat32;
  else if (t == DType::kBool && !is_logical(op) && !is_comparison(op))
    t = DType::kInt32;
  auto to = [t](const Tensor& v) { return v.dtype() == t ? v : ops::cast(v, t); };
  if (t == DType::kUint8 && !is_comparison(op)) {
    // Bytes compute in int32 and wrap around, as in numpy.
    return ops::cast(run(op, ops::cast(x, DType::kInt32), ops::cast(y, DType::kInt32)), t);
  }
  return apply1(BinaryElementwise::shared(op), {to(x), to(y)});
}

const double kSeluAlpha = 1.6732632423543772848170429916717;
const double kSeluScale = 1.0507009873554804934193349852946;

}  // namespace

// ---------------------------------------------------------------- unary

OpPtr UnaryElementwise::shared(UnaryOp op, double a, double b) {
  if (a == 0 && b == 0) {
    // Attribute-free ops are shared, so an eager call allocates no op.
    constexpr std::size_t n = std::size(kUnaryNames);
    static const auto table = [] {
      std::array<OpPtr, n> t;
      for (std::size_t i = 0; i < n; ++i)
        t[i] = std::make_shared<UnaryElementwise>(static_cast<UnaryOp>(i), 0.0, 0.0);
      return t;
    }();
    return table[static_cast<std::size_t>(op)];
  }
  return std::make_shared<UnaryElementwise>(op, a, b);
}

std::vector<Spec> UnaryElementwise::infer(std::span<const Spec> in) const {
  return {{in[0].shape, is_predicate(op) ? DType::kBool : in[0].dtype}};
}

void UnaryElementwise::lower(Lowering& l) const {
  l.call(l.k.unary, {op, l.in_spec(0).dtype, l.in(0), l.out(0), l.out_shape(0).size(), a, b});
}

void UnaryElementwise::visit(AttrVisitor& v) {
  v.choice_of("op", op, kUnaryNames);
  v.attr("a", a);
  v.attr("b", b);
}

bool UnaryElementwise::may_overwrite(int) const { return !is_predicate(op); }

void UnaryElementwise::vjp(const Vjp& v) const {
  using namespace ops;
  const Tensor& x = v.in[0];
  const Tensor& y = v.out[0];
  const Tensor& g = v.grad[0];
  auto c = [&](double value) { return constant(value, x); };
  auto binary = [](BinaryOp o, const Tensor& p, const Tensor& q) {
    return apply1(BinaryElementwise::shared(o), {p, q});
  };
  Tensor r;
  switch (op) {
    case UnaryOp::kCopy:
      r = g;
      break;
    case UnaryOp::kNeg:
      r = neg(g);
      break;
    case UnaryOp::kAbs:
      r = mul(g, sign(x));
      break;
    case UnaryOp::kSquare:
      r = mul(g, mul(x, c(2)));
      break;
    case UnaryOp::kExp:
      r = mul(g, y);
      break;
    case UnaryOp::kExpm1:
      r = mul(g, add(y, c(1)));
      break;
    case UnaryOp::kLog:
      r = div(g, x);
      break;
    case UnaryOp::kLog1p:
      r = div(g, add(x, c(1)));
      break;
    case UnaryOp::kSqrt:
      r = div(mul(g, c(0.5)), y);
      break;
    case UnaryOp::kRsqrt:
      r = mul(mul(g, c(-0.5)), mul(y, square(y)));
      break;
    case UnaryOp::kReciprocal:
      r = neg(mul(g, square(y)));
      break;
    case UnaryOp::kSin:
      r = mul(g, cos(x));
      break;
    case UnaryOp::kCos:
      r = neg(mul(g, sin(x)));
      break;
    case UnaryOp::kTan:
      r = mul(g, add(square(y), c(1)));
      break;
    case UnaryOp::kAsin:
      r = mul(g, rsqrt(sub(c(1), square(x))));
      break;
    case UnaryOp::kAcos:
      r = neg(mul(g, rsqrt(sub(c(1), square(x)))));
      break;
    case UnaryOp::kAtan:
      r = div(g, add(square(x), c(1)));
      break;
    case UnaryOp::kSinh:
      r = mul(g, cosh(x));
      break;
    case UnaryOp::kCosh:
      r = mul(g, sinh(x));
      break;
    case UnaryOp::kTanh:
      r = binary(BinaryOp::kTanhGrad, g, y);
      break;
    case UnaryOp::kErf:
      r = mul(g, mul(exp(neg(square(x))), c(2 / std::sqrt(M_PI))));
      break;
    case UnaryOp::kErfInv:
      r = mul(g, mul(exp(square(y)), c(std::sqrt(M_PI) / 2)));
      break;
    case UnaryOp::kI0:
      r = mul(g, bessel_i1(x));
      break;
    case UnaryOp::kI1:  // i0(x) - i1(x) / x, which is 1/2 at 0
      r = mul(g, where(equal(x, c(0)), c(0.5), sub(bessel_i0(x), div(y, x))));
      break;
    case UnaryOp::kSigmoid:
      r = binary(BinaryOp::kSigmoidGrad, g, y);
      break;
    case UnaryOp::kSoftplus:
      r = mul(g, sigmoid(x));
      break;
    case UnaryOp::kRelu:
      r = binary(BinaryOp::kReluGrad, g, y);
      break;
    // These three keep the sign when their parameter is positive, so the output tells the side and
    // the input need not be kept.
    case UnaryOp::kLeakyRelu:
      r = where(less(a > 0 ? y : x, c(0)), mul(g, c(a)), g);
      break;
    case UnaryOp::kElu:
      // y = a * expm1(x) for x < 0, so dy/dx = y + a there.
      r = where(less(a > 0 ? y : x, c(0)), mul(g, add(y, c(a))), g);
      break;
    case UnaryOp::kSelu:
      r = where(less(y, c(0)), mul(g, add(y, c(kSeluScale * kSeluAlpha))), mul(g, c(kSeluScale)));
      break;
    case UnaryOp::kGelu: {
      Tensor cdf = mul(add(erf(mul(x, c(M_SQRT1_2))), c(1)), c(0.5));
      Tensor pdf = mul(exp(mul(square(x), c(-0.5))), c(1 / std::sqrt(2 * M_PI)));
      r = mul(g, add(cdf, mul(x, pdf)));
      break;
    }
    case UnaryOp::kGeluTanh: {
      const double k = std::sqrt(2 / M_PI);
      Tensor t = tanh(mul(add(x, mul(mul(x, square(x)), c(0.044715))), c(k)));
      Tensor inner = mul(add(mul(square(x), c(3 * 0.044715)), c(1)), c(k));
      Tensor d =
          add(mul(add(t, c(1)), c(0.5)), mul(mul(mul(x, c(0.5)), sub(c(1), square(t))), inner));
      r = mul(g, d);
      break;
    }
    case UnaryOp::kSilu: {
      Tensor s = sigmoid(x);
      r = mul(g, mul(s, add(mul(x, sub(c(1), s)), c(1))));
      break;
    }
    case UnaryOp::kSoftsign:
      r = div(g, square(add(abs(x), c(1))));
      break;
    case UnaryOp::kHardSigmoid:
      r = where(less(abs(x), c(3)), mul(g, c(1.0 / 6)), c(0));
      break;
    case UnaryOp::kHardSilu:
      r = where(less_equal(x, c(-3)), c(0),
                where(greater_equal(x, c(3)), g, mul(g, add(mul(x, c(1.0 / 3)), c(0.5)))));
      break;
    case UnaryOp::kClip:
      // As Keras's backends: the gradient passes where the value was inside, borders included.
      r = where(logical_and(greater_equal(x, c(a)), less_equal(x, c(b))), g, c(0));
      break;
    default:
      return;  // piecewise constant or predicates: zero
  }
  v.result[0] = r;
}

// ---------------------------------------------------------------- binary

OpPtr BinaryElementwise::shared(BinaryOp op) {
  constexpr std::size_t n = std::size(kBinaryNames);
  static const auto table = [] {
    std::array<OpPtr, n> t;
    for (std::size_t i = 0; i < n; ++i)
      t[i] = std::make_shared<BinaryElementwise>(static_cast<BinaryOp>(i));
    return t;
  }();
  return table[static_cast<std::size_t>(op)];
}

std::vector<Spec> BinaryElementwise::infer(std::span<const Spec> in) const {
  check<DTypeError>(in[0].dtype == in[1].dtype, kBinaryNames[static_cast<int>(op)],
                    ": operands are ", lamella::name(in[0].dtype), " and ",
                    lamella::name(in[1].dtype));
  const DType t = is_comparison(op) ? DType::kBool : in[0].dtype;
  return {{broadcast(kBinaryNames[static_cast<int>(op)], in[0].shape, in[1].shape), t}};
}

void BinaryElementwise::lower(Lowering& l) const {
  kernels::BinaryArgs args{};
  args.op = op;
  args.dtype = l.in_spec(0).dtype;
  args.x = l.in(0);
  args.y = l.in(1);
  args.out = l.out(0);
  const Shape* operands[] = {&l.in_shape(0), &l.in_shape(1)};
  std::int64_t* strides[] = {args.x_strides, args.y_strides};
  args.rank = merge_broadcast(l.out_shape(0), operands, args.shape, strides);
  l.call(l.k.binary, args);
}

void BinaryElementwise::visit(AttrVisitor& v) { v.choice_of("op", op, kBinaryNames); }

bool BinaryElementwise::may_overwrite(int) const { return !is_comparison(op); }

void BinaryElementwise::vjp(const Vjp& v) const {
  using namespace ops;
  const Tensor& x = v.in[0];
  const Tensor& y = v.in[1];
  const Tensor& out = v.out[0];
  const Tensor& g = v.grad[0];
  if (!is_floating(g.dtype())) return;
  auto c = [&](double value) { return constant(value, x); };
  auto to_x = [&](const Tensor& t) {
    if (v.needs[0]) v.result[0] = sum_to(t, x.shape());
  };
  auto to_y = [&](auto&& make) {
    if (v.needs[1]) v.result[1] = sum_to(make(), y.shape());
  };
  switch (op) {
    case BinaryOp::kAdd:
      to_x(g);
      to_y([&] { return g; });
      break;
    case BinaryOp::kSub:
      to_x(g);
      to_y([&] { return neg(g); });
      break;
    case BinaryOp::kMul:
      if (v.needs[0]) to_x(mul(g, y));
      to_y([&] { return mul(g, x); });
      break;
    case BinaryOp::kDiv:
      if (v.needs[0]) to_x(div(g, y));
      to_y([&] { return neg(div(mul(g, out), y)); });
      break;
    case BinaryOp::kMaximum:
    case BinaryOp::kMinimum: {
      // Ties share the gradient equally, as in Keras's JAX and PyTorch backends.
      Tensor wins = cast(op == BinaryOp::kMaximum ? greater(x, y) : less(x, y), x.dtype());
      Tensor share = add(wins, mul(cast(equal(x, y), x.dtype()), c(0.5)));
      if (v.needs[0]) to_x(mul(g, share));
      to_y([&] { return mul(g, sub(c(1), share)); });
      break;
    }
    case BinaryOp::kPow:
      if (v.needs[0]) {
        // y * x^(y-1), with 0 for y == 0 whatever x.
        Tensor d = mul(y, pow(x, sub(y, c(1))));
        to_x(mul(g, where(equal(y, c(0)), c(0), d)));
      }
      to_y([&] {
        Tensor safe = where(greater(x, c(0)), log(where(greater(x, c(0)), x, c(1))), c(0));
        return mul(mul(g, out), safe);
      });
      break;
    case BinaryOp::kMod:
      to_x(g);
      to_y([&] { return neg(mul(g, floor(div(x, y)))); });
      break;
    case BinaryOp::kSquaredDifference: {
      Tensor d = mul(mul(g, c(2)), sub(x, y));
      to_x(d);
      to_y([&] { return neg(d); });
      break;
    }
    case BinaryOp::kAtan2: {
      Tensor r = div(g, add(square(x), square(y)));
      to_x(mul(r, y));
      to_y([&] { return neg(mul(r, x)); });
      break;
    }
    case BinaryOp::kReluGrad:  // x upstream, y forward output
      if (v.needs[0]) v.result[0] = apply1(shared(BinaryOp::kReluGrad), {g, y});
      break;
    case BinaryOp::kSigmoidGrad:
      if (v.needs[0]) v.result[0] = apply1(shared(BinaryOp::kSigmoidGrad), {g, y});
      if (v.needs[1]) v.result[1] = mul(mul(g, x), sub(c(1), mul(y, c(2))));
      break;
    case BinaryOp::kTanhGrad:
      if (v.needs[0]) v.result[0] = apply1(shared(BinaryOp::kTanhGrad), {g, y});
      if (v.needs[1]) v.result[1] = mul(mul(g, x), mul(y, c(-2)));
      break;
    default:
      break;  // floor_div, comparisons: zero
  }
}

// ---------------------------------------------------------------- select, cast

namespace {

struct Select final : OpBase<Select> {
  static constexpr const char* kName = "where";
  Arity arity() const override { return {3, 3}; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    check<DTypeError>(in[0].dtype == DType::kBool, "where: the condition must be bool, got ",
                      name_of(in[0].dtype));
    return {{broadcast("where", in[0].shape, broadcast("where", in[1].shape, in[2].shape)),
             in[1].dtype}};
  }
  static std::string_view name_of(DType t) { return lamella::name(t); }
  void lower(Lowering& l) const override {
    kernels::SelectArgs args{};
    args.dtype = l.in_spec(1).dtype;
    args.cond = l.in(0);
    args.x = l.in(1);
    args.y = l.in(2);
    args.out = l.out(0);
    const Shape* operands[] = {&l.in_shape(0), &l.in_shape(1), &l.in_shape(2)};
    std::int64_t* strides[] = {args.c_strides, args.x_strides, args.y_strides};
    args.rank = merge_broadcast(l.out_shape(0), operands, args.shape, strides);
    l.call(l.k.select, args);
  }
  bool row_wise(const Rows& r) const override { return r.broadcast(); }
  void vjp(const Vjp& v) const override {
    const Tensor zero = Tensor::scalar(0, v.grad[0].dtype());
    if (v.needs[1])
      v.result[1] = ops::sum_to(ops::where(v.in[0], v.grad[0], zero), v.in[1].shape());
    if (v.needs[2])
      v.result[2] = ops::sum_to(ops::where(v.in[0], zero, v.grad[0]), v.in[2].shape());
  }
};

struct Cast final : OpBase<Cast> {
  static constexpr const char* kName = "cast";
  DType to = DType::kFloat32;
  std::vector<Spec> infer(std::span<const Spec> in) const override { return {{in[0].shape, to}}; }
  void lower(Lowering& l) const override {
    l.call(l.k.cast, {l.in_spec(0).dtype, to, l.in(0), l.out(0), l.out_shape(0).size()});
  }
  void visit(AttrVisitor& v) override { v.dtype("to", to); }
  bool row_wise(const Rows&) const override { return true; }
  void vjp(const Vjp& v) const override {
    if (is_floating(v.in[0].dtype()) && is_floating(to))
      v.result[0] = ops::cast(v.grad[0], v.in[0].dtype());
  }
};

/// Shares the memory of its input; no gradient.
struct StopGradient final : OpBase<StopGradient> {
  static constexpr const char* kName = "stop_gradient";
  OpKind kind() const override { return OpKind::kView; }
  std::vector<Spec> infer(std::span<const Spec> in) const override { return {in[0]}; }
  void lower(Lowering&) const override {}
  void vjp(const Vjp&) const override {}
  bool row_wise(const Rows&) const override { return true; }
};

const RegisterOp<UnaryElementwise> register_unary;
const RegisterOp<BinaryElementwise> register_binary;
const RegisterOp<Select> register_select;
const RegisterOp<Cast> register_cast;
const RegisterOp<StopGradient> register_stop;

}  // namespace

namespace ops {

Tensor neg(const Tensor& x) { return run(UnaryOp::kNeg, x); }
Tensor abs(const Tensor& x) { return run(UnaryOp::kAbs, x); }
Tensor sign(const Tensor& x) { return run(UnaryOp::kSign, x); }
Tensor square(const Tensor& x) { return run(UnaryOp::kSquare, x); }
Tensor exp(const Tensor& x) { return run(UnaryOp::kExp, x); }
Tensor expm1(const Tensor& x) { return run(UnaryOp::kExpm1, x); }
Tensor log(const Tensor& x) { return run(UnaryOp::kLog, x); }
Tensor log1p(const Tensor& x) { return run(UnaryOp::kLog1p, x); }
Tensor sqrt(const Tensor& x) { return run(UnaryOp::kSqrt, x); }
Tensor rsqrt(const Tensor& x) { return run(UnaryOp::kRsqrt, x); }
Tensor reciprocal(const Tensor& x) { return run(UnaryOp::kReciprocal, x); }
Tensor sin(const Tensor& x) { return run(UnaryOp::kSin, x); }
Tensor cos(const Tensor& x) { return run(UnaryOp::kCos, x); }
Tensor tan(const Tensor& x) { return run(UnaryOp::kTan, x); }
Tensor asin(const Tensor& x) { return run(UnaryOp::kAsin, x); }
Tensor acos(const Tensor& x) { return run(UnaryOp::kAcos, x); }
Tensor atan(const Tensor& x) { return run(UnaryOp::kAtan, x); }
Tensor sinh(const Tensor& x) { return run(UnaryOp::kSinh, x); }
Tensor cosh(const Tensor& x) { return run(UnaryOp::kCosh, x); }
Tensor tanh(const Tensor& x) { return run(UnaryOp::kTanh, x); }
Tensor erf(const Tensor& x) { return run(UnaryOp::kErf, x); }
Tensor erfinv(const Tensor& x) { return run(UnaryOp::kErfInv, x); }
Tensor bessel_i0(const Tensor& x) { return run(UnaryOp::kI0, x); }
Tensor bessel_i1(const Tensor& x) { return run(UnaryOp::kI1, x); }
Tensor floor(const Tensor& x) { return run(UnaryOp::kFloor, x); }
Tensor ceil(const Tensor& x) { return run(UnaryOp::kCeil, x); }
Tensor round(const Tensor& x) { return run(UnaryOp::kRound, x); }
Tensor sigmoid(const Tensor& x) { return run(UnaryOp::kSigmoid, x); }
Tensor softplus(const Tensor& x) { return run(UnaryOp::kSoftplus, x); }
Tensor relu(const Tensor& x) {
  return is_floating(x.dtype()) ? run(UnaryOp::kRelu, x) : maximum(x, Tensor::scalar(0, x.dtype()));
}
Tensor silu(const Tensor& x) { return run(UnaryOp::kSilu, x); }
Tensor softsign(const Tensor& x) { return run(UnaryOp::kSoftsign, x); }
Tensor selu(const Tensor& x) { return run(UnaryOp::kSelu, x); }
Tensor gelu(const Tensor& x, bool approximate) {
  return run(approximate ? UnaryOp::kGeluTanh : UnaryOp::kGelu, x);
}
Tensor hard_sigmoid(const Tensor& x) { return run(UnaryOp::kHardSigmoid, x); }
Tensor hard_silu(const Tensor& x) { return run(UnaryOp::kHardSilu, x); }
Tensor leaky_relu(const Tensor& x, double slope) { return run(UnaryOp::kLeakyRelu, x, slope); }
Tensor elu(const Tensor& x, double alpha) { return run(UnaryOp::kElu, x, alpha); }
Tensor clip(const Tensor& x, double low, double high) { return run(UnaryOp::kClip, x, low, high); }
Tensor isnan(const Tensor& x) { return run(UnaryOp::kIsNan, x); }
Tensor isfinite(const Tensor& x) { return run(UnaryOp::kIsFinite, x); }
Tensor logical_not(const Tensor& x) { return run(UnaryOp::kLogicalNot, x); }

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  auto op = std::make_shared<Cast>();
  op->to = dtype;
  return apply1(op, x);
}

Tensor stop_gradient(const Tensor& x) {
  static const OpPtr op = std::make_shared<StopGradient>();
  return apply1(op, x);
}

Tensor add(const Tensor& x, const Tensor& y) { return run(BinaryOp::kAdd, x, y); }
Tensor sub(const Tensor& x, const Tensor& y) { return run(BinaryOp::kSub, x, y); }
Tensor mul(const Tensor& x, const Tensor& y) { return run(BinaryOp::kMul, x, y); }
Tensor div(const Tensor& x, const Tensor& y) { return run(BinaryOp::kDiv, x, y); }
Tensor maximum(const Tensor& x, const Tensor& y) { return run(BinaryOp::kMaximum, x, y); }
Tensor minimum(const Tensor& x, const Tensor& y) { return run(BinaryOp::kMinimum, x, y); }
Tensor pow(const Tensor& x, const Tensor& y) { return run(BinaryOp::kPow, x, y); }
Tensor floor_div(const Tensor& x, const Tensor& y) { return run(BinaryOp::kFloorDiv, x, y); }
Tensor mod(const Tensor& x, const Tensor& y) { return run(BinaryOp::kMod, x, y); }
Tensor squared_difference(const Tensor& x, const Tensor& y) {
  return run(BinaryOp::kSquaredDifference, x, y);
}
Tensor atan2(const Tensor& y, const Tensor& x) { return run(BinaryOp::kAtan2, y, x); }
Tensor nextafter(const Tensor& x, const Tensor& y) { return run(BinaryOp::kNextAfter, x, y); }
Tensor gcd(const Tensor& x, const Tensor& y) { return run(BinaryOp::kGcd, x, y); }
Tensor bit_and(const Tensor& x, const Tensor& y) { return run(BinaryOp::kBitAnd, x, y); }
Tensor bit_or(const Tensor& x, const Tensor& y) { return run(BinaryOp::kBitOr, x, y); }
Tensor bit_xor(const Tensor& x, const Tensor& y) { return run(BinaryOp::kBitXor, x, y); }
Tensor shift_left(const Tensor& x, const Tensor& y) { return run(BinaryOp::kShiftLeft, x, y); }
Tensor shift_right(const Tensor& x, const Tensor& y) { return run(BinaryOp::kShiftRight, x, y); }
Tensor equal(const Tensor& x, const Tensor& y) { return run(BinaryOp::kEqual, x, y); }
Tensor not_equal(const Tensor& x, const Tensor& y) { return run(BinaryOp::kNotEqual, x, y); }
Tensor less(const Tensor& x, const Tensor& y) { return run(BinaryOp::kLess, x, y); }
Tensor less_equal(const Tensor& x, const Tensor& y) { return run(BinaryOp::kLessEqual, x, y); }
Tensor greater(const Tensor& x, const Tensor& y) { return run(BinaryOp::kGreater, x, y); }
Tensor greater_equal(const Tensor& x, const Tensor& y) {
  return run(BinaryOp::kGreaterEqual, x, y);
}
Tensor logical_and(const Tensor& x, const Tensor& y) { return run(BinaryOp::kLogicalAnd, x, y); }
Tensor logical_or(const Tensor& x, const Tensor& y) { return run(BinaryOp::kLogicalOr, x, y); }
Tensor logical_xor(const Tensor& x, const Tensor& y) { return run(BinaryOp::kLogicalXor, x, y); }

Tensor where(const Tensor& condition, const Tensor& x, const Tensor& y) {
  static const OpPtr op = std::make_shared<Select>();
  const DType t = promote(x.dtype(), y.dtype());
  return apply1(op, {cast(condition, DType::kBool), cast(x, t), cast(y, t)});
}

}  // namespace ops
}  // namespace lamella
