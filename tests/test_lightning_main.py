"""The command line itself."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml

import lightning_main
from conf.sources import leaves
from tasks.doctor import annotated

PROGRAM = Path(lightning_main.__file__).resolve()

LIGHT = """
import contextlib, io, json, resource, sys
sys.path.insert(0, {root!r})
told = []
def spent():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
import lightning_main
start = spent()
for words in {commands!r}:
    before, out = spent(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = lightning_main.main(words)
    heavy = sorted({{"torch", "pytorch_lightning", "torchvision"}} & set(sys.modules))
    told.append([code, start + spent() - before, heavy, out.getvalue()])
print(json.dumps(told))
"""


def test_mistakes_and_help_are_reported_at_once_and_without_torch(tmp_path: Path) -> None:
    data = f"datamodule.path={tmp_path}"
    commands = [
        ["--help"],
        ["detector=nprr"],
        ["datamodule=folder", data, "detector.exat=true"],
        ["task=vaildate"],
        ["task=review", f"review.inputs=[{tmp_path}/a.npz]"],
        ["task=predict", "datamodule=folder", data],
    ]
    parts = ["task=predict", "'npr'", "'exact'", "'validate'", "a.npz does not exist", "ckpt=FILE"]
    code = LIGHT.format(root=str(PROGRAM.parent), commands=commands)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    for words, part, (status, seconds, heavy, text) in zip(commands, parts, json.loads(done.stdout), strict=True):
        assert status == (0 if words == ["--help"] else 2), text
        assert part in text
        assert heavy == []
        assert seconds < 2, words  # of processor time, start-up included, so that a busy machine does not matter
        assert "Traceback" not in text


@pytest.mark.parametrize(("given", "kept"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_do_not_spin_unless_asked_to(
    given: str | None, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    lightning_main.main(["--version"])
    assert os.environ["OMP_WAIT_POLICY"] == kept


def test_help_names_tasks_groups_and_what_people_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert lightning_main.main(["--help"]) == 0
    text = capsys.readouterr().out
    for part in ("task=fit", "task=doctor", "experiment_id=", "ckpt=", "detector", "npr", "review.inputs", "trainer"):
        assert part in text


def test_errors_are_short_and_have_their_exit_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dump = tmp_path / "broken.npz"
    dump.write_bytes(b"no dump")
    assert lightning_main.main(["task=review", f"review.inputs=[{dump}]", f"review.out={tmp_path}"]) == 1
    assert lightning_main.main(["sed=3"]) == 2
    text = capsys.readouterr().err
    assert "broken.npz" in text
    assert "'seed'" in text
    assert "Traceback" not in text


def test_doctor_shows_everything_and_every_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = ["task=doctor", "datamodule=folder", f"datamodule.path={tmp_path}"]
    assert lightning_main.main(words) == 0
    text = capsys.readouterr().out
    for part in (
        "_target_: detectors.npr.detector.NPR  # conf/detector/npr.yaml",
        f"path: {tmp_path}  # command line",
        "torch",
        "cores",
        "no problems found",
    ):
        assert part in text
    assert lightning_main.main([*words, "detector.exat=true", "trainer.max_epoch=3"]) == 1
    text = capsys.readouterr().out
    for part in ("'exact'", "'max_epochs'", "2 problems"):
        assert 0 < text.index(part) < text.index("Configuration") < text.index("Versions") < text.index("Devices")


def test_doctor_loses_nothing_in_a_terminal_of_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("tasks.doctor.trainer_problems", lambda _: [])
    path = tmp_path / ("long" * 30)
    path.mkdir()
    lightning_main.main(["task=doctor", "datamodule=folder", f"datamodule.path={path}", "trainer.max_epoch=3"])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    assert str(path) in "".join(line.strip() for line in lines)
    assert any(line.startswith("✗") for line in lines[:1])


def test_the_doctors_configuration_is_yaml() -> None:
    node = {
        "a": {"b.c": 1, "d": {"e": [1, {"x": "y: z #"}], "f": {}}}, "g": "null", "h": None, "i": "a # b",
        "on": True, "j": {"k": "x" * 100, "1": "é", "l": "two\nlines"},
    }  # fmt: skip
    for width in (20, 80, 1000):
        lines = list(annotated(node, {place: "there" for place, _ in leaves(node)}, width))
        assert yaml.safe_load("\n".join(lines)) == node
        assert sum("# there" in line for line in lines) == 10


def test_many_runs_each_in_a_process_of_its_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.npz").write_bytes(b"no dump")
    words = ["-m", "task=review", "review.inputs=[a.npz],[b.npz]"]
    done = subprocess.run([sys.executable, PROGRAM, *words], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "[2/2] task=review review.inputs=[b.npz]" in done.stdout
    assert "a.npz" in done.stderr
    assert "failed jobs (of 2): 1, 2" in done.stderr


def test_many_runs_are_all_checked_before_the_first_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    words = ["-m", "datamodule=folder", f"datamodule.path={tmp_path}"]
    assert lightning_main.main([*words, "detector=npr,nprr"]) == 2
    assert lightning_main.main([*words, "seed=1,2", "launcher=local,slurm"]) == 2
    assert "launcher differs" in capsys.readouterr().err


def test_the_console_script_is_main() -> None:
    try:
        scripts = distribution("pixelproof").entry_points.select(group="console_scripts", name="pixelproof")
    except PackageNotFoundError:
        pytest.skip("pixelproof is not installed, only checked out")
    assert [script.value for script in scripts] == ["lightning_main:main"]


def test_it_is_a_table_of_contents() -> None:
    assert len(PROGRAM.read_text().splitlines()) < 130


def test_a_reader_that_leaves_early_is_no_traceback(tmp_path: Path) -> None:
    for words in ("--help", "task=predict --help"):
        command = f"set -o pipefail; '{sys.executable}' '{PROGRAM}' {words} | true"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.stderr == ""
        assert done.returncode in (0, 141)  # 0 where all was written before the reader left
