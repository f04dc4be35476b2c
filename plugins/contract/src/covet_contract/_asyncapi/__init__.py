"""AsyncAPI: channels of messages described, and what in a new document breaks who uses them."""
