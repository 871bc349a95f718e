// Exceptions of the library. Messages name the op or layer, what was expected and what was given.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

#include "lamella/export.h"

namespace lamella {

/// Base of everything the library throws; also thrown for a bad value of an argument.
class LAMELLA_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A shape that does not fit.
class LAMELLA_API ShapeError : public Error {
 public:
  using Error::Error;
};

/// An element type that does not fit.
class LAMELLA_API DTypeError : public Error {
 public:
  using Error::Error;
};

/// A call at the wrong time: backward() twice, a symbolic tensor read as a number, ...
class LAMELLA_API StateError : public Error {
 public:
  using Error::Error;
};

/// A file that cannot be read or written.
class LAMELLA_API IoError : public Error {
 public:
  using Error::Error;
};

/// Training or prediction was stopped by the caller's poll function (Ctrl-C).
class LAMELLA_API Interrupted : public Error {
 public:
  using Error::Error;
};

namespace detail {
template <class... Parts>
std::string format(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}
}  // namespace detail

/// Throws E with the concatenated parts when `ok` is false; the text is built only then.
template <class E = Error, class... Parts>
inline void check(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    throw E(detail::format(parts...));
}

}  // namespace lamella
