"""Whatever folder, list or table is given: each file is scored, listed with a reason, or counted as passed over."""

import csv
import io
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from synthetic import encoded, picture

from contracts.errors import DataError
from contracts.names import as_path, as_text
from contracts.view import View
from datamodules.folder import FolderDataModule
from datamodules.folders.listed import LABEL_NAMES
from datamodules.folders.walk import SUFFIXES, is_hidden
from detectors.npr.detector import NPR
from lightning_main import main

IMAGE = encoded(picture(np.random.default_rng(0), 16, False))
CONTENTS = (IMAGE, IMAGE[:60], b"", b"text")

_BYTES = st.binary(min_size=1, max_size=12).filter(lambda raw: not set(b"/\0") & set(raw))
_TEXTS = st.sampled_from(
    ["a", "b c", " x ", "a,b;c", 'q"q', "'", "\u202egpj", "é" * 60, "x" * 200, "#1", "[1]", "*", "a\tb", "new\nline",
     "caf\\xe9", "\\", "a|b", "=1", "é", "e\u0301", "🙂", "-1", "..."]
).map(str.encode)  # fmt: skip
_ENDINGS = st.sampled_from([b".png", b".PNG", b".jpg", b".psd", b".md", b"", b".png.part"])
NAMES = st.tuples(st.one_of(_BYTES, _TEXTS), _ENDINGS).map(b"".join).filter(lambda raw: raw not in (b".", b".."))
FOLDERS = st.one_of(_BYTES, _TEXTS, st.sampled_from([b".cache", b"__MACOSX", b"deep", b"@eaDir"])).filter(
    lambda raw: raw not in (b".", b"..")
)
TREES = st.lists(st.tuples(st.lists(FOLDERS, max_size=2), NAMES, st.sampled_from(CONTENTS)), max_size=8)
RARE = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


@contextmanager
def empty() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name, chdir(name):
        (Path(name) / "set").mkdir()
        yield Path(name) / "set"


def lay(root: Path, tree: list[tuple[list[bytes], bytes, bytes]]) -> list[Path]:
    """Writes a tree, leaving out what cannot be beside the rest; the files that are there."""
    for folders, name, content in tree:
        place = os.path.join(os.fsencode(root), *folders)  # noqa: PTH118 - names of bytes
        try:
            os.makedirs(place, exist_ok=True)  # noqa: PTH103
            Path(os.fsdecode(place + b"/" + name)).write_bytes(content)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
    return [Path(place) / name for place, _, names in os.walk(root) for name in names]


