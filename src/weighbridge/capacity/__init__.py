"""How much traffic a self-hosted replica serves: step times, batching, fitting, sizing. Pure."""
