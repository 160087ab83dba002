"""What the terminal shows: tables, figures, answers and errors."""
