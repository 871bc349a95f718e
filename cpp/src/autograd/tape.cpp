#include "autograd/tape.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <unordered_map>

#include "lamella/autograd.h"
#include "lamella/ops.h"
#include "tensor/tensor_impl.h"

namespace lamella {
namespace {

thread_local bool enabled = true;
std::atomic<std::uint64_t> next_sequence{1};

}  // namespace

bool grad_enabled() { return enabled; }
GradMode::GradMode(bool on) : before_(enabled) { enabled = on; }
GradMode::~GradMode() { enabled = before_; }

TapeNode::~TapeNode() {
  // Dropping `inputs` may drop the last reference to their producers, and so on down the tape. The
  // outermost destructor of this thread empties a list instead of recursing.
  thread_local std::vector<std::vector<Tensor>>* pending = nullptr;
  if (pending != nullptr) {
    pending->push_back(std::move(inputs));
    return;
  }
  std::vector<std::vector<Tensor>> list;
  pending = &list;
  list.push_back(std::move(inputs));
  while (!list.empty()) {
    std::vector<Tensor> dying = std::move(list.back());
    list.pop_back();
    dying.clear();
  }
  pending = nullptr;
}

void record_on_tape(const OpPtr& op, std::span<const Tensor> in, std::span<Tensor> out) {
  if (!enabled) return;
  bool any = false;
  for (const Tensor& t : in) any = any || t.requires_grad();
  if (!any) return;
  auto node = std::make_shared<TapeNode>();
  node->op = op;
  node->inputs.assign(in.begin(), in.end());
  node->sequence = next_sequence.fetch_add(1, std::memory_order_relaxed);
  bool floating = false;
  for (const Tensor& t : out) {
    node->outputs.push_back(detail::view(t, t.shape()));
    floating = floating || is_floating(t.dtype());
  }
  if (!floating) return;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!is_floating(out[i].dtype())) continue;
    auto& impl = *out[i].impl();
    impl.requires_grad = true;
    impl.tape = node;
    impl.tape_index = static_cast<int>(i);
  }
}

namespace {

struct Pending {
  std::shared_ptr<TapeNode> node;
  std::vector<Tensor> grads;
};

void accumulate(Tensor& into, const Tensor& g) { into = into.defined() ? ops::add(into, g) : g; }

using LeafSink = std::function<void(const Tensor& leaf, const Tensor& grad)>;

/// Walks from the roots in decreasing order of recording; hands leaf gradients to `sink`.
/// `wanted`: non-leaf tensors whose gradient is asked for, by (tape node, output).
void walk(std::span<const Tensor> roots, std::span<const Tensor> root_grads, bool retain,
          bool create_graph, const LeafSink& sink,
          std::map<std::pair<const TapeNode*, int>, Tensor>* wanted) {
  GradMode mode(create_graph);
  std::map<std::uint64_t, Pending, std::greater<>> queue;
  auto push = [&](const Tensor& t, const Tensor& g) {
    const auto& impl = *t.impl();
    if (!impl.requires_grad) return;
    if (impl.tape == nullptr) {
      sink(t, g);
      return;
    }
    check<StateError>(!impl.tape->released,
                      "backward: the tape of this result was already freed by an earlier "
                      "backward(); pass retain_graph=True to the first call");
    Pending& p = queue[impl.tape->sequence];
    if (!p.node) {
      p.node = impl.tape;
      p.grads.resize(impl.tape->outputs.size());
    }
    accumulate(p.grads[static_cast<std::size_t>(impl.tape_index)], g);
  };
  for (std::size_t i = 0; i < roots.size(); ++i) push(roots[i], root_grads[i]);

  while (!queue.empty()) {
    auto first = queue.begin();
    Pending p = std::move(first->second);
    queue.erase(first);
    TapeNode& node = *p.node;
    for (std::size_t i = 0; i < node.hooks.size(); ++i) {
      const TapeNode::Hook hook = node.hooks[i];  // a copy: a hook may remove itself
      Tensor& g = p.grads[static_cast<std::size_t>(hook.output)];
      if (!g.defined()) continue;
      if (const Tensor changed = hook.call(g); changed.defined()) g = changed;
    }
    if (wanted != nullptr) {
      for (std::size_t i = 0; i < p.grads.size(); ++i) {
        auto it = wanted->find({&node, static_cast<int>(i)});
        if (it != wanted->end()) it->second = p.grads[i];
      }
    }
    const std::size_t n = node.inputs.size();
    auto needs = std::make_unique<bool[]>(n);
    for (std::size_t i = 0; i < n; ++i) needs[i] = node.inputs[i].requires_grad();
    // Outputs as the vjp sees them: connected to this node when the result is differentiated again.
    std::vector<Tensor> outputs;
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      Tensor o = detail::view(node.outputs[i], node.outputs[i].shape());
      if (create_graph && is_floating(o.dtype())) {
        o.impl()->requires_grad = true;
        o.impl()->tape = p.node;
        o.impl()->tape_index = static_cast<int>(i);
      }
      outputs.push_back(o);
    }
    std::vector<Tensor> result(n);
    node.op->vjp({node.inputs, outputs, p.grads, std::span<const bool>(needs.get(), n), result});
    for (std::size_t i = 0; i < n; ++i)
      if (needs[i] && result[i].defined()) push(node.inputs[i], result[i]);
    if (!retain) {
      std::vector<Tensor> dying = std::move(node.inputs);
      node.inputs.clear();
      node.outputs.clear();
      node.released = true;
    }
  }
}

