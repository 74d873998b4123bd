"""The digest index: sorted runs beside the batches. No other package reads them."""
