// What Python cannot see of the core: allocations in a training step, copy on write, size
// arithmetic, damaged files, graphs as JSON, and the destruction of a long tape.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "lamella/lamella.h"
#include "tensor/pool.h"

// ---------------------------------------------------------------- every heap allocation is counted

namespace {
std::atomic<std::size_t> heap_allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  heap_allocations.fetch_add(1, std::memory_order_relaxed);
  // aligned_alloc wants a multiple of the alignment.
  const std::size_t rounded = (bytes + alignment) / alignment * alignment;
  void* p = std::aligned_alloc(alignment, rounded);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
}  // namespace

void* operator new(std::size_t n) { return counted(n, alignof(std::max_align_t)); }
void* operator new[](std::size_t n) { return counted(n, alignof(std::max_align_t)); }
void* operator new(std::size_t n, std::align_val_t a) {
  return counted(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a) {
  return counted(n, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace {

using namespace lamella;
using i64 = std::int64_t;

/// Allocations (heap, memory pool) made since it was constructed.
class Count {
 public:
  std::size_t heap() const { return heap_allocations.load() - heap_; }
  std::size_t pool() const { return detail::pool_allocations() - pool_; }

 private:
  std::size_t heap_ = heap_allocations.load();
  std::size_t pool_ = detail::pool_allocations();
};

class Threads {
 public:
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_ = num_threads();
};

Tensor uniform(const Shape& shape, unsigned seed, double scale = 1) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<double> d(-scale, scale);
  std::vector<float> v(static_cast<std::size_t>(shape.size()));
  for (float& x : v) x = static_cast<float>(d(engine));
  return Tensor::from(v, shape);
}

Tensor labels(i64 n, int classes, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_int_distribution<int> d(0, classes - 1);
  std::vector<std::int32_t> v(static_cast<std::size_t>(n));
  for (auto& x : v) x = d(engine);
  return Tensor::from(v, Shape{n});
}

/// A traced model with its data.
struct Net {
  Graph graph;
  std::vector<Variable> weights, state;
  Tensor x, y;

  Variable add(const Tensor& value, const char* name, bool trainable = true) {
    (trainable ? weights : state).emplace_back(value, name, trainable);
    return (trainable ? weights : state).back();
  }
  Tensor dense(const Tensor& in, i64 from, i64 to, unsigned seed) {
    const Variable w = add(uniform(Shape{from, to}, seed, 0.3), "kernel");
    const Variable b = add(Tensor::zeros(Shape{to}), "bias");
    return ops::add(ops::matmul(in, w.value()), b.value());
  }
  void finish(const Tensor& probabilities, const Tensor& target) {
    const Tensor loss =
        ops::mean(ops::sparse_categorical_crossentropy(target, probabilities, false));
    graph.set_loss(loss);
    graph.output("loss", loss);
  }
  std::vector<RowSource> rows() const { return {rows_of(x), rows_of(y)}; }
  std::vector<float> bits() const {
    std::vector<float> all;
    for (const auto* list : {&weights, &state})
      for (const Variable& v : *list)
        if (v.dtype() == DType::kFloat32) {
          const auto values = v.value().to_vector<float>();
          all.insert(all.end(), values.begin(), values.end());
        }
    return all;
  }
};

Net mlp(i64 n = 96) {
  Net net;
  net.x = uniform(Shape{n, 12}, 1);
  net.y = labels(n, 4, 2);
  const Graph::Trace trace(net.graph);
  const Tensor x = net.graph.input("x", {-1, 12}, DType::kFloat32);
  const Tensor y = net.graph.input("y", {-1}, DType::kInt32);
  const Tensor h = ops::relu(net.dense(x, 12, 32, 3));
  net.finish(ops::softmax(net.dense(h, 32, 4, 4)), y);
  return net;
}

/// Convolution, batch norm with moving averages, dropout with a counter.
Net cnn(i64 n = 64) {
  Net net;
  net.x = uniform(Shape{n, 12, 12, 1}, 5);
  net.y = labels(n, 4, 6);
  const Graph::Trace trace(net.graph);
  const Tensor x = net.graph.input("x", {-1, 12, 12, 1}, DType::kFloat32);
  const Tensor y = net.graph.input("y", {-1}, DType::kInt32);
  const Variable w = net.add(uniform(Shape{3, 3, 1, 8}, 7, 0.4), "conv");
  const Variable gamma = net.add(Tensor::full(Shape{8}, 1), "gamma");
  const Variable beta = net.add(Tensor::zeros(Shape{8}), "beta");
  Variable mean = net.add(Tensor::zeros(Shape{8}), "moving_mean", false);
  Variable var = net.add(Tensor::full(Shape{8}, 1), "moving_variance", false);
  Variable key = net.add(Tensor::from<i64>({42, 0}, Shape{2}), "seed", false);
  const auto bn = ops::batch_norm(ops::conv(x, w.value()), gamma.value(), beta.value(), 1e-3);
  auto moving = [](Variable& v, const Tensor& now) {
    const Tensor keep = Tensor::scalar(0.9), take = Tensor::scalar(0.1);
    v.assign(ops::add(ops::mul(v.value(), keep), ops::mul(now, take)));
  };
  moving(mean, bn.mean);
  moving(var, bn.var);
  const Tensor pooled = ops::max_pool(ops::relu(bn.y), {{2, 2}, {}, ops::Padding::kValid});
  const Tensor dropped = ops::dropout(pooled, key.value(), 0.25);
  key.assign(ops::add(key.value(), Tensor::from<i64>({0, 1}, Shape{2})));
  const Tensor flat = ops::reshape(dropped, Shape{x.shape()[0], 5 * 5 * 8});
  net.finish(ops::softmax(net.dense(flat, 200, 4, 8)), y);
  return net;
}

/// How many allocations an epoch of so many steps takes.
std::pair<std::size_t, std::size_t> cost(Trainer& trainer, const std::vector<RowSource>& rows,
                                         i64 batch, i64 steps) {
  EpochOptions o;
  o.batch_size = batch;
  o.max_steps = steps;
  o.shuffle = true;
  const Count count;
  const auto values = trainer.epoch(rows, o);
  EXPECT_EQ(values.size(), 1u);
  return {count.heap(), count.pool()};
}

void expect_no_allocation_in_steps(const Net& net) {
  for (const int threads : {1, 3}) {
    const Threads guard(threads);
    for (const char* kind : {"sgd", "adam"}) {
      Optimizer optimizer(kind);
      optimizer.build(net.weights);
      Trainer trainer(net.graph, &optimizer);
      const auto rows = net.rows();
      cost(trainer, rows, 8, 8);  // compiles, hires threads
      const auto few = cost(trainer, rows, 8, 1);
      const auto many = cost(trainer, rows, 8, 8);
      EXPECT_EQ(many.first, few.first) << kind << ", heap, threads " << threads;
      EXPECT_EQ(many.second, 0u) << kind << ", pool, threads " << threads;
    }
  }
}

// ---------------------------------------------------------------- allocations

TEST(Allocation, CounterSeesNewAndPool) {  // negative control
  const Count count;
  const auto p = std::make_unique<int>(3);
  const Tensor t = Tensor::zeros(Shape{4});
  EXPECT_GE(count.heap(), 2u);
  EXPECT_EQ(count.pool(), 1u);
  EXPECT_EQ(*p + t.size(), 7);
}

TEST(Allocation, MlpStepAllocatesNothing) { expect_no_allocation_in_steps(mlp()); }
TEST(Allocation, CnnStepAllocatesNothing) { expect_no_allocation_in_steps(cnn()); }

TEST(Allocation, SingleStepAllocatesOnlyItsResult) {
  for (const Net& net : {mlp(), cnn()}) {
    Optimizer optimizer("adam");
    optimizer.build(net.weights);
    Trainer trainer(net.graph, &optimizer);
    const auto rows = net.rows();
    const double before = trainer.step(rows)[0];
    trainer.step(rows);
    const Count count;
    double after = 0;
    for (int i = 0; i < 10; ++i) after = trainer.step(rows)[0];
    EXPECT_EQ(count.heap(), 10u);  // the returned vector
    EXPECT_EQ(count.pool(), 0u);
    EXPECT_LT(after, before);
  }
}

TEST(Allocation, SnapshotHeldWhileTrainingIsCopiedOnce) {
  const Net net = mlp();
  Optimizer optimizer("sgd");
  optimizer.build(net.weights);
  Trainer trainer(net.graph, &optimizer);
  const auto rows = net.rows();
  trainer.step(rows);
  const Tensor held = net.weights[0].value();
  const auto before = held.to_vector<float>();
  const Count count;
  for (int i = 0; i < 5; ++i) trainer.step(rows);
  EXPECT_EQ(count.pool(), 1u);
  EXPECT_EQ(held.to_vector<float>(), before);
  EXPECT_NE(net.weights[0].value().to_vector<float>(), before);
}

// ---------------------------------------------------------------- Tensor

TEST(TensorCopyOnWrite, WritingASharedTensorLeavesTheOther) {
  Tensor a = Tensor::from<float>({1, 2, 3}, Shape{3});
  const Tensor b = a;
  a.mutable_data<float>()[0] = 9;
  EXPECT_EQ(a.to_vector<float>(), (std::vector<float>{9, 2, 3}));
  EXPECT_EQ(b.to_vector<float>(), (std::vector<float>{1, 2, 3}));
}

TEST(TensorCopyOnWrite, WritingAnUnsharedTensorStaysInPlace) {
  Tensor a = Tensor::from<float>({1, 2, 3}, Shape{3});
  const void* at = a.raw();
  a.mutable_data<float>()[1] = 7;
  EXPECT_EQ(a.raw(), at);
}

TEST(TensorCopyOnWrite, ReshapedViewSharesUntilWritten) {
  const Tensor a = Tensor::from<float>({1, 2, 3, 4}, Shape{4});
  Tensor b = ops::reshape(a, Shape{2, 2});
  EXPECT_EQ(a.raw(), b.raw());
  b.mutable_data<float>()[3] = 0;
  EXPECT_NE(a.raw(), b.raw());
  EXPECT_EQ(a.to_vector<float>()[3], 4);
}

TEST(TensorCopyOnWrite, ForeignMemoryIsWrittenOnlyWhenAllowed) {
  float memory[2] = {1, 2};
  const std::shared_ptr<void> owner(memory, [](void*) {});
  Tensor read_only = Tensor::wrap(memory, Shape{2}, DType::kFloat32, owner, false);
  read_only.mutable_data<float>()[0] = 5;
  EXPECT_EQ(memory[0], 1);
  EXPECT_EQ(read_only.to_vector<float>()[0], 5);
  Tensor writable = Tensor::wrap(memory, Shape{2}, DType::kFloat32, owner, true);
  writable.mutable_data<float>()[0] = 6;
  EXPECT_EQ(memory[0], 6);
}

TEST(TensorCopyOnWrite, OwnerLivesAsLongAsTheLastTensor) {
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2});
  const std::weak_ptr<std::vector<float>> watch = owner;
  Tensor t = Tensor::wrap(owner->data(), Shape{2}, DType::kFloat32, owner, false);
  owner.reset();
  Tensor u = ops::reshape(t, Shape{2, 1});
  t = Tensor();
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(u.to_vector<float>()[1], 2);
  u = Tensor();
  EXPECT_TRUE(watch.expired());
}

TEST(Tensor, WrongUseThrowsWithTheReason) {
  EXPECT_THROW(Tensor().shape(), StateError);
  EXPECT_THROW(Tensor::zeros(Shape{2}).data<double>(), DTypeError);
  EXPECT_THROW(Tensor::zeros(Shape{2}).item(), ShapeError);
  EXPECT_THROW(Tensor::from<float>({1, 2}, Shape{3}), ShapeError);
}

TEST(Variable, SnapshotKeepsItsValueAfterAssign) {
  Variable v(Tensor::from<float>({1, 2}, Shape{2}), "v");
  const Tensor before = v.value();
  v.assign(Tensor::from<float>({3, 4}, Shape{2}));
  EXPECT_EQ(before.to_vector<float>(), (std::vector<float>{1, 2}));
  EXPECT_EQ(v.value().to_vector<float>(), (std::vector<float>{3, 4}));
}

// ---------------------------------------------------------------- Dim

TEST(Dim, EqualExpressionsCompareEqual) {
  const Dim n = Dim::symbol(0), m = Dim::symbol(1);
  EXPECT_EQ(n + m, m + n);
  EXPECT_EQ(n * m, m * n);
  EXPECT_EQ((n + Dim(1)) * Dim(3), n * Dim(3) + Dim(3));
  EXPECT_EQ(n - n, Dim(0));
  EXPECT_EQ(n * Dim(0), Dim(0));
  EXPECT_EQ(n * Dim(1), n);
  EXPECT_EQ(floor_div(n * Dim(6), Dim(6)), n);
  EXPECT_FALSE(n == m);
  EXPECT_FALSE(n == n + Dim(1));
  EXPECT_FALSE(n.known());
  EXPECT_THROW((void)n.value(), StateError);
}

TEST(Dim, BindingEqualsArithmetic) {
  const Dim n = Dim::symbol(0), m = Dim::symbol(1);
  for (const i64 a : {0, 1, 7, 32})
    for (const i64 b : {1, 2, 5}) {
      const std::vector<i64> at{a, b};
      EXPECT_EQ((n * Dim(3) + m).bind(at).value(), a * 3 + b);
      EXPECT_EQ((n * m * m).bind(at).value(), a * b * b);
      EXPECT_EQ(floor_div(n + Dim(1), Dim(2)).bind(at).value(), (a + 1) / 2);
      EXPECT_EQ(ceil_div(n, Dim(4)).bind(at).value(), (a + 3) / 4);
      EXPECT_EQ((n + m - n).bind(at).value(), b);
    }
}

TEST(Dim, TextReadsBackAsTheSameExpression) {
  const Dim n = Dim::symbol(0), m = Dim::symbol(3);
  for (const Dim d : {Dim(0), Dim(32), n, n * Dim(49) + Dim(1), n * m, n - Dim(2),
                      floor_div(n * Dim(2) + m, Dim(3)), ceil_div(n - Dim(3), Dim(2)) * m})
    EXPECT_EQ(Dim::parse(d.str()), d) << d.str();
}

TEST(Dim, NegativeAndDamagedSizesAreErrors) {
  EXPECT_THROW(Dim(2) - Dim(3), ShapeError);
  EXPECT_THROW(Dim(-1), ShapeError);
  EXPECT_THROW(ceil_div(Dim::symbol(0), Dim::symbol(1)), ShapeError);
  EXPECT_THROW(floor_div(Dim(4), Dim(0)), Error);
  EXPECT_THROW((Dim::symbol(0) - Dim(3)).bind(std::vector<i64>{2}), ShapeError);
  for (const char* text : {"", "s", "s0*", "1+", "((", "s0 s1", "-4", "99999999999999999999"})
    EXPECT_THROW((void)Dim::parse(text), Error) << text;
}

TEST(Shape, NumelOfSymbolsAndText) {
  const Dim n = Dim::symbol(0);
  const Shape s{n, 4, 2};
  EXPECT_EQ(s.numel(), n * Dim(8));
  EXPECT_EQ(s.str(), "(None, 4, 2)");
  EXPECT_EQ(s.bind(std::vector<i64>{3}).size(), 24);
  EXPECT_THROW((void)s.size(), StateError);
  EXPECT_EQ(broadcast("add", Shape{n, 1}, Shape{4}), (Shape{n, 4}));
  EXPECT_THROW(broadcast("add", Shape{n, 3}, Shape{4}), ShapeError);
}

// ---------------------------------------------------------------- files

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ =
        std::filesystem::temp_directory_path() /
        (std::string("lamella_core_") + info->name() + std::to_string(std::random_device{}()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const char* name) const { return (folder_ / name).string(); }
  static std::string read(const std::string& path) {
    std::ifstream f(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(f), {}};
  }
  static void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  /// A safetensors file with this header over `data` bytes of zeros.
  static std::string with_header(const std::string& header, std::size_t data) {
    std::string bytes(8, '\0');
    for (std::size_t i = 0; i < 8; ++i)
      bytes[i] = static_cast<char>(header.size() >> (8 * i) & 0xff);
    return bytes + header + std::string(data, '\0');
  }

 private:
  std::filesystem::path folder_;
};

io::Archive example() {
  io::Archive a;
  a.metadata = {{"format", "test"}, {"text", "line\nwith \"quotes\" and \xC3\xA4"}};
  a.tensors.emplace_back("f32", uniform(Shape{3, 5}, 1));
  a.tensors.emplace_back("f64", Tensor::from<double>({0.1, -1e300, std::nan("")}, Shape{3}));
  a.tensors.emplace_back("i32", Tensor::from<std::int32_t>({-7}, Shape{}));
  a.tensors.emplace_back("i64", Tensor::from<i64>({i64{1} << 60}, Shape{1}));
  a.tensors.emplace_back("u8", Tensor::from<std::uint8_t>({0, 255, 3}, Shape{3, 1}));
  a.tensors.emplace_back("empty", Tensor::zeros(Shape{0, 4}));
  return a;
}

TEST_F(Files, SafetensorsRoundTripKeepsEveryByte) {
  const io::Archive a = example();
  io::save_safetensors(path("a"), a);
  const io::Archive b = io::load_safetensors(path("a"));
  EXPECT_EQ(b.metadata, a.metadata);
  ASSERT_EQ(b.tensors.size(), a.tensors.size());
  for (std::size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(b.tensors[i].first, a.tensors[i].first);
    EXPECT_EQ(b.tensors[i].second.spec(), a.tensors[i].second.spec());
    EXPECT_EQ(std::memcmp(b.tensors[i].second.raw(), a.tensors[i].second.raw(),
                          a.tensors[i].second.nbytes()),
              0);
  }
}

TEST_F(Files, SafetensorsCutAnywhereIsAnIoError) {
  io::save_safetensors(path("a"), example());
  const std::string whole = read(path("a"));
  for (std::size_t n = 0; n < whole.size(); n += n < 32 ? 1 : 13) {
    write(path("b"), whole.substr(0, n));
    EXPECT_THROW(io::load_safetensors(path("b")), IoError) << n << " bytes";
  }
}

TEST_F(Files, SafetensorsWithADamagedHeaderIsAnIoError) {
  const char* headers[] = {
      "",
      "[]",
      "{",
      "{\"a\":3}",
      "{\"a\":{}}",
      R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})",
      R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[60,68]}})",
      R"({"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}})",
      R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})",
      R"({"__metadata__":3})",
      R"({"__metadata__":{"a":3}})",
  };
  for (const char* header : headers) {
    write(path("b"), with_header(header, 64));
    EXPECT_THROW(io::load_safetensors(path("b")), IoError) << header;
  }
  write(path("b"), std::string(8, '\xff') + "{}");
  EXPECT_THROW(io::load_safetensors(path("b")), IoError);
  EXPECT_THROW(io::load_safetensors(path("missing")), IoError);
}

