// The table of this build of the CPU backend, and the one symbol that a plug-in exports.
#include <Eigen/Core>

#include "backend/cpu/kernel_list.h"
#include "backend/cpu/parallel.h"

#if defined(_WIN32)
#define LAMELLA_PLUGIN_EXPORT __declspec(dllexport)
#else
#define LAMELLA_PLUGIN_EXPORT __attribute__((visibility("default")))
#endif

#define LAMELLA_STRING_(x) #x
#define LAMELLA_STRING(x) LAMELLA_STRING_(x)

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

constexpr const char* kCompiler =
#if defined(__clang__)
    "clang " __clang_version__
#elif defined(__GNUC__)
    "gcc " __VERSION__
#else
    "unknown compiler"
#endif
    ", Eigen " LAMELLA_STRING(EIGEN_WORLD_VERSION) "." LAMELLA_STRING(
        EIGEN_MAJOR_VERSION) "." LAMELLA_STRING(EIGEN_MINOR_VERSION)
#if defined(_OPENMP)
        ", OpenMP"
#endif
    ;

void parallel_kernel_loop(int threads, std::int64_t count, void (*body)(void*, std::int64_t),
                          void* context) {
  int fault = 0;
  parallel_for(Exec{threads, &fault}, count, 1,
               [&](std::int64_t i, std::int64_t) { body(context, i); });
}

constexpr KernelTable kTable = {
    .abi_version = kAbiVersion,
    .isa = LAMELLA_ISA_NAME,
    .compiler = kCompiler,
    .vector_bytes = EIGEN_MAX_STATIC_ALIGN_BYTES,
    .parallel = parallel_kernel_loop,

    .unary = entry<UnaryArgs, unary_kernel>(),
    .binary = entry<BinaryArgs, binary_kernel>(),
    .select = entry<SelectArgs, select_kernel>(),
    .cast = entry<CastArgs, cast_kernel>(),
    .fill = entry<FillArgs, fill_kernel>(),
    .iota = entry<IotaArgs, iota_kernel>(),
    .fused = entry<FusedArgs, fused_kernel>(),

    .strided_copy = entry<StridedCopyArgs, strided_copy_kernel>(),
    .gather = entry<GatherArgs, gather_kernel>(),
    .scatter_add = entry<ScatterAddArgs, scatter_add_kernel>(),
    .one_hot = entry<OneHotArgs, one_hot_kernel>(),
    .feed = entry<FeedArgs, feed_kernel>(),

    .reduce = entry<ReduceArgs, reduce_kernel>(),
    .reduce_workspace = reduce_workspace,
    .scan = entry<ScanArgs, scan_kernel>(),
    .argsort = entry<ArgsortArgs, argsort_kernel>(),
    .softmax = entry<SoftmaxArgs, softmax_kernel>(),
    .softmax_grad = entry<SoftmaxGradArgs, softmax_grad_kernel>(),
    .softmax_cross_entropy = entry<SoftmaxCrossEntropyArgs, softmax_cross_entropy_kernel>(),

    .matmul = entry<MatmulArgs, matmul_kernel>(),
    .matmul_workspace = matmul_workspace,
    .linalg = entry<LinalgArgs, linalg_kernel>(),
    .linalg_workspace = linalg_workspace,
    .conv = entry<ConvArgs, conv_kernel>(),
    .conv_workspace = conv_workspace,
    .conv_backward_data = entry<ConvBackwardDataArgs, conv_backward_data_kernel>(),
    .conv_backward_data_workspace = conv_backward_data_workspace,
    .conv_backward_weights = entry<ConvBackwardWeightsArgs, conv_backward_weights_kernel>(),
    .conv_backward_weights_workspace = conv_backward_weights_workspace,
    .pool = entry<PoolArgs, pool_kernel>(),
    .pool_grad = entry<PoolGradArgs, pool_grad_kernel>(),

    .batch_norm = entry<BatchNormArgs, batch_norm_kernel>(),
    .batch_norm_workspace = batch_norm_workspace,
    .batch_norm_grad = entry<BatchNormGradArgs, batch_norm_grad_kernel>(),
    .batch_norm_grad_workspace = batch_norm_grad_workspace,
    .layer_norm = entry<LayerNormArgs, layer_norm_kernel>(),
    .layer_norm_grad = entry<LayerNormGradArgs, layer_norm_grad_kernel>(),
    .layer_norm_grad_workspace = layer_norm_grad_workspace,

    .recurrent = entry<RecurrentArgs, recurrent_kernel>(),
    .recurrent_workspace = recurrent_workspace,
    .recurrent_grad = entry<RecurrentGradArgs, recurrent_grad_kernel>(),
    .recurrent_grad_workspace = recurrent_grad_workspace,

    .random = entry<RandomArgs, random_kernel>(),
    .dropout = entry<DropoutArgs, dropout_kernel>(),

    .optimizer = entry<OptimizerArgs, optimizer_kernel>(),
    .clip_scale = entry<ClipScaleArgs, clip_scale_kernel>(),

    .probe = entry<ProbeArgs, probe_kernel>(),
};

}  // namespace
}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels

extern "C" LAMELLA_PLUGIN_EXPORT const lamella::kernels::KernelTable* lamella_backend() {
  return &lamella::kernels::kTable;
}
