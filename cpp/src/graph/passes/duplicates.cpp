// Computes equal things once (the same op with equal attributes on the same values).
#include <cstring>
#include <map>

#include "graph/passes.h"

namespace lamella {
namespace {

/// All attributes as bytes.
struct Fingerprint final : AttrVisitor {
  std::string bytes;
  template <class T>
  void put(const T& v) {
    bytes.append(reinterpret_cast<const char*>(&v), sizeof v);
  }
  void attr(const char*, std::int64_t& v) override { put(v); }
  void attr(const char*, double& v) override { put(v); }
  void attr(const char*, bool& v) override { put(v); }
  void attr(const char*, std::vector<std::int64_t>& v) override {
    put(v.size());
    for (auto x : v) put(x);
  }
  void attr(const char*, std::vector<Dim>& v) override {
    put(v.size());
    for (auto x : v) put(x.raw());
  }
  void attr(const char*, Tensor& v) override {
    // Small constants compare by value, others by identity.
    put(v.dtype());
    for (Dim d : v.shape()) put(d.raw());
    if (v.nbytes() <= 64)
      bytes.append(static_cast<const char*>(v.raw()), v.nbytes());
    else
      put(v.raw());
  }
  void choice(const char*, int& v, std::span<const char* const>) override { put(v); }
};

}  // namespace

void merge_duplicates(GraphData& graph, std::span<ValueRef> extra) {
  std::map<std::string, int> seen;
  rebuild(graph, extra, [&](GraphData& out, int, Node node) {
    Fingerprint f;
    f.bytes = node.op->name();
    const_cast<Op&>(*node.op).visit(f);  // the visitor only looks
    for (ValueRef v : node.inputs) f.put(v);
    for (const Spec& s : node.outputs) {
      f.put(s.dtype);
      for (Dim d : s.shape) f.put(d.raw());
    }
    const int n = static_cast<int>(node.outputs.size());
    int at;
    if (auto it = seen.find(f.bytes); it != seen.end() && node.op->pure()) {
      at = it->second;
    } else {
      out.nodes.push_back(std::move(node));
      at = static_cast<int>(out.nodes.size()) - 1;
      seen.emplace(std::move(f.bytes), at);
    }
    std::vector<ValueRef> values;
    for (int k = 0; k < n; ++k) values.push_back({at, k});
    return values;
  });
}

}  // namespace lamella
