"""The tree is what docs/architecture.md says: rooms in layers, no cycles, files of a size to be read in one go."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

import repmedsam_infer

ROOT = Path(__file__).parent.parent
PACKAGES = ("repmedsam_infer", "repmedsam_train")
# From the lowest layer to the highest. A room or file imports from layers below its own, and from itself.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("system",),
    ("io",),
    ("boxes", "preprocess", "shards"),
    ("case", "decoder_roi"),
    ("postprocess", "result", "network", "drawing", "evaluation"),
    ("engines", "formats"),
    ("segmentation",),
    ("interactive",),
    ("segmenter", "batch"),
    ("app", "serve"),
    ("commands", "report_page"),
    ("cli",),
)
MOST_LINES, MOST_FILES, MOST_AT_THE_TOP = 300, 14, 12
HEAVY = ("numpy", "cv2", "torch", "openvino", "scipy", "nibabel", "pydicom", "SimpleITK", "highdicom", "jinja2")


@cache
def modules() -> dict[str, Path]:
    """Every module of both packages by its name."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imports_of(path: Path, at_start: bool) -> set[str]:
    """Modules of ours that a file imports; with `at_start` only those that importing it imports."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if at_start and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if at_start and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.ImportFrom) and child.module:
                names = {f"{child.module}.{alias.name}" for alias in child.names}
                found.update(names & modules().keys() or {child.module} & modules().keys())
            elif isinstance(child, ast.Import):
                found.update({alias.name for alias in child.names} & modules().keys())
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def room_of(module: str) -> str:
    """The folder or file of repmedsam_infer that a module belongs to; empty for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_every_room_imports_from_layers_below_its_own() -> None:
    level = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
    wrong = [
        f"{module} imports {imported}"
        for module, path in modules().items()
        for imported in imports_of(path, at_start=False)
        if module.startswith("repmedsam_infer.")
        and room_of(module) in level
        and room_of(imported)
        and room_of(imported) != room_of(module)
        and not (imported.startswith("repmedsam_infer.") and level[room_of(imported)] < level[room_of(module)])
    ]
    assert not wrong
    rooms = {room_of(module) for module in modules() if module.startswith("repmedsam_infer.")}
    assert rooms - {"__main__"} == level.keys()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: imports_of(path, at_start=True) for module, path in modules().items()}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above, module))
        if module not in done:
            for imported in graph[module]:
                visit(imported, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_help_imports_nothing_heavy() -> None:
    script = f"import repmedsam_infer.cli, sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_exports_what_it_promises() -> None:
    assert sorted(repmedsam_infer.__all__) == [
        "CaseReadError",
        "ObjectResult",
        "RepMedSAMError",
        "Result",
        "Segmenter",
        "SetupError",
        "UsageError",
        "__version__",
    ]
    assert repmedsam_infer.Segmenter.__module__ == "repmedsam_infer.segmenter"


@pytest.mark.parametrize("package", PACKAGES)
def test_folders_and_files_are_small(package: str) -> None:
    files = defaultdict(list)
    for path in (ROOT / package).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            files[path.parent].append(path)
    assert len(files[ROOT / package]) <= MOST_AT_THE_TOP
    assert {folder: len(inside) for folder, inside in files.items() if len(inside) > MOST_FILES} == {}
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules().values()}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_the_architecture_page_names_every_folder_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:repmedsam_infer|repmedsam_train)/(?:\w+/)*)`", page))
    existing = {f"{path.parent.relative_to(ROOT).as_posix()}/" for path in modules().values()}
    assert named == existing
