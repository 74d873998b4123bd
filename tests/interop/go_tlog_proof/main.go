// Command go_tlog_proof verifies a C2SP tlog-proof, and cosigned checkpoints: JSON on stdin, JSON on stdout.
// transparency-dev/formats reads proof, checkpoint and cosignatures; Go's sumdb/tlog checks the inclusion.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/transparency-dev/formats/log"
	formats "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type question struct {
	Proof      []byte   `json:"proof"`      // a tlog-proof
	Checkpoint []byte   `json:"checkpoint"` // or a checkpoint alone
	Key        string   `json:"key"`        // the log's
	Witnesses  []string `json:"witnesses"`  // keys whose cosignatures count
}

type answer struct {
	Index    uint64   `json:"index"`
	Size     uint64   `json:"size"`
	Origin   string   `json:"origin"`
	Entry    []byte   `json:"entry"`
	Cosigned []string `json:"cosigned"`
	Error    string   `json:"error"`
}

// open compares the log's signature, and collects the cosignatures that verify.
func (q question) open(signed []byte, said *answer) (*log.Checkpoint, error) {
	key, err := note.NewVerifier(q.Key)
	if err != nil {
		return nil, fmt.Errorf("log key: %w", err)
	}
	head, _, opened, err := log.ParseCheckpoint(signed, key.Name(), key)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if len(opened.Sigs) == 0 {
		return nil, fmt.Errorf("checkpoint: nobody signed it")
	}
	said.Origin, said.Size, said.Cosigned = head.Origin, head.Size, []string{}
	for _, text := range q.Witnesses {
		witness, err := formats.NewVerifierForCosignatureV1(text)
		if err != nil {
			return nil, fmt.Errorf("witness key: %w", err)
		}
		// Each by itself: Go refuses a whole note for one wrong line of a known key.
		if cosigned, err := note.Open(signed, note.VerifierList(witness)); err == nil && len(cosigned.Sigs) > 0 {
			said.Cosigned = append(said.Cosigned, text)
		}
	}
	return head, nil
}

func (q question) answer() (said answer, err error) {
	if q.Proof == nil {
		_, err = q.open(q.Checkpoint, &said)
		return said, err
	}
	var read proof.TLogProof
	if err = read.Unmarshal(q.Proof); err != nil {
		return said, fmt.Errorf("form: %w", err)
	}
	said.Index, said.Entry = read.Index, read.ExtraData
	head, err := q.open(read.Checkpoint, &said)
	if err != nil {
		return said, err
	}
	path := tlog.RecordProof{}
	for _, hash := range read.Hashes {
		path = append(path, tlog.Hash(hash))
	}
	if len(head.Hash) != tlog.HashSize {
		return said, fmt.Errorf("checkpoint: root of %d bytes", len(head.Hash))
	}
	if err = tlog.CheckRecord(path, int64(head.Size), tlog.Hash(head.Hash), int64(read.Index), tlog.RecordHash(read.ExtraData)); err != nil {
		return said, fmt.Errorf("inclusion: %w", err)
	}
	return said, nil
}

func main() {
	var asked []question
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var answers []answer
	for _, each := range asked {
		said, err := each.answer()
		if err != nil {
			said.Error = err.Error()
		}
		answers = append(answers, said)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		os.Exit(1)
	}
}
