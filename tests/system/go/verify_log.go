// Verify an audit log over HTTPS with Go's own transparency-log packages and Go's own TLS: nothing of Throughcare is in
// here, so that what `throughcare audit verify` accepts is what somebody else's code accepts too.
//
// usage: verify_log URL CA CERT KEY VKEY [OLDER-CHECKPOINT | RECEIPT.receipt]...
//
// The checkpoint is opened as a signed note; every entry is hashed and compared with the tree through authenticated
// tiles; each older checkpoint must be a prefix of the log (consistency proof); each receipt must prove its own entry
// (inclusion proof), under a checkpoint that is a prefix too. Proofs that the server makes are checked for some entries.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type log struct {
	url       string
	client    *http.Client
	verifiers note.Verifiers
	name      string
	fetched   int
}

var errNotFound = errors.New("not served")

func (l *log) get(path string) ([]byte, error) {
	answer, err := l.client.Get(l.url + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != 200 {
		err = fmt.Errorf("%s: status %d: %w", path, answer.StatusCode, errNotFound)
	}
	return body, err
}

// c2sp turns the path of this package (tile/8/0/x001/067.p/3) into that of C2SP tlog-tiles (0/x001/067.p/3).
func c2sp(t tlog.Tile) string {
	path := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", height))
	return strings.Replace(path, "data/", "entries/", 1)
}

// Height, ReadTiles and SaveTiles make a tlog.TileReader of the server.
func (l *log) Height() int { return height }

func (l *log) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, t := range tiles {
		data, err := l.get("/audit/tile/" + c2sp(t))
		if err != nil {
			return nil, err
		}
		out = append(out, data)
		l.fetched++
	}
	return out, nil
}

func (l *log) SaveTiles(tiles []tlog.Tile, data [][]byte) {}

// open checks a signed checkpoint and returns its tree.
func (l *log) open(text []byte) (tlog.Tree, error) {
	var tree tlog.Tree
	n, err := note.Open(text, l.verifiers)
	if err != nil {
		return tree, err
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] != l.name {
		return tree, fmt.Errorf("the note is not a checkpoint of %s", l.name)
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tree, fmt.Errorf("the root is not a hash: %v", err)
	}
	copy(tree.Hash[:], root)
	return tree, nil
}

// entries returns all entries, from the bundles.
func (l *log) entries(n int64) ([][]byte, error) {
	var out [][]byte
	for at := int64(0); at < n; at += 1 << height {
		width := n - at
		if width > 1<<height {
			width = 1 << height
		}
		bundle, err := l.get("/audit/tile/" + c2sp(tlog.Tile{H: height, L: -1, N: at >> height, W: int(width)}))
		if err != nil {
			return nil, err
		}
		for i := int64(0); i < width; i++ {
			if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("bundle %d ends too early", at>>height)
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			out = append(out, bundle[2:end])
			bundle = bundle[end:]
		}
		if len(bundle) != 0 {
			return nil, fmt.Errorf("bundle %d has too much", at>>height)
		}
	}
	return out, nil
}

// parseProof reads a C2SP tlog-proof: index, hashes, checkpoint.
func parseProof(text []byte) (index int64, proof tlog.RecordProof, checkpoint []byte, err error) {
	head, checkpoint, found := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return 0, nil, nil, errors.New("not a tlog-proof")
	}
	if index, err = strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64); err != nil {
		return 0, nil, nil, err
	}
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return 0, nil, nil, err
		}
		proof = append(proof, hash)
	}
	return index, proof, checkpoint, nil
}

// included checks a tlog-proof for an entry and returns the tree that it is of.
func (l *log) included(text, entry []byte, at int64) (tlog.Tree, error) {
	index, proof, checkpoint, err := parseProof(text)
	if err != nil {
		return tlog.Tree{}, err
	}
	tree, err := l.open(checkpoint)
	if err == nil && index != at {
		err = fmt.Errorf("the proof is of entry %d, not %d", index, at)
	}
	if err == nil {
		err = tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
	}
	return tree, err
}

