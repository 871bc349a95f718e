#include "lamella/graph.h"

#include <algorithm>
#include <sstream>

#include "graph/graph_data.h"

namespace lamella {
namespace {
thread_local std::vector<GraphPtr> stack;
const RegisterOp<InputOp> r1;
const RegisterOp<ConstantOp> r2;
const RegisterOp<VariableOp> r3;
}  // namespace

const GraphPtr& current_graph() {
  static const GraphPtr none;
  return stack.empty() ? none : stack.back();
}
void push_graph(GraphPtr graph) { stack.push_back(std::move(graph)); }
void pop_graph() { stack.pop_back(); }
bool is_tracing() { return !stack.empty(); }

// ---------------------------------------------------------------- GraphData

ValueRef GraphData::add(OpPtr op, std::vector<ValueRef> in, std::vector<Spec> out) {
  nodes.push_back({std::move(op), std::move(in), std::move(out), scope});
  return {static_cast<int>(nodes.size()) - 1, 0};
}

ValueRef GraphData::add_constant(const Tensor& value) {
  auto op = std::make_shared<ConstantOp>();
  op->value = value;
  return add(op, {}, {value.spec()});
}

int GraphData::variable_index(const Variable& v) {
  auto [it, fresh] = variable_ids.try_emplace(v.data().get(), static_cast<int>(variables.size()));
  if (fresh) {
    variables.push_back(v);
    reads.emplace_back();
  }
  return it->second;
}

ValueRef GraphData::read(const Variable& v) {
  const int i = variable_index(v);
  ValueRef& r = reads[static_cast<std::size_t>(i)];
  if (!r.valid()) {
    auto op = std::make_shared<VariableOp>();
    op->index = i;
    r = add(op, {}, {{v.shape(), v.dtype()}});
  }
  return r;
}

ValueRef GraphData::current(const Variable& v) {
  const int i = variable_index(v);
  for (const Assign& a : assigns)
    if (a.variable == i) return a.value;
  return read(v);
}

void GraphData::assign(const Variable& v, ValueRef value) {
  const int i = variable_index(v);
  for (Assign& a : assigns)
    if (a.variable == i) {
      a.value = value;
      return;
    }
  assigns.push_back({i, value});
}

Tensor symbol(const GraphPtr& graph, ValueRef value) {
  auto impl = std::make_shared<detail::TensorImpl>();
  const Spec& s = graph->spec(value);
  impl->shape = s.shape;
  impl->dtype = s.dtype;
  impl->graph = graph;
  impl->node = value.node;
  impl->index = value.index;
  return Tensor(std::move(impl));
}

ValueRef value_in(const GraphPtr& graph, const Tensor& t) {
  if (!t.is_symbolic()) return graph->add_constant(t);
  check<StateError>(t.impl()->graph == graph,
                    "trace: this tensor belongs to another graph; a tensor kept from an earlier "
                    "trace cannot be used here");
  return {t.impl()->node, t.impl()->index};
}

// ---------------------------------------------------------------- Graph

Graph::Graph() : data_(std::make_shared<GraphData>()) {}

Graph::Trace::Trace(const Graph& graph) { push_graph(graph.data()); }
Graph::Trace::~Trace() { pop_graph(); }

Tensor Graph::input(const std::string& name, const std::vector<std::int64_t>& shape, DType dtype) {
  GraphData& g = *data_;
  if (g.symbols == 0) g.symbols = 1;  // symbol 0 is the batch
  Shape s;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] >= 0)
      s.push_back(Dim(shape[i]));
    else
      s.push_back(Dim::symbol(i == 0 ? 0 : g.symbols++));
  }
  auto op = std::make_shared<InputOp>();
  op->index = static_cast<std::int64_t>(g.inputs.size());
  const ValueRef v = g.add(op, {}, {{s, dtype}});
  g.inputs.push_back({name, {s, dtype}, v});
  return symbol(data_, v);
}

void Graph::output(const std::string& name, const Tensor& value) {
  data_->outputs.push_back({name, value_in(data_, value)});
}

Tensor Graph::constant(const Tensor& value) { return symbol(data_, value_in(data_, value)); }

