"""Three-way questions about two people of different groups: BBQ and the benchmarks that are built like it."""