TEST_F(Files, SavingIntoAMissingFolderLeavesNothing) {
  const std::string where = path("no/such/folder");
  EXPECT_THROW(io::save_safetensors(where, example()), IoError);
  EXPECT_FALSE(std::filesystem::exists(path("no")));
}

TEST_F(Files, FailedSaveKeepsTheOldFile) {
  io::save_safetensors(path("a"), example());
  const std::string before = read(path("a"));
  io::Archive twice = example();
  twice.tensors.push_back(twice.tensors[0]);
  EXPECT_THROW(io::save_safetensors(path("a"), twice), IoError);
  EXPECT_EQ(read(path("a")), before);
}

// ---------------------------------------------------------------- Graph as JSON

std::vector<float> train(Net& net, const Graph& graph) {
  OptimizerOptions o;
  o.learning_rate = 0.01;
  Optimizer optimizer("adam", o);
  optimizer.build(net.weights);
  Trainer trainer(graph, &optimizer);
  EpochOptions e;
  e.batch_size = 10;  // a short last batch
  e.shuffle = true;
  trainer.epoch(net.rows(), e);
  return net.bits();
}

TEST(GraphJson, RoundTripTrainsToTheSameBits) {
  for (Net (*make)(i64) : {&mlp, &cnn}) {
    Net a = make(64), b = make(64);
    std::vector<std::string> names;
    std::map<std::string, Variable> by_name;
    for (const Variable& v : b.graph.variables()) {
      names.push_back("v" + std::to_string(names.size()));
      by_name.emplace(names.back(), v);
    }
    const std::string text = io::graph_to_json(b.graph, names);
    const Graph read = io::graph_from_json(text, by_name);
    EXPECT_EQ(read.str(), b.graph.str());
    EXPECT_EQ(io::graph_to_json(read, names), text);
    const auto before = a.bits();
    const auto want = train(a, a.graph), got = train(b, read);
    EXPECT_NE(want, before);
    EXPECT_EQ(got, want);
  }
}

