"""The digital phantom: people, courses and scanners whose truth is known."""