void Graph::set_loss(const Tensor& loss) {
  check<ShapeError>(loss.shape().numel() == Dim(1), "loss: expected a scalar, got shape ",
                    loss.shape());
  check<DTypeError>(is_floating(loss.dtype()), "loss: expected a float, got ", name(loss.dtype()));
  data_->loss = value_in(data_, loss);
}

void Graph::set_learning_rate(const Tensor& value) {
  check<ShapeError>(value.shape().numel() == Dim(1), "learning rate: expected a scalar, got shape ",
                    value.shape());
  data_->learning_rate = value_in(data_, value);
}

void Graph::set_update(const Graph& update, const std::vector<Variable>& trained) {
  const GraphData& u = *update.data();
  check(u.inputs.size() == trained.size(), "update: expected one input for each of ",
        trained.size(), " trained variables, got ", u.inputs.size());
  data_->trained.clear();
  for (std::size_t i = 0; i < trained.size(); ++i) {
    const Spec& spec = u.inputs[i].spec;
    check<ShapeError>(spec.shape == trained[i].shape() && spec.dtype == trained[i].dtype(),
                      "update: input ", i, " is ", name(spec.dtype), spec.shape, ", variable '",
                      trained[i].name(), "' is ", name(trained[i].dtype()), trained[i].shape());
    data_->trained.push_back(data_->variable_index(trained[i]));
  }
  data_->update = update.data();
}

std::vector<bool> Graph::loss_depends_on(const std::vector<Variable>& variables) const {
  const GraphData& g = *data_;
  std::vector<char> reached(g.nodes.size(), 0);
  if (g.loss.valid()) reached[static_cast<std::size_t>(g.loss.node)] = 1;
  for (std::size_t i = g.nodes.size(); i-- > 0;)
    if (reached[i])
      for (ValueRef v : g.nodes[i].inputs)
        if (is_floating(g.spec(v).dtype)) reached[static_cast<std::size_t>(v.node)] = 1;
  std::vector<bool> out;
  for (const Variable& v : variables) {
    const auto it = g.variable_ids.find(v.data().get());
    const ValueRef read =
        it == g.variable_ids.end() ? ValueRef{} : g.reads[static_cast<std::size_t>(it->second)];
    out.push_back(read.valid() && reached[static_cast<std::size_t>(read.node)] != 0);
  }
  return out;
}

std::string Graph::set_scope(std::string scope) {
  std::swap(scope, data_->scope);
  return scope;
}

std::vector<std::string> Graph::input_names() const {
  std::vector<std::string> out;
  for (const auto& i : data_->inputs) out.push_back(i.name);
  return out;
}

std::vector<Spec> Graph::input_specs() const {
  std::vector<Spec> out;
  for (const auto& i : data_->inputs) out.push_back(i.spec);
  return out;
}

std::vector<std::string> Graph::output_names() const {
  std::vector<std::string> out;
  for (const auto& o : data_->outputs) out.push_back(o.name);
  return out;
}

std::vector<Variable> Graph::variables() const { return data_->variables; }
bool Graph::has_loss() const { return data_->loss.valid(); }

std::string Graph::str() const {
  const GraphData& g = *data_;
  std::ostringstream out;
  for (std::size_t i = 0; i < g.nodes.size(); ++i) {
    const Node& n = g.nodes[i];
    out << "%" << i << " = " << n.op->name() << "(";
    for (std::size_t k = 0; k < n.inputs.size(); ++k) {
      out << (k > 0 ? ", " : "") << "%" << n.inputs[k].node;
      if (n.inputs[k].index > 0) out << "." << n.inputs[k].index;
    }
    out << ")";
    for (const Spec& s : n.outputs) out << " " << name(s.dtype) << s.shape;
    if (!n.scope.empty()) out << "  # " << n.scope;
    out << "\n";
  }
  for (const auto& a : g.assigns)
    out << g.variables[static_cast<std::size_t>(a.variable)].name() << " <- %" << a.value.node
        << "\n";
  for (const auto& o : g.outputs) out << "output " << o.name << " = %" << o.value.node << "\n";
  if (g.loss.valid()) out << "loss = %" << g.loss.node << "\n";
  return out.str();
}

}  // namespace lamella
