"""Bytes in and out: npz read without trust, files that are whole or not there, zip."""
