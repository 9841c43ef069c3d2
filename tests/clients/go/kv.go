package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

func keysAndValues(client *api.Client) {
	kv := client.KV()
	value := []byte{0, 1, 255, '"', '\n'}
	check(second(kv.Put(&api.KVPair{Key: "go/a b/ü?%", Value: value, Flags: 1 << 63}, nil)))
	pair := read(kv.Get("go/a b/ü?%", nil))
	should(bytes.Equal(pair.Value, value) && pair.Flags == 1<<63, "as it was written: %v", pair)
	should(pair.CreateIndex > 0 && pair.LockIndex == 0, "indexes: %v", pair)
	should(read(kv.Get("go/nothing", nil)) == nil, "no such key")

	stale := &api.KVPair{Key: pair.Key, Value: []byte("x"), ModifyIndex: pair.ModifyIndex - 1}
	should(!read(kv.CAS(stale, nil)), "an old index does not write")
	pair.Value = []byte("new")
	should(read(kv.CAS(pair, nil)), "the right index writes")
	should(!read(kv.CAS(&api.KVPair{Key: pair.Key}, nil)), "there is one already")
	should(read(kv.CAS(&api.KVPair{Key: "go/made", Value: nil}, nil)), "there was none")

	for _, key := range []string{"go/list/1", "go/list/sub/2", "go/list/sub/3"} {
		check(second(kv.Put(&api.KVPair{Key: key, Value: []byte(key)}, nil)))
	}
	pairs := read(kv.List("go/list/", nil))
	should(len(pairs) == 3 && string(pairs[1].Value) == "go/list/sub/2", "list: %v", pairs)
	keys := read(kv.Keys("go/list/", "/", nil))
	should(strings.Join(keys, " ") == "go/list/1 go/list/sub/", "keys: %v", keys)
	_, err := kv.Put(&api.KVPair{Key: "/leading"}, nil)
	should(err != nil, "the client refuses it")

	pair = read(kv.Get(pair.Key, nil))
	should(!read(kv.DeleteCAS(stale, nil)) && read(kv.DeleteCAS(pair, nil)), "delete by index")
	check(second(kv.DeleteTree("go/", nil)))
	should(len(read(kv.Keys("go/", "", nil))) == 0, "all are gone")
	big := &api.KVPair{Key: "go/big", Value: make([]byte, 512*1024+1)}
	_, err = kv.Put(big, nil)
	should(err != nil && strings.Contains(err.Error(), "413"), "too large: %v", err)
}

func second[T any](_ T, err error) error { return err }

func blockingReads(client *api.Client) {
	kv := client.KV()
	check(second(kv.Put(&api.KVPair{Key: "go/wait", Value: []byte("1")}, nil)))
	_, meta, err := kv.Get("go/wait", nil)
	check(err)
	should(meta.KnownLeader && meta.LastIndex > 0, "meta: %v", meta)
	found := make(chan *api.KVPair)
	go func() {
		options := &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: patience}
		found <- read(kv.Get("go/wait", options))
	}()
	// Somebody else's write does not end the wait.
	check(second(kv.Put(&api.KVPair{Key: "go/other"}, nil)))
	select {
	case pair := <-found:
		panic(fmt.Sprint("nothing has changed: ", pair))
	case <-time.After(50 * time.Millisecond):
	}
	check(second(kv.Put(&api.KVPair{Key: "go/wait", Value: []byte("2")}, nil)))
	should(string(receive(found, "the change").Value) == "2", "the new value")

	start := time.Now()
	_, later, err := kv.Get("go/wait", &api.QueryOptions{
		WaitIndex: meta.LastIndex + 1_000_000, WaitTime: 100 * time.Millisecond,
	})
	check(err)
	took := time.Since(start)
	should(took >= 100*time.Millisecond && took < patience, "waited %v", took)
	should(later.LastIndex > meta.LastIndex, "the index that is: %v", later.LastIndex)
	for _, mode := range []*api.QueryOptions{{AllowStale: true}, {RequireConsistent: true}} {
		should(read(kv.Get("go/wait", mode)) != nil, "consistency: %v", mode)
	}
}

func transactions(client *api.Client) {
	kv := client.KV()
	ok, answer, _, err := kv.Txn(api.KVTxnOps{
		{Verb: api.KVSet, Key: "go/txn/a", Value: []byte("1"), Flags: 7},
		{Verb: api.KVGet, Key: "go/txn/a"},
		{Verb: api.KVCheckNotExists, Key: "go/txn/b"},
		{Verb: api.KVGetTree, Key: "go/txn"},
	}, nil)
	check(err)
	should(ok && len(answer.Errors) == 0 && len(answer.Results) == 3, "%v", answer)
	should(answer.Results[1].Flags == 7 && string(answer.Results[1].Value) == "1", "%v", answer)
	index := answer.Results[1].ModifyIndex

	ok, answer, _, err = kv.Txn(api.KVTxnOps{
		{Verb: api.KVSet, Key: "go/txn/b", Value: []byte("never")},
		{Verb: api.KVCAS, Key: "go/txn/a", Value: []byte("2"), Index: index + 1},
	}, nil)
	check(err)
	should(!ok && len(answer.Errors) == 1 && answer.Errors[0].OpIndex == 1, "%v", answer)
	should(read(kv.Get("go/txn/b", nil)) == nil, "nothing of it was done")

	ok, answer, _, err = kv.Txn(api.KVTxnOps{
		{Verb: api.KVCAS, Key: "go/txn/a", Value: []byte("2"), Index: index},
		{Verb: api.KVDeleteTree, Key: "go/txn"},
	}, nil)
	check(err)
	should(ok && read(kv.Get("go/txn/a", nil)) == nil, "%v", answer)
}
