#include "graph/program.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <numeric>
#include <unordered_map>

#include "lamella/runtime.h"
#include "ops/elementwise.h"

namespace lamella {
namespace {

constexpr std::size_t kAlign = 64;
constexpr double kHeavyFlops = 2e6;  // well under a millisecond on any machine

std::size_t aligned(std::size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }
std::size_t bytes_of(const Spec& s) {
  return static_cast<std::size_t>(s.shape.size()) * size_of(s.dtype);
}
/// A kernel call of an optimizer, for profiles.
ProfileLine describe_update(const OptimizerState& o, const kernels::KernelTable& table,
                            void (*fn)(const void*, const kernels::Exec&), const void* args) {
  ProfileLine line{o.kind_name, "", {}, 0, 0, 0};
  if (fn != table.optimizer.fn) return line;  // clipping, counting
  const auto& a = *static_cast<const kernels::OptimizerArgs*>(args);
  const auto n = static_cast<double>(a.n);
  const auto slots = 3 - static_cast<double>(std::count(a.slot, a.slot + 3, nullptr));
  line.outputs.push_back({{Dim(a.n)}, a.dtype});
  line.flops = (2 + 5 * slots) * n;  // about
  line.bytes = (3 + 2 * slots) * n * static_cast<double>(size_of(a.dtype));
  return line;
}
bool computes(const Node& n) { return n.op->kind() == OpKind::kCompute; }
void check_fault(int fault) {
  check<Error>(
      fault == 0,
      "an index is out of range: class labels must lie in [0, number of classes), embedding "
      "ids in [0, input_dim)");
}

}  // namespace

/// Finds how much workspace a node asks for.
class Program::Sizer final : public Lowering {
 public:
  Sizer(const GraphData& g, const Node& n) : Lowering(kernels::table()), g_(g), n_(n) {}
  std::vector<std::size_t> requests;

  int inputs() const override { return static_cast<int>(n_.inputs.size()); }
  const Spec& in_spec(int i) const override {
    return g_.spec(n_.inputs[static_cast<std::size_t>(i)]);
  }
  const Spec& out_spec(int i) const override { return n_.outputs[static_cast<std::size_t>(i)]; }
  // Not null: what a kernel asks for may depend on which operands there are.
  const void* in(int) override { return &operand_; }
  void* out(int) override { return &operand_; }
  void* workspace(std::size_t bytes) override {
    requests.push_back(bytes);
    return nullptr;
  }

 protected:
  void call_erased(void (*)(const void*, const kernels::Exec&), const void*, std::size_t,
                   std::size_t) override {}

 private:
  const GraphData& g_;
  const Node& n_;
  alignas(64) std::byte operand_{};
};

/// Records a node's kernel calls with their final addresses.
class Program::Emitter final : public Lowering {
 public:
  Emitter(Program& p, int node, bool heavy)
      : Lowering(kernels::table()),
        p_(p),
        node_(node),
        n_(p.graph_->nodes[static_cast<std::size_t>(node)]),
        heavy_(heavy) {}

  int inputs() const override { return static_cast<int>(n_.inputs.size()); }
  const Spec& in_spec(int i) const override {
    return p_.graph_->spec(n_.inputs[static_cast<std::size_t>(i)]);
  }
  const Spec& out_spec(int i) const override { return n_.outputs[static_cast<std::size_t>(i)]; }
  const void* in(int i) override { return p_.address(n_.inputs[static_cast<std::size_t>(i)]); }
  void* out(int i) override { return p_.address({node_, i}); }
  bool wanted(int i) const override { return p_.is_read({node_, i}); }
  void* workspace(std::size_t bytes) override {
    const std::size_t offset = p_.scratch_[static_cast<std::size_t>(node_)][next_++];
    return bytes == 0 ? nullptr : static_cast<std::byte*>(p_.arena_->data) + offset;
  }

 protected:
  void call_erased(void (*fn)(const void*, const kernels::Exec&), const void* args,
                   std::size_t size, std::size_t) override {
    p_.record(fn, args, size, node_, heavy_);
  }

