// The kernels of one CPU backend, one plain function per entry of the table, and the template that
// turns such a function into an entry.
#pragma once

#include <cstddef>

#include "backend/kernels.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

// elementwise.cpp
void unary_kernel(const UnaryArgs& args, const Exec& exec);
void binary_kernel(const BinaryArgs& args, const Exec& exec);
void select_kernel(const SelectArgs& args, const Exec& exec);
void cast_kernel(const CastArgs& args, const Exec& exec);
void fill_kernel(const FillArgs& args, const Exec& exec);
void iota_kernel(const IotaArgs& args, const Exec& exec);
// fused.cpp
void fused_kernel(const FusedArgs& args, const Exec& exec);

// move.cpp
void strided_copy_kernel(const StridedCopyArgs& args, const Exec& exec);
void gather_kernel(const GatherArgs& args, const Exec& exec);
void scatter_add_kernel(const ScatterAddArgs& args, const Exec& exec);
void one_hot_kernel(const OneHotArgs& args, const Exec& exec);
void feed_kernel(const FeedArgs& args, const Exec& exec);

// reduce.cpp
void reduce_kernel(const ReduceArgs& args, const Exec& exec);
std::size_t reduce_workspace(const ReduceArgs& args);
void scan_kernel(const ScanArgs& args, const Exec& exec);
// sort.cpp
void argsort_kernel(const ArgsortArgs& args, const Exec& exec);
// softmax.cpp
void softmax_kernel(const SoftmaxArgs& args, const Exec& exec);
void softmax_grad_kernel(const SoftmaxGradArgs& args, const Exec& exec);
void softmax_cross_entropy_kernel(const SoftmaxCrossEntropyArgs& args, const Exec& exec);

// probe.cpp
void probe_kernel(const ProbeArgs& args, const Exec& exec);

// matmul.cpp
void matmul_kernel(const MatmulArgs& args, const Exec& exec);
std::size_t matmul_workspace(const MatmulArgs& args);
// linalg.cpp
void linalg_kernel(const LinalgArgs& args, const Exec& exec);
std::size_t linalg_workspace(const LinalgArgs& args);
// conv.cpp
void conv_kernel(const ConvArgs& args, const Exec& exec);
std::size_t conv_workspace(const ConvArgs& args);
void conv_backward_data_kernel(const ConvBackwardDataArgs& args, const Exec& exec);
std::size_t conv_backward_data_workspace(const ConvBackwardDataArgs& args);
void conv_backward_weights_kernel(const ConvBackwardWeightsArgs& args, const Exec& exec);
std::size_t conv_backward_weights_workspace(const ConvBackwardWeightsArgs& args);
// pool.cpp
void pool_kernel(const PoolArgs& args, const Exec& exec);
void pool_grad_kernel(const PoolGradArgs& args, const Exec& exec);

// norm.cpp
void batch_norm_kernel(const BatchNormArgs& args, const Exec& exec);
std::size_t batch_norm_workspace(const BatchNormArgs& args);
void batch_norm_grad_kernel(const BatchNormGradArgs& args, const Exec& exec);
std::size_t batch_norm_grad_workspace(const BatchNormGradArgs& args);
void layer_norm_kernel(const LayerNormArgs& args, const Exec& exec);
void layer_norm_grad_kernel(const LayerNormGradArgs& args, const Exec& exec);
std::size_t layer_norm_grad_workspace(const LayerNormGradArgs& args);

// recurrent_forward.cpp
void recurrent_kernel(const RecurrentArgs& args, const Exec& exec);
std::size_t recurrent_workspace(const RecurrentArgs& args);
// recurrent_backward.cpp
void recurrent_grad_kernel(const RecurrentGradArgs& args, const Exec& exec);
std::size_t recurrent_grad_workspace(const RecurrentGradArgs& args);

// random.cpp
void random_kernel(const RandomArgs& args, const Exec& exec);
void dropout_kernel(const DropoutArgs& args, const Exec& exec);

// optimizer.cpp
void optimizer_kernel(const OptimizerArgs& args, const Exec& exec);
void clip_scale_kernel(const ClipScaleArgs& args, const Exec& exec);

/// Erases the type of a kernel's argument block.
template <class Args, void (*F)(const Args&, const Exec&)>
constexpr Kernel<Args> entry() {
  return {[](const void* args, const Exec& exec) { F(*static_cast<const Args*>(args), exec); }};
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
