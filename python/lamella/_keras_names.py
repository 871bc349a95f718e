"""Where Keras keeps what lamella has: module paths, and keys that say nothing here.

Keras's JSON names a class by module and class name. lamella writes the paths of
Keras 3.15, so that Keras opens our files, and reads every path Keras has used.
"""

from __future__ import annotations

__all__ = ["CONFIG_DEFAULTS", "FAMILIES", "MODULES", "family_of_module"]

# lamella's sub-module -> the module that Keras 3.15 writes
MODULES = {
    "layers": "keras.layers",
    "models": "keras",
    "initializers": "keras.initializers",
    "regularizers": "keras.regularizers",
    "constraints": "keras.constraints",
    "losses": "keras.losses",
    "metrics": "keras.metrics",
    "schedules": "keras.optimizers.schedules",
    "optimizers": "keras.optimizers",
    "activations": "keras.activations",
}

# base classes that Keras exports at the top
TOP_LEVEL = ("Layer", "Model", "Sequential", "Loss", "Metric", "Optimizer")

FAMILIES = tuple(MODULES)

# the sub-module that holds each family in lamella
LAMELLA_MODULES = {
    **{family: f"lamella.{family}" for family in FAMILIES},
    "schedules": "lamella.optimizers.schedules",
}

_ALIASES = {"engine": "models", "optimizer_v2": "optimizers"}
_ROOTS = ("tensorflow", "python", "keras", "tf_keras", "src", "api", "_v2", "v2")


def family_of_module(module: str) -> str | None:
    """Return the family a Keras module path stands for, or None if it is foreign.

    "" stands for the root package ("keras"), where any family may be meant.

    Example:
        >>> family_of_module("keras.src.layers.core.dense")
        'layers'
        >>> family_of_module("tf_keras.optimizers.schedules")
        'schedules'
        >>> family_of_module("os") is None
        True
    """
    parts = module.split(".")
    if parts[0] not in ("keras", "tf_keras", "tensorflow", "lamella"):
        return None
    if parts[0] == "tensorflow" and "keras" not in parts:
        return None
    parts = [part for part in parts[1:] if part not in _ROOTS]
    if not parts:
        return ""
    if any(part.endswith(("schedule", "schedules")) for part in parts):
        return "schedules"
    # the first that is one: "backend.torch.optimizers.torch_sgd" is an optimizer
    families = [_ALIASES.get(part, part) for part in parts]
    return next((family for family in families if family in MODULES), "")


# Keys that Keras writes and that change nothing when they have one of these values
# (any value when the entry is None). A key that a lamella class does not take is
# dropped if it is here; otherwise it is an error that names the key.
CONFIG_DEFAULTS: dict[str, tuple[object, ...] | None] = {
    "activity_regularizer": (None,),
    "autocast": (True,),
    "cell_dtype": (None,),
    "decay": (0, 0.0, None),
    "dynamic": (False,),
    "ema_momentum": None,  # means something only with use_ema
    "ema_overwrite_frequency": None,
    "use_ema": (False, None),
    "fn": (None,),
    "from_logits": (False,),
    "gradient_accumulation_steps": (None, 1),
    "ignore_class": (None,),
    "implementation": None,  # how, not what
    "input_axes": (None,),
    "output_axes": (None,),
    "input_length": None,
    "is_legacy_optimizer": None,
    "jit_compile": None,
    "lora_alpha": None,
    "lora_rank": (None,),
    "loss_scale_factor": (None,),
    "optional": (False,),
    "quantization_config": (None,),
    "ragged": (False,),
    "renorm": (False,),
    "rms_scaling": (False,),
    "renorm_clipping": (None,),
    "renorm_momentum": None,
    "seed": (None,),
    "sparse": (False,),
    "synchronized": (False,),
    "time_major": (False,),
    "unroll": None,
    "use_cudnn": None,
    "flash_attention": None,
    "virtual_batch_size": (None,),
    "zero_output_for_mask": None,
    "noise_shape": (None,),
    "data_format": ("channels_last", None),
    "name": None,
    "trainable": (True,),
    "dtype": ("float32", None),
    "weight_decay": (None, 0, 0.0),
    "clipnorm": (None,),
    "clipvalue": (None,),
    "global_clipnorm": (None,),
}
