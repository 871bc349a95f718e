// Recurrent cells backward, from the last step to the first: one pass over the gates and one
// product with the packed transposed recurrent kernel for each step. The gradient to the kernel
// itself is left to one large product over all steps (ops/recurrent.cpp).
#include <cstring>

#include "backend/cpu/kernel_list.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/recurrent.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using i64 = std::int64_t;

/// The workspace: packed kernels, and what each row carries from step to step.
template <class T>
struct Scratch {
  PackedOperand<T> kernel;     // kGru: of the gates z and r
  PackedOperand<T> candidate;  // kGru: of the gate h
  i64 ld;                      // of dgates
  T* dstate;                   // (batch, padded)
  T* dcarry;                   // LSTM (batch, padded)
  T* doutput;                  // with a mask (batch, padded): of outputs that repeat an earlier one
  T* dreset;                   // kGru (batch, padded): of state times reset gate
  T* dgates;                   // (batch, ld): of the gates before their activations
  i64* first;                  // with a mask (batch): the first step that is not masked
  std::size_t bytes;

  Scratch(const RecurrentGradArgs& p, void* memory) {
    Pieces pieces(memory);
    const i64 padded = pad_to_vector<T>(p.units);
    const i64 gates = gates_of(p.cell);
    const bool split = p.cell == RecurrentCell::kGru;
    const i64 masked = p.mask != nullptr ? p.batch : 0;
    ld = pad_to_vector<T>(gates * p.units);
    kernel.k = (split ? 2 : gates) * p.units;
    candidate.k = p.units;
    kernel.data = pieces.take<T>(kernel.k * padded);
    candidate.data = pieces.take<T>(split ? candidate.k * padded : 0);
    dstate = pieces.take<T>(p.batch * padded);
    dcarry = pieces.take<T>(p.cell == RecurrentCell::kLstm ? p.batch * padded : 0);
    doutput = pieces.take<T>(masked * padded);
    dreset = pieces.take<T>(split ? p.batch * padded : 0);
    dgates = pieces.take<T>(p.batch * ld);
    first = pieces.take<i64>(masked);
    bytes = pieces.bytes();
  }
};

template <class T, bool kUsual>
class Backward {
  using V = Vec<T>;
  static constexpr i64 kW = V::kWidth;

 public:
  Backward(const RecurrentGradArgs& p, const Scratch<T>& w)
      : p_(p), w_(w), f_{p.act, p.recurrent_act} {}

  void run(i64 begin, i64 end) {
    begin_ = begin;
    end_ = end;
    load_rows(p_.dh_last, w_.dstate);
    if (p_.cell == RecurrentCell::kLstm) load_rows(p_.dc_last, w_.dcarry);
    if (p_.mask != nullptr) {
      load_rows(nullptr, w_.doutput);
      for (i64 b = begin; b < end; ++b) {
        i64& s = w_.first[b];
        for (s = 0; s < p_.time && !p_.mask[b * p_.time + time_of(s)];) ++s;
      }
    }
    for (step_ = p_.time - 1; step_ >= 0; --step_) {
      time_ = time_of(step_);
      step();
    }
    store_rows(w_.dstate, p_.dh0);
    if (p_.cell == RecurrentCell::kLstm) store_rows(w_.dcarry, p_.dc0);
  }

 private:
  /// Where one row of the batch stands at this step.
  struct Row {
    const T* gates;
    const T* memory;
    const T* state;      // before this step
    const T* carry;      // before this step
    const T* dsequence;  // or null
    T* dstate;
    T* dcarry;
    T* doutput;
    T* dreset;
    T* dgates;
    T* dx;
    T* previous;
    T* other;
  };

  i64 time_of(i64 s) const { return p_.backwards ? p_.time - 1 - s : s; }

  void step() {
    switch (p_.cell) {
      case RecurrentCell::kSimple:
        for_rows([&](const Row& r) { simple(r); });
        break;
      case RecurrentCell::kLstm:
        for_rows([&](const Row& r) { lstm(r); });
        break;
      case RecurrentCell::kGruResetAfter:
        for_rows([&](const Row& r) { gru_reset_after(r); });
        break;
      case RecurrentCell::kGru:
        for_rows([&](const Row& r) { gru_candidate(r); });
        multiply(w_.dgates + 2 * p_.units, w_.candidate, w_.dreset, false);
        for_rows([&](const Row& r) { gru_reset(r); }, false);
        break;
    }
    multiply(w_.dgates, w_.kernel, w_.dstate, true);
  }

