"""The rules of the house that no linter knows, read from the files."""

import ast
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
import tomli

ROOT = Path(__file__).parents[1]
LIBRARY = sorted(ROOT.glob("gim_tf/**/*.py"))
MODULES = (
    LIBRARY
    + sorted(ROOT.glob("pipelines/**/*.py"))
    + sorted(ROOT.glob("serving/**/*.py"))
)

# Where a modality may have a name; everywhere else it is axes and channels.
LEAVES = (
    "gim_tf/data/",
    "gim_tf/encoders/",
    "gim_tf/experiments/",
    "gim_tf/inspection/",
    "gim_tf/export/",
    "gim_tf/cli/",
)
MODALITIES = {
    *("image", "images", "vision"),
    *("audio", "wave", "waveform", "speech"),
}
# Keras calls these; the docstring of the class describes them.
HOOKS = {"build", "call", "get_config", "from_config", "compute_output_shape"}


def relative(path):
    return path.relative_to(ROOT).as_posix()


def calls(path, name):
    """Lines on which a function of that name is called."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            function = node.func
            called = getattr(function, "attr", getattr(function, "id", None))
            if called == name:
                yield f"{relative(path)}:{node.lineno}"


def identifiers(path):
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.NAME:
                yield token.string, token.start[0]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def first_paragraph(path):
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return docstring.split("\n\n")[0]


def lines_of_code(function):
    """Lines of a function without its docstring."""
    docstring = ast.get_docstring(function, clean=False) or ""
    lines = function.end_lineno - function.lineno + 1
    return lines - len(docstring.splitlines())


def test_gradients_are_cut_at_a_module_s_input_and_by_one_ablation():
    cuts = [line for path in LIBRARY for line in calls(path, "stop_gradient")]
    assert sorted(cut.split(":")[0] for cut in cuts) == [
        "gim_tf/encoders/autoregressors.py",  # no backpropagation through time
        "gim_tf/module.py",
    ], cuts


def test_no_modality_outside_the_leaves():
    named = [
        f"{relative(path)}:{line}: {name}"
        for path in LIBRARY
        if not relative(path).startswith(LEAVES)
        for name, line in identifiers(path)
        if MODALITIES & set(re.split(r"_|(?<=[a-z])(?=[A-Z])", name.lower()))
    ]
    assert not named, named


def test_pipeline_packages_stay_under_pipelines():
    found = [
        f"{relative(path)}: {name}"
        for path in LIBRARY
        for name in imported(path)
        if name.split(".")[0] in {"tfx", "apache_beam", "kfp"}
    ]
    assert not found, found


@pytest.mark.parametrize(
    "module", ["gim_tf.cli", "gim_tf.config", "gim_tf.experiments"]
)
def test_what_only_describes_imports_no_tensorflow(module):
    check = (
        f"import sys, {module}; "
        "sys.exit(sorted({'tensorflow', 'keras', 'tfx'} & {*sys.modules}) or 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_the_first_sentence_says_what_a_file_is():
    bare = [
        relative(path)
        for path in MODULES
        if not first_paragraph(path).endswith((".", ":"))
    ]
    assert not bare, bare


def test_public_methods_are_described():
    bare = [
        f"{relative(path)}: {node.name}.{method.name}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for method in node.body
        if isinstance(method, ast.FunctionDef)
        and not method.name.startswith("_")
        and method.name not in HOOKS
        and not ast.get_docstring(method)
    ]
    assert not bare, bare


def test_files_and_functions_fit_on_few_screens():
    long = [
        f"{relative(path)}: {lines} lines"
        for path in MODULES
        if (lines := path.read_text().count("\n")) > 400
    ] + [
        f"{relative(path)}: {node.name} has {lines} lines"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and (lines := lines_of_code(node)) > 60
    ]
    assert not long, long


def test_no_path_of_one_machine():
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split("\0")
    machine = re.compile(rb"(?<![\w./~-])/(?:work|root|home/\w+|tmp)/\w")
    found = [
        f"{name}: {match.group().decode()}"
        for name in filter(None, names)
        if name.endswith((".py", ".md", ".toml", ".txt", ".sh", "run", "file"))
        and (ROOT / name).is_file()
        and name != relative(Path(__file__))
        for match in machine.finditer((ROOT / name).read_bytes())
    ]
    assert not found, found


def test_bazel_repeats_the_import_contract():
    layers = contract()
    libraries = bazel_libraries()
    bottom = {"package"}
    for layer, below in zip(layers, [*layers[1:], bottom], strict=True):
        for name in layer:
            assert libraries[name] == below, name


def test_every_module_is_in_the_contract():
    layers = set().union(*contract())
    children = {p.stem for p in (ROOT / "gim_tf").glob("*.py")} | {
        p.parent.name for p in (ROOT / "gim_tf").glob("*/__init__.py")
    }
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    assert layers == (children | packages) - {"__init__", "gim_tf", "tests"}


def contract():
    """The layers of pyproject.toml, top first, as sets of short names."""
    settings = tomli.loads((ROOT / "pyproject.toml").read_text())
    (layers,) = settings["tool"]["importlinter"]["contracts"]
    return [
        {name.strip().removeprefix("gim_tf.") for name in line.split("|")}
        for line in layers["layers"]
    ]


def bazel_libraries():
    """Name of each py_library in BUILD -> names of its deps."""
    arguments = (
        {keyword.arg: keyword.value for keyword in node.keywords}
        for node in ast.walk(ast.parse((ROOT / "BUILD").read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "py_library"
    )
    return {
        ast.literal_eval(call["name"]): {
            dep.removeprefix(":")
            for dep in ast.literal_eval(call.get("deps", ast.List([])))
        }
        for call in arguments
    }
