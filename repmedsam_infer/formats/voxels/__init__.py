"""What NRRD and MetaImage have in common: a text header, numbers in one of several encodings, and their place."""
