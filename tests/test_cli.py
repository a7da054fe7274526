"""What `toolkit` prints, and with which exit code it ends."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from evenhand import discovery
from evenhand.cli import toolkit
from evenhand.commands import layout
from evenhand.stopping import Terminated

SITE = Path(__file__).parent / "site"
find_plugins = discovery.discover


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes these fake distributions the only ones that are installed."""
    monkeypatch.setenv("COLUMNS", "100")

    def only(*folders: str) -> None:
        path = [str(SITE / folder) for folder in folders]
        for folder in reversed(path):
            monkeypatch.syspath_prepend(folder)
        monkeypatch.setattr("evenhand.discovery.discover", lambda: find_plugins(path))

    return only


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes my.toml into the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> str:
        (tmp_path / "my.toml").write_text('[model]\nname = "tiny"\n' + text)
        return "my.toml"

    return write


def call(*arguments: str) -> Result:
    return CliRunner().invoke(toolkit, list(arguments), prog_name="toolkit")


def module(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    fake = ModuleType(name)
    vars(fake).update(members)
    monkeypatch.setitem(sys.modules, name, fake)


# --------------------------------------------------------------------------------------------------- validate
STEPS = """
[[steps]]
use = "row-shuffle"
strength = 0.5
axes = ["gender", "race"]
[[steps]]
use = "quiet-decoding"
[[steps]]
use = "imitation"
teacher = "step:quiet-decoding"
[[steps]]
use = "train"
[[benchmarks]]
use = "word-count"
"""


def test_validate_shows_the_steps(site: Any, recipe: Any) -> None:
    site("sound")
    result = call("validate", recipe(STEPS), "--set", "steps.row-shuffle.strength=0.25")
    assert result.exit_code == 0
    assert result.stdout == (
        "my.toml is sound: 4 steps and 1 benchmark on tiny.\n"
        "\n"
        "     steps           stage      from            set in the recipe\n"
        '  1  row-shuffle     data       fake-sound 1.0  strength = 0.25, axes = ["gender", "race"]\n'
        "  2  quiet-decoding  decoding   fake-sound 1.0  inactive: used by other steps\n"
        '  3  imitation       objective  fake-sound 1.0  teacher = "step:quiet-decoding"\n'
        "  4  train           training   evenhand\n"
        "\n"
        "     benchmarks  stage       from\n"
        "  1  word-count  evaluation  fake-sound 1.0\n"
        "\n"
        "Note: the model 'tiny' is on no shelf and in no folder here: HF_HUB_OFFLINE is set, so only its cache has "
        "it.\n"
        "\n"
        "Note: [data] names no text, so the training reads builtin:everyday.\n"
    )
    assert call("validate", recipe(STEPS), "--quiet").stdout == ""
    assert call("--quiet", "validate", recipe(STEPS)).stdout == ""


def test_every_problem_of_a_recipe_comes_at_once(site: Any, recipe: Any) -> None:
    site("sound")
    result = call("validate", recipe('sed = 1\n[[steps]]\nuse = "row-shuffle"\nstrenght = 1\nrows = "x"\n'))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "my.toml: 3 problems\n"
        "  - model.sed: unknown key (known: name, kind, dtype, device, trust_remote_code, endpoint, endpoint_key, "
        "endpoint_top, endpoint_timeout)\n"
        "  - steps[1].rows: 'x' is not a whole number\n"
        "  - steps[1].strenght: unknown option; did you mean 'strength'? "
        "(known: strength, axes, order, rows)\n"
    )


