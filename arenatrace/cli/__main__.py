"""Entry point of ``python -m arenatrace.cli``."""

from arenatrace.cli import main

main()
