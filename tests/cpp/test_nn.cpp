// Models built, trained, saved and loaded without Python.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "lamella/lamella.h"

namespace lamella {
namespace {

/// The bits of a float tensor; EXPECT_EQ on them says "the same".
std::vector<float> bits(const Tensor& t) { return t.to_vector<float>(); }

std::vector<std::vector<float>> weights(const Model& model) {
  std::vector<std::vector<float>> out;
  for (const Variable& v : model.variables())
    out.push_back(bits(ops::cast(v.value(), DType::kFloat32)));
  return out;
}

class TemporaryFile {
 public:
  TemporaryFile()
      : path_(testing::TempDir() + testing::UnitTest::GetInstance()->current_test_info()->name() +
              ".lamella") {}
  ~TemporaryFile() { std::remove(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

template <class E, class F>
void expect_error(F&& f, const std::string& text) {
  try {
    f();
    FAIL() << "no error; expected: " << text;
  } catch (const E& e) {
    EXPECT_NE(std::string(e.what()).find(text), std::string::npos)
        << "got: " << e.what() << "\nexpected: " << text;
  }
}

const Tensor kXorX = Tensor::from<float>({0, 0, 0, 1, 1, 0, 1, 1}, Shape{4, 2});
const Tensor kXorY = Tensor::from<float>({0, 1, 1, 0}, Shape{4, 1});

Model xor_model() {
  set_random_seed(1);
  const nn::Sequential net({2}, {nn::dense({.units = 8, .activation = "tanh"}),
                                 nn::dense({.units = 1, .activation = "sigmoid"})});
  return net.compile({.optimizer = Optimizer("adam", {.learning_rate = 0.1}),
                      .loss = "binary_crossentropy",
                      .metrics = {"accuracy"}});
}

/// Images of 8 x 8 with a bright bar: class 0 upright, class 1 lying, class 2 none.
struct Bars {
  Tensor x, y;
};
Bars bars(std::int64_t n) {
  std::vector<float> x(static_cast<std::size_t>(n * 64));
  std::vector<std::int64_t> y;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t label = i % 3, at = (i * 5) % 8;
    float* image = x.data() + i * 64;
    for (std::int64_t k = 0; k < 64; ++k)
      image[k] = 0.1F * static_cast<float>((i * 31 + k * 17) % 7) / 7.0F;
    for (std::int64_t k = 0; k < 8 && label < 2; ++k)
      image[label == 0 ? k * 8 + at : at * 8 + k] += 1.0F;
    y.push_back(label);
  }
  return {Tensor::from(x, Shape{n, 8, 8, 1}), Tensor::from(y, Shape{n})};
}

nn::Sequential cnn() {
  set_random_seed(2);
  return nn::Sequential(
      {8, 8, 1},
      {nn::conv2d({.filters = 8, .kernel_size = {3, 3}, .padding = "same", .activation = "relu"}),
       nn::batch_normalization({.momentum = 0.9}), nn::max_pooling2d(),
       nn::conv2d({.filters = 8, .kernel_size = {3, 3}}), nn::activation("relu"),
       nn::average_pooling2d({.pool_size = {2, 2}}), nn::flatten(), nn::dropout({.rate = 0.2}),
       nn::dense({.units = 3, .activation = "softmax"})});
}

Model compiled_cnn() {
  return cnn().compile({.optimizer = Optimizer("adam", {.learning_rate = 0.01}),
                        .loss = "sparse_categorical_crossentropy",
                        .metrics = {"accuracy"}});
}

TEST(Sequential, XorIsLearned) {
  Model model = xor_model();
  const auto logs = model.fit(kXorX, kXorY, {.batch_size = 4, .epochs = 200});
  ASSERT_EQ(logs.size(), 200U);
  EXPECT_EQ(logs.back()[0].first, "loss");
  EXPECT_LT(logs.back()[0].second, 0.05);
  EXPECT_EQ(logs.back()[1].first, "accuracy");
  EXPECT_EQ(logs.back()[1].second, 1.0);
  const auto p = bits(model.predict(kXorX));
  EXPECT_LT(p[0], 0.1F);
  EXPECT_GT(p[1], 0.9F);
}

TEST(Sequential, CnnLearnsSeparableImages) {
  const Bars data = bars(96);
  Model model = compiled_cnn();
  model.fit(data.x, data.y, {.batch_size = 16, .epochs = 12});
  const EpochLog log = model.evaluate(data.x, data.y);
  ASSERT_EQ(log.size(), 2U);
  EXPECT_LT(log[0].second, 0.1) << "loss";
  EXPECT_EQ(log[1].second, 1.0) << "accuracy";
}

TEST(Sequential, EveryOptimizerAndLossTrains) {
  const Tensor x = Tensor::from<float>({0, 1, 1, 0, 1, 1, 0, 0, 1, 2, 2, 1}, Shape{6, 2});
  const Tensor y = Tensor::from<float>({0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0}, Shape{6, 2});
  for (const char* optimizer : {"sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamax", "nadam"})
    for (const char* loss :
         {"categorical_crossentropy", "binary_crossentropy", "mean_squared_error", "mae"}) {
      const nn::Sequential net({2}, {nn::dense({.units = 2, .activation = "softmax"})});
      Model model =
          net.compile({.optimizer = optimizer, .loss = loss, .metrics = {"accuracy", "mse"}});
      const auto before = weights(model);
      const double first = model.evaluate(x, y)[0].second;
      const auto logs = model.fit(x, y, {.batch_size = 6, .epochs = 20});
      EXPECT_LT(logs.back()[0].second, first) << optimizer << ", " << loss;
      EXPECT_NE(weights(model), before);
    }
}

TEST(Sequential, SameSeedGivesSameBitsWhateverTheThreads) {
  const Bars data = bars(40);
  const int threads = num_threads();
  std::vector<std::vector<std::vector<float>>> results;
  for (const int n : {1, 2, 5}) {
    set_num_threads(n);
    Model model = compiled_cnn();
    model.fit(data.x, data.y, {.batch_size = 16, .epochs = 2});
    results.push_back(weights(model));
  }
  set_num_threads(threads);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(Sequential, EvaluateWeighsBatchesByTheirRows) {
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5}, Shape{5, 1});
  const Tensor y = Tensor::from<float>({1, 2, 3, 4, 10}, Shape{5, 1});
  const nn::Sequential net(
      {1}, {nn::dense({.units = 1, .use_bias = false, .kernel_initializer = "ones"})});
  Model model = net.compile({.optimizer = "sgd", .loss = "mse", .metrics = {"mae"}});
  for (const std::int64_t batch : {1, 2, 4, 5, 32}) {
    const EpochLog log = model.evaluate(x, y, batch);
    EXPECT_FLOAT_EQ(static_cast<float>(log[0].second), 5.0F) << "batch_size " << batch;
    EXPECT_EQ(log[1].first, "mae");
    EXPECT_FLOAT_EQ(static_cast<float>(log[1].second), 1.0F) << "batch_size " << batch;
  }
}

TEST(Sequential, TargetsMayLackOrHaveALastAxisOfOne) {
  Model model = xor_model();
  const EpochLog column = model.evaluate(kXorX, kXorY);
  EXPECT_EQ(model.evaluate(kXorX, ops::reshape(kXorY, Shape{4})), column);
  const Bars data = bars(12);
  Model images = compiled_cnn();
  EXPECT_EQ(images.evaluate(data.x, ops::reshape(data.y, Shape{12, 1})),
            images.evaluate(data.x, data.y));
}

TEST(Sequential, EagerCallEqualsPredict) {
  const Bars data = bars(5);
  const nn::Sequential net = cnn();
  const auto eager = bits(net(data.x)), predicted = bits(net.model().predict(data.x));
  ASSERT_EQ(eager.size(), predicted.size());
  for (std::size_t i = 0; i < eager.size(); ++i) EXPECT_NEAR(eager[i], predicted[i], 1e-6);
}

TEST(Sequential, DropoutAdvancesItsKey) {
  const nn::Sequential net({100}, {nn::dropout({.rate = 0.5, .seed = 7}), nn::dense({.units = 1})});
  Model model = net.compile({.loss = "mse"});
  const Variable key = model.variable("layers/dropout/seed_generator/state");
  EXPECT_EQ(key.value().to_vector<std::int64_t>(), (std::vector<std::int64_t>{7, 0}));
  model.fit(Tensor::full(Shape{6, 100}, 1), Tensor::zeros(Shape{6, 1}),
            {.batch_size = 2, .epochs = 2});
  EXPECT_EQ(key.value().to_vector<std::int64_t>(), (std::vector<std::int64_t>{7, 6}));
  model.evaluate(Tensor::full(Shape{6, 100}, 1), Tensor::zeros(Shape{6, 1}));
  EXPECT_EQ(key.value().to_vector<std::int64_t>(), (std::vector<std::int64_t>{7, 6}));
}

TEST(Sequential, BatchNormalizationAveragesStatistics) {
  const nn::Sequential net({1}, {nn::batch_normalization(), nn::dense({.units = 1})});
  Model model = net.compile({.optimizer = Optimizer("sgd", {.learning_rate = 0}), .loss = "mse"});
  const Tensor x = Tensor::from<float>({1, 3}, Shape{2, 1});  // mean 2, variance 1
  model.fit(x, x, {.batch_size = 2, .epochs = 1});
  const auto value = [&](const char* name) {
    return model.variable(std::string("layers/batch_normalization/") + name).value().item();
  };
  EXPECT_NEAR(value("moving_mean"), 0.01 * 2, 1e-7);
  EXPECT_NEAR(value("moving_variance"), 0.99 * 1 + 0.01 * 1, 1e-6);
}

TEST(Sequential, InitialWeightsLieInGlorotsLimits) {
  const nn::Sequential net({200}, {nn::dense({.units = 100})});
  const auto kernel = bits(net.layers()[0]->weights()[0].second.value());
  const double limit = std::sqrt(6.0 / 300);
  double largest = 0, squares = 0;
  for (const float w : kernel) {
    largest = std::max(largest, std::abs(static_cast<double>(w)));
    squares += static_cast<double>(w) * static_cast<double>(w);
  }
  EXPECT_LE(largest, limit);
  EXPECT_GT(largest, 0.99 * limit);
  EXPECT_NEAR(squares / static_cast<double>(kernel.size()), limit * limit / 3, 1e-4);
}

TEST(Sequential, ShapesAndNamesFollowKeras) {
  const nn::Sequential net({10, 9, 2},
                           {nn::conv2d({.filters = 4, .kernel_size = {3, 2}, .strides = {2, 1}}),
                            nn::max_pooling2d(), nn::reshape({.target_shape = {-1, 4}}),
                            nn::dense({.units = 5}), nn::flatten(), nn::dense({.units = 2})});
  EXPECT_EQ(net.output_shape().str(), "(None, 2)");
  EXPECT_EQ(net.layers()[0]->name(), "conv2d");
  EXPECT_EQ(net.layers()[1]->name(), "max_pooling2d");
  EXPECT_EQ(net.layers()[5]->name(), "dense_1");
  const Model model = net.model();
  EXPECT_EQ(model.variable("layers/conv2d/kernel").shape(), (Shape{3, 2, 2, 4}));
  EXPECT_EQ(model.variable("layers/dense_1/kernel").shape(), (Shape{40, 2}));
  EXPECT_EQ(model.input_specs()[0].shape.str(), "(None, 10, 9, 2)");
  EXPECT_EQ(model.input_names(), (std::vector<std::string>{"input_layer"}));
  EXPECT_EQ(model.output_names().size(), 1U);
  EXPECT_FALSE(model.compiled());
}

/// Swish with a trainable slope: a layer that the library does not know.
class Slope final : public nn::Layer {
 public:
  Slope() : Layer("Slope") {}
  void build(const Shape& input) override {
    beta_ = add_weight("beta", Tensor::full(Shape{input.back()}, 1));
  }
  Tensor call(const Tensor& x, bool) override {
    return ops::mul(x, ops::sigmoid(ops::mul(x, beta_.value())));
  }

