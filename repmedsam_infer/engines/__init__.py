"""What runs the network: OpenVINO, or torch as the reference; its weights, precision and threads."""
