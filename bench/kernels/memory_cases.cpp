// Kernels that are bound by memory: elementwise, moves, reductions, normalization, optimizers.

#include <string>

#include "bench.h"

namespace bench {

using namespace lamella::kernels;
using lamella::DType;
using std::int64_t;

namespace {

constexpr int64_t kColumns = 64;

// The cases on tensors of n elements; `shape` names n or the level of memory it lies in.
class Cases {
 public:
  Cases(std::vector<Case>& cases, DType dtype, int64_t n)
      : cases_(cases), dtype_(dtype), n_(n), rows_(n / kColumns) {}

  void add_all() {
    elementwise();
    moves();
    reductions();
    softmax();
    pooling();
    normalization();
    random();
    optimizer();
  }

 private:
  // `passes`: tensors of n elements that are read or written.
  void add(const std::string& kernel, double passes, std::function<Run(Arena&)> make,
           const std::string& shape = "") {
    cases_.push_back({kernel, shape.empty() ? std::to_string(n_) : shape, 0,
                      passes * static_cast<double>(n_) * item_bytes(dtype_), std::move(make)});
  }

  void unary(const std::string& name, UnaryOp op) {
    add("unary " + name, 2, [=, dtype = dtype_, n = n_](Arena& arena) {
      UnaryArgs args{op, dtype, arena.floats(n, dtype), arena.floats(n, dtype), n};
      return call(table().unary, args);
    });
  }

  void elementwise() {
    const DType dtype = dtype_;
    const int64_t n = n_, rows = rows_;
    unary("copy", UnaryOp::kCopy);
    unary("relu", UnaryOp::kRelu);
    unary("exp", UnaryOp::kExp);
    unary("log", UnaryOp::kLog);
    unary("sigmoid", UnaryOp::kSigmoid);
    unary("tanh", UnaryOp::kTanh);
    unary("erf", UnaryOp::kErf);
    unary("gelu", UnaryOp::kGelu);
    unary("sqrt", UnaryOp::kSqrt);
    add("binary add", 3, [=](Arena& arena) {
      BinaryArgs args{};
      args.op = BinaryOp::kAdd, args.dtype = dtype;
      args.x = arena.floats(n, dtype), args.y = arena.floats(n, dtype);
      args.out = arena.floats(n, dtype);
      args.rank = 1, args.shape[0] = n, args.x_strides[0] = args.y_strides[0] = 1;
      return call(table().binary, args);
    });
    add("binary add row", 2, [=](Arena& arena) {
      BinaryArgs args{};
      args.op = BinaryOp::kAdd, args.dtype = dtype;
      args.x = arena.floats(n, dtype), args.y = arena.floats(kColumns, dtype);
      args.out = arena.floats(n, dtype);
      args.rank = 2, args.shape[0] = rows, args.shape[1] = kColumns;
      args.x_strides[0] = kColumns, args.x_strides[1] = args.y_strides[1] = 1;
      return call(table().binary, args);
    });
    add("select", 3.25, [=](Arena& arena) {
      SelectArgs args{};
      args.dtype = dtype, args.cond = arena.bytes(n);
      args.x = arena.floats(n, dtype), args.y = arena.floats(n, dtype);
      args.out = arena.floats(n, dtype);
      args.rank = 1, args.shape[0] = n;
      args.c_strides[0] = args.x_strides[0] = args.y_strides[0] = 1;
      return call(table().select, args);
    });
    add("cast to int32", 1 + 4 / item_bytes(dtype), [=](Arena& arena) {
      CastArgs args{dtype, DType::kInt32, arena.floats(n, dtype), arena.bytes(4 * n), n};
      return call(table().cast, args);
    });
    add("fill", 1, [=](Arena& arena) {
      return call(table().fill, FillArgs{dtype, arena.floats(n, dtype), n, 1.0});
    });
    add("iota", 1, [=](Arena& arena) {
      return call(table().iota, IotaArgs{dtype, arena.floats(n, dtype), n, 0.0, 1.0});
    });
    // relu(x * y + row): what a batch norm at inference and its activation become.
    add("fused mul add relu", 3, [=](Arena& arena) {
      FusedArgs args{};
      args.dtype = dtype, args.rows = rows, args.cols = kColumns;
      args.n_inputs = 3, args.n_instr = 3, args.n_outputs = 1;
      args.inputs[0] = arena.floats(n, dtype), args.access[0] = FusedAccess::kElement;
      args.inputs[1] = arena.floats(n, dtype), args.access[1] = FusedAccess::kElement;
      args.inputs[2] = arena.floats(kColumns, dtype), args.access[2] = FusedAccess::kRow;
      args.instr[0] = {true, UnaryOp::kCopy, BinaryOp::kMul, 0, 1, 0, 0};
      args.instr[1] = {true, UnaryOp::kCopy, BinaryOp::kAdd, 3, 2, 0, 0};
      args.instr[2] = {false, UnaryOp::kRelu, BinaryOp::kAdd, 4, 0, 0, 0};
      args.out_value[0] = 5, args.outputs[0] = arena.floats(n, dtype);
      return call(table().fused, args);
    });
  }

