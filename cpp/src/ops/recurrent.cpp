// SimpleRNN, LSTM and GRU: the inputs of all steps are projected by one matmul, then one op runs
// the steps.
#include "lamella/ops.h"
#include "ops/common.h"

namespace lamella {
namespace {

using kernels::GateActivation;
using kernels::RecurrentCell;

constexpr const char* kCells[] = {"simple_rnn", "lstm", "gru", "gru_reset_after"};
constexpr const char* kActivations[] = {"linear", "relu", "sigmoid", "tanh", "hard_sigmoid"};

struct RecurrentAttrs {
  RecurrentCell cell = RecurrentCell::kSimple;
  GateActivation act = GateActivation::kTanh, recurrent_act = GateActivation::kSigmoid;
  bool backwards = false;
  bool bias = false;  // of GRU's candidate, before the reset gate
  bool masked = false;

  bool lstm() const { return cell == RecurrentCell::kLstm; }
  /// A second value per unit and time is kept for the gradient.
  bool memory() const { return lstm() || cell == RecurrentCell::kGruResetAfter; }
  std::int64_t gates() const { return lstm() ? 4 : cell == RecurrentCell::kSimple ? 1 : 3; }

  void visit(AttrVisitor& v) {
    v.choice_of("cell", cell, kCells);
    v.choice_of("act", act, kActivations);
    v.choice_of("recurrent_act", recurrent_act, kActivations);
    v.attr("backwards", backwards);
    v.attr("bias", bias);
    v.attr("masked", masked);
  }

  template <class Args>
  void fill(Args& args, const Spec& gates_spec) const {
    const Shape& s = gates_spec.shape;
    args.dtype = gates_spec.dtype;
    args.cell = cell;
    args.act = act;
    args.recurrent_act = recurrent_act;
    args.backwards = backwards;
    args.batch = s[0].value();
    args.time = s[1].value();
    args.units = s[2].value() / gates();
  }
};

double step_flops(const Shape& gates, const Shape& kernel) {
  return 2.0 * static_cast<double>(gates.size()) * static_cast<double>(kernel[0].value());
}

/// Inputs: x kernel + bias (batch, time, gates * units), h0[, c0], recurrent kernel[, bias][,
/// mask]. Outputs: activated gates, sequence, h[, c][, memory (batch, time, units)].
struct Recurrent final : OpBase<Recurrent> {
  static constexpr const char* kName = "recurrent";
  RecurrentAttrs attrs;

  Arity arity() const override {
    const std::size_t n =
        3 + std::size_t{attrs.lstm()} + std::size_t{attrs.bias} + std::size_t{attrs.masked};
    return {n, n};
  }
  int c0() const { return 2; }
  int kernel() const { return attrs.lstm() ? 3 : 2; }
  int bias() const { return kernel() + 1; }
  int mask() const { return kernel() + 1 + int{attrs.bias}; }
  int memory() const { return attrs.lstm() ? 4 : 3; }

  bool row_wise(const Rows& r) const override {
    for (std::size_t i = 0; i < r.cut.size(); ++i) {
      const int k = static_cast<int>(i);
      if (r.cut[i] == (k == kernel() || (attrs.bias && k == bias()))) return false;
    }
    return true;
  }

  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const char* op = kCells[static_cast<int>(attrs.cell)];
    const Shape& x = in[0].shape;
    const Shape& k = in[static_cast<std::size_t>(kernel())].shape;
    check_floating(op, in[0].dtype);
    check<ShapeError>(x.rank() == 3 && k.rank() == 2 && k[0].known() && k[0].value() >= 1 &&
                          k[1] == k[0] * Dim(attrs.gates()) && x[2] == k[1],
                      op, ": expected a recurrent_kernel of shape (units, ", attrs.gates(),
                      " * units) and as many columns in the kernel, got shapes ", k,
                      " and (features, ", x.rank() == 3 ? x[2] : Dim(0), ")");
    const Spec state{Shape{x[0], k[0]}, in[0].dtype};
    const Spec sequence{Shape{x[0], x[1], k[0]}, in[0].dtype};
    auto expect = [&](int i, const char* what, const Spec& spec) {
      const Spec& have = in[static_cast<std::size_t>(i)];
      check<DTypeError>(have.dtype == spec.dtype, op, ": ", what, " is ", lamella::name(have.dtype),
                        ", expected ", lamella::name(spec.dtype));
      check<ShapeError>(have.shape == spec.shape, op, ": expected ", what, " of shape ", spec.shape,
                        ", got ", have.shape);
    };
    expect(1, "h0", state);
    if (attrs.lstm()) expect(c0(), "c0", state);
    expect(kernel(), "recurrent_kernel", {k, in[0].dtype});
    if (attrs.bias) expect(bias(), "bias", {Shape{k[0]}, in[0].dtype});
    if (attrs.masked) expect(mask(), "mask", {Shape{x[0], x[1]}, DType::kBool});
    std::vector<Spec> out = {in[0], sequence, state};
    if (attrs.lstm()) out.push_back(state);
    if (attrs.memory()) out.push_back(sequence);
    return out;
  }

