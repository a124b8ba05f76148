"""Values in, text out: the report and its pages."""
