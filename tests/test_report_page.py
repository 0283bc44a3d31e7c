"""The page of a run: true to its folders, and harmless whatever they hold."""

import contextlib
import json
import re
import sys
from dataclasses import dataclass, field, replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from repmedsam_infer.batch.report import CaseReport, ObjectReport, Run, read_run
from repmedsam_infer.case import read_case
from repmedsam_infer.errors import UsageError
from repmedsam_infer.report_page import make
from repmedsam_infer.report_page.cases import slices_text
from repmedsam_infer.report_page.make import make_report
from repmedsam_infer.report_page.objects import MOST_ROWS
from repmedsam_infer.report_page.opened import Folders, Opened
from repmedsam_infer.report_page.page import CAUTION, page, templates
from repmedsam_infer.report_page.pictures import ALL_BYTES, Pictures, Slice, compress, draw_pictures
from repmedsam_infer.report_page.results import ObjectResult, Result, collect, find_names
from tests.conftest import Repmedsam, good_box, good_image, write_npz
from tests.report_run import EVIL, EVIL_MESSAGE, RunFolders, make_run, reported


@pytest.fixture
def a_run(tmp_path: Path) -> RunFolders:
    return make_run(tmp_path)


@dataclass
class Parsed(HTMLParser):
    """Elements, attributes and text of a page, as any parser finds them."""

    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str | None]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parse(html: str) -> Parsed:
    parsed = Parsed()
    parsed.feed(html)
    return parsed


def order_of(html: str) -> list[str]:
    """Cases in the order of their rows."""
    return re.findall(r'<tbody[^>]* data-case="([^"]*)"', html)


def test_the_page_shows_all_worst_first(a_run: RunFolders, repmedsam: Repmedsam) -> None:
    output = a_run.root / "report.html"
    result = repmedsam("report", "-s", a_run.segs, "-i", a_run.cases, "-o", output)
    assert result.code == 0, result.err
    html = output.read_text()
    words = re.sub(r"\s+", " ", " ".join(parse(html).text))
    for expected in (
        CAUTION,
        "9.8.7",
        "Abacus",
        "pictures in int8",
        "4 cases segmented of 5 cases",
        "1 case failed of 5 cases",
        "4 objects in 4 cases",
        "median time of a case of 4 cases whose time is known",
        "3 more warnings",
    ):
        assert expected in words
    assert order_of(html) == [
        "2DBox_CT_broken.npz",
        escape(f"2DBox_CT_{EVIL}.npz"),
        "2DBox_US_bad.npz",
        "2DBox_US_good.npz",
        "3DBox_MR_ball.npz",
    ]
    assert "nothing marked" in words
    voxels = int((np.linalg.norm(np.mgrid[-6:6, -20:20, -30:30], axis=0) < 5).sum())
    assert f"{voxels * 2:,.1f}" in words  # mm3
    assert f"{voxels * 2 / 1000:,.3f}" in words  # ml
    assert re.search(r"\b18\.\d\b", words)  # 9 slices of 2 mm


def test_low_confidence_is_flagged_and_comes_first() -> None:
    from repmedsam_infer.evaluation.measure import Measure

    measure = Measure(1, 9, None, 3.0, 3.0, 0, 0, 0)
    objects = [
        ObjectResult(1, measure, confidence=0.93, name="disc"),
        ObjectResult(2, measure, confidence=0.41, name=EVIL),
    ]
    sure = Result(CaseReport("2D_US_a.npz", "ok"), (9, 9), None, objects[:1])
    unsure = Result(CaseReport("2D_US_b.npz", "ok"), (9, 9), None, objects)
    html = page("run", Run({}, {}), [sure, unsure], [])
    assert html.index("2D_US_b") < html.index("2D_US_a")
    assert html.index(">0.41<") < html.index(">0.93<")
    assert html.count('class="doubtful">0.41') == 1
    assert "the lowest confidence first" in html
    assert ">disc<" in html
    assert EVIL not in html