  void lower(Lowering& l) const override {
    kernels::RecurrentArgs args{};
    attrs.fill(args, l.in_spec(0));
    args.x = l.in(0);
    args.h0 = l.in(1);
    args.kernel = l.in(kernel());
    if (attrs.bias) args.bias = l.in(bias());
    if (attrs.masked) args.mask = static_cast<const bool*>(l.in(mask()));
    if (l.wanted(0)) args.gates = l.out(0);
    if (l.wanted(1)) args.sequence = l.out(1);
    args.h_last = l.out(2);
    if (attrs.lstm()) {
      args.c0 = l.in(c0());
      args.c_last = l.out(3);
    }
    if (attrs.memory() && l.wanted(memory())) args.memory = l.out(memory());
    args.workspace = l.workspace(l.k.recurrent_workspace(args));
    l.call(l.k.recurrent, args);
  }

  bool may_overwrite(int i) const override { return i == 0; }
  void visit(AttrVisitor& v) override { attrs.visit(v); }
  double flops(std::span<const Spec> in, std::span<const Spec>) const override {
    return step_flops(in[0].shape, in[static_cast<std::size_t>(kernel())].shape);
  }
  void vjp(const Vjp& v) const override;
};

/// Inputs: gates, sequence, h0, recurrent kernel[, memory][, c0][, mask][, dsequence][, dh][, dc].
/// Outputs: dx (before the activations), dh0, dkernel[, dc0][, dbias].
struct RecurrentGrad final : OpBase<RecurrentGrad> {
  static constexpr const char* kName = "recurrent_grad";
  RecurrentAttrs attrs;
  bool dsequence = false, dh = false, dc = false;  // what is given

  Arity arity() const override {
    const std::size_t n = 4 + std::size_t{attrs.memory()} + std::size_t{attrs.lstm()} +
                          std::size_t{attrs.masked} + std::size_t{dsequence} + std::size_t{dh} +
                          std::size_t{dc};
    return {n, n};
  }

  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const Shape& x = in[0].shape;
    const Shape& k = in[3].shape;
    check<ShapeError>(x.rank() == 3 && k.rank() == 2 && k[0].known() &&
                          k[1] == k[0] * Dim(attrs.gates()) && x[2] == k[1],
                      "recurrent_grad: shapes ", x, " and ", k, " do not belong together");
    const Spec state{Shape{x[0], k[0]}, in[0].dtype};
    const Spec sequence{Shape{x[0], x[1], k[0]}, in[0].dtype};
    std::vector<Spec> expected = {in[0], sequence, state, {k, in[0].dtype}};
    if (attrs.memory()) expected.push_back(sequence);
    if (attrs.lstm()) expected.push_back(state);
    if (attrs.masked) expected.push_back({Shape{x[0], x[1]}, DType::kBool});
    if (dsequence) expected.push_back(sequence);
    if (dh) expected.push_back(state);
    if (dc) expected.push_back(state);
    for (std::size_t i = 0; i < in.size(); ++i)
      check<ShapeError>(in[i] == expected[i], "recurrent_grad: operand ", i, " has shape ",
                        in[i].shape, ", expected ", expected[i].shape);
    std::vector<Spec> out = {in[0], state, {k, in[0].dtype}};
    if (attrs.lstm()) out.push_back(state);
    if (attrs.bias) out.push_back({Shape{k[0]}, in[0].dtype});
    return out;
  }

  void vjp(const Vjp&) const override {
    throw Error(
        "recurrent: the fused kernel has no second derivatives; build the layer as RNN(cell), for "
        "example RNN(LSTMCell(units)), whose steps are ordinary ops");
  }

