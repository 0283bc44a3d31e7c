"""docs/data.md and the model card, which travels with the weights, name the same data sets under the same licences."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
LICENCES = {"CC0", "MIT", "Apache-2.0", "CC BY 3.0", "CC BY 4.0", "CC BY-SA 4.0"}


def rows(page: Path, columns: int) -> list[list[str]]:
    """Cells of every line of a table with so many columns."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if len(row) == columns]


def of_document() -> dict[str, tuple[str, bool, bool, str]]:
    """Of each data set its licence, whether that is stated with the data, whether it came last, its source."""
    found = {}
    for name, _, _, _, _, licence, source, _ in rows(ROOT / "docs" / "data.md", 8)[2:]:
        found[name.removesuffix(" ‡")] = (licence.removesuffix(" *"), licence.endswith("*"), name.endswith("‡"), source)
    return found


def test_both_name_the_same_sets_under_the_same_licences() -> None:
    of_card = {}
    for licence, sets in rows(ROOT / "weights" / "MODEL_CARD.md", 2):
        if licence in LICENCES:
            for of_source in sets.split("; "):
                names, _, source = of_source.removesuffix(")").partition(" (")
                for name in names.split(", "):
                    of_card[name.split()[0]] = (licence, "*" in name, "‡" in name, source.split(", ")[0])
    document = of_document()
    assert len(document) == 57
    assert of_card.keys() == document.keys()
    for name, (*about, source) in of_card.items():
        assert tuple(about) == document[name][:3], name
        assert f"https://github.com/{source}" in document[name][3], name


def test_cases_and_objects_add_up() -> None:
    cases, objects = [], []
    for row in rows(ROOT / "docs" / "data.md", 8)[2:]:
        cases.append([int(number) for number in row[3].split(" / ")])
        objects.append([int(number) for number in row[4].split(" / ")])
    assert [sum(part) for part in zip(*cases, strict=True)] == [3911, 540]
    assert [sum(part) for part in zip(*objects, strict=True)] == [44165, 7491]
