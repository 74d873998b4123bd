"""What every floor above may use: messages, errors, times, JSON, DER, digests, and the seams."""
