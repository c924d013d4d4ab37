"""The HTML pages of replays, opened in a real browser."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, chromium
from PIL import Image
from replay_runs import made
from rich.console import Console

from segpoint.errors import SegPointError
from segpoint.stopwatch import STAGES
from segpoint_replay import charts, pages
from segpoint_replay.gallery import Gallery
from segpoint_replay.measures import Said
from segpoint_replay.record import REPORT
from segpoint_replay.recording import Frame
from segpoint_replay.report import command_line, write_comparison, write_index, write_report
from segpoint_replay.summary import summary
from segpoint_replay.tables import print_run
from segpoint_replay.truth import Truth
from segpoint_ros.messages import Header
from segpoint_ros.pointcloud2 import make_cloud

MUG, BOX, SEAT = "pick up the mug", "the red box behind the bowl", "where can I sit?"
HOSTILE = (
    "<script>document.title = 'broken out'</script>",
    "\"'><img src=x onerror=\"document.title='broken out'\">",
    "</style></title><svg onload=alert(1)>{{ 7 * 7 }}",
    "הבא לי את הספל \u202e gum eht",
    "x" * 10_000,
    "half a pair \ud800 and a NUL \0",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as page:
        yield page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With pictures 0.png to 3.png: a small one, one that is far too large, one cut off, and a text."""
    draw = np.random.default_rng(0)
    Image.fromarray(draw.integers(0, 255, (80, 200, 3), dtype=np.uint8)).save(tmp_path / "0.png")
    Image.fromarray(draw.integers(0, 255, (1200, 1600, 3), dtype=np.uint8)).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "0.png").read_bytes()[:2000])
    (tmp_path / "3.png").write_text("no picture")
    return tmp_path


