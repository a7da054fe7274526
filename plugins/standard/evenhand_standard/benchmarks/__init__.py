"""Plugins that measure: bias benchmarks and language quality."""
