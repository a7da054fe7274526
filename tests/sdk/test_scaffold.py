"""`toolkit new`: the project it writes works as it stands, from its wheel to a finished run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from evenhand.builtin_texts import read
from evenhand.errors import UsageError
from evenhand_sdk.scaffold import create
from evenhand_sdk.tiny import save_tiny

REPOSITORY = Path(__file__).parents[2]


def test_what_a_project_consists_of(tmp_path: Path) -> None:
    project = create("job-titles", tmp_path / "work")
    assert project == tmp_path / "work" / "job-titles"
    assert sorted(str(p.relative_to(project)) for p in project.rglob("*") if p.is_file()) == [
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "recipe.toml",
        "src/job_titles/__init__.py",
        "src/job_titles/plugin.py",
        "tests/test_plugin.py",
    ]
    assert [p.name for p in (tmp_path / "work").iterdir()] == ["job-titles"], "no draft is left behind"
    assert 'job-titles = "job_titles.plugin:JobTitles"' in (project / "pyproject.toml").read_text()
    assert "class JobTitles(Mitigation):" in (project / "src/job_titles/plugin.py").read_text()
    assert not [p for p in project.rglob("*") if p.is_file() and "$" in p.read_text()]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "My Plugin",
            "new: 'My Plugin' is no plugin name\n  names are lower-case words joined by hyphens, and begin with a "
            "letter\n  toolkit new my-plugin",
        ),
        (
            "3d",
            "new: '3d' is no plugin name\n  names are lower-case words joined by hyphens, and begin with a letter",
        ),
        ("train", "new: the name 'train' belongs to the toolkit\n  toolkit new my-train"),
        ("pair-parity", "new: the name 'pair-parity' belongs to evenhand-standard\n  toolkit new my-pair-parity"),
        (
            "json",
            "new: a package called 'json' would stand in the way of Python's or the toolkit's own\n"
            "  toolkit new my-json",
        ),
    ],
)
def test_names_that_cannot_be_used(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create(name, tmp_path)
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError) as caught:
        create("mine", tmp_path)
    assert str(caught.value) == (
        f"new: {tmp_path / 'mine'} is already there, and nothing in it was changed\n"
        "  take another name, or another folder: toolkit new mine --output DIR"
    )
    assert list((tmp_path / "mine").iterdir()) == []


def test_it_is_light() -> None:
    code = "import sys, evenhand_sdk.scaffold; print([m for m in ('torch', 'numpy', 'jinja2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def call(*command: str | Path, folder: Path) -> str:
    """The output of a command that must succeed."""
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    variables |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "EVENHAND_CACHE": str(folder / "cache")}
    line = [str(part) for part in command]
    done = subprocess.run(line, cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(line)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_from_new_to_a_finished_run_in_a_fresh_environment(tmp_path: Path) -> None:
    project = create("job-titles", tmp_path)
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", folder=project)
    (wheel,) = (project / "dist").glob("*.whl")

    # The fresh environment holds the plugin and nothing else. It reads the toolkit and its dependencies where
    # this test runs, through a .pth file, so that nothing is downloaded.
    call(sys.executable, "-m", "venv", tmp_path / "fresh", folder=tmp_path)
    python = tmp_path / "fresh" / ("Scripts" if os.name == "nt" else "bin") / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(call(python, "-c", where, folder=tmp_path).strip())
    beside = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    beside += [str(REPOSITORY / part) for part in ("core", "sdk")]
    (packages / "beside.pth").write_text("\n".join(dict.fromkeys(beside)) + "\n")
    call(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, folder=tmp_path)

    def toolkit(*arguments: str) -> str:
        return call(python, "-m", "evenhand", *arguments, folder=project)

    assert "job-titles" in toolkit("plugins", "list")
    save_tiny(tmp_path / "tiny")
    tiny = ["--set", f"model.name={tmp_path / 'tiny'}"]
    toolkit("validate", "recipe.toml", *tiny)
    assert "11 passed, 0 failed, 2 skipped" in toolkit("check", "job-titles")
    passed = call(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=project)
    assert "12 passed, 2 skipped" in passed

    toolkit("run", "recipe.toml", *tiny, "--set", "training.max_steps=3", "--set", "traffic.limit=2")
    (folder,) = (project / "runs").iterdir()
    record = json.loads((folder / "run.json").read_text())
    (step,) = [s for s in record["steps"] if s["id"] == "job-titles"]
    assert record["status"] == "complete" and (folder / "report.html").is_file()
    assert (step["distribution"], step["version"]) == ("job-titles", "0.1.0")
    titles = re.compile(
        r"\b(chairman|policeman|policewoman|fireman|waiter|waitress|actress|stewardess|housewife|foreman|"
        r"businessman|mailman)\b",
        re.IGNORECASE,
    )
    rows = read("everyday")
    met = sum(bool(titles.search(row)) for row in rows)
    assert met > 5
    what = f"{len(rows)} rows became {len(rows)}: {met} new, {met} gone"
    assert step["proofs"] == [{"stage": "data", "took": True, "what": what, "size": 2 * met / len(rows)}]
