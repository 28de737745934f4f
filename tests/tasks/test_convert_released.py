"""All twelve model files of AI-GenBench, with either pipeline file, become the experiments we have of the same names.

The files below are written from a table of the keys and values that the released ones hold.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

import lightning_main
from benchmarks.ai_genbench.foreign_config import converted
from benchmarks.ai_genbench.foreign_merge import merged, read_arguments
from conf.check import check
from conf.cli.groups import CONF
from conf.compose import compose
from contracts.errors import ConfigError
from tasks.convert import experiment

NULL = None
WHOLE: dict[str, Any] = {
    "seed_everything": True,
    "trainer": {
        "accelerator": "auto", "strategy": "auto", "devices": "auto", "precision": "32-true", "max_steps": -1,
        "max_epochs": 1, "min_epochs": 1, "overfit_batches": 0.0, "val_check_interval": NULL,
        "check_val_every_n_epoch": 1, "num_sanity_val_steps": 0, "log_every_n_steps": 10, "enable_checkpointing": True,
        "enable_progress_bar": NULL, "enable_model_summary": NULL, "inference_mode": True,
        "use_distributed_sampler": True, "sync_batchnorm": False, "reload_dataloaders_every_n_epochs": 0,
        "default_root_dir": NULL, "fast_dev_run": False, "gradient_clip_val": 1, "gradient_clip_algorithm": NULL,
        "logger": [
            {
                "class_path": "lightning.pytorch.loggers.tensorboard.TensorBoardLogger",
                "init_args": {"save_dir": "logs"},
            },
            {
                "class_path": "lightning.pytorch.loggers.WandbLogger",
                "init_args": {"project": "AIGenBench", "save_dir": "./experiments_logs/wandb_logs"},
            },
        ],
        "callbacks": [
            {
                "class_path": "training_metrics.DeepFakePredictionsDump",
                "init_args": {"gt_keys": ["label", "generator", "identifier"], "pred_keys": ["prediction", "loss"]},
            },
            {"class_path": "training_metrics.MetricsManager"},
        ],
    },
    "data": {
        "class_path": "lightning_data_modules.AIGenBenchPipeline",
        "init_args": {
            "dataset_loader": {
                "class_path": "lightning_data_modules.datasets.AIGenBenchDatasetLoader",
                "init_args": {"dataset_path": "somewhere/else"},
            },
            "train_batch_size": 128, "eval_batch_size": 128, "num_workers": 8, "train_subset_size": 0,
            "validation_subset_size": 0, "deterministic_augmentations": True, "augmentation_factor": 4,
            "augmentations_base_seed": 4321, "maximum_processing_size": 1080,
        },
    },
}  # fmt: skip
SLIDING: dict[str, Any] = {
    **WHOLE,
    "trainer": {
        **WHOLE["trainer"],
        "callbacks": [
            *WHOLE["trainer"]["callbacks"],
            *(
                {
                    "class_path": "training_metrics.MetricsManagerSlidingWindow",
                    "init_args": {"compute_mechanism": mechanism},
                }
                for mechanism in ("immediate_future", "growing", "growing_whole")
            ),
        ],
    },
    "experiment_info": {
        "sliding_windows_definition": {
            "n_generators_per_window": 4,
            "current_window": NULL,
            "benchmark_type": "cumulative",
        }
    },
}
BATCHES: dict[tuple[str, str], tuple[int, int, int]] = {
    ("RN50_probe", "crop"): (64, 64, 1), ("RN50_probe", "resize"): (512, 512, 1), ("RN50_tune", "crop"): (64, 64, 8),
    ("RN50_tune", "resize"): (64, 64, 8), ("clipL14commonpool_probe", "crop"): (64, 64, 1),
    ("clipL14commonpool_probe", "resize"): (512, 512, 1), ("clipL14commonpool_tune", "crop"): (8, 64, 64),
    ("clipL14commonpool_tune", "resize"): (16, 16, 32), ("dinov2_vitl14_probe", "crop"): (64, 64, 8),
    ("dinov2_vitl14_probe", "resize"): (64, 64, 8), ("dinov2_vitl14_tune", "crop"): (8, 64, 64),
    ("dinov2_vitl14_tune", "resize"): (16, 24, 32),
}  # fmt: skip
"""Images a batch in training and in evaluation, and batches accumulated, by model and way of cropping."""
OURS = {"RN50": "rn50", "clipL14commonpool": "clip_vitl14", "dinov2_vitl14": "dinov2_vitl14"}


def model_file(name: str, cropping: str) -> dict[str, Any]:
    """One of the twelve."""
    train, evaluation, accumulated = BATCHES[name, cropping]
    strategies = ("training_cropping_strategy", "evaluation_cropping_strategy") if cropping == "resize" else ()
    return {
        "trainer": {
            "accumulate_grad_batches": accumulated,
            "strategy": "ddp_find_unused_parameters_true",
            "logger": [{"init_args": {"save_dir": "mine"}}, {"init_args": {"project": "theirs"}}],
        },
        "data": {"init_args": {"train_batch_size": train, "eval_batch_size": evaluation}},
        "model": {
            "class_path": "algorithms.BaseDeepfakeDetectionModel",
            "init_args": {
                "model_name": name,
                "optimizer": {
                    "class_path": "torch.optim.SGD",
                    "init_args": {"lr": 0.001, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0001},
                },
                "scheduler": "OneCycleLR",
                "model_input_size": 224,
                "classification_threshold": 0.5,
                **dict.fromkeys(strategies, "resize"),
            },
        },
    }


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Our folder of configuration, in which an experiment can be put."""
    folder = tmp_path / "conf"
    (folder / "experiment").mkdir(parents=True)
    for entry in CONF.iterdir():
        if entry.name != "experiment":
            (folder / entry.name).symlink_to(entry)
    return folder


