"""What a study shows: its report, as HTML and as Markdown, with plots."""
