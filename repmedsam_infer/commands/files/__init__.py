"""Commands on files as people have them: label maps of them, and cases made of them."""
