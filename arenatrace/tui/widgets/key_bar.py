"""The keys at the bottom of the screen."""

from __future__ import annotations

from textual.widgets import Footer


class KeyLine(Footer):
    """Textual's footer, without its leak of key widgets.

    Each key watches ``compact`` of its footer, which drops dead watchers only when ``compact`` is
    set. It never is: a screen whose views change for hours would keep about ten widgets per change.
    """

    async def recompose(self) -> None:
        """Show the keys that are active now."""
        await super().recompose()
        self.mutate_reactive(Footer.compact)
