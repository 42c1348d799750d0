"""Calibration: the step time of an endpoint from runs that were measured on it."""

from weighbridge.capacity.calibrate.calibration import (
    SplitFit,
    calibrate,
    calibrate_aggregates,
    fit_first_part,
)
from weighbridge.capacity.calibrate.endpoint_profile import AskedLoad, EndpointProfile
from weighbridge.capacity.calibrate.load_curve import LoadCurve, load_curves
from weighbridge.capacity.calibrate.profile_form import profile_as_dict, profile_from_dict

__all__ = [
    "AskedLoad",
    "EndpointProfile",
    "LoadCurve",
    "SplitFit",
    "calibrate",
    "calibrate_aggregates",
    "fit_first_part",
    "load_curves",
    "profile_as_dict",
    "profile_from_dict",
]
