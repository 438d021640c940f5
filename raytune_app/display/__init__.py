"""What a person sees of studies in a terminal or a notebook: tables, a live picture, lines of a log."""
