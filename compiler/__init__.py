"""Decisions and engines: plans, builders, bundles and the `mixdq-compile` command."""
