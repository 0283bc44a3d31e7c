"""A server for viewers that speak nnInteractive's protocol: boxes in their images, masks back."""
