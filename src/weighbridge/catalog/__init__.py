"""Dated, sourced facts: API prices, GPUs and offers, models, engines, throughput, assumptions."""
