"""The latent diffusion autoencoder as published: its keys, its sizes, its equations (arXiv:2504.08635)."""
