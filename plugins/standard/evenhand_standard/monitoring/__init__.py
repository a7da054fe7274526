"""Plugins that watch what a model answers."""
