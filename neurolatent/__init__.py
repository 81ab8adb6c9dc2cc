"""Honest reports on what a latent diffusion autoencoder learnt from a cohort of brain scans."""