 private:
  Program& p_;
  int node_;
  const Node& n_;
  bool heavy_;
  std::size_t next_ = 0;
};

Program::Program(const GraphData& graph, std::span<const Shape> input_shapes,
                 std::shared_ptr<OptimizerState> optimizer, std::span<const Variable> trained)
    : optimizer_(std::move(optimizer)) {
  graph_ = specialize(graph, bind_inputs(graph, input_shapes));
  if (optimizer_) {
    check<StateError>(graph_->loss.valid(), "train: this graph has no loss");
    std::vector<ValueRef> wrt;
    for (const Variable& v : optimizer_->variables) {
      const auto it = graph_->variable_ids.find(v.data().get());
      const bool wanted = it != graph_->variable_ids.end() &&
                          std::any_of(trained.begin(), trained.end(),
                                      [&](const Variable& t) { return same(t, v); });
      wrt.push_back(wanted ? graph_->reads[static_cast<std::size_t>(it->second)] : ValueRef{});
    }
    gradients_ = differentiate(graph_, graph_->loss, wrt);
    optimizer_->flatten();
  } else if (graph_->update) {
    append_update(graph_);
  }
  optimize(*graph_, gradients_);
  materialize();
  plan();
  emit();
}

ValueRef Program::base(ValueRef v) const {
  while (graph_->nodes[static_cast<std::size_t>(v.node)].op->kind() == OpKind::kView)
    v = graph_->nodes[static_cast<std::size_t>(v.node)].inputs[0];
  return v;
}

/// Gives values that need memory of their own a copy: results that alias a variable (which the
/// update changes), and gradients that cannot be computed right into the gradient block.
void Program::materialize() {
  GraphData& g = *graph_;
  auto copy = [&](ValueRef& v) {
    const Spec spec = g.spec(v);
    v = g.add(UnaryElementwise::shared(kernels::UnaryOp::kCopy), {v}, {spec});
  };
  auto own = [&](ValueRef& v) {
    if (g.nodes[static_cast<std::size_t>(base(v).node)].op->kind() == OpKind::kVariable) copy(v);
  };
  for (auto& o : g.outputs) own(o.value);
  for (auto& a : g.assigns) own(a.value);
  if (g.learning_rate.valid()) own(g.learning_rate);
  std::vector<ValueRef> taken;
  for (ValueRef& v : gradients_) {
    if (!v.valid()) continue;
    const ValueRef b = base(v);
    const bool free = computes(g.nodes[static_cast<std::size_t>(b.node)]) &&
                      std::find(taken.begin(), taken.end(), b) == taken.end();
    if (!free) copy(v);
    taken.push_back(base(v));
  }
}

void Program::plan() {
  GraphData& g = *graph_;
  const int n = static_cast<int>(g.nodes.size());
  places_.clear();
  for (const Node& node : g.nodes) places_.emplace_back(node.outputs.size());
  auto place = [&](ValueRef v) -> Place& {
    return places_[static_cast<std::size_t>(v.node)][static_cast<std::size_t>(v.index)];
  };

  // When each value is used last. Results live on to the end.
  std::vector<std::vector<int>> last;
  for (int i = 0; i < n; ++i)
    last.emplace_back(g.nodes[static_cast<std::size_t>(i)].outputs.size(), i);
  auto touch = [&](ValueRef v, int when) {
    const ValueRef b = base(v);
    int& l = last[static_cast<std::size_t>(b.node)][static_cast<std::size_t>(b.index)];
    l = std::max(l, when);
  };
  for (int i = 0; i < n; ++i)
    for (ValueRef v : g.nodes[static_cast<std::size_t>(i)].inputs) touch(v, i);
  for (auto& o : g.outputs) touch(o.value, n);
  for (auto& a : g.assigns) touch(a.value, n);
  if (g.learning_rate.valid()) touch(g.learning_rate, n);

  // Gradients go to their block, in the parameters' layout.
  std::size_t gradient_bytes = 0;
  if (optimizer_) {
    const auto offsets = optimizer_->layout(gradient_bytes);
    for (std::size_t i = 0; i < gradients_.size(); ++i)
      if (gradients_[i].valid()) place(base(gradients_[i])) = {Place::kGradient, offsets[i], -1};
    gradient_block_ = detail::allocate(std::max<std::size_t>(gradient_bytes, 1));
    std::memset(gradient_block_->data, 0, gradient_bytes);  // the gaps stay zero
  }

  struct Buffer {
    std::size_t bytes;
    int first, last;
    std::size_t offset = 0;
  };
  std::vector<Buffer> buffers;
  std::vector<std::vector<int>> buffer_of;
  for (const Node& node : g.nodes) buffer_of.emplace_back(node.outputs.size(), -1);
  std::vector<std::pair<int, std::size_t>> workspaces;  // node, buffer
  scratch_.assign(static_cast<std::size_t>(n), {});

  for (int i = 0; i < n; ++i) {
    const Node& node = g.nodes[static_cast<std::size_t>(i)];
    const auto u = static_cast<std::size_t>(i);
    switch (node.op->kind()) {
      case OpKind::kConstant:
        places_[u][0] = {Place::kConstant, 0, i};
        continue;
      case OpKind::kVariable:
        places_[u][0] = {Place::kVariable, 0,
                         static_cast<int>(static_cast<const VariableOp&>(*node.op).index)};
        continue;
      case OpKind::kView:
        continue;
      case OpKind::kInput:
        // Written before the run starts.
        buffer_of[u][0] = static_cast<int>(buffers.size());
        buffers.push_back({aligned(bytes_of(node.outputs[0])), -1, last[u][0]});
        continue;
      case OpKind::kCompute:
        break;
    }
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
      if (places_[u][k].kind == Place::kGradient) continue;
      const std::size_t bytes = aligned(bytes_of(node.outputs[k]));
      int reuse = -1;
      for (std::size_t x = 0; k == 0 && x < node.inputs.size() && reuse < 0; ++x) {
        if (!node.op->may_overwrite(static_cast<int>(x))) continue;
        const ValueRef b = base(node.inputs[x]);
        const int candidate =
            buffer_of[static_cast<std::size_t>(b.node)][static_cast<std::size_t>(b.index)];
        if (candidate >= 0 && buffers[static_cast<std::size_t>(candidate)].last == i &&
            bytes_of(g.spec(b)) == bytes_of(node.outputs[0]))
          reuse = candidate;
      }
      if (reuse >= 0) {
        buffers[static_cast<std::size_t>(reuse)].last = last[u][k];
        buffer_of[u][k] = reuse;
      } else {
        buffer_of[u][k] = static_cast<int>(buffers.size());
        buffers.push_back({bytes, i, last[u][k]});
      }
    }
    Sizer sizer(g, node);
    node.op->lower(sizer);
    for (std::size_t bytes : sizer.requests) {
      scratch_[u].push_back(buffers.size());  // buffer for now, offset below
      buffers.push_back({aligned(bytes), i, i});
    }
  }
  const std::size_t update_buffer = buffers.size();
  if (optimizer_) buffers.push_back({aligned(optimizer_->scratch_bytes()), n, n});

