"""`toolkit plugins` and `toolkit schema`: what is installed, and what a recipe may say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from evenhand.commands.session import Session, global_options, pass_session

if TYPE_CHECKING:
    from evenhand.discovery import PluginRow

_LOAD = click.option(
    "--load", "load_all", is_flag=True, help="Import each plugin, too; the exit code is 3 when one fails."
)


class _Plugins(click.RichGroup):
    """Says how a plugin is shown to whoever leaves out `show`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}; a plugin is shown by: toolkit plugins show {args[0]}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Plugins, invoke_without_command=True)
@_LOAD
@global_options
@click.pass_context
def plugins(context: click.Context, load_all: bool) -> None:
    """List the installed plugins, or show one."""
    if context.invoked_subcommand is None:
        _list(context, load_all)


@plugins.command("list")
@_LOAD
@global_options
@click.pass_context
def list_plugins(context: click.Context, load_all: bool) -> None:
    """List the installed plugins; nothing is imported unless --load is given."""
    _list(context, load_all)


def _list(context: click.Context, load_all: bool) -> None:
    from evenhand.commands.layout import columns, counted
    from evenhand.discovery import discover, normalised

    rows = discover().rows
    if not rows:
        click.echo("No plugins are installed. The first-party ones: pip install evenhand-standard")
        return
    distributions = len({normalised(row.distribution) for row in rows})
    click.echo(f"{counted(len([r for r in rows if r.name]), 'plugin')} from {counted(distributions, 'distribution')}")
    shown, failed = [], False
    for row in rows:
        status, stage, text = str(row.status), "", row.reason
        if load_all and row.status in ("ok", "clash"):
            status, stage, text = _loaded(row)
            failed = failed or status not in ("ok", "clash")
        failed = failed or (load_all and row.status in ("broken", "incompatible"))
        shown.append((row.name or "(unreadable)", row.provider, status, stage, text))
    click.echo("")
    lines = columns(("plugin", "distribution", "status", "stage", "about it"), shown)
    click.echo("\n".join(lines))
    click.echo("")
    if not load_all:
        click.echo("toolkit plugins --load adds the stage of each, and a sentence about it.")
    click.echo("toolkit plugins show NAME tells what a plugin does and which options it has.")
    if failed:
        context.exit(3)


def _loaded(row: PluginRow) -> tuple[str, str, str]:
    """Status, stages, and the summary or the reason, after an import."""
    from evenhand.discovery import load
    from evenhand.errors import BrokenPlugin, IncompatiblePlugin

    try:
        plugin = load(row)
    except (BrokenPlugin, IncompatiblePlugin) as error:
        return ("broken" if isinstance(error, BrokenPlugin) else "incompatible"), "", error.what
    return row.status, ", ".join(plugin.stages()), row.reason or plugin.summary


@plugins.command()
@click.argument("name")
@global_options
def show(name: str) -> None:
    """Show what the plugin NAME does, its options, and how a recipe uses it."""
    from evenhand.discovery import BUILT_IN, discover, load
    from evenhand.recipe_model import TrainingSection

    if name == BUILT_IN:
        facts = {"provided by": "evenhand", "stage": "training"}
        what = "Train on the contributions of the steps before it. Its options override [training]."
        _show(name, what, facts, "steps", TrainingSection)
        return
    row = discover().find(name)
    plugin = load(row)
    facts = {
        "provided by": f"{row.provider} ({row.origin})",
        "class": row.target,
        "stage": ", ".join(plugin.stages()),
        "models": " and ".join(plugin.kinds),
        "source": plugin.source,
    }
    section = "benchmarks" if plugin.stages() == ("evaluation",) else "steps"
    _show(name, plugin.summary, facts, section, plugin.Options)


def _show(name: str, summary: str, facts: dict[str, str], section: str, options: type) -> None:
    from evenhand.commands.layout import columns, styled
    from evenhand.option_table import option_table

    click.echo(styled(name, bold=True))
    if summary:
        click.echo(summary)
    click.echo("")
    for label, value in facts.items():
        if value:
            click.echo(f"  {label:<12}  {value}")
    rows = option_table(options)
    click.echo("")
    table = [(row.name, row.default, row.accepts, row.meaning) for row in rows]
    lines = columns(("option", "default", "accepts", "meaning"), table)
    click.echo("\n".join(lines) if rows else "  It has no options.")
    click.echo("")
    required = [f"{row.name} = ..." for row in rows if row.default == "required"]
    click.echo("\n".join(["In a recipe:", "", f"  [[{section}]]", f'  use = "{name}"', *(f"  {r}" for r in required)]))


@click.command()
@global_options
@pass_session
def schema(session: Session) -> None:
    """Print the JSON Schema of a recipe, with the options of every installed plugin."""
    import json

    from evenhand.discovery import discover
    from evenhand.recipe_schema import recipe_schema

    result, failures = recipe_schema(discover())
    click.echo(json.dumps(result, indent=2))
    for failure in failures:
        click.echo(f"left out: {failure}", err=True)
