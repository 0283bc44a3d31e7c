"""The page of a run: true to its folders, harmless whatever they hold, and as it looks and works in a real browser."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from jinja2 import UndefinedError
from numpy.typing import NDArray

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

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVIL = "<img src=x onerror=alert(1)>"
EVIL_MESSAGE = "</script><script>document.title='owned'</script><style>*{display:none}</style>\u202e\ud800&amp;\"'"


@dataclass
class RunFolders:
    root: Path
    cases: Path
    segs: Path

    def report(self, **content: object) -> None:
        (self.segs / "report.json").write_text(json.dumps(content))


@pytest.fixture
def a_run(tmp_path: Path) -> RunFolders:
    """Three pictures and a volume, well segmented, badly, not at all, and one whose case is broken."""
    run = RunFolders(tmp_path, tmp_path / "cases", tmp_path / "segs")
    run.cases.mkdir()
    run.segs.mkdir()
    disc = np.hypot(*(np.mgrid[:40, :60] - [[[20]], [[30]]])) < 10
    add(run, "2DBox_US_good.npz", disc, disc)
    add(run, "2DBox_US_bad.npz", disc, np.roll(disc, 9, 1))
    add(run, f"2DBox_CT_{EVIL}.npz", disc, np.zeros_like(disc))
    ball = np.linalg.norm(np.mgrid[:12, :40, :60] - np.array([6, 20, 30]).reshape(3, 1, 1, 1), axis=0) < 5
    write_npz(
        run.cases / "3DBox_MR_ball.npz", imgs=ball.astype(np.uint8) * 99, gts=ball.astype(np.uint8),
        boxes=np.array([[25, 15, 1, 35, 25, 11]]), spacing=np.array([2.0, 1.0, 1.0]),
    )  # fmt: skip
    write_npz(run.segs / "3DBox_MR_ball.npz", segs=ball.astype(np.uint8))
    cases = [
        reported("2DBox_US_good.npz", seconds=0.5, stages={"encode": 0.3, "decode": 0.1}),
        reported("2DBox_US_bad.npz", seconds=0.25, warnings=[EVIL_MESSAGE, *(f"box {i} is odd" for i in range(5))]),
        reported(f"2DBox_CT_{EVIL}.npz", seconds=0.1),
        reported("2DBox_CT_broken.npz", status="failed", error=f"2DBox_CT_broken.npz: {EVIL_MESSAGE}"),
        reported("3DBox_MR_ball.npz", seconds=2.0),
    ]
    engine = {"name": "openvino", "version": "2026", "precision": {"pictures": "int8"}}
    run.report(repmedsam="9.8.7", processor=f"Abacus {EVIL}", engine=engine, threads=2, cases=cases)
    return run


def add(run: RunFolders, name: str, gt: NDArray[np.bool_], seg: NDArray[np.bool_]) -> None:
    write_npz(run.cases / name, imgs=good_image(), gts=gt.astype(np.uint8), boxes=good_box())
    write_npz(run.segs / name, segs=seg.astype(np.uint8))


def reported(name: str, **content: object) -> dict[str, Any]:
    return {"case": name, "status": "ok", "seconds": 1.0, "stages": {}, "warnings": [], "error": None, **content}


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


@dataclass
class Browser:
    """A headless Chromium that can reach nothing."""

    profile: Path

    def run(self, address: str, *options: str) -> tuple[str, list[str]]:
        """What it prints, and what the page's console says."""
        done = subprocess.run(
            [
                str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
                "--disable-dev-shm-usage", "--enable-logging=stderr", "--virtual-time-budget=2000",
                f"--user-data-dir={self.profile}", *options, address,
            ],
            capture_output=True, text=True, timeout=90, check=True,
        )  # fmt: skip
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine (chromium, chromium-browser, google-chrome)")
    return Browser(tmp_path / "profile")


def test_a_browser_shows_sorts_and_filters_it(a_run: RunFolders, browser: Browser) -> None:
    output = a_run.root / "report.html"
    make_report(Folders(a_run.segs, a_run.cases), output)
    dom, console = browser.run(f"{output.as_uri()}#sort=seconds&order=ascending&text=box&status=ok", "--dump-dom")
    assert console == []
    assert order_of(dom)[1:] == ["2DBox_US_bad.npz", "2DBox_US_good.npz", "2DBox_CT_broken.npz", "3DBox_MR_ball.npz"]
    hidden = [row for row in re.findall(r"<tbody[^>]*>", dom) if "hidden" in row]
    assert len(hidden) == 1
    assert "broken" in hidden[0]
    assert "4 of 5 cases" in dom
    assert re.search(r'<th[^>]*aria-sort="ascending"[^>]*><button[^>]*>Time', dom)


