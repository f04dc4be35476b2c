"""What a service promises its callers: documents of protocols, channels of messages, and findings."""
