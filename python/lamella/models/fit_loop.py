"""The loops over epochs and batches that fit and evaluate share."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lamella.models.batches import BatchStream, batch_size_for, limited_steps
from lamella.models.data import (
    ArrayFeed,
    BatchFeed,
    Template,
    unpack_x_y_sample_weight,
)

if TYPE_CHECKING:
    from lamella.models.training import Training

__all__ = ["FitLoop", "run_batches", "run_epoch"]

_CHUNK_SECONDS = 0.25


class FitLoop:
    """The epochs of one call of fit."""

    def __init__(
        self,
        model: Training,
        feed: ArrayFeed | BatchFeed,
        validation: ArrayFeed | BatchFeed | None,
        hooks: Any,
        *,
        batch_size: int,
        validation_batch_size: int | None,
        shuffle: bool,
        seed: int,
        steps: int | None,
        validation_steps: int | None,
        validation_freq: Any,
        verbose: int,
    ) -> None:
        self.model = model
        self.feed = feed
        self.validation = validation
        self.hooks = hooks
        self.batch_size = batch_size
        self.validation_batch_size = validation_batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.steps = steps
        self.validation_steps = validation_steps
        self.validation_freq = validation_freq
        self.verbose = verbose
        self.stream: BatchStream

    def run(self, first: int, last: int) -> Any:
        """Train epochs first .. last - 1 and return the History."""
        model, hooks = self.model, self.hooks
        logs: dict[str, float] = {}
        history = model.history
        history.stopped_by = None
        model._shuffle_seed = self.seed
        hooks.on_train_begin()
        first = model._initial_epoch or first
        model._initial_epoch = None
        self.seed = model._shuffle_seed or self.seed
        self.stream = BatchStream(
            self.feed, self.batch_size, self.steps, self.shuffle, self.seed
        )
        self.epoch = first
        try:
            if self._can_run_at_once():
                logs = self._run_at_once(first, last, history)
            else:
                for epoch in range(first, last):
                    self.epoch = epoch
                    logs = self._run_epoch(epoch)
                    if model.stop_training:
                        history.stopped_by = "callback"
                        break
        except KeyboardInterrupt:
            history.stopped_by = "interrupt"
            model.stop_training = True
            start = "\n" if self.verbose == 1 else ""
            print(
                f"{start}fit: interrupted in epoch {self.epoch + 1} of {last}; the "
                "model keeps the weights of the last whole step",
                file=sys.stderr,
                flush=True,
            )
        if model.optimizer is not None and model.optimizer.built and last > 0:
            model.optimizer.finalize_variable_values(model.trainable_variables)
        hooks.on_train_end(logs)
        return history

    def _can_run_at_once(self) -> bool:
        """Return True if nothing but the History wants to know about an epoch."""
        from lamella.callbacks import History

        callbacks = getattr(self.hooks, "callbacks", None)
        return (
            isinstance(self.feed, ArrayFeed)
            and self.validation is None
            and self.verbose == 0
            and self.steps is None
            and callbacks is not None
            and all(type(c) is History for c in callbacks)
            and not self.model._runs_python("train")
        )

    def _run_at_once(self, first: int, last: int, history: Any) -> dict[str, float]:
        """Let C++ run many epochs in one call; the History is written afterwards."""
        model, feed = self.model, self.feed
        assert isinstance(feed, ArrayFeed)
        step = model._make_step("train", feed.template, feed.leaves)
        model.reset_metrics()
        states = [v for m in model.metrics for v in m.variables]
        if any(np.any(np.asarray(v.numpy())) for v in states):
            logs: dict[str, float] = {}  # a metric that does not start at zero
            for epoch in range(first, last):
                self.epoch = epoch
                logs = self._run_epoch(epoch)
            return logs
        reset = [v._core for v in states]
        epoch, count = first, 1
        logs = {}
        while epoch < last:
            count = min(count, last - epoch)
            began = time.perf_counter()
            rows = step.runner.fit(
                feed.leaves,
                self.batch_size,
                count,
                epoch,
                self.shuffle,
                self.seed,
                reset,
            )
            logs = step.logs(rows[-1])
            history._extend(epoch, step.columns(rows))
            epoch += count
            self.epoch = epoch
            # Few calls, and yet the History is complete up to the last quarter
            # second when Ctrl-C comes.
            if time.perf_counter() - began < _CHUNK_SECONDS / 2:
                count *= 2
        return logs

    def _run_epoch(self, epoch: int) -> dict[str, float]:
        model, hooks = self.model, self.hooks
        model.reset_metrics()
        hooks.on_epoch_begin(epoch)
        logs = run_epoch(
            model,
            "train",
            self.stream,
            begin=hooks.on_train_batch_begin,
            end=hooks.on_train_batch_end,
            stopped=lambda: model.stop_training,
            per_batch=needs(hooks, "train"),
            progress=progress_of(hooks, "train"),
            epoch=epoch,
        )
        if self.validation is not None and _due(epoch, self.validation_freq):
            steps = limited_steps(self.validation_steps)
            batch = batch_size_for(self.validation, self.validation_batch_size, steps)
            stream = BatchStream(self.validation, batch, steps)
            values = model._evaluate_stream(stream, hooks)
            logs.update({f"val_{k}": v for k, v in values.items()})
        logs = dict(sorted(logs.items()))
        hooks.on_epoch_end(epoch, logs)
        return logs


def run_epoch(
    model: Training,
    mode: str,
    stream: BatchStream,
    begin: Callable[..., Any],
    end: Callable[..., Any],
    stopped: Callable[[], bool],
    per_batch: bool,
    progress: Callable[[int, dict[str, float]], Any] | None,
    epoch: int = 0,
) -> dict[str, float]:
    """Run one epoch and return the logs at its end."""
    if mode == "train" and model._whole_batch is not None:
        return model._whole_batch.run_epoch(begin, end, progress)
    python = model._runs_python(mode)
    feed = stream.feed
    if isinstance(feed, ArrayFeed) and stream.is_whole and not python:
        step = model._make_step(mode, feed.template, feed.leaves)
        on_begin = on_end = on_progress = None
        if per_batch:

            def on_begin(i: int) -> bool:
                begin(i)
                return False

            def on_end(i: int, values: Sequence[float]) -> bool:
                end(i, step.logs(values))
                return stopped()

        if progress is not None:

            def on_progress(i: int, values: Sequence[float]) -> None:
                progress(i, step.logs(values))

        values = step.runner.epoch(
            feed.leaves,
            stream.batch,
            shuffle=stream.shuffle,
            seed=stream.seed,
            epoch=epoch,
            on_batch_begin=on_begin,
            on_batch_end=on_end,
            progress=on_progress,
            progress_interval=0.1,
        )
        return step.logs(values)
    return run_batches(
        model,
        mode,
        stream.epoch(epoch),
        python,
        begin if per_batch else None,
        end if per_batch else None,
        stopped,
        progress,
    )


def run_batches(
    model: Training,
    mode: str,
    batches: Iterator[tuple[Template, list[np.ndarray]]],
    python: bool,
    begin: Callable[..., Any] | None,
    end: Callable[..., Any] | None,
    stopped: Callable[[], bool],
    progress: Callable[[int, dict[str, float]], Any] | None,
) -> dict[str, float]:
    """Run batch by batch from Python."""
    logs: dict[str, float] = {}
    shown = 0.0
    index = -1
    for index, (template, leaves) in enumerate(batches):
        if begin is not None:
            begin(index)
        if python:
            model._prepare(template, leaves)
            if mode == "train" and model.optimizer and not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            model._build_compiled(*template.tensors(leaves)[:2])
            run = model.train_step if mode == "train" else model.test_step
            logs = _plain_logs(run(template.data(leaves)))
        else:
            step = model._make_step(mode, template, leaves)
            logs = step.logs(step.runner.step(leaves))
        if end is not None:
            end(index, logs)
        if progress is not None and time.perf_counter() - shown > 0.1:
            progress(index, logs)
            shown = time.perf_counter()
        if stopped():
            break
    if index < 0:
        raise ValueError(
            f"{model._who()}: the data are used up: the iterator has no batch left. "
            "Pass a generator with enough batches, or something that can be "
            "iterated again."
        )
    if progress is not None:
        progress(index, logs)
    return logs


def needs(hooks: Any, mode: str) -> bool:
    """Return whether some callback really overrides a batch hook of this mode."""
    infix = "" if mode == "train" else f"{mode}_"
    return bool(getattr(hooks, f"needs_{infix}batch_hooks", True))


def progress_of(hooks: Any, mode: str) -> Callable[[int, dict[str, float]], Any] | None:
    """Return what redraws the bar; None if batch hooks do, or there is none."""
    if not getattr(hooks, "needs_progress", False) or needs(hooks, mode):
        return None
    return hooks.on_progress


def verbosity(verbose: Any) -> int:
    if verbose == "auto":
        return 1
    if verbose in (True, False, 0, 1, 2):
        return int(verbose)
    raise ValueError(f"verbose must be 0, 1, 2 or 'auto', got verbose={verbose!r}")


def check_frequency(frequency: Any) -> None:
    if isinstance(frequency, list | tuple | set):
        return
    if (
        isinstance(frequency, bool)
        or not isinstance(frequency, int | np.integer)
        or frequency < 1
    ):
        raise ValueError(
            "fit: validation_freq must be a positive integer or a list of epochs, got "
            f"validation_freq={frequency!r}"
        )


def _due(epoch: int, frequency: Any) -> bool:
    if isinstance(frequency, list | tuple | set):
        return epoch + 1 in frequency
    return (epoch + 1) % int(frequency) == 0


def validation_parts(data: Any) -> tuple[Any, Any, Any]:
    if isinstance(data, list | tuple):
        if len(data) not in (2, 3):
            raise ValueError(
                "fit: validation_data must be (x, y) or (x, y, sample_weight), got a "
                f"tuple of {len(data)} elements"
            )
        return unpack_x_y_sample_weight(data)
    return data, None, None


def _plain_logs(values: Any) -> dict[str, float]:
    if not isinstance(values, dict):
        raise ValueError(
            "train_step and test_step must return a dict from names to values, got "
            f"{type(values).__name__}"
        )
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update({k: float(v) for k, v in value.items()})
        else:
            flat[name] = float(value)
    return dict(sorted(flat.items()))
