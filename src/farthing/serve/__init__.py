"""The data plane: listeners, protocols, routing, telemetry and the live page of one machine."""
