"""Losses as modules."""

from __future__ import annotations

from typing import Any

from . import _losses as F
from ._make import function_module

LOSSES: dict[str, Any] = {}
_OLD = {"size_average": None, "reduce": None}


def _loss(
    name: str,
    function: Any,
    before: dict[str, Any] | None = None,
    inputs: int = 2,
    after: dict[str, Any] | None = None,
    middle: dict[str, Any] | None = None,
    old: bool = True,
) -> None:
    """Arguments in PyTorch's order, around size_average, reduce and reduction."""
    arguments: dict[str, Any] = dict(before or {})
    if old:
        arguments["size_average"] = None
    arguments.update(middle or {})
    if old:
        arguments["reduce"] = None
    arguments["reduction"] = "mean"
    arguments.update(after or {})
    buffers = tuple(a for a in arguments if a in ("weight", "pos_weight"))
    LOSSES[name] = function_module(name, function, arguments, buffers, (), inputs)


_W = {"weight": None}
_loss("MSELoss", F.mse_loss)
_loss("L1Loss", F.l1_loss)
_loss("SmoothL1Loss", F.smooth_l1_loss, after={"beta": 1.0})
LOSSES["HuberLoss"] = function_module(
    "HuberLoss", F.huber_loss, {"reduction": "mean", "delta": 1.0}, (), (), 2
)
_loss(
    "CrossEntropyLoss",
    F.cross_entropy,
    _W,
    middle={"ignore_index": -100},
    after={"label_smoothing": 0.0},
)
_loss("NLLLoss", F.nll_loss, _W, middle={"ignore_index": -100})
_loss("BCELoss", F.binary_cross_entropy, _W)
_loss(
    "BCEWithLogitsLoss",
    F.binary_cross_entropy_with_logits,
    _W,
    after={"pos_weight": None},
)
_loss("KLDivLoss", F.kl_div, after={"log_target": False})
LOSSES["PoissonNLLLoss"] = function_module(
    "PoissonNLLLoss",
    F.poisson_nll_loss,
    {
        "log_input": True,
        "full": False,
        "size_average": None,
        "eps": 1e-8,
        "reduce": None,
        "reduction": "mean",
    },
    (),
    (),
    2,
)
LOSSES["GaussianNLLLoss"] = function_module(
    "GaussianNLLLoss",
    F.gaussian_nll_loss,
    {"full": False, "eps": 1e-6, "reduction": "mean"},
    (),
    (),
    3,
)
_loss("HingeEmbeddingLoss", F.hinge_embedding_loss, {"margin": 1.0})
_loss("SoftMarginLoss", F.soft_margin_loss)
_loss("MarginRankingLoss", F.margin_ranking_loss, {"margin": 0.0}, 3)
_loss("MultiMarginLoss", F.multi_margin_loss, {"p": 1, "margin": 1.0, "weight": None})
_loss("MultiLabelSoftMarginLoss", F.multilabel_soft_margin_loss, _W)
_loss("CosineEmbeddingLoss", F.cosine_embedding_loss, {"margin": 0.0}, 3)
_loss(
    "TripletMarginLoss",
    F.triplet_margin_loss,
    {"margin": 1.0, "p": 2.0, "eps": 1e-6, "swap": False},
    3,
)
LOSSES["CosineSimilarity"] = function_module(
    "CosineSimilarity", F.cosine_similarity, {"dim": 1, "eps": 1e-8}, (), (), 2
)
LOSSES["PairwiseDistance"] = function_module(
    "PairwiseDistance",
    F.pairwise_distance,
    {"p": 2.0, "eps": 1e-6, "keepdim": False},
    (),
    (),
    2,
)
