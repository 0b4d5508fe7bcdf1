"""`make setup` with stand-ins: an index of tiny packages, other Pythons, a driver."""

import base64
import ensurepip
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import namedtuple
from types import SimpleNamespace

import pytest

from conftest import ROOT
from loopback import Answer, Loopback

LOCK = (ROOT / "requirements.lock").read_text()
NAMES = (ROOT / "requirements.in").read_text()
TORCH = re.search(r"^torch==(.+)$", NAMES, re.MULTILINE)[1]
HERE = f"python{sys.version_info[0]}.{sys.version_info[1]}"

# A stand-in of uv: says what it is asked for, and has pip do it, or fails.
UV = """#!/bin/sh
echo "uv was asked: $* from $UV_DEFAULT_INDEX"
test "$1 $2 $3 $4" = "pip install --compile-bytecode --python" && test -z "$UV_FAILS" || exit 1
python=$5; shift 5
exec "$python" -m pip install "$@"
"""
# Builds the package of the checkout without a network: an editable installation of one file.
BACKEND = """
import shutil
def get_requires_for_build_editable(config_settings=None): return []
def build_editable(folder, config_settings=None, metadata_directory=None):
    return shutil.copy("bcnmf-1-py3-none-any.whl", folder).rpartition("/")[2]
"""


@pytest.fixture
def setup(monkeypatch, tmp_path):
    """Return the module, set to a checkout of its own."""
    spec = importlib.util.spec_from_file_location("setup_of_venv", ROOT / "envs" / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    venv = tmp_path / ".venv"
    for name, value in {
        "ROOT": tmp_path, "VENV": venv, "PYTHON": venv / "bin" / "python",
        "UNFINISHED": venv / ".unfinished", "INSTALLED": venv / ".installed",
    }.items():  # fmt: skip
        monkeypatch.setattr(module, name, value)
    monkeypatch.delenv("TORCH", raising=False)
    return module


def wheel(folder, name, version, *, needs=(), files=None, data=None):
    """Write a package of one file, or of `files` by their names; return its path."""
    about = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {need}\n" for need in needs
    )
    content = files or {f"{name}.py": f"version = {version!r}\n"}
    content |= {f"{about}.data/scripts/{script}": text for script, text in (data or {}).items()}
    content |= {
        f"{about}.dist-info/METADATA": metadata,
        f"{about}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n",
    }
    record = f"{about}.dist-info/RECORD"
    digests = {name: hashlib.sha256(text.encode()).digest() for name, text in content.items()}
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()},"
        for name, digest in digests.items()
    ]
    path = folder / f"{about}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**content, record: "\n".join([*lines, f"{record},,"])}.items():
            inside = zipfile.ZipInfo(name)
            inside.external_attr = 0o100755 << 16
            archive.writestr(inside, text)
    return path


