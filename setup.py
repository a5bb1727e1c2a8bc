"Packaging reads settings.ini, the one place for name, version and dependencies (the format nbdev 2 uses)."
import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
s = config["DEFAULT"]
EXTRAS = {key.removesuffix("_requirements"): s[key].split() for key in s if key.endswith("_requirements")}
# what the package reads at run time
SHIPPED = ["data/*.toml", "data/*.csv", "nbs/references.bib", "nbs/_static/fonts/*", "nbs/_desk/*"]


class WithHouse(build_py):
    """A wheel carries the ledger, the manifest and what else the package reads; they stay in one place in the
    repository."""

    def run(self):
        super().run()
        house = Path(self.build_lib, s["lib_path"], "_house")
        shutil.rmtree(house, ignore_errors=True)
        for file in (f for pattern in SHIPPED for f in Path().glob(pattern)) if not self.editable_mode else ():
            (house / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, house / file)


setup(
    name=s["lib_name"], version=s["version"], description=s["description"], license="Apache-2.0",
    author=s["author"], keywords=s["keywords"].split(), cmdclass={"build_py": WithHouse},
    packages=find_packages(include=[s["lib_path"], s["lib_path"] + ".*"]),
    python_requires=">=" + s["min_python"],
    install_requires=s["requirements"].split(), extras_require=EXTRAS,
    long_description=Path("README.md").read_text(encoding="utf-8") if Path("README.md").exists() else "",
    long_description_content_type="text/markdown", zip_safe=False,
    entry_points={"nbdev": [f"{s['lib_path']}={s['lib_path']}._modidx:d"],
                  "console_scripts": s["console_scripts"].split()},
)
