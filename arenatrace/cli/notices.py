"""What a user must be told about a trace, on stderr."""

from __future__ import annotations

from collections.abc import Iterable

import click

from arenatrace.report.sanitize import harmless


def print_notices(notices: Iterable[str]) -> None:
    """Write each notice as one line to stderr."""
    for notice in notices:
        click.echo(f"arenatrace: note: {harmless(notice)}", err=True)
