"""WAV files of a folder as a dataset."""

from __future__ import annotations

import os
import wave
from typing import Any

import numpy as np

from ._directories import check_arguments, datasets_of, index_directory
from .dataset import Dataset

__all__ = ["audio_dataset_from_directory", "read_wav"]


def read_wav(path: str | os.PathLike[str], length: int | None = None) -> np.ndarray:
    """Return the samples of a WAV file of 16-bit integers.

    Args:
        path: the file.
        length: number of samples; longer files are cut, shorter ones end in zeros.

    Returns:
        float32 in [-1, 1), shape (samples, channels).

    Raises:
        ValueError: if it is no such file.
    """
    try:
        with wave.open(os.fspath(path), "rb") as file:
            if file.getsampwidth() != 2:
                raise ValueError(
                    f"read_wav: {path} has samples of {8 * file.getsampwidth()} bits; "
                    "only 16-bit integers can be read"
                )
            channels = file.getnchannels()
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"read_wav: cannot read {path}: {error}") from error
    whole = len(raw) // (2 * channels) * 2 * channels
    samples = np.frombuffer(raw[:whole], "<i2").reshape(-1, channels)
    samples = samples.astype("float32") / 32768.0
    if length is not None:
        samples = samples[:length]
        samples = np.pad(samples, ((0, length - len(samples)), (0, 0)))
    return samples


def _batch_padded(dataset: Dataset, batch_size: int) -> Dataset:
    """Return batches in which shorter recordings end in zeros."""

    def pad(*columns: Any) -> Any:
        longest = max(len(x) for x in columns[0])
        rows = [np.pad(x, ((0, longest - len(x)), (0, 0))) for x in columns[0]]
        return (np.stack(rows), *columns[1:]) if len(columns) > 1 else np.stack(rows)

    def boxed(audio: Any, *label: Any) -> Any:
        box = np.empty((), dtype=object)
        box[()] = np.asarray(audio)
        return (box, *label) if label else box

    return dataset.map(boxed).batch(batch_size).map(pad)


def audio_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    batch_size: int | None = 32,
    sampling_rate: int | None = None,
    output_sequence_length: int | None = None,
    ragged: bool = False,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    verbose: bool = True,
) -> Any:
    """Return the `.wav` files of a folder as batches (audio, labels).

    Args:
        directory: folder with one folder for each class.
        labels: "inferred" (from the folders, default), None (no labels), or a list
            with an integer for each file, in the order of the sorted paths.
        label_mode: "int" (int32, (batch,)), "categorical" (one-hot float32),
            "binary" (float32, (batch, 1)) or None (no labels).
        class_names: names of the folders in the order of the classes.
        batch_size: files in a batch; None: single files. Default 32.
        sampling_rate: must be None: files keep their rate.
        output_sequence_length: number of samples; None: the longest of the batch.
        ragged: must be False.
        shuffle: whether the order is random, a new one in each pass. Default True.
        seed: of the order. The division into parts is that of Keras.
        validation_split: share of the files that are the validation part.
        subset: "training", "validation" or "both" (a pair); with validation_split.
        follow_links: whether linked folders are looked into.
        verbose: whether the number of files is printed.

    Returns:
        A `Dataset` with the attribute `class_names`; audio is float32 of shape
        (batch, samples, channels).

    Raises:
        ValueError: for arguments that do not fit together, no files, or files that
            are not of 16-bit integers.
    """
    who = "audio_dataset_from_directory"
    labels, label_mode = check_arguments(
        who, labels, label_mode, class_names, validation_split, subset, shuffle, seed
    )
    if ragged:
        raise ValueError(f"{who}: lamella has dense arrays only, got ragged={ragged}")
    if sampling_rate is not None:
        raise ValueError(
            f"{who}: resampling is not supported, got sampling_rate={sampling_rate}; "
            "map the dataset with a function that resamples, for example "
            "scipy.signal.resample_poly"
        )
    if seed is None:
        seed = int(np.random.randint(10**6))  # noqa: NPY002  set_random_seed's
    files = index_directory(
        who,
        directory,
        labels,
        (".wav",),
        class_names,
        shuffle,
        seed,
        follow_links,
        verbose,
    )
    return datasets_of(
        who,
        "audio",
        files,
        label_mode,
        lambda path: read_wav(path, output_sequence_length),
        batch_size,
        shuffle,
        seed,
        validation_split,
        subset,
        Dataset.batch if output_sequence_length is not None else _batch_padded,
    )
