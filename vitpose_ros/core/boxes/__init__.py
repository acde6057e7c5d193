"""Where the subjects of an image are."""