TEST(GraphJson, DamagedTextIsAnIoErrorOrAnotherGraph) {
  const Net net = mlp(8);
  std::vector<std::string> names;
  std::map<std::string, Variable> by_name;
  for (const Variable& v : net.graph.variables()) {
    names.push_back("v" + std::to_string(names.size()));
    by_name.emplace(names.back(), v);
  }
  const std::string text = io::graph_to_json(net.graph, names);
  auto replaced = [&](const std::string& what, const std::string& with) {
    std::string t = text;
    const auto at = t.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return at == std::string::npos ? std::string("?") : t.replace(at, what.size(), with);
  };
  EXPECT_THROW(io::graph_from_json("", {}), IoError);
  EXPECT_THROW(io::graph_from_json("{}", {}), IoError);
  EXPECT_THROW(io::graph_from_json(text, {}), IoError);
  EXPECT_THROW(io::graph_from_json(text.substr(0, text.size() / 2), by_name), IoError);
  EXPECT_THROW(io::graph_from_json(replaced("\"matmul\"", "\"no_such_op\""), by_name), IoError);
  EXPECT_THROW(io::graph_from_json(replaced("\"in\":[[", "\"in\":[[9999,0],["), by_name), IoError);
  EXPECT_THROW(io::graph_from_json(replaced("\"symbols\":", "\"symbols\":-"), by_name), IoError);
}