  void multiply(const T* a, const PackedOperand<T>& b, T* c, bool add) {
    multiply_packed(end_ - begin_, a + begin_ * w_.ld, w_.ld, b, c + begin_ * padded_, padded_,
                    add);
  }

  /// f for every row that is not masked; `first_pass` serves the others.
  template <class F>
  void for_rows(F&& f, bool first_pass = true) {
    const i64 u = p_.units;
    for (i64 b = begin_; b < end_; ++b) {
      const i64 at = b * p_.time + time_;
      const i64 out = b * p_.time + step_;
      Row r;
      r.dsequence = at_or_null<T>(p_.dsequence, out * u);
      r.doutput = w_.doutput + b * padded_;
      r.dgates = w_.dgates + b * w_.ld;
      r.dx = static_cast<T*>(p_.dx) + at * gates_ * u;
      r.previous = static_cast<T*>(p_.previous) + at * u;
      r.other = at_or_null<T>(p_.other, at * u);
      if (p_.mask != nullptr && !p_.mask[at]) {
        if (first_pass) skip(r);
        continue;
      }
      const bool start = p_.mask == nullptr ? step_ == 0 : step_ == w_.first[b];
      r.gates = static_cast<const T*>(p_.gates) + at * gates_ * u;
      r.memory = at_or_null<T>(p_.memory, at * u);
      r.state = start ? static_cast<const T*>(p_.h0) + b * u
                      : static_cast<const T*>(p_.sequence) + (out - 1) * u;
      r.carry = step_ == 0 ? at_or_null<T>(p_.c0, b * u)
                           : at_or_null<T>(p_.memory, (b * p_.time + time_of(step_ - 1)) * u);
      r.dstate = w_.dstate + b * padded_;
      r.dcarry = w_.dcarry + b * padded_;
      r.dreset = w_.dreset + b * padded_;
      f(r);
    }
  }

  /// A masked step: its output repeats the one before, its state is the one before.
  void skip(const Row& r) {
    const i64 u = p_.units;
    if (r.dsequence != nullptr) {
      for (i64 j = 0; j < u; ++j) r.doutput[j] += r.dsequence[j];
    }
    std::fill_n(r.dgates, gates_ * u, T(0));
    std::fill_n(r.dx, gates_ * u, T(0));
    std::fill_n(r.previous, u, T(0));
    if (gates_ == 3) std::fill_n(r.other, u, T(0));
  }

  /// The gradient to the state after this step, its output included.
  V state_gradient(const Row& r, i64 j, i64 n) const {
    V d = V::load(r.dstate + j);
    if (r.dsequence != nullptr) d = d + load_some(r.dsequence + j, n);
    if (p_.mask != nullptr) {
      d = d + V::load(r.doutput + j);
      V::zero().store(r.doutput + j);
    }
    return d;
  }
  V gate(const Row& r, i64 g, i64 j, i64 n) const {
    return load_some(r.gates + g * p_.units + j, n);
  }
  /// The gradient of gate g goes to the projected input and to the product with the kernel.
  void keep(const Row& r, i64 g, V d, i64 j, i64 n) const {
    store_some(d, r.dx + g * p_.units + j, n);
    store_some(d, r.dgates + g * p_.units + j, n);
  }

  void simple(const Row& r) {
    for (i64 j = 0; j < p_.units; j += kW) {
      const i64 n = p_.units - j;
      const V d = state_gradient(r, j, n);
      V::zero().store(r.dstate + j);
      keep(r, 0, d * f_.activate_slope(gate(r, 0, j, n)), j, n);
      store_some(load_some(r.state + j, n), r.previous + j, n);
    }
  }

  void lstm(const Row& r) {
    for (i64 j = 0; j < p_.units; j += kW) {
      const i64 n = p_.units - j;
      const V i = gate(r, 0, j, n);
      const V f = gate(r, 1, j, n);
      const V g = gate(r, 2, j, n);
      const V o = gate(r, 3, j, n);
      const V y = f_.activate(load_some(r.memory + j, n));
      const V d = state_gradient(r, j, n);
      V::zero().store(r.dstate + j);
      const V dc = fma(d * o, f_.activate_slope(y), V::load(r.dcarry + j));
      (dc * f).store(r.dcarry + j);
      keep(r, 0, dc * g * f_.gate_slope(i), j, n);
      keep(r, 1, dc * load_some(r.carry + j, n) * f_.gate_slope(f), j, n);
      keep(r, 2, dc * i * f_.activate_slope(g), j, n);
      keep(r, 3, d * y * f_.gate_slope(o), j, n);
      store_some(load_some(r.state + j, n), r.previous + j, n);
    }
  }

