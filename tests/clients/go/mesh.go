package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"strings"

	"github.com/hashicorp/consul/api"
)

func mesh(client *api.Client) {
	roots := read(client.Connect().CARoots(nil))
	should(len(roots.Roots) == 1 && roots.Roots[0].Active, "%v", roots)
	should(strings.HasSuffix(roots.TrustDomain, ".consul"), "%v", roots.TrustDomain)
	leaf := read(client.Agent().ConnectCALeaf("go-web", nil))
	_, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
	check(err)
	should(strings.HasSuffix(leaf.ServiceURI, "/svc/go-web"), "%v", leaf.ServiceURI)
	should(len(read(client.Agent().ConnectCARoots(nil)).Roots) == 1, "the agent's roots")
	ca := read(client.Connect().CAGetConfig(nil))
	should(ca.Provider == "consul", "%v", ca)
}

func snapshot(client *api.Client) {
	kv := client.KV()
	check(second(kv.Put(&api.KVPair{Key: "go/kept", Value: []byte("yes")}, nil)))
	archive := read(client.Snapshot().Save(nil))
	content := of(io.ReadAll(archive))
	check(archive.Close())
	check(second(kv.Delete("go/kept", nil)))
	check(client.Snapshot().Restore(nil, bytes.NewReader(content)))
	eventually("what was saved", func() bool {
		pair, _, err := kv.Get("go/kept", nil)
		return err == nil && pair != nil && string(pair.Value) == "yes"
	})
	err := client.Snapshot().Restore(nil, strings.NewReader("no archive"))
	should(err != nil, "not an archive")
}
