"""The platform that all designs share. Designs import it; it does not import any design."""