  void moves() {
    const DType dtype = dtype_;
    const auto item = static_cast<std::size_t>(item_bytes(dtype));
    const int64_t n = n_, rows = rows_;
    add("strided_copy transpose", 2, [=](Arena& arena) {
      StridedCopyArgs args{};
      args.item_size = item, args.src = arena.floats(n, dtype), args.dst = arena.floats(n, dtype);
      args.rank = 2, args.shape[0] = kColumns, args.shape[1] = rows;
      args.src_strides[0] = 1, args.src_strides[1] = kColumns;
      args.dst_strides[0] = rows, args.dst_strides[1] = 1;
      return call(table().strided_copy, args);
    });
    // Rows in an order without locality: those of a shuffled batch.
    auto shuffled = [rows](Arena& arena) {
      auto* index = static_cast<int64_t*>(arena.bytes(8 * rows));
      for (int64_t i = 0; i < rows; ++i) index[i] = (i * 7919 + 13) % rows;
      return index;
    };
    add("gather rows", 2, [=](Arena& arena) {
      GatherArgs args{};
      args.item_size = item, args.index_dtype = DType::kInt64;
      args.x = arena.floats(n, dtype), args.index = shuffled(arena);
      args.y = arena.floats(n, dtype);
      args.outer = 1, args.axis = rows, args.inner = kColumns, args.n_index = rows;
      return call(table().gather, args);
    });
    add("scatter_add rows", 3, [=](Arena& arena) {
      ScatterAddArgs args{};
      args.dtype = dtype, args.index_dtype = DType::kInt64;
      args.x = arena.floats(n, dtype), args.index = shuffled(arena);
      args.y = arena.floats(n, dtype);
      args.outer = 1, args.axis = rows, args.inner = kColumns, args.n_index = rows;
      return call(table().scatter_add, args);
    });
    add("one_hot", 1, [=](Arena& arena) {
      OneHotArgs args{};
      args.dtype = dtype, args.index_dtype = DType::kInt32;
      args.index = arena.bytes(4 * rows), args.y = arena.floats(n, dtype);
      args.n = rows, args.classes = kColumns;
      return call(table().one_hot, args);
    });
    add("feed uint8 shuffled", 1 + 1 / item_bytes(dtype), [=](Arena& arena) {
      FeedArgs args{};
      args.src_dtype = DType::kUint8, args.dst_dtype = dtype;
      args.src = arena.bytes(n), args.dst = arena.floats(n, dtype), args.index = shuffled(arena);
      args.n = rows, args.row_items = kColumns, args.row_stride_bytes = kColumns;
      return call(table().feed, args);
    });
    add("feed shuffled", 2, [=](Arena& arena) {
      FeedArgs args{};
      args.src_dtype = args.dst_dtype = dtype;
      args.src = arena.floats(n, dtype), args.dst = arena.floats(n, dtype);
      args.index = shuffled(arena);
      args.n = rows, args.row_items = kColumns;
      args.row_stride_bytes = kColumns * static_cast<int64_t>(item);
      return call(table().feed, args);
    });
  }

  void reduce(const std::string& name, ReduceOp op, int64_t outer, int64_t n, int64_t inner) {
    add("reduce " + name, 1, [=, dtype = dtype_](Arena& arena) {
      ReduceArgs args{};
      args.op = op, args.dtype = dtype;
      args.x = arena.floats(outer * n * inner, dtype);
      args.y = arena.floats(outer * inner, dtype);
      args.outer = outer, args.n = n, args.inner = inner;
      args.workspace = arena.bytes(table().reduce_workspace(args));
      return call(table().reduce, args);
    });
  }

