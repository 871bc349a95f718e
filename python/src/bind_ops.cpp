// Every op by name.
#include "convert.h"
#include "fast_call.h"

namespace lamella::python {
namespace {

ops::Padding parse_padding(const std::string& s) {
  if (s == "valid") return ops::Padding::kValid;
  if (s == "same") return ops::Padding::kSame;
  if (s == "causal") return ops::Padding::kCausal;
  throw Error("padding: expected \"valid\", \"same\" or \"causal\", got \"" + s + "\"");
}

using Sizes = std::vector<std::int64_t>;

void bind_elementwise(py::module_& m) {
  struct Unary {
    const char* name;
    Tensor (*op)(const Tensor&);
  };
  static constexpr Unary kUnary[] = {
      {"neg", &ops::neg},
      {"abs", &ops::abs},
      {"sign", &ops::sign},
      {"square", &ops::square},
      {"exp", &ops::exp},
      {"expm1", &ops::expm1},
      {"log", &ops::log},
      {"log1p", &ops::log1p},
      {"sqrt", &ops::sqrt},
      {"rsqrt", &ops::rsqrt},
      {"reciprocal", &ops::reciprocal},
      {"sin", &ops::sin},
      {"cos", &ops::cos},
      {"tan", &ops::tan},
      {"asin", &ops::asin},
      {"acos", &ops::acos},
      {"atan", &ops::atan},
      {"sinh", &ops::sinh},
      {"cosh", &ops::cosh},
      {"tanh", &ops::tanh},
      {"erf", &ops::erf},
      {"erfinv", &ops::erfinv},
      {"bessel_i0", &ops::bessel_i0},
      {"floor", &ops::floor},
      {"ceil", &ops::ceil},
      {"round", &ops::round},
      {"sigmoid", &ops::sigmoid},
      {"softplus", &ops::softplus},
      {"relu", &ops::relu},
      {"silu", &ops::silu},
      {"softsign", &ops::softsign},
      {"selu", &ops::selu},
      {"hard_sigmoid", &ops::hard_sigmoid},
      {"hard_silu", &ops::hard_silu},
      {"isnan", &ops::isnan},
      {"isfinite", &ops::isfinite},
      {"logical_not", &ops::logical_not},
      {"stop_gradient", &ops::stop_gradient},
  };
  for (const Unary& u : kUnary) {
    auto* op = u.op;
    m.def(u.name, [op](py::object x) { return op(as_tensor(x)); }, py::arg("x"));
    add_fast_path(m, u.name, op);
  }
  struct Binary {
    const char* name;
    Tensor (*op)(const Tensor&, const Tensor&);
  };
  static constexpr Binary kBinary[] = {
      {"add", &ops::add},
      {"sub", &ops::sub},
      {"mul", &ops::mul},
      {"div", &ops::div},
      {"maximum", &ops::maximum},
      {"minimum", &ops::minimum},
      {"pow", &ops::pow},
      {"floor_div", &ops::floor_div},
      {"mod", &ops::mod},
      {"squared_difference", &ops::squared_difference},
      {"atan2", &ops::atan2},
      {"nextafter", &ops::nextafter},
      {"gcd", &ops::gcd},
      {"bit_and", &ops::bit_and},
      {"bit_or", &ops::bit_or},
      {"bit_xor", &ops::bit_xor},
      {"shift_left", &ops::shift_left},
      {"shift_right", &ops::shift_right},
      {"equal", &ops::equal},
      {"not_equal", &ops::not_equal},
      {"less", &ops::less},
      {"less_equal", &ops::less_equal},
      {"greater", &ops::greater},
      {"greater_equal", &ops::greater_equal},
      {"logical_and", &ops::logical_and},
      {"logical_or", &ops::logical_or},
      {"logical_xor", &ops::logical_xor},
  };
  for (const Binary& b : kBinary) {
    auto* op = b.op;
    m.def(
        b.name,
        [op](py::object x, py::object y) {
          auto [p, q] = operands(x, y);
          return op(p, q);
        },
        py::arg("x"), py::arg("y"));
    add_fast_path(m, b.name, op);
  }
  m.def(
      "gelu", [](py::object x, bool approximate) { return ops::gelu(as_tensor(x), approximate); },
      py::arg("x"), py::arg("approximate"));
  m.def(
      "leaky_relu", [](py::object x, double slope) { return ops::leaky_relu(as_tensor(x), slope); },
      py::arg("x"), py::arg("slope"));
  m.def(
      "elu", [](py::object x, double alpha) { return ops::elu(as_tensor(x), alpha); }, py::arg("x"),
      py::arg("alpha"));
  m.def(
      "clip",
      [](py::object x, double low, double high) { return ops::clip(as_tensor(x), low, high); },
      py::arg("x"), py::arg("low"), py::arg("high"));
  m.def(
      "cast",
      [](py::object x, const std::string& dtype) {
        return ops::cast(as_tensor(x), parse_dtype(dtype));
      },
      py::arg("x"), py::arg("dtype"));
  m.def(
      "where",
      [](py::object condition, py::object x, py::object y) {
        auto [p, q] = operands(x, y);
        return ops::where(as_tensor(condition), p, q);
      },
      py::arg("condition"), py::arg("x"), py::arg("y"));
}

void bind_shape_ops(py::module_& m) {
  auto tensors = [](py::handle parts) {
    std::vector<Tensor> list;
    for (py::handle h : parts) list.push_back(as_tensor(h));
    return list;
  };
  m.def(
      "full",
      [](py::object shape, double value, const std::string& dtype) {
        return ops::full(to_shape(shape), value, parse_dtype(dtype));
      },
      py::arg("shape"), py::arg("value"), py::arg("dtype"));
  m.def(
      "arange",
      [](double start, double stop, double step, const std::string& dtype) {
        return ops::arange(start, stop, step, parse_dtype(dtype));
      },
      py::arg("start"), py::arg("stop"), py::arg("step"), py::arg("dtype"));
  m.def(
      "reshape",
      [](py::object x, py::object shape) {
        int infer = -1;
        const Shape s = to_shape(shape, &infer);
        return ops::reshape(as_tensor(x), s, infer);
      },
      py::arg("x"), py::arg("shape"));
  m.def(
      "transpose",
      [](py::object x, py::object perm) { return ops::transpose(as_tensor(x), to_axes(perm)); },
      py::arg("x"), py::arg("perm") = py::none());
  m.def(
      "concat", [tensors](py::object parts, int axis) { return ops::concat(tensors(parts), axis); },
      py::arg("parts"), py::arg("axis"));
  m.def(
      "stack", [tensors](py::object parts, int axis) { return ops::stack(tensors(parts), axis); },
      py::arg("parts"), py::arg("axis"));
  m.def(
      "slice",
      [](py::object x, py::object starts, py::object stops, const Sizes& steps) {
        const Tensor t = as_tensor(x);
        std::vector<Dim> first, size;
        const Shape a = to_shape(starts), z = to_shape(stops);
        check<ShapeError>(a.rank() == t.rank() && z.rank() == t.rank() &&
                              static_cast<int>(steps.size()) == t.rank(),
                          "slice: expected one start, stop and step for each axis of shape ",
                          t.shape());
        for (int i = 0; i < t.rank(); ++i) {
          const auto step = steps[static_cast<std::size_t>(i)];
          check(step > 0, "slice: steps must be positive, got ", step, "; use flip to reverse");
          first.push_back(a[i]);
          size.push_back(step == 1 ? z[i] - a[i] : ceil_div(z[i] - a[i], Dim(step)));
        }
        return ops::slice(t, first, size, steps);
      },
      py::arg("x"), py::arg("starts"), py::arg("stops"), py::arg("steps"));
  m.def(
      "pad",
      [](py::object x, const std::vector<std::pair<std::int64_t, std::int64_t>>& widths,
         double value) { return ops::pad(as_tensor(x), widths, value); },
      py::arg("x"), py::arg("widths"), py::arg("value") = 0.0);
  m.def(
      "broadcast_to",
      [](py::object x, py::object shape) {
        return ops::broadcast_to(as_tensor(x), to_shape(shape));
      },
      py::arg("x"), py::arg("shape"));
  m.def(
      "gather",
      [](py::object x, py::object index, int axis) {
        return ops::gather(as_tensor(x), as_tensor(index), axis);
      },
      py::arg("x"), py::arg("index"), py::arg("axis"));
  m.def(
      "scatter_add",
      [](py::object x, py::object index, std::int64_t size, int axis) {
        return ops::scatter_add(as_tensor(x), as_tensor(index), size, axis);
      },
      py::arg("x"), py::arg("index"), py::arg("size"), py::arg("axis"));
  m.def(
      "one_hot",
      [](py::object index, std::int64_t classes, const std::string& dtype) {
        return ops::one_hot(as_tensor(index), classes, parse_dtype(dtype));
      },
      py::arg("index"), py::arg("classes"), py::arg("dtype"));
  m.def(
      "flip",
      [](py::object x, py::object axes) {
        const Tensor t = as_tensor(x);
        std::vector<int> a = to_axes(axes);
        if (a.empty())
          for (int i = 0; i < t.rank(); ++i) a.push_back(i);
        return ops::flip(t, a);
      },
      py::arg("x"), py::arg("axes") = py::none());
  m.def(
      "expand_dims", [](py::object x, int axis) { return ops::expand_dims(as_tensor(x), axis); },
      py::arg("x"), py::arg("axis"));
  m.def(
      "squeeze",
      [](py::object x, py::object axes) { return ops::squeeze(as_tensor(x), to_axes(axes)); },
      py::arg("x"), py::arg("axes") = py::none());
  // Both by an extra axis that is broadcast and then merged.
  m.def(
      "repeat",
      [](py::object x, std::int64_t n, int axis) {
        const Tensor t = as_tensor(x);
        const int a = axis < 0 ? axis + t.rank() : axis;
        Shape wide, merged;
        for (int i = 0; i < t.rank(); ++i) {
          wide.push_back(t.shape()[i]);
          if (i == a) wide.push_back(Dim(n));
          merged.push_back(i == a ? t.shape()[i] * Dim(n) : t.shape()[i]);
        }
        return ops::reshape(ops::broadcast_to(ops::expand_dims(t, a + 1), wide), merged);
      },
      py::arg("x"), py::arg("n"), py::arg("axis"));
  m.def(
      "tile",
      [](py::object x, const Sizes& reps) {
        Tensor t = as_tensor(x);
        const int rank = std::max(t.rank(), static_cast<int>(reps.size()));
        while (t.rank() < rank) t = ops::expand_dims(t, 0);
        for (int i = 0; i < static_cast<int>(reps.size()); ++i) {
          const int a = rank - static_cast<int>(reps.size()) + i;
          const std::int64_t n = reps[static_cast<std::size_t>(i)];
          if (n == 1) continue;
          Shape wide, merged;
          for (int k = 0; k < rank; ++k) {
            if (k == a) wide.push_back(Dim(n));
            wide.push_back(t.shape()[k]);
            merged.push_back(k == a ? t.shape()[k] * Dim(n) : t.shape()[k]);
          }
          t = ops::reshape(ops::broadcast_to(ops::expand_dims(t, a), wide), merged);
        }
        return t;
      },
      py::arg("x"), py::arg("reps"));
}

void bind_reductions(py::module_& m) {
  struct Reduction {
    const char* name;
    Tensor (*op)(const Tensor&, const ops::Axes&, bool);
  };
  static constexpr Reduction kReductions[] = {
      {"sum", &ops::sum},       {"prod", &ops::prod},     {"max", &ops::max},
      {"min", &ops::min},       {"mean", &ops::mean},     {"var", &ops::var},
      {"any", &ops::any},       {"all", &ops::all},       {"logsumexp", &ops::logsumexp},
      {"argmax", &ops::argmax}, {"argmin", &ops::argmin},
  };
  for (const Reduction& r : kReductions) {
    auto* op = r.op;
    m.def(
        r.name,
        [op](py::object x, py::object axis, bool keepdims) {
          // An empty tuple of axes reduces nothing, unlike None.
          const Tensor t = as_tensor(x);
          if (!axis.is_none() && !PyIndex_Check(axis.ptr()) && py::len(axis) == 0) return t;
          return op(t, to_axes(axis), keepdims);
        },
        py::arg("x"), py::arg("axis") = py::none(), py::arg("keepdims") = false);
  }
  m.def(
      "cumsum", [](py::object x, int axis) { return ops::cumsum(as_tensor(x), axis); },
      py::arg("x"), py::arg("axis"));
  m.def(
      "cumprod", [](py::object x, int axis) { return ops::cumprod(as_tensor(x), axis); },
      py::arg("x"), py::arg("axis"));
  m.def(
      "argsort",
      [](py::object x, int axis, bool descending) {
        return ops::argsort(as_tensor(x), axis, descending);
      },
      py::arg("x"), py::arg("axis") = -1, py::arg("descending") = false);
}

void bind_nn(py::module_& m) {
  m.def(
      "matmul", [](py::object a, py::object b) { return ops::matmul(as_tensor(a), as_tensor(b)); },
      py::arg("a"), py::arg("b"));
  add_fast_path(m, "matmul", &ops::matmul);
  m.def("cholesky", [](py::object x) { return ops::cholesky(as_tensor(x)); }, py::arg("x"));
  m.def(
      "triangular_solve",
      [](py::object a, py::object b, bool lower, bool transposed) {
        return ops::triangular_solve(as_tensor(a), as_tensor(b), lower, transposed);
      },
      py::arg("a"), py::arg("b"), py::arg("lower") = true, py::arg("transposed") = false);
  m.def(
      "solve", [](py::object a, py::object b) { return ops::solve(as_tensor(a), as_tensor(b)); },
      py::arg("a"), py::arg("b"));
  m.def("inverse", [](py::object x) { return ops::inverse(as_tensor(x)); }, py::arg("x"));
  m.def("det", [](py::object x) { return ops::det(as_tensor(x)); }, py::arg("x"));
  m.def("slogdet", [](py::object x) { return ops::slogdet(as_tensor(x)); }, py::arg("x"));
  m.def(
      "softmax", [](py::object x, int axis) { return ops::softmax(as_tensor(x), axis); },
      py::arg("x"), py::arg("axis") = -1);
  m.def(
      "log_softmax", [](py::object x, int axis) { return ops::log_softmax(as_tensor(x), axis); },
      py::arg("x"), py::arg("axis") = -1);
  m.def(
      "conv",
      [](py::object x, py::object w, const Sizes& strides, const std::string& padding,
         const Sizes& dilation, std::int64_t groups) {
        return ops::conv(as_tensor(x), as_tensor(w),
                         {strides, dilation, parse_padding(padding), groups});
      },
      py::arg("x"), py::arg("w"), py::arg("strides") = Sizes{}, py::arg("padding") = "valid",
      py::arg("dilation") = Sizes{}, py::arg("groups") = 1);
  m.def(
      "depthwise_conv",
      [](py::object x, py::object w, const Sizes& strides, const std::string& padding,
         const Sizes& dilation) {
        return ops::depthwise_conv(as_tensor(x), as_tensor(w),
                                   {strides, dilation, parse_padding(padding), 1});
      },
      py::arg("x"), py::arg("w"), py::arg("strides") = Sizes{}, py::arg("padding") = "valid",
      py::arg("dilation") = Sizes{});
  m.def(
      "conv_transpose",
      [](py::object x, py::object w, const Sizes& strides, const std::string& padding,
         const std::optional<Sizes>& output_padding, const Sizes& dilation) {
        return ops::conv_transpose(as_tensor(x), as_tensor(w),
                                   {strides, dilation, parse_padding(padding), 1},
                                   output_padding.value_or(Sizes{}));
      },
      py::arg("x"), py::arg("w"), py::arg("strides") = Sizes{}, py::arg("padding") = "valid",
      py::arg("output_padding") = py::none(), py::arg("dilation") = Sizes{});
  auto pooling = [](Tensor (*op)(const Tensor&, const ops::PoolOptions&)) {
    return [op](py::object x, const Sizes& size, const Sizes& strides, const std::string& padding) {
      return op(as_tensor(x), {size, strides, parse_padding(padding)});
    };
  };
  m.def("max_pool", pooling(&ops::max_pool), py::arg("x"), py::arg("pool_size"),
        py::arg("strides") = Sizes{}, py::arg("padding") = "valid");
  m.def("avg_pool", pooling(&ops::avg_pool), py::arg("x"), py::arg("pool_size"),
        py::arg("strides") = Sizes{}, py::arg("padding") = "valid");

  auto optional = [](const py::object& x) { return x.is_none() ? Tensor() : as_tensor(x); };
  m.def(
      "batch_norm",
      [optional](py::object x, py::object gamma, py::object beta, double epsilon) {
        const auto r = ops::batch_norm(as_tensor(x), optional(gamma), optional(beta), epsilon);
        return py::make_tuple(r.y, r.mean, r.var);
      },
      py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("epsilon"));
  m.def(
      "layer_norm",
      [optional](py::object x, py::object gamma, py::object beta, double epsilon) {
        return ops::layer_norm(as_tensor(x), optional(gamma), optional(beta), epsilon);
      },
      py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("epsilon"));

  m.def(
      "categorical_crossentropy",
      [](py::object target, py::object output, bool from_logits, int axis) {
        return ops::categorical_crossentropy(as_tensor(target), as_tensor(output), from_logits,
                                             axis);
      },
      py::arg("target"), py::arg("output"), py::arg("from_logits") = false, py::arg("axis") = -1);
  m.def(
      "sparse_categorical_crossentropy",
      [](py::object target, py::object output, bool from_logits, int axis) {
        return ops::sparse_categorical_crossentropy(as_tensor(target), as_tensor(output),
                                                    from_logits, axis);
      },
      py::arg("target"), py::arg("output"), py::arg("from_logits") = false, py::arg("axis") = -1);
  m.def(
      "binary_crossentropy",
      [](py::object target, py::object output, bool from_logits) {
        return ops::binary_crossentropy(as_tensor(target), as_tensor(output), from_logits);
      },
      py::arg("target"), py::arg("output"), py::arg("from_logits") = false);
}

void bind_recurrent(py::module_& m) {
  auto optional = [](const py::object& x) { return x.is_none() ? Tensor() : as_tensor(x); };
  m.def(
      "simple_rnn",
      [optional](py::object x, py::object h0, py::object kernel, py::object recurrent_kernel,
                 py::object bias, py::object mask, const std::string& activation,
                 bool go_backwards) {
        ops::RecurrentOptions options;
        options.activation = activation;
        options.go_backwards = go_backwards;
        const auto r =
            ops::simple_rnn(as_tensor(x), as_tensor(h0), as_tensor(kernel),
                            as_tensor(recurrent_kernel), optional(bias), optional(mask), options);
        return py::make_tuple(r.sequence, r.h);
      },
      py::arg("x"), py::arg("h0"), py::arg("kernel"), py::arg("recurrent_kernel"),
      py::arg("bias") = py::none(), py::arg("mask") = py::none(), py::arg("activation") = "tanh",
      py::arg("go_backwards") = false);
  m.def(
      "lstm",
      [optional](py::object x, py::object h0, py::object c0, py::object kernel,
                 py::object recurrent_kernel, py::object bias, py::object mask,
                 const std::string& activation, const std::string& recurrent_activation,
                 bool go_backwards) {
        const auto r = ops::lstm(as_tensor(x), as_tensor(h0), as_tensor(c0), as_tensor(kernel),
                                 as_tensor(recurrent_kernel), optional(bias), optional(mask),
                                 {activation, recurrent_activation, go_backwards});
        return py::make_tuple(r.sequence, r.h, r.c);
      },
      py::arg("x"), py::arg("h0"), py::arg("c0"), py::arg("kernel"), py::arg("recurrent_kernel"),
      py::arg("bias") = py::none(), py::arg("mask") = py::none(), py::arg("activation") = "tanh",
      py::arg("recurrent_activation") = "sigmoid", py::arg("go_backwards") = false);
  m.def(
      "gru",
      [optional](py::object x, py::object h0, py::object kernel, py::object recurrent_kernel,
                 py::object bias, py::object mask, const std::string& activation,
                 const std::string& recurrent_activation, bool reset_after, bool go_backwards) {
        const auto r = ops::gru(as_tensor(x), as_tensor(h0), as_tensor(kernel),
                                as_tensor(recurrent_kernel), optional(bias), optional(mask),
                                {activation, recurrent_activation, go_backwards, reset_after});
        return py::make_tuple(r.sequence, r.h);
      },
      py::arg("x"), py::arg("h0"), py::arg("kernel"), py::arg("recurrent_kernel"),
      py::arg("bias") = py::none(), py::arg("mask") = py::none(), py::arg("activation") = "tanh",
      py::arg("recurrent_activation") = "sigmoid", py::arg("reset_after") = true,
      py::arg("go_backwards") = false);
}

void bind_random(py::module_& m) {
  auto draw = [](Tensor (*op)(const Tensor&, const Shape&, double, double, DType)) {
    return [op](py::object key, py::object shape, double a, double b, const std::string& dtype) {
      return op(as_tensor(key), to_shape(shape), a, b, parse_dtype(dtype));
    };
  };
  m.def("random_uniform", draw(&ops::random_uniform), py::arg("key"), py::arg("shape"),
        py::arg("low") = 0.0, py::arg("high") = 1.0, py::arg("dtype") = "float32");
  m.def("random_normal", draw(&ops::random_normal), py::arg("key"), py::arg("shape"),
        py::arg("mean") = 0.0, py::arg("stddev") = 1.0, py::arg("dtype") = "float32");
  m.def("random_truncated_normal", draw(&ops::random_truncated_normal), py::arg("key"),
        py::arg("shape"), py::arg("mean") = 0.0, py::arg("stddev") = 1.0,
        py::arg("dtype") = "float32");
  m.def(
      "dropout",
      [](py::object x, py::object key, double rate, py::object noise_shape) {
        const Tensor t = as_tensor(x);
        Shape noise;
        if (!noise_shape.is_none()) {
          // None means the input's own size.
          int axis = 0;
          for (py::handle d : noise_shape) {
            noise.push_back(d.is_none()              ? t.shape()[axis]
                            : py::isinstance<Dim>(d) ? d.cast<Dim>()
                                                     : Dim(d.cast<std::int64_t>()));
            ++axis;
          }
        }
        return ops::dropout(t, as_tensor(key), rate, noise);
      },
      py::arg("x"), py::arg("key"), py::arg("rate"), py::arg("noise_shape") = py::none());
}

}  // namespace

void bind_ops(py::module_& m) {
  bind_elementwise(m);
  bind_shape_ops(m);
  bind_reductions(m);
  bind_fast_path(m);
  bind_nn(m);
  bind_recurrent(m);
  bind_random(m);
}

}  // namespace lamella::python
