"""Models from elsewhere: read as what they are, refused when they are anything else; old ones stay readable."""

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker
from typer.testing import CliRunner

from app.cli.main import app
from app.core.db import open_session
from app.core.errors import ArtifactCorrupt, InvalidArchive
from app.core.settings import LimitSettings, Settings
from app.learning.predictor import Predictor
from app.registry.checking import check_versions
from app.registry.exchange import read_exported
from app.registry.export import export_zip
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE
from app.registry.service import IMPORT, RegistryService
from app.registry.store import ArtifactStore
from tests.crystals import rocksalt

ARTIFACTS = Path(__file__).parent / "artifacts"
"""One version of each form a manifest has had; what they predict was written down when they were made."""

OLD = ARTIFACTS / "without_trust"
LIMITS = LimitSettings()
Files = dict[str, bytes]


def _files() -> Files:
    return {name: (OLD / name).read_bytes() for name in (MANIFEST_FILE, WEIGHTS_FILE)}


def _zip(path: Path, files: Files, folder: str = "rocksalt-gap/1/") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name if name.startswith(("/", "..")) else folder + name, content)
    return path


def _manifest(**changes: object) -> bytes:
    return json.dumps({**json.loads(_files()[MANIFEST_FILE]), **changes}).encode()


def test_the_oldest_manifest_is_read_and_predicts_what_it_did() -> None:
    predictor = Predictor.from_bytes(*read_exported(OLD, LIMITS))
    values = predictor.predict([rocksalt(5.6402, "Na", "Cl"), rocksalt(4.2, "Li", "F")])
    assert values == pytest.approx([1.6514054983854294, 1.5410098433494568], abs=1e-5)


class _Planted:
    """Runs code wherever it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (Path.touch, (Path("planted"),))  # type: ignore[return-value]


PICKLE = pickle.dumps(_Planted())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({WEIGHTS_FILE: PICKLE}, "no safetensors file"),
        ({WEIGHTS_FILE: b""}, "no safetensors file"),
        ({TRUST_FILE: PICKLE}, "trust.safetensors in .* is no safetensors file"),
        ({"weights.pkl": PICKLE}, "holds 'weights.pkl'"),
        ({"../../evil.safetensors": b"x"}, "unsafe path"),
        ({"/etc/weights.safetensors": b"x"}, "unsafe path"),
        ({MANIFEST_FILE: b"{}"}, "cannot be read"),
        ({MANIFEST_FILE: _manifest(format_version=2)}, "format_version.*later version"),
        ({MANIFEST_FILE: _manifest(run_this="rm -rf")}, "run_this"),
    ],
)
def test_anything_but_a_model_is_refused(tmp_path: Path, changes: Files, reason: str) -> None:
    with pytest.raises(InvalidArchive, match=reason):
        read_exported(_zip(tmp_path / "model.zip", {**_files(), **changes}), LIMITS)


def test_no_model_and_two_models(tmp_path: Path) -> None:
    with pytest.raises(InvalidArchive, match=r"weights.safetensors missing"):
        read_exported(_zip(tmp_path / "a.zip", {MANIFEST_FILE: _manifest()}), LIMITS)
    with zipfile.ZipFile(_zip(tmp_path / "b.zip", _files()), "a") as archive:
        archive.writestr("other/1/manifest.json", _manifest())
    with pytest.raises(InvalidArchive, match="several folders"):
        read_exported(tmp_path / "b.zip", LIMITS)


@pytest.mark.parametrize(
    "lie",
    [
        {"weights_sha256": "0" * 64}, {"weights_bytes": 1}, {"weights_sha256": "", "weights_bytes": 0},
        {"trust": json.loads((OLD / MANIFEST_FILE).read_text()).get("trust")},
    ],
)  # fmt: skip
def test_a_lying_manifest_is_not_registered(
    tmp_path: Path, sessions: sessionmaker[Session], store: ArtifactStore, lie: dict[str, object]
) -> None:
    changed = {**_files(), MANIFEST_FILE: _manifest(**lie)}
    if lie == {"trust": None}:
        changed[TRUST_FILE] = _files()[WEIGHTS_FILE]  # intervals that the manifest knows nothing of
    manifest, weights, trust = read_exported(_zip(tmp_path / "model.zip", changed), LIMITS)
    with pytest.raises(ArtifactCorrupt), open_session(sessions) as session:
        RegistryService(session, store).register_version(manifest, weights, "card", IMPORT, trust=trust)
    assert store.list() == []


def _flipped(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


def test_damage_in_the_store_is_found(
    sessions: sessionmaker[Session], store: ArtifactStore, settings: Settings
) -> None:
    with open_session(sessions) as session:
        manifest, weights, _ = read_exported(OLD, LIMITS)
        registry = RegistryService(session, store)
        version = registry.register_version(manifest, weights, "card", IMPORT)
        assert [found.problem for found in check_versions(session, store)] == [None]
        path = settings.data_dir / "store" / version.artifact_prefix / CARD_FILE
        path.unlink()
        assert "is missing" in str(next(check_versions(session, store)).problem)
        for name in (CARD_FILE, MANIFEST_FILE):
            path.with_name(name).write_bytes(_flipped(path.with_name(name)) if name == MANIFEST_FILE else b"cart")
            assert "manifest or card" in str(next(check_versions(session, store)).problem)
            path.with_name(name).write_bytes(_flipped(path.with_name(name)) if name == MANIFEST_FILE else b"card")
        assert next(check_versions(session, store)).problem is None
        path.parent.parent.joinpath(WEIGHTS_FILE).write_bytes(weights[:-1] + b"\0")
        assert "sha256 differs" in str(next(check_versions(session, store)).problem)


def test_from_one_installation_to_another(
    tmp_path: Path, sessions: sessionmaker[Session], store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_session(sessions) as session:
        manifest, weights, _ = read_exported(OLD, LIMITS)
        registry = RegistryService(session, store)
        exported = export_zip(registry, registry.register_version(manifest, weights, "card", IMPORT))
    (tmp_path / "model.zip").write_bytes(exported)
    monkeypatch.setenv("XTALFORGE_DATA_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("XTALFORGE_MODELS_STORE", str(tmp_path / "none"))
    run = CliRunner().invoke
    assert "rocksalt-gap/1 registered" in run(app, ["models", "add", str(tmp_path / "model.zip")]).output
    assert "there already" in run(app, ["models", "add", str(OLD)]).output
    assert "1 of 1 model versions are whole" in run(app, ["models", "verify"]).output
    stored = next((tmp_path / "other" / "store").rglob(WEIGHTS_FILE))
    stored.write_bytes(b"damaged")
    done = run(app, ["models", "verify"])
    assert (done.exit_code, "0 of 1" in done.output, "damaged" in done.output) == (1, True, True)


def test_a_folder_is_read_like_a_zip(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "model")
    assert read_exported(tmp_path / "model", LIMITS).manifest.name == "rocksalt-gap"
    (tmp_path / "model" / "code.py").write_text("")
    with pytest.raises(InvalidArchive, match=r"code.py"):
        read_exported(tmp_path / "model", LIMITS)
