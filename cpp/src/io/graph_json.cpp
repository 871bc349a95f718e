// Graphs as JSON.
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "graph/graph_data.h"
#include "lamella/io.h"

namespace lamella::io {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string encode(const void* data, std::size_t n) {
  const auto* p = static_cast<const unsigned char*>(data);
  std::string out;
  out.reserve((n + 2) / 3 * 4);
  for (std::size_t i = 0; i < n; i += 3) {
    const std::size_t left = n - i;
    const unsigned v = static_cast<unsigned>(p[i]) << 16 |
                       (left > 1 ? static_cast<unsigned>(p[i + 1]) << 8 : 0u) |
                       (left > 2 ? static_cast<unsigned>(p[i + 2]) : 0u);
    out += kBase64[v >> 18 & 63];
    out += kBase64[v >> 12 & 63];
    out += left > 1 ? kBase64[v >> 6 & 63] : '=';
    out += left > 2 ? kBase64[v & 63] : '=';
  }
  return out;
}

std::vector<unsigned char> decode(const std::string& text) {
  std::vector<unsigned char> out;
  unsigned v = 0;
  int bits = 0;
  for (char c : text) {
    if (c == '=') break;
    const char* at = std::strchr(kBase64, c);
    check<IoError>(at != nullptr && c != '\0', "graph: a constant is not valid base64");
    v = v << 6 | static_cast<unsigned>(at - kBase64);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out.push_back(static_cast<unsigned char>(v >> bits & 0xff));
    }
  }
  return out;
}

Json to_json(Dim d) { return d.known() ? Json(d.value()) : Json(d.str()); }
Dim to_dim(const Json& j) {
  return j.is_string() ? Dim::parse(j.get<std::string>()) : Dim(j.get<std::int64_t>());
}
Json to_json(const Shape& s) {
  Json out = Json::array();
  for (Dim d : s) out.push_back(to_json(d));
  return out;
}
Shape to_shape(const Json& j) {
  Shape s;
  for (const auto& d : j) s.push_back(to_dim(d));
  return s;
}
Json to_json(const Spec& s) {
  return {{"dtype", std::string(name(s.dtype))}, {"shape", to_json(s.shape)}};
}
Spec to_spec(const Json& j) {
  return {to_shape(j.at("shape")), parse_dtype(j.at("dtype").get<std::string>())};
}

struct Writer final : AttrVisitor {
  Json out = Json::object();
  void attr(const char* key, std::int64_t& v) override { out[key] = v; }
  void attr(const char* key, double& v) override {
    // JSON has no infinities.
    if (std::isfinite(v))
      out[key] = v;
    else
      out[key] = std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
  }
  void attr(const char* key, bool& v) override { out[key] = v; }
  void attr(const char* key, std::vector<std::int64_t>& v) override { out[key] = v; }
  void attr(const char* key, std::vector<Dim>& v) override {
    Json list = Json::array();
    for (Dim d : v) list.push_back(to_json(d));
    out[key] = list;
  }
  void attr(const char* key, Tensor& v) override {
    out[key] = to_json(v.spec());
    out[key]["data"] = encode(v.raw(), v.nbytes());
  }
  void choice(const char* key, int& v, std::span<const char* const> names) override {
    out[key] = names[static_cast<std::size_t>(v)];
  }
};

