// Command go_sumdb answers what Go's golang.org/x/mod/sumdb makes of a ledger log: JSON on stdin, JSON on stdout.
// Hashes are base64, as encoding/json writes byte slices.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type inclusion struct {
	Index int64    `json:"index"`
	Size  int64    `json:"size"`
	Leaf  []byte   `json:"leaf"`
	Path  [][]byte `json:"path"`
	Root  []byte   `json:"root"`
}

type consistency struct {
	Old     int64    `json:"old"`
	New     int64    `json:"new"`
	OldRoot []byte   `json:"old_root"`
	NewRoot []byte   `json:"new_root"`
	Path    [][]byte `json:"path"`
}

type opening struct {
	Note []byte   `json:"note"`
	Keys []string `json:"keys"`
}

type signing struct {
	Text      string `json:"text"`
	SignerKey string `json:"signer_key"`
}

type question struct {
	Entries       [][]byte      `json:"entries"`
	Inclusions    []inclusion   `json:"inclusions"`
	Consistencies []consistency `json:"consistencies"`
	Notes         []opening     `json:"notes"`
	Signings      []signing     `json:"signings"`
}

type answer struct {
	Roots            [][]byte     `json:"roots"`             // of the first 0, 1, 2 … entries
	InclusionPaths   [][][][]byte `json:"inclusion_paths"`   // [size - 1][index]
	ConsistencyPaths [][][][]byte `json:"consistency_paths"` // [new - 1][old - 1]
	Inclusions       []bool       `json:"inclusions"`
	Consistencies    []bool       `json:"consistencies"`
	Texts            []*string    `json:"texts"` // null where the note was refused
	Signed           []string     `json:"signed"`
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

// hash returns false for bytes that are no hash: Go's types cannot hold them.
func hash(content []byte) (tlog.Hash, bool) {
	var h tlog.Hash
	copy(h[:], content)
	return h, len(content) == len(h)
}

func hashes(contents [][]byte) ([]tlog.Hash, bool) {
	all := []tlog.Hash{}
	for _, content := range contents {
		h, ok := hash(content)
		if !ok {
			return nil, false
		}
		all = append(all, h)
	}
	return all, true
}

func slices(hashes []tlog.Hash) [][]byte {
	all := [][]byte{}
	for _, h := range hashes {
		all = append(all, append([]byte{}, h[:]...))
	}
	return all
}

func (c inclusion) verifies() bool {
	values, ok := hashes(append([][]byte{c.Leaf, c.Root}, c.Path...))
	return ok && tlog.CheckRecord(values[2:], c.Size, values[1], c.Index, values[0]) == nil
}

func (c consistency) verifies() bool {
	values, ok := hashes(append([][]byte{c.OldRoot, c.NewRoot}, c.Path...))
	return ok && tlog.CheckTree(values[2:], c.New, values[1], c.Old, values[0]) == nil
}

func (c opening) text() *string {
	var keys []note.Verifier
	for _, key := range c.Keys {
		keys = append(keys, must(note.NewVerifier(key)))
	}
	opened, err := note.Open(c.Note, note.VerifierList(keys...))
	if err != nil {
		return nil
	}
	return &opened.Text
}

func (c signing) note() string {
	signer := must(note.NewSigner(c.SignerKey))
	return string(must(note.Sign(&note.Note{Text: c.Text}, signer)))
}

func main() {
	var asked question
	decoder := json.NewDecoder(os.Stdin)
	if err := decoder.Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var said answer
	var kept []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, index := range indexes {
			found = append(found, kept[index])
		}
		return found, nil
	})
	for n := int64(0); n <= int64(len(asked.Entries)); n++ {
		if n > 0 {
			kept = append(kept, must(tlog.StoredHashes(n-1, asked.Entries[n-1], read))...)
			included, consistent := [][][]byte{}, [][][]byte{}
			for index := int64(0); index < n; index++ {
				included = append(included, slices(must(tlog.ProveRecord(n, index, read))))
				consistent = append(consistent, slices(must(tlog.ProveTree(n, index+1, read))))
			}
			said.InclusionPaths = append(said.InclusionPaths, included)
			said.ConsistencyPaths = append(said.ConsistencyPaths, consistent)
		}
		root := must(tlog.TreeHash(n, read))
		said.Roots = append(said.Roots, root[:])
	}
	for _, c := range asked.Inclusions {
		said.Inclusions = append(said.Inclusions, c.verifies())
	}
	for _, c := range asked.Consistencies {
		said.Consistencies = append(said.Consistencies, c.verifies())
	}
	for _, c := range asked.Notes {
		said.Texts = append(said.Texts, c.text())
	}
	for _, c := range asked.Signings {
		said.Signed = append(said.Signed, c.note())
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		os.Exit(1)
	}
}
