"""Train the stages: VAE, denoiser, autoencoder; each stops and resumes."""