def opened(browser: Browser, path: Path, width: int = 1280, dark: bool = False) -> str:
    """The page's visible text, after checking that it is whole: no error, no request, nothing sticks out."""
    browser.open(path, width, dark=dark)
    assert browser.errors == []
    assert browser.requests == [path.resolve().as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    return browser.evaluate("document.body.innerText")


def tile(browser: Browser, name: str) -> str:
    return browser.evaluate(f"document.querySelector('.tile[data-name=\"{name}\"]').innerText")


def test_report_shows_the_runs_figures(browser: Browser, folder: Path) -> None:
    run = made(40, [MUG, BOX, SEAT, "the can", "the plate"], dropped=3, troubles=2, pictures=4)
    write_report(run, folder, folder / REPORT)
    text = opened(browser, folder / REPORT)
    figures = summary(run)
    assert pages.share(figures.overall.miou) in tile(browser, "mIoU")
    assert "148 answers with a target" in tile(browser, "mIoU")
    assert pages.share(figures.overall.zero_target_accuracy) in tile(browser, "Zero-target accuracy")
    assert f"truth {pages.share(figures.overall.true_stability)}" in tile(browser, "Stability")
    assert "3 of 40 clouds" in tile(browser, "Dropped") and "stopped" not in text
    assert pages.seconds(figures.timing.latency_p95) in tile(browser, "Latency")
    assert "cloud 1: cut off after 1024 of 4096 bytes" in text
    assert "mask.threshold = 0.4" in text and "a test's" in text
    assert text.index("To know before you read the figures") < text.index("mIoU")
    for name in ("2.png", "3.png"):
        assert f"The picture {name} cannot be read." in text
    assert browser.evaluate("[...document.images].map(one => one.naturalWidth > 0)") == [True, True]
    assert len((folder / REPORT).read_bytes()) < 500_000
    assert browser.evaluate("document.querySelectorAll('.mark').length") == 3 + 1  # the legend's


def test_a_click_sorts_and_one_more_turns_round(browser: Browser, tmp_path: Path) -> None:
    run = made(30, [SEAT, MUG, BOX, "b", "nothing there"])
    write_report(run, tmp_path, tmp_path / REPORT)
    opened(browser, tmp_path / REPORT)
    figures = summary(run).instructions
    column = "[...document.querySelectorAll('table')[0].tBodies[0].rows].map(row => row.cells[0].innerText)"
    click = "document.querySelectorAll('table')[0].tHead.rows[0].cells[{}].querySelector('button').click()"
    assert browser.evaluate(column) == list(figures)
    known = {text: one.miou for text, one in figures.items() if one.miou is not None}
    falling = sorted(known, key=lambda text: -known[text])
    browser.evaluate(click.format(2))
    assert browser.evaluate(column) == [*falling, "nothing there"]
    browser.evaluate(click.format(2))
    assert browser.evaluate(column) == [*falling[::-1], "nothing there"], "no value stays last"
    browser.evaluate(click.format(0))
    assert browser.evaluate(column) == sorted(figures, key=str.lower)


def test_a_chart_tells_what_the_mouse_points_at(browser: Browser, tmp_path: Path) -> None:
    run = made(20, [MUG])
    write_report(run, tmp_path, tmp_path / REPORT)
    opened(browser, tmp_path / REPORT)
    place = browser.evaluate(
        "(() => { const box = document.querySelectorAll('.slab')[7]; box.scrollIntoView({block: 'center'});"
        " const at = box.getBoundingClientRect(); return [at.x + at.width / 2, at.y + 9]; })()"
    )
    browser.hover(*place)
    hint = browser.evaluate("document.getElementById('hint').innerText")
    assert hint == f"0.70 s\n{MUG}: {pages.share(run.answers[7].iou)}"


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_data_stays_text(browser: Browser, tmp_path: Path, width: int) -> None:
    run = made(12, HOSTILE, troubles=1, pictures=2, bag=HOSTILE[1], out=str(tmp_path / "out"))
    answers = tuple(replace(row, answer=row.instruction, kind=row.instruction) for row in run.answers)
    run = replace(
        run, answers=answers, troubles=HOSTILE, topic=HOSTILE[0], frame_id=HOSTILE[1], axes=HOSTILE[2],
        backend=HOSTILE[2], versions={HOSTILE[0]: HOSTILE[1]},
        frames=tuple(replace(frame, why=HOSTILE[0], answered=frame.number % 2 == 0) for frame in run.frames),
    )  # fmt: skip
    write_report(run, tmp_path, tmp_path / REPORT)
    write_comparison(run, replace(run, backend=HOSTILE[3]), tmp_path / "compare.html")
    write_index([run], tmp_path / "index.html", failed={HOSTILE[0]: HOSTILE[1]})
    for name in (REPORT, "compare.html", "index.html"):
        text = opened(browser, tmp_path / name, width)
        assert browser.evaluate("document.title") != "broken out"
        assert "{{ 7 * 7 }}" in text or name != REPORT
        assert HOSTILE[1] in text
        assert browser.evaluate(
            "[document.scripts.length, document.querySelectorAll('[onload],[onerror]').length]"
        ) == [1, 0]
    assert "(10\u202f000 characters)" in (tmp_path / REPORT).read_text()


def test_the_policy_stops_what_would_get_in(browser: Browser, tmp_path: Path) -> None:
    write_report(made(3, [MUG]), tmp_path, tmp_path / REPORT)
    page = (tmp_path / REPORT).read_text()
    inserted = "<script>document.title = 'in'</script><img src='https://example.invalid/x.png'><p style='color:red'>"
    (tmp_path / "bad.html").write_text(page.replace("<main>", "<main>" + inserted))
    browser.open(tmp_path / "bad.html")
    assert browser.evaluate("document.title") != "in"
    assert browser.evaluate("fetch('https://example.invalid/').then(() => 'went', () => 'stopped')") == "stopped"
    assert len([error for error in browser.errors if "Content Security Policy" in error]) >= 3


@pytest.mark.parametrize("clouds", [0, 1, 3])
def test_short_and_empty_runs(browser: Browser, tmp_path: Path, clouds: int) -> None:
    write_report(replace(made(clouds, [MUG] if clouds else []), complete=False), tmp_path, tmp_path / REPORT)
    text = opened(browser, tmp_path / REPORT, 390, dark=True)
    assert "Stopped before the last cloud." in text
    reached = f"after the cloud at {(clouds - 1) / 10:.2f} s of the bag" if clouds else "No cloud was reached."
    assert reached in text and "until it was stopped" in text
    assert not re.search(r"\b(nan|None|inf)\b", text)
    assert ("No cloud was answered." in text) == (clouds == 0)


def test_without_truth_says_why_and_shows_the_rest(browser: Browser, tmp_path: Path) -> None:
    write_report(made(30, [MUG, BOX], truth=False, pictures=1), tmp_path, tmp_path / REPORT)
    text = opened(browser, tmp_path / REPORT)
    assert "No truth." in text and "segpoint annotate" in text
    assert "no labels" in tile(browser, "mIoU") and "no labels" in tile(browser, "Position error")
    assert "truth unknown" in tile(browser, "Stability")
    assert "Marked points of each instruction" in text
    assert "Least steady answers" in text and "Worst answers" not in text
    assert browser.evaluate("document.querySelectorAll('.plot .line').length") > 4


def test_long_runs_are_thinned_and_say_so(browser: Browser, tmp_path: Path) -> None:
    write_report(made(1500, [f"thing {number}" for number in range(32)], dropped=1200), tmp_path, tmp_path / REPORT)
    text = opened(browser, tmp_path / REPORT, 390)
    assert f"Thinned: each of {charts.CELLS // 32} steps shows the mean" in text
    assert f"Thinned: each of {charts.STEPS} steps shows the mean" in text
    assert browser.evaluate("document.querySelectorAll('.strip > bdi').length") == 32
    assert (tmp_path / REPORT).stat().st_size < 600_000


def test_comparison(browser: Browser, tmp_path: Path) -> None:
    a = made(40, [MUG, BOX], out="out/a")
    worse = tuple(replace(row, iou=row.iou and row.iou / 2) for row in a.answers)
    b = replace(a, answers=worse, job=a.job | {"out": "out/b", "rate": 2.0, "way": "live"}, versions={"segpoint": "9"})
    write_comparison(a, b, tmp_path / "compare.html")
    text = opened(browser, tmp_path / "compare.html")
    fell = summary(b).overall.miou - summary(a).overall.miou
    assert pages.signed(pages.points(fell)) in tile(browser, "mIoU")
    assert "95 % interval" in tile(browser, "mIoU")
    assert browser.evaluate("document.querySelector('.tile[data-name=mIoU] .value').classList.contains('bad')")
    assert "B\n" + pages.share(summary(b).overall.miou) in tile(browser, "mIoU")
    differing = browser.evaluate("document.getElementById('configuration').innerText")
    assert all(name in differing for name in ("rate", "way", "out")) and "topic" not in differing
    assert "--rate 2.0" in text and "0.7.0" in text
    with pytest.raises(SegPointError, match="nothing to compare"):
        write_comparison(a, made(40, [SEAT]), tmp_path / "other.html")


def test_the_plots_of_a_comparison_are_of_what_both_answered(tmp_path: Path) -> None:
    a = made(12, [MUG, BOX])
    kept = {
        number for number in range(12) if number not in (4, 5)
    }  # of which the live node answered the first question
    b = replace(a, answers=tuple(row for row in a.answers if row.frame in kept and row.instruction == MUG))
    write_comparison(a, b, tmp_path / "compare.html")
    paths = re.findall(r'class="line (c\d)" d="(M[^"H]+)"', (tmp_path / "compare.html").read_text())
    assert [colour for colour, _ in paths] == ["c1", "c0"] * 2, "IoU and stability; no latency is of the same answers"
    assert paths[0][1] == paths[1][1] and paths[2][1] == paths[3][1], "both have the same masks"
    assert [path.count("M") for _, path in paths] == [2] * 4, "no line over clouds that only one answered"


def test_what_is_typed_looks_so(browser: Browser, tmp_path: Path) -> None:
    told = "figures are off; `segpoint annotate` shows <which>, `it"
    write_report(replace(made(3, [MUG]), troubles=(told,)), tmp_path, tmp_path / REPORT)
    opened(browser, tmp_path / REPORT)
    assert browser.evaluate("document.querySelector('#troubles li').innerText") == told.replace(
        "`segpoint annotate`", "segpoint annotate"
    )
    assert browser.evaluate("document.querySelector('#troubles code').innerText") == "segpoint annotate"


def test_nothing_covers_the_points_of_a_chart(browser: Browser, tmp_path: Path) -> None:
    run = made(20, [MUG])
    frames = tuple(replace(frame, latency=0.4 if frame.number < 18 else 3.0) for frame in run.frames)
    write_report(replace(run, frames=frames), tmp_path, tmp_path / REPORT)
    for width in (1280, 390):
        opened(browser, tmp_path / REPORT, width)
        ends = browser.evaluate(
            "[...document.querySelectorAll('text.level')].map(one => [one.textContent, one.getBoundingClientRect()])"
            ".map(([text, box]) => [text, box.left, box.right])"
        )
        plot = browser.evaluate("document.querySelector('.levelled .area').getBoundingClientRect().right")
        assert [text for text, *_ in ends] == ["p50 400\u202fms", "p95 3.00\u202fs"]
        assert all(plot < left and right < width for _, left, right in ends)


def test_index_links_to_the_reports(browser: Browser, tmp_path: Path) -> None:
    runs = [made(20, [MUG], out=str(tmp_path / name), seed=seed) for seed, name in enumerate(["a b", "c?#%"])]
    for run in runs:
        write_report(run, tmp_path, Path(run.job["out"]) / REPORT)
    write_index(runs, tmp_path / "index.html", failed={"broken.bag": "it holds no clouds"})
    assert "it holds no clouds" in opened(browser, tmp_path / "index.html")
    table = "document.getElementById('bags')"
    assert browser.evaluate(f"{table}.scrollWidth <= {table}.parentElement.clientWidth"), "no column is cut off"
    rows = [row for run in runs for row in run.answers]
    assert pages.share(float(np.mean([row.iou for row in rows]))) in tile(browser, "mIoU")
    for address in browser.evaluate("[...document.querySelectorAll('td a, th a')].map(one => one.href)"):
        browser.open(address)
        assert "Replay of" in browser.evaluate("document.title")


def test_the_command_line_repeats_the_run(tmp_path: Path) -> None:
    run = made(3, ['it\'s "here" & $HOME'])
    job = run.job | {"topic": "/points", "every": 3, "way": "live", "rate": 0.5, "start": 1.5, "out": "out/x/kitchen"}
    words = shlex.split(command_line(job))
    assert words[:3] == ["segpoint", "replay", "bags/kitchen.mcap"] and "--live" in words
    pairs = dict(zip(words[3:], words[4:], strict=False))
    assert pairs["--instruction"] == 'it\'s "here" & $HOME' and pairs["--parameter"] == "mask.threshold=0.4"
    assert (pairs["--rate"], pairs["--start"], pairs["--every"]) == ("0.5", "1.5", "3")
    assert pairs["--out"] == "out/x" and "--duration" not in words
    # Of two bags of one name the second one's folder has another name, which no --out gives it again.
    assert shlex.split(command_line(job | {"out": "out/x/kitchen-2"}))[-2:] == ["--out", "out/x/kitchen-2-again"]


def test_a_page_that_is_not_ours_stays(tmp_path: Path) -> None:
    run, page = made(3, [MUG]), tmp_path / "index.html"
    for _ in range(2):
        write_index([run], page)
    page.write_text("<p>my precious page")
    for write in (lambda: write_index([run], page), lambda: write_comparison(run, run, page)):
        with pytest.raises(SegPointError, match="no page of `segpoint replay`.* stays: delete it or move it away"):
            write()
    assert page.read_text() == "<p>my precious page"


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (pages.share, None, "–"), (pages.percent, 0.0004, "<\u202f0.1\u202f%"), (pages.percent, 0.9999, "99.9\u202f%"),
        (pages.percent, 0.0, "0.0\u202f%"), (pages.percent, 1.0, "100.0\u202f%"),
        (pages.share, 0.5254, "52.5\u202f%"), (pages.share, 1.0, "100.0\u202f%"), (pages.points, 0.292, "29.2 points"),
        (pages.metres, 0.034, "3.4\u202fcm"), (pages.metres, 0.9999, "1.00\u202fm"),
        (pages.seconds, 0.345, "345\u202fms"), (pages.seconds, 0.9999, "1.00\u202fs"),
        (pages.seconds, 0.0012, "1.2\u202fms"), (pages.rate, 0.4, "0.40"), (pages.size, 20_000, "20\u202fk"),
    ],
)  # fmt: skip
def test_numbers_as_people_read_them(show, value, text: str) -> None:
    assert show(value) == text


