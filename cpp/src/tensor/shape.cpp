#include "lamella/shape.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <ostream>

namespace lamella {

// A symbolic size is a polynomial with integer coefficients over atoms. An atom is a symbol or the
// floor division of a polynomial by a number. Polynomials are interned in one table; Dim holds
// -1-id.
struct DimTable {
  using Monomial = std::vector<int>;              // sorted atom ids; empty: the constant
  using Poly = std::map<Monomial, std::int64_t>;  // no zero coefficients
  struct Atom {
    int symbol = -1;  // >= 0: a symbol
    Poly numerator;   // else floor(numerator / divisor)
    std::int64_t divisor = 1;
    friend bool operator<(const Atom& a, const Atom& b) {
      return std::tie(a.symbol, a.divisor, a.numerator) <
             std::tie(b.symbol, b.divisor, b.numerator);
    }
  };

  std::mutex mutex;
  std::vector<Poly> polys;
  std::map<Poly, int> poly_ids;
  std::vector<Atom> atoms;
  std::map<Atom, int> atom_ids;

  static DimTable& get() {
    static auto* table = new DimTable;  // never destroyed: Dims may outlive static destructors
    return *table;
  }

  int atom(const Atom& a) {
    auto [it, fresh] = atom_ids.try_emplace(a, static_cast<int>(atoms.size()));
    if (fresh) atoms.push_back(a);
    return it->second;
  }

  Poly poly(Dim d) {
    if (d.v_ >= 0) return d.v_ == 0 ? Poly{} : Poly{{Monomial{}, d.v_}};
    return polys[static_cast<std::size_t>(-1 - d.v_)];
  }

  /// A polynomial that turned out constant becomes a number.
  Dim intern(const Poly& p) {
    if (p.empty()) return Dim(0);
    if (p.size() == 1 && p.begin()->first.empty()) return Dim(p.begin()->second);
    auto [it, fresh] = poly_ids.try_emplace(p, static_cast<int>(polys.size()));
    if (fresh) polys.push_back(p);
    Dim d;
    d.v_ = -1 - it->second;
    return d;
  }

  static void accumulate(Poly& into, const Monomial& m, std::int64_t c) {
    auto& slot = into[m];
    slot += c;
    if (slot == 0) into.erase(m);
  }

  static Poly multiply(const Poly& a, const Poly& b) {
    Poly out;
    for (const auto& [ma, ca] : a)
      for (const auto& [mb, cb] : b) {
        Monomial m = ma;
        m.insert(m.end(), mb.begin(), mb.end());
        std::sort(m.begin(), m.end());
        accumulate(out, m, ca * cb);
      }
    return out;
  }

  Poly divide(const Poly& a, const Poly& b) {
    check<ShapeError>(!b.empty(), "size: division by zero");
    if (b.size() == 1) {
      // Exact division by one monomial, term by term.
      const auto& [mb, cb] = *b.begin();
      Poly out;
      bool exact = true;
      for (const auto& [ma, ca] : a) {
        Monomial rest;
        if (ca % cb != 0 || !std::includes(ma.begin(), ma.end(), mb.begin(), mb.end())) {
          exact = false;
          break;
        }
        std::set_difference(ma.begin(), ma.end(), mb.begin(), mb.end(), std::back_inserter(rest));
        out[rest] = ca / cb;
      }
      if (exact) return out;
      if (mb.empty() && cb > 0) {
        // floor((q*d + r) / d) = q + floor(r / d): take the divisible terms out.
        Poly quotient, remainder;
        for (const auto& [ma, ca] : a) {
          if (ca % cb == 0)
            quotient[ma] = ca / cb;
          else
            remainder[ma] = ca;
        }
        if (auto it = remainder.find(Monomial{}); it != remainder.end()) {
          std::int64_t q = it->second / cb, r = it->second % cb;
          if (r < 0) r += cb, --q;
          if (q != 0) accumulate(quotient, Monomial{}, q);
          it->second = r;
          if (r == 0) remainder.erase(it);
        }
        if (remainder.empty()) return quotient;
        accumulate(quotient, Monomial{atom(Atom{-1, remainder, cb})}, 1);
        return quotient;
      }
    }
    if (a == b) return Poly{{Monomial{}, 1}};
    throw ShapeError("size: cannot divide the unknown size " + str(a) + " by " + str(b) +
                     "; give the size as a number");
  }