struct Reader final : AttrVisitor {
  const Json& in;
  explicit Reader(const Json& j) : in(j) {}
  void attr(const char* key, std::int64_t& v) override { v = in.at(key).get<std::int64_t>(); }
  void attr(const char* key, double& v) override {
    const Json& j = in.at(key);
    if (!j.is_string()) {
      v = j.get<double>();
      return;
    }
    const auto text = j.get<std::string>();
    v = text == "nan" ? std::nan("") : text == "inf" ? HUGE_VAL : -HUGE_VAL;
  }
  void attr(const char* key, bool& v) override { v = in.at(key).get<bool>(); }
  void attr(const char* key, std::vector<std::int64_t>& v) override {
    v = in.at(key).get<std::vector<std::int64_t>>();
  }
  void attr(const char* key, std::vector<Dim>& v) override {
    v.clear();
    for (const auto& d : in.at(key)) v.push_back(to_dim(d));
  }
  void attr(const char* key, Tensor& v) override {
    const Spec s = to_spec(in.at(key));
    const auto bytes = decode(in.at(key).at("data").get<std::string>());
    check<IoError>(bytes.size() == static_cast<std::size_t>(s.shape.size()) * size_of(s.dtype),
                   "graph: a constant of shape ", s.shape, " has ", bytes.size(), " bytes");
    v = Tensor::copy_of(bytes.data(), static_cast<std::size_t>(s.shape.size()), s.shape, s.dtype);
  }
  void choice(const char* key, int& v, std::span<const char* const> names) override {
    const auto text = in.at(key).get<std::string>();
    for (std::size_t i = 0; i < names.size(); ++i)
      if (text == names[i]) {
        v = static_cast<int>(i);
        return;
      }
    throw IoError("graph: unknown value '" + text + "' of attribute '" + key +
                  "'; the file was written by a newer version of lamella");
  }
};

Json to_json(ValueRef v) { return Json::array({v.node, v.index}); }

}  // namespace

std::string graph_to_json(const Graph& graph, const std::vector<std::string>& names) {
  const GraphData& g = *graph.data();
  check(names.size() == g.variables.size(), "graph: expected ", g.variables.size(),
        " variable names, got ", names.size());
  Json nodes = Json::array();
  for (const Node& n : g.nodes) {
    Writer w;
    const_cast<Op&>(*n.op).visit(w);  // the visitor only looks
    Json in = Json::array(), out = Json::array();
    for (ValueRef v : n.inputs) in.push_back(to_json(v));
    for (const Spec& s : n.outputs) out.push_back(to_json(s));
    Json j = {{"op", n.op->name()}, {"in", in}, {"out", out}};
    if (!w.out.empty()) j["attrs"] = w.out;
    if (!n.scope.empty()) j["scope"] = n.scope;
    nodes.push_back(j);
  }
  Json inputs = Json::array(), assigns = Json::array(), outputs = Json::array();
  for (const auto& i : g.inputs)
    inputs.push_back({{"name", i.name}, {"spec", to_json(i.spec)}, {"value", to_json(i.value)}});
  for (const auto& a : g.assigns)
    assigns.push_back({{"variable", a.variable}, {"value", to_json(a.value)}});
  for (const auto& o : g.outputs)
    outputs.push_back({{"name", o.name}, {"value", to_json(o.value)}});
  Json j = {{"symbols", g.symbols}, {"variables", names}, {"inputs", inputs},
            {"nodes", nodes},       {"assigns", assigns}, {"outputs", outputs}};
  if (g.loss.valid()) j["loss"] = to_json(g.loss);
  if (g.learning_rate.valid()) j["learning_rate"] = to_json(g.learning_rate);
  return j.dump();
}

