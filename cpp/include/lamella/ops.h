// Every op, eager and traced alike. Tensors are channels last; axes may be negative.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lamella/tensor.h"

namespace lamella::ops {

// ---- elementwise, one operand. Float functions of an integer tensor compute in float32.
LAMELLA_API Tensor neg(const Tensor& x);
LAMELLA_API Tensor abs(const Tensor& x);
LAMELLA_API Tensor sign(const Tensor& x);
LAMELLA_API Tensor square(const Tensor& x);
LAMELLA_API Tensor exp(const Tensor& x);
LAMELLA_API Tensor expm1(const Tensor& x);
LAMELLA_API Tensor log(const Tensor& x);
LAMELLA_API Tensor log1p(const Tensor& x);
LAMELLA_API Tensor sqrt(const Tensor& x);
LAMELLA_API Tensor rsqrt(const Tensor& x);
LAMELLA_API Tensor reciprocal(const Tensor& x);
LAMELLA_API Tensor sin(const Tensor& x);
LAMELLA_API Tensor cos(const Tensor& x);
LAMELLA_API Tensor tan(const Tensor& x);
LAMELLA_API Tensor asin(const Tensor& x);
LAMELLA_API Tensor acos(const Tensor& x);
LAMELLA_API Tensor atan(const Tensor& x);
LAMELLA_API Tensor sinh(const Tensor& x);
LAMELLA_API Tensor cosh(const Tensor& x);
LAMELLA_API Tensor tanh(const Tensor& x);
LAMELLA_API Tensor erf(const Tensor& x);
LAMELLA_API Tensor erfinv(const Tensor& x);
/// Modified Bessel functions of the first kind, of order 0 and 1.
LAMELLA_API Tensor bessel_i0(const Tensor& x);
LAMELLA_API Tensor bessel_i1(const Tensor& x);
LAMELLA_API Tensor floor(const Tensor& x);
LAMELLA_API Tensor ceil(const Tensor& x);
LAMELLA_API Tensor round(const Tensor& x);
LAMELLA_API Tensor sigmoid(const Tensor& x);
LAMELLA_API Tensor softplus(const Tensor& x);
LAMELLA_API Tensor relu(const Tensor& x);
LAMELLA_API Tensor silu(const Tensor& x);
LAMELLA_API Tensor softsign(const Tensor& x);
LAMELLA_API Tensor selu(const Tensor& x);
LAMELLA_API Tensor gelu(const Tensor& x, bool approximate);
LAMELLA_API Tensor hard_sigmoid(const Tensor& x);
LAMELLA_API Tensor hard_silu(const Tensor& x);
LAMELLA_API Tensor leaky_relu(const Tensor& x, double slope);
LAMELLA_API Tensor elu(const Tensor& x, double alpha);
LAMELLA_API Tensor clip(const Tensor& x, double low, double high);
LAMELLA_API Tensor isnan(const Tensor& x);
LAMELLA_API Tensor isfinite(const Tensor& x);
LAMELLA_API Tensor logical_not(const Tensor& x);
LAMELLA_API Tensor cast(const Tensor& x, DType dtype);
/// The same values; no gradient passes.
LAMELLA_API Tensor stop_gradient(const Tensor& x);

// ---- elementwise, two operands, with numpy's broadcasting and promotion.
LAMELLA_API Tensor add(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor sub(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor mul(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor div(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor maximum(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor minimum(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor pow(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor floor_div(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor mod(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor squared_difference(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor atan2(const Tensor& y, const Tensor& x);
/// The next floating number after x on the way to y.
LAMELLA_API Tensor nextafter(const Tensor& x, const Tensor& y);
/// Integers only. A shift by more than the width of the dtype leaves no bit of x (but its sign).
LAMELLA_API Tensor gcd(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor bit_and(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor bit_or(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor bit_xor(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor shift_left(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor shift_right(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor equal(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor not_equal(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor less(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor less_equal(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor greater(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor greater_equal(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor logical_and(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor logical_or(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor logical_xor(const Tensor& x, const Tensor& y);
LAMELLA_API Tensor where(const Tensor& condition, const Tensor& x, const Tensor& y);

// ---- creation and shape
LAMELLA_API Tensor full(const Shape& shape, double value, DType dtype);
LAMELLA_API Tensor arange(double start, double stop, double step, DType dtype);
/// With `infer_axis` >= 0 that size of `shape` is computed from the others.
LAMELLA_API Tensor reshape(const Tensor& x, const Shape& shape, int infer_axis = -1);
LAMELLA_API Tensor transpose(const Tensor& x, std::vector<int> perm = {});
LAMELLA_API Tensor concat(std::span<const Tensor> parts, int axis);
LAMELLA_API Tensor stack(std::span<const Tensor> parts, int axis);
/// x[index]: one element of the first axis; shares memory unless a gradient is recorded.
LAMELLA_API Tensor row(const Tensor& x, std::int64_t index);
/// Element i of the result along an axis is element start + i * step of x; one entry per axis.
LAMELLA_API Tensor slice(const Tensor& x, const std::vector<Dim>& starts,
                         const std::vector<Dim>& sizes, const std::vector<std::int64_t>& steps);
/// reshape(slice(x, starts, sizes, steps), shape); shares memory where the elements lie side by
/// side and no gradient is recorded.
LAMELLA_API Tensor slice_as(const Tensor& x, const std::vector<Dim>& starts,
                            const std::vector<Dim>& sizes, const std::vector<std::int64_t>& steps,
                            const Shape& shape);
LAMELLA_API Tensor pad(const Tensor& x,
                       const std::vector<std::pair<std::int64_t, std::int64_t>>& widths,
                       double value = 0);
LAMELLA_API Tensor broadcast_to(const Tensor& x, const Shape& shape);
/// Sums x over the axes along which `shape` was broadcast to x's shape.
LAMELLA_API Tensor sum_to(const Tensor& x, const Shape& shape);
LAMELLA_API Tensor gather(const Tensor& x, const Tensor& index, int axis);
/// Zeros of shape (..., size, ...) to which x[..., j, ...] is added at index[j]; the index is a
/// vector.
LAMELLA_API Tensor scatter_add(const Tensor& x, const Tensor& index, std::int64_t size, int axis);
/// An index outside [0, classes) gives zeros, or an error when `strict`.
LAMELLA_API Tensor one_hot(const Tensor& index, std::int64_t classes, DType dtype,
                           bool strict = false);
LAMELLA_API Tensor flip(const Tensor& x, const std::vector<int>& axes);
LAMELLA_API Tensor expand_dims(const Tensor& x, int axis);
LAMELLA_API Tensor squeeze(const Tensor& x, const std::vector<int>& axes);

// ---- reductions; no axes means all
using Axes = std::vector<int>;
LAMELLA_API Tensor sum(const Tensor& x, const Axes& axes = {}, bool keepdims = false);
LAMELLA_API Tensor prod(const Tensor& x, const Axes& axes = {}, bool keepdims = false);
LAMELLA_API Tensor max(const Tensor& x, const Axes& axes = {}, bool keepdims = false);
LAMELLA_API Tensor min(const Tensor& x, const Axes& axes = {}, bool keepdims = false);
LAMELLA_API Tensor mean(const Tensor& x, const Axes& axes = {}, bool keepdims = false);
LAMELLA_API Tensor var(const Tensor& x, const Axes& axes = {}, bool keepdims = false);
LAMELLA_API Tensor any(const Tensor& x, const Axes& axes = {}, bool keepdims = false);
LAMELLA_API Tensor all(const Tensor& x, const Axes& axes = {}, bool keepdims = false);
LAMELLA_API Tensor logsumexp(const Tensor& x, const Axes& axes = {}, bool keepdims = false);
/// int32; over all elements without an axis.
LAMELLA_API Tensor argmax(const Tensor& x, const Axes& axis = {}, bool keepdims = false);
LAMELLA_API Tensor argmin(const Tensor& x, const Axes& axis = {}, bool keepdims = false);
LAMELLA_API Tensor cumsum(const Tensor& x, int axis);
LAMELLA_API Tensor cumprod(const Tensor& x, int axis);
/// int32 positions that sort x along an axis, stable; NaN counts as the largest value.
LAMELLA_API Tensor argsort(const Tensor& x, int axis = -1, bool descending = false);

// ---- linear algebra and neural networks
LAMELLA_API Tensor matmul(const Tensor& a, const Tensor& b);
/// The lower triangular L with L L^T = x (..., n, n); NaN where x is not positive definite.
LAMELLA_API Tensor cholesky(const Tensor& x);
/// op(a)^-1 b for stacks of matrices, where a (..., n, n) is triangular and op may transpose.
LAMELLA_API Tensor triangular_solve(const Tensor& a, const Tensor& b, bool lower = true,
                                    bool transposed = false);
/// a^-1 b for stacks of matrices a (..., n, n), b (..., n, m) with the same leading axes.
LAMELLA_API Tensor solve(const Tensor& a, const Tensor& b);
LAMELLA_API Tensor inverse(const Tensor& x);
LAMELLA_API Tensor det(const Tensor& x);
/// The determinant's sign and the logarithm of its magnitude.
LAMELLA_API std::pair<Tensor, Tensor> slogdet(const Tensor& x);
/// x w^T + bias: x (..., k), w (n, k), bias (n) or undefined; all of one float type.
LAMELLA_API Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias = {});
LAMELLA_API Tensor softmax(const Tensor& x, int axis = -1);
LAMELLA_API Tensor log_softmax(const Tensor& x, int axis = -1);

enum class Padding : std::uint8_t { kValid, kSame, kCausal };
struct ConvOptions {
  std::vector<std::int64_t> strides;   ///< one per spatial axis; empty means 1
  std::vector<std::int64_t> dilation;  ///< likewise
  Padding padding = Padding::kValid;
  std::int64_t groups = 1;
};
/// x (n, spatial..., c), w (k..., c / groups, o) -> (n, out..., o); 1 to 3 spatial axes.
LAMELLA_API Tensor conv(const Tensor& x, const Tensor& w, const ConvOptions& options = {});
/// w (k..., c, multiplier) -> (n, out..., c * multiplier)
LAMELLA_API Tensor depthwise_conv(const Tensor& x, const Tensor& w,
                                  const ConvOptions& options = {});
/// x (n, spatial..., c), w (k..., o, c), Keras's output sizes. output_padding empty: the default.
LAMELLA_API Tensor conv_transpose(const Tensor& x, const Tensor& w, const ConvOptions& options = {},
                                  const std::vector<std::int64_t>& output_padding = {});
struct PoolOptions {
  std::vector<std::int64_t> size;
  std::vector<std::int64_t> strides;  ///< empty: as size
  Padding padding = Padding::kValid;
};
LAMELLA_API Tensor max_pool(const Tensor& x, const PoolOptions& options);
LAMELLA_API Tensor avg_pool(const Tensor& x, const PoolOptions& options);

struct BatchNormResult {
  Tensor y, mean, var;  ///< var is biased
};
/// Normalizes with the batch's own statistics over all axes but the last; gamma, beta may be
/// undefined.
LAMELLA_API BatchNormResult batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                       double epsilon);
/// Normalizes over the last axis.
LAMELLA_API Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              double epsilon);

// ---- recurrent layers over whole sequences, Keras 3 semantics
struct RecurrentOptions {
  /// tanh, sigmoid, relu, hard_sigmoid or linear
  std::string activation = "tanh";
  std::string recurrent_activation = "sigmoid";  ///< of the gates of LSTM and GRU; likewise
  bool go_backwards = false;  ///< from the last time to the first; the sequence stays reversed
  bool reset_after = true;    ///< GRU: the reset gate multiplies after the recurrent kernel
};
struct RecurrentResult {
  Tensor sequence;  ///< (batch, time, units): the output of each step
  Tensor h, c;      ///< (batch, units): the states after the last step; c of LSTM only
};
/// x (batch, time, features), h0 (batch, units), kernel (features, units), recurrent_kernel (units,
/// units), bias (units) or undefined. mask (batch, time) or undefined: where false, a step leaves
/// the state alone and repeats the output before it (zeros at the start).
LAMELLA_API RecurrentResult simple_rnn(const Tensor& x, const Tensor& h0, const Tensor& kernel,
                                       const Tensor& recurrent_kernel, const Tensor& bias = {},
                                       const Tensor& mask = {},
                                       const RecurrentOptions& options = {});
/// As simple_rnn with four times the columns in the kernels and the bias: gates i, f, c, o.
LAMELLA_API RecurrentResult lstm(const Tensor& x, const Tensor& h0, const Tensor& c0,
                                 const Tensor& kernel, const Tensor& recurrent_kernel,
                                 const Tensor& bias = {}, const Tensor& mask = {},
                                 const RecurrentOptions& options = {});
/// As simple_rnn with three times the columns in the kernels: gates z, r, h. bias (2, 3 units) with
/// reset_after (of the input, of the state), else (3 units).
LAMELLA_API RecurrentResult gru(const Tensor& x, const Tensor& h0, const Tensor& kernel,
                                const Tensor& recurrent_kernel, const Tensor& bias = {},
                                const Tensor& mask = {}, const RecurrentOptions& options = {});

// ---- losses per row (or element), Keras 3 semantics
LAMELLA_API Tensor categorical_crossentropy(const Tensor& target, const Tensor& output,
                                            bool from_logits, int axis = -1);
LAMELLA_API Tensor sparse_categorical_crossentropy(const Tensor& target, const Tensor& output,
                                                   bool from_logits, int axis = -1);
LAMELLA_API Tensor binary_crossentropy(const Tensor& target, const Tensor& output,
                                       bool from_logits);

// ---- random numbers; key: int64 tensor (seed, counter)
LAMELLA_API Tensor random_uniform(const Tensor& key, const Shape& shape, double low, double high,
                                  DType dtype = DType::kFloat32);
LAMELLA_API Tensor random_normal(const Tensor& key, const Shape& shape, double mean, double stddev,
                                 DType dtype = DType::kFloat32);
LAMELLA_API Tensor random_truncated_normal(const Tensor& key, const Shape& shape, double mean,
                                           double stddev, DType dtype = DType::kFloat32);
/// Scales what is kept by 1 / (1 - rate). noise_shape (or rank 0 for x's own): 1 shares the draw.
LAMELLA_API Tensor dropout(const Tensor& x, const Tensor& key, double rate,
                           const Shape& noise_shape = {});

}  // namespace lamella::ops
