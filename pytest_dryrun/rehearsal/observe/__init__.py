"""What a migration did to a copy: seen from inside and outside while it ran."""
