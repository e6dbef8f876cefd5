"""The keys at the bottom of the screen."""

from __future__ import annotations

from textual.widgets import Footer


class KeyLine(Footer):
    """Textual's footer, without the memory of every key that it ever showed.

    Each key watches ``compact`` of its footer, which drops watchers that have ended only when
    ``compact`` is set. It never is: a screen whose views are changed for hours would keep some
    ten widgets and all that is in them for each change.
    """

    async def recompose(self) -> None:
        """Show the keys of the moment."""
        await super().recompose()
        self.mutate_reactive(Footer.compact)
