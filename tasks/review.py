"""``task=review``: turn dumps of predictions into a page, tables and tidy files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.text import Text

from benchmarks.ai_genbench.report import reported
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.review import review as make_review
from contracts.errors import ConfigError
from contracts.files import write_atomically
from contracts.names import given_path
from contracts.screen import display
from contracts.words import counted
from tasks.experiment.named_dumps import dumps_of, in_folder
from tasks.experiment.run import Run


def review(run: Run) -> None:
    """Writes a page that shows ``review.inputs`` and ``review.people`` to ``review.out``, and prints each table.

    Without inputs, the dumps are the experiment's of its test images, or of its validation images if it has not been
    tested. With ``review.serve=true`` the page is then served on this machine.

    Raises:
        ConfigError: there is no dump, or the page cannot be served.
        DataError: a dump or a person's answers cannot be read, or they are inconsistent.
    """
    people = [given_path(name) for name in run.config.review.people]
    serve = _server(run.config.review)
    if people and not run.config.review.inputs and run.config.experiment_id is None:
        if serve:
            raise ConfigError("review.serve=true needs dumps, whose images it serves", "Give review.inputs=[a.npz].")
        _people_alone(people, run.config.review.out)
        return
    named = [path for name in run.config.review.inputs for path in dumps_of("review.inputs", name)]
    inputs = named or (in_folder(run.folder) if run.config.experiment_id is not None else [])
    if not inputs:
        raise ConfigError(
            f"experiment_id={run.config.experiment_id} has no dump of predictions, and review.inputs is empty",
            "Run task=test or task=predict first, or give review.inputs=[a.npz,b.npz] or several experiments.",
        )
    out = inputs[0].parent / "review"
    if run.config.review.out:
        out = Path(run.config.review.out).expanduser()
    elif not run.config.review.inputs:
        out = run.folder / "review"
    resamples = run.config.review.resamples
    bootstrap = None if resamples is None else Bootstrap(resamples)
    made = make_review(inputs, out, bootstrap=bootstrap, people=people)
    for name, table in made.tables.items():
        display(Text(name, style="bold"))
        display(table.rich())
    for part in made.people.tables() if made.people else ():
        display(part)
    if text := reported(inputs, out):
        display(Text(text, no_wrap=True, overflow="ignore"))
    for problem, count in made.problems.items():
        display(Text(f"{counted(count, 'image')} cannot be shown: {problem}", style="yellow"))
    print(f"Page: {made.page.resolve()}")
    if serve:
        serve(made.page, made.joined, run.config.review.port, _announce)


def _announce(address: str, end: Callable[[], None]) -> None:  # noqa: ARG001 - a test ends the server with it
    print(f"Open {address} in a browser on this machine; Ctrl-C stops the server.", flush=True)


def _server(options: Any) -> Callable[..., None] | None:
    """Serves the page if asked to; checked before the page is made.

    Raises:
        ConfigError: the port is out of range, or the packages of the server are missing.
    """
    if not 0 <= options.port <= 65535:
        raise ConfigError(f"review.port={options.port}", "Give 1 to 65535, or 0 for a free port.")
    if not options.serve:
        return None
    try:
        from benchmarks.review.serving import serve_review
    except ImportError as error:
        raise ConfigError("review.serve=true needs Starlette and uvicorn", "pip install 'pixelproof[serve]'") from error
    return serve_review


def _people_alone(paths: list[Path], given: str | None) -> None:
    """Writes a page that shows people's answers without any detector."""
    from benchmarks.people.answers import read_answers
    from benchmarks.people.section import People  # SciPy's tests are slow to import

    people = People.of([read_answers(path) for path in paths], {})
    out = Path(given).expanduser() if given else paths[0].parent / "review"
    out.mkdir(parents=True, exist_ok=True)
    people.files(out)
    write_atomically(out / "index.html", people.page().encode())
    display(*people.tables())
    print(f"Page: {(out / 'index.html').resolve()}")
