"""The device sampler: whole batches drawn from a pool on its device, with fixed shapes, in torch alone."""
