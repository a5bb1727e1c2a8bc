"""What `make book` runs: fetch the data, and one task per notebook; the site comes after it. pytask skips what nothing has changed for.

What a cell or a result does wrong fails no task: it stands in _build, on the page and in the summary (`build.red`).
One chapter: `pytask -n 2 -k 01_mlp`. Many machines: `pytask -n 2 --parallel-backend dask`, see CONTRIBUTING.md.
"""
import json
import os
from pathlib import Path
from typing import Annotated, Any

from pytask import PathNode, Product, PythonNode, mark, task

from engagement_book.workbench import build, load


class Content(PathNode):
    "A file that is known by its content alone, also when an edit kept its modification time."

    def state(self) -> str | None:
        return load.sha256(self.path) if self.path.is_file() else None


def result(kind: str, name: str) -> Content:
    return Content.from_path(build.product(kind, name))



build.begin()
chapters = build.selected(os.environ.get("EB_CHAPTERS", "")) or list(build.chapters())
sets_of = {d["file"]: (name, d) for name, d in load.manifest().items() if "package" in d}      # two sets may come from one archive

for file, (name, d) in sets_of.items():

    @task(id=name)
    def task_fetch(
        name: str = name,
        d: Any = PythonNode(value=json.dumps(d, sort_keys=True), hash=True),
        archive: Annotated[Path, Product] = load.cache_dir() / file,
    ) -> None:
        load.archive(name, json.loads(d))


for name in chapters:
    content, needed = build.depends_on(build.chapters()[name])

    @task(id=name, kwargs={"archives": needed} if needed else {})      # tasks with an empty list of archives would all depend on one node
    @(mark.try_first if not name.startswith("00_") else lambda f: f)     # the long ones first, so that no worker ends idle
    def task_execute(
        name: str = name,
        content: Any = PythonNode(value=content, hash=True),
        archives: list[Path] | None = None,
        executed: Annotated[Path, Product] = result("executed", name),
        records: Annotated[Path, Product] = result("records", name),
        stats: Annotated[Path, Product] = result("stats", name),
    ) -> None:
        build.execute(name)

