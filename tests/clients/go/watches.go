package main

import (
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/api/watch"
)

// Starts a plan; what it reports comes through the channel.
func follow(client *api.Client, kind string, with map[string]any) (chan any, func()) {
	parameters := map[string]any{"type": kind}
	for name, value := range with {
		parameters[name] = value
	}
	plan := of(watch.Parse(parameters))
	reported := make(chan any, 100)
	plan.Handler = func(_ uint64, result any) { reported <- result }
	go func() {
		check(plan.RunWithClientAndLogger(client, log.New(io.Discard, "", 0)))
	}()
	return reported, plan.Stop
}

// Waits until a plan reports what is wanted.
func reports(from chan any, what string, wanted func(string) bool) {
	eventually(what, func() bool {
		return wanted(fmt.Sprintf("%+v", receive(from, what)))
	})
}

func watches(client *api.Client) {
	kv, agent := client.KV(), client.Agent()
	key, stopKey := follow(client, "key", map[string]any{"key": "go/watched/1"})
	prefix, stopPrefix := follow(client, "keyprefix", map[string]any{"prefix": "go/watched/"})
	check(second(kv.Put(&api.KVPair{Key: "go/watched/1", Value: []byte("x")}, nil)))
	reports(key, "the key", func(text string) bool { return strings.Contains(text, "go/watched/1") })
	reports(prefix, "the prefix", func(text string) bool { return text != "[]" })
	check(second(kv.Delete("go/watched/1", nil)))
	reports(key, "no key", func(text string) bool { return text == "<nil>" })
	stopKey()
	stopPrefix()

	all, stopAll := follow(client, "services", nil)
	one, stopOne := follow(client, "service", map[string]any{
		"service": "go-watched", "passingonly": true,
	})
	checks, stopChecks := follow(client, "checks", map[string]any{"service": "go-watched"})
	nodes, stopNodes := follow(client, "nodes", nil)
	event, stopEvent := follow(client, "event", map[string]any{"name": "go-watched"})
	check(agent.ServiceRegister(&api.AgentServiceRegistration{
		Name: "go-watched", Check: &api.AgentServiceCheck{CheckID: "go-w", TTL: "60s"},
	}))
	has := func(word string) func(string) bool {
		return func(text string) bool { return strings.Contains(text, word) }
	}
	reports(all, "the service", has("go-watched"))
	reports(nodes, "the nodes", func(text string) bool { return text != "[]" })
	reports(checks, "the check", func(text string) bool { return text != "[]" })
	check(agent.PassTTL("go-w", ""))
	reports(one, "one instance", func(text string) bool { return text != "[]" })
	check(agent.ServiceDeregister("go-watched"))
	reports(one, "no instance", func(text string) bool { return text == "[]" })
	read(client.Event().Fire(&api.UserEvent{Name: "go-watched"}, nil))
	reports(event, "the event", func(text string) bool { return text != "[]" })
	for _, stop := range []func(){stopAll, stopOne, stopChecks, stopNodes, stopEvent} {
		stop()
	}
}
