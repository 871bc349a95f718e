"""What is timed: models and single ops, described so that every peer can build them."""

from __future__ import annotations

from workloads.models import MODELS
from workloads.ops import OPS
from workloads.spec import ModelWorkload, OpWorkload, Target

WORKLOADS: dict[str, ModelWorkload | OpWorkload] = {w.name: w for w in (*MODELS, *OPS)}
GROUPS = tuple(dict.fromkeys(w.group for w in WORKLOADS.values()))

# Whose peak memory is measured.
TRAINING = (
    *("sigmoid_mlp", "mnist_mlp", "lecture_cnn", "convnet", "vgg", "resnet20"),
    *("lstm", "gru"),
)

# One or a few of every kind, for --quick.
QUICK = (
    *("logistic", "sigmoid_mlp", "xor", "mnist_mlp", "lecture_cnn", "convnet", "vgg"),
    *("lstm", "mlp_row", "cnn_row", "convnet_predict", "feed_cached", "feed_float32"),
    *("matmul_512", "matmul_grad_a_512", "matmul_32x784x100"),
    *("conv_1to8_forward", "conv_3to64_data", "conv_3x3_64_56_forward"),
    *(
        "conv_3x3_64_56_weights",
        "conv_1x1_64to256_56_forward",
        "conv_depthwise_64_data",
    ),
    *("relu_L2", "exp_L2", "relu_DRAM", "batch_norm_DRAM", "max_pool_grad_DRAM"),
    *("adam_10M", "tiny_add", "tiny_matmul"),
)

__all__ = [
    "GROUPS",
    "QUICK",
    "TRAINING",
    "WORKLOADS",
    "ModelWorkload",
    "OpWorkload",
    "Target",
]
