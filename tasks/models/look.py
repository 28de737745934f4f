"""``pixelproof look photo.jpg``: a verdict on each image, with each checkpoint's vote and scores after deliveries."""

import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from conf.cli.hints import WEIGHTS
from contracts.errors import ConfigError
from contracts.files import write_atomically
from contracts.view import SampleFunction
from contracts.words import printable
from datamodules.deliveries.cache import delivered
from datamodules.deliveries.deliveries import chosen
from tasks.models.model import Model, load
from tasks.models.registry import entries

HELP = {"-h", "--help"}
LOOK_HELP = """pixelproof look IMAGE|FOLDER … [OPTION=VALUE …] [--json] [--stdin]

Prints a verdict on each image: generated, real, or unsure if checkpoints or deliveries disagree.

Options
  ckpt=NAME|FILE    checkpoints to score with, as [a,b] for several; all registered ones by default
  deliveries=NAMES  changes to each image that are scored too, or none; by default
                    {deliveries}
  maps=FOLDER       folder for maps of what the detectors respond to
  --json            print one line of JSON per image
  --stdin           also read paths from standard input, one per line

The exit code is 0, 1 if an image or a checkpoint could not be read, or 2 if an argument is wrong."""
MODELS_HELP = """pixelproof models                                            lists the registered checkpoints
pixelproof models add FILE [name=NAME] [licence=TEXT]        copies a checkpoint to models/ and registers it

To remove one, delete models/NAME.json and models/NAME.ckpt."""
OPTIONS = ("ckpt", "deliveries", "maps")
DELIVERIES = ("messenger-1", "sieve-web", "jpeg-50", "resize-0.5")


@dataclass(frozen=True)
class Look:
    """The result for one image."""

    image: str  # its path
    verdict: str
    """"generated", "real", or "unsure" where checkpoints or deliveries disagree, a checkpoint could not score it, or
    its calibration finds the score undecidable; "" if none could score it."""
    score: float | None  # mean P(generated) of the checkpoints that scored it, or None
    threshold: float | None  # mean of their thresholds
    votes: dict[str, float]  # P(generated) by checkpoint
    deliveries: dict[str, float]  # mean P(generated) by delivery
    flips: list[str]  # deliveries that change the verdict of a checkpoint
    maps: list[str]  # files written
    error: str  # why it, or by which checkpoints it, was not scored; else ""
    calibrated: dict[str, float] = field(default_factory=dict)
    """Calibrated P(generated) by checkpoint, of those with a calibration (``task=calibrate``)."""
    undecidable: list[str] = field(default_factory=list)  # checkpoints by whose calibration the score is undecidable

    def __str__(self) -> str:
        image = printable(self.image)
        if self.score is None:
            return f"{image}: {printable(self.error)}"
        lines = [f"{image}: {self.verdict}, P(generated) {self.score:.3f} (threshold {self.threshold:.3f})"]
        if len(self.votes) > 1:
            lines.append("  votes: " + ", ".join(f"{name} {score:.3f}" for name, score in self.votes.items()))
        if self.calibrated:
            shown = ", ".join(f"{name} {p:.3f}" for name, p in self.calibrated.items())
            names = ", ".join(self.undecidable)
            lines.append(f"  calibrated: {shown}" + (f"; undecidable by {names}" if names else ""))
        if self.deliveries:
            values = list(self.deliveries.values())
            changed = f"changes after {', '.join(self.flips)}" if self.flips else "does not change"
            number = "1 delivery" if len(values) == 1 else f"{len(values)} deliveries"
            lines.append(
                f"  after {number}: {min(values):.3f} to {max(values):.3f}, median {median(values):.3f}; "
                f"the decision {changed}"
            )
        lines += [f"  not scored by {printable(self.error)}"] if self.error else []
        return "\n".join([*lines, *(f"  map: {printable(file)}" for file in self.maps)])


