"""The contract between numbers and traffic: targets, rules, data classes, matching, versions."""
