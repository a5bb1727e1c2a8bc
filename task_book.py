"""What `make book` runs: fetch the data, and one task per notebook; the site comes after it.

pytask skips what nothing has changed for.

What a cell or a result does wrong fails no task: it stands in _build, on the page and in the summary (`results.red`).
One chapter: `pytask -n 2 -k 01_mlp`. Many machines: `pytask -n 2 --parallel-backend dask`, see CONTRIBUTING.md.
"""
import json
import os
from pathlib import Path
from typing import Annotated, Any

from pytask import PathNode, Product, PythonNode, mark, task

from engagement_book.workbench import load
from engagement_book.workbench.engine.graph import chapters, depends_on, selected
from engagement_book.workbench.engine.run import begin, product, run_chapter


class Content(PathNode):
    "A file that is known by its content alone, also when an edit kept its modification time."

    def state(self) -> str | None:
        return load.sha256(self.path) if self.path.is_file() else None


def result(kind: str, name: str) -> Content:
    return Content.from_path(product(kind, name))


begin()
notebooks = chapters()
# two may share an archive
sets_of = {d["file"]: (name, d) for name, d in load.manifest().items() if "package" in d}

for file, (name, d) in sets_of.items():

    @task(id=name)
    def task_fetch(
        name: str = name,
        d: Any = PythonNode(value=json.dumps(d, sort_keys=True), hash=True),
        archive: Annotated[Path, Product] = load.cache_dir() / file,
    ) -> None:
        load.archive(name, json.loads(d))


for name in selected(os.environ.get("EB_CHAPTERS", "")) or notebooks:
    content, needed = depends_on(notebooks[name])

    # tasks with an empty list would all depend on one node
    @task(id=name, kwargs={"needed": needed} if needed else {})
    # the long ones first, so that no worker ends idle
    @(mark.try_first if not name.startswith("00_") else lambda f: f)
    def task_execute(
        name: str = name,
        content: Any = PythonNode(value=content, hash=True),
        needed: list[Path] | None = None,        # archives
        executed: Annotated[Path, Product] = result("executed", name),
        records: Annotated[Path, Product] = result("records", name),
        stats: Annotated[Path, Product] = result("stats", name),
    ) -> None:
        run_chapter(name)
