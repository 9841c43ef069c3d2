package main

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

func sessions(client *api.Client) {
	made, kv := client.Session(), client.KV()
	id := read(made.Create(&api.SessionEntry{
		Name: "go", TTL: "10s", Behavior: api.SessionBehaviorDelete, LockDelay: time.Millisecond,
	}, nil))
	entry := read(made.Info(id, nil))
	should(entry.Name == "go" && entry.TTL == "10s" && entry.Behavior == "delete", "%v", entry)
	should(len(entry.NodeChecks) == 1 && entry.NodeChecks[0] == "serfHealth", "%v", entry)
	should(entry.LockDelay == time.Millisecond, "%v", entry.LockDelay)
	should(read(made.Renew(id, nil)).ID == id, "renewed")
	should(len(read(made.Node(entry.Node, nil))) == 1, "sessions of the node")

	bare := read(made.CreateNoChecks(nil, nil))
	should(len(read(made.Info(bare, nil)).NodeChecks) == 0, "without checks")
	should(len(read(made.List(nil))) == 2, "two sessions")

	lock := &api.KVPair{Key: "go/lock", Value: []byte("mine"), Session: id}
	should(read(kv.Acquire(lock, nil)), "nobody holds it")
	other := &api.KVPair{Key: "go/lock", Value: []byte("theirs"), Session: bare}
	should(!read(kv.Acquire(other, nil)), "it is held")
	should(!read(kv.Release(other, nil)), "by somebody else")
	held := read(kv.Get("go/lock", nil))
	should(held.Session == id && held.LockIndex == 1 && string(held.Value) == "mine", "%v", held)
	check(second(made.Destroy(id, nil)))
	should(read(kv.Get("go/lock", nil)) == nil, "deleted with its session")
	should(read(made.Info(id, nil)) == nil, "the session is gone")
	renewed, _, err := made.Renew(id, nil)
	should(renewed == nil && err == nil, "nothing to renew: %v", err)

	// A session ends with its node's check of a service.
	check(client.Agent().ServiceRegister(&api.AgentServiceRegistration{
		Name: "go-owner", Check: &api.AgentServiceCheck{CheckID: "go-alive", TTL: "60s"},
	}))
	check(client.Agent().UpdateTTL("go-alive", "", api.HealthPassing))
	eventually("the check in the catalog", func() bool {
		checks := read(client.Health().Checks("go-owner", nil))
		return len(checks) == 1 && checks[0].Status == api.HealthPassing
	})
	bound := read(made.Create(&api.SessionEntry{
		ServiceChecks: []api.ServiceCheck{{ID: "go-alive"}},
	}, nil))
	should(len(read(made.Info(bound, nil)).ServiceChecks) == 1, "bound to the check")
	check(client.Agent().UpdateTTL("go-alive", "gone", api.HealthCritical))
	eventually("the end of the session", func() bool { return read(made.Info(bound, nil)) == nil })
	check(client.Agent().ServiceDeregister("go-owner"))
	check(second(made.Destroy(bare, nil)))
}

func locks(client *api.Client) {
	// Several want the same lock; only one is in at any time, and all get their turn.
	var inside, turns atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			lock := of(client.LockOpts(&api.LockOptions{
				Key: "go/contended", LockDelay: time.Millisecond,
			}))
			for range 3 {
				lost := of(lock.Lock(nil))
				should(lost != nil && inside.Add(1) == 1, "alone inside")
				// Long enough for the others to see that it is held: they poll otherwise.
				time.Sleep(20 * time.Millisecond)
				turns.Add(1)
				inside.Add(-1)
				check(lock.Unlock())
			}
		}()
	}
	all.Wait()
	should(turns.Load() == 12, "turns: %v", turns.Load())

	// Who loses the session is told so.
	lock := of(client.LockKey("go/lost"))
	lost := of(lock.Lock(nil))
	holder := read(client.KV().Get("go/lost", nil)).Session
	check(second(client.Session().Destroy(holder, nil)))
	receive(lost, "word that the lock was lost")
	check(lock.Unlock())
	// An attempt can be called off.
	first := of(client.LockKey("go/off"))
	next := of(client.LockOpts(&api.LockOptions{Key: "go/off", LockWaitTime: time.Second}))
	of(first.Lock(nil))
	stop := make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() { close(stop) })
	should(of(next.Lock(stop)) == nil, "called off")
	should(next.Unlock() == api.ErrLockNotHeld, "never held")
	check(first.Unlock())
	check(first.Destroy())
}

func semaphores(client *api.Client) {
	var inside, turns atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			semaphore := of(client.SemaphoreOpts(&api.SemaphoreOptions{
				Prefix: "go/semaphore", Limit: 2,
			}))
			for range 2 {
				should(of(semaphore.Acquire(nil)) != nil, "a slot")
				should(inside.Add(1) <= 2, "not more than two")
				turns.Add(1)
				inside.Add(-1)
				check(semaphore.Release())
			}
		}()
	}
	all.Wait()
	should(turns.Load() == 8, "turns: %v", turns.Load())
	semaphore := of(client.SemaphorePrefix("go/semaphore", 3))
	_, err := semaphore.Acquire(nil)
	should(err != nil && strings.Contains(err.Error(), "conflict"), "another limit: %v", err)
}