  // Largest first, each at the lowest place that is free during its life.
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return buffers[a].bytes > buffers[b].bytes;
  });
  std::vector<std::size_t> placed;
  arena_bytes_ = 0;
  for (std::size_t id : order) {
    Buffer& b = buffers[id];
    std::vector<std::pair<std::size_t, std::size_t>> busy;
    for (std::size_t other : placed) {
      const Buffer& o = buffers[other];
      if (o.first <= b.last && b.first <= o.last) busy.emplace_back(o.offset, o.offset + o.bytes);
    }
    std::sort(busy.begin(), busy.end());
    std::size_t at = 0;
    for (const auto& [begin, end] : busy) {
      if (at + b.bytes <= begin) break;
      at = std::max(at, end);
    }
    b.offset = at;
    arena_bytes_ = std::max(arena_bytes_, at + b.bytes);
    placed.push_back(id);
  }
  for (int i = 0; i < n; ++i) {
    const auto u = static_cast<std::size_t>(i);
    for (std::size_t k = 0; k < buffer_of[u].size(); ++k)
      if (buffer_of[u][k] >= 0)
        places_[u][k] = {Place::kArena, buffers[static_cast<std::size_t>(buffer_of[u][k])].offset,
                         -1};
    for (std::size_t& s : scratch_[u]) s = buffers[s].offset;
  }
  if (optimizer_) update_scratch_ = buffers[update_buffer].offset;
  arena_ = detail::allocate(std::max<std::size_t>(arena_bytes_, 1));
}

