// Recurrent cells against plain loops in double: all cells, masks, directions, activations; the
// gradients against central differences of those loops; the same bits for any thread count.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "backend/kernels.h"

namespace {

using lamella::DType;
using namespace lamella::kernels;
using i64 = std::int64_t;
using Values = std::vector<double>;

std::size_t size(i64 n) { return static_cast<std::size_t>(n); }

double activate(GateActivation a, double x) {
  switch (a) {
    case GateActivation::kLinear:
      return x;
    case GateActivation::kRelu:
      return std::max(x, 0.0);
    case GateActivation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case GateActivation::kTanh:
      return std::tanh(x);
    case GateActivation::kHardSigmoid:
      return std::clamp(x / 6 + 0.5, 0.0, 1.0);
  }
  return 0;
}

struct Case {
  RecurrentCell cell;
  i64 batch, time, units;
  bool backwards, masked, bias;
  GateActivation act = GateActivation::kTanh, recurrent_act = GateActivation::kSigmoid;

  i64 gates() const {
    return cell == RecurrentCell::kLstm ? 4 : cell == RecurrentCell::kSimple ? 1 : 3;
  }
  bool lstm() const { return cell == RecurrentCell::kLstm; }
};

/// Everything a cell reads, and the results.
struct Data {
  Values x, recurrent, inner_bias, h0, c0;
  std::unique_ptr<bool[]> mask;
};
struct Results {
  Values sequence, h, c;
};

Data draw(const Case& p, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<double> d(-1, 1);
  // Values that float32 holds exactly, so that both precisions compute from the same ones.
  auto values = [&](i64 n) {
    Values v(size(n));
    for (double& e : v) e = static_cast<double>(static_cast<float>(d(engine)));
    return v;
  };
  const i64 columns = p.gates() * p.units;
  Data r;
  r.x = values(p.batch * p.time * columns);
  r.recurrent = values(p.units * columns);
  for (double& v : r.recurrent) v /= 4;
  r.inner_bias = values(p.units);
  r.h0 = values(p.batch * p.units);
  r.c0 = values(p.batch * p.units);
  r.mask = std::make_unique<bool[]>(size(p.batch * p.time));
  for (i64 i = 0; i < p.batch * p.time; ++i) r.mask[size(i)] = d(engine) > -0.3;
  return r;
}

/// The cells' formulas, one number after the other.
Results reference(const Case& p, const Data& v) {
  const i64 u = p.units, columns = p.gates() * u;
  Results out{Values(size(p.batch * p.time * u)), v.h0, v.c0};
  for (i64 b = 0; b < p.batch; ++b) {
    double* h = out.h.data() + b * u;
    double* c = out.c.data() + b * u;
    auto input = [&](i64 t, i64 j) { return v.x[size((b * p.time + t) * columns + j)]; };
    auto state = [&](const Values& from, i64 j) {
      double s = 0;
      for (i64 i = 0; i < u; ++i) s += from[size(i)] * v.recurrent[size(i * columns + j)];
      return s;
    };
    auto gate = [&](double x) { return activate(p.recurrent_act, x); };
    for (i64 s = 0; s < p.time; ++s) {
      const i64 t = p.backwards ? p.time - 1 - s : s;
      double* y = out.sequence.data() + (b * p.time + s) * u;
      if (p.masked && !v.mask[size(b * p.time + t)]) {
        for (i64 j = 0; j < u; ++j) y[j] = s > 0 ? y[j - u] : 0;
        continue;
      }
      const Values before(h, h + u);
      Values reset(size(u));
      for (i64 j = 0; j < u && p.gates() == 3; ++j)
        reset[size(j)] = gate(input(t, u + j) + state(before, u + j));
      Values scaled(size(u));
      for (i64 j = 0; j < u; ++j) scaled[size(j)] = reset[size(j)] * before[size(j)];
      for (i64 j = 0; j < u; ++j) {
        if (p.cell == RecurrentCell::kSimple) {
          h[j] = activate(p.act, input(t, j) + state(before, j));
        } else if (p.lstm()) {
          const double i = gate(input(t, j) + state(before, j));
          const double f = gate(input(t, u + j) + state(before, u + j));
          const double g = activate(p.act, input(t, 2 * u + j) + state(before, 2 * u + j));
          const double o = gate(input(t, 3 * u + j) + state(before, 3 * u + j));
          c[j] = f * c[j] + i * g;
          h[j] = o * activate(p.act, c[j]);
        } else {
          const double z = gate(input(t, j) + state(before, j));
          double inner = 0;
          if (p.cell == RecurrentCell::kGru) {
            inner = state(scaled, 2 * u + j);
          } else {
            inner =
                reset[size(j)] * (state(before, 2 * u + j) + (p.bias ? v.inner_bias[size(j)] : 0));
          }
          h[j] = z * before[size(j)] + (1 - z) * activate(p.act, input(t, 2 * u + j) + inner);
        }
        y[j] = h[j];
      }
    }
  }
  return out;
}

template <class T>
std::vector<T> as(const Values& v) {
  return {v.begin(), v.end()};
}

/// Memory for one kernel call with a guard behind it.
struct Workspace {
  explicit Workspace(std::size_t n) : bytes(n), memory(n + 192, 0xff) {
    const auto at = reinterpret_cast<std::uintptr_t>(memory.data());
    data = memory.data() + ((at + 63) / 64 * 64 - at);
  }
  ~Workspace() {
    EXPECT_TRUE(std::all_of(data + bytes, data + bytes + 64, [](auto c) { return c == 0xff; }));
  }
  std::size_t bytes;
  std::vector<unsigned char> memory;
  unsigned char* data;
};

template <class T>
struct Outputs {
  std::vector<T> gates, memory, sequence, h, c;
  std::vector<T> dgates, dh0, dc0, previous, other;
};

/// Forward and backward with dsequence, dh, dc as given; `store` keeps what the gradient needs.
template <class T>
Outputs<T> run(const Case& p, const Data& v, const Results& cotangent, int threads, bool store) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const auto x = as<T>(v.x), recurrent = as<T>(v.recurrent), inner = as<T>(v.inner_bias),
             h0 = as<T>(v.h0), c0 = as<T>(v.c0);
  Outputs<T> o;
  const auto state = size(p.batch * p.units), all = size(p.batch * p.time * p.units);
  for (auto* out : {&o.h, &o.c, &o.dh0, &o.dc0}) out->assign(state, nan);
  for (auto* out : {&o.memory, &o.sequence, &o.previous, &o.other}) out->assign(all, nan);
  o.gates.assign(all * size(p.gates()), nan);
  int fault = 0;
  auto common = [&](auto& a) {
    a.dtype = sizeof(T) == 4 ? DType::kFloat32 : DType::kFloat64;
    a.cell = p.cell;
    a.act = p.act;
    a.recurrent_act = p.recurrent_act;
    a.backwards = p.backwards;
    a.batch = p.batch;
    a.time = p.time;
    a.units = p.units;
    a.kernel = recurrent.data();
    a.h0 = h0.data();
    if (p.lstm()) a.c0 = c0.data();
    if (p.masked) a.mask = v.mask.get();
  };
  RecurrentArgs f{};
  common(f);
  f.x = x.data();
  if (p.bias && p.cell == RecurrentCell::kGruResetAfter) f.bias = inner.data();
  if (store) {
    f.gates = o.gates.data();
    f.memory = o.memory.data();
    f.sequence = o.sequence.data();
  }
  f.h_last = o.h.data();
  f.c_last = o.c.data();
  {
    Workspace w(table().recurrent_workspace(f));
    f.workspace = w.data;
    table().recurrent(f, Exec{threads, &fault});
  }
  if (!store) return o;
  const auto dsequence = as<T>(cotangent.sequence), dh = as<T>(cotangent.h),
             dc = as<T>(cotangent.c);
  o.dgates = o.gates;  // overwritten in place
  RecurrentGradArgs g{};
  common(g);
  g.gates = g.dx = o.dgates.data();
  g.memory = o.memory.data();
  g.sequence = o.sequence.data();
  g.dsequence = dsequence.data();
  g.dh_last = dh.data();
  g.dc_last = dc.data();
  g.dh0 = o.dh0.data();
  g.dc0 = o.dc0.data();
  g.previous = o.previous.data();
  g.other = o.other.data();
  Workspace w(table().recurrent_grad_workspace(g));
  g.workspace = w.data;
  table().recurrent_grad(g, Exec{threads, &fault});
  return o;
}