def test_signs() -> None:
    assert [pages.signed(pages.bare(value)) for value in (0.01, -0.01, -0.0001)] == ["+1.0", "\u22121.0", "0.0"]


def test_long_sentences_can_be_read(browser: Browser, tmp_path: Path) -> None:
    said = [f"give me the {word} that stands between the coffee machine and the wall, but not the one with a chip in "
            "its rim or a handle missing" for word in ("mug", "cup", "glass", "bowl", "jar", "can")]  # fmt: skip
    write_report(made(12, said), tmp_path, tmp_path / REPORT)
    write_report(made(12, said[:2], out="b"), tmp_path, tmp_path / "lines.html")
    whole = "[...document.querySelectorAll('{}')].map(one => [one.innerText, one.scrollHeight <= one.clientHeight])"
    for width in (1280, 390):
        opened(browser, tmp_path / REPORT, width)
        assert browser.evaluate(whole.format(".strip bdi")) == [[text, True] for text in said]
        assert browser.evaluate(whole.format("tbody th bdi"))[: len(said)] == [[text, True] for text in said]
        opened(browser, tmp_path / "lines.html", width)
        assert browser.evaluate(whole.format(".legend bdi"))[:2] == [[text, True] for text in said[:2]]


def test_the_page_says_what_the_command_line_says(browser: Browser, tmp_path: Path) -> None:
    run = made(20, [MUG, "nothing", "a", "b", BOX])
    write_report(run, tmp_path, tmp_path / REPORT)
    opened(browser, tmp_path / REPORT)
    console = Console(width=200, record=True, file=io.StringIO())
    print_run(run, console)
    row = next(line for line in console.export_text().splitlines() if MUG in line)
    numbers = re.findall(r"[\d.]+", row)
    cells = browser.evaluate("[...document.querySelector('tbody tr').cells].map(one => one.innerText)")
    assert cells[0] == MUG
    assert cells[1:5] == numbers[:4] and cells[6:8] == numbers[4:6], "answers, mIoU, Acc@0.25, Acc@0.5; stabilities"
    assert f"{100 * summary(run).overall.miou:.1f}\u202f%" in tile(browser, "mIoU")


