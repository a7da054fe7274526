"""Plugins that change how text is produced."""