// checkProof checks a proof that was served, and that the tiles give the very same one.
func (l *log) checkProof(text, entry []byte, at int64, tree tlog.Tree, hashes tlog.HashReader) error {
	of, err := l.included(text, entry, at)
	if err != nil {
		return err
	}
	made, err := tlog.ProveRecord(tree.N, at, hashes)
	if err != nil {
		return err
	}
	_, served, _, err := parseProof(text)
	if err == nil && of == tree && fmt.Sprint(made) != fmt.Sprint(served) {
		err = errors.New("the tiles give another proof")
	}
	return err
}

// extends checks that the log extends an older tree.
func extends(tree, older tlog.Tree, hashes tlog.HashReader) error {
	if older.N > tree.N {
		return fmt.Errorf("the log went back from %d to %d entries", older.N, tree.N)
	}
	if older.N == tree.N || older.N == 0 {
		if older.N == tree.N && older.Hash != tree.Hash {
			return fmt.Errorf("two logs of %d entries", tree.N)
		}
		return nil
	}
	proof, err := tlog.ProveTree(tree.N, older.N, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, older.N, older.Hash)
}

func (l *log) checkFile(path string, tree tlog.Tree, hashes tlog.HashReader, entries [][]byte) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(path, ".receipt") {
		older, err := l.open(text)
		if err != nil {
			return err
		}
		return extends(tree, older, hashes)
	}
	var receipt struct {
		Index        int64
		Entry, Proof string
	}
	if err := json.Unmarshal(text, &receipt); err != nil {
		return err
	}
	older, err := l.included([]byte(receipt.Proof), []byte(receipt.Entry), receipt.Index)
	if err != nil {
		return err
	}
	if receipt.Index >= tree.N || string(entries[receipt.Index]) != receipt.Entry {
		return errors.New("the entry of the receipt is not the one in the log")
	}
	return extends(tree, older, hashes)
}

func (l *log) verify(files []string) (tlog.Tree, error) {
	text, err := l.get("/audit/checkpoint")
	if err != nil {
		return tlog.Tree{}, err
	}
	tree, err := l.open(text)
	if err != nil {
		return tree, err
	}
	entries, err := l.entries(tree.N)
	if err != nil {
		return tree, err
	}
	hashes := tlog.TileHashReader(tree, l)
	leaves := make([]int64, len(entries))
	for i := range leaves {
		leaves[i] = tlog.StoredHashIndex(0, int64(i))
	}
	read, err := hashes.ReadHashes(leaves)
	if err != nil {
		return tree, err
	}
	for i := range entries {
		if read[i] != tlog.RecordHash(entries[i]) {
			return tree, fmt.Errorf("entry %d is not in the tree", i)
		}
	}
	for i := int64(0); i < tree.N; i = 2*i + 1 {
		proof, err := l.get(fmt.Sprintf("/audit/proof/%d", i))
		if err == nil {
			err = l.checkProof(proof, entries[i], i, tree, hashes)
		}
		if err != nil {
			return tree, fmt.Errorf("proof of entry %d: %w", i, err)
		}
	}
	for _, path := range files {
		if err := l.checkFile(path, tree, hashes, entries); err != nil {
			return tree, fmt.Errorf("%s: %w", path, err)
		}
	}
	return tree, nil
}

func open(url, ca, cert, key, vkey string) (*log, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	text, err := os.ReadFile(vkey)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	return &log{url: url, client: client, verifiers: note.VerifierList(verifier), name: verifier.Name()}, nil
}

func main() {
	if len(os.Args) < 6 {
		fmt.Fprintln(os.Stderr, "usage: verify_log URL CA CERT KEY VKEY [FILE]...")
		os.Exit(64)
	}
	l, err := open(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	var tree tlog.Tree
	if err == nil {
		tree, err = l.verify(os.Args[6:])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "NOT VERIFIED: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("verified %d entries, root %v, from %d tiles, with %d files\n", tree.N, tree.Hash, l.fetched,
		len(os.Args)-6)
}