def test_clicks_sort_keys_close_and_what_is_typed_filters(a_run: RunFolders, browser: Browser) -> None:
    output = a_run.root / "report.html"
    make_report(Folders(a_run.segs, a_run.cases), output)
    hand = """
        const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key }));
        const button = document.querySelector("[data-sort=dsc]");
        button.click(); button.click();
        const form = document.querySelector("form");
        form.text.value = "box us"; form.text.dispatchEvent(new Event("input", { bubbles: true }));
        document.querySelector("[data-open]").click();
        const shown = [...document.querySelectorAll("tbody.case:not([hidden])")];
        location.hash = "p" + shown[0].id.slice(1);
        setTimeout(() => {
          press("ArrowRight");
          setTimeout(() => { document.title = location.hash; press("Escape"); }, 100);
        }, 100);
    """
    html = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", output.read_text())
    output.write_text(html.replace("</body>", f"<script>{hand}</script></body>"))
    dom, console = browser.run(output.as_uri(), "--dump-dom")
    assert console == []
    rows = re.findall(r"<tbody[^>]* data-case=[^>]*>", dom)
    shown = [row for row in rows if "hidden" not in row]
    assert order_of("".join(shown)) == ["2DBox_US_good.npz", "2DBox_US_bad.npz"]
    assert "2DBox_CT_broken" in rows[-1]  # what has no score comes last in either order
    second = shown[1].partition('id="c')[2].partition('"')[0]
    assert f"<title>#p{second}</title>" in dom
    assert re.search(r'<th[^>]*aria-sort="descending"[^>]*><button[^>]*>Mean DSC', dom)
    assert dom.count('<details open="">') >= 2
    assert "Close all" in dom


@pytest.mark.parametrize("width", [1200, 520])
def test_nothing_overlaps_and_the_page_does_not_scroll_sideways(
    width: int, a_run: RunFolders, browser: Browser
) -> None:
    output = a_run.root / "report.html"
    make_report(Folders(a_run.segs, a_run.cases), output)
    look = """
        for (const one of document.querySelectorAll("details")) one.open = true;
        const cells = [...document.querySelectorAll(".case > tr > :not(.picture)")];
        const boxes = cells.map((cell) => cell.getBoundingClientRect());
        const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
          && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
        const overlaps = boxes.filter((a, i) => boxes.slice(i + 1).some((b) => over(a, b))).length;
        const inside = [...document.querySelectorAll(".case > tr")].filter((row) => {
          const end = row.getBoundingClientRect().bottom;
          return [...row.children].some((e) => !e.matches(".picture") && e.getBoundingClientRect().bottom > end + 1);
        }).length;
        document.title = `${overlaps} ${inside} ${document.documentElement.scrollWidth - innerWidth}`;
    """
    html = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", output.read_text())
    output.write_text(html.replace("</body>", f"<script>{look}</script></body>"))
    dom, _ = browser.run(output.as_uri(), "--dump-dom", f"--window-size={width},900")
    assert re.findall("<title>([^<]*)</title>", dom)[0] == "0 0 0"


def test_a_browser_runs_no_script_but_the_pages_own(a_run: RunFolders, browser: Browser) -> None:
    output = a_run.root / "report.html"
    make_report(Folders(a_run.segs, a_run.cases), output)
    planted = output.read_text().replace("</main>", "<script>document.title='owned'</script></main>")
    output.write_text(planted)
    dom, console = browser.run(output.as_uri(), "--dump-dom")
    assert "<title>owned" not in dom
    assert any("Content Security Policy" in line for line in console)


@pytest.mark.parametrize("width", [1200, 520])
def test_a_browser_draws_it_light_and_dark(width: int, a_run: RunFolders, browser: Browser) -> None:
    output = a_run.root / "report.html"
    make_report(Folders(a_run.segs, a_run.cases), output)
    shots = {}
    for theme, number in (("dark", 0), ("light", 1)):
        picture = a_run.root / f"{theme}.png"
        options = (f"--blink-settings=preferredColorScheme={number}", f"--window-size={width},900")
        _, console = browser.run(output.as_uri(), f"--screenshot={picture}", *options)
        assert console == []
        shot = cv2.imread(str(picture))
        assert shot is not None
        shots[theme] = shot
    assert shots["light"].mean() > 200
    assert shots["dark"].mean() < 60
    assert shots["light"].std() > 10
    assert shots["dark"].std() > 10


def test_a_browser_enlarges_a_picture(a_run: RunFolders, browser: Browser) -> None:
    output, picture = a_run.root / "report.html", a_run.root / "large.png"
    make_report(Folders(a_run.segs, a_run.cases), output)
    browser.run(f"{output.as_uri()}#p2", f"--screenshot={picture}", "--window-size=1000,800")
    shot = cv2.imread(str(picture))
    assert shot is not None
    assert shot[5:15, 5:15].mean() < 30  # the page lies behind it
    assert shot[300:500, 400:600].std() > 5
