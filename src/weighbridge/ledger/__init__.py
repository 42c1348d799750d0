"""The usage record and its exact price; light enough for the data plane."""
