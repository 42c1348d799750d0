"""What OpenAI's and Anthropic's requests and answers say, read in passing; no sockets."""
