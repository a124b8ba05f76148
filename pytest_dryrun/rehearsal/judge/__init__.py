"""Who is harmed by what a migration did: each judge claims its part of the differences."""
