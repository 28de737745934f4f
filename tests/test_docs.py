"""The pages of the documentation: links lead somewhere, commands compose, options exist."""

import re
import shlex
from pathlib import Path
from string import Template

import pytest

import conf.check
from conf.cli.flags import read_flags
from conf.cli.groups import CONF
from conf.cli.words import expand
from conf.compose import compose
from conf.help.overview import help_for
from conf.keys.schema import VERB_OPTIONS, verb_options
from tasks.models.look import parsed

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name / "README.md" for name in ("experiments_data", "experiments_logs", "datamodules/sample_corpus")),
]
SHELL = {"", "sh", "bash"}
WRITTEN_BY_USERS = ("conf/local/default.yaml", "conf/experiment/mine.yaml")
PACKAGES = "conf|launchers|tasks|benchmarks|datamodules|detectors|contracts|bench"
PROGRAM = r"^ *(?:srun .*)?(?:\.venv/bin/)?(?:pixelproof|python lightning_main\.py) (.*)$"


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)


def anchors(page: str) -> set[str]:
    """Anchors that GitHub gives to the headings of a page."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def dead_links(file: Path, page: str) -> list[str]:
    """Relative links of a page to files or headings that do not exist."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(page))):
        name, _, anchor = link.partition("#")
        target = file.parent / name if name else file
        if "://" not in link and (not target.exists() or (anchor and anchor not in anchors(target.read_text()))):
            dead.append(link)
    return dead


def commands(page: str) -> list[list[str]]:
    """The words after the program's name in each command of a page, without comments and without "…"."""
    found = []
    for text in (filled_in(text) for language, text in blocks(page) if language in SHELL):
        for command in re.findall(PROGRAM, text.replace("\\\n", " "), re.MULTILINE):
            words = shlex.split(command, comments=True)
            found.append([word for word in words if "…" not in word])
    return found


def filled_in(text: str) -> str:
    """A shell script with the values of its variables, and loops with their first value."""
    values = dict(re.findall(r"^for (\w+) in (\S+)", text, re.MULTILINE))
    for name, value in re.findall(r'^(\w+)="([^"]*)"$', text, re.MULTILINE):
        values[name] = Template(value.replace("\n", " ")).safe_substitute(values)
    return Template(text).safe_substitute(values)


def defined(name: str) -> bool:
    """Whether a dotted name is that of a module, or is defined or imported in the module before its last dot."""
    module, _, last = name.rpartition(".")
    file = ROOT / module.replace(".", "/")
    source = next((each for each in (file.with_suffix(".py"), file / "__init__.py") if each.is_file()), None)
    inside = source is not None and re.search(rf"\b{last}\b", source.read_text())
    return bool(inside) or (file / f"{last}.py").is_file() or (file / last).is_dir()


def refused(words: list[str]) -> list[str]:
    """What is wrong with a command, whatever data and experiments there are."""
    if words[0] in ("look", "models"):  # no configuration
        return [] if words[0] == "models" or parsed(words[1:])[1] else ["no image"]
    given = read_flags(words)
    if "--help" in given.flags:
        help_for(given.words, CONF)
        return []
    jobs = expand(given.words) if "--multirun" in given.flags else [given.words]
    ends = jobs[:: max(1, len(jobs) - 1)]
    problems = [problem for job in ends for problem in conf.check.check(compose(job))]
    return [str(problem) for problem in problems if not problem.what.endswith(" is not set")]


COMMANDS = {
    f"{page.relative_to(ROOT)}: {shlex.join(words)}": words
    for page in PAGES
    if page.name != "adding.md"  # its commands need its own files: test_adding.py runs them
    for words in commands(page.read_text())
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page, page.read_text()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_compose(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(conf.check, "missing_paths", lambda _config, _used: [])
    assert refused(COMMANDS[command]) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_of_tasks_exist(page: Path) -> None:
    written = re.findall(rf"\b({'|'.join(VERB_OPTIONS)})\.(\w+)=", page.read_text())
    assert {(task, name) for task, name in written if name not in verb_options(task)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_classes_exist(page: Path) -> None:
    text = page.read_text() if page.name != "adding.md" else ""  # which tells how to write some
    files = re.findall(rf"(?<![\w/.])((?:{PACKAGES}|callbacks|tests)/[\w/]+\.(?:py|yaml|csv|sh))\b", text)
    assert [name for name in files if not (ROOT / name).exists() and name not in WRITTEN_BY_USERS] == []
    assert [name for name in re.findall(rf"(?<![\w.])(?:{PACKAGES})(?:\.\w+){{2,}}", text) if not defined(name)] == []


def test_mistakes_in_a_page_are_found(tmp_path: Path) -> None:
    page = (
        "# Of `x`, and more\n[a](#of-x-and-more) [b](#none) [c](none.md) [d](https://example.org) `[e](code.md)`\n"
        "```\npixelproof task=test \\\n    detector=nrp  # comment\nls\n```\n"
        '```sh\nA="seed=1\n  ckpt=a"\nB="$A task=test"\nfor f in x y; do\n  srun -n 2 pixelproof $B '
        "experiment_id=$f …\n```\n"
    )
    (tmp_path / "page.md").write_text(page)
    assert dead_links(tmp_path / "page.md", page) == ["#none", "none.md"]
    assert commands(page) == [
        ["task=test", "detector=nrp"],
        ["seed=1", "ckpt=a", "task=test", "experiment_id=x"],
    ]
    with pytest.raises(conf.check.ConfigError, match="detector=nrp does not exist"):
        refused(["task=test", "detector=nrp"])


def test_pages_have_commands() -> None:
    assert len(COMMANDS) > 50
    assert {"README.md", "docs/data.md", "docs/cluster.md"} <= {name.partition(":")[0] for name in COMMANDS}
