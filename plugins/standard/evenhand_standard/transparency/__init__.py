"""Plugins that explain a result."""
