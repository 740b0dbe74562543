"""Package metadata from settings.ini and the version from clip_autt/__init__.py: each is written once."""

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(here / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]
version = re.search(r'^__version__ = "(.+)"$', (here / "clip_autt" / "__init__.py").read_text(encoding="utf-8"), re.M)[1]
pythons = [f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)]



class BuildWithTutorials(build_py):
    "A wheel carries the course, which lies outside of the package in a clone."

    def run(self):
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "clip_autt" / "tutorials"
        target.mkdir(parents=True, exist_ok=True)
        for file in [*here.glob("nbs/tutorials/*.ipynb"), here / "docs/glossary.md"]:
            self.copy_file(str(file), str(target / file.name))


setup(
    cmdclass={"build_py": BuildWithTutorials},
    version=version,
    description=cfg["description"],
    author=cfg["author"],
    license=cfg["license"],
    keywords=[word.strip() for word in cfg["keywords"].split(",")],
    classifiers=[f"Development Status :: {cfg['status']}", "Intended Audience :: Education", "Intended Audience :: Science/Research", *pythons],
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={key.removesuffix("_requirements"): cfg[key].split() for key in cfg if key.endswith("_requirements")},
    entry_points={"console_scripts": cfg["console_scripts"].split(), "nbdev": ["clip_autt=clip_autt._modidx:d"]},
    packages=find_packages(include=["clip_autt", "clip_autt.*"]),
    include_package_data=True,
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
)
