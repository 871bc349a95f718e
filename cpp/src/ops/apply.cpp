// Dispatch of an op: eager execution with the tape, or a node of the Graph.
#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "autograd/tape.h"
#include "graph/graph_data.h"
#include "lamella/runtime.h"
#include "ops/op.h"
#include "tensor/tensor_impl.h"

namespace lamella {
namespace {

class EagerLowering final : public Lowering {
 public:
  EagerLowering(const kernels::KernelTable& table, std::span<const Tensor> in,
                std::span<Tensor> out, std::span<const Spec> in_specs,
                std::span<const Spec> out_specs)
      : Lowering(table), in_(in), out_(out), in_specs_(in_specs), out_specs_(out_specs) {
    exec_.threads = num_threads();
    exec_.fault = &fault_;
  }

  int inputs() const override { return static_cast<int>(in_.size()); }
  const Spec& in_spec(int i) const override { return in_specs_[static_cast<std::size_t>(i)]; }
  const Spec& out_spec(int i) const override { return out_specs_[static_cast<std::size_t>(i)]; }
  const void* in(int i) override { return in_[static_cast<std::size_t>(i)].raw(); }
  void* out(int i) override {
    const auto& impl = *out_[static_cast<std::size_t>(i)].impl();
    return static_cast<char*>(impl.storage->data) + impl.offset;
  }
  void* workspace(std::size_t bytes) override {
    if (bytes == 0) return nullptr;
    scratch_.push_back(detail::allocate(bytes));
    return scratch_.back()->data;
  }
  int fault() const { return fault_; }

 protected:
  void call_erased(void (*fn)(const void*, const kernels::Exec&), const void* args, std::size_t,
                   std::size_t) override {
    fn(args, exec_);
  }

