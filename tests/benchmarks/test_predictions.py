import json
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_predictions import draw

from benchmarks.dumps.columns import CROP_COLUMNS, IMAGE_COLUMNS
from benchmarks.predictions import (
    Predictions,
    binary_cross_entropy,
    from_crops,
    merge,
    read_predictions,
    sigmoid,
    write_predictions,
)
from contracts.errors import DataError


def same(a: Predictions, b: Predictions) -> bool:
    names = [field.name for field in fields(Predictions) if field.name != "extra"]
    return all(np.array_equal(getattr(a, n), getattr(b, n), equal_nan=n.endswith("losses")) for n in names) and all(
        np.array_equal(a.extra[n], b.extra[n]) for n in a.extra.keys() | b.extra.keys()
    )


@pytest.mark.parametrize("crops", [1, 5])
def test_round_trip(tmp_path, crops):
    multi = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    written = draw(
        images=40, crops=crops, extra={"quality": np.arange(40), "note": np.array(["ü"] * 40)},
        fused_multi_logits=multi, class_names=["real", "x", "y"], windows_timeline=[["alpha"], ["beta_2"]],
    )  # fmt: skip
    write_predictions(tmp_path / "deep" / "p.npz", written)
    assert same(read_predictions(tmp_path / "deep" / "p.npz"), written)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["p.npz"]


def test_the_same_predictions_make_the_same_bytes(tmp_path):
    for name in "ab":
        write_predictions(tmp_path / f"{name}.npz", draw())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_their_arrays_are_there_with_their_types(tmp_path):
    write_predictions(tmp_path / "p.npz", draw(images=10, crops=2))
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        kinds = {name: (arrays[name].dtype.str[1:], arrays[name].shape) for name in arrays.files}
    for name in ("scores", "losses"):
        assert kinds[f"fused_{name}"] == ("f4", (10,))
        assert kinds[f"crop_{name}"] == ("f4", (20,))
    for name in ("labels", "generator_ids", "identifiers"):
        assert kinds[f"fused_{name}"] == ("i8", (10,))
        assert kinds[f"crop_{name}"] == ("i8", (20,))
    assert kinds["identifier"] == kinds["pairing"] == ("i8", (10,))
    assert {"generator_id_to_name", "windows_timeline", "crop_to_image_index"} <= kinds.keys()


