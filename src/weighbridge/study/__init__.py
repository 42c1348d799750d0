"""The one place that joins the rooms into an answer."""
