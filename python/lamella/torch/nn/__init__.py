"""torch.nn: layers, losses and containers."""

from __future__ import annotations

from typing import Any

from ..tensor import Parameter
from . import conv, dropout, functional, init, loss, parallel, pooling, utils
from .activation import ACTIVATIONS
from .attention import (
    MultiheadAttention,
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from .container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from .linear import (
    Bilinear,
    Flatten,
    Identity,
    LazyLinear,
    Linear,
    PixelShuffle,
    PixelUnshuffle,
    Unflatten,
    Unfold,
)
from .module import Module
from .normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    RMSNorm,
)
from .parallel import DataParallel
from .recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from .sparse import Embedding, EmbeddingBag

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Bilinear",
    "DataParallel",
    "Embedding",
    "EmbeddingBag",
    "Flatten",
    "GRUCell",
    "GroupNorm",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LSTMCell",
    "LayerNorm",
    "LazyLinear",
    "Linear",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiheadAttention",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "PixelShuffle",
    "PixelUnshuffle",
    "RMSNorm",
    "RNNCell",
    "Sequential",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "Unflatten",
    "Unfold",
    "functional",
    "init",
    "parallel",
    "utils",
]

for _table in (ACTIVATIONS, conv.LAYERS, dropout.LAYERS, loss.LOSSES, pooling.LAYERS):
    for _name, _class in _table.items():
        _class.__module__ = __name__
        globals()[_name] = _class
        __all__.append(_name)


def __getattr__(name: str) -> Any:
    raise AttributeError(f"lamella.torch.nn does not have {name!r}")
