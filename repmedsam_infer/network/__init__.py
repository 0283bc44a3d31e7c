"""The network in torch: what is trained, exported and used as the reference engine. Nothing else imports torch."""

from repmedsam_infer.network.reparameterize import reparameterize
from repmedsam_infer.network.repmedsam import RepMedSAM

__all__ = ["RepMedSAM", "reparameterize"]
