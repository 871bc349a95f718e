// Optimizer, Executor and Trainer. Computation runs without the GIL; callbacks take it.
#include "convert.h"

namespace lamella::python {

bool poll_signals() {
  py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  return false;
}

namespace {

struct Sources {
  std::vector<RowSource> rows;
  std::vector<py::object> keep;
  explicit Sources(py::handle arrays) {
    for (py::handle a : arrays) rows.push_back(to_source(a, keep));
  }
};

py::list take_all(std::vector<Tensor>&& tensors) {
  py::list out;
  for (Tensor& t : tensors) out.append(take(std::move(t)));
  return out;
}

std::function<bool(std::int64_t)> begin_hook(const py::object& f) {
  if (f.is_none()) return {};
  return [f](std::int64_t step) {
    py::gil_scoped_acquire gil;
    const py::object stop = f(step);
    return !stop.is_none() && stop.cast<bool>();
  };
}

std::function<bool(std::int64_t, std::span<const double>)> value_hook(const py::object& f) {
  if (f.is_none()) return {};
  return [f](std::int64_t step, std::span<const double> values) {
    py::gil_scoped_acquire gil;
    py::list list;
    for (double v : values) list.append(v);
    const py::object stop = f(step, list);
    return !stop.is_none() && stop.cast<bool>();
  };
}

OptimizerOptions options_from(const py::kwargs& hyper) {
  OptimizerOptions o;
  for (const auto& [key, value] : hyper) {
    const auto k = key.cast<std::string>();
    const double v = value.is_none() ? 0 : value.cast<double>();
    if (k == "learning_rate")
      o.learning_rate = v;
    else if (k == "momentum")
      o.momentum = v;
    else if (k == "nesterov")
      o.nesterov = v != 0;
    else if (k == "rho")
      o.rho = v;
    else if (k == "centered")
      o.centered = v != 0;
    else if (k == "beta_1")
      o.beta_1 = v;
    else if (k == "beta_2")
      o.beta_2 = v;
    else if (k == "epsilon")
      o.epsilon = v;
    else if (k == "amsgrad")
      o.amsgrad = v != 0;
    else if (k == "initial_accumulator_value")
      o.initial_accumulator_value = v;
    else if (k == "weight_decay")
      o.weight_decay = v;
    else if (k == "clip_norm")
      o.clip_norm = v;
    else if (k == "clip_value")
      o.clip_value = v;
    else if (k == "global_clip_norm")
      o.global_clip_norm = v;
    else
      throw py::type_error("Optimizer: unknown hyper-parameter '" + k + "'");
  }
  return o;
}

void bind_optimizer(py::module_& m) {
  py::class_<Optimizer>(m, "Optimizer", "An update rule with its state.")
      .def(py::init([](const std::string& kind, const py::kwargs& hyper) {
             return Optimizer(kind, options_from(hyper));
           }),
           py::arg("kind"))
      .def_property_readonly("kind", &Optimizer::kind)
      .def_property_readonly("built", &Optimizer::built)
      .def("build", &Optimizer::build, py::arg("variables"))
      .def_property_readonly("variables", &Optimizer::variables)
      .def_property_readonly("slots",
                             [](const Optimizer& o) {
                               py::list out;
                               for (const auto& named : o.slots()) {
                                 py::dict d;
                                 for (const auto& [name, v] : named) d[py::str(name)] = v;
                                 out.append(d);
                               }
                               return out;
                             })
      .def_property_readonly("iterations", &Optimizer::iterations)
      .def_property_readonly("learning_rate", &Optimizer::learning_rate)
      .def_property_readonly("u_product",
                             [](const Optimizer& o) -> py::object {
                               const Variable v = o.u_product();
                               return v.defined() ? py::cast(v) : py::none();
                             })
      .def("exclude_from_weight_decay", &Optimizer::exclude_from_weight_decay, py::arg("variables"))
      .def(
          "apply",
          [](Optimizer& o, const std::vector<std::optional<Tensor>>& gradients) {
            std::vector<Tensor> g;
            for (const auto& t : gradients) g.push_back(t.value_or(Tensor()));
            py::gil_scoped_release release;
            o.apply(g);
          },
          py::arg("gradients"), "One update from eager gradients (None: leave as it is).");
}

/// The profile of an Executor or a Trainer as a list of dicts.
template <class Runner>
py::list profile(Runner& runner, py::object arrays, int repeats) {
  Sources s(arrays);
  std::vector<ProfileLine> lines;
  {
    py::gil_scoped_release release;
    lines = runner.profile(s.rows, repeats);
  }
  py::list out;
  for (const ProfileLine& l : lines) {
    py::list shapes;
    for (const Spec& spec : l.outputs) shapes.append(shape_tuple(spec.shape));
    py::dict d;
    d["op"] = l.op;
    d["scope"] = l.scope;
    d["shapes"] = shapes;
    d["dtype"] = l.outputs.empty() ? "" : std::string(name(l.outputs[0].dtype));
    d["seconds"] = l.seconds;
    d["flops"] = l.flops;
    d["bytes"] = l.bytes;
    out.append(d);
  }
  return out;
}

void bind_executor(py::module_& m) {
  py::class_<Executor>(m, "Executor", "Runs a Graph on arrays. Safe to use from many threads.")
      .def(py::init<const Graph&>(), py::arg("graph"))
      .def(
          "__call__",
          [](Executor& e, py::object arrays) {
            Sources s(arrays);
            std::vector<Tensor> out;
            {
              py::gil_scoped_release release;
              out = e.run(s.rows);
            }
            return take_all(std::move(out));
          },
          py::arg("arrays"), "One batch: a list of arrays in, a list of arrays out.")
      .def(
          "map",
          [](Executor& e, py::object arrays, std::int64_t batch_size, py::object progress) {
            Sources s(arrays);
            std::vector<Tensor> out;
            std::function<void(std::int64_t)> show;
            if (!progress.is_none())
              show = [&progress](std::int64_t step) {
                py::gil_scoped_acquire gil;
                progress(step);
              };
            {
              py::gil_scoped_release release;
              out = e.map(s.rows, batch_size, poll_signals, show);
            }
            return take_all(std::move(out));
          },
          py::arg("arrays"), py::arg("batch_size"), py::arg("progress") = py::none(),
          "All rows in batches; outputs are concatenated.")
      .def(
          "profile",
          [](Executor& e, py::object arrays, int repeats) { return profile(e, arrays, repeats); },
          py::arg("arrays"), py::arg("repeats") = 10,
          "Time, FLOPs and bytes of every kernel call of one batch.");
}

void bind_trainer(py::module_& m) {
  py::class_<Trainer>(m, "Trainer", "Trains a Graph, or evaluates it without an optimizer.")
      .def(py::init(
               [](const Graph& g, Optimizer* optimizer, const std::vector<Variable>& variables) {
                 if (optimizer != nullptr) optimizer->build(variables);
                 return std::make_unique<Trainer>(g, optimizer, variables);
               }),
           py::arg("graph"), py::arg("optimizer") = nullptr,
           py::arg("variables") = std::vector<Variable>{})
      .def(
          "step",
          [](Trainer& t, py::object arrays, const std::vector<Variable>& reset) {
            Sources s(arrays);
            py::gil_scoped_release release;
            return t.step(s.rows, poll_signals, reset);
          },
          py::arg("arrays"), py::arg("reset") = std::vector<Variable>{},
          "One batch, with the variables of `reset` set to zero first; the graph's outputs after "
          "it.")
      .def(
          "epoch",
          [](Trainer& t, py::object arrays, std::int64_t batch_size, bool shuffle,
             std::uint64_t seed, std::int64_t epoch, py::object on_batch_begin,
             py::object on_batch_end, py::object progress, double progress_interval,
             std::optional<std::int64_t> steps) {
            Sources s(arrays);
            EpochOptions o;
            o.batch_size = batch_size;
            o.shuffle = shuffle;
            o.seed = seed;
            o.epoch = epoch;
            o.max_steps = steps.value_or(0);
            o.on_batch_begin = begin_hook(on_batch_begin);
            o.on_batch_end = value_hook(on_batch_end);
            o.progress = value_hook(progress);
            o.progress_interval = progress_interval;
            o.poll = poll_signals;
            std::vector<double> values;
            {
              py::gil_scoped_release release;
              values = t.epoch(s.rows, o);
            }
            return values;
          },
          py::arg("arrays"), py::arg("batch_size"), py::arg("shuffle") = false, py::arg("seed") = 0,
          py::arg("epoch") = 0, py::arg("on_batch_begin") = py::none(),
          py::arg("on_batch_end") = py::none(), py::arg("progress") = py::none(),
          py::arg("progress_interval") = 0.1, py::arg("steps") = py::none(),
          "All batches of one epoch; the graph's outputs after the last one.")
      .def(
          "fit",
          [](Trainer& t, py::object arrays, std::int64_t batch_size, std::int64_t epochs,
             std::int64_t first_epoch, bool shuffle, std::uint64_t seed,
             const std::vector<Variable>& reset) {
            Sources s(arrays);
            EpochOptions o;
            o.batch_size = batch_size;
            o.shuffle = shuffle;
            o.seed = seed;
            o.epoch = first_epoch;
            o.poll = poll_signals;
            std::vector<double> values;
            {
              py::gil_scoped_release release;
              values = t.fit(s.rows, epochs, o, reset);
            }
            const auto n = static_cast<py::ssize_t>(t.graph().output_names().size());
            py::array_t<double> out({static_cast<py::ssize_t>(epochs), n});
            std::copy(values.begin(), values.end(), out.mutable_data());
            return out;
          },
          py::arg("arrays"), py::arg("batch_size"), py::arg("epochs"), py::arg("first_epoch") = 0,
          py::arg("shuffle") = false, py::arg("seed") = 0,
          py::arg("reset") = std::vector<Variable>{},
          "Many epochs without returning to Python; an array (epochs, outputs).")
      .def(
          "profile",
          [](Trainer& t, py::object arrays, int repeats) { return profile(t, arrays, repeats); },
          py::arg("arrays"), py::arg("repeats") = 10,
          "Time, FLOPs and bytes of every kernel call of a step. The steps are really taken.");
}

void bind_peaks(py::module_& m) {
  m.def(
      "measure_peaks",
      [] {
        MachinePeaks peaks;
        {
          py::gil_scoped_release release;
          peaks = measure_peaks();
        }
        py::list levels;
        for (const auto& l : peaks.levels) levels.append(py::make_tuple(l.bytes, l.bandwidth));
        py::dict d;
        d["threads"] = peaks.threads;
        d["flops32"] = peaks.flops32;
        d["flops64"] = peaks.flops64;
        d["levels"] = levels;
        return d;
      },
      "What this machine reaches: multiply-adds per second, and bytes per second of a copy within "
      "so many bytes of memory.");
}

}  // namespace

void bind_train(py::module_& m) {
  bind_optimizer(m);
  bind_executor(m);
  bind_trainer(m);
  bind_peaks(m);
  m.def("shuffled_order", &shuffled_order, py::arg("n"), py::arg("seed"), py::arg("epoch"),
        "The order in which a shuffled epoch visits the rows.");
}

}  // namespace lamella::python
