package main

import (
	"strings"

	"github.com/hashicorp/consul/api"
)

// Against an agent that denies by default and has not been bootstrapped.
func accessControl(client *api.Client) {
	_, err := client.KV().Put(&api.KVPair{Key: "go/a"}, nil)
	should(refused(err), "nobody may write: %v", err)
	root := read(client.ACL().Bootstrap())
	should(root.SecretID != "" && root.Policies[0].Name == "global-management", "%v", root)
	_, _, err = client.ACL().Bootstrap()
	should(refused(err), "only once: %v", err)
	as := &api.WriteOptions{Token: root.SecretID}
	asked := &api.QueryOptions{Token: root.SecretID}

	policy := read(client.ACL().PolicyCreate(&api.ACLPolicy{
		Name: "go-app", Description: "one prefix", Rules: `
key_prefix "go/mine/" { policy = "write" }
key_prefix "go/" { policy = "read" }
service "go-app" { policy = "write" }
session_prefix "" { policy = "write" }`,
	}, as))
	should(policy.ID != "", "%v", policy)
	should(read(client.ACL().PolicyRead(policy.ID, asked)).Rules == policy.Rules, "as written")
	should(read(client.ACL().PolicyReadByName("go-app", asked)).ID == policy.ID, "by name")
	_, _, err = client.ACL().PolicyCreate(&api.ACLPolicy{Name: "bad", Rules: "key {"}, as)
	should(err != nil, "rules that cannot be read")
	role := read(client.ACL().RoleCreate(&api.ACLRole{
		Name: "go-role", Policies: []*api.ACLRolePolicyLink{{Name: "go-app"}},
	}, as))
	token := read(client.ACL().TokenCreate(&api.ACLToken{
		Description: "of the app", Roles: []*api.ACLTokenRoleLink{{ID: role.ID}},
	}, as))

	config := api.DefaultConfig()
	config.Token = token.SecretID
	app := of(api.NewClient(config))
	should(read(app.ACL().TokenReadSelf(nil)).AccessorID == token.AccessorID, "who am I")
	check(second(app.KV().Put(&api.KVPair{Key: "go/mine/a", Value: []byte("1")}, nil)))
	_, err = app.KV().Put(&api.KVPair{Key: "go/others"}, nil)
	should(refused(err), "only read: %v", err)
	should(read(app.KV().Get("go/mine/a", nil)) != nil, "may read")
	_, _, err = app.KV().Get("elsewhere", nil)
	should(refused(err), "no rule: %v", err)
	check(app.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "go-app"}))
	err = app.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "go-other"})
	should(refused(err), "another service: %v", err)
	lock := of(app.LockKey("go/mine/lock"))
	of(lock.Lock(nil))
	check(lock.Unlock())
	_, _, err = app.ACL().TokenList(nil)
	should(refused(err), "tokens are not for it: %v", err)

	// What a policy allows can change while tokens are in use.
	policy.Rules = `key_prefix "go/" { policy = "write" }`
	read(client.ACL().PolicyUpdate(policy, as))
	check(second(app.KV().Put(&api.KVPair{Key: "go/others"}, nil)))
	copied := read(client.ACL().TokenClone(token.AccessorID, "a copy", as))
	should(copied.SecretID != token.SecretID && len(copied.Roles) == 1, "%v", copied)
	check(second(client.ACL().TokenDelete(token.AccessorID, as)))
	_, err = app.KV().Put(&api.KVPair{Key: "go/mine/a"}, nil)
	should(refused(err), "the token is gone: %v", err)
	check(second(client.ACL().RoleDelete(role.ID, as)))
	check(second(client.ACL().PolicyDelete(policy.ID, as)))
	should(len(read(client.ACL().TokenList(asked))) >= 2, "tokens")
}

func refused(err error) bool {
	return err != nil && strings.Contains(err.Error(), "403")
}