def look(words: Sequence[str]) -> int:
    """Scores the images that the words name, and prints a verdict on each.

    Returns:
        0; 1 if a checkpoint could not score an image.

    Raises:
        ConfigError: no image is named, or an option or checkpoint does not exist.
    """
    if HELP & set(words):
        print(LOOK_HELP.format(deliveries=",".join(DELIVERIES)))
        return 0
    flags, paths, options = parsed(words)
    if not paths and "--stdin" not in flags:
        raise ConfigError(
            "look needs an image", "Write pixelproof look photo.jpg, or --stdin to read one path per line."
        )
    names = _listed(options.get("deliveries", ",".join(DELIVERIES)))
    ways = {} if names in ([], ["none"]) else delivered(chosen(names), None)
    models = _models(_listed(options.get("ckpt", "")))
    maps = Path(options["maps"]) if "maps" in options else None
    if maps and not any(model.has_maps for model in models.values()):
        raise ConfigError(f"maps={maps}, but none of the detectors has maps", "Leave maps= out.")
    if "--json" not in flags:
        for name, model in models.items():
            where = "chosen on validation" if model.loaded.threshold is not None else "no validation threshold"
            print(f"{name}: {type(model.loaded.detector).__name__}, threshold {model.threshold:.3f} ({where})")
    failed = False
    for batch in _batches(paths, "--stdin" in flags):
        for one in looks(models, batch, ways, maps):
            print(json.dumps(asdict(one)) if "--json" in flags else one, flush=True)
            failed |= bool(one.error)
    return int(failed)


def looks(
    models: dict[str, Model],
    images: Sequence[Any],
    ways: Mapping[str, SampleFunction],
    maps: Path | None = None,
    **loading: Any,
) -> list[Look]:
    """The results of several checkpoints on images, in the order given.

    Args:
        models: checkpoints by name.
        images: paths (a folder stands for all images below it), or anything else that `Model.score` takes.
        ways: deliveries by name.
        maps: folder for maps of the detectors that have some, of images given by paths; or None.
        **loading: options of the data module, as `Model.score` takes them.
    """
    plain = {name: model.score(list(images), **loading) for name, model in models.items()}
    again = {
        way: {name: m.score(list(images), delivery=one, **loading) for name, m in models.items()}
        for way, one in ways.items()
    }
    found = []
    first = next(iter(plain.values()))
    for row in range(len(first)):
        image = str(first["where"][row])
        errors = {name: str(frame["error"][row]) for name, frame in plain.items() if frame["error"][row]}
        votes = {name: float(frame["score"][row]) for name, frame in plain.items() if name not in errors}
        reasons = set(errors.values())
        error = reasons.pop() if len(reasons) == 1 and not votes else "; ".join(f"{n}: {e}" for n, e in errors.items())
        if not votes:
            found.append(Look(image, "", None, None, {}, {}, [], [], error))
            continue
        calls = {name: votes[name] > models[name].threshold for name in votes}
        moved = {way: [float(frames[name]["score"][row]) for name in votes] for way, frames in again.items()}
        moved = {way: scores for way, scores in moved.items() if all(score == score for score in scores)}
        flips = [
            way
            for way, scores in moved.items()
            if any((score > models[name].threshold) != calls[name] for name, score in zip(votes, scores, strict=True))
        ]
        calibrated, undecidable = _calibrated(models, plain, calls, row)
        sure = len(set(calls.values())) == 1 and not flips and not errors and not undecidable
        verdict = ("generated" if all(calls.values()) else "real") if sure else "unsure"
        threshold = sum(models[name].threshold for name in votes) / len(votes)
        means = {way: sum(scores) / len(scores) for way, scores in moved.items()}
        files = [] if maps is None else list(_mapped({name: models[name] for name in votes}, image, maps))
        mean = sum(votes.values()) / len(votes)
        found.append(Look(image, verdict, mean, threshold, votes, means, flips, files, error, calibrated, undecidable))
    return found


def _calibrated(
    models: Mapping[str, Model], frames: Mapping[str, Any], calls: Mapping[str, bool], row: int
) -> tuple[dict[str, float], list[str]]:
    """Calibrated P(generated) of an image by checkpoint, and the checkpoints that find its score undecidable."""
    found, undecidable = {}, []
    for name, generated in calls.items():
        calibration = models[name].calibration
        if calibration is None:
            continue
        logit = np.array([frames[name]["logit"][row]], dtype=np.float64)
        found[name] = float(calibration.probability(logit)[0])
        if calibration.band is not None and calibration.band.unsure(logit, np.array([generated]))[0]:
            undecidable.append(name)
    return found, undecidable


def _mapped(models: Mapping[str, Model], image: str, folder: Path) -> Iterator[str]:
    """Writes the maps of the detectors that have some, and gives their files."""
    from benchmarks.drawing.heat import draw  # slow: Matplotlib
    from tasks.scoring.map_files import file_name

    folder.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        for title, values in model.map(image).items() if model.has_maps else ():
            file = folder / f"{file_name(Path(image).name)}-{name}-{title}.png"
            write_atomically(file, draw(values, title))
            yield str(file)


