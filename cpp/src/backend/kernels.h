// The kernel interface: one table of plain functions on raw memory.
//
// A kernel takes a plain-data argument block and an execution context. It never allocates, never
// throws, reads no global and keeps no state. Operations (ops/) fill the argument blocks, once per
// eager call or once per Program, so a Program's step is an array of (function, block) pairs.
//
// Conventions for every kernel:
//  - pointers are to dense row-major memory of the block's dtype; only `dtype`s named at the block
//    are supported; sizes are elements, int64.
//  - results do not depend on Exec::threads (work is cut by problem size, partial results are
//    combined in a fixed order) nor on pointer alignment or position (a tail element gets the same
//    bits as a full-vector element).
//  - `workspace` points to at least `<kernel>_workspace(args)` bytes, 64-byte aligned, contents
//    undefined. Kernels without a `_workspace` twin need none.
//  - an index out of range never touches memory outside: the kernel uses row 0 (or drops the write)
//    and reports through `Exec::fault`.
//  - n == 0 (any empty extent) is valid and does nothing (reductions write their identity).
//  - NaN and Inf propagate (max/min/relu included, as in numpy).
#pragma once

#include <cstddef>
#include <cstdint>

#include "lamella/dtype.h"

namespace lamella::kernels {

inline constexpr std::uint32_t kAbiVersion = 4;
inline constexpr int kMaxRank = 8;
inline constexpr int kMaxFused = 24;       // instructions of one fused chain
inline constexpr int kMaxFusedInputs = 8;  // tensors that one fused chain reads
inline constexpr int kMaxFusedOutputs = 4;

enum class Fault : int { kNone = 0, kIndexOutOfRange = 1 };

/// What a kernel may know of its surroundings.
struct Exec {
  int threads = 1;       // upper bound on threads to use
  int* fault = nullptr;  // where a Fault is stored (atomically, first one wins); never null
};

template <class Args>
struct Kernel {
  using Erased = void (*)(const void* args, const Exec& exec);
  Erased fn = nullptr;
  void operator()(const Args& args, const Exec& exec) const { fn(&args, exec); }
};

template <class Args>
using WorkspaceFn = std::size_t (*)(const Args& args);

// ---------------------------------------------------------------- elementwise

enum class UnaryOp : std::uint8_t {
  // float32, float64; kCopy..kSquare also int32, int64 (kCopy: all)
  kCopy,
  kNeg,
  kAbs,
  kSign,  // -1, 0, 1; NaN stays NaN
  kSquare,
  kExp,
  kExpm1,
  kLog,
  kLog1p,
  kSqrt,
  kRsqrt,
  kReciprocal,
  kSin,
  kCos,
  kTan,
  kAsin,
  kAcos,
  kAtan,
  kSinh,
  kCosh,
  kTanh,
  kErf,
  kFloor,
  kCeil,
  kRound,  // half to even
  kSigmoid,
  kSoftplus,     // log(1 + exp(x)), stable
  kRelu,         // max(x, 0)
  kLeakyRelu,    // x < 0 ? a * x : x
  kElu,          // x < 0 ? a * expm1(x) : x
  kSelu,         // scale * (x < 0 ? alpha * expm1(x) : x), the paper's constants
  kGelu,         // exact, with erf
  kGeluTanh,     // tanh approximation
  kSilu,         // x * sigmoid(x)
  kSoftsign,     // x / (1 + |x|)
  kHardSigmoid,  // clip(x / 6 + 1/2, 0, 1)
  kHardSilu,     // x * hard_sigmoid(x)
  kClip,         // min(max(x, a), b); also int32, int64
  kErfInv,       // inverse of erf on [-1, 1]
  kI0,           // modified Bessel functions of the first kind, of order 0
  kI1,           // and 1
  kIsNan,        // float -> bool
  kIsFinite,     // float -> bool
  kLogicalNot,   // bool -> bool
};

struct UnaryArgs {
  UnaryOp op;
  DType dtype;  // of x; y has the same, or bool for predicates
  const void* x;
  void* y;  // may equal x
  std::int64_t n;
  double a = 0, b = 0;
};

enum class BinaryOp : std::uint8_t {
  // float32, float64, int32, int64 (uint8 for comparisons too)
  kAdd,
  kSub,
  kMul,
  kDiv,  // floats only
  kMaximum,
  kMinimum,
  kPow,       // floats; ints by repeated multiplication
  kFloorDiv,  // towards minus infinity; integer division by zero gives 0
  kMod,       // sign of the divisor, as in Python
  kSquaredDifference,
  kAtan2,      // floats only
  kNextAfter,  // floats only: the neighbour of x on the way to y
  // int32, int64
  kGcd,
  kBitAnd,
  kBitOr,
  kBitXor,
  kShiftLeft,   // a shift by the width or more, or by less than 0, leaves no bit of x
  kShiftRight,  // keeps the sign
  // gradients that reuse the forward result: x = upstream gradient g, y = forward OUTPUT
  kReluGrad,     // y > 0 ? g : 0
  kSigmoidGrad,  // g * y * (1 - y)
  kTanhGrad,     // g * (1 - y * y)
  // comparisons -> bool
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  // bool, bool -> bool
  kLogicalAnd,
  kLogicalOr,
  kLogicalXor,
};

/// out[i] = op(x[...], y[...]) over `shape`; strides in elements, 0 where an operand is broadcast.
/// The caller merges axes, so rank is small: 1 for equal shapes or scalars, 2 for row broadcasting.
struct BinaryArgs {
  BinaryOp op;
  DType dtype;  // of x and y; out is the same or bool
  const void* x;
  const void* y;
  void* out;  // may equal x or y where that operand is not broadcast
  int rank;
  std::int64_t shape[kMaxRank];
  std::int64_t x_strides[kMaxRank];
  std::int64_t y_strides[kMaxRank];
};

/// out = cond ? x : y with broadcasting (strides as above); cond is bool; x, y, out any dtype.
struct SelectArgs {
  DType dtype;
  const void* cond;
  const void* x;
  const void* y;
  void* out;
  int rank;
  std::int64_t shape[kMaxRank];
  std::int64_t c_strides[kMaxRank];
  std::int64_t x_strides[kMaxRank];
  std::int64_t y_strides[kMaxRank];
};

/// All pairs of dtypes. Float to int truncates towards zero (saturating; NaN gives 0), anything to
/// bool is != 0.
struct CastArgs {
  DType from, to;
  const void* x;
  void* y;
  std::int64_t n;
};

struct FillArgs {
  DType dtype;
  void* y;
  std::int64_t n;
  double value;
};

/// y[i] = start + i * step
struct IotaArgs {
  DType dtype;
  void* y;
  std::int64_t n;
  double start, step;
};

// A chain of elementwise operations over n elements run tile by tile in cache. Values are numbered:
// inputs first (0 .. n_inputs-1), then one per instruction. Binary instructions take two values.
struct FusedInstr {
  bool binary;
  UnaryOp unary;
  BinaryOp bin;  // arithmetic and *_Grad ones only, dtype float32 or float64
  std::int16_t x, y;
  double a, b;
};
enum class FusedAccess : std::uint8_t {
  kElement,  // as long as the output
  kScalar,   // one element
  kRow,      // `cols` elements, repeated for every row of the output (n = rows * cols)
  kColumn,   // one element per row
};
struct FusedArgs {
  DType dtype;
  std::int64_t rows, cols;  // n = rows * cols; rows = 1 where no kRow/kColumn input exists
  int n_inputs, n_instr, n_outputs;
  const void* inputs[kMaxFusedInputs];
  FusedAccess access[kMaxFusedInputs];
  FusedInstr instr[kMaxFused];
  std::int16_t out_value[kMaxFusedOutputs];  // which value each output stores
  void* outputs[kMaxFusedOutputs];           // an output may equal a kElement input
};

// ---------------------------------------------------------------- moving data

/// dst[i . dst_strides] = src[i . src_strides] over `shape`, strides in elements (may be 0 on the
/// source, negative allowed on both): transpose, slice, concat, pad, broadcast, flip, repeat.
struct StridedCopyArgs {
  std::size_t item_size;  // 1, 4 or 8
  const void* src;
  void* dst;
  int rank;
  std::int64_t shape[kMaxRank];
  std::int64_t src_strides[kMaxRank];
  std::int64_t dst_strides[kMaxRank];
};

/// y[o, j, :] = x[o, index[j], :] with x (outer, axis, inner), index (n_index) int32 or int64.
/// Negative indices count from the end, as in numpy.
struct GatherArgs {
  std::size_t item_size;
  DType index_dtype;
  const void* x;
  const void* index;
  void* y;
  std::int64_t outer, axis, inner, n_index;
};

/// y[o, index[j], :] += x[o, j, :]; y (outer, axis, inner) is zeroed first. float32, float64, ints.
/// Contributions are added in the order of j whatever the thread count.
struct ScatterAddArgs {
  DType dtype;
  DType index_dtype;
  const void* x;
  const void* index;
  void* y;
  std::int64_t outer, axis, inner, n_index;
};

/// y[i, :] = 0 except y[i, index[i]] = 1; an index outside [0, classes) gives a row of zeros, and a
/// fault when `strict`.
struct OneHotArgs {
  DType dtype;
  DType index_dtype;
  const void* index;
  void* y;
  std::int64_t n, classes;
  bool strict = false;
};

/// Batch feeding: dst[i, :] = cast(src[index ? index[i] : first + i, :]). src may have any dtype
/// and any row stride in bytes (rows themselves dense); dst is dense.
struct FeedArgs {
  DType src_dtype, dst_dtype;
  const void* src;
  void* dst;
  const std::int64_t* index;  // or null
  std::int64_t first, n, row_items, row_stride_bytes;
};

// ---------------------------------------------------------------- reductions

enum class ReduceOp : std::uint8_t {
  kSum,  // float32 sums are pairwise or in fixed blocks: error O(log n)
  kProd,
  kMax,
  kMin,
  kMean,  // floats only
  kSumSquares,
  kLogSumExp,  // floats only, stable
  kAny,        // bool
  kAll,        // bool
  kArgMax,     // y is int32; first of equals; NaN wins, as in numpy
  kArgMin,
};

/// y[o, i] = reduce_j x[o, j, i]; x is (outer, n, inner). float32, float64, int32, int64 (bool for
/// any/all). Large reductions to few outputs use the workspace for fixed-size partial results.
struct ReduceArgs {
  ReduceOp op;
  DType dtype;
  const void* x;
  void* y;
  std::int64_t outer, n, inner;
  void* workspace;
};

enum class ScanOp : std::uint8_t { kCumSum, kCumProd };
struct ScanArgs {
  ScanOp op;
  DType dtype;
  const void* x;
  void* y;
  std::int64_t outer, n, inner;
};

/// y[i, :] = the positions that put row i of x (rows, n) into ascending (descending) order, equal
/// values in the order of their positions; NaN counts as the largest value. All dtypes.
struct ArgsortArgs {
  DType dtype;
  bool descending;
  const void* x;
  std::int32_t* y;
  std::int64_t rows, n;
};

/// Softmax or log-softmax over the last axis of (rows, cols); float32, float64. A row whose values
/// are all -Inf, or that holds a NaN, becomes NaN. y may equal x.
struct SoftmaxArgs {
  DType dtype;
  bool log;
  const void* x;
  void* y;
  std::int64_t rows, cols;
};

/// dx for softmax (y = softmax output) or log-softmax (y = log-softmax output). dx may equal g.
struct SoftmaxGradArgs {
  DType dtype;
  bool log;
  const void* y;
  const void* g;
  void* dx;
  std::int64_t rows, cols;
};

/// loss[r] = -sum_c t[r,c] * log_softmax(z[r,:])[c]; probs (rows, cols) = softmax(z), always
/// written.
struct SoftmaxCrossEntropyArgs {
  DType dtype;
  const void* logits;
  const void* target;  // dense (rows, cols), same dtype
  void* loss;
  void* probs;
  std::int64_t rows, cols;
};

// ---------------------------------------------------------------- matmul and convolution

enum class Activation : std::uint8_t {
  kNone,
  kRelu,
  kSigmoid,
  kTanh,
  kElu,
  kLeakyRelu,
  kSilu,
  kGelu
};

/// c = act(op(a) op(b) + bias) for each of `batch` products; op transposes where asked. float32,
/// float64. Row-major, leading dimensions in elements. a is (m, k) [or (k, m) when ta], b (k, n).
/// bias (n elements, or null) is added to every row. accumulate: c += a b (then no bias or act).
/// k == 0 gives act(bias) (or 0).
struct MatmulArgs {
  DType dtype;
  bool ta, tb;
  bool accumulate;
  Activation act;
  double act_alpha;  // slope of elu, leaky relu
  std::int64_t m, n, k;
  std::int64_t batch;
  const void* a;
  std::int64_t lda, a_stride;  // a_stride: elements between products; 0 shares the operand
  const void* b;
  std::int64_t ldb, b_stride;
  const void* bias;
  void* c;
  std::int64_t ldc, c_stride;
  void* workspace;
};

/// Geometry of a convolution in up to three spatial dimensions (leading ones are 1 where fewer).
/// x (n, in[0], in[1], in[2], c), w (k[0], k[1], k[2], c/groups, o), y (n, out[0..2], o).
/// pad is the padding BEFORE; reads outside x are zeros, so padding after follows from `out`.
struct ConvGeometry {
  std::int64_t n, c, o, groups;
  std::int64_t in[3], out[3], k[3], stride[3], dilation[3], pad[3];
};

/// `exact` in the blocks below: sums of products only, no minimal filtering (Winograd), whose
/// errors are larger.

/// y = act(conv(x, w) + bias). No materialised im2col. groups == c is depthwise (o = c *
/// multiplier, output channel = in * multiplier + m).
struct ConvArgs {
  DType dtype;
  ConvGeometry g;
  const void* x;
  const void* w;
  const void* bias;  // o elements or null
  Activation act;
  double act_alpha;
  void* y;
  void* workspace;
  bool exact;
};

/// dx (or the forward of a transposed convolution) from dy: writes all of dx. bias/act as above
/// apply to dx (for the transposed convolution; bias has c elements).
struct ConvBackwardDataArgs {
  DType dtype;
  ConvGeometry g;
  const void* dy;
  const void* w;
  const void* bias;
  Activation act;
  double act_alpha;
  void* dx;
  void* workspace;
  bool exact;
};

/// dw from x and dy: writes all of dw. Reduction over pixels in fixed chunks, fixed order.
struct ConvBackwardWeightsArgs {
  DType dtype;
  ConvGeometry g;
  const void* x;
  const void* dy;
  void* dw;
  void* workspace;
  bool exact;
};

/// Pooling over (n, in, c) -> (n, out, c). Average leaves padding out of the count. Max: padding
/// never wins. In the gradient of max, the first of equal maxima in the window takes the gradient.
struct PoolArgs {
  DType dtype;
  bool average;
  ConvGeometry g;  // c channels; o, groups, dilation unused (dilation 1)
  const void* x;
  void* y;
};
struct PoolGradArgs {
  DType dtype;
  bool average;
  ConvGeometry g;
  const void* x;  // max only
  const void* y;  // max only
  const void* dy;
  void* dx;
};

// ---------------------------------------------------------------- normalization

/// Batch statistics over rows of (rows, c): mean and biased variance, then
/// y = (x - mean) * rsqrt(var + eps) * gamma + beta (gamma, beta may be null).
struct BatchNormArgs {
  DType dtype;
  const void* x;
  const void* gamma;
  const void* beta;
  void* y;
  void* mean;  // out, c
  void* var;   // out, c, biased
  std::int64_t rows, c;
  double eps;
  void* workspace;
};

/// dgamma/dbeta may be null. mean, var as the forward wrote them.
struct BatchNormGradArgs {
  DType dtype;
  const void* x;
  const void* gamma;
  const void* mean;
  const void* var;
  const void* dy;
  void* dx;
  void* dgamma;
  void* dbeta;
  std::int64_t rows, c;
  double eps;
  void* workspace;
};

/// Normalizes each row of (rows, c) over its c elements (layer normalization), then scale and
/// shift.
struct LayerNormArgs {
  DType dtype;
  const void* x;
  const void* gamma;  // c or null
  const void* beta;   // c or null
  void* y;
  void* mean;  // out, rows
  void* var;   // out, rows, biased
  std::int64_t rows, c;
  double eps;
};
struct LayerNormGradArgs {
  DType dtype;
  const void* x;
  const void* gamma;
  const void* mean;
  const void* var;
  const void* dy;
  void* dx;
  void* dgamma;  // or null
  void* dbeta;   // or null
  std::int64_t rows, c;
  double eps;
  void* workspace;
};

// ---------------------------------------------------------------- recurrent cells

enum class RecurrentCell : std::uint8_t { kSimple, kLstm, kGru, kGruResetAfter };
/// What a gate is passed through; all have a derivative in terms of their result.
enum class GateActivation : std::uint8_t { kLinear, kRelu, kSigmoid, kTanh, kHardSigmoid };

/// A cell over all time steps. x holds the projected inputs (x kernel + bias) of all steps; gates
/// lie side by side in its last axis: LSTM i f c o, GRU z r h. Step s is time s, or time - 1 - s
/// when `backwards`. x, gates, memory and mask are indexed by time, the sequence by step. A masked
/// step leaves the state alone, and its output repeats the one before (zeros at the start).
struct RecurrentArgs {
  DType dtype;
  RecurrentCell cell;
  GateActivation act, recurrent_act;
  bool backwards;
  std::int64_t batch, time, units;
  const void* x;       // (batch, time, gates * units)
  const void* h0;      // (batch, units)
  const void* c0;      // (batch, units); LSTM only
  const void* kernel;  // (units, gates * units)
  const void* bias;    // units elements or null: added to h's candidate before the reset gate, for
                       // kGruResetAfter only
  const bool* mask;    // (batch, time) or null
  void* gates;         // out, as x: activated gates; may equal x; null where no gradient follows
  void* memory;        // out (batch, time, units): LSTM the carry states, kGruResetAfter what the
                       // reset gate multiplies; may be null where no gradient follows
  void* sequence;      // out (batch, time, units) or null
  void* h_last;        // out (batch, units)
  void* c_last;        // out (batch, units); LSTM only
  void* workspace;
};

/// Gradients of the above. dsequence, dh_last and dc_last may be null (zeros). The gradient to the
/// recurrent kernel is then previous^T dx; for its last gate kGruResetAfter takes `other` in place
/// of dx, kGru takes `other` in place of `previous`.
struct RecurrentGradArgs {
  DType dtype;
  RecurrentCell cell;
  GateActivation act, recurrent_act;
  bool backwards;
  std::int64_t batch, time, units;
  const void* h0;
  const void* c0;
  const void* kernel;
  const bool* mask;
  const void* gates;     // as the forward kernel wrote them
  const void* memory;    // likewise
  const void* sequence;  // likewise
  const void* dsequence;
  const void* dh_last;
  const void* dc_last;
  void* dx;        // out (batch, time, gates * units); may equal gates
  void* dh0;       // out
  void* dc0;       // out; LSTM only
  void* previous;  // out (batch, time, units): the state before each time; zeros where masked
  void* other;     // out (batch, time, units): kGruResetAfter the gradient to what the reset gate
                   // multiplies, kGru the state before each time times the reset gate
  void* workspace;
};

// ---------------------------------------------------------------- random numbers

enum class RandomKind : std::uint8_t {
  kUniform,          // [a, b); ints too
  kNormal,           // mean a, standard deviation b
  kTruncatedNormal,  // as above, redrawn outside two standard deviations
  kBernoulli,        // 1 with probability a, else 0
};

/// Philox4x32-10; key = (key[0], key[1]) as two int64: seed and counter of the draw. Element i
/// depends on (key, i) only.
struct RandomArgs {
  RandomKind kind;
  DType dtype;
  const std::int64_t* key;
  void* y;
  std::int64_t n;
  double a, b;
};

/// y = keep ? x / (1 - rate) : 0, keep drawn per element from the key. The gradient is the same
/// kernel applied to dy with the same key. A mask shared along axes: `mask_n`/strides: element i of
/// (shape) uses draw sum(i_d * mask_strides[d]).
struct DropoutArgs {
  DType dtype;
  const std::int64_t* key;
  const void* x;
  void* y;
  double rate;
  int rank;  // 1 for the ordinary case, with mask_strides[0] = 1
  std::int64_t shape[kMaxRank];
  std::int64_t mask_strides[kMaxRank];
};

// ---------------------------------------------------------------- optimizers

enum class OptimizerKind : std::uint8_t {
  kSgd,
  kRmsprop,
  kAdagrad,
  kAdadelta,
  kAdam,
  kAdamax,
  kNadam,
};

/// One update of n parameters, in place, with Keras 3's formulas:
///   sgd       slots: [momentum]; momentum, nesterov          m = mom*m - lr*g; p += m (nesterov:
///   mom*m - lr*g) rmsprop   slots: velocity, [momentum], [average]; rho, momentum, epsilon,
///   centered adagrad   slots: accumulator; epsilon adadelta  slots: accumulated_grad,
///   accumulated_delta; rho, epsilon adam      slots: momentum, velocity, [velocity_hat: amsgrad];
///   beta_1, beta_2, epsilon adamax    slots: m, u; beta_1, beta_2, epsilon nadam     slots: m, v;
///   beta_1, beta_2, epsilon; u_product
/// Absent slots are null. g is first multiplied by *grad_scale (global norm clipping; null is 1),
/// then clipped to [-clip_value, clip_value] when clip_value > 0. weight_decay > 0 first multiplies
/// p by (1 - weight_decay * lr) (decoupled). `step` is the count of updates done before this one.
struct OptimizerArgs {
  OptimizerKind kind;
  DType dtype;  // float32 or float64, of p, g and slots
  std::int64_t n;
  void* p;
  const void* g;
  void* slot[3];
  const void* lr;            // one float32 value
  const std::int64_t* step;  // one value
  const void* u_product;     // nadam: one float32 value, product of u up to the previous step
  const double* grad_scale;
  double clip_value;
  double weight_decay;
  double momentum, rho, beta_1, beta_2, epsilon;
  bool nesterov, centered, amsgrad;
  bool shared;  // threads may share it; otherwise it stays with the one that calls
};

/// *scale = norm > limit ? limit / norm : 1, where norm is the square root of the sum of n partial
/// sums of squares (float32 or float64 each).
struct ClipScaleArgs {
  DType dtype;
  const void* sums;
  std::int64_t n;
  double limit;
  double* scale;
};

// ---------------------------------------------------------------- linear algebra

enum class LinalgOp : std::uint8_t {
  kCholesky,         // y = L with L L^T = a, from the lower triangle of a; NaN where there is none
  kTriangularSolve,  // op(a) y = b, from one triangle of a
  kSolve,            // a y = b
  kDet,              // y = determinant, one value a matrix
  kSlogdet,          // y = its sign, z = the logarithm of its magnitude
};

/// A stack of square matrices a (batch, n, n) and of right-hand sides b (batch, n, m); float32,
/// float64. Solving and determinants eliminate with partial pivoting; a singular matrix gives
/// infinities or NaN. y must not overlap a or b.
struct LinalgArgs {
  LinalgOp op;
  DType dtype;
  bool lower, transposed;  // kTriangularSolve: the triangle that is read; op(a) = a^T
  const void* a;
  const void* b;
  void* y;
  void* z;
  std::int64_t n, m, batch;
  void* workspace;
};

// ---------------------------------------------------------------- measuring the machine

/// For each of `pieces`, shared among threads: copies n elements from x + piece * n to y + piece *
/// n, `repeats` times; or, where x is null, does about `repeats` floating-point operations in
/// registers and writes one result to y + piece * n. float32, float64.
struct ProbeArgs {
  DType dtype;
  const void* x;
  void* y;
  std::int64_t n, pieces, repeats;
};

// ---------------------------------------------------------------- the table

struct KernelTable {
  std::uint32_t abi_version;
  const char* isa;       // "x86-64-v3", "native", ...
  const char* compiler;  // how it was built
  int vector_bytes;

