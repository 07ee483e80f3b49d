// Reads a Writgate ledger from its folder with Go's own implementation of transparency logs (golang.org/x/mod/sumdb),
// which nobody of us wrote: the checkpoint by package note, tiles and records by package tlog.
//
//	sumdb FOLDER VKEY OLDER-CHECKPOINT-FILE
//
// It prints one line of JSON, or says what does not hold and exits with status 1.
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

const tileHeight = 8

// folder is a tlog.TileReader over the layout of c2sp.org/tlog-tiles.
type folder string

func (f folder) Height() int { return tileHeight }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

// tilePath is Go's own path without the height, which c2sp.org/tlog-tiles leaves out.
func tilePath(tile tlog.Tile) string {
	return "tile/" + strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight))
}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		bytes, err := os.ReadFile(filepath.Join(string(f), tilePath(tile)))
		if err != nil {
			return nil, err
		}
		data[i] = bytes
	}
	return data, nil
}

// records reads all entry bundles. Go's tiles of data are called "data" and hold another format; the paths agree.
func (f folder) records(size int64) ([][]byte, error) {
	var records [][]byte
	for n := int64(0); n*256 < size; n++ {
		width := min(256, size-n*256)
		path := strings.Replace(tilePath(tlog.Tile{H: tileHeight, L: -1, N: n, W: int(width)}), "tile/data/", "tile/entries/", 1)
		bundle, err := os.ReadFile(filepath.Join(string(f), path))
		if err != nil {
			return nil, err
		}
		for i := int64(0); i < width; i++ {
			if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("%s is short at its entry %d", path, i)
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			records = append(records, bundle[2:end])
			bundle = bundle[end:]
		}
		if len(bundle) != 0 {
			return nil, fmt.Errorf("%s has %d bytes too many", path, len(bundle))
		}
	}
	return records, nil
}

// checkpoint verifies a signed checkpoint. Its text is what Go calls a tree note, but for the first line.
func checkpoint(path string, verifier note.Verifier) (tlog.Tree, error) {
	signed, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	if origin != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("origin %q", origin)
	}
	return tlog.ParseTree([]byte("go.sum database tree\n" + rest))
}

func run(path, vkey, olderPath string) (map[string]any, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	tree, err := checkpoint(filepath.Join(path, "checkpoint"), verifier)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	older, err := checkpoint(olderPath, verifier)
	if err != nil {
		return nil, fmt.Errorf("older checkpoint: %w", err)
	}
	reader := tlog.TileHashReader(tree, folder(path))
	records, err := folder(path).records(tree.N)
	if err != nil {
		return nil, fmt.Errorf("records: %w", err)
	}
	// Every record: its hash is the one that the tiles have there, which the reader traces to the signed root.
	for first := 0; first < len(records); first += 256 {
		var places []int64
		for index := first; index < min(first+256, len(records)); index++ {
			places = append(places, tlog.StoredHashIndex(0, int64(index)))
		}
		hashes, err := reader.ReadHashes(places)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", first, err)
		}
		for i, hash := range hashes {
			if hash != tlog.RecordHash(records[first+i]) {
				return nil, fmt.Errorf("record %d is not the one in the tree", first+i)
			}
		}
	}
	// And by a proof of its own: every record of a small log, some 1,000 of a large one, the last one always.
	step := max(1, len(records)/1000)
	for index := len(records) - 1; index >= 0; index -= step {
		proof, err := tlog.ProveRecord(tree.N, int64(index), reader)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", index, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(index), tlog.RecordHash(records[index])); err != nil {
			return nil, fmt.Errorf("record %d: %w", index, err)
		}
	}
	proof, err := tlog.ProveTree(tree.N, older.N, reader)
	if err != nil {
		return nil, fmt.Errorf("consistency: %w", err)
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, older.N, older.Hash); err != nil {
		return nil, fmt.Errorf("consistency: %w", err)
	}
	return map[string]any{"size": tree.N, "older": older.N, "records": len(records)}, nil
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: sumdb FOLDER VKEY OLDER-CHECKPOINT-FILE")
		os.Exit(2)
	}
	result, err := run(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(result)
}