def _write(folder: Path, **files: Any) -> list[str]:
    paths = [folder / f"{name}.yaml" for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_text(yaml.safe_dump(content))
    return list(map(str, paths))


@pytest.mark.parametrize("pipeline", ["whole", "sliding"])
@pytest.mark.parametrize(("name", "cropping"), BATCHES)
def test_each_equals_our_experiment_of_its_name(
    tmp_path: Path, conf: Path, name: str, cropping: str, pipeline: str
) -> None:
    local = {"dataset_path": str(tmp_path), "trainer": {"precision": "bf16-mixed"}}
    parts = [WHOLE if pipeline == "whole" else SLIDING, model_file(name, cropping), local]
    files = _write(tmp_path, pipeline=parts[0], model=parts[1], local=parts[2])
    (conf / "experiment/mine.yaml").write_text(experiment(converted(read_arguments(files)), files))
    found = compose(["experiment=mine"], conf)
    assert check(found) == []
    model, _, mode = name.rpartition("_")
    ours = f"ai_genbench_{OURS[model]}_{mode}_{'multicrop' if cropping == 'crop' else 'resize'}"
    wanted = compose([f"experiment={ours}", f"datamodule.path={tmp_path}"]).resolved
    if cropping == "crop":  # these files name no strategy, so that the original resizes
        wanted["benchmark"] |= {"train_cropping": "resize", "eval_cropping": "resize"}
    if pipeline == "whole":
        wanted["benchmark"] |= {"mode": "full"}
    wanted["trainer"] |= {"precision": "bf16-mixed", "strategy": "ddp_find_unused_parameters_true"}
    for part in ("detector", "benchmark", "datamodule", "trainer", "seed"):
        assert found.resolved[part] == wanted[part], part
    assert found.resolved["logger"]["wandb"]["project"] == "theirs"
    assert found.resolved["logger"]["wandb"]["save_dir"] == "./experiments_logs/wandb_logs"
    assert found.resolved["logger"]["tensorboard"]["save_dir"] == "mine"
    assert set(found.resolved["logger"]) == {"tensorboard", "wandb"}


def test_the_task_writes_it_and_a_command_line_of_theirs_is_read(
    tmp_path: Path, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = _write(tmp_path, pipeline=SLIDING, model=model_file("RN50_tune", "crop"), local={"dataset_path": "d"})
    out = conf / "experiment/mine.yaml"
    inputs = ",".join([*files, "'--trainer.devices=2'", "'--data.train_batch_size=32'", "'--model.optimizer.lr=1e-2'"])
    assert lightning_main.main(["task=convert", f"convert.inputs=[{inputs}]", f"convert.out={out}"]) == 0
    assert "docs/ai_genbench.md describes the paper's crops" in capsys.readouterr().out
    resolved = compose(["experiment=mine"], conf).resolved
    assert resolved["datamodule"]["batch_size"] == 32
    assert resolved["benchmark"]["global_batch"] == 32 * 8 * 2
    assert resolved["detector"]["optimizer"]["lr"] == 0.01


def test_a_whole_command_in_one_word(tmp_path: Path) -> None:
    files = _write(tmp_path, pipeline=SLIDING, model=model_file("RN50_tune", "resize"))
    command = (
        f"python lightning_main.py fit --config {files[0]} --config={files[1]} --experiment_info.experiment_id 12_3"
    )
    found = converted(read_arguments([f"{command} --dataset_path /data --seed_everything 7"]))
    assert (found["experiment_id"], found["seed"], found["datamodule"]["path"]) == ("12_3", 7, "/data")


def test_later_files_win_and_the_top_path_wins_over_all() -> None:
    nested = {"data": {"init_args": {"dataset_loader": {"init_args": {"dataset_path": "nested"}}}}}
    model = model_file("RN50_tune", "resize")
    for order in ([{"dataset_path": "top"}, WHOLE, model, nested], [WHOLE, model, nested, {"dataset_path": "top"}]):
        assert converted(order)["datamodule"]["path"] == "top"
    assert converted([WHOLE, model, nested])["datamodule"]["path"] == "nested"
    small, large = {"data": {"init_args": {"eval_batch_size": 1}}}, {"data": {"init_args": {"eval_batch_size": 2}}}
    assert converted([WHOLE, model, small, large])["datamodule"]["eval_batch_size"] == 2
    assert converted([WHOLE, model, large, small])["datamodule"]["eval_batch_size"] == 1


def test_lists_are_replaced_unless_their_entries_go_on() -> None:
    csv = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "c"}}
    model = model_file("RN50_tune", "resize")
    del model["trainer"]["logger"]
    assert converted([WHOLE, model, {"trainer": {"logger": [csv]}}])["logger"] == {"csv": {"save_dir": "c"}}
    assert set(converted([WHOLE, model, {"trainer": {"logger+": [csv]}}])["logger"]) == {"tensorboard", "wandb", "csv"}
    only_first = converted([WHOLE, model, {"trainer": {"logger": [{"init_args": {"save_dir": "x"}}]}}])["logger"]
    assert only_first["tensorboard"]["save_dir"] == "x"
    assert only_first["wandb"]["project"] == "AIGenBench"
    assert converted([WHOLE, model, {"trainer": {"logger": False}}])["logger"] == {}
    with pytest.raises(ConfigError, match=r"trainer\.logger\[2\] has no class_path"):
        converted([WHOLE, model, {"trainer": {"logger": [{}, {}, {"init_args": {"save_dir": "x"}}]}}])