Graph graph_from_json(const std::string& json, const std::map<std::string, Variable>& variables) {
  try {
    const Json j = Json::parse(json);
    auto data = std::make_shared<GraphData>();
    GraphData& g = *data;
    g.symbols = j.at("symbols").get<int>();
    check<IoError>(g.symbols >= 0 && g.symbols < 4096, "graph: ", g.symbols, " unknown sizes");
    for (const auto& item : j.at("variables")) {
      const auto key = item.get<std::string>();
      const auto it = variables.find(key);
      check<IoError>(it != variables.end(), "graph: variable '", key, "' is not in the file");
      const int at = g.variable_index(it->second);
      check<IoError>(at + 1 == static_cast<int>(g.variables.size()), "graph: variable '", key,
                     "' appears twice");
    }
    // Values may refer to earlier nodes only.
    auto value = [&](const Json& v) {
      const ValueRef r{v.at(0).get<int>(), v.at(1).get<int>()};
      check<IoError>(
          r.node >= 0 && r.node < static_cast<int>(g.nodes.size()) && r.index >= 0 &&
              r.index < static_cast<int>(g.nodes[static_cast<std::size_t>(r.node)].outputs.size()),
          "graph: a value refers to node ", r.node, " of ", g.nodes.size());
      return r;
    };
    for (const auto& n : j.at("nodes")) {
      std::unique_ptr<Op> op = create_op(n.at("op").get<std::string>());
      if (n.contains("attrs")) {
        Reader r(n.at("attrs"));
        op->visit(r);
      }
      std::vector<ValueRef> in;
      for (const auto& v : n.at("in")) in.push_back(value(v));
      std::vector<Spec> out;
      for (const auto& s : n.at("out")) out.push_back(to_spec(s));
      // The op itself says what it takes and gives; a file that says otherwise is damaged.
      const auto [least, most] = op->arity();
      check<IoError>(in.size() >= least && in.size() <= most, "graph: ", op->name(), " has ",
                     in.size(), " inputs");
      if (op->kind() == OpKind::kCompute || op->kind() == OpKind::kView) {
        std::vector<Spec> specs;
        for (ValueRef v : in) specs.push_back(g.spec(v));
        check<IoError>(op->infer(specs) == out, "graph: the outputs of ", op->name(),
                       " do not follow from its inputs");
      } else {
        check<IoError>(out.size() == 1, "graph: ", op->name(), " has ", out.size(), " outputs");
      }
      g.scope = n.value("scope", "");
      const ValueRef v = g.add(OpPtr(std::move(op)), std::move(in), std::move(out));
      const Op& made = *g.nodes.back().op;
      if (made.kind() == OpKind::kVariable) {
        const auto i = static_cast<const VariableOp&>(made).index;
        check<IoError>(i >= 0 && i < static_cast<std::int64_t>(g.variables.size()),
                       "graph: a node reads variable ", i, " of ", g.variables.size());
        const Spec have{g.variables[static_cast<std::size_t>(i)].shape(),
                        g.variables[static_cast<std::size_t>(i)].dtype()};
        check<IoError>(!g.nodes.back().outputs.empty() && g.nodes.back().outputs[0] == have,
                       "graph: variable '", g.variables[static_cast<std::size_t>(i)].name(),
                       "' has shape ", have.shape, ", the graph expects another");
        g.reads[static_cast<std::size_t>(i)] = v;
      }
    }
    g.scope.clear();
    for (const auto& i : j.at("inputs"))
      g.inputs.push_back(
          {i.at("name").get<std::string>(), to_spec(i.at("spec")), value(i.at("value"))});
    for (const auto& a : j.at("assigns")) {
      const int v = a.at("variable").get<int>();
      check<IoError>(v >= 0 && v < static_cast<int>(g.variables.size()),
                     "graph: an assignment to variable ", v, " of ", g.variables.size());
      g.assigns.push_back({v, value(a.at("value"))});
      const Spec& s = g.spec(g.assigns.back().value);
      check<IoError>(s.shape == g.variables[static_cast<std::size_t>(v)].shape() &&
                         s.dtype == g.variables[static_cast<std::size_t>(v)].dtype(),
                     "graph: an assignment does not fit variable '",
                     g.variables[static_cast<std::size_t>(v)].name(), "'");
    }
    for (const auto& o : j.at("outputs"))
      g.outputs.push_back({o.at("name").get<std::string>(), value(o.at("value"))});
    if (j.contains("loss")) g.loss = value(j.at("loss"));
    if (j.contains("learning_rate")) g.learning_rate = value(j.at("learning_rate"));
    return Graph(data);
  } catch (const nlohmann::json::exception& e) {
    throw IoError(std::string("graph: damaged: ") + e.what());
  }
}

}  // namespace lamella::io