def test_mistakes_of_every_sort_come_in_one_list(
    site: Any, recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options, plugins, order, model, training text, prompts and held-out text: nothing waits for anything else."""
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))  # a shelf without models of the user
    site("sound")
    recipe("")
    (tmp_path / "my.toml").write_text(
        'size = 3\n[model]\nname = "./lost-model"\n[data]\ntrain = "./lost.txt"\nheldout = "./lost-too.txt"\n'
        '[traffic]\nprompts = "./asked.txt"\n'
        '[[steps]]\nuse = "no-such-thing"\n[[steps]]\nuse = "nothing-like-it"\n'
        '[[steps]]\nuse = "train"\nmax_steps = -1\n[[steps]]\nuse = "row-shuffle"\nstrength = 2\n'
    )
    result = call("validate", "my.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "my.toml: 10 problems\n"
        "  - size: unknown section "
        "(known: extends, model, data, training, budget, traffic, evaluation, run, sweep, searched, steps, benchmarks, "
        "expect)\n"
        "  - steps[1].use: no plugin is called 'no-such-thing'\n"
        "      Installed: imitation, quiet-decoding, row-shuffle, word-count\n"
        "  - steps[2].use: no plugin is called 'nothing-like-it'\n"
        "  - steps[3].max_steps: -1 is not at least 1\n"
        "  - steps[4].strength: 2 is not at most 1\n"
        "  - steps.row-shuffle: no training follows it; put it before the last `train`, or add one\n"
        "  - model './lost-model': not found\n"
        "      tried, in order:\n"
        "        cache: no shelf model has this name (there is smollm2-135m-instruct, minilm-l6-body)\n"
        "        folder: lost-model is not there\n"
        "        hub: not asked, because this is a path and no hub id\n"
        "      name a folder with config.json, a hub id, a .gguf file, or a model of `toolkit models`\n"
        "  - training text './lost.txt' was not found\n"
        "      tried, in order:\n"
        f"        no file or folder '{tmp_path}/lost.txt'\n"
        "        hub: not asked, because it is no hub id (owner/name)\n"
        "      name a file, a folder, a hub id, or builtin:everyday\n"
        "  - held-out text './lost-too.txt' was not found\n"
        "      tried, in order:\n"
        f"        no file or folder '{tmp_path}/lost-too.txt'\n"
        "        hub: not asked, because it is no hub id (owner/name)\n"
        "      name a file, a folder, a hub id, or builtin:everyday\n"
        "  - prompts './asked.txt' was not found\n"
        "      tried, in order:\n"
        f"        no file or folder '{tmp_path}/asked.txt'\n"
        "        hub: not asked, because it is no hub id (owner/name)\n"
        "      name a file, a folder, a hub id, or builtin:everyday\n"
    )


def test_tables_that_cannot_be_read_do_not_hide_what_else_is_wrong(site: Any, recipe: Any, tmp_path: Path) -> None:
    site("sound")
    recipe("")
    (tmp_path / "my.toml").write_text(
        '[model]\nname = ""\n[data]\ntrain = 3\n[traffic]\nprompts = "./asked.txt"\n[[steps]]\nuse = "row-shuffle"\n'
    )
    lines = call("validate", "my.toml").stderr.splitlines()
    assert [line for line in lines if line.startswith("  - ")] == [
        "  - model.name: '' is too short (at least 1)",
        "  - data.train: 3 is not text, and is not a list",
        "  - prompts './asked.txt' was not found",
    ]


@pytest.mark.parametrize(
    ("folders", "use", "message"),
    [
        (
            ("sound",),
            "word-cuont",
            "no plugin is called 'word-cuont'; did you mean 'word-count'?\n"
            "      Installed: imitation, quiet-decoding, row-shuffle, word-count",
        ),
        (
            ("sound",),
            "perplexity",
            "plugin 'perplexity' is not installed\n      pip install evenhand-standard",
        ),
        (
            ("sound", "rival"),
            "row-shuffle",
            "'row-shuffle' is offered by fake-sound 1.0 and rival-plugins 2.0\n"
            '      Say which: use = "fake-sound:row-shuffle" or use = "rival-plugins:row-shuffle"',
        ),
        (
            ("failing",),
            "never-imports",
            "plugin 'never-imports' of fake-failing 0.3: fake_failing cannot be imported: "
            "ModuleNotFoundError: No module named 'a_library_nobody_has'\n"
            "      Raised at line 5 of fake_failing.py\n"
            "      Tell the maintainers of fake-failing. Recipes that do not name it are unharmed.",
        ),
        (
            ("old_api",),
            "old-timer",
            "plugin 'old-timer' of fake-old 0.9: it was written for plugin interface 0, this toolkit has 1\n"
            "      pip install --upgrade fake-old",
        ),
        (
            ("chain",),
            "fused",
            "'fused' of fake-fusion 0.2 cannot be used here: "
            "needs transformers ~=4.57.6 (through adapters 1.3.0), found 5.23.0\n"
            "      Install versions that agree, for example in an environment of its own: "
            "pip install fake-fusion",
        ),
        (
            ("slips",),
            "unmarked",
            "plugin 'unmarked' of fake-slips 0.6: "
            "Unmarked.objective overrides a hook but lacks @hookimpl, so it would never be called",
        ),
    ],
)
def test_a_plugin_that_cannot_be_used(site: Any, recipe: Any, folders: tuple[str, ...], use: str, message: str) -> None:
    site(*folders)
    result = call("validate", recipe(f'[[steps]]\nuse = "{use}"\n'))
    assert result.exit_code == 3
    assert result.stderr == f"my.toml: 1 problem\n  - steps[1].use: {message}\n"
    assert "Traceback" not in result.output


UNKNOWN = '[[steps]]\nuse = "no-such-plugin"\n'
BROKEN = '[[steps]]\nuse = "never-imports"\n'
CONTROL = '[evaluation]\ncontrols = ["no-such-control"]\n'
PROMPTS = '[traffic]\nprompts = "./nowhere.txt"\n'
HELD_OUT = '[data]\nheldout = "./nor-here.txt"\n'
MISTYPED = "[training]\nmax_stesp = 1\n"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (UNKNOWN, 3),
        (BROKEN, 3),
        (CONTROL, 3),
        (CONTROL + UNKNOWN + BROKEN, 3),
        (PROMPTS, 5),
        (PROMPTS + HELD_OUT, 5),
        (MISTYPED, 2),
        (MISTYPED + UNKNOWN, 2),
        (MISTYPED + PROMPTS, 2),
        (PROMPTS + UNKNOWN, 2),
        (MISTYPED + PROMPTS + UNKNOWN, 2),
    ],
)
@pytest.mark.parametrize("command", ["validate", "run"])
def test_problems_of_one_kind_end_with_its_exit_code_and_several_kinds_with_2(
    site: Any, recipe: Any, command: str, body: str, code: int
) -> None:
    site("sound", "failing")
    assert call(command, recipe(body)).exit_code == code


def test_broken_strangers_do_not_harm_a_recipe_that_does_not_name_them(site: Any, recipe: Any) -> None:
    site("sound", "failing", "old_api", "duplicated", "bad_bytes", "bad_spec", "chain", "slips", "nameless")
    assert call("validate", recipe(STEPS)).exit_code == 0


# ---------------------------------------------------------------------------------------------------- plugins
def test_plugins_is_plugins_list(site: Any) -> None:
    site("sound", "bad_bytes", "rival", "chain")
    result = call("plugins")
    assert result.exit_code == 0
    assert result.stdout == (
        "6 plugins from 4 distributions\n"
        "\n"
        "  plugin          distribution       status        about it\n"
        "  fused           fake-fusion 0.2    incompatible  needs transformers ~=4.57.6 (through adapters\n"
        "                                                   1.3.0), found 5.23.0\n"
        "  imitation       fake-sound 1.0     ok\n"
        "  quiet-decoding  fake-sound 1.0     ok\n"
        "  row-shuffle     fake-sound 1.0     clash         also offered by rival-plugins 2.0; use it as\n"
        "                                                   fake-sound:row-shuffle\n"
        "  row-shuffle     rival-plugins 2.0  clash         also offered by fake-sound 1.0; use it as\n"
        "                                                   rival-plugins:row-shuffle\n"
        "  word-count      fake-sound 1.0     ok\n"
        "  (unreadable)    fake-bytes 1.2     broken        "
        "entry_points.txt, line 4: byte 0xef is not UTF-8\n"
        "\n"
        "toolkit plugins --load adds the stage of each, and a sentence about it.\n"
        "toolkit plugins show NAME tells what a plugin does and which options it has.\n"
    )
    assert call("plugins", "list").stdout == result.stdout


def test_without_plugins_the_list_says_how_to_get_some(site: Any) -> None:
    site()
    assert call("plugins").stdout == ("No plugins are installed. The first-party ones: pip install evenhand-standard\n")


def test_load_imports_each_plugin_and_reports(site: Any) -> None:
    site("sound", "failing")
    result = call("plugins", "--load")
    assert result.exit_code == 3
    assert "  never-imports   fake-failing 0.3  broken              fake_failing cannot be" in result.stdout
    assert "  row-shuffle     fake-sound 1.0    ok      data        Moves rows" in result.stdout
    site("sound")
    assert call("plugins", "list", "--load").exit_code == 0


def test_show_tells_what_a_plugin_does(site: Any) -> None:
    site("sound")
    result = call("plugins", "show", "row-shuffle")
    assert result.exit_code == 0
    assert result.stdout == (
        "row-shuffle\n"
        "Moves rows of the training data.\n"
        "\n"
        "  provided by   fake-sound 1.0 (index)\n"
        "  class         fake_sound:RowShuffle\n"
        "  stage         data\n"
        "  models        causal and masked\n"
        "  source        Tests of the host.\n"
        "\n"
        "  option    default     accepts                        meaning\n"
        "  strength  1.0         number, at least 0, at most 1\n"
        '  axes      ["gender"]  list of text                   The axes that the rows are about.\n'
        '  order     "random"    "random" or "sorted"\n'
        "  rows      10          whole number, at least 1       How many rows to move.\n"
        "\n"
        "In a recipe:\n"
        "\n"
        "  [[steps]]\n"
        '  use = "row-shuffle"\n'
    )
    assert call("plugins", "show", "imitation").stdout.endswith('use = "imitation"\n  teacher = ...\n')
    assert '  [[benchmarks]]\n  use = "word-count"\n' in call("plugins", "show", "word-count").stdout
    assert "  max_steps              100" in call("plugins", "show", "train").stdout


@pytest.mark.parametrize(
    ("folder", "name", "message"),
    [
        (
            "sound",
            "row-shufle",
            "no plugin is called 'row-shufle'; did you mean 'row-shuffle'?\n"
            "  Installed: imitation, quiet-decoding, row-shuffle, word-count\n",
        ),
        ("sound", "pair-gap", "plugin 'pair-gap' is not installed\n  pip install evenhand-standard\n"),
        (
            "bad_spec",
            "misspelt",
            "'misspelt' of fake-spec 1.3 cannot be used: 'fake_sound/RowShuffle' is not of the form module:Class\n",
        ),
    ],
)
def test_show_of_what_cannot_be_shown(site: Any, folder: str, name: str, message: str) -> None:
    site(folder)
    result = call("plugins", "show", name)
    assert (result.exit_code, result.stderr) == (3, message)


# ----------------------------------------------------------------------------------------------------- schema
def test_schema_has_a_variant_for_each_plugin_and_lists_those_that_fail(site: Any) -> None:
    site("sound", "rival", "failing", "bad_bytes")
    result = call("schema")
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    steps = {variant["title"]: variant for variant in schema["properties"]["steps"]["items"]["anyOf"]}
    assert list(steps) == [
        "train",
        "imitation",
        "quiet-decoding",
        "fake-sound:row-shuffle",
        "rival-plugins:row-shuffle",
    ]
    assert steps["imitation"]["required"] == ["use", "teacher"]
    assert steps["imitation"]["properties"]["use"] == {"enum": ["imitation", "fake-sound:imitation"]}
    assert steps["imitation"]["additionalProperties"] is False
    assert steps["fake-sound:row-shuffle"]["properties"]["use"] == {"const": "fake-sound:row-shuffle"}
    assert steps["train"]["properties"]["max_steps"]["minimum"] == 1
    axes = steps["fake-sound:row-shuffle"]["properties"]["axes"]
    assert axes["description"] == "The axes that the rows\nare about."
    benchmarks = schema["properties"]["benchmarks"]["items"]["anyOf"]
    assert [variant["title"] for variant in benchmarks] == ["word-count"]
    assert "active" not in benchmarks[0]["properties"]
    assert schema["properties"]["model"]["required"] == ["name"]
    assert schema["properties"]["extends"]["type"] == "string"
    assert schema["anyOf"] == [{"required": ["model"]}, {"required": ["extends"]}]
    assert result.stderr == (
        "left out: plugin 'never-imports' of fake-failing 0.3: fake_failing cannot be imported: "
        "ModuleNotFoundError: No module named 'a_library_nobody_has'\n"
        "  Raised at line 5 of fake_failing.py\n"
        "  Tell the maintainers of fake-failing. Recipes that do not name it are unharmed.\n"
        "left out: the plugins of fake-bytes 1.2 cannot be read: "
        "entry_points.txt, line 4: byte 0xef is not UTF-8\n"
    )


# -------------------------------------------------------------------------------------------------------- run
def test_run_hands_the_recipe_to_the_host_and_prints_the_summary(
    site: Any, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site("sound")
    calls = []

    def execute(given: Any, **flags: Any) -> SimpleNamespace:
        calls.append((given.name, given.overrides, flags))
        return SimpleNamespace(folder=Path("runs/my-1"))

    module(monkeypatch, "evenhand.execution", execute=execute)
    module(monkeypatch, "evenhand.summary", print_summary=lambda result: print(f"summary of {result.folder}"))
    result = call("run", recipe(STEPS), "--set", "run.seed=3", "--resume", "--output", "out", "--strict")
    assert (result.exit_code, result.stdout) == (0, "summary of runs/my-1\n")
    flags = {"output": "out", "resume": True, "strict": True, "offline": None}
    assert calls == [("my", ("run.seed=3",), flags)]
    assert call("run", recipe(STEPS), "--offline", "--quiet").stdout == "runs/my-1\n"
    assert calls[1][2] == {"output": None, "resume": False, "strict": False, "offline": True}


def failing(error: BaseException) -> Any:
    def execute(*_: Any, **__: Any) -> None:
        raise error

    return execute


@pytest.mark.parametrize(("kind", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_a_stop_says_how_to_continue_where_something_was_begun(
    site: Any, recipe: Any, monkeypatch: pytest.MonkeyPatch, kind: type[KeyboardInterrupt], code: int
) -> None:
    site("sound")
    begun = kind()
    begun.add_note("continue with: toolkit run my.toml --resume")
    module(monkeypatch, "evenhand.execution", execute=failing(begun))
    result = call("run", recipe(STEPS))
    assert (result.exit_code, result.stderr) == (code, "stopped\n  continue with: toolkit run my.toml --resume\n")
    module(monkeypatch, "evenhand.execution", execute=failing(kind()))
    assert call("run", recipe(STEPS)).stderr == "stopped\n", "there is no run to continue"
    module(monkeypatch, "evenhand.ablation", ablate=failing(kind()))
    assert call("ablate", recipe(STEPS)).stderr == "stopped\n  the same command goes on\n"


def test_an_unforeseen_exception_is_a_defect_and_debug_shows_it(
    site: Any, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site("sound")
    module(monkeypatch, "evenhand.execution", execute=failing(ZeroDivisionError("by\nzero")))
    line = (
        "this is a defect in the toolkit, not in your input (ZeroDivisionError: by zero); --debug shows the traceback\n"
    )
    result = call("run", recipe(STEPS))
    assert (result.exit_code, result.stderr) == (70, line)
    for arguments in (["--debug", "run", "my.toml"], ["run", "my.toml", "--debug"]):
        result = call(*arguments)
        assert result.exit_code == 70
        assert result.stderr.startswith("Traceback (most recent call last):")
        assert result.stderr.endswith(line)


def test_a_users_mistake_has_a_traceback_only_with_debug(site: Any, recipe: Any) -> None:
    site("sound")
    recipe("")
    assert call("run", "nothing.toml", "--debug").stderr.startswith("Traceback")
    result = call("run", "nothing.toml")
    assert result.exit_code == 2
    assert result.stderr.startswith("recipe: 1 problem\n  - there is no recipe 'nothing.toml'\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runn"], "No such command 'runn'. Did you mean 'run'?"),
        (["run"], "Missing argument 'RECIPE'."),
        (["run", "my.toml", "--resum"], "No such option '--resum'"),
    ],
)
def test_usage_errors(arguments: list[str], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


# -------------------------------------------------------------------------------------------------- authoring
def test_new_is_done_by_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    module(monkeypatch, "evenhand_sdk.scaffold", create=lambda name, folder, stage="data": folder / name)
    result = call("new", "my-plugin", "--output", "there")
    assert result.exit_code == 0
    made = Path("there") / "my-plugin"
    assert result.stdout == (f"Made {made}\nNext:  pip install -e {made}  and then  toolkit check my-plugin\n")


def test_without_the_sdk_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evenhand_sdk", None)
    monkeypatch.delitem(sys.modules, "evenhand_sdk.scaffold", raising=False)
    result = call("new", "my-plugin")
    assert result.exit_code == 2
    assert result.stderr == (
        "this needs evenhand_sdk.scaffold, which is not installed\n"
        "  install the toolkit whole: its distribution has both parts\n"
    )


@pytest.mark.parametrize("named", ["word-count", "fake-sound:word-count", "fake_sound:WordCount"])
def test_check_takes_a_name_or_a_class(site: Any, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    site("sound")

    from evenhand_sdk import conformance

    reason = ""

    def check_plugin(plugin: type, on_result: Any = None) -> Any:
        row = conformance.Row("seeded", "failed" if reason else "passed", reason)
        if on_result:
            on_result(row)
        return conformance.Report(plugin.__name__, (row,))

    module(monkeypatch, "evenhand_sdk.conformance", check_plugin=check_plugin, CHECKS={"seeded": None, "x": None})
    result = call("check", named)
    assert result.exit_code == 0
    assert result.stdout == "  passed   seeded\nWordCount: 1 passed, 0 failed, 0 skipped\n"
    assert call("check", named, "--quiet").output == ""

    reason = "two runs differ"
    result = call("check", named)
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout == ("  failed   seeded  two runs differ\nWordCount: 0 passed, 1 failed, 0 skipped\n")
    result = call("check", named, "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == ("plugin 'WordCount': 1 of 1 conformance checks failed\n  seeded: two runs differ\n")


def test_check_of_what_cannot_be_checked(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site("sound")
    module(monkeypatch, "evenhand_sdk.conformance", check_plugin=None)
    result = call("check", "fake_sound:ShuffleOptions")
    assert result.exit_code == 3
    assert result.stderr == ("fake_sound:ShuffleOptions: ShuffleOptions is not a subclass of evenhand_sdk.Plugin\n")
    result = call("check", "no_such_module:Thing")
    assert result.exit_code == 3
    assert result.stderr == ("no_such_module:Thing: there is no module no_such_module\n")
    assert call("check", "word-cuont").stderr.startswith("no plugin is called 'word-cuont'; did you mean")


def test_check_of_a_new_plugin_that_is_not_installed_yet(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site("sound")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pyproject.toml").write_text("")
    result = call("check", "mine")
    assert result.exit_code == 2
    assert result.stderr == (
        "toolkit check: 'mine' is a folder here, and no plugin of this name is installed\n  pip install -e mine\n"
    )


# --------------------------------------------------------------------------------------------------- evidence
@pytest.mark.parametrize(("kind", "card"), [("run", f"{Path('runs/a/README.md')}\n"), ("evaluation", "")])
def test_report_prints_the_paths(monkeypatch: pytest.MonkeyPatch, kind: str, card: str) -> None:
    module(monkeypatch, "evenhand.report_reading", read_run=lambda folder: SimpleNamespace(kind=kind))
    module(monkeypatch, "evenhand.report", write_report=lambda folder: Path(folder) / "report.html")
    module(monkeypatch, "evenhand.model_card", write_card=lambda folder: Path(folder) / "README.md")
    done = call("report", "runs/a")
    assert done.exit_code == 0
    assert done.stdout == f"{Path('runs/a/report.html')}\n{card}"


def test_eval_passes_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def evaluate(model: str, benchmarks: tuple[str, ...], **options: Any) -> Any:
        given.update(model=model, benchmarks=benchmarks, **options)
        return SimpleNamespace(folder="runs/eval")

    module(monkeypatch, "evenhand.evaluating", evaluate=evaluate)
    module(monkeypatch, "evenhand.evaluation_summary", print_evaluation=print)
    done = call(
        "eval", "tiny", "--benchmark", "a", "-b", "b", "--set", "a.x=1", "--limit", "5", "--data", "d", "--output", "o",
        "--dtype", "float32", "--seed", "3", "--offline",
    )  # fmt: skip
    assert (done.exit_code, done.stdout) == (0, "runs/eval\n")
    assert given == {
        "model": "tiny", "benchmarks": ("a", "b"), "overrides": ("a.x=1",), "limit": 5, "data": "d", "output": "o",
        "dtype": "float32", "seed": 3, "offline": True,
    }  # fmt: skip


def test_compare_prints_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    module(monkeypatch, "evenhand.compare", compare=lambda a, b: f"{a} and {b}", print_comparison=print)
    assert call("compare", "runs/a", "runs/b").stdout == "runs/a and runs/b\n"


def test_models_lists_the_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")  # the state of the cache is part of the line
    result = call("models")
    assert result.exit_code == 0
    assert "  smollm2-135m-instruct  causal  Apache-2.0" in result.stdout
    assert "SmolLM2-135M-Instruct, dequantised from Q4_1" in result.stdout


@pytest.mark.parametrize("width", [40, 60])
def test_a_table_that_a_narrow_terminal_cannot_hold_is_lines(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    header = ("", "steps", "stage", "from", "set in the recipe")
    rows = [
        ("1", "counterfactual-augmentation", "data", "evenhand-standard 0.1.0", 'axes = ["gender", "religion"], a = 1'),
        ("2", "train", "training", "", ""),
    ]
    lines = layout.columns(header, rows)
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()) == (
        "1 counterfactual-augmentation stage: data from: evenhand-standard 0.1.0 "
        'set in the recipe: axes = ["gender", "religion"], a = 1 2 train stage: training'
    )
    assert lines[:2] == ["  1 counterfactual-augmentation", "      stage: data"]
    table = "     steps                        stage     from                     set in the"
    for columns in ("81", "82"):  # the last column has 12 letters of room, or 13; `"religion"],` needs 12
        monkeypatch.setenv("COLUMNS", columns)
        assert layout.columns(header, rows)[0] == table
    monkeypatch.setenv("COLUMNS", "80")
    assert layout.columns(header, rows)[0] == "  1 counterfactual-augmentation"
    monkeypatch.delenv("COLUMNS")  # no terminal: a file or a pipe
    wide = [(*row[:4], "x" * 40, row[4]) for row in rows]
    lines = layout.columns((*header[:4], "more", header[4]), wide)
    assert [line.split()[:2] for line in lines if "x" in line] == [["1", "counterfactual-augmentation"], ["2", "train"]]
    monkeypatch.setenv("COLUMNS", str(width))
    assert layout.columns(("model", "kind"), [("tiny", "causal")]) == ["  model  kind", "  tiny   causal"], "it fits"


def test_every_command_has_a_help_text_and_the_global_flags() -> None:
    assert sorted(toolkit.commands) == [
        "ablate",
        "check",
        "compare",
        "eval",
        "evidence",
        "export",
        "models",
        "new",
        "plugins",
        "report",
        "run",
        "schema",
        "sweep",
        "validate",
    ]
    for name, command in toolkit.commands.items():
        assert command.help, name
        assert {"debug", "quiet"} <= {parameter.name for parameter in command.params}, name


def test_a_plugin_named_without_show_is_answered_with_the_command(site: Any) -> None:
    site("sound")
    result = call("plugins", "word-count")
    assert result.exit_code == 2
    assert "toolkit plugins show word-count" in " ".join(result.stderr.replace("\u2502", " ").split())


def test_help_names_every_command_in_one_panel_and_a_first_run() -> None:
    said = call("--help").stdout
    assert "A first run: toolkit run quickstart" in said
    for name in toolkit.commands:
        assert len(re.findall(rf"^\u2502 {name} ", said, re.MULTILINE)) == 1, name
    assert "Mitigate and measure" in said and " Commands " not in said