def test_objects_of_report_json_are_read_back(a_run: RunFolders) -> None:
    one = {"label": 1, "name": "disc", "box": [20, 10, 39, 29], "confidence": 0.5}
    a_run.report(cases=[{"case": "2DBox_US_good.npz", "status": "ok", "objects": [one]}])
    (report,) = read_run(a_run.segs).cases.values()
    assert report.objects == [ObjectReport(1, "disc", [20, 10, 39, 29], 0.5)]
    a_run.report(cases=[{"case": "2DBox_US_good.npz", "status": "ok", "objects": [{**one, "confidence": "high"}]}])
    with pytest.raises(UsageError, match="cannot be read"):
        read_run(a_run.segs)


def test_scores_are_those_of_evaluate(a_run: RunFolders) -> None:
    from repmedsam_infer.evaluation.evaluate import evaluate_case

    score, _ = make.find_scoring()
    run = read_run(a_run.segs)
    names = [name for name in find_names(run, a_run.segs) if "broken" not in name]
    for result in collect(names, run, Folders(a_run.segs, a_run.cases), score, draw_nothing):
        name = result.report.case
        expected = evaluate_case(a_run.cases / name, a_run.segs / name, challenge=False, baselines=False).score
        assert result.dsc == pytest.approx(expected.dsc)
        assert result.nsd == pytest.approx(expected.nsd)


def draw_nothing(opened: Opened) -> None:
    return None


def test_nothing_of_strangers_becomes_markup_and_nothing_is_loaded(a_run: RunFolders) -> None:
    output = a_run.root / "report.html"
    make_report(Folders(a_run.segs, a_run.cases), output)
    parsed = parse(output.read_text())
    assert parsed.tags.count("script") == parsed.tags.count("style") == 1
    assert not [a for a in parsed.attributes if a[1].startswith("on") or a[1] == "style"]
    for _, name, value in parsed.attributes:
        if name in ("src", "href", "action", "data"):
            assert (value or "").startswith(("data:image/jpeg;base64,", "#"))
    assert any(EVIL in text for text in parsed.text)
    assert "\u202e" not in output.read_text()
    (policy,) = [v for t, n, v in parsed.attributes if n == "content" and "default-src" in (v or "")]
    assert "default-src 'none'" in (policy or "")
    assert "unsafe" not in (policy or "")
    assert "http" not in re.sub(r'http-equiv="', "", re.sub('data:[^"]*', "", output.read_text()))


def test_names_lead_to_no_other_folder(a_run: RunFolders) -> None:
    write_npz(a_run.root / "2D_secret.npz", imgs=good_image(), boxes=good_box())
    a_run.report(cases=[reported("../2D_secret.npz"), reported("2DBox_US_good.npz")])
    problems = make_report(Folders(a_run.segs, a_run.cases), a_run.root / "report.html")
    assert problems == ["../2D_secret.npz: is not the name of a file"]


def test_files_that_cannot_be_read_are_listed(a_run: RunFolders, repmedsam: Repmedsam) -> None:
    (a_run.cases / "2DBox_US_good.npz").unlink()
    (a_run.segs / "2DBox_US_bad.npz").write_bytes(b"no zip")
    write_npz(a_run.segs / "3DBox_MR_ball.npz", segs=np.full((12, 40, 60), 10**7))
    output = a_run.root / "report.html"
    result = repmedsam("report", "-s", a_run.segs, "-i", a_run.cases, "-o", output)
    assert result.code == 1
    for words in ("2DBox_US_good.npz: the file is not there", "2DBox_US_bad.npz: not an npz", "0 to 65535"):
        assert words in result.err
        assert words in output.read_text()
    assert "broken" not in result.err  # predict has printed that already


