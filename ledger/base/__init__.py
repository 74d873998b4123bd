"""What every floor above may use: errors, times, strict JSON, DER, digests of files, reports, and
the seams.
"""
