"Packaging reads settings.ini, the one place for name, version and dependencies (the format nbdev 2 uses)."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
s = config["DEFAULT"]
setup(
    name=s["lib_name"], version=s["version"], description=s["description"], license="Apache-2.0",
    author=s["author"], keywords=s["keywords"].split(),
    packages=find_packages(include=[s["lib_path"], s["lib_path"] + ".*"]),
    python_requires=">=" + s["min_python"],
    install_requires=s["requirements"].split(), extras_require={"dev": s["dev_requirements"].split(), "spark": s["spark_requirements"].split()},
    long_description=Path("README.md").read_text(encoding="utf-8") if Path("README.md").exists() else "",
    long_description_content_type="text/markdown", zip_safe=False,
    entry_points={"nbdev": [f"{s['lib_path']}={s['lib_path']}._modidx:d"], "console_scripts": s["console_scripts"].split()},
)
