// PyTorch's update rules: one loop over parameter, gradient and state each.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "lamella/inplace.h"
#include "lamella/ops.h"
#include "tensor/tensor_impl.h"

namespace lamella {
namespace {

template <class T>
struct Elements {
  T* p;
  const T* g;
  T* s[3];
  std::int64_t n;
  T sign, decay, shrink;  // of the gradient; coupled decay; what decoupled decay leaves

  /// Calls f(p, g, i) for each element, the gradient with sign and coupled decay.
  template <class F>
  void each(F f) const {
    for (std::int64_t i = 0; i < n; ++i) {
      T g_i = sign * g[i];
      if (decay != 0) g_i += decay * p[i];
      if (shrink != 1) p[i] *= shrink;
      f(p[i], g_i, i);
    }
  }
};

template <class T>
void run(const std::string& kind, const UpdateRule& r, std::int64_t step, const Elements<T>& e,
         double* mu_product) {
  const auto t = static_cast<double>(step);
  const T lr = static_cast<T>(r.lr), eps = static_cast<T>(r.eps);
  const T b1 = static_cast<T>(1 - r.beta1), b2 = static_cast<T>(r.beta2),
          keep2 = static_cast<T>(1 - r.beta2);
  const double correction1 = 1 - std::pow(r.beta1, t), correction2 = 1 - std::pow(r.beta2, t);
  T *s0 = e.s[0], *s1 = e.s[1], *s2 = e.s[2];
  auto moments = [=](T g, std::int64_t i) {
    s0[i] += b1 * (g - s0[i]);
    s1[i] = b2 * s1[i] + keep2 * g * g;
  };

  if (kind == "sgd") {
    if (s0 == nullptr) return e.each([=](T& p, T g, std::int64_t) { p -= lr * g; });
    const T momentum = static_cast<T>(r.momentum);
    const T keep = static_cast<T>(1 - r.dampening);
    const bool first = step == 1, nesterov = r.nesterov;
    return e.each([=](T& p, T g, std::int64_t i) {
      s0[i] = first ? g : momentum * s0[i] + keep * g;
      p -= lr * (nesterov ? g + momentum * s0[i] : s0[i]);
    });
  }
  if (kind == "adam") {
    const T size = static_cast<T>(r.lr / correction1);
    const T root = static_cast<T>(std::sqrt(correction2));
    const bool largest = r.amsgrad;
    return e.each([=](T& p, T g, std::int64_t i) {
      moments(g, i);
      T v = s1[i];
      if (largest) v = s2[i] = std::max(s2[i], v);
      p -= size * (s0[i] / (std::sqrt(v) / root + eps));
    });
  }
  if (kind == "rmsprop") {
    const T alpha = static_cast<T>(r.alpha), rest = static_cast<T>(1 - r.alpha);
    const T momentum = static_cast<T>(r.momentum);
    return e.each([=](T& p, T g, std::int64_t i) {
      s0[i] = alpha * s0[i] + rest * g * g;
      T v = s0[i];
      if (s2 != nullptr) {
        s2[i] += rest * (g - s2[i]);
        v -= s2[i] * s2[i];
      }
      T change = g / (std::sqrt(v) + eps);
      if (s1 != nullptr) change = s1[i] = momentum * s1[i] + change;
      p -= lr * change;
    });
  }
  if (kind == "adagrad") {
    const T rate = static_cast<T>(r.lr / (1 + (t - 1) * r.lr_decay));
    return e.each([=](T& p, T g, std::int64_t i) {
      s0[i] += g * g;
      p -= rate * g / (std::sqrt(s0[i]) + eps);
    });
  }
  if (kind == "adadelta") {
    const T rho = static_cast<T>(r.rho), rest = static_cast<T>(1 - r.rho);
    return e.each([=](T& p, T g, std::int64_t i) {
      s0[i] = rho * s0[i] + rest * g * g;
      const T delta = std::sqrt(s1[i] + eps) / std::sqrt(s0[i] + eps) * g;
      s1[i] = rho * s1[i] + rest * delta * delta;
      p -= lr * delta;
    });
  }
  if (kind == "adamax") {
    const T rate = static_cast<T>(r.lr / correction1);
    return e.each([=](T& p, T g, std::int64_t i) {
      s0[i] += b1 * (g - s0[i]);
      s1[i] = std::max(b2 * s1[i], std::abs(g) + eps);
      p -= rate * s0[i] / s1[i];
    });
  }
  if (kind == "nadam") {
    const double mu = r.beta1 * (1 - 0.5 * std::pow(0.96, t * r.momentum_decay));
    const double next = r.beta1 * (1 - 0.5 * std::pow(0.96, (t + 1) * r.momentum_decay));
    check(mu_product != nullptr, "nadam: the product of momenta is missing");
    *mu_product *= mu;
    const T of_g = static_cast<T>(r.lr * (1 - mu) / (1 - *mu_product));
    const T of_m = static_cast<T>(r.lr * next / (1 - *mu_product * next));
    const T correction = static_cast<T>(correction2);
    return e.each([=](T& p, T g, std::int64_t i) {
      moments(g, i);
      const T denominator = std::sqrt(s1[i] / correction) + eps;
      p -= of_g * g / denominator + of_m * s0[i] / denominator;
    });
  }
  check(kind == "radam", "update: unknown rule '", kind, "'");
  const double rho_inf = 2 / (1 - r.beta2) - 1;
  const double rho = rho_inf - 2 * t * std::pow(r.beta2, t) / correction2;
  const T size = static_cast<T>(r.lr / correction1);
  if (rho > 5) {
    const double rectify =
        std::sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho));
    const T scale = static_cast<T>(rectify * std::sqrt(correction2));
    return e.each([=](T& p, T g, std::int64_t i) {
      moments(g, i);
      p -= size * s0[i] * (scale / (std::sqrt(s1[i]) + eps));
    });
  }
  e.each([=](T& p, T g, std::int64_t i) {
    moments(g, i);
    p -= size * s0[i];
  });
}

}  // namespace

void update(const std::string& kind, const UpdateRule& rule, std::int64_t step, Tensor& parameter,
            const Tensor& gradient, std::span<Tensor*> state, double* mu_product) {
  check<ShapeError>(gradient.shape() == parameter.shape(), kind, ": gradient of shape ",
                    gradient.shape(), " for a parameter of shape ", parameter.shape());
  const Tensor g = ops::cast(gradient, parameter.dtype());
  visit_dtype(parameter.dtype(), [&]<class T>(TypeTag<T>) {
    if constexpr (std::is_floating_point_v<T>) {
      Elements<T> e{};
      e.n = parameter.size();
      e.g = g.template data<T>();
      for (std::size_t i = 0; i < state.size() && i < 3; ++i) {
        if (state[i] == nullptr) continue;
        check<ShapeError>(state[i]->spec() == parameter.spec(), kind,
                          ": the state of a parameter of shape ", parameter.shape(), " has shape ",
                          state[i]->shape());
        e.s[i] = static_cast<T*>(writable_elements(*state[i]));
      }
      e.p = static_cast<T*>(writable_elements(parameter));
      e.sign = rule.maximize ? T(-1) : T(1);
      e.decay = rule.decoupled ? T(0) : static_cast<T>(rule.weight_decay);
      e.shrink = rule.decoupled ? static_cast<T>(1 - rule.lr * rule.weight_decay) : T(1);
      run<T>(kind, rule, step, e, mu_product);
    } else {
      throw DTypeError(
          detail::format(kind, ": expected float parameters, got ", name(parameter.dtype())));
    }
  });
}

}  // namespace lamella
