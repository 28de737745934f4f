"""Every key that holds text gives back the characters that were typed, whichever way they came."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf.cli.grammar import as_word, typed_value
from conf.cli.groups import CONF, group_options
from conf.cli.words import expand, parse
from conf.compose import Composed, compose
from conf.keys.schema import VERB_OPTIONS, root_keys, verb_options
from conf.keys.signatures import signature
from conf.keys.targets import is_own
from conf.sweeps import read_sweep
from contracts.errors import ConfigError
from launchers.job import Job
from launchers.slurm import SlurmLauncher
from tasks.experiment.lock import lock_config
from tasks.experiment.recall import recalled
from tasks.experiment.run import LOCK

BARE = ("12345_2", "1e5", "007", "1_000", "yes", "2026_11_27", "12.50", "True", "1e-3", "0x1F", "nan", "12")
QUOTED = ("a=b", "ü #'\"", "a,b", " x ", "null and void", "it's", "back\\slash")
TEXTS = (*BARE, *QUOTED)

GROUPS = [name for name, field in root_keys().items() if field.metadata.get("group") and name != "local"]
ROUNDS = max(len(group_options(group)) for group in GROUPS)

ONE = re.compile(r"(str|Path)( \| (str|Path|None))*")
LIST = re.compile(r"(list|Sequence|tuple)\[(str|Path)(, \.\.\.)?\]( \| None)?")
MAPPING = re.compile(r"(dict|Mapping)\[str, str( \| None)?\]( \| None)?")


def kind(annotation: str) -> str:
    for name, pattern in (("one", ONE), ("list", LIST), ("mapping", MAPPING)):
        if pattern.fullmatch(annotation):
            return name
    return ""


def schema_keys() -> Iterator[tuple[str, str]]:
    for name, field in root_keys().items():
        if name in VERB_OPTIONS:
            for option, inner in verb_options(name).items():
                if not inner.metadata["choices"]:
                    yield (
                        f"{name}.{option}",
                        getattr(inner.type, "__name__", "") * (inner.type is str) or str(inner.type),
                    )
        elif "help" in field.metadata and name not in ("experiment", "task"):
            yield name, "str" if field.type is str else str(field.type)


def node_keys(node: Any, where: str) -> Iterator[tuple[str, str]]:
    """Arguments of the parts of a node, those its YAML file leaves out too."""
    if not isinstance(node, dict):
        return
    if is_own(str(node.get("_target_", ""))):
        for name, parameter in signature(node["_target_"]).parameters.items():
            yield f"{where}.{name}", parameter.annotation
    for key, inner in node.items():
        yield from node_keys(inner, f"{where}.{key}")


def chosen(number: int) -> list[str]:
    """One option of each group; every option in one of the rounds."""
    options = {group: group_options(group) for group in GROUPS}
    return [f"{group}={names[number % len(names)]}" for group, names in options.items() if names]


def text_keys(number: int) -> dict[str, str]:
    composed = compose(chosen(number))
    found = dict(schema_keys()) if number == 0 else {}
    for group in GROUPS:
        if number < len(group_options(group)):
            found |= dict(node_keys(composed.resolved[group], group))
    return {key: kind(annotation) for key, annotation in found.items() if kind(annotation)}


def texts_for(keys: dict[str, str], number: int) -> dict[str, Any]:
    """One text after another, four for a list."""
    given: dict[str, Any] = {}
    for place, (key, of) in enumerate(keys.items()):
        four = [TEXTS[(3 * place + number + step) % len(TEXTS)] for step in range(4)]
        given[key] = four[0] if of == "one" else four if of == "list" else {"k": four[0], "1_0": "2_0"}
    return given


def value_word(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(as_word, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{as_word(each)}" for key, each in value.items()) + "}"
    return as_word(value)


def at(composed: Composed, key: str) -> Any:
    node: Any = composed.resolved
    for name in key.split("."):
        node = node[name]
    return node


def kept(composed: Composed, given: dict[str, Any]) -> dict[str, Any]:
    """What did not come back; a mapping may hold more than was given."""
    lost = {}
    for key, value in given.items():
        got = at(composed, key)
        if isinstance(value, dict):
            got = {name: got.get(name) for name in value}
        if got != value:
            lost[key] = (value, got)
    return lost


@pytest.fixture(scope="module", params=range(ROUNDS))
def case(request: pytest.FixtureRequest) -> tuple[list[str], dict[str, Any]]:
    """Words that choose parts, and a text for every key of theirs."""
    keys = text_keys(request.param)
    assert request.param or {"experiment_id", "ckpt", "compare.inputs", "sweep.words"} <= keys.keys()
    return chosen(request.param), texts_for(keys, request.param)


def test_texts_come_back_from_every_way(
    case: tuple[list[str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parts, given = case
    words = [*parts, *(f"{key}={value_word(value)}" for key, value in given.items())]
    composed = compose(words)
    assert kept(composed, given) == {}
    # -m: what a list of values becomes is what was typed
    first = [word for key, value in given.items() for word in expand([f"{key}={value_word(value)},other"])[0]]
    assert kept(compose([*parts, *first]), given) == {}
    # a lock file, and the words that it brings back
    folder = tmp_path / "experiments_data" / "mine"
    lock_config(folder, composed.resolved, composed.overrides)
    lock_config(folder, composed.resolved, composed.overrides)
    locked = yaml.safe_load((folder / LOCK).read_text(encoding="utf-8"))
    assert locked["config"] == composed.resolved
    assert locked["command"] == words
    # a SLURM job
    assert handed_to_slurm(tmp_path, monkeypatch, words) == words


def handed_to_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> list[str]:
    """Words of the command in the file that the batch script's Python reads."""
    submission = pytest.importorskip("submitit.core.utils")
    for name in ("sbatch", "srun"):
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\necho Submitted batch job 7\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    job = Job(tuple(words), Path("program.py"), trains=False)
    SlurmLauncher(folder=str(folder / "slurm"), after=["12345_2"]).launch([job])
    (pickled,) = (folder / "slurm").glob("*_submitted.pkl")
    command = submission.DelayedSubmission.load(pickled).args[1]
    assert "afterok:12345_2" in next((folder / "slurm").glob("*.sh")).read_text()
    return list(command[command.index("program.py") + 1 : -1])


