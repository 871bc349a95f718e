#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "lamella/ops.h"
#include "lamella/runtime.h"
#include "ops/op.h"
#include "optim/optimizer_impl.h"

namespace lamella {
namespace {

using kernels::OptimizerKind;

constexpr std::size_t kAlign = 64;

struct Rule {
  const char* name;
  OptimizerKind kind;
};
constexpr Rule kRules[] = {
    {"sgd", OptimizerKind::kSgd},         {"rmsprop", OptimizerKind::kRmsprop},
    {"adagrad", OptimizerKind::kAdagrad}, {"adadelta", OptimizerKind::kAdadelta},
    {"adam", OptimizerKind::kAdam},       {"adamax", OptimizerKind::kAdamax},
    {"nadam", OptimizerKind::kNadam},
};

struct CountArgs {
  std::int64_t* iterations;
  float* u_product;
  double beta_1;
};

/// The step counter, and Nadam's running product of momentum schedules.
void count_step(const void* raw, const kernels::Exec&) {
  const auto& a = *static_cast<const CountArgs*>(raw);
  ++*a.iterations;
  if (a.u_product != nullptr) {
    const double t = static_cast<double>(*a.iterations);
    *a.u_product = static_cast<float>(*a.u_product * a.beta_1 * (1 - 0.5 * std::pow(0.96, t)));
  }
}

}  // namespace

Optimizer::Optimizer(const std::string& kind, const OptimizerOptions& o)
    : state_(std::make_shared<OptimizerState>()) {
  const auto* rule = std::find_if(std::begin(kRules), std::end(kRules),
                                  [&](const Rule& r) { return kind == r.name; });
  check(rule != std::end(kRules), "optimizer: unknown kind '", kind,
        "'; expected sgd, rmsprop, adagrad, adadelta, adam, adamax or nadam");
  check((o.clip_norm > 0) + (o.clip_value > 0) + (o.global_clip_norm > 0) <= 1, kind,
        ": only one of clipnorm, clipvalue and global_clipnorm may be set");
  OptimizerState& s = *state_;
  s.kind_name = kind;
  s.kind = rule->kind;
  s.options = o;
  auto slot = [&](const char* name, int place) {
    s.slot_names.emplace_back(name);
    s.slot_places.push_back(place);
  };
  switch (s.kind) {
    case OptimizerKind::kSgd:
      if (o.momentum != 0) slot("momentum", 0);
      break;
    case OptimizerKind::kRmsprop:
      slot("velocity", 0);
      if (o.momentum > 0) slot("momentum", 1);
      if (o.centered) slot("average_gradient", 2);
      break;
    case OptimizerKind::kAdagrad:
      slot("accumulator", 0);
      break;
    case OptimizerKind::kAdadelta:
      slot("accumulated_grad", 0);
      slot("accumulated_delta_var", 1);
      break;
    case OptimizerKind::kAdamax:
      slot("momentum", 0);
      slot("norm", 1);
      break;
    default:
      slot("momentum", 0);
      slot("velocity", 1);
      if (s.kind == OptimizerKind::kAdam && o.amsgrad) slot("velocity_hat", 2);
  }
  s.iterations = Variable(Tensor::full(Shape{}, 0, DType::kInt64), "iteration", false);
  s.learning_rate =
      Variable(Tensor::full(Shape{}, o.learning_rate, DType::kFloat32), "learning_rate", false);
  if (s.kind == OptimizerKind::kNadam)
    s.u_product = Variable(Tensor::full(Shape{}, 1, DType::kFloat32), "u_product", false);
}

const std::string& Optimizer::kind() const { return state_->kind_name; }
const OptimizerOptions& Optimizer::options() const { return state_->options; }
bool Optimizer::built() const { return !state_->variables.empty(); }
const std::vector<Variable>& Optimizer::variables() const { return state_->variables; }
Variable Optimizer::iterations() const { return state_->iterations; }
Variable Optimizer::learning_rate() const { return state_->learning_rate; }
Variable Optimizer::u_product() const { return state_->u_product; }

void Optimizer::build(const std::vector<Variable>& variables) {
  OptimizerState& s = *state_;
  if (!s.variables.empty()) {
    for (const Variable& v : variables)
      check<StateError>(std::any_of(s.variables.begin(), s.variables.end(),
                                    [&](const Variable& known) { return same(known, v); }),
                        s.kind_name, ": this optimizer was built without variable '", v.name(),
                        "'; compile the model again with a new optimizer");
    return;
  }
  for (const Variable& v : variables)
    check<DTypeError>(is_floating(v.dtype()) && v.dtype() == variables[0].dtype(), s.kind_name,
                      ": all trainable variables must be of one float type, got ",
                      name(variables[0].dtype()), " and ", name(v.dtype()), " (", v.name(), ")");
  s.variables = variables;
  s.no_decay.assign(variables.size(), 0);
  for (std::size_t k = 0; k < s.slot_names.size(); ++k) {
    std::vector<Variable> list;
    const double start =
        s.kind == OptimizerKind::kAdagrad ? s.options.initial_accumulator_value : 0;
    for (const Variable& v : variables)
      list.emplace_back(Tensor::full(v.shape(), start, v.dtype()), v.name() + "_" + s.slot_names[k],
                        false);
    s.slots.push_back(std::move(list));
  }
}

std::vector<std::vector<std::pair<std::string, Variable>>> Optimizer::slots() const {
  std::vector<std::vector<std::pair<std::string, Variable>>> out(state_->variables.size());
  for (std::size_t i = 0; i < out.size(); ++i)
    for (std::size_t k = 0; k < state_->slots.size(); ++k)
      out[i].emplace_back(state_->slot_names[k], state_->slots[k][i]);
  return out;
}

void Optimizer::exclude_from_weight_decay(const std::vector<Variable>& variables) {
  for (std::size_t i = 0; i < state_->variables.size(); ++i)
    for (const Variable& v : variables)
      if (same(v, state_->variables[i])) state_->no_decay[i] = 1;
}

void Optimizer::apply(const std::vector<Tensor>& gradients) {
  OptimizerState& s = *state_;
  check(gradients.size() == s.variables.size(), s.kind_name, ": expected ", s.variables.size(),
        " gradients, got ", gradients.size());
  std::vector<Tensor> keep;
  std::vector<const void*> pointers;
  auto writable = [](const Variable& v) {
    if (!v.defined()) return;
    std::lock_guard lock(detail::snapshots_mutex());
    v.data()->detach_snapshot();
  };
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    writable(s.variables[i]);
    if (!gradients[i].defined()) {
      pointers.push_back(nullptr);
      continue;
    }
    check<ShapeError>(gradients[i].shape() == s.variables[i].shape(), s.kind_name,
                      ": gradient of shape ", gradients[i].shape(), " for variable ",
                      s.variables[i].name(), " of shape ", s.variables[i].shape());
    keep.push_back(ops::cast(gradients[i], s.variables[i].dtype()));
    pointers.push_back(keep.back().raw());
  }
  for (const auto& list : s.slots)
    for (const Variable& v : list) writable(v);
  writable(s.iterations);
  writable(s.u_product);
  int fault = 0;
  kernels::Exec exec{num_threads(), &fault};
  auto scratch = detail::allocate(s.scratch_bytes());
  s.lower(kernels::table(), pointers, s.learning_rate.data()->raw(), scratch->data,
          [&](auto fn, const void* args, std::size_t, std::size_t) { fn(args, exec); });
}

