// The recorded computation: nodes in topological order over inputs, constants and variables.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "ops/op.h"
#include "tensor/tensor_impl.h"

namespace lamella {

struct ValueRef {
  int node = -1, index = 0;
  bool valid() const { return node >= 0; }
  friend auto operator<=>(const ValueRef&, const ValueRef&) = default;
};

struct Node {
  OpPtr op;
  std::vector<ValueRef> inputs;
  std::vector<Spec> outputs;
  std::string scope;  // the layer that made it
};

struct GraphData {
  struct Input {
    std::string name;
    Spec spec;
    ValueRef value;
  };
  struct Assign {
    int variable;
    ValueRef value;
  };
  struct Output {
    std::string name;
    ValueRef value;
  };

  std::vector<Node> nodes;
  std::vector<Input> inputs;
  std::vector<Variable> variables;
  std::vector<Assign> assigns;  // at most one per variable
  std::vector<Output> outputs;
  ValueRef loss, learning_rate;
  std::shared_ptr<const GraphData> update;  // its inputs: the gradients of `trained`
  std::vector<int> trained;                 // variable indices
  int symbols = 0;
  std::string scope;

  ValueRef add(OpPtr op, std::vector<ValueRef> in, std::vector<Spec> out);
  ValueRef add_constant(const Tensor& value);
  const Spec& spec(ValueRef v) const {
    return nodes[static_cast<std::size_t>(v.node)].outputs[static_cast<std::size_t>(v.index)];
  }
  int variable_index(const Variable& v);
  /// The read of a variable (one node per variable).
  ValueRef read(const Variable& v);
  /// What the variable holds at this point of the trace.
  ValueRef current(const Variable& v);
  void assign(const Variable& v, ValueRef value);

  std::unordered_map<const detail::VariableData*, int> variable_ids;
  std::vector<ValueRef> reads;  // by variable index
};

using GraphPtr = std::shared_ptr<GraphData>;

/// The symbolic tensor for a value.
Tensor symbol(const GraphPtr& graph, ValueRef value);
/// The value of a tensor in this graph; an eager tensor becomes a constant.
ValueRef value_in(const GraphPtr& graph, const Tensor& t);

/// The Graph being traced by this thread, or null.
const GraphPtr& current_graph();
void push_graph(GraphPtr graph);
void pop_graph();

// Leaves.
struct InputOp final : OpBase<InputOp> {
  static constexpr const char* kName = "input";
  Arity arity() const override { return {0, 0}; }
  std::int64_t index = 0;
  OpKind kind() const override { return OpKind::kInput; }
  std::vector<Spec> infer(std::span<const Spec>) const override { return {}; }
  void lower(Lowering&) const override {}
  void visit(AttrVisitor& v) override { v.attr("index", index); }
};
struct ConstantOp final : OpBase<ConstantOp> {
  static constexpr const char* kName = "constant";
  Arity arity() const override { return {0, 0}; }
  Tensor value;
  OpKind kind() const override { return OpKind::kConstant; }
  std::vector<Spec> infer(std::span<const Spec>) const override { return {value.spec()}; }
  void lower(Lowering&) const override {}
  void visit(AttrVisitor& v) override { v.attr("value", value); }
};
struct VariableOp final : OpBase<VariableOp> {
  static constexpr const char* kName = "variable";
  Arity arity() const override { return {0, 0}; }
  std::int64_t index = 0;
  OpKind kind() const override { return OpKind::kVariable; }
  std::vector<Spec> infer(std::span<const Spec>) const override { return {}; }
  void lower(Lowering&) const override {}
  void visit(AttrVisitor& v) override { v.attr("index", index); }
};

}  // namespace lamella
