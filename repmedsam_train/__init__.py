"""Training of RepMedSAM (torch): not needed, and not installed, where masks are only predicted."""

from repmedsam_infer.system.telemetry import refuse_telemetry

refuse_telemetry()