Tensor initial_gradient(const Tensor& root, const Tensor& given) {
  check<StateError>(root.requires_grad(),
                    "backward: this tensor does not depend on anything that requires a gradient");
  if (given.defined()) {
    check<ShapeError>(given.shape() == root.shape(), "backward: expected a gradient of shape ",
                      root.shape(), ", got ", given.shape());
    return given.dtype() == root.dtype() ? given : ops::cast(given, root.dtype());
  }
  check<ShapeError>(root.size() == 1, "backward: a gradient is needed for a result of shape ",
                    root.shape(), "; only a result with one element has the default gradient 1");
  return Tensor::full(root.shape(), 1, root.dtype());
}

void add_gradient(detail::GradSlot& slot, const Tensor& grad, bool create_graph) {
  GradMode mode(create_graph);
  if (slot.grad.defined())
    slot.grad = ops::add(slot.grad, grad);
  else  // a handle of its own, so that a later accumulation never writes into a shared result
    slot.grad = create_graph ? grad : grad.detach();
}

}  // namespace

void backward(const Tensor& root, const Tensor& gradient, bool retain_graph, bool create_graph) {
  check<StateError>(!root.is_symbolic(), "backward: not for traced tensors; set the Graph's loss");
  const Tensor g = initial_gradient(root, gradient);
  // Leaves with hooks: these see the sum of all contributions.
  std::vector<std::pair<std::shared_ptr<detail::GradSlot>, Tensor>> hooked;
  walk(
      {&root, 1}, {&g, 1}, retain_graph || create_graph, create_graph,
      [&](const Tensor& leaf, const Tensor& grad) {
        auto& slot = leaf.impl()->slot;
        if (!slot) slot = std::make_shared<detail::GradSlot>();
        if (!slot->hooks.empty()) {
          auto it = std::find_if(hooked.begin(), hooked.end(),
                                 [&](const auto& h) { return h.first == slot; });
          if (it == hooked.end()) it = hooked.insert(it, {slot, Tensor()});
          accumulate(it->second, grad);
          return;
        }
        add_gradient(*slot, grad, create_graph);
      },
      nullptr);
  for (auto& [slot, grad] : hooked) {
    const auto hooks = slot->hooks;
    for (const auto& [id, hook] : hooks)
      if (const Tensor changed = hook(grad); changed.defined()) grad = changed;
    add_gradient(*slot, grad, create_graph);
  }
}