  void reductions() {
    reduce("sum", ReduceOp::kSum, 1, n_, 1);
    reduce("max", ReduceOp::kMax, 1, n_, 1);
    reduce("sum of rows", ReduceOp::kSum, rows_, kColumns, 1);
    reduce("sum of columns", ReduceOp::kSum, 1, rows_, kColumns);
    reduce("argmax of rows", ReduceOp::kArgMax, rows_, kColumns, 1);
    reduce("sum of squares", ReduceOp::kSumSquares, 1, n_, 1);
    reduce("logsumexp of rows", ReduceOp::kLogSumExp, rows_, kColumns, 1);
    add("scan cumsum of rows", 2, [=, dtype = dtype_, n = n_, rows = rows_](Arena& arena) {
      ScanArgs args{ScanOp::kCumSum, dtype, arena.floats(n, dtype), arena.floats(n, dtype), rows,
                    kColumns,        1};
      return call(table().scan, args);
    });
  }

  void softmax() {
    const DType dtype = dtype_;
    const int64_t n = n_, rows = rows_;
    add("softmax", 2, [=](Arena& arena) {
      SoftmaxArgs args{dtype, false,   arena.floats(n, dtype), arena.floats(n, dtype),
                       rows,  kColumns};
      return call(table().softmax, args);
    });
    add("softmax_grad", 3, [=](Arena& arena) {
      SoftmaxGradArgs args{
          dtype, false,   arena.floats(n, dtype), arena.floats(n, dtype), arena.floats(n, dtype),
          rows,  kColumns};
      return call(table().softmax_grad, args);
    });
    add("softmax_cross_entropy", 3, [=](Arena& arena) {
      SoftmaxCrossEntropyArgs args{};
      args.dtype = dtype, args.logits = arena.floats(n, dtype);
      args.target = arena.floats(n, dtype), args.loss = arena.floats(rows, dtype);
      args.probs = arena.floats(n, dtype), args.rows = rows, args.cols = kColumns;
      return call(table().softmax_cross_entropy, args);
    });
  }

  void pool(bool average) {
    const DType dtype = dtype_;
    const int64_t side = n_ >= 32768 ? 16 : 4, channels = 32;
    ConvGeometry g{};
    g.n = n_ / (side * side * channels), g.c = g.o = channels, g.groups = 1;
    for (int d = 0; d < 3; ++d) {
      g.in[d] = d ? side : 1, g.out[d] = d ? side / 2 : 1;
      g.k[d] = g.stride[d] = d ? 2 : 1, g.dilation[d] = 1;
    }
    const int64_t n = n_;
    const std::string name = average ? " average" : " max";
    const std::string shape = std::to_string(g.n) + "x" + std::to_string(side) + "x" +
                              std::to_string(side) + "x" + std::to_string(channels);
    add(
        "pool" + name, 1.25,
        [=](Arena& arena) {
          PoolArgs args{dtype, average, g, arena.floats(n, dtype), arena.floats(n / 4, dtype)};
          return call(table().pool, args);
        },
        shape);
    add(
        "pool_grad" + name, average ? 1.25 : 2.5,
        [=](Arena& arena) {
          PoolArgs forward{dtype, average, g, arena.floats(n, dtype), arena.floats(n / 4, dtype)};
          int fault = 0;
          table().pool(forward, Exec{1, &fault});
          PoolGradArgs args{dtype,
                            average,
                            g,
                            forward.x,
                            forward.y,
                            arena.floats(n / 4, dtype),
                            arena.floats(n, dtype)};
          return call(table().pool_grad, args);
        },
        shape);
  }

  void pooling() {
    pool(false);
    pool(true);
  }

