"""Names and colours of labels, as viewers read them beside or in a label map."""
