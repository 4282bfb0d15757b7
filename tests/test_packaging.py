"""What is shipped: the wheel, the container, the quick start, the lock files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PACKAGES = ("appliance", "proxy", "web", "migrations")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that no build directory appears in the checkout.

    As on a machine without a compiler: with one it has the compiled row path as well, which is
    built for this environment too and tested in tests/masking/test_rows.py.
    """
    source = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so", "*.c")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", str(out), str(source), CC="/bin/false")
    (made,) = out.glob("gatepost-*.whl")
    return made


def pip(*arguments: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_wheel_holds_every_file_that_a_running_gatepost_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    missing = [
        str(path.relative_to(ROOT))
        for folder in PACKAGES
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".c", ".so")
        if str(path.relative_to(ROOT)) not in names
    ]
    assert not missing
    assert not [name for name in names if name.startswith(("tests/", "bench/"))]


def test_the_console_script_works_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    # The dependencies are those of this environment: only our own package is new.
    own = next(environment.glob("lib/python*/site-packages"))
    spec = find_spec("click")
    assert spec is not None and spec.origin is not None
    (own / "dependencies.pth").write_text(f"{Path(spec.origin).parent.parent}\n")
    for command in ([str(environment / "bin" / "gatepost")], [str(python), "-m", "appliance"]):
        done = subprocess.run(
            [*command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "serve" in done.stdout and "demo" in done.stdout


def test_without_a_compiler_the_wheel_is_complete_but_for_the_compiled_row_path(
    wheel: Path,
) -> None:
    built = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
    assert not built


@pytest.mark.parametrize(("lock", "extras"), [("run.txt", []), ("dev.txt", ["demo", "dev"])])
def test_a_lock_file_has_every_dependency_with_hashes(lock: str, extras: list[str]) -> None:
    text = (ROOT / "constraints" / lock).read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    project = pyproject()["project"]
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    for requirement in map(Requirement, wanted):
        name = requirement.name.lower().replace("_", "-")
        if name == "gatepost":
            continue
        assert name in locked, f"{name}: run constraints/update"
        assert requirement.specifier.contains(locked[name]), f"{name}: run constraints/update"
    assert text.count("--hash=sha256:") >= len(locked)


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions, continued lines joined, comments left out."""
    lines = [
        line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = (line.split(None, 1) for line in joined.splitlines() if line.strip())
    return [(word.upper(), rest) for word, rest in pairs]


def test_the_container_runs_serve_under_tini_as_an_ordinary_user() -> None:
    final = dockerfile()
    final = final[max(i for i, (word, _) in enumerate(final) if word == "FROM") :]
    said = dict(final)
    assert said["USER"] not in ("root", "0")
    assert said["ENTRYPOINT"] == '["tini", "--", "gatepost"]'
    assert said["CMD"] == '["serve"]'
    module = re.search(r'"-m", "([\w.]+)"', said["HEALTHCHECK"])
    assert module is not None and find_spec(module[1]) is not None


def test_the_container_has_the_defaults_of_the_documentation() -> None:
    environment = " ".join(rest for word, rest in dockerfile() if word == "ENV")
    for setting in (
        "GATEPOST_DATA_DIR=/var/lib/gatepost",
        "GATEPOST_PROXY_LISTEN=0.0.0.0:5432",
        "GATEPOST_WEB_LISTEN=0.0.0.0:8080",
    ):
        assert setting in environment
    assert not re.search(r"(KEY|PASSWORD|SECRET)\s*=", environment)


def test_the_container_is_built_from_files_that_exist_and_are_not_ignored() -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    for word, rest in dockerfile():
        if word != "COPY" or rest.startswith("--from"):
            continue
        for source in rest.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert source in allowed, f"{source} is missing in .dockerignore"


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.quickstart.yml").read_text())
    return loaded


def test_the_quick_start_publishes_only_to_this_machine(compose: dict[str, Any]) -> None:
    published = [
        port for service in compose["services"].values() for port in service.get("ports", [])
    ]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert "ports" not in compose["services"]["postgres"]


def test_the_quick_start_mounts_files_that_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).is_file(), source


def test_the_quick_start_registers_its_target_with_passwords_that_both_sides_have(
    compose: dict[str, Any],
) -> None:
    gateway, target = compose["services"]["gatepost"], compose["services"]["postgres"]
    inside = gateway["environment"]["GATEPOST_APPLY"]
    (mounted,) = [m.split(":")[0] for m in gateway["volumes"] if m.split(":")[1] == inside]
    configuration = yaml.safe_load((ROOT / mounted).read_text())
    assert configuration["settings"]["smtp"]["host"] in compose["services"]
    (shop,) = configuration["targets"]
    assert shop["host"] == "postgres" and shop["database"] == target["environment"]["POSTGRES_DB"]
    for role in shop["roles"]:
        name = role["password_env"]
        assert gateway["environment"][name] == target["environment"][name]


def test_no_tracked_text_names_a_path_of_somebodys_machine() -> None:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    home = re.compile(r"(?<![\w.])/(home/[a-z]|root/|Users/[A-Za-z]|work/)")
    found = []
    for name in done.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".yml", ".toml", ".html", ".sql", ".txt", ""}:
            text = path.read_text(errors="replace") if path.is_file() else ""
            found += [name] if home.search(text) and path != Path(__file__) else []
    assert not found