void* Program::address(ValueRef v) const {
  const ValueRef b = base(v);
  const Place& p = places_[static_cast<std::size_t>(b.node)][static_cast<std::size_t>(b.index)];
  switch (p.kind) {
    case Place::kArena:
      return static_cast<std::byte*>(arena_->data) + p.offset;
    case Place::kGradient:
      return static_cast<std::byte*>(gradient_block_->data) + p.offset;
    case Place::kVariable:
      return graph_->variables[static_cast<std::size_t>(p.index)].data()->raw();
    case Place::kConstant:
      return const_cast<void*>(
          static_cast<const ConstantOp&>(*graph_->nodes[static_cast<std::size_t>(p.index)].op)
              .value.raw());
    case Place::kNone:
      break;
  }
  return nullptr;
}

bool Program::is_read(ValueRef v) const {
  const GraphData& g = *graph_;
  const auto is_v = [&](ValueRef r) { return r.valid() && r == v; };
  const auto has_v = [&](const auto& results) {
    return std::any_of(results.begin(), results.end(),
                       [&](const auto& r) { return is_v(r.value); });
  };
  return is_v(g.loss) || is_v(g.learning_rate) || has_v(g.outputs) || has_v(g.assigns) ||
         std::any_of(gradients_.begin(), gradients_.end(), is_v) ||
         std::any_of(g.nodes.begin(), g.nodes.end(), [&](const Node& n) {
           return std::any_of(n.inputs.begin(), n.inputs.end(), is_v);
         });
}

void* Program::input(std::size_t i) const {
  const ValueRef v = graph_->inputs[i].value;
  return v.valid() ? address(v) : nullptr;
}

void Program::record(void (*fn)(const void*, const kernels::Exec&), const void* args,
                     std::size_t size, int node, bool heavy) {
  const std::size_t at = (args_.size() + 15) / 16 * 16;
  args_.resize(at + size);
  std::memcpy(args_.data() + at, args, size);
  steps_.push_back({fn, at, node, heavy});
}

void Program::emit() {
  GraphData& g = *graph_;
  generation_ = detail::layout_generation();
  steps_.clear();
  args_.clear();
  homes_.clear();
  written_.clear();
  for (std::size_t i = 0; i < g.nodes.size(); ++i) {
    const Node& node = g.nodes[i];
    if (!computes(node)) continue;
    std::vector<Spec> in;
    for (ValueRef v : node.inputs) in.push_back(g.spec(v));
    Emitter emitter(*this, static_cast<int>(i), node.op->flops(in, node.outputs) > kHeavyFlops);
    node.op->lower(emitter);
  }
  update_begin_ = steps_.size();
  updates_.clear();
  const auto& table = kernels::table();
  for (const auto& a : g.assigns) {
    const auto& data = g.variables[static_cast<std::size_t>(a.variable)].data();
    const kernels::UnaryArgs args{kernels::UnaryOp::kCopy, data->spec.dtype, address(a.value),
                                  data->raw(), data->spec.shape.size()};
    record(table.unary.fn, &args, sizeof args, -1, false);
    updates_.push_back(
        {"assign", data->name, {data->spec}, 0, 0, 2 * static_cast<double>(data->nbytes())});
    written_.push_back(data);
  }
  if (optimizer_) {
    std::vector<const void*> grads;
    for (ValueRef v : gradients_) grads.push_back(v.valid() ? address(v) : nullptr);
    const void* lr = g.learning_rate.valid() ? address(g.learning_rate)
                                             : optimizer_->learning_rate.data()->raw();
    optimizer_->lower(table, grads, lr, static_cast<std::byte*>(arena_->data) + update_scratch_,
                      [&](auto fn, const void* args, std::size_t size, std::size_t) {
                        record(fn, args, size, -1, false);
                        updates_.push_back(describe_update(*optimizer_, table, fn, args));
                      });
    auto add = [&](const Variable& v) {
      if (v.defined()) written_.push_back(v.data());
    };
    for (const Variable& v : optimizer_->variables) add(v);
    for (const auto& list : optimizer_->slots)
      for (const Variable& v : list) add(v);
    add(optimizer_->iterations);
    add(optimizer_->u_product);
  }
  for (const Variable& v : g.variables) homes_.push_back(v.data()->home);
  for (const auto& data : written_) homes_.push_back(data->home);
}