// ---------------------------------------------------------------- state

std::vector<std::size_t> OptimizerState::layout(std::size_t& total) const {
  std::vector<std::size_t> offsets;
  total = 0;
  for (const Variable& v : variables) {
    offsets.push_back(total);
    total += (v.data()->nbytes() + kAlign - 1) / kAlign * kAlign;
  }
  return offsets;
}

void OptimizerState::flatten() {
  std::size_t total;
  const auto offsets = layout(total);
  auto gather = [&](const std::vector<Variable>& list) {
    bool flat = true;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto& d = *list[i].data();
      flat =
          flat && d.home == list[0].data()->home && d.offset == list[0].data()->offset + offsets[i];
    }
    if (flat) return;
    auto block = detail::allocate(std::max<std::size_t>(total, 1));
    std::memset(block->data, 0, total);  // the gaps take part in updates, so they must be numbers
    for (std::size_t i = 0; i < list.size(); ++i) list[i].data()->rehome(block, offsets[i]);
  };
  gather(variables);
  for (const auto& list : slots) gather(list);
}

std::size_t OptimizerState::scratch_bytes() const {
  // A clip scale and a sum of squares per variable, and the reductions' partial sums.
  std::size_t bytes = (variables.size() + 1) * 2 * kAlign;
  if (options.clip_norm > 0 || options.global_clip_norm > 0) {
    std::size_t most = 0;
    for (const Variable& v : variables) {
      kernels::ReduceArgs r{};
      r.op = kernels::ReduceOp::kSumSquares;
      r.dtype = v.dtype();
      r.outer = r.inner = 1;
      r.n = v.shape().size();
      most = std::max(most, kernels::table().reduce_workspace(r));
    }
    bytes += most + kAlign;
  }
  return bytes;
}

