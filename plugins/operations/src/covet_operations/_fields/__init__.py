"""Types of fields that many models need, and that are easy to get wrong."""
