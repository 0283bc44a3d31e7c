"""Training of RepMedSAM (torch): not needed, and not installed, where masks are only predicted."""

from repmedsam_infer.engines.openvino_import import refuse_telemetry

refuse_telemetry()
