"""Attention and transformer layers."""

from __future__ import annotations

import copy
import math
from typing import Any

from lamella import _core

from ..create import full
from ..index import triu
from ..tensor import Parameter, dtype_of, shape_of, wrap
from . import _activations as F
from . import init
from .container import ModuleList
from .dropout import LAYERS as _DROPOUTS
from .linear import Linear
from .module import Module
from .normalization import LayerNorm

__all__ = [
    "MultiheadAttention",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]
Dropout = _DROPOUTS["Dropout"]


class NonDynamicallyQuantizableLinear(Linear):
    """Linear, under the name that PyTorch prints inside MultiheadAttention."""


def _scores(q: Any, k: Any, mask: Any, causal: bool, scale: float | None) -> Any:
    d = shape_of(q)[-1]
    factor = 1 / math.sqrt(d) if scale is None else scale
    x = (q * factor) @ k.transpose(-2, -1)
    if causal:
        x = x + triu(full(tuple(shape_of(x)[-2:]), -math.inf, dtype=dtype_of(x)), 1)
    if mask is not None:
        x = x.masked_fill(~mask, -math.inf) if dtype_of(mask).rank == 0 else x + mask
    return F.softmax(x, -1)


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(q k^T / sqrt(d) + mask) v; a bool mask says where to look."""
    weights = _scores(query, key, attn_mask, is_causal, scale)
    return F.dropout(weights, dropout_p) @ value if dropout_p else weights @ value


class MultiheadAttention(Module):
    """Attention with several heads.

    Args:
        embed_dim: features of query and output.
        num_heads: heads, each of embed_dim / num_heads features.
        dropout: of the attention weights.
        bias: of the projections.
        kdim, vdim: features of key and value (embed_dim).
        batch_first: (batch, time, features) instead of (time, batch, features).
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise AssertionError("embed_dim must be divisible by num_heads")
        if add_bias_kv or add_zero_attn:
            raise ValueError(
                "MultiheadAttention: lamella.torch has neither add_bias_kv nor "
                "add_zero_attn"
            )
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.batch_first, self.head_dim = batch_first, embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        bound = math.sqrt(6 / (4 * embed_dim))
        if self._qkv_same_embed_dim:
            self.in_proj_weight = init.new_weight(
                (3 * embed_dim, embed_dim), bound, dtype
            )
            for name in ("q", "k", "v"):
                self.register_parameter(f"{name}_proj_weight", None)
        else:
            for name, width in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
                limit = math.sqrt(6 / (embed_dim + width))
                p = init.new_weight((embed_dim, width), limit, dtype)
                self.register_parameter(f"{name}_proj_weight", p)
            self.register_parameter("in_proj_weight", None)
        zero = full((3 * embed_dim,), 0.0, dtype=dtype) if bias else None
        self.register_parameter("in_proj_bias", Parameter(zero) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(
            embed_dim, embed_dim, bias, dtype=dtype
        )
        if bias:
            init.zeros_(self.out_proj.bias)

    def _projected(self, query: Any, key: Any, value: Any) -> list[Any]:
        e = self.embed_dim
        out = []
        for i, (name, x) in enumerate((("q", query), ("k", key), ("v", value))):
            w = (
                self.in_proj_weight[i * e : (i + 1) * e]
                if self._qkv_same_embed_dim
                else self._parameters[f"{name}_proj_weight"]
            )
            bias = self.in_proj_bias
            y = F.linear(x, w, None if bias is None else bias[i * e : (i + 1) * e])
            n, time, _ = shape_of(y)
            out.append(
                y.reshape(n, time, self.num_heads, self.head_dim).transpose(1, 2)
            )
        return out

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """Output, and the attention weights (None unless need_weights)."""
        single = query.dim() == 2
        if single:
            query, key, value = (x.unsqueeze(0) for x in (query, key, value))
            if key_padding_mask is not None:
                key_padding_mask = key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = self._projected(query, key, value)
        bias = _blocked(attn_mask, dtype_of(q))
        if bias is not None and bias.dim() == 3:
            bias = bias.reshape(-1, self.num_heads, *shape_of(bias)[1:])
        padding = _blocked(key_padding_mask, dtype_of(q))
        if padding is not None:
            padding = padding.unsqueeze(1).unsqueeze(1)
            bias = padding if bias is None else bias + padding
        weights = _scores(q, k, bias, is_causal and attn_mask is None, None)
        if self.dropout and self.training:
            weights = F.dropout(weights, self.dropout)
        y = (weights @ v).transpose(1, 2).reshape(*shape_of(query)[:2], self.embed_dim)
        y = self.out_proj(y)
        if single:
            y, weights = y.squeeze(0), weights.squeeze(0)
        elif not self.batch_first:
            y = y.transpose(0, 1)
        if not need_weights:
            return y, None
        return y, weights.mean(-3) if average_attn_weights else weights


def _blocked(mask: Any, d: Any) -> Any:
    """A mask as what is added to scores; True blocks."""
    if mask is None or dtype_of(mask).rank:
        return mask
    return wrap(
        _core.where(
            mask, _core.full((), -math.inf, d.name), _core.full((), 0.0, d.name)
        )
    )


class _Feed(Module):
    """What encoder and decoder layers share: the two linear maps."""

    def _build(
        self,
        d_model: int,
        dim_feedforward: int,
        dropout: float,
        activation: Any,
        layer_norm_eps: float,
        norm_first: bool,
        bias: bool,
        dtype: Any,
        norms: int,
    ) -> None:
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = norm_first
        for i in range(1, norms + 1):
            setattr(
                self,
                f"norm{i}",
                LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype),
            )
        for i in range(1, norms + 1):
            setattr(self, f"dropout{i}", Dropout(dropout))
        known: dict[str, Any] = {"relu": F.relu, "gelu": F.gelu}
        if isinstance(activation, str) and activation not in known:
            raise RuntimeError(f"activation should be relu/gelu, not {activation}")
        self.activation = (
            known[activation] if isinstance(activation, str) else activation
        )

    def _feed(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def _sublayers(self, x: Any, steps: list[Any]) -> Any:
        for i, step in enumerate(steps, start=1):
            norm, drop = self._modules[f"norm{i}"], self._modules[f"dropout{i}"]
            x = x + drop(step(norm(x))) if self.norm_first else norm(x + drop(step(x)))
        return x


class TransformerEncoderLayer(_Feed):
    """Self-attention, then two linear maps, each with a residual and a LayerNorm."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype
        )
        self._build(
            d_model,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            norm_first,
            bias,
            dtype,
            2,
        )

    def forward(
        self,
        src: Any,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Any:
        """Applies the module."""

        def attend(x: Any) -> Any:
            return self.self_attn(x, x, x, src_key_padding_mask, False, src_mask)[0]

        return self._sublayers(src, [attend, self._feed])


class TransformerDecoderLayer(_Feed):
    """Self-attention, attention to the encoder's output, then two linear maps."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        for name in ("self_attn", "multihead_attn"):
            setattr(
                self,
                name,
                MultiheadAttention(
                    d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype
                ),
            )
        self._build(
            d_model,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            norm_first,
            bias,
            dtype,
            3,
        )

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Any:
        """Applies the module."""

        def own(x: Any) -> Any:
            return self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask)[0]

        def other(x: Any) -> Any:
            return self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, False, memory_mask
            )[0]

        return self._sublayers(tgt, [own, other, self._feed])


