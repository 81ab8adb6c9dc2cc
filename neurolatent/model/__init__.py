"""Networks, noise schedule and samplers of the latent diffusion autoencoder."""
