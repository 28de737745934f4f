"""``task=guess``: a person judges the images that detectors are tested on, in the browser."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.people.answers import Journal, Shown, Sitting
from benchmarks.people.choose import candidates, choose
from benchmarks.people.section import People, Source
from benchmarks.predictions import Predictions
from benchmarks.review.join import join
from benchmarks.review.pixels import page_image
from contracts.errors import ConfigError, DataError
from contracts.files import write_atomically
from contracts.names import utf8_path
from contracts.screen import display
from contracts.words import counted
from datamodules.loading.dataset import Failure
from datamodules.loading.pixels import pixels_of
from tasks.experiment.named_dumps import dumps_of
from tasks.experiment.run import DATA, Run
from tasks.scoring.failures import write_failures
from tasks.scoring.map_files import file_name

MOST = 10_000  # Maximum number of images in one sitting


def guess(run: Run) -> None:
    """Shows images one at a time on a page at 127.0.0.1 and asks a person whether each is real or generated.

    Every answer is saved before the next image is shown; the same command continues after an interruption. The result
    is a page with accuracies, intervals and a comparison with the detectors of ``guess.against`` on the same images.

    Raises:
        ConfigError: an option is out of range, or the packages of the server are missing.
        DataError: the data set has too few images, or the person's file holds answers to other images.
    """
    options = run.config.guess
    _check(options)
    serve = _serve()
    datamodule = run.datamodule()
    manifest, store = datamodule.manifest(), datamodule.store()
    paths = [path for name in options.against for path in dumps_of("guess.against", name)]
    joined = join(paths) if paths else None
    dumps: dict[str, Predictions] = dict(zip(joined.names, joined.dumps, strict=True)) if joined else {}
    # without a name the folder must not change from one start to the next
    folder = run.folder if run.config.experiment_id else DATA
    out = Path(options.out).expanduser() if options.out else folder / "guess"

    def pixels(row: int) -> Any:
        return pixels_of(store.read(row), datamodule.max_pixels)

    rows = candidates(manifest, [dump.fused_ids for dump in dumps.values()])
    chosen, failures = _chosen(manifest, rows, options, pixels)
    write_failures(out / "failures.csv", failures)
    if len(chosen) < options.images:
        raise DataError(
            f"guess.images={options.images}, but only {counted(len(chosen), 'image')} can be shown",
            f"Give guess.images={len(chosen)}, or more data.",
        )
    names, places = manifest.generator_names, manifest.generator_index
    shown = [Shown(manifest.image_id(row), int(manifest.labels[row]), names[places[row]]) for row in chosen]
    row_of = {image.id: row for image, row in zip(shown, chosen, strict=True)}
    path = out / utf8_path(f"{file_name(options.person)}.jsonl")
    page = path.with_suffix("") / "index.html"

    with Journal(path, Sitting(options.person, options.seed, options.reveal, tuple(shown))) as journal:

        def result() -> str:
            found = People.of([journal.answers], dumps)
            content = found.page(_source(store, row_of))
            page.parent.mkdir(exist_ok=True)
            found.files(page.parent)
            write_atomically(page, content.encode())
            return content

        if not journal.answers.finished:
            print(
                f"Image {len(journal.answers) + 1} of {len(shown)} is next. Ctrl-C stops; the same command continues."
            )
            serve(journal, lambda place: pixels(chosen[place]), result, options.port, _announce)
        if journal.answers.finished:
            result()
            display(*People.of([journal.answers], dumps).tables())
            print(f"Page: {page.resolve()}")
    print(f"Answers: {path.resolve()}")


def _announce(address: str) -> None:
    print(f"Open {address} in a browser on this machine.", flush=True)


def _check(options: Any) -> None:
    if not 1 <= options.images <= MOST:
        raise ConfigError(f"guess.images={options.images}", f"Give 1 to {MOST:,}.")
    if not 0 <= options.port <= 65535:
        raise ConfigError(f"guess.port={options.port}", "Give 1 to 65535, or 0 for a free port.")
    if not options.person.strip():
        raise ConfigError("guess.person is empty", "Give guess.person=NAME.")


def _serve() -> Callable[..., None]:
    """The server, whose packages are optional.

    Raises:
        ConfigError: they are missing.
    """
    try:
        from benchmarks.people.serving import serve
    except ImportError as error:
        raise ConfigError("task=guess needs Starlette and uvicorn", "pip install 'pixelproof[serve]'") from error
    return serve


def _chosen(
    manifest: Any, rows: Any, options: Any, pixels: Callable[[int], Any]
) -> tuple[Sequence[int], Sequence[Failure]]:
    """Rows of the images to show, and the images that would have been chosen but cannot be decoded."""
    failures: list[Failure] = []
    with tqdm(total=options.images, desc="guess: reading", unit=" images") as bar:

        def readable(row: int) -> bool:
            try:
                pixels(row)
            except DataError as error:
                failures.append(Failure(manifest.image_id(row), manifest.place(row), error.what))
                return False
            bar.update()
            return True

        return choose(manifest, rows, options.images, options.seed, readable), failures


def _source(store: Any, row_of: dict[str, int]) -> Source:
    return lambda image: page_image(store.read(row_of[image])).src
