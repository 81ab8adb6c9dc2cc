"""From a source folder to a checked table of scans and a frozen split."""