def test_a_failed_write_leaves_the_old_dump_whole(tmp_path, monkeypatch):
    write_predictions(tmp_path / "p.npz", draw(seed=1))

    def fail(_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_predictions(tmp_path / "p.npz", draw(seed=2))
    assert [path.name for path in tmp_path.iterdir()] == ["p.npz"]
    assert same(read_predictions(tmp_path / "p.npz"), draw(seed=1))


def test_scores_and_losses_are_of_the_float32_logits():
    logits = np.array([-90, -3.2, 0, 1e-4, 17, 50], dtype=np.float32)
    labels = np.array([0, 1, 1, 0, -1, 0])
    p = from_crops(logits, np.arange(6), labels, np.zeros(6, int), list("abcdef"), generator_id_to_name=[""])
    exact = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert np.array_equal(p.fused_scores, exact.astype(np.float32))
    assert np.array_equal(p.fused_logits, logits)
    assert p.fused_losses[1] == pytest.approx(np.log1p(np.exp(3.2)), rel=1e-6)
    assert np.isnan(p.fused_losses[4])
    assert p.fused_losses[5] == 50


def test_crops_are_put_in_the_order_of_their_images():
    p = from_crops(
        np.array([0.0, 5.0, 2.0], np.float32), np.array([1, 0, 1]), np.array([1, 0]), np.array([1, 0]), ["a", "b"],
        generator_id_to_name=["", "g"], identifiers=np.array([70, 30]),
    )  # fmt: skip
    assert p.crop_logits.tolist() == [5, 0, 2]
    assert p.crop_to_image_index.tolist() == [0, 1, 1]
    assert p.crop_identifiers.tolist() == [70, 30, 30]
    assert p.fused_scores[1] == pytest.approx((0.5 + 1 / (1 + np.exp(-2))) / 2, abs=1e-7)
    assert p.fused_losses[1] == pytest.approx(p.crop_losses[1:].mean(), abs=1e-7)


@settings(max_examples=25)
@given(st.integers(1, 4), st.integers(1, 3), st.randoms(use_true_random=False))
def test_any_number_of_ranks_gives_the_same_dump(ranks, crops, random):
    whole = draw(images=17, crops=crops, extra={"n": np.arange(17)})
    order = list(range(17))
    random.shuffle(order)
    parts = [whole.select(np.array(order[rank::ranks], dtype=np.int64)) for rank in range(ranks)]
    assert same(merge(parts, whole.fused_ids), whole)


def test_merge_refuses_what_is_missing_doubled_or_strange():
    whole = draw(images=10)
    half = whole.select(np.arange(5))
    with pytest.raises(DataError, match=r"5 of 10 images not scored: 'set/img#0005'"):
        merge([half], whole.fused_ids)
    with pytest.raises(DataError, match="1 of 10 images scored more than once: 'set/img#0004'"):
        merge([half, whole.select(np.arange(4, 10))], whole.fused_ids)
    with pytest.raises(DataError, match="2 of 8 images scored but not expected"):
        merge([whole], whole.fused_ids[:8])
    with pytest.raises(DataError, match="expected_ids holds 1 ids twice"):
        merge([half], [*half.fused_ids, half.fused_ids[2]])
    nothing = whole.select(np.arange(0))
    assert same(merge([nothing, half, nothing], half.fused_ids), half)
    assert len(merge([nothing], [])) == 0
    with pytest.raises(DataError, match="10 of 10 images not scored"):
        merge([nothing], whole.fused_ids)
    with pytest.raises(DataError, match="name their generators differently"):
        merge([half, draw(images=10, generators=("other",)).select(np.arange(5, 10))], whole.fused_ids)


def test_reading_says_what_is_wrong(tmp_path):
    path = tmp_path / "p.npz"
    with pytest.raises(DataError, match="no such file"):
        read_predictions(path)
    write_predictions(path, draw())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"p\.npz: not a complete npz"):
        read_predictions(path)
    path.write_bytes(whole[:-3000] + bytes(100) + whole[-2900:])
    with pytest.raises(DataError, match=r"p\.npz"):
        read_predictions(path)
    path.write_bytes(b"id,score\n")
    with pytest.raises(DataError, match="not a complete npz"):
        read_predictions(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="not a complete npz"):
        read_predictions(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("crop_scores"), "lacks crop_scores"),
        (lambda a: a.update(fused_ids=a["fused_ids"].astype(object)), "object array"),
        (lambda a: a.update(fused_scores=a["fused_scores"][:-1]), "fused_scores has shape"),
        (lambda a: a.update(fused_scores=a["fused_scores"].astype(np.float64)), "fused_scores is float64"),
        (lambda a: a["fused_scores"].__setitem__(3, np.nan), "a score is nan"),
        (lambda a: a["fused_logits"].__setitem__(3, np.nan), r"the logit of 'set/img#0003' is NaN \(1 image in all\)"),
        (lambda a: a["fused_labels"].__setitem__(0, 7), r"labels \[7\]"),
        (lambda a: a["fused_generator_ids"].__setitem__(0, 99), "generator id 99"),
        (lambda a: a["fused_ids"].__setitem__(0, a["fused_ids"][1]), "2 times"),
        (lambda a: a["crop_to_image_index"].__setitem__(0, 1), "disagree"),
        (lambda a: a.update(provenance=np.array("{half")), "not valid JSON"),
        (lambda a: a.update(provenance=np.array("[1, 2]")), r"provenance is \[1, 2\], not a JSON object"),
        (lambda a: a.update(extra_x=np.zeros((3, 2))), "extra_x"),
    ],
)
def test_a_dump_that_contradicts_itself_is_refused(tmp_path, change, message):
    write_predictions(tmp_path / "good.npz", draw())
    with np.load(tmp_path / "good.npz") as stored:
        arrays = {name: stored[name].copy() for name in stored.files}
    change(arrays)
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read_predictions(tmp_path / "bad.npz")


