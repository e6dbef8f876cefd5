"""``python -m arenatrace.cli``: the command line without an installed script."""

from arenatrace.cli import main

main()