// ---------------------------------------------------------------- tape

TEST(Tape, LongChainIsDestroyedWithoutRecursion) {
  constexpr int kLength = 200'000;
  Tensor leaf = Tensor::full(Shape{1}, 1);
  leaf.set_requires_grad(true);
  {
    Tensor t = leaf;
    const Tensor half = Tensor::full(Shape{1}, 0.5);
    for (int i = 0; i < kLength; ++i) t = ops::add(t, half);
    EXPECT_EQ(t.item(), 1 + 0.5 * kLength);
  }  // never walked: the last handle drops the whole tape
  EXPECT_FALSE(leaf.grad().defined());
}

TEST(Tape, LongChainIsWalkedAndFreed) {
  constexpr int kLength = 100'000;
  Tensor leaf = Tensor::full(Shape{1}, 2);
  leaf.set_requires_grad(true);
  Tensor t = leaf;
  for (int i = 0; i < kLength; ++i) t = ops::neg(t);
  backward(t);
  EXPECT_EQ(leaf.grad().item(), 1);
  EXPECT_THROW(backward(t), StateError);
}

TEST(Tape, DiamondCountsBothPaths) {
  Tensor x = Tensor::full(Shape{1}, 3, DType::kFloat64);
  x.set_requires_grad(true);
  const Tensor s = ops::square(x);
  backward(ops::add(ops::mul(s, s), s));  // x^4 + x^2
  EXPECT_EQ(x.grad().item(), 4 * 27 + 2 * 3);
}

}  // namespace
