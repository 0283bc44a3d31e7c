"""Training cases of images and masks as people have them: what `repmedsam-train cases` does."""
