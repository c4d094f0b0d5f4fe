"""Pure vocabulary: the standard library and an id maker."""
