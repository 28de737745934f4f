"""The tab key offers what can be typed, quickly, and through the shells' own functions."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conf.cli.completion import complete
from conf.cli.groups import group_options
from conf.cli.shells import SCRIPTS
from conf.keys.verbs import verbs
from tasks.models.look import OPTIONS

ROOT = Path(__file__).parents[3]


def offered(line: str) -> list[str]:
    return complete([f"pixelproof {line}"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dete", ["detector.", "detector="]),
        ("loo", ["look"]),
        ("look --", ["--json", "--stdin"]),
        ("models a", ["add"]),
        ("-m detector=npr,z", ["detector=npr,zed"]),
        ("logger=[csv,w", ["logger=[csv,wandb"]),
        ("detector.ex", ["detector.exact="]),
        ("detector=zed detector.tempe", ["detector.temperature="]),
        ("detector.tempe", []),
        ("detector.exact=", ["detector.exact=false", "detector.exact=true"]),
        ("detector.train_view.fill=t", ["detector.train_view.fill=tile"]),
        ("detector.optimizer.weight", ["detector.optimizer.weight_decay="]),
        ("detector.optimizer.para", []),
        ("trainer.max_e", ["trainer.max_epochs="]),
        ("trainer.logg", []),
        ("trainer.max_epochs=", []),
        ("logger=wandb logger.wandb.proj", ["logger.wandb.project="]),
        ("prepare.storage=", ["prepare.storage=encoded", "prepare.storage=pixels"]),
        ("tune.lr=", ["tune.lr=false", "tune.lr=true"]),
        ("++trainer.max_e", ["++trainer.max_epochs="]),
        ("--cfg ", ["all", "hydra", "job"]),
        ("--cfg=j", ["--cfg=job"]),
        ("-i defaults", ["defaults", "defaults-tree"]),
        ("--config-n", ["--config-name"]),
        ("-cn ", ["config"]),
        ("--cfg job --package detector.opt", ["detector.optimizer."]),
        ("'unfinished detector=", []),
        ("nothing.x", []),
    ],
)
def test_words_are_offered(line: str, words: list[str]) -> None:
    assert offered(line) == words


def test_options_of_look_are_offered() -> None:
    assert [word.removesuffix("=") for word in offered("look ") if word.endswith("=")] == sorted(OPTIONS)


def test_groups_tasks_and_the_recipe_chosen() -> None:
    assert offered("task=") == [f"task={name}" for name in sorted(verbs())]
    assert set(offered("experiment=")) == {f"experiment={name}" for name in [*group_options("experiment"), "null"]}
    assert "detector.backbone=" in offered("experiment=ai_genbench_rn50_probe_resize detector.")
    assert "detector.backbone=" not in offered("detector.")
    assert complete([]) == complete(["pixelproo"]) == []


def test_their_groups_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/detector").mkdir(parents=True)
    (tmp_path / "mine/detector/my.yaml").write_text("_target_: detectors.npr.detector.NPR\n")
    (tmp_path / "best.ckpt").touch()
    (tmp_path / "best model.ckpt").touch()  # would need quotes
    (tmp_path / "experiments_data/first").mkdir(parents=True)
    for flag in ("--config-dir mine", "--config-dir=mine", "-cd ./mine"):
        assert offered(f"{flag} detector=m") == ["detector=my"]
        assert "detector.exact=" in offered(f"{flag} detector=my detector.")
    assert offered("--config-dir ") == ["experiments_data/", "mine/"]
    assert offered("ckpt=be") == offered("look ckpt=be") == ["ckpt=best.ckpt"]
    (tmp_path / "models").mkdir()
    (tmp_path / "models/demo.ckpt").touch()
    assert offered("look photo.jpg ckpt=d") == ["ckpt=demo"]
    assert offered("look b") == offered("models add b") == ["best.ckpt"]
    assert offered("datamodule.path=./mi") == ["datamodule.path=./mine/"]
    assert offered("experiment_id=f") == ["experiment_id=first"]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    made = tmp_path / "bin/pixelproof"
    made.parent.mkdir()
    made.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(ROOT))}/lightning_main.py "$@"\n')
    made.chmod(0o755)
    return made


@pytest.mark.parametrize(
    ("line", "breaks", "reply"),
    [
        ("detector=npr_", " =:", ["npr_multiscale"]),
        ("detector=npr_", " ", ["detector=npr_multiscale"]),
        ("detector.exact=f", " =:", ["false"]),
        ("-m logger=[csv,w", " =:", ["[csv,wandb"]),
        ("--cfg j", " =:", ["job"]),
    ],
)
def test_bash_completes_as_readline_asks(program: Path, line: str, breaks: str, reply: list[str]) -> None:
    text = (
        f"{SCRIPTS['bash']}\nCOMP_WORDBREAKS={shlex.quote(breaks)}\nCOMP_LINE={shlex.quote(f'pixelproof {line} x')}\n"
    )
    text += f'COMP_POINT={len(f"pixelproof {line}")}\n_pixelproof {program}\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n'
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == reply


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("detector=npr_", ["detector=npr_multiscale"]),
        ("detector.exact=", ["detector.exact=false", "detector.exact=true"]),
        ("-m logger=[csv,w", ["logger=[csv,wandb"]),
        ("--config-dir 'of mine' detector=m", ["detector=my"]),
    ],
)
def test_fish_completes(program: Path, tmp_path: Path, line: str, reply: list[str]) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    write_group(tmp_path)
    text = f"set -x PATH {shlex.quote(str(program.parent))} $PATH\n{SCRIPTS['fish']}\ncomplete -C $argv[1]"
    command = ["fish", "--no-config", "-c", text, f"pixelproof {line}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == reply


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("-m detector=npr,z", "-m detector=npr,zed "),
        ("detector.ex", "detector.exact="),
        (r"logger=\[csv,w", r"logger=\[csv,wandb "),
        ("'logger=[csv,w", "'logger=[csv,wandb' "),
        ("--cfg j", "--cfg job "),
        ("--config-dir 'of mine' detector=m", "--config-dir 'of mine' detector=my "),
    ],
)
def test_zsh_completes(program: Path, tmp_path: Path, line: str, reply: str) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    write_group(tmp_path)
    (tmp_path / "completion.zsh").write_text(SCRIPTS["zsh"])
    # completion needs an interactive zsh on a terminal; ^X, typed after the tab, prints the line
    text = (
        "zmodload zsh/zpty\nzpty inner zsh -f -i\n"
        "zpty -w inner 'PS1=; autoload -Uz compinit; compinit -u -D; source ./completion.zsh'\n"
        """zpty -w inner 'shown() { print -r -- "<<$BUFFER>"">"; BUFFER=; }; zle -N shown; bindkey "^X" shown'\n"""
        "zpty -w inner 'print REA''DY'\nzpty -r inner seen '*READY*'\n"
        "zpty -w -n inner \"$1\"$'\\t\\x18'\nzpty -r inner seen '*<<*>>*'\nprint -r -- $seen\nzpty -d inner\n"
    )
    env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "TERM": "dumb"}
    command = ["zsh", "-f", "-c", text, "zsh", f"pixelproof {line}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=env)
    assert done.stdout.rpartition("<<")[2].partition(">>")[0] == f"pixelproof {reply}"


def write_group(folder: Path) -> None:
    (folder / "of mine/detector").mkdir(parents=True)
    (folder / "of mine/detector/my.yaml").write_text("_target_: detectors.npr.detector.NPR\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_valid_in_its_shell(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    file = tmp_path / f"completion.{shell}"
    file.write_text(SCRIPTS[shell])
    subprocess.run([shell, "-n", str(file)], check=True)


def test_completion_imports_neither_torch_nor_hydra() -> None:
    code = (
        "import sys, lightning_main; code = lightning_main.main(['--complete', 'pixelproof trainer.max_e']); "
        "print(code, sorted({'torch', 'hydra', 'omegaconf', 'pytorch_lightning', 'antlr4'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split("\n") == ["trainer.max_epochs=", "0 []", ""]
