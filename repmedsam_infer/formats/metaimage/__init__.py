"""MetaImage (.mha, .mhd): headers understood, images in, label maps out."""