  void lower(Lowering& l) const override {
    kernels::RecurrentGradArgs args{};
    attrs.fill(args, l.in_spec(0));
    args.gates = l.in(0);
    args.sequence = l.in(1);
    args.h0 = l.in(2);
    args.kernel = l.in(3);
    int next = 4;
    if (attrs.memory()) args.memory = l.in(next++);
    if (attrs.lstm()) args.c0 = l.in(next++);
    if (attrs.masked) args.mask = static_cast<const bool*>(l.in(next++));
    if (dsequence) args.dsequence = l.in(next++);
    if (dh) args.dh_last = l.in(next++);
    if (dc) args.dc_last = l.in(next++);
    args.dx = l.out(0);
    args.dh0 = l.out(1);
    if (attrs.lstm()) args.dc0 = l.out(3);
    const std::size_t bytes =
        static_cast<std::size_t>(args.batch * args.time * args.units) * size_of(args.dtype);
    args.previous = l.workspace(bytes);
    if (attrs.gates() == 3) args.other = l.workspace(bytes);
    args.workspace = l.workspace(l.k.recurrent_grad_workspace(args));
    l.call(l.k.recurrent_grad, args);
    if (attrs.gates() == 3) {
      const std::int64_t gate = 2 * args.units;
      const bool after = attrs.cell == RecurrentCell::kGruResetAfter;
      multiply(l, args, args.previous, args.dx, attrs.gates() * args.units, 0, gate);
      if (after) {
        multiply(l, args, args.previous, args.other, args.units, gate, args.units);
      } else {
        const char* dx = static_cast<const char*>(args.dx);
        multiply(l, args, args.other,
                 dx == nullptr ? dx : dx + static_cast<std::size_t>(gate) * size_of(args.dtype),
                 attrs.gates() * args.units, gate, args.units);
      }
    } else {
      multiply(l, args, args.previous, args.dx, attrs.gates() * args.units, 0,
               attrs.gates() * args.units);
    }
    if (attrs.bias) {
      kernels::ReduceArgs sum{};
      sum.op = kernels::ReduceOp::kSum;
      sum.dtype = args.dtype;
      sum.x = args.other;
      sum.y = l.out(3);
      sum.outer = 1;
      sum.n = args.batch * args.time;
      sum.inner = args.units;
      sum.workspace = l.workspace(l.k.reduce_workspace(sum));
      l.call(l.k.reduce, sum);
    }
  }

  bool may_overwrite(int i) const override { return i == 0; }
  void visit(AttrVisitor& v) override {
    attrs.visit(v);
    v.attr("dsequence", dsequence);
    v.attr("dh", dh);
    v.attr("dc", dc);
  }
  double flops(std::span<const Spec> in, std::span<const Spec>) const override {
    return 2 * step_flops(in[0].shape, in[3].shape);
  }

 private:
  /// `columns` columns of dkernel from `column` on: states^T d over all rows and times.
  void multiply(Lowering& l, const kernels::RecurrentGradArgs& p, const void* states, const void* d,
                std::int64_t ld, std::int64_t column, std::int64_t columns) const {
    kernels::MatmulArgs args{};
    args.dtype = p.dtype;
    args.ta = true;
    args.m = p.units;
    args.n = columns;
    args.k = p.batch * p.time;
    args.batch = 1;
    args.a = states;
    args.lda = p.units;
    args.b = d;
    args.ldb = ld;
    char* c = static_cast<char*>(l.out(2));
    args.c = c == nullptr ? c : c + static_cast<std::size_t>(column) * size_of(p.dtype);
    args.ldc = attrs.gates() * p.units;
    args.workspace = l.workspace(l.k.matmul_workspace(args));
    l.call(l.k.matmul, args);
  }
};

void Recurrent::vjp(const Vjp& v) const {
  auto at = [](auto list, int i) { return list[static_cast<std::size_t>(i)]; };
  auto op = std::make_shared<RecurrentGrad>();
  op->attrs = attrs;
  std::vector<Tensor> in = {v.out[0], v.out[1], v.in[1], at(v.in, kernel())};
  if (attrs.memory()) in.push_back(at(v.out, memory()));
  if (attrs.lstm()) in.push_back(at(v.in, c0()));
  if (attrs.masked) in.push_back(at(v.in, mask()));
  auto given = [&](bool& flag, const Tensor& g) {
    flag = g.defined();
    if (flag) in.push_back(g);
  };
  given(op->dsequence, v.grad[1]);
  given(op->dh, v.grad[2]);
  if (attrs.lstm()) given(op->dc, v.grad[3]);
  const std::vector<Tensor> d = apply_op(op, in);
  v.result[0] = d[0];
  v.result[1] = d[1];
  v.result[static_cast<std::size_t>(kernel())] = d[2];
  if (attrs.lstm()) v.result[static_cast<std::size_t>(c0())] = d[3];
  if (attrs.bias) v.result[static_cast<std::size_t>(bias())] = d[3];
}

const RegisterOp<Recurrent> r1;
const RegisterOp<RecurrentGrad> r2;

GateActivation find_activation(const char* op, const char* what, const std::string& name) {
  std::string known;
  for (int i = 0; i < static_cast<int>(std::size(kActivations)); ++i) {
    if (name == kActivations[i]) return static_cast<GateActivation>(i);
    known += (i == 0 ? "" : ", ") + std::string(kActivations[i]);
  }
  throw Error(detail::format(op, ": ", what, " must be one of ", known, ", got '", name, "'"));
}

