"""Training cases in shards: tar files of encoded pictures, label maps and what is known of them."""