  /// Calls body(context, i) for i in 0 .. count-1 on up to `threads` threads of the kernels' pool;
  /// kernels that are called inside run on one thread each. body must not throw.
  void (*parallel)(int threads, std::int64_t count, void (*body)(void* context, std::int64_t i),
                   void* context);

  Kernel<UnaryArgs> unary;
  Kernel<BinaryArgs> binary;
  Kernel<SelectArgs> select;
  Kernel<CastArgs> cast;
  Kernel<FillArgs> fill;
  Kernel<IotaArgs> iota;
  Kernel<FusedArgs> fused;

  Kernel<StridedCopyArgs> strided_copy;
  Kernel<GatherArgs> gather;
  Kernel<ScatterAddArgs> scatter_add;
  Kernel<OneHotArgs> one_hot;
  Kernel<FeedArgs> feed;

  Kernel<ReduceArgs> reduce;
  WorkspaceFn<ReduceArgs> reduce_workspace;
  Kernel<ScanArgs> scan;
  Kernel<ArgsortArgs> argsort;
  Kernel<SoftmaxArgs> softmax;
  Kernel<SoftmaxGradArgs> softmax_grad;
  Kernel<SoftmaxCrossEntropyArgs> softmax_cross_entropy;

  Kernel<MatmulArgs> matmul;
  WorkspaceFn<MatmulArgs> matmul_workspace;
  Kernel<LinalgArgs> linalg;
  WorkspaceFn<LinalgArgs> linalg_workspace;
  Kernel<ConvArgs> conv;
  WorkspaceFn<ConvArgs> conv_workspace;
  Kernel<ConvBackwardDataArgs> conv_backward_data;
  WorkspaceFn<ConvBackwardDataArgs> conv_backward_data_workspace;
  Kernel<ConvBackwardWeightsArgs> conv_backward_weights;
  WorkspaceFn<ConvBackwardWeightsArgs> conv_backward_weights_workspace;
  Kernel<PoolArgs> pool;
  Kernel<PoolGradArgs> pool_grad;

