// Optimizer updates: one pass over parameters, gradients and slots, with Keras 3's formulas.
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "backend/cpu/kernel_list.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using std::int64_t;

/// What every update has in common; passed by value, so that a store cannot seem to change it.
template <class T, int kSlots>
struct Common {
  T* p;
  const T* g;
  T* slots[kSlots > 0 ? kSlots : 1];
  Vec<T> scale, hi, lo;  // of the gradient
  Vec<T> decay, rate;
};

/// Runs update(p, g, slots) over [begin, end): loads, prepares the gradient, stores what changed.
template <bool kClips, bool kDecays, class T, int kSlots, class F>
void update_range(const Common<T, kSlots> c, const F update, int64_t begin, int64_t end) {
  using V = Vec<T>;
  constexpr int64_t kW = V::kWidth;
  const auto one = [&](auto load, auto store) {
    V g = load(c.g);
    if constexpr (kClips) g = at_least(at_most(g * c.scale, c.hi), c.lo);
    V p = load(c.p);
    if constexpr (kDecays) p = p - (p * c.decay) * c.rate;
    V s[kSlots > 0 ? kSlots : 1];
    for (int k = 0; k < kSlots; ++k) s[k] = load(c.slots[k]);
    update(p, g, s);
    store(p, c.p);
    for (int k = 0; k < kSlots; ++k) store(s[k], c.slots[k]);
  };
  int64_t i = begin;
  for (; i + kW <= end; i += kW) {
    one([i](const T* q) { return V::load(q + i); }, [i](V v, T* q) { v.store(q + i); });
  }
  if (i < end) {
    one([=](const T* q) { return V::load_partial(q + i, end - i); },
        [=](V v, T* q) { v.store_partial(q + i, end - i); });
  }
}

template <class T, int kSlots, class F>
void update_all(const OptimizerArgs& args, const Exec& exec, F update) {
  using V = Vec<T>;
  Common<T, kSlots> c{};
  c.p = static_cast<T*>(args.p);
  c.g = static_cast<const T*>(args.g);
  int used = 0;
  for (void* slot : args.slot) {
    if (slot != nullptr && used < kSlots) c.slots[used++] = static_cast<T*>(slot);
  }
  c.scale = V::set1(args.grad_scale != nullptr ? static_cast<T>(*args.grad_scale) : T(1));
  const T limit =
      args.clip_value > 0 ? static_cast<T>(args.clip_value) : std::numeric_limits<T>::infinity();
  c.hi = V::set1(limit);
  c.lo = V::set1(-limit);
  c.decay = V::set1(static_cast<T>(args.weight_decay));
  c.rate = V::set1(static_cast<T>(*static_cast<const float*>(args.lr)));
  const bool clips = args.grad_scale != nullptr || args.clip_value > 0;
  // without decay p - p * 0 * lr would still turn an infinite p into NaN
  const bool decays = args.weight_decay > 0;
  const auto range = clips ? (decays ? update_range<true, true, T, kSlots, F>
                                     : update_range<true, false, T, kSlots, F>)
                           : (decays ? update_range<false, true, T, kSlots, F>
                                     : update_range<false, false, T, kSlots, F>);
  // Each thread has the same rows of a weight here as in the products before (matmul.cpp).
  constexpr int64_t kMost = 1 << 15;
  const int64_t grain = std::min(kMost, (args.n / 8 + 15) / 16 * 16);
  parallel_for(exec, args.n, args.shared ? grain : args.n,
               [&](int64_t begin, int64_t end) { range(c, update, begin, end); });
}

