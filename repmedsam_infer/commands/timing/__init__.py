"""How long cases take on this machine: every engine and precision, and which precision to take."""
