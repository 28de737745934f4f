"""W&B is a mirror, offline unless a key says otherwise."""

import os
from pathlib import Path

import pytest

from callbacks.reporting.wandb_logger import has_key, wandb_logger


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any trace of W&B."""
    for name in [name for name in os.environ if name.startswith("WANDB_")] + ["NETRC"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def offline(folder: Path, **given: bool) -> bool:
    return bool(wandb_logger("exp/window_0", "exp", str(folder / "logs"), **given)._offline)


def test_without_a_key_it_is_offline(nobody: Path) -> None:
    assert not has_key()
    assert offline(nobody)


@pytest.mark.parametrize(
    ("host", "url", "known"),
    [("api.wandb.ai", None, True), ("other.org", None, False), ("w.lab.org", "https://w.lab.org:8080", True)],
)
def test_a_key_in_netrc_counts_for_its_own_host(
    host: str, url: str | None, known: bool, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = nobody / ".netrc"
    file.write_text(f"machine {host}\n login user\n password {'0' * 40}\n")
    file.chmod(0o600)
    if url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
    assert has_key() is known
    assert offline(nobody) is not known


def test_a_broken_netrc_is_no_key(nobody: Path) -> None:
    (nobody / ".netrc").write_text("machine\nnonsense nonsense\n")
    assert not has_key()


@pytest.mark.parametrize(
    ("mode", "key", "result"), [("offline", True, True), ("online", False, False), ("", True, False), ("", False, True)]
)
def test_the_mode_in_the_environment_decides_before_the_key(
    mode: str, key: bool, result: bool, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert offline(nobody) is result
    assert offline(nobody, offline=True)


def test_a_restarted_stage_continues_with_its_run(nobody: Path) -> None:
    logger = wandb_logger("exp/window_3", "exp", str(nobody / "logs"))
    given = logger._wandb_init
    assert (given["id"], given["group"], given["resume"], given["job_type"]) == (
        "exp-window_3",
        "exp",
        "allow",
        "train",
    )
    assert (nobody / "logs").is_dir()