def test_each_stage_is_explained(browser: Browser, tmp_path: Path) -> None:
    run = made(6, [MUG])
    seconds = {"read": 0.01, **dict.fromkeys(STAGES, 0.1), "publish": 0.01, "odd": 0.1, "total": 2.0}
    run = replace(run, frames=tuple(replace(frame, seconds=seconds) for frame in run.frames))
    write_report(run, tmp_path, tmp_path / REPORT)
    text = opened(browser, tmp_path / REPORT)
    for stage, what in STAGES.items():
        assert f"{stage}\n{what}" in text
    told = browser.evaluate("[...document.querySelectorAll('th .note')].map(one => one.parentElement.innerText)")
    assert {"read", "publish", *STAGES} == {one.split("\n")[0] for one in told}


def test_a_picture_keeps_the_colours_of_what_is_no_target(browser: Browser, tmp_path: Path) -> None:
    row, column = np.mgrid[:60, :80]
    xyz = np.stack([(column - 39.5) / 70, (row - 29.5) / 70, np.ones((60, 80))], axis=-1).reshape(-1, 3)
    rgb = np.where((column < 40)[..., None], (200, 30, 30), (30, 60, 200)).astype(np.uint8).reshape(-1, 3)
    message = make_cloud(Header(frame_id="camera_optical"), xyz.astype(np.float32), rgb, 80, 60)
    mask = ((column > 60) & (row > 40)).ravel()
    run = made(1, [MUG])
    gallery = Gallery(tmp_path)
    truth = Truth(MUG, "name", ~mask & (column < 20).ravel(), np.zeros((1, 3)))
    gallery.add(Frame(0, 0, 0, 0.0, message), "optical", [Said(MUG, "it <SEG>.", mask)], [truth], run.answers)
    picture = Image.open(tmp_path / gallery.pictures[0].file).convert("RGB")
    half = picture.width // 2
    assert picture.height == pytest.approx(half * 60 / 80, abs=1), "no strip of words"
    spots = {"meant": (5, 9), "red": (half * 3 // 8, 9), "blue": (half + half * 3 // 4, 9),
             "marked": (picture.width - 5, picture.height - 5)}  # fmt: skip
    colour = {name: picture.getpixel(spot) for name, spot in spots.items()}
    for spot in ("meant", "marked"):
        assert colour[spot][0] > 180 and colour[spot][1] < 100 < colour[spot][2]
    assert max(np.abs(np.subtract(colour["red"], (200, 30, 30)))) < 40
    assert max(np.abs(np.subtract(colour["blue"], (30, 60, 200)))) < 40
    write_report(replace(run, pictures=gallery.pictures), tmp_path, tmp_path / REPORT)
    opened(browser, tmp_path / REPORT)
    assert (
        browser.evaluate("document.querySelector('.halves').innerText").split()
        == "what is meant what is marked".split()
    )


def test_of_a_panorama_the_answer_is_below(browser: Browser, tmp_path: Path) -> None:
    angle, height = np.meshgrid(np.linspace(-np.pi, np.pi, 900, endpoint=False), np.linspace(-0.25, 0.25, 16))
    xyz = 4 * np.stack([np.cos(angle), np.sin(angle), height], axis=-1).reshape(-1, 3)
    message = make_cloud(Header(frame_id="lidar"), xyz.astype(np.float32), None, 900, 16)
    gallery = Gallery(tmp_path)
    mask = np.abs(angle.ravel()) < 0.3
    run = made(1, [MUG])
    gallery.add(Frame(0, 0, 0, 0.0, message), "body", [Said(MUG, "it <SEG>.", mask)], [Truth(MUG, "", ~mask, xyz[:1])],
                run.answers)  # fmt: skip
    assert gallery.pictures[0].above
    write_report(replace(run, pictures=gallery.pictures), tmp_path, tmp_path / REPORT)
    opened(browser, tmp_path / REPORT)
    assert "above: what is meant" in (said := browser.evaluate("document.querySelector('.halves').innerText"))
    assert "below: what is marked" in said


def test_a_report_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SegPointError, match="cannot be written"):
        write_report(made(1, [MUG]), tmp_path, tmp_path / "file" / REPORT)
