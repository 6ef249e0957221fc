"""The Dockerfile's contract, where no Docker engine runs."""

import fnmatch
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import tomli
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[1]
FILES = ("Dockerfile", "Dockerfile.beam")
PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!-]+)")


def instructions(name):
    """Pairs (instruction, arguments) of a Dockerfile."""
    text = (ROOT / name).read_text()
    lines = [x for x in text.splitlines() if not x.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line]


def arguments(name, instruction):
    return [value for word, value in instructions(name) if word == instruction]


def copied():
    """What is copied from the folder of the project, in order."""
    found = []
    for value in arguments("Dockerfile", "COPY"):
        words = shlex.split(value)
        if not words[0].startswith("--from"):
            found += words[:-1]
    return found


def pins(path):
    lines = (line.partition("#")[0].strip() for line in path.open())
    matched = [PIN.fullmatch(line) for line in lines if line]
    assert all(matched), path
    return {canonicalize_name(m[1]): m[2] for m in matched}


def run_commands():
    return [
        command.strip()
        for value in arguments("Dockerfile", "RUN")
        for command in value.split("&&")
    ]


def in_image():
    """The pins that the Dockerfile's own grep leaves."""
    (grep,) = (c for c in run_commands() if c.startswith("grep"))
    command, _, target = grep.partition(">")
    assert target.strip() == "image.txt"
    result = subprocess.run(
        shlex.split(command),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    kept = {
        canonicalize_name(m[1]): m[2]
        for line in result.stdout.splitlines()
        if (m := PIN.match(line))
    }
    assert "pytest" not in kept
    return kept


def test_what_is_copied_exists_and_is_not_ignored():
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore  # all is left out that is not named
    named = {line[1:] for line in ignore if line.startswith("!")}
    assert set(copied()) == named
    for source in copied():
        assert (ROOT / source).exists(), source
    for secret in (".env", "key.json", "outputs", ".git", ".venv", "tests"):
        assert not any(fnmatch.fnmatch(secret, name) for name in named)


def test_what_changes_most_is_copied_last():
    order = copied()
    assert order.index("requirements.txt") < order.index("pyproject.toml")
    assert order.index("pyproject.toml") < order.index("gim_tf")
    # The packages are installed before the code is copied.
    words = [f"{word} {value}" for word, value in instructions("Dockerfile")]
    install = next(i for i, w in enumerate(words) if "image.txt" in w)
    assert install < words.index("COPY gim_tf gim_tf")


@pytest.mark.parametrize("name", FILES)
def test_security_it_ends_as_an_ordinary_user_under_an_entry_point(name):
    assert arguments(name, "USER")[-1] not in ("root", "0")
    assert arguments(name, "USER")[-1].isdecimal()
    (entry,) = (json.loads(e) for e in arguments(name, "ENTRYPOINT"))
    assert instructions(name)[-1][0] == "ENTRYPOINT"
    if name == "Dockerfile":
        assert entry[:2] == ["python", "-m"]
        package, _, module = entry[2].rpartition(".")
        folder = Path(importlib.util.find_spec("tfx").origin).parent
        assert package == "tfx.scripts"
        assert (folder / "scripts" / f"{module}.py").is_file()


@pytest.mark.parametrize("name", FILES)
def test_security_bases_are_pinned_and_nothing_is_fetched_by_url(name):
    words = {word for word, _ in instructions(name)}
    assert words <= {
        *("ARG", "FROM", "RUN", "ENV", "WORKDIR", "COPY", "USER"),
        "ENTRYPOINT",
    }
    for base in arguments(name, "FROM"):
        assert base.split()[0] == "${GIM_IMAGE}" or "@${" in base
    text = (ROOT / name).read_text()
    assert not re.search(r"https?://|curl|wget", text)
    given = [*arguments(name, "ARG"), *arguments(name, "ENV")]
    assert not re.search(r"token|secret|passw|key", str(given), re.I)
    # A default would be a digest that nobody looked at.
    assert all("=" not in a or a == "CUDA=" for a in arguments(name, "ARG"))


def test_the_beam_base_is_the_beam_of_the_lock():
    version = pins(ROOT / "requirements.txt")["apache-beam"]
    base = next(b for b in arguments("Dockerfile.beam", "FROM") if "beam" in b)
    assert f"apache/beam_python3.10_sdk:{version}@" in base


def test_the_install_step_is_complete_without_what_is_left_out():
    """Every requirement of the package is pinned, and those of its own."""
    image = in_image()
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    todo = [
        Requirement(text)
        for text in (
            *project["dependencies"],
            *extras["pipelines"],
            *extras["serving"],
        )
    ]
    seen = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        assert name in image, f"{requirement} is in no pin of the image"
        if (name, *requirement.extras) in seen:
            continue
        seen.add((name, *requirement.extras))
        for text in metadata.requires(name) or ():
            found = Requirement(text)
            environments = [{"extra": e} for e in ("", *requirement.extras)]
            if found.marker is None or any(
                found.marker.evaluate(e) for e in environments
            ):
                todo.append(found)
    assert len(seen) > 100


def test_cuda_s_pins_are_those_of_this_tensorflow():
    version = pins(ROOT / "requirements.txt")["tensorflow"]
    assert metadata.version("tensorflow") == version
    expected = {
        canonicalize_name(found.name): str(found.specifier).removeprefix("==")
        for found in map(Requirement, metadata.requires("tensorflow"))
        if found.marker
        and found.marker.evaluate({"extra": "and-cuda"})
        and "nvidia" in found.name
    }
    assert pins(ROOT / "requirements-cuda.txt") == expected


def test_the_build_file_builds_this_dockerfile():
    build = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
    (step,) = build["steps"]
    given = {a.partition("=")[0] for a in step["args"] if "=" in a}
    assert given == set(arguments("Dockerfile", "ARG")) - {"CUDA="} | {"CUDA"}
    tag = step["args"][step["args"].index("--tag") + 1]
    assert build["images"] == [tag]
    assert tag == "${_IMAGE}"


def clean_directory(folder):
    """The files that the Dockerfile copies, and no other."""
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for source in copied():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / source, ignore=ignored)
        else:
            shutil.copy(ROOT / source, folder / source)
    return folder


def test_its_install_command_works_in_a_clean_directory(tmp_path):
    """The package's own step, of the Dockerfile, into an empty folder."""
    (install,) = (c for c in run_commands() if c.endswith("-isolation ."))
    words = shlex.split(install)
    assert words[:2] == ["pip", "install"]
    source = clean_directory(tmp_path / "src")
    target = tmp_path / "installed"
    command = [sys.executable, "-m", *words, "--target", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    for name in (
        "gim_tf/inspection/templates/report.html",
        "pipelines/schema/records.pbtxt",
        "pipelines/trainer_module.py",
        "serving/models.config",
    ):
        assert (target / name).is_file(), name
    check = (
        "import gim_tf, pipelines.settings, pipelines.record_schema as schema;"
        "from gim_tf import experiments, config;"
        "e = experiments.get('fashion_mnist_gim');"
        "assert schema.schema_path(e.data, 'x').endswith('.pbtxt');"
        "print(gim_tf.__file__)"
    )
    told = subprocess.run(
        [sys.executable, "-c", check],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(target),
            "PATH": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(str(target))
