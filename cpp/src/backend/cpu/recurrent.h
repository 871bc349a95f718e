// What the forward and backward recurrent kernels share: a small matrix product with a right
// operand that is packed once for all time steps, the gates' activations, and how rows of a batch
// are cut into chunks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cpu/simd_math.h"
#include "backend/kernels.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// Gates of a cell: groups of columns of its kernels.
constexpr std::int64_t gates_of(RecurrentCell cell) {
  switch (cell) {
    case RecurrentCell::kSimple:
      return 1;
    case RecurrentCell::kLstm:
      return 4;
    case RecurrentCell::kGru:
    case RecurrentCell::kGruResetAfter:
      return 3;
  }
  return 0;
}

template <class T>
constexpr std::int64_t pad_to_vector(std::int64_t n) {
  constexpr std::int64_t kW = Vec<T>::kWidth;
  return (n + kW - 1) / kW * kW;
}

/// Rows of the batch that go through all time steps together. Depends on the problem alone.
std::int64_t recurrent_chunk(std::int64_t batch, std::int64_t time, std::int64_t units,
                             std::int64_t gates);

// ---------------------------------------------------------------- product with a packed operand

/// Most vectors of columns in a panel.
inline constexpr int kPanelVectors = 4;

/// A (k, columns) operand, columns in panels of up to kPanelVectors vectors: [panel][k][vectors].
template <class T>
struct PackedOperand {
  T* data = nullptr;
  std::int64_t k = 0;
  std::int64_t vectors = 0;
};

/// Packs `gates` groups of `units` columns of b (k, ldb); every group is padded with zeros to whole
/// vectors.
template <class T>
void pack_gates(const T* b, std::int64_t ldb, std::int64_t units, std::int64_t gates,
                PackedOperand<T>& out);
/// Packs b^T, where b has `columns` rows of k elements; zeros beyond.
template <class T>
void pack_transposed(const T* b, std::int64_t ldb, std::int64_t columns, PackedOperand<T>& out);

/// c (rows, b.vectors vectors) = a (rows, b.k) b, plus what c held when `add`. Each element is one
/// chain of multiply-adds in the order of k.
template <class T>
void multiply_packed(std::int64_t rows, const T* a, std::int64_t lda, const PackedOperand<T>& b,
                     T* c, std::int64_t ldc, bool add);

// ---------------------------------------------------------------- gates

template <class T>
inline Vec<T> load_some(const T* p, std::int64_t n) {
  return n >= Vec<T>::kWidth ? Vec<T>::load(p) : Vec<T>::load_partial(p, n);
}
template <class T>
inline void store_some(Vec<T> v, T* p, std::int64_t n) {
  if (n >= Vec<T>::kWidth) {
    v.store(p);
  } else {
    v.store_partial(p, n);
  }
}

/// The activations of a cell; with kUsual they are known to be tanh and sigmoid.
template <class T, bool kUsual>
struct Gates {
  using V = Vec<T>;
  GateActivation act, recurrent;

  V activate(V x) const {
    if constexpr (kUsual) return tanh(x);
    return apply(act, x);
  }
  V gate(V x) const {
    if constexpr (kUsual) return sigmoid(x);
    return apply(recurrent, x);
  }
  /// Derivatives, in terms of the activation's result.
  V activate_slope(V y) const {
    if constexpr (kUsual) return V::set1(T(1)) - y * y;
    return slope(act, y);
  }
  V gate_slope(V y) const {
    if constexpr (kUsual) return y * (V::set1(T(1)) - y);
    return slope(recurrent, y);
  }

 private:
  static V apply(GateActivation a, V x) {
    const V zero = V::zero();
    const V one = V::set1(T(1));
    switch (a) {
      case GateActivation::kLinear:
        break;
      case GateActivation::kRelu:
        return select<T>(x <= zero, zero, x);
      case GateActivation::kSigmoid:
        return sigmoid(x);
      case GateActivation::kTanh:
        return tanh(x);
      case GateActivation::kHardSigmoid:
        x = fma(x, V::set1(T(1) / T(6)), V::set1(T(0.5)));
        return select<T>(x <= zero, zero, select<T>(x >= one, one, x));
    }
    return x;
  }
  static V slope(GateActivation a, V y) {
    const V zero = V::zero();
    const V one = V::set1(T(1));
    switch (a) {
      case GateActivation::kLinear:
        break;
      case GateActivation::kRelu:
        return select<T>(y > zero, one, zero);
      case GateActivation::kSigmoid:
        return y * (one - y);
      case GateActivation::kTanh:
        return one - y * y;
      case GateActivation::kHardSigmoid:
        return select<T>(y <= zero, zero, select<T>(y >= one, zero, V::set1(T(1) / T(6))));
    }
    return one;
  }
};

/// Element i of an array that may be missing.
template <class T>
inline const T* at_or_null(const void* p, std::int64_t i) {
  return p == nullptr ? nullptr : static_cast<const T*>(p) + i;
}
template <class T>
inline T* at_or_null(void* p, std::int64_t i) {
  return p == nullptr ? nullptr : static_cast<T*>(p) + i;
}

/// Hands out consecutive pieces of a workspace, each on a cache line of its own; without memory it
/// only counts.
class Pieces {
 public:
  explicit Pieces(void* memory) : memory_(static_cast<char*>(memory)) {}
  template <class T>
  T* take(std::int64_t n) {
    char* piece = memory_ == nullptr ? nullptr : memory_ + bytes_;
    bytes_ += (static_cast<std::size_t>(n) * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(piece);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  char* memory_;
  std::size_t bytes_ = 0;
};

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