std::vector<Tensor> gradients(std::span<const Tensor> roots, std::span<const Tensor> inputs,
                              std::span<const Tensor> root_gradients, bool retain_graph,
                              bool create_graph) {
  std::vector<Tensor> starts;
  for (std::size_t i = 0; i < roots.size(); ++i)
    starts.push_back(
        initial_gradient(roots[i], i < root_gradients.size() ? root_gradients[i] : Tensor()));
  std::map<std::pair<const TapeNode*, int>, Tensor> wanted;
  std::unordered_map<const detail::GradSlot*, Tensor> leaves;
  for (const Tensor& t : inputs) {
    check<StateError>(t.requires_grad(), "gradients: an input does not require a gradient");
    if (t.is_leaf())
      leaves[t.impl()->slot.get()] = Tensor();
    else
      wanted[{t.impl()->tape.get(), t.impl()->tape_index}] = Tensor();
  }
  walk(
      roots, starts, retain_graph || create_graph, create_graph,
      [&](const Tensor& leaf, const Tensor& grad) {
        auto it = leaves.find(leaf.impl()->slot.get());
        if (it == leaves.end()) return;
        GradMode mode(create_graph);
        accumulate(it->second, grad);
      },
      &wanted);
  std::vector<Tensor> result;
  for (const Tensor& t : inputs)
    result.push_back(t.is_leaf() ? leaves[t.impl()->slot.get()]
                                 : wanted[{t.impl()->tape.get(), t.impl()->tape_index}]);
  return result;
}

GradCheckResult gradcheck(const std::function<std::vector<Tensor>(std::span<const Tensor>)>& f,
                          std::span<const Tensor> inputs, const GradCheckOptions& options) {
  std::vector<Tensor> x;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check<DTypeError>(inputs[i].dtype() == DType::kFloat64, "gradcheck: input ", i,
                      " must be float64, got ", name(inputs[i].dtype()));
    x.push_back(Tensor::copy_of(inputs[i].raw(), static_cast<std::size_t>(inputs[i].size()),
                                inputs[i].shape(), DType::kFloat64));
    x.back().set_requires_grad(true);
  }
  // A random cotangent: with a plain sum a constant error could cancel (softmax has gradient zero).
  std::mt19937_64 generator(options.seed + 1);
  std::normal_distribution<double> normal;
  std::vector<Tensor> out;
  {
    GradMode on(true);
    out = f(x);
  }
  std::vector<Tensor> roots, cotangents;
  std::vector<std::vector<double>> weights;
  for (const Tensor& y : out) {
    check<DTypeError>(y.dtype() == DType::kFloat64, "gradcheck: an output is ", name(y.dtype()),
                      ", expected float64");
    std::vector<double> w(static_cast<std::size_t>(y.size()));
    for (double& v : w) v = normal(generator);
    weights.push_back(w);
    if (!y.requires_grad()) continue;
    roots.push_back(y);
    cotangents.push_back(Tensor::from(w, y.shape()));
  }
  std::vector<Tensor> analytic(x.size());
  if (!roots.empty()) analytic = gradients(roots, x, cotangents);

  auto objective = [&](std::span<const Tensor> at) {
    GradMode off(false);
    std::vector<Tensor> y = f(at);
    long double total = 0;
    for (std::size_t o = 0; o < y.size(); ++o) {
      const double* p = y[o].data<double>();
      for (std::size_t i = 0; i < weights[o].size(); ++i) total += weights[o][i] * p[i];
    }
    return static_cast<double>(total);
  };

  GradCheckResult result;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::vector<double> base = x[i].to_vector<double>();
    for (std::size_t e = 0; e < base.size(); ++e) {
      const double h = options.step * std::max(1.0, std::abs(base[e]));
      auto shifted = [&](double delta) {
        std::vector<double> moved = base;
        moved[e] += delta;
        std::vector<Tensor> at(x.begin(), x.end());
        at[i] = Tensor::from(moved, x[i].shape());
        return objective(at);
      };
      const double numeric = (shifted(h) - shifted(-h)) / (2 * h);
      const double exact = analytic[i].defined() ? analytic[i].data<double>()[e] : 0.0;
      const double error =
          std::abs(exact - numeric) / (options.atol + options.rtol * std::abs(numeric));
      if (error > result.max_error || std::isnan(error)) {
        result.max_error = error;
        if (!(error <= 1)) {
          result.ok = false;
          result.message = detail::format("gradcheck: input ", i, ", element ", e, ": gradient ",
                                          exact, ", central difference ", numeric);
        }
        if (std::isnan(error)) return result;
      }
    }
  }
  return result;
}

}  // namespace lamella