  std::int64_t eval(const Poly& p, std::span<const std::int64_t> bindings) {
    std::int64_t total = 0;
    for (const auto& [m, c] : p) {
      std::int64_t term = c;
      for (int id : m) {
        const Atom& a = atoms[static_cast<std::size_t>(id)];
        if (a.symbol >= 0) {
          check<StateError>(a.symbol < static_cast<int>(bindings.size()), "size: symbol s",
                            a.symbol, " has no value");
          term *= bindings[static_cast<std::size_t>(a.symbol)];
        } else {
          std::int64_t n = eval(a.numerator, bindings);
          std::int64_t q = n / a.divisor;
          if (n % a.divisor != 0 && n < 0) --q;
          term *= q;
        }
      }
      total += term;
    }
    return total;
  }

  std::string str(const Poly& p) {
    std::string text;
    for (const auto& [m, c] : p) {
      if (!text.empty()) text += "+";
      text += std::to_string(c);
      for (int id : m) {
        const Atom& a = atoms[static_cast<std::size_t>(id)];
        if (a.symbol >= 0)
          text += "*s" + std::to_string(a.symbol);
        else
          text += "*[" + str(a.numerator) + "/" + std::to_string(a.divisor) + "]";
      }
    }
    return text.empty() ? "0" : text;
  }

