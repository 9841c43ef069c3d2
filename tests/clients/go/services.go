package main

import (
	"strings"

	"github.com/hashicorp/consul/api"
)

func services(client *api.Client) {
	agent, health := client.Agent(), client.Health()
	check(agent.ServiceRegister(&api.AgentServiceRegistration{
		ID: "go-web-1", Name: "go-web", Tags: []string{"v1", "a"}, Port: 8080,
		Address: "127.0.0.9", Meta: map[string]string{"k": "v"},
		Checks: api.AgentServiceChecks{
			{CheckID: "go-web-ttl", TTL: "60s", Notes: "by the service"},
			{Name: "port", TCP: "127.0.0.1:1", Interval: "60s", Status: api.HealthPassing},
		},
	}))
	local := of(agent.Services())["go-web-1"]
	should(local != nil && local.Port == 8080 && local.Meta["k"] == "v", "%v", local)
	passing := func() []*api.ServiceEntry { return read(health.Service("go-web", "v1", true, nil)) }
	should(len(passing()) == 0, "not alive yet")
	check(agent.UpdateTTL("go-web-ttl", "all is well", api.HealthPassing))
	eventually("the service to pass", func() bool { return len(passing()) == 1 })
	entry := passing()[0]
	should(entry.Service.Address == "127.0.0.9" && len(entry.Checks) == 3, "%v", entry.Checks)
	should(entry.Checks.AggregatedStatus() == api.HealthPassing, "%v", entry.Checks)
	checks := of(agent.Checks())
	should(checks["go-web-ttl"].Output == "all is well", "%v", checks["go-web-ttl"])
	should(len(read(health.Service("go-web", "nosuch", true, nil))) == 0, "no such tag")
	check(agent.WarnTTL("go-web-ttl", "hm"))
	eventually("a warning", func() bool {
		warned := read(health.State(api.HealthWarning, nil))
		return len(warned) == 1 && warned[0].CheckID == "go-web-ttl"
	})
	should(len(passing()) == 0, "a warning does not pass")
	should(len(read(health.Service("go-web", "", false, nil))) == 1, "but is known")

	check(agent.PassTTL("go-web-ttl", ""))
	check(agent.EnableServiceMaintenance("go-web-1", "repairs"))
	should(of(agent.Checks())["_service_maintenance:go-web-1"] != nil, "in maintenance")
	check(agent.DisableServiceMaintenance("go-web-1"))
	check(agent.EnableNodeMaintenance("all of it"))
	check(agent.DisableNodeMaintenance())

	check(agent.CheckRegister(&api.AgentCheckRegistration{
		ID: "go-short", Name: "short", ServiceID: "go-web-1",
		AgentServiceCheck: api.AgentServiceCheck{TTL: "200ms"},
	}))
	check(agent.UpdateTTL("go-short", "", api.HealthPassing))
	eventually("the check to run out", func() bool {
		return of(agent.Checks())["go-short"].Status == api.HealthCritical
	})
	check(agent.CheckDeregister("go-short"))
	check(agent.ServiceDeregister("go-web-1"))
	eventually("the service to be gone", func() bool {
		return len(read(client.Catalog().Service("go-web", "", nil))) == 0
	})
	err := agent.ServiceRegister(&api.AgentServiceRegistration{Name: ""})
	should(err != nil && strings.Contains(err.Error(), "400"), "no name: %v", err)
}

func catalog(client *api.Client) {
	catalog := client.Catalog()
	check(second(catalog.Register(&api.CatalogRegistration{
		Node: "go-node", Address: "10.9.9.9", NodeMeta: map[string]string{"rack": "r1"},
		Service: &api.AgentService{ID: "x1", Service: "go-ext", Port: 5, Tags: []string{"t"}},
		Checks: api.HealthChecks{{
			Node: "go-node", CheckID: "x", Name: "x", Status: api.HealthPassing, ServiceID: "x1",
		}},
	}, nil)))
	found := read(catalog.Service("go-ext", "t", nil))
	should(len(found) == 1 && found[0].Address == "10.9.9.9", "%v", found)
	should(found[0].NodeMeta["rack"] == "r1" && found[0].ServicePort == 5, "%v", found[0])
	byMeta := read(catalog.Nodes(&api.QueryOptions{NodeMeta: map[string]string{"rack": "r1"}}))
	should(len(byMeta) == 1 && byMeta[0].Node == "go-node", "%v", byMeta)
	node := read(catalog.Node("go-node", nil))
	should(node.Services["x1"].Service == "go-ext", "%v", node)
	should(read(catalog.Services(nil))["go-ext"][0] == "t", "services")
	should(of(catalog.Datacenters())[0] == "dc1", "datacenters")
	should(len(read(client.Health().Node("go-node", nil))) == 1, "checks of the node")
	check(second(catalog.Deregister(&api.CatalogDeregistration{Node: "go-node"}, nil)))
	should(read(catalog.Node("go-node", nil)) == nil, "the node is gone")
	_, _, err := catalog.Nodes(&api.QueryOptions{Datacenter: "nowhere"})
	should(err != nil && strings.Contains(err.Error(), "500"), "no such datacenter: %v", err)
}