  void normalization() {
    const DType dtype = dtype_;
    const int64_t n = n_, rows = rows_, c = kColumns;
    add("batch_norm", 3, [=](Arena& arena) {
      BatchNormArgs args{};
      args.dtype = dtype, args.x = arena.floats(n, dtype), args.y = arena.floats(n, dtype);
      args.gamma = arena.floats(c, dtype), args.beta = arena.floats(c, dtype);
      args.mean = arena.floats(c, dtype), args.var = arena.floats(c, dtype);
      args.rows = rows, args.c = c, args.eps = 1e-3;
      args.workspace = arena.bytes(table().batch_norm_workspace(args));
      return call(table().batch_norm, args);
    });
    add("batch_norm_grad", 5, [=](Arena& arena) {
      BatchNormGradArgs args{};
      args.dtype = dtype, args.x = arena.floats(n, dtype), args.dy = arena.floats(n, dtype);
      args.gamma = arena.floats(c, dtype), args.mean = arena.floats(c, dtype, false);
      args.var = arena.floats(c, dtype, false), args.dx = arena.floats(n, dtype);
      args.dgamma = arena.floats(c, dtype), args.dbeta = arena.floats(c, dtype);
      args.rows = rows, args.c = c, args.eps = 1e-3;
      args.workspace = arena.bytes(table().batch_norm_grad_workspace(args));
      return call(table().batch_norm_grad, args);
    });
    add("layer_norm", 2, [=](Arena& arena) {
      LayerNormArgs args{};
      args.dtype = dtype, args.x = arena.floats(n, dtype), args.y = arena.floats(n, dtype);
      args.gamma = arena.floats(c, dtype), args.beta = arena.floats(c, dtype);
      args.mean = arena.floats(rows, dtype), args.var = arena.floats(rows, dtype);
      args.rows = rows, args.c = c, args.eps = 1e-3;
      return call(table().layer_norm, args);
    });
    add("layer_norm_grad", 3, [=](Arena& arena) {
      LayerNormGradArgs args{};
      args.dtype = dtype, args.x = arena.floats(n, dtype), args.dy = arena.floats(n, dtype);
      args.gamma = arena.floats(c, dtype), args.mean = arena.floats(rows, dtype, false);
      args.var = arena.floats(rows, dtype, false), args.dx = arena.floats(n, dtype);
      args.dgamma = arena.floats(c, dtype), args.dbeta = arena.floats(c, dtype);
      args.rows = rows, args.c = c, args.eps = 1e-3;
      args.workspace = arena.bytes(table().layer_norm_grad_workspace(args));
      return call(table().layer_norm_grad, args);
    });
  }

  void draw(const std::string& name, RandomKind kind, double a, double b) {
    add("random " + name, 1, [=, dtype = dtype_, n = n_](Arena& arena) {
      const auto* key = static_cast<const int64_t*>(arena.bytes(16));
      return call(table().random, RandomArgs{kind, dtype, key, arena.floats(n, dtype), n, a, b});
    });
  }

  void random() {
    draw("uniform", RandomKind::kUniform, 0, 1);
    draw("normal", RandomKind::kNormal, 0, 1);
    add("dropout", 2, [=, dtype = dtype_, n = n_](Arena& arena) {
      DropoutArgs args{};
      args.dtype = dtype, args.key = static_cast<const int64_t*>(arena.bytes(16));
      args.x = arena.floats(n, dtype), args.y = arena.floats(n, dtype);
      args.rate = 0.5, args.rank = 1, args.shape[0] = n, args.mask_strides[0] = 1;
      return call(table().dropout, args);
    });
  }

  void update(const std::string& name, OptimizerKind kind, int slots) {
    add("optimizer " + name, 3 + 2 * slots, [=, dtype = dtype_, n = n_](Arena& arena) {
      OptimizerArgs args{};
      args.kind = kind, args.dtype = dtype, args.n = n, args.shared = true;
      args.p = arena.floats(n, dtype), args.g = arena.floats(n, dtype);
      for (int i = 0; i < slots; ++i) args.slot[i] = arena.floats(n, dtype, false);
      auto* rate = static_cast<float*>(arena.bytes(sizeof(float)));
      *rate = 1e-6F;
      args.lr = rate, args.step = static_cast<const int64_t*>(arena.bytes(8));
      args.momentum = 0.9, args.rho = 0.9, args.beta_1 = 0.9, args.beta_2 = 0.999;
      args.epsilon = 1e-7;
      return call(table().optimizer, args);
    });
  }

  void optimizer() {
    update("sgd", OptimizerKind::kSgd, 0);
    update("sgd momentum", OptimizerKind::kSgd, 1);
    update("rmsprop", OptimizerKind::kRmsprop, 1);
    update("adam", OptimizerKind::kAdam, 2);
  }

  std::vector<Case>& cases_;
  DType dtype_;
  int64_t n_, rows_;
};

}  // namespace

std::vector<Case> memory_cases(DType dtype) {
  std::vector<Case> cases;
  // Tensors for L1, L2 and memory: 4 KiB, 128 KiB and 64 MiB in float32.
  for (const int64_t n : {int64_t{1} << 10, int64_t{1} << 15, int64_t{1} << 24}) {
    Cases(cases, dtype, n).add_all();
  }
  return cases;
}

}  // namespace bench
