"""What a verb gets to work with, and under which name it works."""

from pathlib import Path

import pytest
from synthetic_predictions import draw

from benchmarks.predictions import write_predictions
from conf.compose import compose
from contracts.errors import ConfigError
from launchers.job import Job
from launchers.local import LocalLauncher
from tasks.experiment.run import HANDED, Run, find_experiment_id
from tasks.multirun import many


def test_ids_are_found_in_this_order(tmp_path: Path) -> None:
    env = {
        "LOCAL_RANK": "1",
        HANDED: "handed",
        "WANDB_SWEEP_ID": "s",
        "WANDB_RUN_ID": "wandb",
        "SLURM_ARRAY_JOB_ID": "40",
        "SLURM_ARRAY_TASK_ID": "2",
        "SLURM_JOB_ID": "42",
    }
    found = []
    for gone in (["LOCAL_RANK"], ["WANDB_SWEEP_ID"], ["SLURM_ARRAY_JOB_ID"], ["SLURM_JOB_ID"]):
        found.append(find_experiment_id(env, tmp_path))
        for name in gone:
            del env[name]
    assert found == ["handed", "wandb", "40_2", "42"]
    assert find_experiment_id(env, tmp_path) == "1"


def test_a_main_rank_never_takes_an_id_left_in_the_environment(tmp_path: Path) -> None:
    assert find_experiment_id({HANDED: "old"}, tmp_path) == "1"
    assert find_experiment_id({HANDED: "old", "LOCAL_RANK": "0"}, tmp_path) == "2"


def test_numbers_go_up_and_are_reserved(tmp_path: Path) -> None:
    for name in ("3", "7_1", "named", "12_x"):
        (tmp_path / name).mkdir()
    assert find_experiment_id({}, tmp_path) == "8"
    assert (tmp_path / "8").is_dir()
    assert find_experiment_id({}, tmp_path) == "9"


@pytest.mark.parametrize("env", [{"LOCAL_RANK": "1"}, {"TORCHELASTIC_RUN_ID": "none", "LOCAL_RANK": "0"}])
def test_ranks_started_from_outside_want_a_name(env: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="experiment_id=NAME"):
        find_experiment_id(env, tmp_path)


def test_a_run_finds_its_id_once_and_hands_it_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(HANDED, "")
    run = Run(compose(["datamodule=folder"]))
    assert not (tmp_path / "experiments_data").exists()  # nothing is made before it is asked for
    assert run.folder == Path("experiments_data/1")
    assert run.folder == Path("experiments_data/1")
    child = Run(compose(["datamodule=folder"]))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert child.experiment_id == "1"
    assert Run(compose(["datamodule=folder", "experiment_id=mine"])).folder == Path("experiments_data/mine")


def test_a_run_builds_its_parts(tmp_path: Path) -> None:
    words = ["datamodule=folder", f"datamodule.path={tmp_path}", "trainer=cpu", "logger=[csv]", "seed=5"]
    run = Run(compose(words))
    assert run.datamodule().path == tmp_path
    assert run.datamodule().seed == run.benchmark().seed == run.config.seed == 5
    (logger,) = run.loggers(name="x/window_0", group="x")
    trainer = run.trainer(logger=[logger], callbacks=run.callbacks(folder=tmp_path), enable_checkpointing=False)
    assert trainer.loggers == [logger]
    assert logger.name == "x/window_0"


def test_jobs_never_share_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "check", lambda composed: [])  # noqa: ARG005
    conf = Path(many.__file__).parents[2] / "conf"

    def ids(*jobs: list[str]) -> list[str]:
        return [job.overrides[-1] for job in many.named([["datamodule=folder", *job] for job in jobs], conf)]

    assert ids(["experiment_id=a", "seed=1"], ["experiment_id=a", "seed=2"]) == [
        "experiment_id=a_seed-1",
        "experiment_id=a_seed-2",
    ]
    assert ids(["experiment_id=a"], ["experiment_id=b"]) == ["experiment_id=a", "experiment_id=b"]
    assert ids(["seed=1"], ["seed=2"]) == ["seed=1", "seed=2"]  # numbers, found one after another
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    assert ids(["seed=1"], ["seed=2"]) == ["experiment_id=42_seed-1", "experiment_id=42_seed-2"]


def test_jobs_of_several_tasks_are_one_experiment_named_after_its_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "check", lambda composed: [])  # noqa: ARG005
    conf = Path(many.__file__).parents[2] / "conf"
    recipes = ["experiment=npr_multiscale", "experiment=npr_forensynths"]
    jobs = [[task, recipe, "experiment_id=a"] for task in ("task=fit", "task=test") for recipe in recipes]
    ids = [job.config.experiment_id for job in many.named(jobs, conf)]
    assert ids == ["a_npr_multiscale", "a_npr_forensynths"] * 2
    seeds = [[task, f"seed={seed}", "experiment_id=a"] for seed in (1, 2) for task in ("task=fit", "task=test")]
    assert [job.config.experiment_id for job in many.named(seeds, conf)] == ["a_seed-1"] * 2 + ["a_seed-2"] * 2
    nameless = [job[:2] for job in jobs]
    assert [job.config.experiment_id for job in many.named(nameless, conf)] == ["npr_multiscale", "npr_forensynths"] * 2
    twice = [[*recipe, seed] for recipe in (["experiment=demo"], ["experiment=npr_genimage"]) for seed in ("seed=1",)]
    twice.append(["experiment=demo", "seed=2"])
    told = ["demo_seed-1", "npr_genimage", "demo_seed-2"]
    assert [job.config.experiment_id for job in many.named(twice, conf)] == told
    with pytest.raises(ConfigError, match="experiment_id=NAME"):
        many.named([["task=fit"], ["task=test"]], conf)


def test_a_sweep_over_recipes_tests_what_it_trains() -> None:
    conf = Path(many.__file__).parents[2] / "conf"
    assert many.with_tests(["experiment=glob(npr_*)"], conf) == ["task=fit,test", "experiment=glob(npr_*)"]
    for words in (
        ["experiment=demo"],
        ["experiment=glob(npr_*)", "task=fit"],
        ["experiment=demo,npr_genimage", "launcher=slurm"],
    ):
        assert many.with_tests(words, conf) == words


def test_a_sweep_of_tests_ends_in_one_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    started: list[list[str]] = []
    monkeypatch.setattr(many, "check", lambda composed: [])  # noqa: ARG005

    def launch(_self: object, jobs: list[Job]) -> int:
        started.append([" ".join(job.words) for job in jobs])
        return 0

    monkeypatch.setattr(LocalLauncher, "launch", launch)
    words = ["experiment=npr_multiscale,npr_forensynths", "task=fit,test", "experiment_id=a"]
    assert many.run_many(words, Path(many.__file__).parents[2] / "conf", Path("l.py")) == 0
    assert "no comparison: fewer than two" in capsys.readouterr().out
    assert [[word.split()[1] for word in part] for part in started] == [["task=fit"] * 2, ["task=test"] * 2]
    for seed, name in enumerate(("a_npr_multiscale", "a_npr_forensynths")):
        write_predictions(Path(f"experiments_data/{name}/window_0/predictions_test_all.npz"), draw(seed=seed % 1))
    assert many.run_many(words, Path(many.__file__).parents[2] / "conf", Path("l.py")) == 0
    assert "a_npr_forensynths: mean +0.0" in capsys.readouterr().out
    assert Path("experiments_data/a_npr/compare/compare.md").is_file()
    with pytest.raises(ConfigError, match="which does not wait"):
        many.run_many([*words, "launcher=slurm"], Path(many.__file__).parents[2] / "conf", Path("l.py"))
