// Sizes and shapes. A size may be symbolic while a model is traced (the batch size, say).
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include "lamella/error.h"
#include "lamella/export.h"

namespace lamella {

inline constexpr int kMaxRank = 8;

/// One size: a known number >= 0, or a symbolic expression over the unknown sizes of a Graph's
/// inputs (sums and products of symbols, floor divisions). Arithmetic on known sizes is plain
/// integer arithmetic; symbolic expressions are interned, so equal expressions compare equal.
class LAMELLA_API Dim {
 public:
  constexpr Dim() = default;
  constexpr Dim(std::int64_t value) : v_(value < 0 ? throw_negative(value) : value) {}  // NOLINT

  /// The k-th unknown size of a graph.
  static Dim symbol(int k);

  constexpr bool known() const { return v_ >= 0; }
  /// The number; throws StateError for a symbolic size.
  std::int64_t value() const {
    if (v_ < 0) [[unlikely]]
      throw_symbolic();
    return v_;
  }
  /// The number, or -1 for a symbolic size.
  constexpr std::int64_t value_or_unknown() const { return v_ >= 0 ? v_ : -1; }

  /// Replaces symbol k by bindings[k].
  Dim bind(std::span<const std::int64_t> bindings) const;

  /// "32", "s0*49 + 1", ...; parse() reads it back.
  std::string str() const;
  static Dim parse(const std::string& text);

  friend bool operator==(Dim a, Dim b) { return a.v_ == b.v_; }
  friend Dim operator+(Dim a, Dim b) {
    return (a.v_ | b.v_) >= 0 ? Dim(a.v_ + b.v_) : add_symbolic(a, b, 1);
  }
  /// May be symbolic-negative only transiently; a known negative result throws ShapeError.
  friend Dim operator-(Dim a, Dim b) {
    return (a.v_ | b.v_) >= 0 ? Dim(a.v_ - b.v_) : add_symbolic(a, b, -1);
  }
  friend Dim operator*(Dim a, Dim b) {
    return (a.v_ | b.v_) >= 0 ? Dim(a.v_ * b.v_) : mul_symbolic(a, b);
  }
  friend Dim floor_div(Dim a, Dim b) {
    return (a.v_ | b.v_) >= 0 && b.v_ > 0 ? Dim(a.v_ / b.v_) : div_symbolic(a, b);
  }
  friend Dim ceil_div(Dim a, Dim b) { return floor_div(a + b - Dim(1), b); }

  /// Raw encoding, for hashing only.
  constexpr std::int64_t raw() const { return v_; }

 private:
  [[noreturn]] static std::int64_t throw_negative(std::int64_t value);
  [[noreturn]] void throw_symbolic() const;
  static Dim add_symbolic(Dim a, Dim b, std::int64_t sign);
  static Dim mul_symbolic(Dim a, Dim b);
  static Dim div_symbolic(Dim a, Dim b);
  friend struct DimTable;

  std::int64_t v_ = 0;
};

/// Up to kMaxRank sizes, stored inline.
class LAMELLA_API Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Dim> dims) : Shape(dims.begin(), dims.size()) {}
  Shape(const Dim* dims, std::size_t rank);
  explicit Shape(const std::vector<Dim>& dims) : Shape(dims.data(), dims.size()) {}
  explicit Shape(const std::vector<std::int64_t>& dims);

  int rank() const { return rank_; }
  Dim operator[](int axis) const { return dims_[static_cast<std::size_t>(axis)]; }
  Dim& operator[](int axis) { return dims_[static_cast<std::size_t>(axis)]; }
  const Dim* begin() const { return dims_.data(); }
  const Dim* end() const { return dims_.data() + rank_; }
  Dim back() const { return dims_[static_cast<std::size_t>(rank_ - 1)]; }
  void push_back(Dim d);

  bool known() const;
  /// Product of all sizes (1 for rank 0), possibly symbolic.
  Dim numel() const;
  /// Product of all sizes as a number; throws StateError when symbolic.
  std::int64_t size() const;
  Shape bind(std::span<const std::int64_t> bindings) const;
  std::vector<std::int64_t> values() const;

  /// "(32, 28, 28, 1)", unknown sizes as None.
  std::string str() const;

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (!(a[i] == b[i])) return false;
    return true;
  }

 private:
  std::array<Dim, kMaxRank> dims_{};
  int rank_ = 0;
};

LAMELLA_API std::ostream& operator<<(std::ostream& out, const Shape& shape);
LAMELLA_API std::ostream& operator<<(std::ostream& out, Dim dim);

/// The common shape of two operands by numpy's broadcasting rule; throws ShapeError naming `op`.
LAMELLA_API Shape broadcast(const char* op, const Shape& a, const Shape& b);

}  // namespace lamella
