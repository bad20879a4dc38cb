"""Large pictures in colour, level by level and band by band."""
