"""The terminal interface (Textual). Data comes from a source, off the UI thread.

`views/` are the screens, `widgets/` the parts they share, `sources/` the data. A view gets one
immutable `Snapshot` and draws it; it computes nothing.
"""
