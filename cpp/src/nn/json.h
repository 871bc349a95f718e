// Keras's configuration is written, never read, in C++: text suffices.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <span>
#include <string>

#include "lamella/error.h"

namespace lamella::nn {

/// A name is part of the names in the file, and stands in JSON as it is.
inline void check_name(const std::string& kind, const std::string& name) {
  constexpr const char* kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  check(name.find_first_not_of(kLetters) == std::string::npos, kind,
        ": a name consists of letters, digits, '_', '.' and '-', got '", name, "'");
}

/// Only names that were checked are quoted, so nothing needs escaping.
inline std::string quote(const std::string& s) { return '"' + s + '"'; }

inline std::string number(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

inline std::string flag(bool on) { return on ? "true" : "false"; }

/// [1, null]: negative sizes are unknown.
inline std::string sizes(std::span<const std::int64_t> values, bool unknown = false) {
  std::string out = "[";
  for (const std::int64_t v : values) {
    if (out.size() > 1) out += ',';
    out += v < 0 && unknown ? "null" : std::to_string(v);
  }
  out += ']';
  return out;
}

inline std::string object(const char* module, const std::string& kind, const std::string& config) {
  return "{\"module\":\"" + std::string(module) + "\",\"class_name\":" + quote(kind) +
         ",\"config\":{" + config + "},\"registered_name\":null}";
}

}  // namespace lamella::nn
