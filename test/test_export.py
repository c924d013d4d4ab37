"""Export to ONNX: what the files hold, and that none is ever used that is not whole and of these weights."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest
from tiny_bundle import CONFIG, LANGUAGE_WIDTH, write_bundle

from segpoint import cli
from segpoint.bundle import WEIGHTS, load_network, read_weights
from segpoint.config import BundleConfig, default_bundle
from segpoint.engines import cache, export
from segpoint.engines.exported import MANIFEST, Exported, read_exported, source_hash
from segpoint.engines.graphs import signatures
from segpoint.engines.runner import Unavailable, choose
from segpoint.errors import SegPointError

GRAPHS = signatures(CONFIG, LANGUAGE_WIDTH)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def network(bundle: Path):
    return load_network(bundle, CONFIG, read_weights(bundle))


@pytest.fixture(scope="module")
def made(bundle: Path, network, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The one export by the real exporter, which takes seconds."""
    return export.export(bundle, CONFIG, network, tmp_path_factory.mktemp("made"))


@pytest.fixture
def exports(made: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache, and an exporter that copies what the real one has made. Gives the graphs it was asked for."""
    asked: list[str] = []

    def copied(module, signature, path: Path) -> None:
        asked.append(path.stem)
        shutil.copy(made.onnx(path.stem), path)

    monkeypatch.setattr(export, "to_onnx", copied)
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path / "cache"))
    return asked


def test_files_are_checked_and_described(made: Exported):
    manifest = json.loads((made.folder / MANIFEST).read_text())
    assert set(manifest["files"]) == {f"{graph}.onnx" for graph in ("gem", "encoder", "gfp")}
    assert manifest["source"] == made.source and manifest["opset"] == export.OPSET
    for graph, signature in GRAPHS.items():
        assert 0 <= manifest["parity"][graph] <= export.TOLERANCE
        onnx.checker.check_model(str(made.onnx(graph)), full_check=True)
        model = onnx.load(made.onnx(graph))
        for side, ports in (("input", signature.inputs), ("output", signature.outputs)):
            found = getattr(model.graph, side)
            assert [value.name for value in found] == [port.name for port in ports]
            for value, port, told in zip(found, ports, manifest["graphs"][graph][f"{side}s"], strict=True):
                kind = value.type.tensor_type
                assert [dim.dim_value for dim in kind.shape.dim] == list(port.shape) == told["shape"]
                names = {
                    "float32": onnx.TensorProto.FLOAT,
                    "int32": onnx.TensorProto.INT32,
                    "bool": onnx.TensorProto.BOOL,
                }
                assert kind.elem_type == names[port.kind] == names[told["dtype"]]


def test_graphs_are_made_once(bundle, network, exports):
    first = export.exported(bundle, CONFIG, network)
    again = export.exported(bundle, CONFIG, network)
    assert exports == ["gem", "encoder", "gfp"] and first == again
    assert not [path for path in first.folder.iterdir() if path.name.startswith(".")], "nothing is left lying about"


@pytest.mark.parametrize(
    "damage",
    ["truncated", "missing", "no manifest", "torn manifest", "of other files", "deep", "no name", "no text"],
)
def test_damaged_files_are_made_anew(bundle, network, exports, damage):
    folder = export.exported(bundle, CONFIG, network).folder
    file, manifest = folder / "gem.onnx", folder / MANIFEST
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "missing":
        file.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "deep":
        manifest.write_text("[" * 100_000)
    elif damage in ("no name", "no text"):
        name = "gem\0.onnx" if damage == "no name" else "gem\ud800.onnx"
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "files": {name: "0"}}))
    elif damage == "torn manifest":
        manifest.write_bytes(manifest.read_bytes()[:200])
    else:
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "files": {"../gem.onnx": "0"}}))
    with pytest.raises(SegPointError):
        read_exported(folder, source_hash(bundle), GRAPHS)
    export.exported(bundle, CONFIG, network)
    assert len(exports) == 6
    assert read_exported(folder, source_hash(bundle), GRAPHS).folder == folder


def test_graphs_of_other_weights_are_not_used(bundle, network, exports, tmp_path, caplog):
    theirs = export.exported(bundle, CONFIG, network)
    other = write_bundle(tmp_path / "other", seed=1)
    with pytest.raises(SegPointError, match="other weights"):
        read_exported(theirs.folder, source_hash(other), GRAPHS)
    for path in theirs.folder.iterdir():
        shutil.copy(path, other)  # somebody ships them with the wrong bundle
    # The exporter of this test still gives those of the first bundle: parity finds them out, and nothing is kept.
    with pytest.raises(Unavailable, match="differ from PyTorch"):
        export.exported(other, CONFIG, load_network(other, CONFIG, read_weights(other)))
    assert "other weights" in caplog.text
    cached = {path.name for path in theirs.folder.parent.iterdir() if path.is_dir() and any(path.iterdir())}
    assert cached == {theirs.folder.name}


def test_a_bundle_may_bring_its_own(made, exports, tmp_path, bundle, capsys):
    own = tmp_path / "own"
    shutil.copytree(bundle, own)
    assert cli.main(["export", str(own), "--out", str(own)]) == 0
    told = capsys.readouterr().out
    assert "gem.onnx" in told and "takes kernel int32 [1, 512, 8]" in told
    exports.clear()
    network = load_network(own, CONFIG, read_weights(own))
    assert export.exported(own, CONFIG, network).folder == own and not exports


def test_bad_arguments_are_one_line(tmp_path, capsys, exports):
    assert cli.main(["export", str(tmp_path / "nowhere")]) == 2
    bundle = write_bundle(tmp_path / "cut")
    (bundle / WEIGHTS).write_bytes((bundle / WEIGHTS).read_bytes()[:1000])
    assert cli.main(["export", str(bundle)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 2 and not exports


def test_a_cache_that_cannot_be_written(bundle, network, exports, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.INFO, "segpoint.engines"):
        engines = choose("auto", bundle, CONFIG, network, "cpu")
    assert engines.runner.name == "torch"
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and "SEGPOINT_CACHE" in warnings[0]
    with pytest.raises(SegPointError, match="SEGPOINT_CACHE"):
        choose("onnxruntime", bundle, CONFIG, network, "cpu")


def test_an_exporter_that_fails_says_so(bundle, network, exports, monkeypatch):
    monkeypatch.undo()  # the real one
    with pytest.raises(Unavailable, match="cannot be exported"):
        export.to_onnx(network, GRAPHS["gem"], Path("gem.onnx"))


def folder_used(engines: Path, name: str, days_ago: float) -> Path:
    """A folder of engines as another version has left it."""
    (engines / name).mkdir(parents=True)
    (engines / name / "gem.onnx").write_bytes(b"onnx")
    then = time.time() - days_ago * 86_400
    os.utime(engines / name, (then, then))
    return engines / name


def test_engines_that_nobody_uses_are_removed(bundle, network, exports, tmp_path):
    engines = tmp_path / "cache" / "engines"
    days = {"a": 29, "b": 31, "c": 32, "d": 200}
    old = {name: folder_used(engines, name * 16, ago) for name, ago in days.items()}
    (engines / "notes").mkdir()
    (engines / f".{'e' * 16}.removed").mkdir()  # somebody was stopped at it
    made = export.exported(bundle, CONFIG, network).folder
    # With the new one the three used last are it, a and b.
    assert [name for name, folder in old.items() if folder.exists()] == ["a", "b"]
    assert {path.name for path in engines.iterdir()} == {"a" * 16, "b" * 16, made.name, "notes", ".lock"}


def test_using_engines_keeps_them(bundle, network, exports, tmp_path):
    engines = tmp_path / "cache" / "engines"
    kept = export.exported(bundle, CONFIG, network).folder
    folder_used(engines, "a" * 16, 100)
    for name in "bcd":
        folder_used(engines, name * 16, 1)
    os.utime(kept, (0, 0))
    assert export.exported(bundle, CONFIG, network).folder == kept and len(exports) == 3
    cache.prune(engines)
    assert kept.exists() and not (engines / ("a" * 16)).exists()
    os.utime(kept, (0, 0))
    cache.prune(engines)
    assert not kept.exists()
    assert read_exported(export.exported(bundle, CONFIG, network).folder, source_hash(bundle), GRAPHS)


@pytest.fixture
def setup(bundle, exports, monkeypatch):
    """``segpoint setup`` of a small bundle; the language model is there."""
    monkeypatch.setattr("segpoint.config.default_bundle", lambda: bundle)
    monkeypatch.setattr("segpoint.backbone.setup", lambda dtype, force: "smollm2")
    return lambda *words: cli.main(["setup", *words])


def test_setup_makes_the_engines_once(setup, bundle, exports, capsys, caplog):
    assert setup() == 0
    folder = Path(capsys.readouterr().out.split("engines: ")[1].strip())
    assert read_exported(folder, source_hash(bundle), GRAPHS)
    assert [line for line in caplog.messages if " of 3: " in line and line.endswith(" s")]
    assert setup() == 0
    assert exports == ["gem", "encoder", "gfp"] and str(folder) in capsys.readouterr().out
    assert setup("--force") == 0
    assert len(exports) == 6
    (folder / "gfp.onnx").write_bytes(b"")
    assert setup() == 0
    assert len(exports) == 9 and read_exported(folder, source_hash(bundle), GRAPHS)


def test_setup_goes_without_engines_where_they_cannot_be_made(setup, monkeypatch, capsys):
    def fails(*_):
        raise Unavailable("no exporter here")

    monkeypatch.setattr(export, "to_onnx", fails)
    assert setup() == 0
    told = capsys.readouterr()
    assert "smollm2" in told.out and "PyTorch" in told.err and "no exporter here" in told.err


def test_looking_for_engines_loads_no_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path; from segpoint.config import default_bundle;"
        "from segpoint.engines.exported import find_exported;"
        "find_exported(default_bundle()); print('torch' in sys.modules, find_exported(Path('nowhere')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout.strip() == "False None", done.stderr


def test_the_model_card_lists_the_graphs_of_the_bundle_that_ships():
    config = BundleConfig.load(default_bundle())
    network = load_network(default_bundle(), config, read_weights(default_bundle()))
    table = export.signature_table(signatures(config, network.language_width))
    assert f"\n\n{table}\n\n" in (default_bundle() / "MODEL_CARD.md").read_text("utf-8")
    assert "| `gem` | in | `kernel` | 1 × 512 × 8 | int32 |" in export.signature_table(GRAPHS)


PROCESS = """
import logging, shutil, sys, time
from pathlib import Path
from segpoint.bundle import load_network, read_weights
from segpoint.config import BundleConfig
from segpoint.engines import export
bundle, made, log = map(Path, sys.argv[1:4])
def slowly(module, signature, path):
    with log.open("a") as file: file.write(path.stem + "\\n")
    time.sleep(float(sys.argv[4]))
    shutil.copy(made / path.name, path)
export.to_onnx = slowly
logging.basicConfig(level="INFO", format="%(message)s")
config = BundleConfig.load(bundle)
print(export.exported(bundle, config, load_network(bundle, config, read_weights(bundle))).folder)
"""


@pytest.fixture
def process(bundle, made, exports, tmp_path):
    """Starts a process that uses the bundle; each graph that it exports is a line in ``log`` and some seconds."""
    started: list[subprocess.Popen[str]] = []

    def start(seconds: float) -> subprocess.Popen[str]:
        words = [str(bundle), str(made.folder), str(tmp_path / "log"), str(seconds)]
        command, pipe = [sys.executable, "-u", "-c", PROCESS, *words], subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=dict(os.environ)))
        return started[-1]

    yield start
    for one in started:
        with one:
            one.kill()


def test_two_processes_at_once_make_one_export(process, bundle, tmp_path):
    both = [process(0.5) for _ in range(2)]
    folders = {one.communicate(timeout=300)[0].strip() for one in both}
    assert [one.returncode for one in both] == [0, 0] and len(folders) == 1
    assert (tmp_path / "log").read_text().split() == ["gem", "encoder", "gfp"]
    read_exported(Path(folders.pop()), source_hash(bundle), GRAPHS)


def test_a_process_that_is_killed_leaves_its_turn_and_no_half_export(process, bundle, tmp_path):
    log, first = tmp_path / "log", process(3600)
    while not log.exists():
        assert first.poll() is None
        time.sleep(0.05)
    second = process(0)
    assert any("waiting for it" in line for line in second.stderr)
    first.kill()
    folder = Path(second.communicate(timeout=300)[0].strip())
    assert log.read_text().split() == ["gem", "gem", "encoder", "gfp"]
    read_exported(folder, source_hash(bundle), GRAPHS)
    assert not list(folder.glob(".*"))