 private:
  Variable beta_;
};

TEST(Sequential, RecurrentLayersFollowTheirFormula) {
  set_random_seed(3);
  const nn::Sequential net(
      {2, 1}, {nn::simple_rnn({.units = 1, .activation = "linear", .return_sequences = true})});
  const nn::Layer& layer = *net.layers()[0];
  ASSERT_EQ(layer.weights()[1].first, "cell/recurrent_kernel");
  EXPECT_NEAR(std::abs(bits(layer.weights()[1].second.value())[0]), 1, 1e-6);  // orthogonal
  const float k = bits(layer.weights()[0].second.value())[0];
  const float r = bits(layer.weights()[1].second.value())[0];
  const auto y = bits(net(Tensor::from<float>({2, 3}, Shape{1, 2, 1})));
  EXPECT_NEAR(y[0], 2 * k, 1e-6);
  EXPECT_NEAR(y[1], 3 * k + r * 2 * k, 1e-6);
}

TEST(Sequential, RecurrentKernelsStartOrthogonalAndLstmRemembers) {
  set_random_seed(3);
  const nn::Sequential net({4, 2}, {nn::lstm({.units = 3}), nn::dense({.units = 1})});
  const auto& weights = net.layers()[0]->weights();
  const auto kernel = bits(weights[1].second.value());
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j) {
      double sum = 0;
      for (std::size_t c = 0; c < 12; ++c) sum += kernel[i * 12 + c] * kernel[j * 12 + c];
      EXPECT_NEAR(sum, i == j, 1e-5);
    }
  EXPECT_EQ(bits(weights[2].second.value()),
            (std::vector<float>{0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0}));
}

TEST(Sequential, SequencesAreLearnedSavedAndLoaded) {
  set_random_seed(1);
  const nn::Sequential net(
      {6}, {nn::embedding({.input_dim = 4, .output_dim = 5}),
            nn::lstm({.units = 8, .return_sequences = true}), nn::layer_normalization(),
            nn::gru({.units = 8}), nn::dense({.units = 1, .activation = "sigmoid"})});
  EXPECT_EQ(net.output_shape().rank(), 2);
  std::vector<float> x, y;  // is the first number above 1?
  for (int i = 0; i < 64; ++i) {
    for (int t = 0; t < 6; ++t) x.push_back(static_cast<float>((i * 7 + t * t * 3 + i / 5) % 4));
    y.push_back(x[x.size() - 6] > 1);
  }
  Model model = net.compile(
      {.optimizer = Optimizer("adam", {.learning_rate = 0.02}), .loss = "binary_crossentropy"});
  const Tensor rows = Tensor::from<float>(x, Shape{64, 6}),
               target = Tensor::from<float>(y, Shape{64, 1});
  const auto logs = model.fit(rows, target, {.batch_size = 16, .epochs = 40, .seed = 1});
  EXPECT_LT(logs.back()[0].second, 0.2 * logs.front()[0].second);
  const TemporaryFile file;
  model.save(file.path());
  EXPECT_EQ(bits(load(file.path()).predict(rows)), bits(model.predict(rows)));
}

TEST(Sequential, OwnLayerIsTrainedSavedAndLoadedWithoutItsClass) {
  const TemporaryFile file;
  set_random_seed(3);
  nn::Sequential net({2});
  net.add(nn::dense({.units = 8})).add(std::make_shared<Slope>()).add(nn::dense({.units = 1}));
  Model model = net.compile({.optimizer = "adam", .loss = "mse"});
  model.fit(kXorX, kXorY, {.epochs = 5});
  EXPECT_NE(bits(model.variable("layers/slope/beta").value()), std::vector<float>(8, 1.0F));
  model.save(file.path());
  EXPECT_EQ(bits(load(file.path()).predict(kXorX)), bits(model.predict(kXorX)));
}

TEST(Model, SavedAndLoadedGoesOnWithTheSameBits) {
  const TemporaryFile file;
  const Bars data = bars(40);
  Model model = compiled_cnn();
  model.fit(data.x, data.y, {.batch_size = 16, .epochs = 2, .seed = 5});
  model.save(file.path());
  Model loaded = load(file.path());
  ASSERT_TRUE(loaded.compiled());
  EXPECT_EQ(weights(loaded), weights(model));
  EXPECT_EQ(bits(loaded.predict(data.x)), bits(model.predict(data.x)));
  EXPECT_EQ(loaded.evaluate(data.x, data.y), model.evaluate(data.x, data.y));

  const FitOptions more = {.batch_size = 16, .epochs = 4, .seed = 5, .initial_epoch = 2};
  EXPECT_EQ(loaded.fit(data.x, data.y, more), model.fit(data.x, data.y, more));
  EXPECT_EQ(weights(loaded), weights(model));
  EXPECT_EQ(loaded.optimizer().iterations().value().item(), 12);

  Model straight = compiled_cnn();
  straight.fit(data.x, data.y, {.batch_size = 16, .epochs = 4, .seed = 5});
  EXPECT_EQ(weights(straight), weights(loaded)) << "in one go, or saved and resumed";
}

TEST(Model, PredictFromManyThreadsEqualsSerial) {
  const Bars data = bars(33);
  const Model model = cnn().model();
  const auto expected = bits(model.predict(data.x));
  std::vector<int> wrong(8);
  std::vector<std::exception_ptr> errors(8);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      try {
        for (int i = 0; i < 25; ++i)
          wrong[t] += bits(model.predict(data.x, i % 2 == 0 ? 0 : 8)) != expected;
      } catch (...) {
        errors[t] = std::current_exception();
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    EXPECT_FALSE(errors[t]);
    EXPECT_EQ(wrong[t], 0) << "thread " << t;
  }
}

TEST(Model, PredictWhileAnotherThreadTrainsIsFinite) {
  const Bars data = bars(32);
  Model model = compiled_cnn();
  std::thread training([&] { model.fit(data.x, data.y, {.epochs = 20}); });
  int bad = 0;
  for (int i = 0; i < 50; ++i)
    for (const float p : bits(model.predict(data.x))) bad += !std::isfinite(p);
  training.join();
  EXPECT_EQ(bad, 0);
}

TEST(Model, OnEpochEndMayEvaluateSaveAndStop) {
  const TemporaryFile file;
  Model model = xor_model();
  std::vector<double> seen;
  const auto logs = model.fit(
      kXorX, kXorY, {.epochs = 10, .on_epoch_end = [&](std::int64_t epoch, const EpochLog&) {
                       seen.push_back(model.evaluate(kXorX, kXorY)[0].second);
                       model.save(file.path());
                       return epoch == 2;
                     }});
  EXPECT_EQ(logs.size(), 3U);
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(load(file.path()).evaluate(kXorX, kXorY)[0].second, seen[2]);
}

TEST(Model, LearningRateMayBeChanged) {
  Model model = xor_model();
  model.optimizer().learning_rate().assign(Tensor::scalar(0));
  const auto before = weights(model);
  model.fit(kXorX, kXorY, {.epochs = 2});
  EXPECT_EQ(weights(model), before);
}

TEST(ModelErrors, NameTheLayerTheExpectedAndTheGiven) {
  expect_error<ShapeError>(
      [] { nn::Sequential({8, 8}, {nn::conv2d({.filters = 1, .kernel_size = {3, 3}})}); },
      "Conv2D 'conv2d': expected input of rank 4 (rows, height, width, "
      "channels), got shape (None, 8, 8)");
  expect_error<ShapeError>(
      [] { nn::Sequential({3, 3, 1}, {nn::conv2d({.filters = 1, .kernel_size = {5, 5}})}); },
      "Conv2D 'conv2d': a window of 5 x 5 is larger than the input of shape (None, 3, 3, 1)");
  expect_error<ShapeError>([] { nn::Sequential({1, 1, 1}, {nn::max_pooling2d({.name = "pool"})}); },
                           "MaxPooling2D 'pool': a window of 2 x 2 is larger");
  expect_error<ShapeError>(
      [] { nn::Sequential({-1, 4, 1}, {nn::flatten(), nn::dense({.units = 2})}); },
      "Dense 'dense': expected input (rows, ..., features) with a known number of features");
  expect_error<ShapeError>(
      [] { nn::Sequential({6}, {nn::reshape({.target_shape = {4, -1}})}); },
      "Reshape 'reshape': cannot reshape rows of input (None, 6) (6 elements) to [4,-1]");
  const nn::Sequential net({4}, {nn::dense({.units = 2, .name = "head"})});
  expect_error<ShapeError>([&] { net(Tensor::zeros(Shape{2, 3})); },
                           "Dense 'head': expected a last axis of size 4, got shape (2, 3)");
  expect_error<ShapeError>([&] { net.model().predict(Tensor::zeros(Shape{2, 3})); },
                           "input 'input_layer': expected shape (None, 4), got (2, 3)");
}

TEST(ModelErrors, SequencesNameWhatIsWrong) {
  expect_error<Error>([] { nn::lstm({.units = 0}); }, "LSTM: units must be positive, got units=0");
  expect_error<Error>([] { nn::embedding({.input_dim = 3}); }, "output_dim=0");
  expect_error<ShapeError>([] { nn::Sequential({4}, {nn::gru({.units = 2})}); },
                           "expected input of rank 3 (rows, steps, features)");
}

TEST(ModelErrors, BadOptions) {
  expect_error<Error>([] { nn::dense({}); }, "Dense: units must be positive, got units=0");
  expect_error<Error>([] { nn::dense({.units = 1, .activation = "rleu"}); },
                      "Dense: unknown activation 'rleu'; expected one of linear, relu");
  expect_error<Error>([] { nn::dense({.units = 1, .kernel_initializer = "he"}); },
                      "Dense: unknown kernel_initializer 'he'");
  expect_error<Error>([] { nn::dense({.units = 1, .name = "a/b"}); }, "got 'a/b'");
  expect_error<Error>([] { nn::conv2d({.filters = 1}); },
                      "Conv2D: kernel_size must be positive, got (0, 0)");
  expect_error<Error>([] { nn::conv2d({.filters = 1, .kernel_size = {1, 1}, .padding = "full"}); },
                      "Conv2D: padding must be 'valid' or 'same', got 'full'");
  expect_error<Error>([] { nn::dropout({.rate = 1}); },
                      "Dropout: rate must be in [0, 1), got rate=1");
  expect_error<ShapeError>([] { nn::Sequential({}); }, "Sequential: expected the shape of one row");
  const nn::LayerPtr shared = nn::flatten();
  nn::Sequential({2}, {shared});
  expect_error<StateError>([&] { nn::Sequential({2}, {shared}); },
                           "Flatten 'flatten': this layer is part of a model already");
  expect_error<Error>([] { nn::Sequential({2}, {nn::flatten("a"), nn::activation("relu", "a")}); },
                      "Activation 'a': Flatten 'a' has the same name");
}

TEST(ModelErrors, Compile) {
  const nn::Sequential net({4}, {nn::dense({.units = 1})});
  expect_error<Error>([&] { net.compile({}); }, "compile: expected the loss");
  expect_error<Error>([&] { net.compile({.optimizer = "adma", .loss = "mse"}); },
                      "unknown kind 'adma'");
  expect_error<Error>([&] { net.compile({.loss = "mse", .metrics = {"acuracy"}}); },
                      "got 'acuracy'");
  expect_error<ShapeError>([&] { net.compile({.loss = "categorical_crossentropy"}); },
                           "Dense 'dense': categorical_crossentropy expects one output for each "
                           "class, got shape (None, 1)");
  const nn::Sequential three({4}, {nn::dense({.units = 3})});
  expect_error<Error>(
      [&] {
        three.compile(
            {.loss = "sparse_categorical_crossentropy", .metrics = {"categorical_accuracy"}});
      },
      "the metric 'categorical_accuracy' does not fit the targets");
  expect_error<StateError>([] { nn::Sequential({4}, {nn::flatten()}).compile({.loss = "mse"}); },
                           "compile: no layer has weights to train");
  expect_error<StateError>([] { nn::Sequential({4}).model(); }, "Sequential: add layers first");
  const Optimizer shared("adam");
  net.compile({.optimizer = shared, .loss = "mse"});
  expect_error<StateError>([&] { three.compile({.optimizer = shared, .loss = "mse"}); },
                           "adam: this optimizer was built without variable");
}

TEST(ModelErrors, Use) {
  expect_error<StateError>([] { Model().predict(kXorX); }, "model: this handle is empty");
  const nn::Sequential net({2}, {nn::dense({.units = 3, .activation = "softmax"})});
  Model untrained = net.model();
  expect_error<StateError>([&] { untrained.fit(kXorX, kXorY); }, "model: it cannot be trained");
  expect_error<StateError>([&] { untrained.evaluate(kXorX, kXorY); }, "model: it has no loss");
  expect_error<StateError>([&] { untrained.optimizer(); }, "model: it is not compiled");
  expect_error<Error>([&] { untrained.variable("kernel"); }, "model: no variable named 'kernel'");
  Model model = net.compile({.loss = "sparse_categorical_crossentropy"});
  expect_error<ShapeError>([&] { model.fit(kXorX, Tensor::zeros(Shape{4, 3})); },
                           "input 'y': expected shape (None,), got (4, 3)");
  expect_error<ShapeError>([&] { model.fit(kXorX, Tensor::zeros(Shape{3})); },
                           "input 'y' has 3 rows, input 'x' has 4");
  expect_error<Error>([&] { model.fit(kXorX, Tensor::from<float>({0, 1, 2, 3}, Shape{4})); },
                      "out of range");
  expect_error<Error>([&] { model.fit(kXorX, Tensor::zeros(Shape{4}), {.batch_size = 0}); },
                      "batch_size must be positive, got 0");
  expect_error<IoError>([] { load("/nowhere/model.lamella"); }, "/nowhere/model.lamella");
}

}  // namespace
}  // namespace lamella