template <class T>
void optimize(const OptimizerArgs& args, const Exec& exec) {
  using V = Vec<T>;
  const auto splat = [](double x) { return V::set1(static_cast<T>(x)); };
  const double lr = static_cast<double>(*static_cast<const float*>(args.lr));
  const double t = static_cast<double>(*args.step) + 1;
  const double b1 = args.beta_1;
  const double b2 = args.beta_2;
  const V rate = splat(lr);
  const V eps = splat(args.epsilon);
  const V keep1 = splat(1 - b1);
  const V keep2 = splat(1 - b2);
  const V mom = splat(args.momentum);
  const V rho = splat(args.rho);
  const V one_rho = splat(1 - args.rho);
  const V one = splat(1);

  switch (args.kind) {
    case OptimizerKind::kSgd:
      if (args.slot[0] == nullptr) {
        return update_all<T, 0>(args, exec, [=](V& p, V g, V*) { p = p - rate * g; });
      }
      if (args.nesterov) {
        return update_all<T, 1>(args, exec, [=](V& p, V g, V* s) {
          s[0] = mom * s[0] - rate * g;
          p = p + (mom * s[0] - rate * g);
        });
      }
      return update_all<T, 1>(args, exec, [=](V& p, V g, V* s) {
        s[0] = mom * s[0] - rate * g;
        p = p + s[0];
      });

    case OptimizerKind::kRmsprop: {
      const auto velocity = [=](V g, V& v) { v = rho * v + one_rho * (g * g); };
      const auto centre = [=](V g, V& a) { a = rho * a + one_rho * g; };
      const auto increment = [=](V g, V denominator) {
        return rate * g * (one / sqrt(denominator));
      };
      const bool with_momentum = args.slot[1] != nullptr;
      const bool centered = args.slot[2] != nullptr;
      if (with_momentum && centered) {
        return update_all<T, 3>(args, exec, [=](V& p, V g, V* s) {
          velocity(g, s[0]);
          centre(g, s[2]);
          s[1] = mom * s[1] + increment(g, s[0] - s[2] * s[2] + eps);
          p = p - s[1];
        });
      }
      if (with_momentum) {
        return update_all<T, 2>(args, exec, [=](V& p, V g, V* s) {
          velocity(g, s[0]);
          s[1] = mom * s[1] + increment(g, s[0] + eps);
          p = p - s[1];
        });
      }
      if (centered) {
        return update_all<T, 2>(args, exec, [=](V& p, V g, V* s) {
          velocity(g, s[0]);
          centre(g, s[1]);
          p = p - increment(g, s[0] - s[1] * s[1] + eps);
        });
      }
      return update_all<T, 1>(args, exec, [=](V& p, V g, V* s) {
        velocity(g, s[0]);
        p = p - increment(g, s[0] + eps);
      });
    }

    case OptimizerKind::kAdagrad:
      return update_all<T, 1>(args, exec, [=](V& p, V g, V* s) {
        s[0] = s[0] + g * g;
        p = p - rate * g / sqrt(s[0] + eps);
      });

    case OptimizerKind::kAdadelta:
      return update_all<T, 2>(args, exec, [=](V& p, V g, V* s) {
        s[0] = rho * s[0] + one_rho * (g * g);
        const V delta = -(sqrt(s[1] + eps) * g / sqrt(s[0] + eps));
        s[1] = rho * s[1] + one_rho * (delta * delta);
        p = p + rate * delta;
      });

    case OptimizerKind::kAdam: {
      const V alpha = splat(lr * std::sqrt(1 - std::pow(b2, t)) / (1 - std::pow(b1, t)));
      if (args.slot[2] != nullptr) {
        return update_all<T, 3>(args, exec, [=](V& p, V g, V* s) {
          s[0] = s[0] + (g - s[0]) * keep1;
          s[1] = s[1] + (g * g - s[1]) * keep2;
          s[2] = maximum(s[2], s[1]);
          p = p - s[0] * alpha / (sqrt(s[2]) + eps);
        });
      }
      return update_all<T, 2>(args, exec, [=](V& p, V g, V* s) {
        s[0] = s[0] + (g - s[0]) * keep1;
        s[1] = s[1] + (g * g - s[1]) * keep2;
        p = p - s[0] * alpha / (sqrt(s[1]) + eps);
      });
    }

    case OptimizerKind::kAdamax: {
      const V correction = splat(1 - std::pow(b1, t));
      const V decay = splat(b2);
      return update_all<T, 2>(args, exec, [=](V& p, V g, V* s) {
        s[0] = s[0] + (g - s[0]) * keep1;
        s[1] = maximum(decay * s[1], abs(g));
        p = p - rate * s[0] / (correction * (s[1] + eps));
      });
    }

    case OptimizerKind::kNadam: {
      const double u_now = b1 * (1 - 0.5 * std::pow(0.96, t));
      const double u_next = b1 * (1 - 0.5 * std::pow(0.96, t + 1));
      const double product =
          static_cast<double>(*static_cast<const float*>(args.u_product)) * u_now;
      const V from_m = splat(u_next / (1 - product * u_next));
      const V from_g = splat((1 - u_now) / (1 - product));
      const V correction = splat(1 - std::pow(b2, t));
      return update_all<T, 2>(args, exec, [=](V& p, V g, V* s) {
        s[0] = s[0] + (g - s[0]) * keep1;
        s[1] = s[1] + (g * g - s[1]) * keep2;
        const V m_hat = from_m * s[0] + from_g * g;
        p = p - rate * m_hat / (sqrt(s[1] / correction) + eps);
      });
    }
  }
}

}  // namespace

void optimizer_kernel(const OptimizerArgs& args, const Exec& exec) {
  if (args.n == 0) return;
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) { optimize<T>(args, exec); });
}

void clip_scale_kernel(const ClipScaleArgs& args, const Exec&) {
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) {
    const T* sums = static_cast<const T*>(args.sums);
    double total = 0;
    for (int64_t i = 0; i < args.n; ++i) total += static_cast<double>(sums[i]);
    const double norm = std::sqrt(total);
    // a norm that is not a number makes every gradient one
    *args.scale = norm > args.limit ? args.limit / norm : norm != norm ? norm : 1.0;
  });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
