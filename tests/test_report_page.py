"""The page of a run: true to its folders, and harmless whatever they hold."""

import re
import sys
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from jinja2 import UndefinedError

from repmedsam_infer.batch.report import CaseReport, ObjectReport, Run, read_run
from repmedsam_infer.case import read_case
from repmedsam_infer.errors import UsageError
from repmedsam_infer.report_page import make
from repmedsam_infer.report_page.make import make_report
from repmedsam_infer.report_page.objects import MOST_ROWS
from repmedsam_infer.report_page.opened import Folders, Opened
from repmedsam_infer.report_page.page import CAUTION, page, templates
from repmedsam_infer.report_page.pictures import ALL_BYTES, Pictures, Slice, compress, draw_pictures
from repmedsam_infer.report_page.results import ObjectResult, Result
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
    from repmedsam_infer.report_page.results import collect, find_names

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
    objects = [ObjectResult(1, None, *((0.5, 0.5) if scored else (None, None)), name=evil)]
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
