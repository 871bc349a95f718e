"""Damaged and wrong files: the old file stays, errors say what is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from saving_models import (
    GOLDEN,
    assert_same,
    make_functional,
    make_mlp,
    make_trained_mlp,
    train,
)

lamella = pytest.importorskip("lamella")
h5py = pytest.importorskip("h5py")

from lamella import layers, saving  # noqa: E402
from lamella.saving import (  # noqa: E402
    atomic,
)


@pytest.fixture(scope="module")
def mlp():
    return make_trained_mlp()


# -- faults: the old file stays, errors say what is wrong ---------------------------


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.6, 0.9, 0.999])
def test_truncated_file_is_an_error_that_names_it(mlp, suffix, share, tmp_path):
    path = tmp_path / f"cut{suffix}"
    saving.save_model(mlp[0], path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises((OSError, ValueError), match="cut"):
        saving.load_model(path)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".lamella"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_weights_leave_the_model_unchanged(mlp, suffix, share, tmp_path):
    model = mlp[0]
    before = model.get_weights()
    path = tmp_path / f"cut{suffix}"
    saving.save_weights(model, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises((OSError, ValueError), match="cut"):
        saving.load_weights(model, path)
    assert_same(model.get_weights(), before)


def test_flipped_byte_in_an_archive_is_found(mlp, tmp_path):
    path = tmp_path / "m.keras"
    saving.save_model(mlp[0], path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"m\.keras.*damaged"):
        saving.load_model(path)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_descriptions_are_errors_of_value(seed, tmp_path):
    path = tmp_path / "m.keras"
    saving.save_model(make_functional()[0], path)
    with zipfile.ZipFile(path) as archive:
        original = archive.read("config.json")
        weights = archive.read("model.weights.h5")
    rng = random.Random(seed)
    strange = [None, -1, "x", [], {}, [1, 2], True, {"class_name": 5, "config": {}}]
    strange += [{"class_name": "Dense", "config": {}}, "os.system", 1e300]

    def places(value, here=()):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield (*here, key)
            if isinstance(item, dict | list):
                yield from places(item, (*here, key))

    every = list(places(json.loads(original)))
    for place in rng.sample(every, 60):
        config = json.loads(original)
        target = config
        for key in place[:-1]:
            target = target[key]
        target[place[-1]] = rng.choice(strange)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", weights)
        with contextlib.suppress(ValueError, OSError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            saving.load_model(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella"])
def test_foreign_and_missing_files_are_named(suffix, tmp_path):
    path = tmp_path / f"foreign{suffix}"
    with pytest.raises(OSError, match=r"no such file.*foreign"):
        saving.load_model(path)
    path.write_text("name,value\n1,2\n" * 20)
    with pytest.raises((OSError, ValueError), match="foreign"):
        saving.load_model(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match="folder"):
        saving.load_model(path)


def test_formats_that_are_mixed_up_are_recognised(mlp, tmp_path):
    saving.save_model(mlp[0], tmp_path / "a.keras")
    saving.save_model(mlp[0], tmp_path / "a.h5")
    saving.save_weights(mlp[0], tmp_path / "a.weights.h5")
    shutil.copy(tmp_path / "a.keras", tmp_path / "b.h5")
    shutil.copy(tmp_path / "a.h5", tmp_path / "b.keras")
    shutil.copy(tmp_path / "a.weights.h5", tmp_path / "w.h5")
    with pytest.raises(ValueError, match=r"suffix \.keras"):
        saving.load_model(tmp_path / "b.h5")
    with pytest.raises(ValueError, match=r"suffix \.h5"):
        saving.load_model(tmp_path / "b.keras")
    with pytest.raises(ValueError, match="weights only"):
        saving.load_model(tmp_path / "w.h5")
    with pytest.raises(ValueError, match="weights alone"):
        saving.load_model(tmp_path / "a.weights.h5")
    saving.load_weights(mlp[0], tmp_path / "w.h5")


def test_missing_archive_member_is_named(mlp, tmp_path):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(OSError, match=r"no member 'model\.weights\.h5'.*config\.json"):
        saving.load_model(path)


@pytest.mark.parametrize(
    "name", ["model", "model.pkl", "model.pt", "model.json", "m.tf"]
)
def test_unknown_suffix_lists_the_formats(mlp, name, tmp_path):
    for call in (
        lambda: saving.save_model(mlp[0], tmp_path / name),
        lambda: saving.load_model(tmp_path / name),
    ):
        with pytest.raises(ValueError, match=r"\.keras.*\.h5.*\.lamella"):
            call()
    with pytest.raises(ValueError, match=r"\.weights\.h5"):
        saving.save_weights(mlp[0], tmp_path / name)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".lamella"])
def test_shape_mismatch_names_layer_and_both_shapes(mlp, suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    saving.save_weights(mlp[0], path)
    other = lamella.Sequential(
        [layers.Input((5,)), layers.Dense(9, name="other"), layers.Dense(3)]
    )
    before = other.get_weights()
    with pytest.raises(ValueError, match="Nothing was loaded") as caught:
        saving.load_weights(other, path)
    for word in ("(5, 9)", "(5, 8)", "dense" if suffix == ".lamella" else "other"):
        assert word in str(caught.value)
    assert_same(other.get_weights(), before)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".lamella"])
def test_missing_and_extra_layers_are_errors(mlp, suffix, tmp_path):
    saving.save_weights(mlp[0], tmp_path / f"two{suffix}")
    three = lamella.Sequential(
        [layers.Input((5,)), layers.Dense(8), layers.Dense(3), layers.Dense(2)]
    )
    saving.save_weights(three, tmp_path / f"three{suffix}")
    with pytest.raises(ValueError, match="Nothing was loaded"):
        saving.load_weights(three, tmp_path / f"two{suffix}")
    with pytest.raises(ValueError, match="Nothing was loaded"):
        saving.load_weights(mlp[0], tmp_path / f"three{suffix}")


def test_skip_mismatch_warns_and_loads_the_rest(mlp, tmp_path):
    saving.save_weights(mlp[0], tmp_path / "w.weights.h5")
    other = lamella.Sequential(
        [layers.Input((5,)), layers.Dense(8), layers.Dense(4, name="new")]
    )
    with pytest.warns(UserWarning, match="'new'"):
        saving.load_weights(other, tmp_path / "w.weights.h5", skip_mismatch=True)
    assert_same(other.get_weights()[:2], mlp[0].get_weights()[:2])


def test_by_name_loads_the_layers_that_match(mlp, tmp_path):
    saving.save_weights(mlp[0], tmp_path / "w.h5")
    other = lamella.Sequential(
        [layers.Input((5,)), layers.Dense(8, name="hidden"), layers.Dense(1, name="q")]
    )
    saving.load_weights(other, tmp_path / "w.h5", by_name=True)
    assert_same(other.get_weights()[:2], mlp[0].get_weights()[:2])


def test_missing_optimizer_array_is_an_error(mlp, tmp_path):
    path = tmp_path / "m.h5"
    saving.save_model(mlp[0], path)
    with h5py.File(path, "a") as file:
        names = list(file["optimizer_weights"].attrs["weight_names"])
        file["optimizer_weights"].attrs["weight_names"] = names[:-1]
    with pytest.raises(ValueError, match="compile=False"):
        saving.load_model(path)
    saving.load_model(path, compile=False)


def test_unbuilt_model_cannot_save_or_load_weights(tmp_path):
    model = lamella.Sequential([layers.Dense(2)])
    with pytest.raises(ValueError, match="not built"):
        saving.save_weights(model, tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match="not built"):
        saving.load_weights(model, GOLDEN / "mlp.weights.h5")


def test_missing_folder_is_a_clear_error(mlp, tmp_path):
    path = tmp_path / "no" / "such" / "m.keras"
    with pytest.raises(OSError, match=r"no/such.*does not exist"):
        saving.save_model(mlp[0], path)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_unwritable_folder_is_a_clear_error(mlp, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OSError, match="Permission denied"):
            saving.save_model(mlp[0], tmp_path / "m.keras")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella", ".weights.h5"])
@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_crash_while_saving_keeps_the_old_file(
    mlp, suffix, where, tmp_path, monkeypatch
):
    model, x, y = make_mlp()
    path = tmp_path / f"m{suffix}"
    save = saving.save_weights if "weights" in suffix else saving.save_model
    save(model, path)
    old = path.read_bytes()
    train(model, x, y)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    if where == "fsync":
        monkeypatch.setattr(atomic.os, "fsync", fail)
    elif where == "replace":
        monkeypatch.setattr(atomic.Path, "replace", fail)
    elif suffix == ".lamella":
        monkeypatch.setattr(lamella._core, "save_model", fail)
    else:
        monkeypatch.setattr(atomic.Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        save(model, path)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_interrupt_while_saving_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def save():
        with atomic.atomic_write(path) as temporary:
            temporary.write_bytes(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_keeps_permissions_and_follows_links(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    atomic.write_bytes(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_overwrite_false_keeps_an_existing_file(mlp, tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(b"precious")
    with pytest.raises(OSError, match="overwrite"):
        saving.save_model(mlp[0], path, overwrite=False)
    assert path.read_bytes() == b"precious"


def test_lamella_file_of_a_newer_version_is_refused(mlp, tmp_path):
    path = tmp_path / "m.lamella"
    saving.save_model(mlp[0], path)
    tensors, metadata = lamella._core.load_safetensors(str(path))
    arrays = {name: np.array(value) for name, value in tensors.items()}
    metadata["format_version"] = "99"
    lamella._core.save_safetensors(str(path), arrays, metadata)
    with pytest.raises(ValueError, match=r"99.*update lamella"):
        saving.load_model(path)
