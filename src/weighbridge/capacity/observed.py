"""What was measured on an endpoint. Its types stand where readers reach them."""

from weighbridge.usage.observed import (
    EngineSettings,
    ObservedHistogram,
    ObservedLoad,
    ObservedRun,
    ServingPoint,
)

__all__ = ["EngineSettings", "ObservedHistogram", "ObservedLoad", "ObservedRun", "ServingPoint"]