  Kernel<BatchNormArgs> batch_norm;
  WorkspaceFn<BatchNormArgs> batch_norm_workspace;
  Kernel<BatchNormGradArgs> batch_norm_grad;
  WorkspaceFn<BatchNormGradArgs> batch_norm_grad_workspace;
  Kernel<LayerNormArgs> layer_norm;
  Kernel<LayerNormGradArgs> layer_norm_grad;
  WorkspaceFn<LayerNormGradArgs> layer_norm_grad_workspace;

  Kernel<RecurrentArgs> recurrent;
  WorkspaceFn<RecurrentArgs> recurrent_workspace;
  Kernel<RecurrentGradArgs> recurrent_grad;
  WorkspaceFn<RecurrentGradArgs> recurrent_grad_workspace;

  Kernel<RandomArgs> random;
  Kernel<DropoutArgs> dropout;

  Kernel<OptimizerArgs> optimizer;
  Kernel<ClipScaleArgs> clip_scale;

  Kernel<ProbeArgs> probe;
};

/// Implemented in registry.cpp: the table chosen for this machine (loads the plug-in on first use).
const KernelTable& table();

}  // namespace lamella::kernels

/// The one symbol that a CPU plug-in exports.
extern "C" {
using LamellaBackendFn = const lamella::kernels::KernelTable* (*)();
}