  void gru_reset_after(const Row& r) {
    for (i64 j = 0; j < p_.units; j += kW) {
      const i64 n = p_.units - j;
      const V z = gate(r, 0, j, n);
      const V reset = gate(r, 1, j, n);
      const V g = gate(r, 2, j, n);
      const V h = load_some(r.state + j, n);
      const V d = state_gradient(r, j, n);
      (d * z).store(r.dstate + j);
      const V dg = (d - d * z) * f_.activate_slope(g);
      const V inner = dg * reset;
      keep(r, 0, d * (h - g) * f_.gate_slope(z), j, n);
      keep(r, 1, dg * load_some(r.memory + j, n) * f_.gate_slope(reset), j, n);
      store_some(dg, r.dx + 2 * p_.units + j, n);
      store_some(inner, r.dgates + 2 * p_.units + j, n);
      store_some(inner, r.other + j, n);
      store_some(h, r.previous + j, n);
    }
  }

  void gru_candidate(const Row& r) {
    for (i64 j = 0; j < p_.units; j += kW) {
      const i64 n = p_.units - j;
      const V z = gate(r, 0, j, n);
      const V g = gate(r, 2, j, n);
      const V h = load_some(r.state + j, n);
      const V d = state_gradient(r, j, n);
      (d * z).store(r.dstate + j);
      keep(r, 0, d * (h - g) * f_.gate_slope(z), j, n);
      keep(r, 2, (d - d * z) * f_.activate_slope(g), j, n);
      store_some(h, r.previous + j, n);
    }
  }

  void gru_reset(const Row& r) {
    for (i64 j = 0; j < p_.units; j += kW) {
      const i64 n = p_.units - j;
      const V reset = gate(r, 1, j, n);
      const V h = load_some(r.state + j, n);
      const V d = V::load(r.dreset + j);
      fma(d, reset, V::load(r.dstate + j)).store(r.dstate + j);
      keep(r, 1, d * h * f_.gate_slope(reset), j, n);
      store_some(h * reset, r.other + j, n);
    }
  }

  /// Zeros without `from`.
  void load_rows(const void* from, T* to) const {
    const i64 u = p_.units;
    std::fill(to + begin_ * padded_, to + end_ * padded_, T(0));
    if (from == nullptr) return;
    for (i64 b = begin_; b < end_; ++b) {
      std::copy_n(static_cast<const T*>(from) + b * u, u, to + b * padded_);
    }
  }
  void store_rows(const T* from, void* to) const {
    for (i64 b = begin_; b < end_; ++b) {
      std::copy_n(from + b * padded_, p_.units, static_cast<T*>(to) + b * p_.units);
    }
  }

  const RecurrentGradArgs& p_;
  const Scratch<T>& w_;
  const Gates<T, kUsual> f_;
  const i64 gates_ = gates_of(p_.cell);
  const i64 padded_ = pad_to_vector<T>(p_.units);
  i64 begin_ = 0, end_ = 0, step_ = 0, time_ = 0;
};

template <class T>
void backward(const RecurrentGradArgs& p, const Exec& exec) {
  Scratch<T> w(p, p.workspace);
  const auto* u = static_cast<const T*>(p.kernel);
  const i64 gates = gates_of(p.cell);
  pack_transposed(u, gates * p.units, p.units, w.kernel);
  if (p.cell == RecurrentCell::kGru) {
    pack_transposed(u + 2 * p.units, gates * p.units, p.units, w.candidate);
  }
  const bool usual =
      p.act == GateActivation::kTanh &&
      (p.recurrent_act == GateActivation::kSigmoid || p.cell == RecurrentCell::kSimple);
  parallel_for(exec, p.batch, recurrent_chunk(p.batch, p.time, p.units, gates),
               [&](i64 begin, i64 end) {
                 if (usual) {
                   Backward<T, true>(p, w).run(begin, end);
                 } else {
                   Backward<T, false>(p, w).run(begin, end);
                 }
               });
}

}  // namespace

std::size_t recurrent_grad_workspace(const RecurrentGradArgs& p) {
  return p.dtype == DType::kFloat32 ? Scratch<float>(p, nullptr).bytes
                                    : Scratch<double>(p, nullptr).bytes;
}

void recurrent_grad_kernel(const RecurrentGradArgs& p, const Exec& exec) {
  if (p.batch <= 0 || p.units <= 0) return;
  if (p.dtype == DType::kFloat32) {
    backward<float>(p, exec);
  } else {
    backward<double>(p, exec);
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
