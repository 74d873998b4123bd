// Adds the 32-byte records of a file to a new Tessera log on a POSIX file system, waits until a signed checkpoint covers the last of
// them, and prints how long that took: {"seconds": …, "count": …}. With -listen it takes them over HTTP instead, POST /add, one in each
// body, as Tessera's own conformance server does, with batching that can be tuned.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
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
	age := flag.Duration("age", 100*time.Millisecond, "how long an entry waits for others")
	listen := flag.String("listen", "", "serve at this address")
	flag.Parse()
	if *listen != "" {
		serve(*listen, *folder, *batch, *age)
		return
	}
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
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(*batch, *age).
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

func serve(listen, folder string, batch uint, age time.Duration) {
	secret, _, err := note.GenerateKey(rand.Reader, "benchmark")
	check(err)
	signer, err := note.NewSigner(secret)
	check(err)
	ctx := context.Background()
	driver, err := posix.New(ctx, posix.Config{Path: folder})
	check(err)
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(batch, age).
		WithCheckpointInterval(time.Second).WithPushback(2 * outstanding)
	appender, _, _, err := tessera.NewAppender(ctx, driver, options)
	check(err)
	http.HandleFunc("POST /add", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1024))
		if err == nil {
			var index tessera.Index
			if index, err = appender.Add(r.Context(), tessera.NewEntry(body))(); err == nil {
				fmt.Fprint(w, index.Index)
				return
			}
		}
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	})
	listener, err := net.Listen("tcp", listen)
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	check(http.Serve(listener, nil))
}
