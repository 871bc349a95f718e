// Recurrent cells forward. A chunk of rows goes through all time steps on its own: one product of
// the state with the packed recurrent kernel and one pass over the gates for each step.
#include <cstring>

#include "backend/cpu/kernel_list.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/recurrent.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using i64 = std::int64_t;

/// The workspace: packed kernels, and what each row carries from step to step in padded rows.
template <class T>
struct Scratch {
  PackedOperand<T> kernel;     // kGru: of the gates z and r
  PackedOperand<T> candidate;  // kGru: of the gate h
  T* state;                    // (batch, padded)
  T* carry;                    // LSTM (batch, padded)
  T* reset;                    // kGru: state times reset gate (batch, padded)
  T* product;                  // state times kernel (batch, gates * padded)
  std::size_t bytes;

  Scratch(const RecurrentArgs& p, void* memory) {
    Pieces pieces(memory);
    const i64 padded = pad_to_vector<T>(p.units);
    const i64 gates = gates_of(p.cell);
    const bool split = p.cell == RecurrentCell::kGru;
    kernel.k = candidate.k = p.units;
    kernel.data = pieces.take<T>(p.units * padded * (split ? 2 : gates));
    candidate.data = pieces.take<T>(split ? p.units * padded : 0);
    state = pieces.take<T>(p.batch * padded);
    carry = pieces.take<T>(p.cell == RecurrentCell::kLstm ? p.batch * padded : 0);
    reset = pieces.take<T>(split ? p.batch * padded : 0);
    product = pieces.take<T>(p.batch * gates * padded);
    bytes = pieces.bytes();
  }
};

template <class T, bool kUsual>
class Forward {
  using V = Vec<T>;
  static constexpr i64 kW = V::kWidth;

 public:
  Forward(const RecurrentArgs& p, const Scratch<T>& w) : p_(p), w_(w), f_{p.act, p.recurrent_act} {}

  void run(i64 begin, i64 end) {
    begin_ = begin;
    end_ = end;
    load_rows(p_.h0, w_.state);
    if (p_.cell == RecurrentCell::kLstm) load_rows(p_.c0, w_.carry);
    for (i64 s = 0; s < p_.time; ++s) {
      step_ = s;
      time_ = p_.backwards ? p_.time - 1 - s : s;
      step();
    }
    store_rows(w_.state, p_.h_last);
    if (p_.cell == RecurrentCell::kLstm) store_rows(w_.carry, p_.c_last);
  }

 private:
  /// Where one row of the batch stands at this step.
  struct Row {
    const T* x;
    T* gates;     // or null
    T* memory;    // or null
    T* sequence;  // or null
    T* state;
    T* carry;
    T* reset;
    const T* product;
  };

