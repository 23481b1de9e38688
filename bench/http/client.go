// SPDX-License-Identifier: MIT
// bench/http/client.go: net/http, with GOMAXPROCS=1 as the other clients use one thread.
// usage: client keep|fresh|slow URL CONNECTIONS SECONDS [CA_FILE]; limit.c says more.

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const warmUp = 500 * time.Millisecond

var done, resumed int64

func cpu() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func memory(name string) int64 {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, name) {
			kb, _ := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
			return kb * 1024
		}
	}
	return 0
}

func newClient(operation string, connections int, caFile string) *http.Client {
	transport := &http.Transport{
		MaxIdleConns:        connections,
		MaxIdleConnsPerHost: connections,
		DisableKeepAlives:   operation == "fresh",
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			log.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{
			RootCAs:            pool,
			ClientSessionCache: tls.NewLRUClientSessionCache(64),
		}
	}
	return &http.Client{Transport: transport}
}

func get(client *http.Client, url string) {
	response, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || len(body) == 0 {
		log.Fatal(response.Status, err)
	}
	response.Body.Close()
	if response.TLS != nil && response.TLS.DidResume {
		atomic.AddInt64(&resumed, 1)
	}
	atomic.AddInt64(&done, 1)
}

func slow(client *http.Client, url string, connections int) {
	var group sync.WaitGroup
	resident, c, start := memory("VmRSS"), cpu(), time.Now()
	for i := 0; i < connections; i++ {
		group.Add(1)
		go func() {
			get(client, url)
			group.Done()
		}()
	}
	group.Wait()
	fmt.Printf("op=slow n=%d cpu=%.6f wall=%.6f rss=%d\n", connections, cpu()-c,
		time.Since(start).Seconds(), (memory("VmHWM")-resident)/int64(connections))
}

func main() {
	operation, url, caFile := os.Args[1], os.Args[2], ""
	connections, _ := strconv.Atoi(os.Args[3])
	seconds, _ := strconv.ParseFloat(os.Args[4], 64)
	if len(os.Args) > 5 {
		caFile = os.Args[5]
	}
	client := newClient(operation, connections, caFile)
	if operation == "slow" {
		slow(client, url, connections)
		return
	}
	for i := 0; i < connections; i++ {
		go func() {
			for {
				get(client, url)
			}
		}()
	}
	time.Sleep(warmUp)
	n, r, c, start := atomic.LoadInt64(&done), atomic.LoadInt64(&resumed), cpu(), time.Now()
	time.Sleep(time.Duration(seconds * 1e9))
	fmt.Printf("op=%s n=%d cpu=%.6f wall=%.6f", operation, atomic.LoadInt64(&done)-n, cpu()-c,
		time.Since(start).Seconds())
	if operation == "fresh" && caFile != "" {
		fmt.Printf(" resumed=%d", atomic.LoadInt64(&resumed)-r)
	}
	fmt.Println()
}
