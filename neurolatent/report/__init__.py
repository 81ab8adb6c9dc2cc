"""From findings to one typed summary, and from that to HTML and PDF."""