@pytest.mark.parametrize(
    "content",
    [
        "[",
        "[]",
        '{"cases": 3}',
        '{"cases": [{"case": "a"}]}',
        '{"cases": [{"case": "a", "status": "ok", "seconds": "NaN"}]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_report_json_is_refused(content: str, a_run: RunFolders, repmedsam: Repmedsam) -> None:
    (a_run.segs / "report.json").write_text(content)
    result = repmedsam("report", "-s", a_run.segs, "-i", a_run.cases, "-o", a_run.root / "report.html")
    assert result.code == 2
    assert "report.json" in result.err
    assert "Traceback" not in result.err


def test_segmentations_alone_make_a_page_with_the_times_of_efficiency_csv(a_run: RunFolders) -> None:
    (a_run.segs / "report.json").unlink()
    (a_run.segs / "efficiency.csv").write_text("case,time\n2DBox_US_good.npz,3.25\n2DBox_US_bad.npz,soon\n")
    output = a_run.root / "report.html"
    assert make_report(Folders(a_run.segs, a_run.cases), output) == []
    words = " ".join(parse(output.read_text()).text)
    assert "3.25 s" in words
    assert "not a number: soon" in words
    assert "no report.json" in words


def test_without_the_extra_there_is_a_page_without_scores(
    a_run: RunFolders, monkeypatch: pytest.MonkeyPatch, repmedsam: Repmedsam
) -> None:
    monkeypatch.setitem(sys.modules, "repmedsam_infer.evaluation.object_scores", None)
    output = a_run.root / "report.html"
    assert make_report(Folders(a_run.segs, a_run.cases), output) == []
    words = " ".join(parse(output.read_text()).text)
    assert "pip install 'repmedsam[evaluate]'" in words
    assert "mean DSC of a case" not in words
    result = repmedsam("report", "-s", a_run.segs, "-i", a_run.cases, "-g", a_run.cases, "-o", output)
    assert result.code == 3
    assert "pip install" in result.err


def test_ground_truth_may_lie_elsewhere(a_run: RunFolders) -> None:
    gts = a_run.root / "gts"
    gts.mkdir()
    (a_run.cases / "2DBox_US_bad.npz").rename(gts / "2DBox_US_bad.npz")
    write_npz(a_run.cases / "2DBox_US_bad.npz", imgs=good_image(), boxes=good_box())
    output = a_run.root / "report.html"
    make_report(Folders(a_run.segs, a_run.cases, gts), output)
    assert len(re.findall(r"<tbody[^>]* data-dsc=", output.read_text())) == 1


def test_bad_ground_truth_is_a_warning_and_the_mask_is_shown(a_run: RunFolders) -> None:
    gts = a_run.root / "gts"
    gts.mkdir()
    (gts / "2DBox_US_bad.npz").write_bytes(b"no zip")
    write_npz(gts / "2DBox_US_good.npz", gts=np.zeros((3, 3), np.uint8))
    output = a_run.root / "report.html"
    assert make_report(Folders(a_run.segs, a_run.cases, gts), output) == []
    words = " ".join(parse(output.read_text()).text)
    assert words.count("its ground truth cannot be used") == 2
    assert output.read_text().count("<figure") == 4


def test_a_page_that_cannot_be_written_says_what_to_do(a_run: RunFolders, repmedsam: Repmedsam) -> None:
    result = repmedsam("report", "-s", a_run.segs, "-i", a_run.cases, "-o", a_run.root / "nowhere" / "report.html")
    assert result.code == 3
    assert "-o" in result.err


def test_many_objects_and_many_cases_stay_readable() -> None:
    many = [ObjectResult(label, None, dsc=label / 4000) for label in range(1, 4001)]
    html = page("many", Run({}, {}), [Result(CaseReport("2D_US_many.npz", "ok"), (9, 9), None, many)], [])
    assert html.count("nothing marked") == MOST_ROWS
    assert f"{4000 - MOST_ROWS} more are not listed" in html
    assert "<tbody" in page("one", Run({}, {}), [Result(CaseReport("2D.npz", "failed", error="no"))], [])


def test_pictures_keep_to_their_budget(a_run: RunFolders) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3)).astype(np.uint8)
    for limit in (2_000, 20_000, 200_000):
        assert len(compress(noise, limit)) <= limit
    case = read_case(a_run.cases / "2DBox_US_good.npz")
    volume = read_case(a_run.cases / "3DBox_MR_ball.npz")
    for opened in (Opened(one, one.empty_segmentation(), None, "") for one in (case, volume)):
        for cases in (1, 540, 5000):
            pictures = draw_pictures(opened, ALL_BYTES / cases)
            drawn = [pictures.small, pictures.large, *(one.jpeg for one in pictures.slices)]
            assert sum(map(len, drawn)) <= ALL_BYTES / cases
            assert all(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) is not None for jpeg in drawn)


