"""Commands that should answer at once import nothing heavy. Times are measured in `tests/performance`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SITE = Path(__file__).parent / "site"
HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "adapters",
    "accelerate",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "safetensors",
    "gguf",
    "jinja2",
)
RECIPE = """
[model]
name = "tiny"
[[steps]]
use = "row-shuffle"
[[steps]]
use = "train"
[[benchmarks]]
use = "word-count"
"""
PROBE = """
import json, sys
from evenhand.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    code = end.code
print(json.dumps([code, sorted(set(sys.modules) & set({heavy!r}))]))
"""


def probe(arguments: list[str], folder: Path) -> list[object]:
    """The exit code of a command in a process of its own, and the heavy modules it imported."""
    code = PROBE.format(arguments=arguments, heavy=HEAVY)
    path = os.pathsep.join([str(SITE / "sound"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
    )
    return list(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["eval", "--help"],
        ["plugins"],
        ["plugins", "show", "row-shuffle"],
        ["plugins", "show", "train"],
        ["validate", "my.toml"],
        ["schema"],
        ["evidence", "--output", "."],
        ["models"],
    ],
    ids=" ".join,
)
def test_a_quick_command_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(RECIPE)
    assert probe(arguments, tmp_path) == [0, []]


def test_a_recipe_with_an_error_is_refused_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(RECIPE + "limt = 3\n")
    assert probe(["run", "my.toml"], tmp_path) == [2, []]


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "./tiny"],
        ["eval", "./tiny", "--benchmark", "word-counts"],
        ["eval", "./tiny", "--benchmark", "word-count", "--set", "word-count.limt=3"],
    ],
    ids=["no benchmark", "an unknown one", "an unknown option"],
)
def test_a_mistaken_evaluation_is_refused_before_anything_heavy_is_imported(
    arguments: list[str], tmp_path: Path
) -> None:
    assert probe(arguments, tmp_path) == [2, []]
    assert not (tmp_path / "runs").exists()


def test_a_plugin_that_the_recipe_does_not_name_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('[model]\nname = "tiny"\n[[steps]]\nuse = "train"\n')
    code = (
        "import sys; from evenhand.cli import main\n"
        "try:\n    main(['validate', 'my.toml'])\nexcept SystemExit: pass\n"
        "assert 'evenhand.plugin' in sys.modules and 'fake_sound' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(SITE / "sound")},
    )


def test_the_packaged_recipes_are_sound_in_themselves() -> None:
    from evenhand import packaged_recipes
    from evenhand.recipe import load_recipe

    names = packaged_recipes.names()
    assert "quickstart" in names
    assert [load_recipe(name).name for name in names] == names


def test_the_python_interface_can_be_looked_through_without_loading_it() -> None:
    code = (
        "import sys, evenhand\n"
        "assert set(evenhand.__all__) <= set(dir(evenhand)), set(evenhand.__all__) - set(dir(evenhand))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
