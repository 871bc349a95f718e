// Element types of tensors and the rules by which they mix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lamella/export.h"

namespace lamella {

enum class DType : std::uint8_t { kBool, kUint8, kInt32, kInt64, kFloat32, kFloat64 };

inline constexpr std::size_t kDTypeCount = 6;

/// Bytes of one element.
constexpr std::size_t size_of(DType t) {
  constexpr std::size_t kSizes[kDTypeCount] = {1, 1, 4, 8, 4, 8};
  return kSizes[static_cast<std::size_t>(t)];
}

constexpr bool is_floating(DType t) { return t == DType::kFloat32 || t == DType::kFloat64; }

/// "float32", "bool", ... as numpy spells them.
LAMELLA_API std::string_view name(DType t);

/// Inverse of `name`; throws DTypeError that lists the known types.
LAMELLA_API DType parse_dtype(std::string_view name);

/// The type that holds both operands, by Keras's lattice: bool < uint8 < int32 < int64 < float32 <
/// float64 (an integer with a float takes the float's type, so int64 with float32 is float32).
constexpr DType promote(DType a, DType b) { return a < b ? b : a; }

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::kBool;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::kUint8;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::kInt32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::kInt64;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kFloat32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kFloat64;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

/// Carries a C++ type into a generic lambda: `visit_dtype(t, [&]<class T>(TypeTag<T>) { ... })`.
template <class T>
struct TypeTag {
  using type = T;
};

template <class F>
decltype(auto) visit_dtype(DType t, F&& f) {
  switch (t) {
    case DType::kBool:
      return f(TypeTag<bool>{});
    case DType::kUint8:
      return f(TypeTag<std::uint8_t>{});
    case DType::kInt32:
      return f(TypeTag<std::int32_t>{});
    case DType::kInt64:
      return f(TypeTag<std::int64_t>{});
    case DType::kFloat32:
      return f(TypeTag<float>{});
    case DType::kFloat64:
    default:
      return f(TypeTag<double>{});
  }
}

/// Like visit_dtype for float32 and float64 only; anything else is the caller's mistake and is
/// treated as float64 (ops check dtypes before they lower).
template <class F>
decltype(auto) visit_floating(DType t, F&& f) {
  if (t == DType::kFloat32) return f(TypeTag<float>{});
  return f(TypeTag<double>{});
}

}  // namespace lamella