def parsed(words: Sequence[str]) -> tuple[set[str], list[str], dict[str, str]]:
    """Flags, images, and options ``key=value``; a name with an equals sign is an image if there is such a file."""
    flags = {word for word in words if word.startswith("--")}
    if unknown := sorted(flags - {"--json", "--stdin"}):
        raise ConfigError(f"look has no flag {unknown[0]}", "See pixelproof look --help.")
    others = [word for word in words if word not in flags]
    options = [word for word in others if word.partition("=")[0] in OPTIONS and "=" in word]
    paths = [word for word in others if word not in options]
    for path in paths:
        if not path:
            raise ConfigError("the name of an image is empty", "Write . for all images of the current folder.")
        if path == "-" and not Path(path).exists():
            raise ConfigError("look reads no image from standard input", "Save it, or give --stdin to read paths.")
        if "=" in path and "://" not in path and not Path(path).exists():
            raise ConfigError(
                f"look has no option {path.partition('=')[0]!r}, and {path} is not a file",
                "See pixelproof look --help.",
            )
    keys = [word.partition("=")[0] for word in options]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise ConfigError(f"{twice[0]}= is given twice", f"Give it once; for several values write {twice[0]}=[a,b].")
    if empty := [word for word in options if word.endswith("=")]:
        raise ConfigError(f"{empty[0]} has no value", f"Leave it out, or see {empty[0]} in pixelproof look --help.")
    return flags, paths, dict(word.partition("=")[::2] for word in options)


def _listed(text: str) -> list[str]:
    """The names in ``a`` or ``[a,b]``."""
    return [name.strip() for name in text.removeprefix("[").removesuffix("]").split(",") if name.strip()]


def _models(asked: Sequence[str]) -> dict[str, Model]:
    """The checkpoints asked for, or all registered ones."""
    names = asked or [one.name for one in entries()]
    if not names:
        raise ConfigError(
            "look needs a checkpoint", "Give ckpt=FILE, or register one: pixelproof models add FILE name=NAME."
        )
    return loaded(names)


def loaded(names: Sequence[str]) -> dict[str, Model]:
    """Checkpoints by short names, or by their whole paths where two short names would be equal.

    Raises:
        ConfigError: one does not exist.
    """
    stems = [Path(name).stem if Path(name).suffix in WEIGHTS else Path(name).name for name in names]
    short = stems if len(set(stems)) == len(names) else names
    return {title: load(name) for title, name in zip(short, names, strict=True)}


def _batches(paths: Sequence[str], stdin: bool) -> Iterator[list[str]]:
    """The named images, then each line of standard input when it arrives."""
    if paths:
        yield list(paths)
    if stdin:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # names are bytes
        for line in sys.stdin:
            if line.strip():
                yield [line.rstrip("\r\n")]  # lists from Windows end lines with both


def models(words: Sequence[str]) -> int:
    """``pixelproof models``: lists registered checkpoints; ``add FILE name=NAME [licence=TEXT]`` registers one.

    Raises:
        ConfigError: the words are not such a command, or the file cannot be registered.
    """
    from tasks.models.registry import add

    match list(words):
        case ["-h" | "--help"]:
            print(MODELS_HELP)
        case []:
            for entry in entries():
                licence = entry.licence or "licence not stated"
                print(f"{entry.name}\t{entry.detector}\t{entry.sha256[:12]}\t{licence}\t{entry.source}")
            if not entries():
                print("no model is registered; pixelproof models add FILE name=NAME registers one")
        case ["add", file, *options]:
            given = dict(option.partition("=")[::2] for option in options)
            if unknown := sorted(given.keys() - {"name", "licence"}):
                raise ConfigError(f"models add has no option {unknown[0]}", "Its options are name= and licence=.")
            path = Path(file).expanduser()
            if path.is_dir():
                raise ConfigError(
                    f"{file} is a folder",
                    "Give a checkpoint; a folder that task=export wrote is used where it is, as ckpt=FOLDER.",
                )
            if not path.is_file():
                raise ConfigError(f"{file}: no such file", "Give a checkpoint.")
            entry = add(path, given.get("name", path.stem), given.get("licence", ""))
            print(f"models/{entry.name}.ckpt: {entry.detector}, sha256 {entry.sha256}")
        case _:
            raise ConfigError(f"pixelproof models {' '.join(words)} is not a command", "See pixelproof models --help.")
    return 0
