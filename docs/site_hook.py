"""What mkdocs does beside rendering docs/: the README is its first page, sources are pages too.

Links in the documents are those of the repository, where they work as they are. One that leaves
docs/ leads here to a page made of that file or folder, `source/...`; the links of such a page are
followed in turn. `<!-- settings -->` on a codec's page becomes the table of its settings.
"""

import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from smalti import registry
from smalti.codec import settings_of

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FIRST = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
}
LANGUAGES = {".py": "python", ".cpp": "cpp", ".h": "cpp", ".c": "c", ".toml": "toml"}
SHOWN = {"": "text", ".txt": "cmake", ".slang": "text", ".wgsl": "text", **LANGUAGES}
LINK = re.compile(r"(?<=\]\()[^)\s#]+")
SETTINGS = "<!-- settings -->"

_origin: dict[str, Path] = {}  # page -> the file that it was made of


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Pages of every file outside docs/ that a page links to."""
    for file in files.documentation_pages():
        _origin[file.src_uri] = DOCS / file.src_uri
    made: set[Path] = set()
    waiting = [ROOT / name for name in FIRST]
    for path in list(_origin.values()):
        waiting += _linked(path)
    while waiting:
        path = waiting.pop()
        if path in made or not path.exists() or path.is_relative_to(DOCS):
            continue
        made.add(path)
        uri = _uri(path)
        if path.is_dir():
            files.append(File.generated(config, uri, content=_listing(path)))
        elif path.suffix == ".md":
            files.append(File.generated(config, uri, content=path.read_text()))
            waiting += _linked(path)
        elif path.suffix in SHOWN:
            files.append(File.generated(config, uri, content=_code(path)))
        else:
            files.append(File.generated(config, uri, abs_src_path=str(path)))
        _origin[uri] = path
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the site needs them, and the table of settings."""
    origin = _origin[page.file.src_uri]
    if SETTINGS in markdown:
        markdown = markdown.replace(SETTINGS, _settings(origin.stem))
    if origin.suffix != ".md":
        return markdown
    folder = posixpath.dirname(page.file.src_uri)

    def moved(link: re.Match[str]) -> str:
        path = _target(origin, link[0])
        return posixpath.relpath(_uri(path), folder or ".") if path else link[0]

    return LINK.sub(moved, markdown)


def _linked(page: Path) -> list[Path]:
    """The files of the repository that a page links to."""
    targets = (_target(page, link) for link in LINK.findall(page.read_text()))
    return [path for path in targets if path]


def _target(page: Path, link: str) -> Path | None:
    """The file of the repository that a link leads to; None for the web, and for what is not there."""
    path = Path(os.path.normpath(page.parent / link))
    return path if "://" not in link and path.is_relative_to(ROOT) and path.exists() else None


def _uri(path: Path) -> str:
    """Where a file of the repository is on the site."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    name = path.relative_to(ROOT).as_posix()
    page = path.is_dir() or path.suffix in SHOWN
    return FIRST.get(name) or f"source/{name}" + (".md" if page else "")


def _code(path: Path) -> str:
    fence, language = "`" * 8, SHOWN[path.suffix]
    return f"# {path.relative_to(ROOT)}\n\n{fence}{language}\n{path.read_text()}{fence}\n"


def _listing(folder: Path) -> str:
    names = sorted(
        f"{path.name}/" if path.is_dir() else path.name
        for path in folder.iterdir()
        if path.name[0] not in "._"
    )
    return "\n".join([f"# {folder.relative_to(ROOT)}\n", *[f"- {name}" for name in names], ""])


def _settings(name: str) -> str:
    """What can be set of a codec, as `smalti help` has it."""
    codec = registry.codec_class(name)
    rows = ["| setting | default | what it is for | values |", "|---|---|---|---|"]
    for each in settings_of(codec):
        mark = "" if each.wire else " °"
        values = f"`{each.values}`" if each.values else ""
        rows.append(f"| `{each.name}`{mark} | `{each.default}` | {each.about} | {values} |")
    efforts = [f"`{effort}`: {means}" for effort, means in codec.efforts.items() if means]
    told = f"\n\nEfforts: {'; '.join(efforts)}." if efforts else ""
    return "\n".join(rows) + "\n\n° of the encoder: not in the file." + told