func preparedQueries(client *api.Client) {
	queries := client.PreparedQuery()
	check(second(client.Catalog().Register(&api.CatalogRegistration{
		Node: "go-q", Address: "10.9.9.8",
		Service: &api.AgentService{Service: "go-queried", Port: 7, Tags: []string{"primary"}, Meta: map[string]string{"v": "4"}},
	}, nil)))
	definition := &api.PreparedQueryDefinition{
		Name: "go-query",
		Service: api.ServiceQuery{
			Service: "go-queried", OnlyPassing: true, Tags: []string{"primary"},
			ServiceMeta: map[string]string{"v": "4"},
		},
		DNS: api.QueryDNSOptions{TTL: "7s"},
	}
	definition.ID = read(queries.Create(definition, nil))
	answer := read(queries.Execute("go-query", nil))
	should(len(answer.Nodes) == 1 && answer.DNS.TTL == "7s", "%v", answer)
	should(answer.Nodes[0].Service.Port == 7, "%v", answer.Nodes[0])
	kept := read(queries.Get(definition.ID, nil))[0].Service
	should(kept.ServiceMeta["v"] == "4", "%v", kept)
	definition.Service.Tags = []string{"!primary"}
	check(second(queries.Update(definition, nil)))
	should(len(read(queries.Execute(definition.ID, nil)).Nodes) == 0, "none without the tag")
	should(len(read(queries.Get(definition.ID, nil))) == 1, "one query")
	should(len(read(queries.List(nil))) == 1, "in the list")
	check(second(queries.Delete(definition.ID, nil)))
	_, _, err := queries.Execute("go-query", nil)
	should(err != nil && strings.Contains(err.Error(), "404"), "gone: %v", err)
	check(second(client.Catalog().Deregister(&api.CatalogDeregistration{Node: "go-q"}, nil)))
}

func events(client *api.Client) {
	id := read(client.Event().Fire(&api.UserEvent{Name: "go-deploy", Payload: []byte("7")}, nil))
	should(id != "", "an ID")
	var fired *api.UserEvent
	eventually("the event", func() bool {
		for _, event := range read(client.Event().List("go-deploy", nil)) {
			fired = event
		}
		return fired != nil
	})
	should(fired.ID == id && string(fired.Payload) == "7" && fired.LTime > 0, "%v", fired)
	_, meta, err := client.Event().List("go-deploy", nil)
	check(err)
	should(meta.LastIndex == client.Event().IDToIndex(id), "the index is the event's")
}

func agentAndServers(client *api.Client) {
	agent := client.Agent()
	self := of(agent.Self())
	should(self["Config"]["NodeName"] == "node1", "%v", self["Config"])
	should(of(agent.NodeName()) == "node1", "name")
	members := of(agent.Members(false))
	should(len(members) == 1 && members[0].Tags["role"] == "consul", "%v", members)
	metrics := of(agent.Metrics())
	should(len(metrics.Gauges) > 0 && metrics.Timestamp != "", "%v", metrics)
	should(of(client.Status().Leader()) != "", "a leader")
	should(len(of(client.Status().Peers())) == 1, "itself")
	raft := of(client.Operator().RaftGetConfiguration(nil))
	should(len(raft.Servers) == 1 && raft.Servers[0].Leader && raft.Servers[0].Voter, "%v", raft)
	stop := make(chan struct{})
	lines := of(agent.Monitor("debug", stop, nil))
	check(agent.ServiceRegister(&api.AgentServiceRegistration{Name: "go-noise"}))
	should(receive(lines, "a line of the log") != "", "a line")
	close(stop)
	check(agent.ServiceDeregister("go-noise"))
	// As it is known so far; servers of later versions say more.
	if nodes, _, err := client.Coordinate().Nodes(nil); err == nil {
		should(nodes != nil || len(nodes) == 0, "coordinates")
	}
	check(agent.Reload())
}
