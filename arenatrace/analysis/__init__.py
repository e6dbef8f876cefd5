"""Questions about a trace, one per file: LazyFrame in, LazyFrame out."""
