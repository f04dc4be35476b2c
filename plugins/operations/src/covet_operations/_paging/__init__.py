"""Reading long lists piece by piece: sorted, filtered, from a cursor or an offset."""
