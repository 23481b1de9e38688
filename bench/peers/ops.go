// ops.go: the operations of the benchmark in Go, with what its own library offers: goroutines, channels, WaitGroup.
// usage: ops OPERATION [SCALE]; GOMAXPROCS is what the environment says.
package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const batch = 10000

func trivial() {}

func passCreate(n int) {
	for done := 0; done < n; done += batch {
		var wg sync.WaitGroup
		wg.Add(batch)
		for i := 0; i < batch; i++ {
			go func() {
				trivial()
				wg.Done()
			}()
		}
		wg.Wait()
	}
}

func passSleep0(n int) {
	for i := 0; i < n; i++ {
		runtime.Gosched()
	}
}

func passTasks(n int) {
	var wg sync.WaitGroup
	wg.Add(1000)
	for i := 0; i < 1000; i++ {
		go func() {
			passSleep0(n / 1000)
			wg.Done()
		}()
	}
	wg.Wait()
}

func passSemaphore(n int) {
	sem := make(chan struct{}, 500)
	var wg sync.WaitGroup
	wg.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			sem <- struct{}{}
			runtime.Gosched()
			<-sem
			wg.Done()
		}()
	}
	wg.Wait()
}

func passQueue(n int) {
	queue := make(chan int, 100)
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		for i := 0; i < n; i++ {
			queue <- i
		}
		wg.Done()
	}()
	go func() {
		for i := 0; i < n; i++ {
			<-queue
		}
		wg.Done()
	}()
	wg.Wait()
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func rss() int64 {
	text, _ := os.ReadFile("/proc/self/statm")
	var size, resident int64
	fmt.Sscan(string(text), &size, &resident)
	return resident * int64(os.Getpagesize())
}

func opSleepers(scale float64) {
	n := int64(1000000 * scale)
	var started, rssAsleep int64
	var wg sync.WaitGroup
	before := rss()
	cpu, wall := cpuTime(), time.Now()
	wg.Add(int(n))
	for i := int64(0); i < n; i++ {
		delay := time.Duration((1 + float64(i*7919%1000003)/1000003) * 1e9)
		go func() {
			if atomic.AddInt64(&started, 1) == n {
				rssAsleep = rss()
			}
			time.Sleep(delay)
			wg.Done()
		}()
	}
	wg.Wait()
	cpu = cpuTime() - cpu
	fmt.Printf("op=sleepers n=%d cpu=%.6f wall=%.6f rss=%d\n", n, cpu.Seconds(), time.Since(wall).Seconds(),
		rssAsleep-before)
}

func opTimers(scale float64) {
	n := int(10000 * scale)
	late := make([]float64, n)
	var fired, early int64
	var wg sync.WaitGroup
	wg.Add(n)
	base := time.Now().Add(100 * time.Millisecond)
	for i := 0; i < n; i++ { // in an order that is not that of the deadlines
		deadline := base.Add(time.Duration(float64(i*7919%n) / float64(n) * 1e9))
		time.AfterFunc(time.Until(deadline), func() {
			d := time.Since(deadline).Seconds()
			late[atomic.AddInt64(&fired, 1)-1] = d
			wg.Done()
		})
	}
	wg.Wait()
	sort.Float64s(late)
	for _, d := range late {
		if d < 0 {
			early++
		}
	}
	fmt.Printf("op=timers n=%d p50=%.6f p99=%.6f early=%d earliest=%.6f\n", n, late[(n-1)/2], late[(n-1)*99/100],
		early, math.Max(0, -late[0]))
}

// The pass, operations in a pass, passes that are measured after one that is not.
var passes = map[string]struct {
	run   func(n int)
	n     int
	count int
}{
	"create":    {passCreate, 10 * batch, 5},
	"sleep0":    {passSleep0, 500000, 4},
	"tasks":     {passTasks, 500000, 4},
	"semaphore": {passSemaphore, 100000, 3},
	"queue":     {passQueue, 500000, 4},
}

func main() {
	name, scale := "", 1.0
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	if len(os.Args) > 2 {
		scale, _ = strconv.ParseFloat(os.Args[2], 64)
	}
	if name == "sleepers" {
		opSleepers(scale)
		return
	} else if name == "timers" {
		opTimers(scale)
		return
	}
	op, ok := passes[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "ops: no operation '%s'\n", name)
		os.Exit(2)
	}
	n := int(float64(op.n)*scale) / batch * batch
	if n < batch {
		n = batch
	}
	op.run(n)
	cpu, wall := cpuTime(), time.Now()
	for i := 0; i < op.count; i++ {
		op.run(n)
	}
	cpu = cpuTime() - cpu
	fmt.Printf("op=%s n=%d cpu=%.6f wall=%.6f\n", name, n*op.count, cpu.Seconds(), time.Since(wall).Seconds())
}
