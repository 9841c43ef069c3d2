// Uses an agent as a program written with Consul's Go client does: CONSUL_HTTP_ADDR names it,
// the arguments say which stories to run ("all", or "acl" against an agent with access control).
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/consul/api"
)

// How long anything may take.
const patience = 20 * time.Second

// Parts of each program; one that fails ends it.
var stories = []struct {
	name string
	tell func(*api.Client)
}{
	{"keys and values", keysAndValues},
	{"blocking reads", blockingReads},
	{"transactions", transactions},
	{"sessions", sessions},
	{"locks", locks},
	{"semaphores", semaphores},
	{"services and checks", services},
	{"catalog", catalog},
	{"prepared queries", preparedQueries},
	{"events", events},
	{"watches", watches},
	{"mesh", mesh},
	{"agent and servers", agentAndServers},
	{"snapshot", snapshot},
}

func main() {
	client, err := api.NewClient(api.DefaultConfig())
	check(err)
	if len(os.Args) > 1 && os.Args[1] == "acl" {
		accessControl(client)
		fmt.Println("ok access control")
		return
	}
	for _, story := range stories {
		start := time.Now()
		story.tell(client)
		fmt.Printf("ok %s (%v)\n", story.name, time.Since(start).Round(time.Millisecond))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// First value of a call, which must not fail.
func of[T any](value T, err error) T {
	check(err)
	return value
}

// First value of a read or write, which must not fail.
func read[T, M any](value T, _ M, err error) T {
	check(err)
	return value
}

// Ends the program unless what should be is.
func should(is bool, what string, values ...any) {
	if !is {
		panic(fmt.Sprintf(what, values...))
	}
}

// Waits for a condition.
func eventually(what string, holds func() bool) {
	end := time.Now().Add(patience)
	for !holds() {
		should(time.Now().Before(end), "not in time: %s", what)
		time.Sleep(10 * time.Millisecond)
	}
}

// Waits for something from a channel.
func receive[T any](from <-chan T, what string) T {
	select {
	case value := <-from:
		return value
	case <-time.After(patience):
		panic("not in time: " + what)
	}
}