void Program::run(const Poll* poll) {
  if (generation_ != detail::layout_generation()) [[unlikely]]
    emit();
  int fault = 0;
  const kernels::Exec exec{num_threads(), &fault};
  const std::byte* args = args_.data();
  using Clock = std::chrono::steady_clock;
  Clock::time_point polled{};
  if (poll != nullptr) polled = Clock::now();
  for (std::size_t i = 0; i < update_begin_; ++i) {
    const Step& s = steps_[i];
    s.fn(args + s.args, exec);
    if (s.heavy && poll != nullptr) {
      const auto now = Clock::now();
      if (now - polled > std::chrono::milliseconds(20)) {
        polled = now;
        if ((*poll)()) throw Interrupted("interrupted");
      }
    }
  }
  check_fault(fault);
  for (std::size_t i = update_begin_; i < steps_.size(); ++i)
    steps_[i].fn(args + steps_[i].args, exec);
}

Program::Writing::Writing(const Program& program) : written_(program.written_) {
  if (written_.empty()) return;
  std::lock_guard lock(detail::snapshots_mutex());
  for (const auto& data : written_) {
    data->detach_snapshot();
    ++data->busy;
  }
}

Program::Writing::~Writing() {
  if (written_.empty()) return;
  std::lock_guard lock(detail::snapshots_mutex());
  for (const auto& data : written_) --data->busy;
}

std::vector<ProfileLine> Program::profile(int repeats, const std::function<void()>& feed) {
  using Clock = std::chrono::steady_clock;
  if (generation_ != detail::layout_generation()) emit();
  const GraphData& g = *graph_;
  std::vector<ProfileLine> lines(1);
  lines[0].op = "feed";
  for (std::size_t i = 0; i < g.inputs.size(); ++i) {
    if (input(i) == nullptr) continue;
    lines[0].outputs.push_back(g.inputs[i].spec);
    lines[0].bytes += 2 * static_cast<double>(bytes_of(g.inputs[i].spec));
  }
  for (std::size_t i = 0; i < update_begin_; ++i) {
    const Node& node = g.nodes[static_cast<std::size_t>(steps_[i].node)];
    const bool again = i > 0 && steps_[i - 1].node == steps_[i].node;
    ProfileLine line{node.op->name(), node.scope, node.outputs, 0, 0, 0};
    if (!again) {  // an op of several calls counts once
      std::vector<Spec> in;
      for (ValueRef v : node.inputs) in.push_back(g.spec(v));
      line.flops = node.op->flops(in, node.outputs);
      line.bytes = node.op->bytes(in, node.outputs);
    }
    lines.push_back(std::move(line));
  }
  lines.insert(lines.end(), updates_.begin(), updates_.end());

  std::vector<std::vector<double>> times(lines.size());
  int fault = 0;
  const kernels::Exec exec{num_threads(), &fault};
  for (int r = 0; r < std::max(repeats, 1); ++r) {
    auto begin = Clock::now();
    const auto lap = [&](std::size_t line) {
      const auto now = Clock::now();
      times[line].push_back(std::chrono::duration<double>(now - begin).count());
      begin = Clock::now();
    };
    feed();
    lap(0);
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      if (i == update_begin_) check_fault(fault);
      steps_[i].fn(args_.data() + steps_[i].args, exec);
      lap(1 + i);
    }
    check_fault(fault);
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    auto& t = times[i];
    const auto middle = t.begin() + static_cast<std::ptrdiff_t>(t.size() / 2);
    std::nth_element(t.begin(), middle, t.end());
    lines[i].seconds = *middle;
  }
  return lines;
}

}  // namespace lamella
