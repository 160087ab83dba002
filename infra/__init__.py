"""The platform every design stands on. It knows no design; designs import it, never the other way round."""