  // Grammar (what str() writes): poly := term ('+' term)*; term := int ('*' atom)*;
  // atom := 's' int | '[' poly '/' int ']'
  Poly parse(const std::string& t, std::size_t& i) {
    Poly out;
    auto number = [&] {
      std::size_t used = 0;
      std::int64_t v = 0;
      try {
        v = std::stoll(t.substr(i), &used);
      } catch (const std::exception&) {
        throw IoError("size: expected a number at position " + std::to_string(i) + " of '" + t +
                      "'");
      }
      i += used;
      return v;
    };
    for (;;) {
      std::int64_t c = number();
      Monomial m;
      while (i < t.size() && t[i] == '*') {
        ++i;
        check<IoError>(i < t.size(), "size: unexpected end of '", t, "'");
        if (t[i] == 's') {
          ++i;
          m.push_back(atom(Atom{static_cast<int>(number()), {}, 1}));
        } else if (t[i] == '[') {
          ++i;
          Poly numerator = parse(t, i);
          check<IoError>(i < t.size() && t[i] == '/', "size: expected '/' in '", t, "'");
          ++i;
          std::int64_t divisor = number();
          check<IoError>(i < t.size() && t[i] == ']' && divisor > 0, "size: bad division in '", t,
                         "'");
          ++i;
          m.push_back(atom(Atom{-1, numerator, divisor}));
        } else {
          throw IoError("size: unexpected character in '" + t + "'");
        }
      }
      std::sort(m.begin(), m.end());
      accumulate(out, m, c);
      if (i < t.size() && t[i] == '+') {
        ++i;
        continue;
      }
      return out;
    }
  }
};

std::int64_t Dim::throw_negative(std::int64_t value) {
  throw ShapeError("size: expected a size >= 0, got " + std::to_string(value));
}

void Dim::throw_symbolic() const {
  throw StateError(
      "size: a number is needed here, but this size is not known while tracing (it is "
      "None, the batch size for instance); use -1 in reshape, or run eagerly");
}

Dim Dim::symbol(int k) {
  auto& t = DimTable::get();
  std::lock_guard lock(t.mutex);
  return t.intern({{{t.atom({k, {}, 1})}, 1}});
}

Dim Dim::add_symbolic(Dim a, Dim b, std::int64_t sign) {
  auto& t = DimTable::get();
  std::lock_guard lock(t.mutex);
  auto p = t.poly(a);
  for (const auto& [m, c] : t.poly(b)) DimTable::accumulate(p, m, sign * c);
  return t.intern(p);
}

Dim Dim::mul_symbolic(Dim a, Dim b) {
  auto& t = DimTable::get();
  std::lock_guard lock(t.mutex);
  return t.intern(DimTable::multiply(t.poly(a), t.poly(b)));
}

Dim Dim::div_symbolic(Dim a, Dim b) {
  auto& t = DimTable::get();
  std::lock_guard lock(t.mutex);
  return t.intern(t.divide(t.poly(a), t.poly(b)));
}

Dim Dim::bind(std::span<const std::int64_t> bindings) const {
  if (v_ >= 0) return *this;
  auto& t = DimTable::get();
  std::lock_guard lock(t.mutex);
  return Dim(t.eval(t.poly(*this), bindings));
}

std::string Dim::str() const {
  if (v_ >= 0) return std::to_string(v_);
  auto& t = DimTable::get();
  std::lock_guard lock(t.mutex);
  return t.str(t.poly(*this));
}

Dim Dim::parse(const std::string& text) {
  auto& t = DimTable::get();
  std::lock_guard lock(t.mutex);
  std::size_t i = 0;
  auto p = t.parse(text, i);
  check<IoError>(i == text.size(), "size: trailing characters in '", text, "'");
  return t.intern(p);
}

Shape::Shape(const Dim* dims, std::size_t rank) : rank_(static_cast<int>(rank)) {
  check<ShapeError>(rank <= kMaxRank, "shape: expected at most ", kMaxRank, " axes, got ", rank);
  std::copy(dims, dims + rank, dims_.begin());
}

Shape::Shape(const std::vector<std::int64_t>& dims) {
  for (std::int64_t d : dims) push_back(Dim(d));
}

void Shape::push_back(Dim d) {
  check<ShapeError>(rank_ < kMaxRank, "shape: expected at most ", kMaxRank, " axes");
  dims_[static_cast<std::size_t>(rank_++)] = d;
}

bool Shape::known() const {
  return std::all_of(begin(), end(), [](Dim d) { return d.known(); });
}

Dim Shape::numel() const {
  Dim n(1);
  for (Dim d : *this) n = n * d;
  return n;
}

std::int64_t Shape::size() const {
  std::int64_t n = 1;
  for (Dim d : *this) n *= d.value();
  return n;
}

Shape Shape::bind(std::span<const std::int64_t> bindings) const {
  Shape out = *this;
  for (int i = 0; i < rank_; ++i) out[i] = out[i].bind(bindings);
  return out;
}

std::vector<std::int64_t> Shape::values() const {
  std::vector<std::int64_t> out;
  for (Dim d : *this) out.push_back(d.value());
  return out;
}

std::string Shape::str() const {
  std::string text = "(";
  for (int i = 0; i < rank_; ++i) {
    if (i > 0) text += ", ";
    text += (*this)[i].known() ? std::to_string((*this)[i].value()) : "None";
  }
  if (rank_ == 1) text += ",";
  return text + ")";
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.str(); }
std::ostream& operator<<(std::ostream& out, Dim dim) {
  return dim.known() ? out << dim.value() : out << "None";
}

Shape broadcast(const char* op, const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out;
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    const Dim da = ia < 0 ? Dim(1) : a[ia], db = ib < 0 ? Dim(1) : b[ib];
    if (da == db || db == Dim(1)) {
      out.push_back(da);
    } else if (da == Dim(1)) {
      out.push_back(db);
    } else {
      // Two unknown sizes, or an unknown and a known one other than 1, cannot be told apart until
      // the sizes are bound; the known (or first) one is taken and binding checks it again.
      check<ShapeError>(!da.known() || !db.known(), op, ": shapes ", a, " and ", b,
                        " do not broadcast: sizes ", da, " and ", db, " differ and neither is 1");
      out.push_back(da.known() ? da : db);
    }
  }
  return out;
}

}  // namespace lamella
