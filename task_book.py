"""What `make book` runs: fetch the data, one task per notebook, then the site. pytask skips what nothing has changed for.

One chapter: `pytask -n 2 -k 01_mlp`. Many machines: `pytask -n 2 --parallel-backend dask`, see CONTRIBUTING.md.
"""
import json
from pathlib import Path
from typing import Annotated, Any

from pytask import Product, PythonNode, mark, task

from engagement_book.workbench import build, load, site

archives = {d["file"]: (name, d) for name, d in load.manifest().items() if "package" in d}      # two sets may come from one archive
for file, (name, d) in archives.items():

    @task(id=name)
    def task_fetch(
        name: str = name,
        d: Any = PythonNode(value=json.dumps(d, sort_keys=True), hash=True),
        archive: Annotated[Path, Product] = load.cache_dir() / file,
    ) -> None:
        load.archive(name, json.loads(d))


for name, notebook in build.chapters().items():
    content, archives = build.depends_on(notebook)

    @task(id=name)
    @(mark.try_first if not name.startswith("00_") else lambda f: f)     # the long ones first, so that no worker ends idle
    def task_execute(
        name: str = name,
        content: Any = PythonNode(value=content, hash=True),
        notebook: Path = notebook,
        archives: list[Path] = archives,
        executed: Annotated[Path, Product] = build.product("executed", name),
        records: Annotated[Path, Product] = build.product("records", name),
        stats: Annotated[Path, Product] = build.product("stats", name),
    ) -> None:
        build.execute(name)


def task_site(
    chapters: list[Path] = [build.product(kind, n) for n in build.chapters() for kind in ("executed", "records", "stats")],
    content: Any = PythonNode(value=json.dumps(build.fingerprints(site.sources())), hash=True),
    page: Annotated[Path, Product] = site.OUT / "index.html",
) -> None:
    site.build()
