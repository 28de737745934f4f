"""Common synonyms of our keys and tasks."""

TASKS = {
    "fit": "train training finetune fine_tune run learn",
    "validate": "val valid validation",
    "test": "eval evaluate evaluation benchmark score testing",
    "predict": "inference infer detect classify demo prediction label",
    "prepare": "preprocess download convert_data dataset data",
    "review": "html view page plots visualize visualise results",
    "doctor": "check lint dry_run config debug validate_config",
    "sweep": "hpo tune search optimize optimise optuna",
    "trace": "attribute attribution source",
    "explain": "gradcam heatmap saliency interpret",
    "export_tree": "export",
    "explore": "eda inspect browse statistics stats",
    "guess": "manual human quiz turing annotate",
}

KEYS = {
    "detector.optimizer.lr": "lr learning_rate base_lr optimizer.lr",
    "detector.optimizer.weight_decay": "weight_decay wd",
    "detector.optimizer": "optimizer optim solver",
    "detector.scheduler": "scheduler lr_scheduler schedule",
    "detector": "model net network arch architecture classifier method algorithm",
    "detector.backbone": "backbone encoder",
    "detector.augment": "augment augmentation augmentations aug",
    "detector.train_view.crop": "crop crop_size image_size img_size imgsize input_size resolution resize",
    "datamodule": "data dataset datasets corpus",
    "datamodule.path": "path data_path data_dir dataset_path dataroot data_root root dir input inputs images image",
    "datamodule.batch_size": "batch_size batch bs train_batch_size",
    "datamodule.num_workers": "num_workers workers n_workers nproc",
    "trainer.max_epochs": "epochs max_epochs num_epochs n_epochs epoch niter",
    "trainer.max_steps": "steps max_steps iterations",
    "trainer.devices": "devices gpus num_gpus gpu_ids",
    "trainer.accelerator": "device accelerator",
    "trainer": "gpu cpu cuda hardware",
    "trainer.precision": "precision amp fp16 bf16",
    "trainer.gradient_clip_val": "grad_clip clip gradient_clip gradient_clip_val max_grad_norm",
    "trainer.accumulate_grad_batches": "accumulate accumulation accumulate_grad_batches",
    "experiment_id": "name run_name run_id run id exp exp_name experiment_name output_name",
    "experiment": "config cfg recipe config_name preset",
    "ckpt": "weights checkpoint model_path pretrained load resume ckpt_path resume_from checkpoint_path",
    "task": "mode verb command action stage phase",
    "seed": "random_seed random_state manual_seed rng",
    "logger": "log logging wandb tensorboard tracking loggers",
    "callbacks": "callback early_stopping",
    "benchmark": "protocol evaluation bench tables",
    "metrics": "metric",
    "launcher": "slurm cluster ray launch",
}  # fmt: skip

_TASK = {word: task for task, words in TASKS.items() for word in words.split()}
_KEY = {word: key for key, words in KEYS.items() for word in words.split()}


def task_for(word: str) -> str | None:
    """The task that a common synonym stands for, or None."""
    return _TASK.get(word.lower().replace("-", "_"))


def key_for(word: str) -> str | None:
    """The dotted key that a common synonym stands for, or None."""
    return _KEY.get(word.lower().replace("-", "_"))
