"""Files of a folder with their classes: what the ..._from_directory functions share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import Dataset
from .io_utils import print_msg

__all__ = ["check_arguments", "datasets_of", "index_directory"]

Files = tuple[list[str], Any, list[str] | None]


def check_arguments(
    who: str,
    labels: Any,
    label_mode: str | None,
    class_names: Any,
    validation_split: float | None,
    subset: str | None,
    shuffle: bool,
    seed: int | None,
) -> tuple[Any, str | None]:
    """Return labels and label_mode, both None for data without labels.

    Raises:
        ValueError: for arguments that do not fit together.
    """
    if not (labels is None or (isinstance(labels, str) and labels == "inferred")):
        if not isinstance(labels, list | tuple):
            raise ValueError(
                f"{who}: labels must be 'inferred', None, or a list with an integer "
                f"for each file, got labels={labels!r}"
            )
        if class_names:
            raise ValueError(
                f"{who}: class_names are for labels='inferred' only, got "
                f"class_names={class_names!r}"
            )
    if label_mode not in ("int", "categorical", "binary", None):
        raise ValueError(
            f"{who}: label_mode must be 'int', 'categorical', 'binary' or None, got "
            f"label_mode={label_mode!r}"
        )
    if validation_split and not 0 < validation_split < 1:
        raise ValueError(
            f"{who}: validation_split must lie between 0 and 1, got "
            f"validation_split={validation_split}"
        )
    if bool(validation_split) != bool(subset):
        raise ValueError(f"{who}: validation_split and subset must be given together")
    if subset not in ("training", "validation", "both", None):
        raise ValueError(
            f"{who}: subset must be 'training', 'validation' or 'both', got "
            f"subset={subset!r}"
        )
    if validation_split and shuffle and seed is None:
        raise ValueError(
            f"{who}: validation_split with shuffle needs a seed, else the training and "
            "the validation part would overlap"
        )
    return (
        (None, None) if labels is None or label_mode is None else (labels, label_mode)
    )


def _files_below(
    folder: Path, formats: tuple[str, ...], follow_links: bool
) -> list[str]:
    found: list[str] = []
    for root, _, names in sorted(os.walk(folder, followlinks=follow_links)):
        wanted = [name for name in sorted(names) if name.lower().endswith(formats)]
        found += [str(Path(root, name)) for name in wanted]
    return found


def index_directory(
    who: str,
    directory: str | os.PathLike[str],
    labels: Any,
    formats: tuple[str, ...],
    class_names: Sequence[str] | None,
    shuffle: bool,
    seed: int,
    follow_links: bool,
    verbose: bool,
) -> Files:
    """Return (paths, label numbers or None, class names or None), as Keras orders them.

    Raises:
        ValueError: if the classes or labels do not fit what the folder holds.
    """
    folder = Path(directory)
    subfolders = [""]
    if isinstance(labels, str):
        subfolders = sorted(
            entry.name
            for entry in folder.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )
        if class_names is not None:
            if not set(class_names) <= set(subfolders):
                raise ValueError(
                    f"{who}: class_names must be names of folders in {folder}: "
                    f"{subfolders}, got class_names={class_names}"
                )
            subfolders = list(class_names)
    elif class_names is not None:
        raise ValueError(f"{who}: class_names are for labels='inferred' only")
    paths: list[str] = []
    numbers: list[int] = []
    for number, name in enumerate(subfolders):
        found = _files_below(folder / name, formats, follow_links)
        paths += found
        numbers += [number] * len(found)
    names: list[str] | None = subfolders
    chosen: Any = np.array(numbers, dtype="int32")
    if labels is None:
        chosen = names = None
    elif not isinstance(labels, str):
        if len(labels) != len(paths):
            raise ValueError(
                f"{who}: labels must have one entry for each of the {len(paths)} files "
                f"in {folder}, got {len(labels)}"
            )
        chosen = list(labels)
        names = [str(label) for label in sorted(set(labels))]
    if verbose:
        classes = "" if names is None else f" belonging to {len(names)} classes"
        print_msg(f"Found {len(paths)} files{classes}.")
    if shuffle:  # RandomState, so that the order is Keras's
        np.random.RandomState(seed).shuffle(paths)
        if chosen is not None:
            np.random.RandomState(seed).shuffle(chosen)
    return paths, chosen, names


def _part(files: Files, validation_split: float | None, subset: str | None) -> Files:
    """Return the files of the training or the validation part."""
    paths, labels, names = files
    if not validation_split:
        return files
    cut = int(validation_split * len(paths))
    if subset == "training":
        print_msg(f"Using {len(paths) - cut} files for training.")
        rows = slice(None, -cut)
    else:
        print_msg(f"Using {cut} files for validation.")
        rows = slice(-cut, None)
    return paths[rows], None if labels is None else labels[rows], names


def _encoded(labels: Any, label_mode: str, classes: int) -> np.ndarray:
    numbers = np.asarray(labels, dtype="int32")
    if label_mode == "binary":
        return numbers.astype("float32")[:, None]
    if label_mode == "categorical":
        return (numbers[:, None] == np.arange(classes)).astype("float32")
    return numbers


def datasets_of(
    who: str,
    what: str,
    files: Files,
    label_mode: str | None,
    load: Callable[[str], Any],
    batch_size: int | None,
    shuffle: bool,
    seed: int,
    validation_split: float | None,
    subset: str | None,
    batch: Callable[[Dataset, int], Dataset] = Dataset.batch,
) -> Any:
    """Return the dataset of the files, or two for subset="both".

    Args:
        who: name of the function, for errors.
        what: kind of the files, for errors.
        files: what `index_directory` returned.
        label_mode: how labels are encoded; None: no labels.
        load: function from a path to the content of a file.
        batch_size: files in a batch, or None.
        shuffle: whether the training part is shuffled in each pass.
        seed: of the shuffling.
        validation_split: share of the validation part, or None.
        subset: "training", "validation", "both" or None.
        batch: function that puts elements together.

    Raises:
        ValueError: if there are no files, or label_mode is "binary" with another
            number of classes than two.
    """
    names = files[2]
    if label_mode == "binary" and len(names or ()) != 2:
        raise ValueError(
            f"{who}: label_mode='binary' needs exactly two classes, got {names}"
        )

    def one(part: str | None, shuffled: bool) -> Dataset:
        paths, labels, _ = _part(files, validation_split, part)
        if not paths:
            raise ValueError(
                f"{who}: no {f'{part} ' if subset == 'both' else ''}{what} files found"
            )
        source: Any = np.array(paths, dtype=object)
        if label_mode:
            source = (source, _encoded(labels, label_mode, len(names or ())))
        dataset = Dataset.from_tensor_slices(source)
        if shuffled:
            dataset = dataset.shuffle(8 * batch_size if batch_size else 1024, seed=seed)
        dataset = dataset.map(
            (lambda path, label: (load(path), label)) if label_mode else load
        )
        if batch_size is not None:
            dataset = batch(dataset, batch_size)
        dataset.class_names = names
        dataset.file_paths = paths
        return dataset

    if subset == "both":
        return one("training", shuffle), one("validation", False)
    return one(subset, shuffle)