void expect_near(const auto& got, const Values& want, double tolerance, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i)
    ASSERT_NEAR(static_cast<double>(got[i]), want[i], tolerance * (1 + std::abs(want[i])))
        << what << " element " << i;
}

Results cotangents(const Case& p, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<double> d(-1, 1);
  Results r{Values(size(p.batch * p.time * p.units)), Values(size(p.batch * p.units)),
            Values(size(p.batch * p.units))};
  for (auto* v : {&r.sequence, &r.h, &r.c})
    for (double& e : *v) e = static_cast<double>(static_cast<float>(d(engine)));
  return r;
}

double objective(const Case& p, const Data& v, const Results& cotangent) {
  const Results y = reference(p, v);
  auto dot = [](const Values& a, const Values& b) {
    double s = 0;
    for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
    return s;
  };
  return dot(y.sequence, cotangent.sequence) + dot(y.h, cotangent.h) +
         (p.lstm() ? dot(y.c, cotangent.c) : 0);
}

constexpr RecurrentCell kCells[] = {RecurrentCell::kSimple, RecurrentCell::kLstm,
                                    RecurrentCell::kGru, RecurrentCell::kGruResetAfter};

std::vector<Case> cases() {
  std::vector<Case> list;
  unsigned n = 0;
  for (RecurrentCell cell : kCells) {
    for (i64 units : {1, 7, 16, 37, 64}) {
      for (int flags = 0; flags < 8; ++flags, ++n) {
        list.push_back({cell, 1 + static_cast<i64>(n * 7 % 23), 1 + static_cast<i64>(n % 6), units,
                        (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0});
      }
    }
    for (int a = 0; a < 5; ++a) {
      for (int r = 0; r < 5; ++r) {
        list.push_back({cell, 3, 4, 5, false, r % 2 == 0, true, static_cast<GateActivation>(a),
                        static_cast<GateActivation>(r)});
      }
    }
  }
  return list;
}

std::string describe(const Case& c) {
  return testing::PrintToString(static_cast<int>(c.cell)) + " batch=" + std::to_string(c.batch) +
         " time=" + std::to_string(c.time) + " units=" + std::to_string(c.units) +
         " backwards=" + std::to_string(c.backwards) + " masked=" + std::to_string(c.masked) +
         " bias=" + std::to_string(c.bias) + " act=" + std::to_string(static_cast<int>(c.act)) +
         "," + std::to_string(static_cast<int>(c.recurrent_act));
}

TEST(Recurrent, ForwardEqualsPlainLoops) {
  unsigned seed = 0;
  for (const Case& c : cases()) {
    SCOPED_TRACE(describe(c));
    const Data v = draw(c, ++seed);
    const Results want = reference(c, v);
    const Results cotangent = cotangents(c, seed);
    const auto wide = run<double>(c, v, cotangent, 1, true);
    expect_near(wide.sequence, want.sequence, 1e-12, "sequence");
    expect_near(wide.h, want.h, 1e-12, "h");
    if (c.lstm()) expect_near(wide.c, want.c, 1e-12, "c");
    // Sums of up to units terms, and steps that feed on each other.
    const auto narrow = run<float>(c, v, cotangent, 1, true);
    expect_near(narrow.sequence, want.sequence, 2e-5, "sequence in float32");
    expect_near(narrow.h, want.h, 2e-5, "h in float32");
    if (HasFatalFailure()) return;
  }
}

TEST(Recurrent, WithoutOutputsForTheGradientTheStatesAreTheSame) {
  unsigned seed = 100;
  for (const Case& c : cases()) {
    SCOPED_TRACE(describe(c));
    const Data v = draw(c, ++seed);
    const Results cotangent = cotangents(c, seed);
    const auto all = run<float>(c, v, cotangent, 1, true);
    const auto few = run<float>(c, v, cotangent, 1, false);
    ASSERT_EQ(all.h, few.h);
    if (c.lstm()) {
      ASSERT_EQ(all.c, few.c);
    }
  }
}

/// dh0, dc0, the gradients to the projected inputs, and through them that to the recurrent kernel.
TEST(Recurrent, BackwardEqualsCentralDifferences) {
  unsigned seed = 200;
  for (Case c : cases()) {
    if (c.units > 16) continue;
    c.batch = std::min<i64>(c.batch, 3);
    c.bias = true;
    SCOPED_TRACE(describe(c));
    Data v = draw(c, ++seed);
    const Results cotangent = cotangents(c, seed);
    const auto got = run<double>(c, v, cotangent, 1, true);
    auto expect = [&](double exact, double numeric, const char* what, i64 i) {
      ASSERT_NEAR(exact, numeric, 1e-7 * (1 + std::abs(numeric))) << what << " " << i;
    };
    auto difference = [&](double& value) {
      const double at = value, h = 1e-6;
      value = at + h;
      const double up = objective(c, v, cotangent);
      value = at - h;
      const double down = objective(c, v, cotangent);
      value = at;
      return (up - down) / (2 * h);
    };
    const i64 u = c.units, columns = c.gates() * u, rows = c.batch * c.time;
    for (i64 i = 0; i < c.batch * u; ++i) {
      expect(got.dh0[size(i)], difference(v.h0[size(i)]), "dh0", i);
      if (c.lstm()) {
        expect(got.dc0[size(i)], difference(v.c0[size(i)]), "dc0", i);
      }
    }
    const bool after = c.cell == RecurrentCell::kGruResetAfter;
    for (i64 j = 0; j < columns; ++j) {
      for (i64 r = 0; r < rows; ++r) {
        const i64 i = r * columns + j;
        expect(got.dgates[size(i)], difference(v.x[size(i)]), "dx", i);
      }
      double dinner = 0;
      for (i64 r = 0; after && j >= 2 * u && r < rows; ++r)
        dinner += got.other[size(r * u + j - 2 * u)];
      if (after && j >= 2 * u)
        expect(dinner, difference(v.inner_bias[size(j - 2 * u)]), "dinner", j);
      const i64 i = j % u;  // one row of the kernel for each column
      double dkernel = 0;
      for (i64 r = 0; r < rows; ++r) {
        const bool last = j >= 2 * u;
        const double d =
            after && last ? got.other[size(r * u + j - 2 * u)] : got.dgates[size(r * columns + j)];
        const auto& states = c.cell == RecurrentCell::kGru && last ? got.other : got.previous;
        dkernel += states[size(r * u + i)] * d;
      }
      expect(dkernel, difference(v.recurrent[size(i * columns + j)]), "dkernel", j);
    }
  }
}

TEST(Recurrent, SameBitsForAnyThreadCount) {
  for (RecurrentCell cell : kCells) {
    for (i64 units : {10, 33, 64}) {
      const Case c{cell, 45, 20, units, false, units == 33, true};
      SCOPED_TRACE(describe(c));
      const Data v = draw(c, 7);
      const Results cotangent = cotangents(c, 8);
      const auto one = run<float>(c, v, cotangent, 1, true);
      for (int threads : {2, 3}) {
        const auto more = run<float>(c, v, cotangent, threads, true);
        ASSERT_EQ(one.sequence, more.sequence);
        ASSERT_EQ(one.h, more.h);
        ASSERT_EQ(one.dgates, more.dgates);
        ASSERT_EQ(one.dh0, more.dh0);
        ASSERT_EQ(one.previous, more.previous);
      }
      // A row alone gives the bits that it gives among others.
      Case single = c;
      single.batch = 1;
      const auto alone = run<float>(single, v, cotangent, 1, true);
      ASSERT_TRUE(std::equal(alone.sequence.begin(), alone.sequence.end(), one.sequence.begin()));
      ASSERT_TRUE(std::equal(alone.dgates.begin(), alone.dgates.end(), one.dgates.begin()));
    }
  }
}

TEST(Recurrent, NanPropagatesFromAStepOnAndOnlyInItsRow) {
  for (RecurrentCell cell : kCells) {
    const Case c{cell, 3, 6, 5, false, false, true};
    Data v = draw(c, 3);
    v.x[size((1 * c.time + 2) * c.gates() * c.units)] = std::numeric_limits<double>::quiet_NaN();
    const auto got = run<float>(c, v, cotangents(c, 4), 1, true);
    for (i64 b = 0; b < c.batch; ++b)
      for (i64 s = 0; s < c.time; ++s)
        EXPECT_EQ(std::isnan(got.sequence[size((b * c.time + s) * c.units)]), b == 1 && s >= 2);
  }
}

TEST(Recurrent, NoStepsLeaveTheStates) {
  for (RecurrentCell cell : kCells) {
    const Case c{cell, 3, 0, 5, false, true, true};
    const Data v = draw(c, 3);
    const Results cotangent = cotangents(c, 4);
    const auto got = run<double>(c, v, cotangent, 1, true);
    EXPECT_EQ(got.h, v.h0);
    EXPECT_EQ(got.dh0, cotangent.h);
  }
}

}  // namespace