@pytest.mark.golden
def test_reads_the_dumps_of_ai_genbench(golden_path, tmp_path):
    files = sorted(golden_path("aigenbench_dump").glob("*.npz"))
    assert files, "the folder is there, but no dump in it"
    for file in files:
        theirs, p = np.load(file, allow_pickle=False), read_predictions(file)
        for name in set(theirs.files) & (set(IMAGE_COLUMNS) | set(CROP_COLUMNS)) - {"crop_to_image_index"}:
            assert np.array_equal(getattr(p, name), theirs[name]), name
        assert np.array_equal(p.fused_identifiers[p.crop_to_image_index], theirs["crop_identifiers"])
        assert p.about["format"] == "AI-GenBench"
        assert p.windows_timeline.tolist() == theirs["windows_timeline"].tolist()
        ours = from_crops(
            p.crop_logits, p.crop_to_image_index, p.fused_labels, p.fused_generator_ids, p.fused_ids,
            generator_id_to_name=p.generator_id_to_name,
        )  # fmt: skip
        assert np.allclose(ours.fused_scores, theirs["fused_scores"], rtol=0, atol=2e-7)
        assert np.allclose(ours.fused_losses, theirs["fused_losses"], rtol=0, atol=2e-6)
        write_predictions(tmp_path / "again.npz", p)
        again = np.load(tmp_path / "again.npz", allow_pickle=False)
        assert set(theirs.files) <= set(again.files)
        for name in set(theirs.files) - {"crop_to_image_index"}:
            assert again[name].dtype == theirs[name].dtype, name
            assert np.array_equal(again[name], theirs[name]), name


def test_images_their_ranks_scored_twice_are_kept_once(tmp_path):
    p = draw(images=6, crops=2)
    theirs = {
        name: getattr(p, name) for name in (*IMAGE_COLUMNS, *CROP_COLUMNS) if not name.endswith(("_ids", "logits"))
    }
    theirs = {k: v for k, v in theirs.items() if k not in ("source", "group", "where", "row")}
    theirs |= {"fused_generator_ids": p.fused_generator_ids, "crop_generator_ids": p.crop_generator_ids}
    for name, column in theirs.items():
        copies = column[:2] if name.startswith("crop_") else column[:1]
        theirs[name] = np.concatenate([column, copies])
    theirs["crop_to_image_index"] = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0])
    np.savez(tmp_path / "padded.npz", generator_id_to_name=p.generator_id_to_name, **theirs)
    read = read_predictions(tmp_path / "padded.npz")
    assert read.fused_identifiers.tolist() == list(range(6))
    assert read.crop_to_image_index.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert np.array_equal(read.crop_scores, p.crop_scores)
    assert read.about["duplicates_dropped"] == 1


def test_provenance_can_be_added_to():
    p = draw().with_provenance(threshold=0.7)
    assert json.loads(p.provenance)["threshold"] == 0.7
    assert p.about["experiment"] == "drawn"


def test_selecting_keeps_crops_with_their_images():
    p = draw(images=8, crops=3)
    chosen = p.select(np.array([5, 2]))
    assert chosen.fused_ids.tolist() == [p.fused_ids[5], p.fused_ids[2]]
    assert np.array_equal(chosen.crop_scores, np.concatenate([p.crop_scores[15:18], p.crop_scores[6:9]]))
    assert np.array_equal(p.select(p.fused_labels == 1).fused_labels, np.ones(4))


def test_infinite_logits_have_finite_meaning():
    assert sigmoid(np.array([np.inf, -np.inf])).tolist() == [1, 0]
    assert binary_cross_entropy(np.array([1e4, -1e4]), np.array([1, 0])).tolist() == [0, 0]
    assert replace(draw(), provenance="{}").about == {}


PLACES = st.floats(0, 1, exclude_max=True)


@settings(max_examples=80)
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3), st.booleans()
)
def test_damage_is_refused_or_harmless(damage, cut):
    with TemporaryDirectory() as folder:
        path = Path(folder, "p.npz")
        write_predictions(path, draw(images=20))
        content = bytearray(path.read_bytes())
        for place, value in damage:
            content[int(place * len(content))] = value
        path.write_bytes(content[: int(damage[0][0] * len(content))] if cut else content)
        with suppress(DataError):
            assert same(read_predictions(path), draw(images=20))
