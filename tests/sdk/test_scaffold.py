"""`toolkit new`: the project it writes works as it stands, from its wheel to a finished run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evenhand.builtin_texts import read
from evenhand.errors import UsageError
from evenhand_sdk.scaffold import STAGES, create
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
        *(
            (
                name,
                f"new: a package called {name.replace('-', '_')!r} would stand in the way of Python's or the toolkit's "
                f"own\n  toolkit new my-{name}",
            )
            for name in ("numpy", "torch", "datasets", "rich-click", "import-linter")
        ),
    ],
)
def test_names_that_cannot_be_used(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create(name, tmp_path)
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_a_required_distribution_installs_under_another_name_cannot_be_used(tmp_path: Path) -> None:
    pytest.importorskip("importlinter")  # of import-linter
    with pytest.raises(UsageError, match="a package called 'importlinter' would stand in the way"):
        create("importlinter", tmp_path)


def test_a_stage_without_a_first_plugin(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        create("mine", tmp_path, stage="decodin")
    assert str(caught.value) == (
        "new: there is no first plugin for the stage 'decodin'; did you mean 'decoding'?\n"
        "  stages: data, objective, decoding, evaluation; docs/hooks.md has a short example of every hook"
    )
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


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment in which pip installed the wheels of the toolkit and of evenhand-standard.

    What they depend on is read where this test runs, through a .pth file, so that nothing is downloaded.
    """
    place = tmp_path_factory.mktemp("fresh")
    for source in (REPOSITORY, REPOSITORY / "plugins" / "standard"):
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place / "wheels", source]
        call(*build, folder=place)
    call(sys.executable, "-m", "venv", place / "env", folder=place)
    python = place / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(call(python, "-c", where, folder=place).strip())
    beside = [p for p in sys.path if "site-packages" in p]
    (packages / "beside.pth").write_text("\n".join(dict.fromkeys(beside)) + "\n")
    wheels = sorted((place / "wheels").glob("*.whl"))
    assert [w.name.partition("-")[0] for w in wheels] == ["evenhand", "evenhand_standard"]
    # those that are installed for this test are visible, too, and must not be taken for installed there
    call(python, "-m", "pip", "install", "--no-deps", "--no-index", "--ignore-installed", *wheels, folder=place)
    code = "import evenhand, evenhand_sdk, evenhand_standard as s; "
    code += "print(*(m.__file__ for m in [evenhand, evenhand_sdk, s]))"
    found = call(python, "-c", code, folder=place).split()
    assert all(str(packages) in file for file in found), found
    return python


def installed(python: Path, project: Path) -> None:
    """Build the project's wheel, and install it with pip."""
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", folder=project)
    (wheel,) = (project / "dist").glob("*.whl")
    call(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, folder=project)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "data"])  # data: the test below
def test_the_first_plugin_of_each_stage_passes_its_tests_and_runs_from_its_recipe(
    tmp_path: Path, fresh: Path, stage: str
) -> None:
    project = create(f"try-{stage}", tmp_path, stage=stage)
    assert not [p for p in project.rglob("*") if p.is_file() and "$" in p.read_text()]
    installed(fresh, project)
    save_tiny(tmp_path / "tiny")
    settings = {"model.name": tmp_path / "tiny", "training.max_steps": 3, "traffic.limit": 2}
    settings |= {"benchmarks.pair-gap.limit": 24, "training.learning_rate": 1e-3}
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    passed = call(fresh, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=project)
    assert re.search(r"\b1[0-4] passed", passed) and "failed" not in passed
    call(fresh, "-m", "evenhand", "run", "recipe.toml", *given, folder=project)
    (folder,) = (project / "runs").iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "complete"
    assert [b["id"] for b in record["benchmarks"] if b["id"] != f"try-{stage}"] == ["pair-gap", "perplexity"]
    own = [e for e in (*record["steps"], *record["benchmarks"]) if e["use"] == f"try-{stage}"]
    assert len(own) == 1


@pytest.mark.slow
def test_from_new_to_a_finished_run_in_a_fresh_environment(tmp_path: Path, fresh: Path) -> None:
    project, python = create("job-titles", tmp_path), fresh
    installed(python, project)

    def toolkit(*arguments: str) -> str:
        return call(python, "-m", "evenhand", *arguments, folder=project)

    assert "job-titles" in toolkit("plugins", "list")
    save_tiny(tmp_path / "tiny")
    tiny = ["--set", f"model.name={tmp_path / 'tiny'}"]
    toolkit("validate", "recipe.toml", *tiny)
    assert "12 passed, 0 failed, 2 skipped" in toolkit("check", "job-titles")
    passed = call(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=project)
    assert "13 passed, 2 skipped" in passed

    few = ("training.max_steps=3", "traffic.limit=2", "benchmarks.pair-gap.limit=24")
    toolkit("run", "recipe.toml", *tiny, *(part for one in few for part in ("--set", one)))
    (folder,) = (project / "runs").iterdir()
    record = json.loads((folder / "run.json").read_text())
    (step,) = [s for s in record["steps"] if s["id"] == "job-titles"]
    assert record["status"] == "complete" and (folder / "report.html").is_file()
    assert [b["id"] for b in record["benchmarks"]] == ["pair-gap", "perplexity"]
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