@pytest.mark.parametrize("key", ["experiment_id", "datamodule.path", "datamodule.columns.x"])
def test_texts_come_back_from_a_list_of_values_and_from_a_sweep_file(key: str, tmp_path: Path) -> None:
    parts = ["datamodule=parquet", "logger=[csv]"]
    jobs = expand([*parts, f"{key}={','.join(map(as_word, TEXTS))}"])
    assert [at(compose(job), key) for job in jobs] == list(TEXTS)
    words = [job[-1] for job in jobs]
    listed = ", ".join([*BARE, *(f"'{text}'".replace("it's", "it''s").replace("#'\"", "#''\"") for text in QUOTED)])
    file = tmp_path / "search.yaml"
    file.write_text(
        "method: grid\nmetric: {name: val/auroc, goal: maximize}\n"
        f"command: ['${{program}}', {', '.join(map(repr, parts))}, '${{args_no_hyphens}}']\n"
        f"parameters:\n  {key}: {{values: [{listed}]}}\n",
        encoding="utf-8",
    )
    sweep = read_sweep(file)
    assert sweep.parameters[0].values == TEXTS
    assert [typed(sweep.command({key: value})[-1]) for value in TEXTS] == [typed(word) for word in words]
    theirs = sweep.raw["parameters"][key]["values"]  # as W&B's agent writes them
    assert [typed(f"{key}={value}") for value in theirs] == list(TEXTS)


def typed(word: str) -> Any:
    (override,) = parse([word])
    return typed_value(override)


def test_texts_come_back_from_yaml_files_and_from_a_lock(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bare = ", ".join(BARE)
    (folder / "experiment/2026_11_27.yaml").write_text(
        f"""# @package _global_
experiment_id: 12345_2
seed: 1_000
review: {{inputs: [{bare}], out: 007}}
datamodule: {{path: 1e5, num_workers: 0x2}}
detector: {{exact: yes, optimizer: {{lr: 1e-4}}}}
trainer: {{default_root_dir: 2026_11_27}}
local: {{run: 1_2, more: "${{local.run}}/x"}}
prepare: {{out: "${{local.run}}"}}
audit: {{out: "${{local.more}}"}}
"""
    )
    words = ["experiment=2026_11_27"]
    composed = compose(words, folder)
    wanted = {
        "experiment": "2026_11_27",
        "experiment_id": "12345_2",
        "seed": 1000,
        "review.inputs": list(BARE),
        "review.out": "007",
        "datamodule.path": "1e5",
        "datamodule.num_workers": 2,
        "detector.exact": True,
        "detector.optimizer.lr": 1e-4,
        "trainer.default_root_dir": "2026_11_27",
        "prepare.out": "1_2",
        "audit.out": "1_2/x",
    }
    assert {key: at(composed, key) for key in wanted} == wanted
    lock_config(Path("experiments_data/12345_2"), composed.resolved, (*words, "datamodule.path=007"))
    assert recalled(["task=test", "experiment_id=12345_2"])[:2] == ["experiment=2026_11_27", "datamodule.path=007"]


def test_numbers_null_quotes_lists_and_interpolations_stay_what_they_were() -> None:
    composed = compose(
        [
            "datamodule=parquet",
            "seed=1_000",
            "trainer.max_epochs=1_0",
            "detector.optimizer.lr=1e-4",
            "trainer.limit_train_batches=0.50",
            "detector.exact=TRUE",
            "experiment_id=null",
            "ckpt='12'",
            "datamodule.path=${experiment_id}",
            'predict.out="1_0"',
            "review.inputs=[]",
            "prepare.out='null'",
            "trainer.devices=[0,1]",
            "trainer.precision=32",
            "compare.out=str(1_0)",
        ]
    )
    wanted = {
        "seed": 1000, "trainer.max_epochs": 10, "detector.optimizer.lr": 1e-4, "trainer.limit_train_batches": 0.5,
        "detector.exact": True, "experiment_id": None, "ckpt": "12", "datamodule.path": None, "predict.out": "1_0",
        "review.inputs": [], "prepare.out": "null", "trainer.devices": [0, 1], "trainer.precision": 32,
        "compare.out": "1_0",
    }  # fmt: skip
    assert {key: at(composed, key) for key in wanted} == wanted
    assert expand(["seed=range(1,3)", "trainer.max_epochs=sort(3,1)"])[0] == ["seed=1", "trainer.max_epochs=1"]
    assert expand(["datamodule.path=choice(1_0,true)"]) == [["datamodule.path=1_0"], ["datamodule.path=true"]]


def test_a_launcher_refuses_what_is_no_job_id() -> None:
    assert SlurmLauncher(after=["12345_2", "7"]).after == ("12345_2", "7")
    with pytest.raises(ConfigError, match="not the id of a SLURM job"):
        SlurmLauncher(after=["seven"])


def test_every_option_of_every_group_is_in_a_round() -> None:
    assert {word for number in range(ROUNDS) for word in chosen(number)} == {
        f"{group}={name}" for group in GROUPS for name in group_options(group)
    }
    assert (CONF / "launcher/slurm.yaml").is_file()
