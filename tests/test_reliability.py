"""Every number of docs/reliability.md has its test, and nothing unsafe is used.

What is read here is the source; what such files do when they are read is in
the tests named `test_security_...` beside the readers.
"""

import argparse
import ast
import functools
import re
from pathlib import Path

import pytest
import yaml

from gim_tf.cli import arguments
from tools import fault_table

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("gim_tf", "pipelines", "serving", "tools", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
NUMBERS = {
    f"{letter}{number}"
    for letter, count in {"T": 13, "D": 10, "P": 8, "S": 7}.items()
    for number in range(1, count + 1)
}
# Each can run code that a file names.
UNSAFE_PACKAGES = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib"}
SAFE_YAML = {"safe_load", "safe_load_all", "safe_dump", "YAMLError"}


@functools.cache
def numbered():
    """(number, name) of each numbered test."""
    return list(_numbered())


def _numbered():
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            number = fault_table.number_of(getattr(node, "name", ""))
            if number and number != fault_table.SECURITY:
                yield number, node.name


def test_every_number_has_a_test_and_a_description():
    assert {number for number, _ in numbered()} == NUMBERS
    assert set(fault_table.INJECTED) == NUMBERS


def test_the_page_has_a_row_a_number():
    page = (ROOT / "docs" / "reliability.md").read_text()
    rows = re.findall(r"^\| ([TDPS]\d+) \|", page, re.MULTILINE)
    assert rows == sorted(NUMBERS, key=fault_table.place)


def test_items_of_security_on_the_page_have_their_tests():
    page = (ROOT / "docs" / "reliability.md").read_text()
    named = set(re.findall(r"`(test_security_\w+)`", page))
    written = {
        found
        for path in (ROOT / "tests").rglob("test_*.py")
        for found in re.findall(
            r"^def (test_security_\w+)", path.read_text(), re.MULTILINE
        )
    }
    assert named == written


@functools.cache
def calls(path):
    """(dotted name, call) of each call in a file."""
    return [
        (ast.unparse(node.func), node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]


def keywords(call):
    return {word.arg: ast.unparse(word.value) for word in call.keywords}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_security_no_file_is_unpickled():
    assert len(SOURCES) > 200
    for path in SOURCES:
        assert not UNSAFE_PACKAGES & set(imported(path)), path
        for name, call in calls(path):
            if name == "np.load":
                default = {"allow_pickle": "False"}
                assert (
                    keywords(call).get("allow_pickle", "False")
                    == (default["allow_pickle"])
                ), path
            assert name.split(".")[-1] not in ("read_pickle", "fromregex")


def test_security_yaml_is_read_safely():
    for path in SOURCES:
        for name, _ in calls(path):
            package, _, function = name.partition(".")
            assert package != "yaml" or function in SAFE_YAML, (path, name)
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load("!!python/object/apply:os.getpid []")


def test_security_no_keras_file_and_no_lambda_layer():
    """Neither is written or read: exports are SavedModels with a manifest."""
    for path in SOURCES:
        for name, call in calls(path):
            last = name.split(".")[-1]
            assert last not in ("Lambda", "enable_unsafe_deserialization")
            assert not name.endswith("models.load_model"), path
            assert keywords(call).get("safe_mode", "True") == "True", path


def test_security_no_text_becomes_code_or_a_shell_s_words():
    for path in SOURCES:
        for name, call in calls(path):
            assert name not in ("eval", "exec", "os.system", "os.popen"), path
            assert keywords(call).get("shell", "False") == "False", path


def test_security_servers_listen_on_this_machine_alone():
    parser = arguments.parser()
    (verbs,) = (
        action
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    hosts = [
        action.default
        for verb in verbs.choices.values()
        for action in verb._actions
        if "--host" in action.option_strings
    ]
    assert hosts == ["127.0.0.1"]
    for path in SOURCES:
        text = path.read_text()
        assert "0.0.0.0" not in text, path
        assert "--bind_all" not in text, path
        assert "add_insecure_port" not in text or "local_server" in str(path)