def test_templates_escape_all_but_markup() -> None:
    texts = {"a": "a<b", "nothing": None, "three": 3, "quotes": "\"'"}
    source = '{% set line %}<br>{% endset %}<p title="{{ quotes }}" open>{{ a }}{{ line }}{{ nothing }}{{ three }}</p>'
    assert templates().from_string(source).render(texts) == '<p title="&#34;&#39;" open>a&lt;b<br>3</p>'
    unseen = templates().from_string("{{ text }}").render(text="a\0b\u200bc\ud800")
    assert unseen == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c?"
    with pytest.raises(UndefinedError):
        templates().from_string("{{ unknown }}").render()
    for name in templates().list_templates(extensions=["jinja"]):
        assert not re.search(r"\|\s*safe|autoescape", (Path(make.__file__).parent / "template" / name).read_text())


@pytest.mark.parametrize("scored", [True, False])
def test_every_text_of_strangers_stays_text(scored: bool) -> None:
    evil = EVIL + EVIL_MESSAGE
    setting = {"repmedsam": evil, "engine": {"name": evil, "precision": {evil: evil}}, "weights": [evil], "jobs": evil}
    failed = CaseReport(f"{evil}.npz", "failed", stages={evil: 1.0}, error=evil, warnings=[evil] * 5)
    report = CaseReport(f"2DBox_{evil}_1.npz", "ok", 1.0, stages={evil: 1.0})
    score = 0.5 if scored else None
    objects = [ObjectResult(1, None, score, score, name=evil)]
    pictures = Pictures(b"small", b"large", [Slice(0, b"slice")], 1, 0)
    html = page(
        evil,
        Run(setting, {}),
        [Result(failed), Result(report, (4, 4), None, objects, scored, pictures=pictures)],
        [evil],
    )
    html.encode()
    parsed = parse(html)
    assert parsed.tags.count("img") == 3
    assert parsed.tags.count("script") == parsed.tags.count("style") == 1
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert "\u202e" not in html
    assert sum(text.count(EVIL) for text in parsed.text) > 15


VALID = {
    "repmedsam": "1",
    "engine": {"name": "openvino", "version": "2026", "precision": {"pictures": "int8"}},
    "threads": 2,
    "peak_memory_mib": 100.5,
    "load_seconds": 0.5,
    "cases": [
        {
            "case": "2DBox_US_good.npz",
            "status": "ok",
            "seconds": 0.5,
            "stages": {"encode": 0.3, "decode": 0.1},
            "boxes": 1,
            "labels": 1,
            "objects": [{"label": 1, "name": "disc", "box": [20, 10, 39, 29], "confidence": 0.5}],
            "warnings": ["odd"],
            "error": None,
            "input": "2DBox_US_good.npz",
            "output": "2DBox_US_good.npz",
        },
        {"case": "a.nii.gz", "status": "ok", "seconds": 1, "objects": [], "input": "/a.nii.gz", "output": "a.nii.gz"},
        {"case": "2DBox_CT_broken.npz", "status": "failed", "error": "broken"},
    ],
}
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(
        [0, -1, 10**400, 1e-320, 1e308, float("inf"), float("nan"), "", "..", "/", "a\0b", "\ud800", EVIL]
    )
    | st.floats()
    | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in JSON, as the keys that lead there."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path, *(place for key in keys for place in places_in(value[key], (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return JSON with another value at a place."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(places_in(VALID)), ANY_JSON), min_size=1, max_size=3))
