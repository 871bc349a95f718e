#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "lamella/io.h"
#include "lamella/version.h"
#include "optim/optimizer_impl.h"

namespace lamella::io {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const OptimizerOptions& o) {
  return {{"momentum", o.momentum},
          {"rho", o.rho},
          {"beta_1", o.beta_1},
          {"beta_2", o.beta_2},
          {"epsilon", o.epsilon},
          {"initial_accumulator_value", o.initial_accumulator_value},
          {"weight_decay", o.weight_decay},
          {"clip_norm", o.clip_norm},
          {"clip_value", o.clip_value},
          {"global_clip_norm", o.global_clip_norm},
          {"nesterov", o.nesterov},
          {"centered", o.centered},
          {"amsgrad", o.amsgrad}};
}

OptimizerOptions to_options(const Json& j) {
  OptimizerOptions o;
  o.momentum = j.at("momentum");
  o.rho = j.at("rho");
  o.beta_1 = j.at("beta_1");
  o.beta_2 = j.at("beta_2");
  o.epsilon = j.at("epsilon");
  o.initial_accumulator_value = j.at("initial_accumulator_value");
  o.weight_decay = j.at("weight_decay");
  o.clip_norm = j.at("clip_norm");
  o.clip_value = j.at("clip_value");
  o.global_clip_norm = j.at("global_clip_norm");
  o.nesterov = j.at("nesterov");
  o.centered = j.at("centered");
  o.amsgrad = j.at("amsgrad");
  return o;
}

/// The optimizer's variables with their names in the file.
std::vector<std::pair<std::string, Variable>> optimizer_state(const Optimizer& o) {
  std::vector<std::pair<std::string, Variable>> out;
  out.emplace_back("optimizer/iteration", o.iterations());
  out.emplace_back("optimizer/learning_rate", o.learning_rate());
  if (o.u_product().defined()) out.emplace_back("optimizer/u_product", o.u_product());
  const auto slots = o.slots();
  for (std::size_t i = 0; i < slots.size(); ++i)
    for (const auto& [name, v] : slots[i])
      out.emplace_back("optimizer/" + std::to_string(i) + "/" + name, v);
  return out;
}

std::string join(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& s : lines) out += (out.empty() ? "" : "\n") + s;
  return out;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

}  // namespace

void save_model(const std::string& path, const ModelFile& model) {
  Archive archive;
  archive.metadata = model.metadata;
  archive.metadata["format"] = "lamella";
  archive.metadata["format_version"] = kFormatVersion;
  archive.metadata["lamella_version"] = LAMELLA_VERSION;

  std::map<const detail::VariableData*, std::string> names;
  auto add = [&](const std::string& name, const Variable& v) {
    if (names.emplace(v.data().get(), name).second) archive.tensors.emplace_back(name, v.value());
  };
  for (const auto& [name, v] : model.variables) add(name, v);
  if (model.optimizer)
    for (const auto& [name, v] : optimizer_state(*model.optimizer)) add(name, v);
  int unnamed = 0;
  auto name_of = [&](const Variable& v) {
    if (!names.contains(v.data().get())) add("state/" + std::to_string(unnamed++), v);
    return names.at(v.data().get());
  };
  for (const auto& [key, graph] : model.graphs) {
    std::vector<std::string> list;
    for (const Variable& v : graph.variables()) list.push_back(name_of(v));
    archive.metadata["graph." + key] = graph_to_json(graph, list);
  }
  if (model.optimizer) {
    const OptimizerState& s = *model.optimizer->state();
    Json variables = Json::array(), no_decay = Json::array();
    for (std::size_t i = 0; i < s.variables.size(); ++i) {
      variables.push_back(name_of(s.variables[i]));
      if (s.no_decay[i]) no_decay.push_back(i);
    }
    archive.metadata["optimizer"] = Json({{"kind", s.kind_name},
                                          {"options", to_json(s.options)},
                                          {"variables", variables},
                                          {"no_decay", no_decay}})
                                        .dump();
  }
  std::vector<std::string> reset;
  for (const Variable& v : model.metric_state) reset.push_back(name_of(v));
  archive.metadata["metric_state"] = join(reset);
  save_safetensors(path, archive);
}

ModelFile load_model(const std::string& path) {
  Archive archive = load_safetensors(path);
  ModelFile model;
  model.metadata = std::move(archive.metadata);
  check<IoError>(
      model.metadata["format"] == "lamella", path,
      ": a safetensors file, but not a lamella model: its metadata has no format=lamella");
  check<IoError>(model.metadata["format_version"] == kFormatVersion, path, ": format version '",
                 model.metadata["format_version"], "' is unknown, expected ", kFormatVersion,
                 "; the file was written by a newer version of lamella");
  try {
    std::set<std::string> trainable;
    Json optimizer;
    if (auto it = model.metadata.find("optimizer"); it != model.metadata.end()) {
      optimizer = Json::parse(it->second);
      for (const auto& v : optimizer.at("variables")) trainable.insert(v.get<std::string>());
    }
    std::map<std::string, Variable> by_name;
    for (auto& [name, t] : archive.tensors) {
      Variable v(t, name, trainable.contains(name));
      by_name[name] = v;
      if (!name.starts_with("optimizer/")) model.variables.emplace_back(name, v);
    }
    auto find = [&](const std::string& name) {
      const auto it = by_name.find(name);
      check<IoError>(it != by_name.end(), path, ": tensor '", name, "' is missing");
      return it->second;
    };
    if (!optimizer.is_null()) {
      model.optimizer.emplace(optimizer.at("kind").get<std::string>(),
                              to_options(optimizer.at("options")));
      std::vector<Variable> variables;
      for (const auto& name : optimizer.at("variables"))
        variables.push_back(find(name.get<std::string>()));
      model.optimizer->build(variables);
      for (const auto& i : optimizer.at("no_decay")) {
        const auto at = i.get<std::size_t>();
        check<IoError>(at < variables.size(), path, ": optimizer: bad index ", at);
        model.optimizer->exclude_from_weight_decay({variables[at]});
      }
      for (auto& [name, v] : optimizer_state(*model.optimizer)) {
        v.assign(find(name).value());
        by_name[name] = v;  // graphs read the optimizer's own variables (a schedule's step count)
      }
    }
    for (const auto& [key, text] : model.metadata)
      if (key.starts_with("graph.")) model.graphs[key.substr(6)] = graph_from_json(text, by_name);
    for (const std::string& name : split(model.metadata["metric_state"]))
      model.metric_state.push_back(find(name));
  } catch (const nlohmann::json::exception& e) {
    throw IoError(path + ": damaged: " + e.what());
  } catch (const IoError& e) {
    const std::string what = e.what();
    throw IoError(what.starts_with(path) ? what : path + ": " + what);
  } catch (const Error& e) {
    throw IoError(path + ": damaged: " + e.what());
  }
  return model;
}

}  // namespace lamella::io
