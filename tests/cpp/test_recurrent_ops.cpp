// The recurrent ops in graphs: any batch and time sizes, files, training; what may not fit raises.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "lamella/lamella.h"
#include "lamella/ops.h"

namespace lamella {
namespace {

constexpr std::int64_t kFeatures = 3, kUnits = 5;

Tensor noise(const Shape& shape, std::int64_t seed) {
  return ops::random_normal(Tensor::from<std::int64_t>({seed, 0}, Shape{2}), shape, 0, 0.5);
}

/// SimpleRNN, LSTM and GRU one on the other, and their weights.
struct Net {
  std::vector<Variable> variables;

  Net() {
    for (std::int64_t gates : {1, 4, 3}) {
      const std::int64_t columns = gates * kUnits, in = gates == 1 ? kFeatures : kUnits;
      const Shape bias = gates == 3 ? Shape{2, columns} : Shape{columns};
      for (const Shape& s : {Shape{in, columns}, Shape{kUnits, columns}, bias})
        variables.emplace_back(noise(s, static_cast<std::int64_t>(variables.size())),
                               "w" + std::to_string(variables.size()));
    }
  }
  Tensor operator()(const Tensor& x, const Tensor& mask) const {
    std::vector<Tensor> w;
    for (const Variable& v : variables) w.push_back(v.value());
    const Tensor h0 = ops::full(Shape{x.shape()[0], kUnits}, 0.1, DType::kFloat32);
    ops::RecurrentOptions relu, backwards;
    relu.activation = "relu";
    backwards.go_backwards = true;
    const Tensor a = ops::simple_rnn(x, h0, w[0], w[1], w[2], mask, relu).sequence;
    const auto b = ops::lstm(a, h0, h0, w[3], w[4], w[5], mask, backwards);
    const auto c = ops::gru(b.sequence, b.c, w[6], w[7], w[8], mask);
    return ops::add(c.h, b.h);
  }
  Graph graph() const {
    Graph g;
    const Graph::Trace trace(g);
    const Tensor x = g.input("x", {-1, -1, kFeatures}, DType::kFloat32);
    // Unknown sizes beyond the batch are independent of each other: the mask comes from x.
    const Tensor mask =
        ops::greater(ops::max(ops::abs(x), {2}), ops::full(Shape{}, 0.3, DType::kFloat32));
    g.output("y", (*this)(x, mask));
    return g;
  }
};

TEST(RecurrentOps, GraphRunsAnyBatchAndTimeAndSurvivesAFile) {
  const Net net;
  const Graph graph = net.graph();
  std::vector<std::string> names;
  std::map<std::string, Variable> by_name;
  for (const Variable& v : graph.variables()) {
    names.push_back(v.name());
    by_name.emplace(v.name(), v);
  }
  const std::string text = io::graph_to_json(graph, names);
  const Graph read = io::graph_from_json(text, by_name);
  EXPECT_EQ(io::graph_to_json(read, names), text);
  Executor before(graph), after(read);
  for (const auto& [batch, time] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {4, 7}, {33, 20}, {2, 0}}) {
    const Tensor x = noise(Shape{batch, time, kFeatures}, 50 + batch);
    const std::vector<Tensor> in = {x};
    const auto y = before.run(in)[0].to_vector<float>();
    EXPECT_EQ(y, after.run(in)[0].to_vector<float>());
    const Tensor mask =
        ops::greater(ops::max(ops::abs(x), {2}), ops::full(Shape{}, 0.3, DType::kFloat32));
    EXPECT_EQ(y, net(x, mask).to_vector<float>()) << batch << " " << time;
    std::vector<float> placed;
    const std::vector<RowSource> rows = {rows_of(x)};
    before.run(rows, [&](std::size_t output, const Spec& spec) {
      EXPECT_EQ(output, 0);
      EXPECT_EQ(spec.dtype, DType::kFloat32);
      placed.resize(static_cast<std::size_t>(spec.shape.size()));
      return placed.data();
    });
    EXPECT_EQ(y, placed);
  }
}

TEST(RecurrentOps, TrainingLearnsToRememberTheFirstStep) {
  const Net net;
  const Variable out(noise(Shape{kUnits, 1}, 90), "out");
  Graph g;
  {
    const Graph::Trace trace(g);
    const Tensor x = g.input("x", {-1, 6, kFeatures}, DType::kFloat32);
    const Tensor target =
        ops::slice(x, {Dim(0), Dim(0), Dim(0)}, {x.shape()[0], Dim(1), Dim(1)}, {1, 1, 1});
    const Tensor y = ops::matmul(net(x, {}), out.value());
    const Tensor loss =
        ops::mean(ops::square(ops::sub(y, ops::reshape(target, Shape{x.shape()[0], Dim(1)}))));
    g.set_loss(loss);
    g.output("loss", loss);
  }
  std::vector<Variable> trained = net.variables;
  trained.push_back(out);
  Optimizer adam("adam");
  adam.learning_rate().assign(Tensor::full(Shape{}, 0.02));
  adam.build(trained);
  Trainer trainer(g, &adam, trained);
  const Tensor x = noise(Shape{32, 6, kFeatures}, 91);
  const std::vector<RowSource> rows = {rows_of(x)};
  double first = 0, last = 0;
  for (int i = 0; i < 200; ++i) {
    last = trainer.step(rows)[0];
    if (i == 0) first = last;
  }
  EXPECT_LT(last, first / 10);
}

template <class F>
std::string message(F&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing thrown";
}

TEST(RecurrentOps, ErrorsSayWhatIsExpected) {
  const Tensor x = noise(Shape{2, 4, 3}, 1), h = noise(Shape{2, 5}, 2), k = noise(Shape{3, 20}, 3),
               u = noise(Shape{5, 20}, 4);
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  ops::RecurrentOptions gelu;
  gelu.activation = "gelu";
  EXPECT_TRUE(has(message([&] { ops::lstm(x, h, h, k, u, {}, {}, gelu); }),
                  "lstm: activation must be one of linear, relu, sigmoid, tanh, hard_sigmoid"));
  EXPECT_TRUE(has(message([&] { ops::gru(x, h, k, u); }), "gru"));
  EXPECT_TRUE(has(message([&] { ops::lstm(x, noise(Shape{2, 4}, 5), h, k, u); }),
                  "expected h0 of shape (2, 5)"));
  EXPECT_TRUE(has(message([&] { ops::lstm(x, h, h, noise(Shape{4, 20}, 6), u); }),
                  "needs a kernel of shape (3, 4 * units)"));
  EXPECT_TRUE(has(message([&] { ops::lstm(x, h, h, k, u, noise(Shape{5}, 7)); }),
                  "expected a bias of shape (20,)"));
  EXPECT_TRUE(has(message([&] { ops::lstm(x, h, h, k, u, {}, Tensor::zeros(Shape{2, 3})); }),
                  "expected mask of shape (2, 4)"));
  EXPECT_TRUE(has(message([&] { ops::lstm(h, h, h, k, u); }), "(batch, time, features)"));
}

}  // namespace
}  // namespace lamella
