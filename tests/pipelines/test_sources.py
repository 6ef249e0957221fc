"""Cache keys: every list holds what its component's code imports."""

import ast
from pathlib import Path

import pytest

from pipelines import sources

ROOT = Path(sources.__file__).parents[1]
COMPONENTS = "pipelines/components.py"

# What each list is for: a file, or a function in it.
ENTRIES = {
    "INGEST_SOURCES": ["pipelines/ingest.py"],
    "GATE_SOURCES": [f"{COMPONENTS}:DataGate"],
    "TRAINING_SOURCES": ["pipelines/trainer_module.py"],
    "PROBE_SOURCES": [f"{COMPONENTS}:LinearProbe"],
    "READER_SOURCES": [
        f"{COMPONENTS}:RecordReader",
        "pipelines/evaluator_module.py",
    ],
    "BLESS_SOURCES": [f"{COMPONENTS}:Bless"],
    "PUSH_SOURCES": [f"{COMPONENTS}:Push"],
    "REPORT_SOURCES": [f"{COMPONENTS}:Report"],
}
# Decide no output: messages, artifact types, the lists themselves.
LEFT_OUT = {
    "gim_tf/__init__.py",
    "gim_tf/errors.py",
    "pipelines/artifacts.py",
    "pipelines/sources.py",
}


def module_file(module):
    path = ROOT / module.replace(".", "/")
    found = [path.with_suffix(".py"), path / "__init__.py"]
    return next((f for f in found if f.is_file()), None)


def bindings(path):
    """Name -> (file, name in it or None) of what a file imports of ours."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        for alias in node.names:
            submodule = module_file(f"{node.module}.{alias.name}")
            file = submodule or module_file(node.module)
            name = None if submodule else alias.name
            found[alias.asname or alias.name] = (file, name)
    return {key: value for key, value in found.items() if value[0]}


def used(tree):
    """Pairs (name, attribute or None) that the code below a node mentions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id, None
        elif isinstance(node, ast.Attribute) and isinstance(
            node.value, ast.Name
        ):
            yield node.value.id, node.attr


def behind(file, name):
    """The file that defines a name; a package passes on to its members."""
    if file.name == "__init__.py" and name:
        inner = bindings(file).get(name)
        if inner:
            return behind(*inner)
    return file


def imports(path, function=None):
    tree = ast.parse(path.read_text())
    if function:
        (tree,) = (n for n in tree.body if getattr(n, "name", None) == function)
    known = bindings(path)
    mentioned = set(used(tree))
    for key, (file, name) in known.items():
        attributes = {a for n, a in mentioned if n == key and a}
        if name or not attributes:
            mentions = any(n == key for n, _ in mentioned)
            if mentions or not function:
                yield behind(file, name)
        else:
            yield from (behind(file, attribute) for attribute in attributes)


def closure(entry):
    path, _, function = entry.partition(":")
    todo, found = [*imports(ROOT / path, function)], {ROOT / path}
    while todo:
        file = todo.pop()
        left_out = file.relative_to(ROOT).as_posix() in LEFT_OUT
        if file not in found and not left_out:
            found.add(file)
            todo += imports(file)
    return {f.relative_to(ROOT).as_posix() for f in found}


def covered(names):
    files = (file for name in names for file in sources.source_files(name))
    return {file.relative_to(ROOT).as_posix() for file in files}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_list_covers_what_its_component_imports(name):
    needed = set().union(*map(closure, ENTRIES[name]))
    listed = covered(getattr(sources, name))
    assert needed - listed == set()


def test_checkpoints_depend_on_what_decides_weights_alone():
    needed = closure("gim_tf/jobs/pretraining.py")
    listed = covered(sources.WEIGHT_SOURCES)
    # Spectra are drawn, not trained on.
    unlisted = needed - listed - {"gim_tf/data/spectra.py"}
    assert {Path(f).parent.name for f in unlisted} == {"inspection"}
    for folder in ("export", "data/sources", "inspection", "probes"):
        assert not any(f.startswith(f"gim_tf/{folder}") for f in listed)


def test_the_closure_follows_imports():
    """Else the tests above would be content with nothing."""
    assert {
        "gim_tf/jobs/probing.py",
        "gim_tf/probes/knn.py",
        "gim_tf/losses/info_nce.py",
        "gim_tf/inspection/projector.py",
    } <= closure(f"{COMPONENTS}:LinearProbe")


def test_the_report_depends_on_its_template():
    template = "gim_tf/inspection/templates/report.html"
    assert template in covered(sources.REPORT_SOURCES)


@pytest.mark.parametrize("name", [*ENTRIES, "WEIGHT_SOURCES"])
def test_every_named_source_exists(name):
    for source in getattr(sources, name):
        assert sources.source_files(source), source


def test_package_versions_count(monkeypatch):
    def hashed(**versions):
        monkeypatch.setattr(sources, "versions", lambda: versions)
        return sources.source_hash.__wrapped__(("stack.py",))

    assert hashed(keras="1") != hashed(keras="2")
    assert hashed(keras="1", gim_tf="1") == hashed(keras="1", gim_tf="2")
