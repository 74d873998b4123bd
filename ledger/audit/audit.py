"""The names that this room had in one file, until all who import them are moved."""

from witnesstree.ledger.audit.consistency import judge_consistency
from witnesstree.ledger.audit.cosigners import judge_cosignatures
from witnesstree.ledger.audit.equivocation import (
    Equivocation,
    check_equivocation,
    format_equivocation,
    judge_equivocation,
    parse_equivocation,
)
from witnesstree.ledger.audit.follow import Followed, follow
from witnesstree.ledger.audit.published import (
    CHECKPOINT,
    FIRST_CHECKPOINT,
    key_path,
    read_checkpoint,
    read_key_notes,
)
from witnesstree.ledger.audit.published import PublishedBatch as Record
from witnesstree.ledger.audit.published import batch_path as record_path
from witnesstree.ledger.audit.seen import (
    MAX_LAG,
    MAX_SEEN,
    MAX_WAITING,
    Seen,
    format_seen,
    parse_seen,
)
from witnesstree.ledger.audit.signers import judge_keys, judge_signature
from witnesstree.ledger.audit.witnesses import judge_witnesses

__all__ = [
    "CHECKPOINT",
    "FIRST_CHECKPOINT",
    "MAX_LAG",
    "MAX_SEEN",
    "MAX_WAITING",
    "Equivocation",
    "Followed",
    "Record",
    "Seen",
    "check_equivocation",
    "follow",
    "format_equivocation",
    "format_seen",
    "judge_consistency",
    "judge_cosignatures",
    "judge_equivocation",
    "judge_keys",
    "judge_signature",
    "judge_witnesses",
    "key_path",
    "parse_equivocation",
    "parse_seen",
    "read_checkpoint",
    "read_key_notes",
    "record_path",
]
