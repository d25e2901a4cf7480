"""Makes the site of the repository's pages: a hook of MkDocs (``hooks`` of ``mkdocs.yml``).

The README becomes the start page, and the pages for contributors join it. Links between pages are kept; those into the
code become plain text, as the site has no copy of it.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages in the repository's own folder, and what they are called on the site."""

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:\s]+)(#[^)]*)?\)")
_PICTURE = re.compile(r'(<img src=")docs/')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that lie outside ``docs``."""
    for name, target in PAGES.items():
        files.append(File.generated(config, target, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points a page's links to where their targets lie on the site."""
    del config
    homes = dict.fromkeys(PAGES.values(), ROOT)
    folder = homes.get(page.file.src_uri, (ROOT / "docs" / page.file.src_uri).parent)

    def relinked(match: re.Match[str]) -> str:
        picture, text, target, anchor = match.groups(default="")
        uri = _on_site((folder / target).resolve())
        return f"{picture}[{text}]({uri}{anchor})" if files.get_file_from_path(uri) else text

    return _PICTURE.sub(r"\1", _LINK.sub(relinked, markdown)) if page.file.src_uri.count("/") == 0 else markdown


def _on_site(path: Path) -> str:
    name = path.relative_to(ROOT).as_posix()
    return PAGES.get(name, name.removeprefix("docs/"))
