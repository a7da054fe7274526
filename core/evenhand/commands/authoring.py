"""`toolkit new` and `toolkit check`: for those who write plugins. Both are done by the SDK."""

from __future__ import annotations

import importlib
from typing import Any

import rich_click as click

from evenhand.commands.session import Session, global_options
from evenhand.errors import ConformanceFailed


@click.command()
@click.argument("name")
@click.option("--output", metavar="DIR", default=".", show_default=True, help="Folder to make the project in.")
@click.option("--stage", metavar="STAGE", default="data", show_default=True,
              help="What its first plugin does: data, objective, decoding or evaluation.")  # fmt: skip
@global_options
def new(name: str, output: str, stage: str) -> None:
    """Write a plugin project called NAME: package, entry point, and a test that passes."""
    from pathlib import Path

    created = _sdk("evenhand_sdk.scaffold").create(name, Path(output), stage=stage)
    click.echo(f"Made {created}")
    click.echo(f"Next:  pip install -e {created}  and then  toolkit check {name}")


@click.command()
@click.argument("plugin", metavar="NAME_OR_CLASS")
@global_options
@click.pass_context
def check(context: click.Context, plugin: str) -> None:
    """Check that a plugin or an axis pack keeps the contract.

    NAME_OR_CLASS is the name of a plugin, MODULE:CLASS, an axis pack such as gender.en, or a TOML file.
    """
    from evenhand.commands.layout import COLOURS, styled

    if _is_axis_pack(plugin):
        checks = _sdk("evenhand_sdk.axis_checks")
        run, found = checks.check_axis, plugin
    else:
        checks = _sdk("evenhand_sdk.conformance")
        run, found = checks.check_plugin, _named(plugin)
    if context.ensure_object(Session).quiet:
        run(found).demand()
        return
    width = max(len(name) for name in checks.CHECKS)

    def show(row: Any) -> None:
        status = styled(f"{row.status:<7}", colour=COLOURS.get(row.status))
        click.echo(f"  {status}  {row.check:<{width}}  {row.reason}".rstrip())

    report = run(found, show)
    click.echo(str(report).splitlines()[-1])
    if not report.ok:
        context.exit(ConformanceFailed.exit_code)


def _is_axis_pack(name: str) -> bool:
    """Whether the name is a TOML file, or that of an axis pack that is installed."""
    return name.endswith(".toml") or (
        "." in name and ":" not in name and name in _sdk("evenhand_sdk.axes").axis_names()
    )


def _named(plugin: str) -> Any:
    """The class of an installed plugin, or of a module that can be imported from here."""
    import sys
    from pathlib import Path

    from evenhand.discovery import PluginRow, discover, load
    from evenhand.errors import UnknownPlugin, UsageError
    from evenhand.plugin_contract import check_class

    catalogue = discover()
    try:
        row = catalogue.find(plugin)
    except UnknownPlugin:
        module, colon, attribute = plugin.partition(":")
        if Path(plugin, "pyproject.toml").is_file():
            raise UsageError(
                f"{plugin!r} is a folder here, and no plugin of this name is installed",
                where="toolkit check",
                do=f"pip install -e {plugin}",
            ) from None
        axes = _sdk("evenhand_sdk.axes")
        if "." in plugin and not colon and (near := axes.near_match(plugin, axes.axis_names())):
            raise UnknownPlugin(f"no plugin and no axis pack is called {plugin!r}{near}") from None
        if not colon or not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
            raise
    else:
        return load(row)
    from evenhand.plugin_contract import imported

    sys.path.insert(0, "")  # a console script does not see the folder it is called in
    where = f"{module}:{attribute}"
    found = imported(PluginRow(name="", distribution="", version="", target=where), where=where)
    check_class(found, where=where)
    return found


def _sdk(module: str) -> Any:
    """A module of the SDK; imported by name, because the core does not depend on it."""
    from evenhand.errors import UsageError

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        do = "install the toolkit whole: its distribution has both parts"
        raise UsageError(f"this needs {module}, which is not installed", do=do) from error
