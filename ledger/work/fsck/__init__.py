"""fsck: everything is derived again from the stored bytes, and compared with what is stored."""
