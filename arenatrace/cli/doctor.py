"""arenatrace doctor: check whether this machine can record."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import click

from arenatrace.errors import ExitCode

_EPILOG = """\b
Examples:
  sudo arenatrace doctor            # before the first recording
  arenatrace doctor --json | jq '.points[] | select(.present | not)'
\b
Exit code: 0 if this machine can record, 5 if it cannot.
"""


@click.command(epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> int:
    """Check whether this machine can record arena faults.

    Checks privileges, headers, bcc, the kernel's types and every probe
    point. Nothing is compiled, loaded or attached.
    """
    from arenatrace.capture.doctor import checkup

    found = checkup()
    shown: dict[str, Any] = {
        "schema": "arenatrace.doctor/1",
        "kernel": found.kernel,
        "arch": found.arch,
        "can_record": found.can_record,
        "profile": found.profile,
        "checks": [asdict(check) for check in found.checks],
        "points": [
            {
                "point": state.point.function,
                "present": state.present,
                "attachable": found.can_attach(state.point),
                "essential": state.point.essential,
                "gives": state.point.gives,
                "why_not": state.why_not,
            }
            for state in found.points
        ],
        "stream_readers": [asdict(reader) for reader in found.readers],
    }
    if as_json:
        click.echo(json.dumps(shown))
    else:
        from arenatrace.report.doctor_text import print_doctor
        from arenatrace.report.screen import screen

        print_doctor(shown, screen(sys.stdout))
    return ExitCode.OK if found.can_record else ExitCode.UNSUPPORTED