  void step() {
    multiply(w_.state, w_.kernel, 0);
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
        for_rows([&](const Row& r) { gru_gates(r); });
        multiply(w_.reset, w_.candidate, 2 * padded_);
        for_rows([&](const Row& r) { gru_candidate(r); });
        break;
    }
  }

  void multiply(const T* a, const PackedOperand<T>& b, i64 column) {
    multiply_packed(end_ - begin_, a + begin_ * padded_, padded_, b,
                    w_.product + begin_ * gates_ * padded_ + column, gates_ * padded_, false);
  }

  template <class F>
  void for_rows(F&& f) {
    const i64 u = p_.units;
    for (i64 b = begin_; b < end_; ++b) {
      const i64 at = b * p_.time + time_;
      Row r;
      r.sequence = at_or_null<T>(p_.sequence, (b * p_.time + step_) * u);
      r.memory = at_or_null<T>(p_.memory, at * u);
      r.state = w_.state + b * padded_;
      r.carry = w_.carry + b * padded_;
      if (p_.mask != nullptr && !p_.mask[at]) {
        repeat(r);
        continue;
      }
      r.x = static_cast<const T*>(p_.x) + at * gates_ * u;
      r.gates = at_or_null<T>(p_.gates, at * gates_ * u);
      r.reset = w_.reset + b * padded_;
      r.product = w_.product + b * gates_ * padded_;
      f(r);
    }
  }

  /// A masked step.
  void repeat(const Row& r) {
    const auto bytes = static_cast<std::size_t>(p_.units) * sizeof(T);
    if (r.sequence != nullptr) {
      if (step_ > 0) {
        std::memcpy(r.sequence, r.sequence - p_.units, bytes);
      } else {
        std::memset(r.sequence, 0, bytes);
      }
    }
    if (p_.cell == RecurrentCell::kLstm && r.memory != nullptr) {
      std::memcpy(r.memory, r.carry, bytes);
    }
  }

  /// The sum of gate g before its activation.
  V gate_input(const Row& r, i64 g, i64 j, i64 n) const {
    return V::load(r.product + g * padded_ + j) + load_some(r.x + g * p_.units + j, n);
  }
  void keep_gate(const Row& r, i64 g, V v, i64 j, i64 n) const {
    if (r.gates != nullptr) store_some(v, r.gates + g * p_.units + j, n);
  }
  void keep_state(const Row& r, V h, i64 j, i64 n) const {
    h.store(r.state + j);
    if (r.sequence != nullptr) store_some(h, r.sequence + j, n);
  }

  void simple(const Row& r) {
    for (i64 j = 0; j < p_.units; j += kW) {
      const i64 n = p_.units - j;
      const V h = f_.activate(gate_input(r, 0, j, n));
      keep_gate(r, 0, h, j, n);
      keep_state(r, h, j, n);
    }
  }

  void lstm(const Row& r) {
    for (i64 j = 0; j < p_.units; j += kW) {
      const i64 n = p_.units - j;
      const V i = f_.gate(gate_input(r, 0, j, n));
      const V f = f_.gate(gate_input(r, 1, j, n));
      const V g = f_.activate(gate_input(r, 2, j, n));
      const V o = f_.gate(gate_input(r, 3, j, n));
      const V c = fma(f, V::load(r.carry + j), i * g);
      const V h = o * f_.activate(c);
      keep_gate(r, 0, i, j, n);
      keep_gate(r, 1, f, j, n);
      keep_gate(r, 2, g, j, n);
      keep_gate(r, 3, o, j, n);
      if (r.memory != nullptr) store_some(c, r.memory + j, n);
      c.store(r.carry + j);
      keep_state(r, h, j, n);
    }
  }

  void gru_reset_after(const Row& r) {
    const auto* bias = static_cast<const T*>(p_.bias);
    for (i64 j = 0; j < p_.units; j += kW) {
      const i64 n = p_.units - j;
      const V z = f_.gate(gate_input(r, 0, j, n));
      const V reset = f_.gate(gate_input(r, 1, j, n));
      V inner = V::load(r.product + 2 * padded_ + j);
      if (bias != nullptr) inner = inner + load_some(bias + j, n);
      const V g = f_.activate(fma(reset, inner, load_some(r.x + 2 * p_.units + j, n)));
      keep_gate(r, 0, z, j, n);
      keep_gate(r, 1, reset, j, n);
      keep_gate(r, 2, g, j, n);
      if (r.memory != nullptr) store_some(inner, r.memory + j, n);
      keep_state(r, mix(z, V::load(r.state + j), g), j, n);
    }
  }

  void gru_gates(const Row& r) {
    for (i64 j = 0; j < p_.units; j += kW) {
      const i64 n = p_.units - j;
      const V z = f_.gate(gate_input(r, 0, j, n));
      const V reset = f_.gate(gate_input(r, 1, j, n));
      keep_gate(r, 0, z, j, n);
      keep_gate(r, 1, reset, j, n);
      // z waits in the product's place.
      z.store(const_cast<T*>(r.product) + j);
      (reset * V::load(r.state + j)).store(r.reset + j);
    }
  }

  void gru_candidate(const Row& r) {
    for (i64 j = 0; j < p_.units; j += kW) {
      const i64 n = p_.units - j;
      const V g = f_.activate(gate_input(r, 2, j, n));
      keep_gate(r, 2, g, j, n);
      keep_state(r, mix(V::load(r.product + j), V::load(r.state + j), g), j, n);
    }
  }

  /// z h + (1 - z) g
  static V mix(V z, V h, V g) { return fma(z, h - g, g); }

  void load_rows(const void* from, T* to) const {
    const i64 u = p_.units;
    for (i64 b = begin_; b < end_; ++b) {
      std::copy_n(static_cast<const T*>(from) + b * u, u, to + b * padded_);
      std::fill(to + b * padded_ + u, to + (b + 1) * padded_, T(0));
    }
  }
  void store_rows(const T* from, void* to) const {
    for (i64 b = begin_; b < end_; ++b) {
      std::copy_n(from + b * padded_, p_.units, static_cast<T*>(to) + b * p_.units);
    }
  }

  const RecurrentArgs& p_;
  const Scratch<T>& w_;
  const Gates<T, kUsual> f_;
  const i64 gates_ = gates_of(p_.cell);
  const i64 padded_ = pad_to_vector<T>(p_.units);
  i64 begin_ = 0, end_ = 0, step_ = 0, time_ = 0;
};

template <class T>
void forward(const RecurrentArgs& p, const Exec& exec) {
  Scratch<T> w(p, p.workspace);
  const auto* u = static_cast<const T*>(p.kernel);
  const i64 gates = gates_of(p.cell);
  if (p.cell == RecurrentCell::kGru) {
    pack_gates(u, gates * p.units, p.units, 2, w.kernel);
    pack_gates(u + 2 * p.units, gates * p.units, p.units, 1, w.candidate);
  } else {
    pack_gates(u, gates * p.units, p.units, gates, w.kernel);
  }
  const bool usual =
      p.act == GateActivation::kTanh &&
      (p.recurrent_act == GateActivation::kSigmoid || p.cell == RecurrentCell::kSimple);
  parallel_for(exec, p.batch, recurrent_chunk(p.batch, p.time, p.units, gates),
               [&](i64 begin, i64 end) {
                 if (usual) {
                   Forward<T, true>(p, w).run(begin, end);
                 } else {
                   Forward<T, false>(p, w).run(begin, end);
                 }
               });
}

}  // namespace

std::size_t recurrent_workspace(const RecurrentArgs& p) {
  return p.dtype == DType::kFloat32 ? Scratch<float>(p, nullptr).bytes
                                    : Scratch<double>(p, nullptr).bytes;
}

void recurrent_kernel(const RecurrentArgs& p, const Exec& exec) {
  if (p.batch <= 0 || p.units <= 0) return;
  if (p.dtype == DType::kFloat32) {
    forward<float>(p, exec);
  } else {
    forward<double>(p, exec);
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
