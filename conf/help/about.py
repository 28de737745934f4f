"""The texts of ``--version`` and ``--hydra-help``."""

from importlib.metadata import PackageNotFoundError, version

from conf.cli.flags import FLAGS, NOT_HERE
from conf.cli.words import HYDRAS
from conf.help.overview import section

HYDRAS_FLAGS = ("--help", "--hydra-help", "--version", "--cfg", "--resolve", "--package", "--multirun", "--config-dir",
                "--config-name", "--info")  # fmt: skip


def versions() -> str:
    """Releases of PixelProof, Hydra and OmegaConf."""

    def of(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "(not installed; run from a checkout)"

    return f"PixelProof {of('pixelproof')} (Hydra {of('hydra-core')}, OmegaConf {of('omegaconf')})"


def hydra_help() -> str:
    """Which of Hydra's flags and settings work here, and what replaces the others."""
    works = {
        f"{', '.join(names)} {value}".strip(): text
        for names, (value, text) in FLAGS.items()
        if names[0] in HYDRAS_FLAGS
    }
    parts = (
        "PixelProof composes its configuration with Hydra, but runs tasks itself.",
        section("Hydra's flags that work here", works),
        section("Hydra's flags that do not work here", {", ".join(names): step for names, step in NOT_HERE.items()}),
        section("Hydra's settings that do not work here", HYDRAS),
    )
    return "\n\n".join(parts)