/// `projection_bias` is added to the projected inputs, `bias` belongs to the op.
ops::RecurrentResult run(RecurrentCell cell, const Tensor& x, const Tensor& h0, const Tensor& c0,
                         const Tensor& kernel, const Tensor& recurrent_kernel,
                         const Tensor& projection_bias, const Tensor& bias, const Tensor& mask,
                         const ops::RecurrentOptions& options) {
  const char* op_name = kCells[static_cast<int>(cell)];
  auto op = std::make_shared<Recurrent>();
  RecurrentAttrs& a = op->attrs;
  a.cell = cell;
  a.act = find_activation(op_name, "activation", options.activation);
  a.recurrent_act = find_activation(op_name, "recurrent_activation", options.recurrent_activation);
  a.backwards = options.go_backwards;
  a.bias = bias.defined();
  a.masked = mask.defined();
  check<ShapeError>(x.rank() == 3, op_name,
                    ": expected an input of shape (batch, time, features), got shape ", x.shape());
  check<ShapeError>(kernel.rank() == 2 && kernel.shape()[0] == x.shape()[2], op_name,
                    ": input of shape ", x.shape(), " needs a kernel of shape (", x.shape()[2],
                    ", ", a.gates(), " * units), got ", kernel.shape());
  check<DTypeError>(x.dtype() == kernel.dtype(), op_name, ": input is ", name(x.dtype()),
                    " but kernel is ", name(kernel.dtype()));
  Tensor projected = ops::matmul(x, kernel);
  if (projection_bias.defined()) {
    check<ShapeError>(
        projection_bias.rank() == 1 && projection_bias.shape()[0] == kernel.shape()[1], op_name,
        ": expected a bias of shape (", kernel.shape()[1], ",), got ", projection_bias.shape());
    projected = ops::add(projected, projection_bias);
  }
  std::vector<Tensor> in = {projected, h0};
  if (a.lstm()) in.push_back(c0);
  in.push_back(recurrent_kernel);
  if (a.bias) in.push_back(bias);
  if (a.masked) in.push_back(ops::cast(mask, DType::kBool));
  const std::vector<Tensor> out = apply_op(op, in);
  return {out[1], out[2], a.lstm() ? out[3] : Tensor()};
}

}  // namespace

namespace ops {

RecurrentResult simple_rnn(const Tensor& x, const Tensor& h0, const Tensor& kernel,
                           const Tensor& recurrent_kernel, const Tensor& bias, const Tensor& mask,
                           const RecurrentOptions& options) {
  return run(RecurrentCell::kSimple, x, h0, {}, kernel, recurrent_kernel, bias, {}, mask, options);
}

RecurrentResult lstm(const Tensor& x, const Tensor& h0, const Tensor& c0, const Tensor& kernel,
                     const Tensor& recurrent_kernel, const Tensor& bias, const Tensor& mask,
                     const RecurrentOptions& options) {
  return run(RecurrentCell::kLstm, x, h0, c0, kernel, recurrent_kernel, bias, {}, mask, options);
}

RecurrentResult gru(const Tensor& x, const Tensor& h0, const Tensor& kernel,
                    const Tensor& recurrent_kernel, const Tensor& bias, const Tensor& mask,
                    const RecurrentOptions& options) {
  if (!options.reset_after) {
    return run(RecurrentCell::kGru, x, h0, {}, kernel, recurrent_kernel, bias, {}, mask, options);
  }
  Tensor input_bias, inner_bias;
  if (bias.defined()) {
    const Dim units = recurrent_kernel.rank() == 2 ? recurrent_kernel.shape()[0] : Dim(0);
    const Dim columns = units * Dim(3);
    check<ShapeError>(bias.shape() == (Shape{Dim(2), columns}),
                      "gru: with reset_after expected a bias of shape (2, ", columns, "), got ",
                      bias.shape());
    // The state's bias of the gates z and r is as good as the input's; only that of h meets the
    // reset gate.
    auto part = [&](std::int64_t row, Dim start, Dim size) {
      return reshape(slice(bias, {Dim(row), start}, {Dim(1), size}, {1, 1}), Shape{size});
    };
    input_bias =
        add(part(0, Dim(0), columns), pad(part(1, Dim(0), units * Dim(2)), {{0, units.value()}}));
    inner_bias = part(1, units * Dim(2), units);
  }
  return run(RecurrentCell::kGruResetAfter, x, h0, {}, kernel, recurrent_kernel, input_bias,
             inner_bias, mask, options);
}

}  // namespace ops
}  // namespace lamella
