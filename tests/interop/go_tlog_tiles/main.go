// Command go_tlog_tiles reads a published log with Go's golang.org/x/mod/sumdb/tlog: JSON on stdin, JSON on stdout.
// What tlog's tile reader makes of the tiles is compared with the root in the signed checkpoint.
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type tree struct {
	Size int64  `json:"size"`
	Root []byte `json:"root"`
}

type question struct {
	Folder string `json:"folder"`
	Key    string `json:"key"`
	Olds   []tree `json:"olds"`
}

type answer struct {
	Size       int64    `json:"size"`
	Consistent []bool   `json:"consistent"` // one for each of the old trees
	Included   int      `json:"included"`   // entries that the tree holds where their bundle has them
	Entries    [][]byte `json:"entries"`
	Tiles      []string `json:"tiles"` // all that were read
	Error      string   `json:"error"`
}

type folder struct {
	name string
	read map[string]bool
}

// path is where C2SP tlog-tiles keeps a tile: as Go does, but the height is always 8 and not said, and entries are no "data".
func path(t tlog.Tile) string {
	return strings.Replace(strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", height)), "data/", "entries/", 1)
}

func (f folder) Height() int { return height }

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range tiles {
		content, err := os.ReadFile(filepath.Join(f.name, "tile", path(t)))
		if err != nil {
			return nil, err
		}
		f.read[path(t)] = true
		all = append(all, content)
	}
	return all, nil
}

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func entries(f folder, size int64) ([][]byte, error) {
	var all [][]byte
	for n := int64(0); n*256 < size; n++ {
		tile := tlog.Tile{H: height, L: -1, N: n, W: int(min(256, size-n*256))}
		contents, err := f.ReadTiles([]tlog.Tile{tile})
		if err != nil {
			return nil, err
		}
		for rest := contents[0]; len(rest) > 0; {
			length := int(binary.BigEndian.Uint16(rest))
			all, rest = append(all, rest[2:2+length]), rest[2+length:]
		}
	}
	return all, nil
}

func (q question) answer() (said answer, err error) {
	signed, err := os.ReadFile(filepath.Join(q.Folder, "checkpoint"))
	if err != nil {
		return said, err
	}
	verifier, err := note.NewVerifier(q.Key)
	if err != nil {
		return said, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return said, err
	}
	var origin string
	var root []byte
	lines := strings.SplitN(opened.Text, "\n", 4)
	origin = lines[0]
	if _, err = fmt.Sscan(lines[1], &said.Size); err != nil {
		return said, err
	}
	if err = json.Unmarshal([]byte(`"`+lines[2]+`"`), &root); err != nil {
		return said, err
	}
	if origin != verifier.Name() {
		return said, fmt.Errorf("the checkpoint is of %s", origin)
	}
	files := folder{q.Folder, map[string]bool{}}
	reader := tlog.TileHashReader(tlog.Tree{N: said.Size, Hash: tlog.Hash(root)}, files)
	for _, old := range q.Olds {
		path, err := tlog.ProveTree(said.Size, old.Size, reader)
		if err != nil {
			return said, err
		}
		said.Consistent = append(said.Consistent, tlog.CheckTree(path, said.Size, tlog.Hash(root), old.Size, tlog.Hash(old.Root)) == nil)
	}
	if said.Entries, err = entries(files, said.Size); err != nil {
		return said, err
	}
	for index, entry := range said.Entries {
		path, err := tlog.ProveRecord(said.Size, int64(index), reader)
		if err != nil {
			return said, err
		}
		if tlog.CheckRecord(path, said.Size, tlog.Hash(root), int64(index), tlog.RecordHash(entry)) == nil {
			said.Included++
		}
	}
	for name := range files.read {
		said.Tiles = append(said.Tiles, name)
	}
	return said, nil
}

func main() {
	var asked question
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	said, err := asked.answer()
	if err != nil {
		said.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		os.Exit(1)
	}
}
