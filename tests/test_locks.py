"""Pins fit what the package asks for, images get what they need, and commands that documents name exist."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
# What each image has besides the packages of those above it.
LOCKS = {"core": "requirements.txt", "files": "requirements-files.txt", "app": "requirements-app.txt"}


def asked(extra: str) -> list[Requirement]:
    """What the package itself (core) or an extra asks for, other extras of it among it."""
    found: list[Requirement] = []
    for line in PROJECT["dependencies"] if extra == "core" else PROJECT["optional-dependencies"][extra]:
        one = Requirement(line)
        found.extend(chain(*map(asked, one.extras)) if one.name == PROJECT["name"] else [one])
    return found


def pins(name: str) -> dict[str, Version]:
    """Versions by package of a requirements or constraints file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return {canonicalize_name(package): Version(version) for package, version in PIN.findall(text)}


@pytest.mark.parametrize("image", LOCKS)
def test_an_image_has_what_its_extra_asks_for(image: str) -> None:
    locked: dict[str, Version] = {}
    for name in list(LOCKS.values())[: list(LOCKS).index(image) + 1]:
        locked |= pins(name)
    wanted = [one for one in asked(image) if canonicalize_name(one.name) in locked]
    assert [str(one) for one in wanted if locked[canonicalize_name(one.name)] not in one.specifier] == []
    assert {one.name for one in asked(image)} == {one.name for one in wanted}


@pytest.mark.parametrize("name", LOCKS.values())
def test_every_package_of_an_image_is_locked_by_hash(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text(encoding="utf-8").strip())
    assert [entry.splitlines()[0] for entry in entries if not PIN.match(entry) or "--hash=sha256:" not in entry] == []


def test_constraints_fit_what_every_extra_asks_for() -> None:
    constrained = pins("constraints.txt")
    wanted = [one for extra in ("core", *PROJECT["optional-dependencies"]) for one in asked(extra)]
    assert {one.name for one in wanted if canonicalize_name(one.name) not in constrained} == set()
    assert {str(one) for one in wanted if constrained[canonicalize_name(one.name)] not in one.specifier} == set()


def test_what_the_images_are_made_of_is_sent_to_the_engine() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert sources == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert all((ROOT / source).exists() for source in sources)


def test_commands_of_make_that_documents_and_the_hosted_ci_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / ".github" / "workflows" / "test.yml"]
    named = {
        (page.name, target)
        for page in documents
        for target in re.findall(r"(?:`|^ *|run: )make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {target for _, target in named} >= {"test", "demo", "docker", "docker-files", "docker-images"}
    assert [(page, target) for page, target in sorted(named) if target not in targets] == []
