"""JSON documents: their references, and what changes between two schemas."""
