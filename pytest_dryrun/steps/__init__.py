"""The steps of one dry run, each a function or a value: what a fixture hands to a check."""
