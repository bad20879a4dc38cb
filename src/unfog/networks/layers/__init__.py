"""What networks are built of: convolutions, attention, embeddings, norms."""
