"""What MkDocs adds to docs/: pages of other folders, a reference made from the help, and links that fit the site."""

import json
import os
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from conf.cli.groups import CONF, group_names, group_options
from conf.help.topic import parts_for
from conf.keys.verbs import verbs

DOCS = Path(__file__).parent
ROOT = DOCS.parent
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "datamodules/sample_corpus/README.md": "sample_corpus.md",
    "datamodules/sample_corpus/CREDITS.md": "credits.md",
    "docs/first_steps.ipynb": "first_steps.md",
}
"""Pages of the site that are kept outside docs/, or made from a notebook."""
OWN_PAGES = {
    "detector": "detectors",
    "datamodule": "datamodules",
    "benchmark": "benchmarks",
    "experiment": "experiments",
}
"""Groups of options with a page of their own in the reference."""
LINK = re.compile(r"(?<!!)\[((?:[^\[\]`]|`[^`]*`)*)\]\(([^)\s]+)\)")
TARGET = re.compile(r"\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are kept or made outside docs/."""
    for source, page in ELSEWHERE.items():
        written = (ROOT / source).read_text()
        text = linked(notebook(written) if source.endswith(".ipynb") else written, (ROOT / source).parent, page)
        files.append(File.generated(config, page, content=text))
    for page, text in reference().items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lets the links of a page in docs/ lead to pages of the site."""
    name = page.file.src_uri
    return markdown if name in ELSEWHERE.values() else linked(markdown, (DOCS / name).parent, name)


def linked(text: str, folder: Path, page: str) -> str:
    """A page's text with links as the site has them; what a link to source code says stays, without the link.

    Args:
        text: Markdown.
        folder: where the text is kept; its links start there.
        page: where the site has it, relative to docs/.
    """

    def target(link: str) -> str | None:
        name, hash_sign, anchor = link.partition("#")
        if "://" in link or not name:
            return link
        path = Path(os.path.normpath(folder / name))
        inside = path.relative_to(DOCS).as_posix() if path.is_relative_to(DOCS) else None
        known = ELSEWHERE.get(path.relative_to(ROOT).as_posix(), inside)
        return None if known is None else os.path.relpath(known, Path(page).parent) + hash_sign + anchor

    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    for place in range(0, len(parts), 2):
        kept = LINK.sub(lambda m: m[0] if target(m[2]) is not None else m[1], parts[place])
        parts[place] = TARGET.sub(lambda m: f"]({target(m[1]) or m[1]})", kept)
    return "".join(parts)


def notebook(text: str) -> str:
    """Markdown of a Jupyter notebook: its texts, code, printed lines, and values as HTML where they have it."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {"text/plain": output.get("text", [])})
            plain = f"```\n{''.join(data['text/plain']).rstrip()}\n```"
            table = "".join(data.get("text/html", [])).replace(' border="1" class="dataframe"', "")  # for the theme's
            parts.append(table or plain)
    return "\n\n".join(parts) + "\n"


def reference() -> dict[str, str]:
    """Markdown of each page of the reference, made from the text of ``--help``."""
    rest = [name for name in group_names() if name not in OWN_PAGES and group_options(name, CONF)]
    pages = {"tasks": ("Tasks", [f"task={name}" for name in verbs()])}
    for group, page in OWN_PAGES.items():
        pages[page] = (f"Options of {group}", [f"{group}={name}" for name in group_options(group, CONF)])
    pages["others"] = ("Other groups", [f"{group}={name}" for group in rest for name in group_options(group, CONF)])
    return {
        f"reference/{page}.md": f"# {title}\n\n" + "".join(map(_entry, words)) for page, (title, words) in pages.items()
    }


def _entry(word: str) -> str:
    """What ``pixelproof WORD --help`` prints, as a section with tables."""
    return f"## {word}\n\n" + "\n".join(_parts(word)) + "\n\n"


def _parts(word: str) -> Iterator[str]:
    for title, lines in parts_for([word], CONF):
        yield escape(title.removeprefix(f"{word}: "), quote=False) + "\n"
        if lines and any(lines.values()):
            yield "| name | meaning |\n|---|---|"
            yield from (f"| `{_cell(name)}` | {_cell(escape(text, quote=False))} |" for name, text in lines.items())
            yield ""
        elif lines:
            yield "```\n" + "\n".join(lines) + "\n```\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
