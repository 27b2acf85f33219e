"""The three checks the demo's jobs run, on the real sample project and on small files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from workhorse.demo.checks import building, linting, testing
from workhorse.demo.workspace import sample_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy = tmp_path / "project"
    shutil.copytree(sample_project(), copy)
    return copy


def test_the_wheel_can_be_imported_and_is_the_same_twice(project: Path, tmp_path: Path) -> None:
    """The build makes a real wheel: Python imports the package from it; its hash is stable."""
    first = building.build(project, "build_wheel", tmp_path / "one")
    second = building.build(project, "build_wheel", tmp_path / "two")
    assert first == second
    assert first["name"] == "basket-1.4.0-py3-none-any.whl"
    wheel = tmp_path / "one" / first["name"]
    assert zipfile.ZipFile(wheel).testzip() is None
    code = f"import sys; sys.path.insert(0, {str(wheel)!r}); import basket; print(basket.Money(5))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"0.05"


def test_the_source_archive_builds_the_same_wheel(project: Path, tmp_path: Path) -> None:
    """What the sdist holds is enough to build the project again."""
    sdist = building.build(project, "build_sdist", tmp_path)
    subprocess.run(["tar", "-xf", tmp_path / sdist["name"], "-C", tmp_path], check=True)
    again = building.build(tmp_path / "basket-1.4.0", "build_wheel", tmp_path / "again")
    assert again == building.build(project, "build_wheel", tmp_path / "first")


def test_a_broken_backend_says_why(project: Path, tmp_path: Path) -> None:
    """A build that fails tells the backend's own error."""
    (project / "tools" / "backend.py").write_text("def build_wheel(where): raise OSError('no zip')")
    with pytest.raises(building.BuildFailed, match="no zip"):
        building.build(project, "build_wheel", tmp_path)


def test_every_test_is_named_with_its_outcome(project: Path) -> None:
    """The suite's 14 tests come back by name; exactly one failed, with its message."""
    heard: list[tuple[int, int]] = []
    report = testing.run_tests(project, lambda done, total, _name: heard.append((done, total)))
    assert (len(report["passed"]), len(report["failed"]), report["skipped"]) == (13, 1, [])
    [failed] = report["failed"]
    assert failed["name"].endswith("test_a_discount_is_rounded_to_the_nearest_cent")
    assert "8.50" in failed["message"]
    assert heard == [(n, 14) for n in range(1, 15)]


def test_a_suite_may_print_as_much_as_it_likes(project: Path) -> None:
    """More than a pipe holds, on both streams: the tests still end, and are still told apart."""
    (project / "tests" / "test_loud.py").write_text(
        "import sys, unittest\n"
        "class Loud(unittest.TestCase):\n"
        "    def test_loud(self):\n"
        "        print('x' * 1_000_000)\n"
        "        print('x' * 1_000_000, file=sys.stderr)\n"
    )
    report = testing.run_tests(project, lambda *_: None)
    assert "tests.test_loud.Loud.test_loud" in report["passed"]


def test_a_suite_that_cannot_start_is_an_error_not_an_empty_pass(project: Path) -> None:
    """A project whose tests do not even import reports a failed test, never zero tests."""
    (project / "tests" / "test_broken.py").write_text("import no_such_module_anywhere")
    report = testing.run_tests(project, lambda *_: None)
    assert any("test_broken" in failed["name"] for failed in report["failed"])
    shutil.rmtree(project / "tests")
    with pytest.raises(testing.TestsDidNotRun):
        testing.run_tests(project, lambda *_: None)


def test_the_sample_project_has_exactly_one_lint_error(project: Path) -> None:
    """One finding, with file, line, code and message: the import nobody uses."""
    report = linting.lint_folder(project, lambda *_: None)
    assert report["files"] == 9
    assert report["findings"] == [
        {
            "file": "basket/receipt.py",
            "line": 5,
            "code": "F401",
            "message": "`json` imported but unused",
        }
    ]


RULES = {
    "F401": "import os\nimport sys\nprint(sys.path)\n",
    "F541": "print(f'nothing')\n",
    "E711": "def same(a):\n    return a == None\n",
    "E722": "try:\n    pass\nexcept:\n    pass\n",
    "B006": "def f(a, *, b=[]):\n    return a, b\n",
}


@pytest.mark.parametrize("code", RULES)
def test_each_rule_agrees_with_ruff(code: str, tmp_path: Path) -> None:
    """Our small linter finds what ruff finds: same rule, same line."""
    path = tmp_path / "module.py"
    path.write_text(RULES[code])
    command = ["ruff", "check", "--isolated", "--select", ",".join(RULES), "-q"]
    ruff = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [str(ruff), *command[1:], "--output-format", "json", str(path)],
        capture_output=True,
        check=False,
    )
    theirs = [(row["location"]["row"], row["code"]) for row in json.loads(done.stdout)]
    ours = [(finding.line, finding.code) for finding in linting.lint(RULES[code])]
    assert ours == theirs
    assert [found for _, found in ours] == [code]


def test_what_is_used_is_not_reported() -> None:
    """Re-exports, __all__, dotted imports, format specs and noqa lines are let through."""
    source = (
        "from __future__ import annotations\n"
        "import os.path\n"
        "from a import b as b\n"
        "from c import d\n"
        "import e  # noqa\n"
        "__all__ = ['d']\n"
        "print(f'{os.path.sep:>02}')\n"
    )
    assert linting.lint(source) == []
    assert [f.code for f in linting.lint("def broken(:\n")] == ["E999"]