def test_an_optimiser_given_again_keeps_what_it_takes() -> None:
    change = {"model": {"init_args": {"optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-4}}}}}
    optimizer = converted([WHOLE, model_file("RN50_tune", "resize"), change])["detector"]["optimizer"]
    assert optimizer == {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 1e-4, "weight_decay": 1e-4}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"trainer": {"overfit_batches": 2}}, "trainer.overfit_batches=2: only 0"),
        ({"trainer": {"fast_dev_run": True}}, "trainer.fast_dev_run=True: only False"),
        (
            {"data": {"init_args": {"dataset_loader": {"class_path": "my.Loader"}}}},
            "dataset_loader.class_path='my.Loader'",
        ),
        (
            {"data": {"init_args": {"dataset_loader": {"init_args": {"splits": 1}}}}},
            "data.dataset_loader.splits is unknown",
        ),
        ({"data": {"init_args": {"validation_subset_size": 0.1}}}, "validation_subset_size=0.1: only 0"),
        ({"model": {"class_path": "algorithms.Mine"}}, "only BaseDeepfakeDetectionModel or SoftTrain"),
        ({"model": {"init_args": {"scheduler": "StepLR"}}}, "lr_scheduler.class_path='StepLR': only OneCycleLR"),
        ({"model": {"init_args": {"optimizer": {"init_args": {"lrr": 1}}}}}, "optimizer.lrr is unknown; did you mean"),
        ({"model": {"init_args": {"model_name": NULL}}}, "model.model_name is not given"),
        ({"trainer": {"logger": [{"init_args": {"colour": 1}}]}}, "TensorBoardLogger.colour is unknown"),
        ({"trainer": {"callbacks": [{"init_args": {"colour": 1}}]}}, "DeepFakePredictionsDump.colour is unknown"),
        ({"dataset_paths": "x"}, "dataset_paths is unknown"),
        ({"experiment_info": {"sliding_windows_definition": {"current_window": 3}}}, "current_window=3: only None"),
    ],
)
def test_what_has_no_counterpart_is_named(change: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        converted([SLIDING, model_file("RN50_tune", "resize"), change])
    assert part in str(caught.value)


def test_numbers_are_read_as_theirs_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "a: 1e-3\nb: 12\nc: 1_000\nd: -0.5\ne: '1e-3'\nf: 2026-11-27x\ng: .inf\nexperiment_id: 1e5\n"
    )
    assert merged(read_arguments([str(tmp_path / "a.yaml")])) == {
        "a": 1e-3, "b": 12, "c": 1000, "d": -0.5, "e": "1e-3", "f": "2026-11-27x", "g": float("inf"),
        "experiment_id": "1e5",
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"--trainer\.devices has no value"):
        read_arguments(["--trainer.devices", "--config=x.yaml"])
