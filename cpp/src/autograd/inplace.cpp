#include "lamella/inplace.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <string_view>
#include <utility>

#include "autograd/tape.h"
#include "lamella/autograd.h"
#include "lamella/ops.h"
#include "tensor/tensor_impl.h"

namespace lamella {

using detail::TensorImpl;

void rebind(Tensor& t, const Tensor& value, bool keep_history) {
  const TensorImpl& old = *t.impl();
  auto impl = std::make_shared<TensorImpl>(*value.impl());
  if (old.storage->pinned && old.shape == impl->shape && old.dtype == impl->dtype) {
    std::memmove(static_cast<char*>(old.storage->data) + old.offset, value.raw(), value.nbytes());
    impl->storage = old.storage;
    impl->offset = old.offset;
  }
  if (keep_history) {
    impl->requires_grad = old.requires_grad;
    impl->tape = old.tape;
    impl->tape_index = old.tape_index;
    impl->slot = old.slot;
  }
  t = Tensor(std::move(impl));
}

void pin_memory(const Tensor& t) {
  t.share_storage();
  t.impl()->storage->pinned = true;
}

void* writable_elements(Tensor& t) {
  const detail::Storage& s = *t.impl()->storage;
  const bool alone = t.impl().use_count() == 1 && t.impl()->storage.use_count() == 1;
  if (!s.pinned && (!alone || !s.writable || s.borrowed)) {
    const auto count = static_cast<std::size_t>(t.size());
    rebind(t, Tensor::copy_of(t.raw(), count, t.shape(), t.dtype()), true);
  }
  return static_cast<char*>(t.impl()->storage->data) + t.impl()->offset;
}

namespace {

std::atomic<std::int64_t> next_hook{1};

detail::GradSlot& slot_of(const Tensor& t) {
  auto& slot = t.impl()->slot;
  if (!slot) slot = std::make_shared<detail::GradSlot>();
  return *slot;
}

struct Custom final : OpBase<Custom> {
  static constexpr const char* kName = "custom";
  std::string text;
  VjpFunction function;

  const char* name() const override { return text.c_str(); }
  std::vector<Spec> infer(std::span<const Spec>) const override {
    throw StateError(text + ": a custom gradient cannot be traced");
  }
  void lower(Lowering&) const override {
    throw StateError(text + ": a custom gradient cannot be traced");
  }
  void vjp(const Vjp& v) const override {
    std::vector<Tensor> grads(v.grad.begin(), v.grad.end());
    for (std::size_t i = 0; i < grads.size(); ++i)
      if (!grads[i].defined()) grads[i] = Tensor::zeros(v.out[i].shape(), v.out[i].dtype());
    const std::vector<Tensor> result = function(grads);
    check<StateError>(result.size() == v.result.size(), text, ": expected ", v.result.size(),
                      " gradients, got ", result.size());
    std::copy(result.begin(), result.end(), v.result.begin());
  }
};

}  // namespace

std::int64_t add_hook(const Tensor& t, GradientHook hook) {
  check<StateError>(t.requires_grad(), "register_hook: this tensor does not require a gradient");
  const std::int64_t id = next_hook.fetch_add(1, std::memory_order_relaxed);
  if (const auto& node = t.impl()->tape)
    node->hooks.push_back({id, t.impl()->tape_index, std::move(hook)});
  else
    slot_of(t).hooks.emplace_back(id, std::move(hook));
  return id;
}

void remove_hook(const Tensor& t, std::int64_t id) {
  if (const auto& node = t.impl()->tape)
    std::erase_if(node->hooks, [&](const auto& h) { return h.id == id; });
  else
    std::erase_if(slot_of(t).hooks, [&](const auto& h) { return h.first == id; });
}

void retain_gradient(const Tensor& t) {
  check<StateError>(t.requires_grad(), "retain_grad: this tensor does not require a gradient");
  if (t.is_leaf() || t.impl()->slot) return;
  slot_of(t);
  add_hook(t, [slot = t.impl()->slot](const Tensor& g) {
    slot->grad = slot->grad.defined() ? ops::add(slot->grad, g) : g.detach();
    return Tensor();
  });
}

void clear_gradient(const Tensor& t) {
  if (t.impl()->slot) t.impl()->slot->grad = Tensor();
}

namespace {

/// The first choice among an op's attributes: which function an elementwise op or a reduction is.
struct FirstChoice final : AttrVisitor {
  std::string found;
  void attr(const char*, std::int64_t&) override {}
  void attr(const char*, double&) override {}
  void attr(const char*, bool&) override {}
  void attr(const char*, std::vector<std::int64_t>&) override {}
  void attr(const char*, std::vector<Dim>&) override {}
  void attr(const char*, Tensor&) override {}
  void choice(const char* key, int& value, std::span<const char* const> names) override {
    if (found.empty() && std::string_view(key) == "op")
      found = names[static_cast<std::size_t>(value)];
  }
};

}  // namespace

std::string producer(const Tensor& t) {
  const auto& node = t.impl()->tape;
  if (!node) return "";
  FirstChoice choice;
  const_cast<Op&>(*node->op).visit(choice);  // the visitor only looks
  return choice.found.empty() ? node->op->name() : choice.found;
}

std::vector<Tensor> record_custom(std::string name, std::span<const Tensor> inputs,
                                  std::span<const Tensor> outputs, VjpFunction vjp) {
  auto op = std::make_shared<Custom>();
  op->text = std::move(name);
  op->function = std::move(vjp);
  std::vector<Tensor> out;
  for (const Tensor& t : outputs) out.push_back(t.detach());
  record_on_tape(op, inputs, out);
  return out;
}

}  // namespace lamella
