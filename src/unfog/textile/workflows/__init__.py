"""Files of cloth: ``unfog sample --repeat``."""