def test_any_report_json_makes_a_page_or_one_sentence(
    changes: list[tuple[tuple[Any, ...], Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    content: Any = VALID
    for path, new in changes:
        with contextlib.suppress(LookupError, TypeError, AttributeError):  # an earlier change took the place away
            content = put(content, path, new)
    (folder / "report.json").write_text(json.dumps(content))
    try:
        run = read_run(folder)
        names = find_names(run, folder)
    except UsageError as error:
        assert str(error).isprintable()
        return
    results = list(collect(names, run, Folders(folder, folder), None, draw_nothing))
    html = page("odd", run, results, [])
    html.encode()
    assert EVIL not in html
    assert all("internal error" not in (result.report.error or "") for result in results)
    assert len(html) < 200_000


@pytest.mark.parametrize(
    "content",
    [
        {"cases": [reported("2DBox_US_good.npz", seconds=0, stages={"encode": 0})]},
        {"cases": [reported("2DBox_US_good.npz", seconds=1e308, stages={"encode": 1e308, "decode": 1e308})] * 2},
        {"cases": [], "load_seconds": float("inf"), "peak_memory_mib": 10**400},
        {
            "cases": [],
            "load_seconds": float("nan"),
            "peak_memory_mib": True,
            "engine": [],
            "threads": {"a": "b" * 10**6},
        },
    ],
)
def test_numbers_that_make_no_sense_make_a_page_that_does(content: dict[str, Any], a_run: RunFolders) -> None:
    a_run.report(**content)
    output = a_run.root / "report.html"
    assert make_report(Folders(a_run.segs, a_run.cases), output) == []
    words = output.read_text()
    assert not re.search(r"\b(inf|nan)\b", re.sub("<script>.*</script>", "", words, flags=re.DOTALL))


@pytest.mark.parametrize("spacing", [[1e200, 1e200, 1e200], [5e-324, 1, 1e308], [1e-300, 1e-300, 1e-300]])
def test_any_spacing_has_a_page(spacing: list[float], a_run: RunFolders) -> None:
    with np.load(a_run.cases / "3DBox_MR_ball.npz") as case:
        write_npz(a_run.cases / "3DBox_MR_ball.npz", **{**case, "spacing": np.array(spacing)})
    assert make_report(Folders(a_run.segs, a_run.cases), a_run.root / "report.html") == []


def test_a_fault_of_ours_in_one_case_leaves_the_others(a_run: RunFolders) -> None:
    def fail(opened: Opened) -> None:
        if "bad" in opened.case.name:
            raise ZeroDivisionError("of\nours")

    run = read_run(a_run.segs)
    names = find_names(run, a_run.segs)
    found = list(collect(names, run, Folders(a_run.segs, a_run.cases), None, fail))
    (error,) = [one.report.error for one in found if "bad" in one.report.case]
    assert "please report it: ZeroDivisionError: of\\nours" in (error or "")
    assert sum(one.report.status == "failed" for one in found) == 2  # and the one that was broken


def test_slices_that_are_left_out_are_named(a_run: RunFolders) -> None:
    volume = read_case(a_run.cases / "3DBox_MR_ball.npz")
    deep = replace(volume, imgs=np.repeat(volume.imgs, 20, 0))
    opened = Opened(deep, np.repeat(volume.empty_segmentation(), 20, 0), None, "")
    few = draw_pictures(opened, 50_000)
    assert 3 <= len(few.slices) <= 8
    assert "of 240 slices" in slices_text(few)
    assert "left out" in slices_text(few)
    none = draw_pictures(opened, 4_000)
    assert not none.slices
    assert "no room" in slices_text(none)
    whole = draw_pictures(Opened(volume, volume.empty_segmentation(), None, ""), 1 << 22)
    assert slices_text(whole) == "all 12 slices"
