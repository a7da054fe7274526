"""Plugins that the host was not written for."""