def readable(root: Path, file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not any(map(is_hidden, file.relative_to(root).parts))


@given(TREES)
def test_folders(tree: list[tuple[list[bytes], bytes, bytes]]) -> None:
    with empty() as root:
        files = lay(root, tree)
        module = FolderDataModule(root, batch_size=4)
        module.use(View(), View())
        try:
            manifest = module.manifest()
        except DataError as error:
            assert "no images" in error.what  # noqa: PT017 - an error is one of two right ends
            assert not any(readable(root, file) for file in files)
            return
        module.evaluate(manifest.rows("test"))
        rows = [row for batch in module.predict_dataloader() for row in batch.row.tolist()]
        scored = [as_path(manifest.column("where")[row]) for row in rows]
        failed = [as_path(failure.where) for failure in module.failures]
        passed = [file for file in files if {file, *file.parents} & set(module.ignored)]
        assert Counter([*scored, *failed, *passed]) == Counter(files)
        assert {file for file in files if readable(root, file)} == {*scored, *failed}
        assert all(file.read_bytes() == IMAGE for file in scored)
        assert all(failure.reason for failure in module.failures)
        assert str(module.ignored).encode() or not module.ignored


ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
LISTED = st.lists(
    st.text(st.sampled_from("ab é,;|'\" \t#\\ü-=[]*"), min_size=1, max_size=12).map(lambda name: f"{name}.png"),
    min_size=1, max_size=6, unique_by=lambda name: name.strip(),
)  # fmt: skip


@given(
    names=LISTED,
    encoding=ENCODINGS,
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    header=st.tuples(
        st.sampled_from(["path", "file_name", "Image", "FILE"]), st.sampled_from(["label", "Label", "kind"])
    ),
    labels=st.lists(st.sampled_from([*LABEL_NAMES, "Fake", "REAL", "cat", "2"]), min_size=6, max_size=6),
)
def test_tables(
    names: list[str], encoding: str, delimiter: str, quoting: int, end: str, header: tuple[str, str], labels: list[str]
) -> None:
    with empty() as root:
        for name in names:
            (root / name).write_bytes(IMAGE)
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
        writer.writerows([header, *zip(names, labels, strict=False)])
        (root / "t.csv").write_bytes(text.getvalue().encode(encoding))
        known = header[1].lower() == "label"
        try:
            manifest = FolderDataModule(root / "t.csv").manifest()
        except DataError as error:
            event("a label is unknown")
            assert known
            assert set(labels[: len(names)]) & {"cat", "2"}
            assert "label" in error.what  # noqa: PT017 - as above
            return
        assert sorted(manifest.column("where")) == sorted(as_text(root / name) for name in names)
        wanted = [LABEL_NAMES[label.lower()] if known else -1 for label in labels[: len(names)]]
        assert manifest.labels.tolist() == wanted


@given(names=LISTED, encoding=ENCODINGS, end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_lists(names: list[str], encoding: str, end: str) -> None:
    with empty() as root:
        for name in names:
            (root / name).write_bytes(IMAGE)
        (root / "list.txt").write_bytes(end.join(names).encode(encoding))
        manifest = FolderDataModule(root / "list.txt").manifest()
        assert manifest.column("where").tolist() == [as_text(root / name) for name in names]


@given(st.binary(max_size=300), st.sampled_from(["t.csv", "t.txt", "t.tsv"]))
def test_no_bytes_end_in_a_traceback(content: bytes, name: str) -> None:
    with empty() as root:
        (root / name).write_bytes(content)
        with pytest.raises(DataError):
            FolderDataModule(root / name).manifest()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "npr.ckpt"
    torch.manual_seed(0)
    torch.save({"state_dict": NPR(View(), View()).state_dict()}, file)
    return file


@RARE
@given(tree=TREES, shape=st.sampled_from(["folder", "glob", "list", "table"]))
def test_the_command_accounts_for_every_file(
    weights: Path, tree: list[tuple[list[bytes], bytes, bytes]], shape: str
) -> None:
    with empty() as root:
        files = lay(root, tree)
        given_files = [file for file in files if readable(root, file)]
        path = {"folder": "set", "glob": "set/**/*", "list": "list.txt", "table": "table.csv"}[shape]
        if shape in ("list", "table"):
            assume(not any(set("\r\n") & set(as_text(file)) for file in given_files))
            names = [as_text(file) for file in given_files]
            text = io.StringIO()
            csv.writer(text).writerows([["path"], *([name] for name in names)])
            Path(path).write_text("\n".join(names) if shape == "list" else text.getvalue(), encoding="utf-8")
        out, told = io.StringIO(), io.StringIO()
        words = ["task=predict", f"ckpt={weights}", "detector=npr", "datamodule=folder", f"datamodule.path={path}"]
        with redirect_stdout(out), redirect_stderr(told):
            code = main([*words, "trainer=cpu", "trainer.enable_progress_bar=false", "experiment_id=e"])
        images = [file for file in given_files if file.read_bytes() == IMAGE]
        assert "Traceback" not in told.getvalue()
        # a pattern that matches nothing is known before anything is built
        assert code in ((0,) if images else (1, 2) if shape == "glob" and not given_files else (1,)), told.getvalue()
        results = Path("experiments_data/e")
        if code == 0:
            with (results / "predictions.csv").open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            assert Counter(as_path(row["where"]).resolve() for row in rows) == Counter(given_files)
            assert Counter(as_path(row["where"]).resolve() for row in rows if not row["error"]) == Counter(images)
            broken = [file for file in given_files if file not in images]
            failures = results / "failures.csv"
            assert failures.exists() == bool(broken)
            if broken:
                with failures.open(encoding="utf-8", newline="") as stream:
                    listed = list(csv.DictReader(stream))
                assert Counter(as_path(row["where"]).resolve() for row in listed) == Counter(broken)
                assert all(row["reason"] for row in listed)