class TransformerEncoder(Module):
    """Encoder layers one after the other."""

    def __init__(
        self,
        encoder_layer: Any,
        num_layers: int,
        norm: Any = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = ModuleList(
            [copy.deepcopy(encoder_layer) for _ in range(num_layers)]
        )
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        src: Any,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: Any = None,
    ) -> Any:
        """Applies the module."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """Decoder layers one after the other."""

    def __init__(self, decoder_layer: Any, num_layers: int, norm: Any = None) -> None:
        super().__init__()
        self.layers = ModuleList(
            [copy.deepcopy(decoder_layer) for _ in range(num_layers)]
        )
        self.num_layers, self.norm = num_layers, norm

    def forward(self, tgt: Any, memory: Any, *args: Any, **options: Any) -> Any:
        """Applies the module."""
        for layer in self.layers:
            tgt = layer(tgt, memory, *args, **options)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """Encoder and decoder."""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        rest = (
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
        )
        self.encoder = TransformerEncoder(
            TransformerEncoderLayer(d_model, nhead, *rest),
            num_encoder_layers,
            LayerNorm(d_model, layer_norm_eps),
        )
        self.decoder = TransformerDecoder(
            TransformerDecoderLayer(d_model, nhead, *rest),
            num_decoder_layers,
            LayerNorm(d_model, layer_norm_eps),
        )
        for p in self.parameters():
            if p.dim() > 1:
                init.xavier_uniform_(p)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, device: Any = None, dtype: Any = None
    ) -> Any:
        """A mask that hides what comes later."""
        return triu(full((sz, sz), -math.inf, dtype=dtype), 1)

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
    ) -> Any:
        """Applies the module."""
        memory = self.encoder(src, src_mask, src_key_padding_mask)
        return self.decoder(
            tgt,
            memory,
            tgt_mask,
            memory_mask,
            tgt_key_padding_mask,
            memory_key_padding_mask,
        )
