"""What a trained autoencoder does: attention, reconstructions, PSNR, cost."""
