// Adds the 32-byte records of a file to a new Tessera log on a POSIX file system, waits until a signed checkpoint covers the last of
// them, and prints how long that took: {"seconds": …, "count": …}.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"log"
	"os"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

const (
	record = 32
	// Entries handed in and not yet answered for, at most: more than a batch, so that the log never waits for us.
	outstanding = 65536
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	folder := flag.String("folder", "", "where the log is made")
	file := flag.String("digests", "", "a file of 32-byte records")
	batch := flag.Uint("batch", 16384, "entries integrated at a time")
	flag.Parse()
	digests, err := os.ReadFile(*file)
	check(err)
	secret, _, err := note.GenerateKey(rand.Reader, "benchmark")
	check(err)
	signer, err := note.NewSigner(secret)
	check(err)

	start := time.Now()
	ctx := context.Background()
	driver, err := posix.New(ctx, posix.Config{Path: *folder})
	check(err)
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(*batch, 100*time.Millisecond).
		WithCheckpointInterval(100 * time.Millisecond).WithPushback(2 * outstanding)
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	check(err)
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 10*time.Millisecond)

	count := len(digests) / record
	futures := make([]tessera.IndexFuture, 0, count)
	for i := 0; i < count; i++ {
		if i >= outstanding {
			_, err = futures[i-outstanding]()
			check(err)
		}
		futures = append(futures, appender.Add(ctx, tessera.NewEntry(bytes.Clone(digests[i*record:(i+1)*record]))))
	}
	for _, future := range futures {
		_, err = future()
		check(err)
	}
	_, _, err = awaiter.Await(ctx, futures[count-1])
	check(err)
	seconds := time.Since(start).Seconds()
	check(shutdown(ctx))
	check(json.NewEncoder(os.Stdout).Encode(map[string]float64{"seconds": seconds, "count": float64(count)}))
}
