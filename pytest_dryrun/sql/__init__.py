"""SQL text: one lexer, one splitter, one way to find the statement of an effect."""
