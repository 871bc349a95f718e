"""Models for other programs: ONNX files, and lamella's own for C++."""

from __future__ import annotations

from typing import Any

__all__ = ["export_model"]

_FORMATS = ("onnx", "lamella")
_KERAS_ONLY = {
    "tf_saved_model": "TensorFlow's SavedModel",
    "openvino": "OpenVINO",
    "litert": "LiteRT (TFLite)",
    "torch": "PyTorch's ExportedProgram",
}


def export_model(
    model: Any,
    filepath: Any,
    format: str = "tf_saved_model",
    verbose: bool | None = None,
    input_signature: Any = None,
    **kwargs: Any,
) -> None:
    """Write a model for inference; see `Model.export`."""
    if format in _KERAS_ONLY:
        raise ValueError(
            f"export: format={format!r} ({_KERAS_ONLY[format]}) needs the framework it "
            'belongs to, which lamella does without. Use format="onnx", or save the '
            "model as .keras and export it with Keras"
        )
    if format not in _FORMATS:
        raise ValueError(
            f"export: unknown format={format!r}; the formats are "
            f"{', '.join(map(repr, _FORMATS))}"
        )
    opset = kwargs.pop("opset_version", None)
    if kwargs:
        raise ValueError(f"export: unexpected arguments {', '.join(kwargs)}")
    if format == "onnx":
        from lamella.export.onnx_graph import export_onnx

        export_onnx(model, filepath, input_signature, opset)
    else:
        from lamella.saving import lamella_format

        lamella_format.save_model(model, filepath, include_optimizer=False)
    if verbose is None or verbose:
        from lamella.utils.io_utils import print_msg

        print_msg(f"Saved artifact at '{filepath}'.")
