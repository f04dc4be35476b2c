"""Protobuf: what in new ``.proto`` files breaks programs that were generated from old ones."""