 private:
  std::span<const Tensor> in_;
  std::span<Tensor> out_;
  std::span<const Spec> in_specs_, out_specs_;
  std::vector<std::shared_ptr<detail::Storage>> scratch_;
  kernels::Exec exec_;
  int fault_ = 0;
};

GraphPtr graph_of(std::span<const Tensor> in) {
  GraphPtr graph;
  for (const Tensor& t : in) {
    if (!t.is_symbolic()) continue;
    check<StateError>(
        !graph || graph == t.impl()->graph,
        "trace: tensors of two different graphs cannot be mixed; a tensor kept from an "
        "earlier trace is used here");
    graph = t.impl()->graph;
  }
  return graph;
}

/// Errors raised while a layer is traced say which layer it was.
template <class F>
auto with_scope(const GraphPtr& graph, F&& f) {
  if (!graph || graph->scope.empty()) return f();
  auto prefix = [&](const std::string& text) {
    return text.starts_with(graph->scope) ? text : graph->scope + ": " + text;
  };
  try {
    return f();
  } catch (const ShapeError& e) {
    throw ShapeError(prefix(e.what()));
  } catch (const DTypeError& e) {
    throw DTypeError(prefix(e.what()));
  }
}

std::vector<Tensor> record(const GraphPtr& graph, const OpPtr& op, std::span<const Tensor> in,
                           std::vector<Spec> out) {
  std::vector<ValueRef> refs;
  refs.reserve(in.size());
  for (const Tensor& t : in) refs.push_back(value_in(graph, t));
  const auto n = static_cast<int>(out.size());
  const ValueRef first = graph->add(op, std::move(refs), std::move(out));
  std::vector<Tensor> result;
  for (int i = 0; i < n; ++i) result.push_back(symbol(graph, {first.node, i}));
  return result;
}

}  // namespace

bool Rows::broadcast() const {
  const int rank = out[0].shape.rank();
  for (std::size_t k = 0; k < in.size(); ++k) {
    const Shape& s = in[k].shape;
    if (cut[k] ? s.rank() != rank : s.rank() == rank && !(s[0] == Dim(1))) return false;
  }
  return true;
}

bool Rows::only_first() const {
  return cut[0] && std::none_of(cut.begin() + 1, cut.end(), [](bool c) { return c; });
}

void Op::vjp(const Vjp&) const { throw Error(detail::format(name(), ": this op has no gradient")); }

double Op::bytes(std::span<const Spec> in, std::span<const Spec> out) const {
  double total = 0;
  for (const auto specs : {in, out})
    for (const Spec& s : specs)
      total += static_cast<double>(s.shape.size()) * static_cast<double>(size_of(s.dtype));
  return total;
}

double Op::flops(std::span<const Spec>, std::span<const Spec> out) const {
  double n = 0;
  for (const Spec& s : out) n += static_cast<double>(s.shape.size());
  return n;
}

std::vector<Tensor> apply_op(const OpPtr& op, std::span<const Tensor> in) {
  GraphPtr graph = graph_of(in);
  if (!graph) graph = current_graph();
  std::array<Spec, 3> small;  // most ops: nothing more to initialize
  std::vector<Spec> large;
  std::span<Spec> specs(small.data(), std::min(in.size(), small.size()));
  if (in.size() > small.size()) {
    large.resize(in.size());
    specs = large;
  }
  bool symbolic = false;
  for (std::size_t i = 0; i < in.size(); ++i) {
    specs[i] = in[i].spec();
    symbolic = symbolic || in[i].is_symbolic();
  }
  std::vector<Spec> out_specs = with_scope(graph, [&] { return op->infer(specs); });
  for (const Spec& s : out_specs) symbolic = symbolic || !s.shape.known();
  if (symbolic) {
    check<StateError>(graph != nullptr, op->name(), ": a symbolic size needs a graph being traced");
    return record(graph, op, in, std::move(out_specs));
  }

  std::vector<Tensor> out;
  out.reserve(out_specs.size());
  if (op->kind() == OpKind::kView) {
    out.push_back(detail::view(in[0], out_specs[0].shape));
  } else {
    for (const Spec& s : out_specs) out.push_back(Tensor::empty(s.shape, s.dtype));
    EagerLowering lowering(kernels::table(), in, out, specs, out_specs);
    op->lower(lowering);
    check<Error>(lowering.fault() == 0, op->name(), ": an index is out of range for the axis of ",
                 in.empty() ? Shape{} : in[0].shape());
  }
  record_on_tape(op, in, out);
  return out;
}

Tensor apply1(const OpPtr& op, std::initializer_list<Tensor> in) {
  return std::move(apply_op(op, std::span<const Tensor>(in.begin(), in.size()))[0]);
}
Tensor apply1(const OpPtr& op, const Tensor& in) {
  return std::move(apply_op(op, std::span<const Tensor>(&in, 1))[0]);
}

// ---------------------------------------------------------------- attributes

void AttrVisitor::dtype(const char* key, DType& value) {
  static constexpr const char* kNames[] = {"bool", "uint8", "int32", "int64", "float32", "float64"};
  choice_of(key, value, kNames);
}

namespace {

struct FindSymbolic final : AttrVisitor {
  bool found = false;
  void attr(const char*, std::int64_t&) override {}
  void attr(const char*, double&) override {}
  void attr(const char*, bool&) override {}
  void attr(const char*, std::vector<std::int64_t>&) override {}
  void attr(const char*, std::vector<Dim>& dims) override {
    for (Dim d : dims) found = found || !d.known();
  }
  void attr(const char*, Tensor&) override {}
  void choice(const char*, int&, std::span<const char* const>) override {}
};

struct BindSymbolic final : AttrVisitor {
  std::span<const std::int64_t> bindings;
  void attr(const char*, std::int64_t&) override {}
  void attr(const char*, double&) override {}
  void attr(const char*, bool&) override {}
  void attr(const char*, std::vector<std::int64_t>&) override {}
  void attr(const char*, std::vector<Dim>& dims) override {
    for (Dim& d : dims) d = d.bind(bindings);
  }
  void attr(const char*, Tensor&) override {}
  void choice(const char*, int&, std::span<const char* const>) override {}
};

std::map<std::string, OpFactory>& registry() {
  static auto* ops = new std::map<std::string, OpFactory>;
  return *ops;
}

}  // namespace

bool has_symbolic_attrs(const Op& op) {
  FindSymbolic find;
  const_cast<Op&>(op).visit(find);  // the visitor only looks
  return find.found;
}

OpPtr bind_op(const OpPtr& op, std::span<const std::int64_t> bindings) {
  if (!has_symbolic_attrs(*op)) return op;
  std::unique_ptr<Op> copy = op->clone();
  BindSymbolic bind;
  bind.bindings = bindings;
  copy->visit(bind);
  return OpPtr(std::move(copy));
}

void register_op(const char* name, OpFactory factory) { registry()[name] = factory; }

std::unique_ptr<Op> create_op(const std::string& name) {
  auto it = registry().find(name);
  check<IoError>(it != registry().end(), "graph: unknown op '", name,
                 "'; the file was written by a newer version of lamella");
  return it->second();
}

}  // namespace lamella
