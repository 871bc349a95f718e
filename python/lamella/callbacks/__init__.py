"""Callbacks: what happens besides the arithmetic while a model is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .backup_and_restore import BackupAndRestore
from .callback import Callback
from .callback_list import CallbackList
from .csv_logger import CSVLogger
from .early_stopping import EarlyStopping
from .history import History
from .lambda_callback import LambdaCallback
from .learning_rate import LearningRateScheduler, ReduceLROnPlateau
from .model_checkpoint import ModelCheckpoint
from .progbar_logger import ProgbarLogger
from .swap_ema_weights import SwapEMAWeights
from .tensorboard import TensorBoard
from .terminate_on_nan import TerminateOnNaN

if TYPE_CHECKING:
    from .remote_monitor import RemoteMonitor

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]


def __getattr__(name: str) -> Any:
    if name == "RemoteMonitor":  # the network modules are not needed to train
        from .remote_monitor import RemoteMonitor

        return RemoteMonitor
    if name == "OrbaxCheckpoint":
        raise AttributeError(
            "lamella.callbacks has no OrbaxCheckpoint: Orbax saves arrays of JAX. Use "
            "ModelCheckpoint, or BackupAndRestore to go on after an interruption"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
