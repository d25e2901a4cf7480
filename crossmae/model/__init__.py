"""The masked autoencoder: masking, attention, blocks, encoder, decoders."""