class Index(Loopback):
    """An index of packages, as pip asks it."""

    def put(self, path, index="simple"):
        name = path.name.partition("-")[0]
        content = path.read_bytes()
        self.give(f"/files/{path.name}".replace("+", "%2B"), Answer(content))
        link = f'<a href="/files/{path.name.replace("+", "%2B")}">{path.name}</a>'
        self.give(f"/{index}/{name}/", Answer(link.encode(), headers={"Content-Type": "text/html"}))
        digest = hashlib.sha256(content).hexdigest()
        return f"{name}=={path.name.split('-')[1]} \\\n    --hash=sha256:{digest}\n"


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout of tiny packages, and `make` in it."""
    root = tmp_path / "checkout"
    (root / "envs").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", root)
    shutil.copy(ROOT / "envs" / "setup.py", root / "envs")
    packages = tmp_path / "packages"
    packages.mkdir()
    wheel(root, "bcnmf", "1", files={"bcnmf_pipeline.py": "print('the pipeline is here')"})
    (root / "backend.py").write_text(BACKEND)
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (root / "requirements.in").write_text(f"torch=={TORCH}\n")
    with Index() as index:
        lines = [index.put(wheel(packages, "alpha", "1.0"))]
        lines += [index.put(wheel(packages, "uv", "0.1", data={"uv": UV}))]
        # The pip that a new .venv has.
        lines += [f"pip=={ensurepip.version()} \\\n    --hash=sha256:{'0' * 64}\n"]
        (root / "requirements.lock").write_text("# a comment\n" + "".join(lines))
        index.put(wheel(packages, "torch", TORCH, needs=["alpha"]))
        index.put(wheel(packages, "torch", f"{TORCH}+cpu", needs=["alpha"]), "cpu")

        def make(*arguments, code=0, **variables):
            environment = {
                name: value for name, value in os.environ.items()
                if not name.startswith(("PIP_", "UV_")) and name not in ("TORCH", "MAKEFLAGS")
            }  # fmt: skip
            environment |= {
                "PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": f"{index.address}/simple",
                "BCNMF_TORCH_INDEX": f"{index.address}/cpu", "PYTHON": sys.executable,
                "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": "",
            }  # fmt: skip
            result = subprocess.run(
                ["make", *arguments], cwd=root, env=environment | variables, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            assert result.returncode == code, result.stdout
            return result.stdout

        yield SimpleNamespace(root=root, make=make, index=index, packages=packages)


def has_torch(root):
    return subprocess.run(
        [root / ".venv/bin/python", "-c", "import alpha, torch; print(torch.version)"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip


no_driver = pytest.mark.skipif(
    shutil.which("nvidia-smi") is not None, reason="this machine has an NVIDIA driver"
)


@no_driver
def test_a_laptop_gets_the_build_for_the_processor(checkout):
    said = checkout.make("setup")
    assert "torch: the CPU build; about 0.2 GB to download" in said
    assert f"uv was asked: pip install --compile-bytecode --python {checkout.root}" in said
    assert f"from {checkout.index.address}/simple" in said
    assert has_torch(checkout.root) == f"{TORCH}+cpu"
    script = checkout.root / ".venv" / "bin" / "bcnmf-pipeline"
    answer = subprocess.run([script], cwd="/", capture_output=True, text=True, check=True)
    assert answer.stdout == "the pipeline is here\n"
    # Whole: there is nothing to do, unless another torch is asked for.
    asked = len(checkout.index.requests)
    assert "Nothing to be done" in checkout.make("setup")
    assert len(checkout.index.requests) == asked
    said = checkout.make("setup", f"TORCH=torch=={TORCH} --force-reinstall --no-deps")
    assert f"torch: as TORCH says, torch=={TORCH} --force-reinstall" in said
    assert has_torch(checkout.root) == TORCH
    # A newer lock leaves the build alone.
    os.utime(checkout.root / "requirements.lock")
    assert f"torch: {TORCH}, which is there" in checkout.make("setup")
    assert has_torch(checkout.root) == TORCH


@no_driver
def test_without_uv_and_pytorchs_index_pip_does_what_it_can(checkout):
    checkout.index.put(wheel(checkout.packages, "torch", f"{TORCH}+cpu", needs=["alpha"]))
    checkout.index.give("/simple/uv/", Answer(b"", status=404))
    checkout.index.give("/cpu/torch/", Answer(b"", status=503))
    said = checkout.make("setup")
    assert "It goes on without this uv" in said
    assert "torch: the CPU build" in said
    assert has_torch(checkout.root) == f"{TORCH}+cpu"


def test_a_driver_has_the_build_for_cuda_and_what_was_killed_is_begun_anew(checkout, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvidia-smi").touch(mode=0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    good = (checkout.root / "requirements.lock").read_text()
    (checkout.root / "requirements.lock").write_text(good.replace("alpha==1.0", "alpha==1.1"))
    said = checkout.make("setup", code=2, PATH=path)
    assert "torch: the CUDA build; about 2.7 GB to download" in said
    assert "It goes on by pip" in said
    assert "The set-up is not finished. The same command takes it up again." in said
    assert "Traceback" not in said
    (checkout.root / ".venv" / "half-a-package").touch()
    (checkout.root / "requirements.lock").write_text(good)
    said = checkout.make("setup", PATH=path, UV_FAILS="1")
    assert "It goes on by pip, which takes longer" in said
    assert has_torch(checkout.root) == TORCH
    assert not (checkout.root / ".venv" / "half-a-package").exists()
    assert (checkout.root / ".venv" / ".installed").exists()


def test_a_package_with_another_checksum_is_refused(checkout):
    index = checkout.index
    index.put(wheel(checkout.packages, "uv", "0.1", data={"uv": "#!/bin/sh\necho another uv\n"}))
    wrong = wheel(
        checkout.packages, "alpha", "1.0", files={"alpha.py": "print('not the locked one')"}
    )
    index.put(wrong)
    said = checkout.make("setup", code=2)
    assert said.count("DO NOT MATCH THE HASHES") == 2
    assert "another uv" not in said
    assert not (checkout.root / ".venv" / ".installed").exists()


def test_the_lock_is_taken_apart_into_whole_packages(setup, monkeypatch):
    """A package without its checksums would be installed as it comes."""
    installed = {}
    setup.VENV.mkdir()
    (setup.VENV / "tmp").mkdir()
    monkeypatch.setattr(
        setup, "run", lambda *command: installed.update(tool=command[-1].read_text())
    )
    monkeypatch.setattr(setup, "install", lambda *rest: installed.update(lock=rest[-1].read_text()))
    setup.install_lock()
    rest = re.sub(r"^#.*\n", "", installed["lock"], flags=re.MULTILINE)
    for tool in setup.TOOLS:
        setup.install_tool(tool)
        assert re.fullmatch(rf"{tool}==\S+ \\\n(    --hash=\S+( \\\n)?)+", installed["tool"])
        assert f"\n{tool}==" not in rest
    package = r"[\w.-]+==.* \\\n(    --hash=\S+ \\\n)*    --hash=\S+\n+"
    assert re.fullmatch(f"({package})+", rest)
    assert rest.count("--hash") + sum(
        setup.pinned(tool).count("--hash") for tool in setup.TOOLS
    ) == (LOCK.count("--hash"))


def stand_in(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_make_takes_the_first_python_that_fits(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "requirements.in", "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "setup.py").touch()
    path = f"{tmp_path}:/usr/bin:/bin"

    def make(*arguments):
        result = subprocess.run(
            ["make", "setup", *arguments], cwd=tmp_path, env={"PATH": path, "HOME": str(tmp_path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return result.stdout

    # A shim whose Python is not installed, one that does not fit, one that does.
    stand_in(tmp_path / "python3.13", "exit 127")
    stand_in(tmp_path / "python3.12", 'if [ "$1" = -c ]; then exit 1; fi; echo "wrong"')
    stand_in(
        tmp_path / "python3.11", 'if [ "$1" = -c ]; then exit 0; fi; echo "3.11 was given" "$@"'
    )
    assert "3.11 was given envs/setup.py python3\n" in make()
    assert "3.11 was given envs/setup.py\n" in make("PYTHON=python3.11")
    said = make("PYTHON=python3.12 no-such-python")
    assert "No Python from 3.11 to 3.14 here (looked for: python3.12 no-such-python)" in said


@pytest.mark.parametrize("home", ["/dev/null", None])
def test_without_a_home_caches_are_in_the_checkout(tmp_path, home):
    shutil.copy(ROOT / "Makefile", tmp_path)
    environment = {"PATH": os.environ["PATH"]} | ({"HOME": home} if home else {})
    show = ["make", "-s", "--eval", "show: ; @echo $$XDG_CACHE_HOME", "show"]
    answer = subprocess.run(
        show, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == f"{tmp_path}/.cache"
    for kept in ({"HOME": str(tmp_path / "home")}, {"XDG_CACHE_HOME": str(tmp_path / "mine")}):
        answer = subprocess.run(
            show, cwd=tmp_path, env=environment | kept, capture_output=True, text=True, check=True
        )
        assert answer.stdout.strip() == kept.get("XDG_CACHE_HOME", "")


def test_debians_python_without_ensurepip(setup, tmp_path):
    python = stand_in(
        tmp_path / "python3", 'case "$2" in *version_info*) echo 3.12;; *) exit 1;; esac'
    )
    with pytest.raises(setup.SetupError, match=r"apt-get install python3.12-venv \(as root\)"):
        setup.make_venv(str(python))


def test_another_python_for_which_torch_comes_without_cuda(setup, monkeypatch, capsys):
    made = []
    versions = {str(setup.PYTHON): "3.13", "python3.12": "3.12", "python3.11": "3.11"}
    monkeypatch.setattr(setup, "output", lambda *command: "")
    monkeypatch.setattr(setup, "version_of", lambda python: versions.get(str(python), ""))
    monkeypatch.setattr(setup, "make_venv", made.append)
    monkeypatch.setattr(setup, "has_driver", lambda: False)
    monkeypatch.setattr(setup, "answers", lambda index: False)
    monkeypatch.setattr(setup.sys, "platform", "linux")
    torch = f"torch=={TORCH}"
    monkeypatch.setattr(setup, "pip_has_cpu_build", lambda torch, version: version == "3.11")
    others = ["absent", "python3.12", "python3.11"]
    assert setup.choose_torch(others) == ("CPU", [torch], False)
    assert made == ["python3.11"]
    assert "Python 3.11 in place of 3.13" in capsys.readouterr().out
    # Nowhere without CUDA: what there is, said before it is fetched.
    assert setup.choose_torch(others[:2]) == ("CUDA", [torch], True)
    assert "torch cannot be had without CUDA" in capsys.readouterr().out
    assert made == ["python3.11"]
    monkeypatch.setattr(setup.sys, "platform", "darwin")
    assert setup.choose_torch([]) == ("the build for this machine", [torch], True)


@pytest.mark.parametrize("name", ["my work", "Ann's"])
def test_a_path_at_which_snakemake_could_not_call_python(setup, monkeypatch, tmp_path, name):
    monkeypatch.setattr(setup, "ROOT", tmp_path / name)
    monkeypatch.setattr(setup, "VENV", tmp_path / name / ".venv")
    with pytest.raises(setup.SetupError, match=f"{name}, has a .*move the checkout"):
        setup.main([])


def test_a_disk_with_too_little_room(setup, monkeypatch, capsys):
    usage = namedtuple("usage", "free")
    setup.VENV.mkdir()
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda folder: usage(1.5e9))
    with pytest.raises(setup.SetupError, match=r"has 1.5 GB left: make room"):
        setup.announce("CPU")
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda folder: usage(1e6))
    with pytest.raises(
        setup.SetupError, match=r"(?s)failed: false.*No room is left on the disk of"
    ):
        setup.run("false")
    assert "0.2 GB to download" in capsys.readouterr().out


def test_what_uv_is_told_of_pips_settings(setup, monkeypatch):
    listed = "global.index-url='https://mirror.example/simple'\n:env:.cert='/etc/ours.pem'\nglobal.timeout='60'"
    monkeypatch.setattr(setup, "output", lambda *command: listed)
    assert setup.settings_for_uv() == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple", "SSL_CERT_FILE": "/etc/ours.pem",
    }  # fmt: skip
    monkeypatch.setattr(setup, "output", lambda *command: f"{listed}\n:env:.no-index='1'")
    assert setup.settings_for_uv() is None


def test_the_lock_pins_everything_with_checksums():
    lines = re.findall(r"^[^#\s].*(?:\n    --hash.*)*", LOCK, re.MULTILINE)
    for line in lines:
        assert re.match(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+( ; .+)? \\\n", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line
    names = [line.partition("==")[0] for line in lines]
    # No package twice, for an older Python: one set of versions is for all of them.
    assert len(names) == len(set(names))
    assert {"pip", "uv", "sympy", "networkx"} <= set(names)


def test_nobody_downloads_cuda_by_the_lock():
    assert not re.findall(r"^(?:torch|triton|nvidia-|cuda-).*", LOCK, re.MULTILINE)


def test_the_lock_holds_what_is_named():
    """`make lock` after a new name in requirements.in or pyproject.toml."""
    project = __import__("tomllib").loads((ROOT / "pyproject.toml").read_text())["project"]
    named = project["dependencies"] + project["optional-dependencies"]["pipeline"]
    named += [line for line in NAMES.splitlines() if line and not line.startswith("#")]
    locked = {name.lower() for name in re.findall(r"^([\w.-]+)==", LOCK + NAMES, re.MULTILINE)}
    wanted = {re.match(r"[\w.-]+", name)[0].lower() for name in named} - {"bcnmf"}
    assert wanted <= locked
