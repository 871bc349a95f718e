// What lamella.torch needs beside the ops: its tensor class over the core's handle, assignment in
// place, hooks, custom gradients and update rules.
#include "convert.h"
#include "fast_call.h"
#include "lamella/inplace.h"

namespace lamella::python {
namespace {

/// Releases Python functions that may die in a thread without the GIL.
struct PythonFunction {
  std::shared_ptr<py::object> object;
  explicit PythonFunction(py::object f)
      : object(new py::object(std::move(f)), [](py::object* o) {
          py::gil_scoped_acquire gil;
          delete o;
        }) {}
};

Tensor optional_tensor(const py::object& o) {
  return o.is_none() ? Tensor() : o.cast<const Tensor&>();
}

UpdateRule rule_from(const py::dict& group) {
  UpdateRule r;
  for (const auto& [key, value] : group) {
    const auto k = key.cast<std::string_view>();
    if (k == "params") continue;
    if (k == "betas") {
      const py::sequence pair = py::reinterpret_borrow<py::sequence>(value);
      r.beta1 = pair[0].cast<double>();
      r.beta2 = pair[1].cast<double>();
      continue;
    }
    if (!PyFloat_Check(value.ptr()) && !PyLong_Check(value.ptr())) continue;
    struct Number {
      std::string_view name;
      double UpdateRule::* field;
    };
    static constexpr Number kNumbers[] = {
        {"lr", &UpdateRule::lr},
        {"momentum", &UpdateRule::momentum},
        {"dampening", &UpdateRule::dampening},
        {"weight_decay", &UpdateRule::weight_decay},
        {"eps", &UpdateRule::eps},
        {"alpha", &UpdateRule::alpha},
        {"rho", &UpdateRule::rho},
        {"lr_decay", &UpdateRule::lr_decay},
        {"momentum_decay", &UpdateRule::momentum_decay},
    };
    struct Flag {
      std::string_view name;
      bool UpdateRule::* field;
    };
    static constexpr Flag kFlags[] = {
        {"nesterov", &UpdateRule::nesterov},
        {"maximize", &UpdateRule::maximize},
        {"amsgrad", &UpdateRule::amsgrad},
        {"centered", &UpdateRule::centered},
        {"decoupled_weight_decay", &UpdateRule::decoupled},
    };
    for (const Number& n : kNumbers)
      if (n.name == k) r.*n.field = PyFloat_AsDouble(value.ptr());
    for (const Flag& f : kFlags)
      if (f.name == k) r.*f.field = PyObject_IsTrue(value.ptr()) == 1;
  }
  return r;
}

void bind_gradients(py::module_& m) {
  m.def(
      "torch_backward",
      [](const Tensor& t, const py::object& gradient, bool retain_graph, bool create_graph) {
        const Tensor g = optional_tensor(gradient);
        py::gil_scoped_release release;
        backward(t, g, retain_graph, create_graph);
      },
      py::arg("x"), py::arg("gradient"), py::arg("retain_graph"), py::arg("create_graph"),
      "Adds the gradient of x to the .grad of every leaf it was computed from.");
  m.def(
      "clear_gradients",
      [](const py::list& tensors) {
        for (py::handle t : tensors) clear_gradient(t.cast<const Tensor&>());
      },
      py::arg("tensors"), "Forgets the gradients of all of them.");
  m.def("has_gradient", [](const Tensor& t) { return t.grad().defined(); }, py::arg("x"));
  m.def(
      "add_hook",
      [](const Tensor& t, py::object hook) {
        return add_hook(t, [f = PythonFunction(std::move(hook))](const Tensor& g) {
          py::gil_scoped_acquire gil;
          return optional_tensor((*f.object)(g));
        });
      },
      py::arg("x"), py::arg("hook"), "Calls hook(gradient) in each backward pass.");
  m.def("remove_hook", &remove_hook, py::arg("x"), py::arg("id"));
  m.def("retain_gradient", &retain_gradient, py::arg("x"),
        "Lets backward() keep the gradient of a result.");
  m.def("producer", &producer, py::arg("x"), "The op that made x; empty for a leaf.");
  m.def(
      "record_custom",
      [](const std::string& name, const std::vector<Tensor>& inputs,
         const std::vector<Tensor>& outputs, py::object vjp) {
        auto call = [f = PythonFunction(std::move(vjp))](std::span<const Tensor> grads) {
          py::gil_scoped_acquire gil;
          py::list list;
          for (const Tensor& g : grads) list.append(g);
          std::vector<Tensor> result;
          for (py::handle h : (*f.object)(list))
            result.push_back(optional_tensor(py::reinterpret_borrow<py::object>(h)));
          return result;
        };
        return record_custom(name, inputs, outputs, std::move(call));
      },
      py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("vjp"),
      "Outputs on the tape as computed from the inputs; vjp turns a list of gradients of the "
      "outputs into those of the inputs.");
  m.def("is_leaf", [](const Tensor& t) { return t.is_leaf(); }, py::arg("x"));
  m.def(
      "same_value", [](const Tensor& a, const Tensor& b) { return same(a, b); }, py::arg("a"),
      py::arg("b"), "Whether two tensors are one value.");

  struct GradState {
    bool enabled;
    std::vector<std::unique_ptr<GradMode>> modes;
  };
  py::class_<GradState>(m, "grad_mode", "Context in which recording of eager ops is on or off.")
      .def(py::init([](bool enabled) { return GradState{enabled, {}}; }), py::arg("enabled"))
      .def("__enter__",
           [](GradState& s) { s.modes.push_back(std::make_unique<GradMode>(s.enabled)); })
      .def("__exit__", [](GradState& s, const py::args&) {
        if (!s.modes.empty()) s.modes.pop_back();
      });
}

void bind_inplace(py::module_& m) {
  m.def(
      "rebind", [](Tensor& t, const Tensor& value, bool keep) { rebind(t, value, keep); },
      py::arg("x"), py::arg("value"), py::arg("keep_history"),
      "Makes x name the elements of value, as an assignment in place does.");
  m.def(
      "shared_array",
      [](const Tensor& t) {
        pin_memory(t);
        return take(Tensor(t));
      },
      py::arg("x"),
      "A writable array over the memory of x; later assignments in place write there.");
  m.def(
      "writable_array",
      [](Tensor& t) {
        writable_elements(t);
        return take(Tensor(t));
      },
      py::arg("x"),
      "A writable array over the elements of x, for one assignment; x has a copy of its own when "
      "others share them.");
  m.def(
      "share_array",
      [](const py::array& a) {
        check(a.writeable(), "from_numpy: expected a writable array; pass a copy of it");
        Tensor t = from_numpy(a, py::bool_(false));
        pin_memory(t);
        return t;
      },
      py::arg("a"), "A tensor over the memory of a dense, writable array.");
  m.def(
      "memory_address", [](const Tensor& t) { return reinterpret_cast<std::uintptr_t>(t.raw()); },
      py::arg("x"));
  m.def(
      "linear",
      [](const Tensor& x, const Tensor& w, const py::object& b) {
        return ops::linear(x, w, optional_tensor(b));
      },
      py::arg("x"), py::arg("w"), py::arg("b"), "x w^T + b.");
  m.def("sum_all", [](const Tensor& x) { return ops::sum(x); }, py::arg("x"));
  m.def("mean_all", [](const Tensor& x) { return ops::mean(x); }, py::arg("x"));
  add_fast_path(m, "sum_all", +[](const Tensor& x) { return ops::sum(x); });
  add_fast_path(m, "mean_all", +[](const Tensor& x) { return ops::mean(x); });
  m.def(
      "update",
      [](const std::string& kind, const py::dict& group, const py::list& steps,
         const py::list& parameters, const py::list& states, const py::object& mu_products) {
        const UpdateRule rule = rule_from(group);
        for (std::size_t i = 0; i < parameters.size(); ++i) {
          auto& p = parameters[i].cast<Tensor&>();
          const Tensor g = p.grad();
          if (!g.defined()) continue;
          Tensor* state[3] = {};
          const auto list = states[i].cast<py::tuple>();
          for (std::size_t k = 0; k < list.size() && k < 3; ++k)
            if (!list[k].is_none()) state[k] = &list[k].cast<Tensor&>();
          double product = mu_products.is_none() ? 1 : mu_products[py::int_(i)].cast<double>();
          update(kind, rule, steps[i].cast<std::int64_t>(), p, g, state, &product);
          if (!mu_products.is_none()) mu_products[py::int_(i)] = product;
        }
      },
      py::arg("kind"), py::arg("group"), py::arg("steps"), py::arg("parameters"), py::arg("states"),
      py::arg("mu_products") = py::none(),
      "One update of each parameter by the gradient it has, in place. states: one tuple of up to "
      "three tensors (or None) per parameter, in PyTorch's order.");
}

}  // namespace

void bind_torch(py::module_& m) {
  bind_gradients(m);
  bind_inplace(m);
  bind_torch_face(m);
}

}  // namespace lamella::python
