"""Package metadata from settings.ini and the version from clip_autt/__init__.py: each is written once."""

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_namespace_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(here / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]
git_url, branch = cfg["git_url"], cfg["branch"]


def read(path: str) -> str:
    "The text of a file of the project."
    return (here / path).read_text(encoding="utf-8")


def absolute_links(markdown: str) -> str:
    "Links to files of the project as addresses in its repository, so that they also work on a package index."

    def address(found: re.Match) -> str:
        bang, text, path = found.groups()
        return f"{bang}[{text}]({git_url}/{'raw' if bang else 'blob'}/{branch}/{path})"

    return re.sub(r"(!?)\[([^\[\]]*)\]\((?!https?:|#)([^)\s]+)\)", address, markdown)


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
        (target / "pages").mkdir(exist_ok=True)
        for name in ("departures", "family"):  # tables that lessons read
            self.copy_file(str(here / "docs" / f"{name}.md"), str(target / "pages" / f"{name}.md"))


setup(
    cmdclass={"build_py": BuildWithTutorials},
    version=re.search(r'^__version__ = "(.+)"$', read("clip_autt/__init__.py"), re.M)[1],
    description=cfg["description"],
    author=cfg["author"],
    license_expression=cfg["license"],
    keywords=[word.strip() for word in cfg["keywords"].split(",")],
    project_urls={
        "Repository": git_url,
        "Issues": f"{git_url}/issues",
        "Changelog": f"{git_url}/blob/{branch}/CHANGELOG.md",
        "Tutorials": f"{git_url}/tree/{branch}/nbs/tutorials",
    },
    classifiers=[
        f"Development Status :: {cfg['status']}",
        "Framework :: Jupyter",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Education",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={k.removesuffix("_requirements"): cfg[k].split() for k in cfg if k.endswith("_requirements")},
    entry_points={"console_scripts": cfg["console_scripts"].split(), "nbdev": ["clip_autt=clip_autt._modidx:d"]},
    packages=find_namespace_packages(include=["clip_autt", "clip_autt.*"], exclude=["*.__pycache__"]),
    include_package_data=True,
    long_description=absolute_links(read("README.md")),
    long_description_content_type="text/markdown",
)