void OptimizerState::lower(const kernels::KernelTable& k, const std::vector<const void*>& gradients,
                           const void* lr, void* scratch, const Call& call) const {
  const std::size_t n = variables.size();
  auto* bytes = static_cast<char*>(scratch);
  auto* scales = reinterpret_cast<double*>(bytes);
  char* sums = bytes + (n + 1) * kAlign;
  char* reduce_workspace = sums + (n + 1) * kAlign;
  auto run = [&](const auto& kernel, const auto& args) {
    call(kernel.fn, &args, sizeof args, alignof(std::decay_t<decltype(args)>));
  };

  if (options.clip_norm > 0 || options.global_clip_norm > 0) {
    std::int64_t used = 0;
    const std::size_t item = n > 0 ? size_of(variables[0].dtype()) : 4;
    for (std::size_t i = 0; i < n; ++i) {
      if (gradients[i] == nullptr) continue;
      const bool global = options.global_clip_norm > 0;
      kernels::ReduceArgs r{};
      r.op = kernels::ReduceOp::kSumSquares;
      r.dtype = variables[i].dtype();
      r.x = gradients[i];
      r.outer = r.inner = 1;
      r.n = variables[i].shape().size();
      // Global: partial sums lie next to each other; per variable: each in a place of its own.
      char* sum = global ? sums + static_cast<std::size_t>(used) * item : sums + i * kAlign;
      r.y = sum;
      r.workspace = reduce_workspace;
      run(k.reduce, r);
      ++used;
      if (!global)
        run(k.clip_scale, kernels::ClipScaleArgs{r.dtype, sum, 1, options.clip_norm, scales + i});
    }
    if (options.global_clip_norm > 0 && used > 0)
      run(k.clip_scale, kernels::ClipScaleArgs{variables[0].dtype(), sums, used,
                                               options.global_clip_norm, scales});
  }

  // Small neighbours in memory (parameter, gradient and slots alike) are updated by one call,
  // on one thread: the products around them run on one as well. Threads share the update of a large
  // variable, each with the rows that it has in the products, and of very many small ones.
  constexpr std::size_t kLarge = 1 << 16, kMany = 1 << 20;
  for (std::size_t i = 0; i < n;) {
    if (gradients[i] == nullptr) {
      ++i;
      continue;
    }
    const auto& first = *variables[i].data();
    std::size_t end = i + 1;
    std::size_t span = first.nbytes();
    if (options.clip_norm <= 0 && span < kLarge) {
      for (; end < n; ++end) {
        const auto& d = *variables[end].data();
        if (d.nbytes() >= kLarge) break;
        const auto distance = static_cast<std::size_t>(static_cast<const char*>(d.raw()) -
                                                       static_cast<const char*>(first.raw()));
        bool joined = d.home == first.home && gradients[end] != nullptr &&
                      no_decay[end] == no_decay[i] &&
                      distance == (span + kAlign - 1) / kAlign * kAlign &&
                      static_cast<const char*>(gradients[end]) ==
                          static_cast<const char*>(gradients[i]) + distance;
        for (const auto& list : slots)
          joined = joined && list[end].data()->home == list[i].data()->home &&
                   list[end].data()->offset == list[i].data()->offset + distance;
        if (!joined) break;
        span = distance + d.nbytes();
      }
    }
    kernels::OptimizerArgs a{};
    a.kind = kind;
    a.dtype = first.spec.dtype;
    a.n = static_cast<std::int64_t>(span / size_of(a.dtype));
    a.p = first.raw();
    a.g = gradients[i];
    for (std::size_t s = 0; s < slots.size(); ++s)
      a.slot[slot_places[s]] = slots[s][i].data()->raw();
    a.lr = lr;
    a.step = static_cast<const std::int64_t*>(iterations.data()->raw());
    a.u_product = u_product.defined() ? u_product.data()->raw() : nullptr;
    a.grad_scale = options.clip_norm > 0          ? scales + i
                   : options.global_clip_norm > 0 ? scales
                                                  : nullptr;
    a.clip_value = options.clip_value;
    a.weight_decay = no_decay[i] ? 0 : options.weight_decay;
    a.momentum = options.momentum;
    a.rho = options.rho;
    a.beta_1 = options.beta_1;
    a.beta_2 = options.beta_2;
    a.epsilon = options.epsilon;
    a.nesterov = options.nesterov;
    a.centered = options.centered;
    a.amsgrad = options.amsgrad;
    a.shared = first.nbytes() >= kLarge || span >= kMany;
    run(k.optimizer, a);
    i = end;
  }
  const CountArgs count{
      static_cast<std::int64_t*>(iterations.data()->raw()),
      u_product.defined() ? static_cast<float*>(u_product.data()->raw()) : nullptr, options.beta_1};
  call(&count_step, &count, sizeof count, alignof(CountArgs));
}

}  // namespace lamella
