"""PNG, JPEG, TIFF and BMP: headers understood, pictures in, label maps out."""
