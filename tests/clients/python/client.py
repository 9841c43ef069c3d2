"""Uses an agent as a program written with py-consul does: CONSUL_HTTP_ADDR names it.

Without arguments all stories but that of access control are told, with "acl" that one alone.
"""

import base64
import sys
import threading
import time

import consul
from consul import Check

PATIENCE = 20


def eventually(what, holds):
    """Waits for a condition and gives its value."""
    end = time.monotonic() + PATIENCE
    while not (value := holds()):
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.01)
    return value


def fails(error, call, *args, **kwargs):
    try:
        found = call(*args, **kwargs)
    except error as e:
        return str(e)
    raise AssertionError(f"no {error.__name__}: {found}")


def keys_and_values(c):
    assert c.kv.put("py/a b/ü?", b"\x00\xff", flags=9) is True
    index, pair = c.kv.get("py/a b/ü?")
    assert (pair["Value"], pair["Flags"], int(index) > 0) == (b"\x00\xff", 9, True), pair
    assert c.kv.get("py/nothing")[1] is None
    assert c.kv.put("py/a b/ü?", "x", cas=pair["ModifyIndex"] + 1) is False
    assert c.kv.put("py/a b/ü?", "x", cas=pair["ModifyIndex"]) is True
    assert c.kv.put("py/made", "", cas=0) is True
    for key in ("py/list/1", "py/list/sub/2"):
        c.kv.put(key, key)
    pairs = c.kv.get("py/list/", recurse=True)[1]
    assert [p["Key"] for p in pairs] == ["py/list/1", "py/list/sub/2"], pairs
    assert c.kv.get("py/list/", keys=True, separator="/")[1] == ["py/list/1", "py/list/sub/"]
    assert c.kv.get("py/list/", consistency="consistent")[1] or True
    assert c.kv.delete("py/list/", recurse=True) is True
    assert c.kv.get("py/list/", recurse=True)[1] is None


def blocking_reads(c):
    index, _ = c.kv.get("py/wait")
    found = []
    waiting = threading.Thread(target=lambda: found.append(c.kv.get("py/wait", index=index, wait="20s")))
    waiting.start()
    time.sleep(0.05)
    assert not found
    c.kv.put("py/wait", "now")
    waiting.join(PATIENCE)
    assert found[0][1]["Value"] == b"now" and int(found[0][0]) > int(index), found
    start = time.monotonic()
    c.kv.get("py/wait", index=found[0][0], wait="100ms")
    assert 0.1 <= time.monotonic() - start < PATIENCE


def transactions(c):
    value = base64.b64encode(b"1").decode()
    done = c.txn.put([
        {"KV": {"Verb": "set", "Key": "py/txn", "Value": value}},
        {"KV": {"Verb": "get", "Key": "py/txn"}},
    ])
    assert done["Errors"] is None and done["Results"][1]["KV"]["Value"] == value, done


def sessions_and_locks(c):
    one = c.session.create("py", ttl=10, behavior="delete", lock_delay=0)
    other = c.session.create("py2", checks=[], lock_delay=0)
    assert {s["ID"] for s in c.session.list()[1]} == {one, other}
    assert c.session.info(one)[1]["TTL"] == "10s"
    assert c.session.renew(one)["ID"] == one
    node = c.session.info(one)[1]["Node"]
    assert len(c.session.node(node)[1]) == 2
    assert c.kv.put("py/lock", "a", acquire=one) is True
    assert c.kv.put("py/lock", "b", acquire=other) is False
    assert c.kv.get("py/lock")[1]["Session"] == one
    assert c.kv.put("py/lock", "a", release=one) is True
    assert c.kv.put("py/lock", "b", acquire=other) is True
    for made in (one, other):
        assert c.session.destroy(made) is True
    fails(consul.NotFound, c.session.renew, one)

    # Whoever wants the lock gets it once, and only one has it at any time.
    inside, turns = [], []

    def contend(name):
        session = c.session.create(name, lock_delay=0)
        eventually("the lock", lambda: c.kv.put("py/turn", name, acquire=session))
        inside.append(name)
        turns.append(len(inside))
        inside.remove(name)
        assert c.kv.put("py/turn", name, release=session) is True
        c.session.destroy(session)

    threads = [threading.Thread(target=contend, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert turns == [1, 1, 1, 1], turns


def services_and_checks(c):
    assert c.agent.service.register(
        "py-web", service_id="py-web-1", address="127.0.0.9", port=80, tags=["v1"],
        meta={"k": "v"}, check=Check.ttl("60s"),
    ) is True
    service = c.agent.services()["py-web-1"]
    assert (service["Port"], service["Meta"]) == (80, {"k": "v"}), service
    assert c.health.service("py-web", passing=True)[1] == []
    c.agent.check.ttl_pass("service:py-web-1", "well")
    nodes = eventually("the service to pass", lambda: c.health.service("py-web", passing=True, tag="v1")[1])
    assert nodes[0]["Service"]["Address"] == "127.0.0.9", nodes
    c.agent.check.ttl_warn("service:py-web-1")
    eventually("a warning", lambda: c.health.state("warning")[1])
    c.agent.check.ttl_fail("service:py-web-1")
    eventually("a failure", lambda: c.health.checks("py-web")[1][0]["Status"] == "critical")
    assert c.agent.check.register("py-port", Check.tcp("127.0.0.1", 1, "10s")) is True
    assert "py-port" in c.agent.checks()
    c.agent.check.deregister("py-port")
    c.agent.service.maintenance("py-web-1", True, "repairs")
    assert "_service_maintenance:py-web-1" in c.agent.checks()
    c.agent.service.maintenance("py-web-1", False)
    assert c.agent.service.deregister("py-web-1") is True
    eventually("the end", lambda: c.catalog.service("py-web")[1] == [])


def catalog(c):
    assert c.catalog.register("py-node", "10.9.9.9", service={"Service": "py-ext", "Port": 5}) is True
    assert c.catalog.service("py-ext")[1][0]["Address"] == "10.9.9.9"
    assert "py-node" in [n["Node"] for n in c.catalog.nodes()[1]]
    assert "py-ext" in c.catalog.services()[1]
    assert "py-ext" in c.catalog.node("py-node")[1]["Services"]
    assert c.catalog.datacenters() == ["dc1"]
    index, _ = c.catalog.services()
    assert c.catalog.deregister("py-node") is True
    later, services = c.catalog.services(index=index, wait="5s")
    assert int(later) > int(index) and "py-ext" not in services


def queries_and_events(c):
    c.catalog.register("py-q", "10.9.9.8", service={"Service": "py-queried"})
    made = c.query.create("py-queried", "py-query")
    assert len(c.query.execute("py-query")["Nodes"]) == 1
    assert c.query.get(made["ID"])[0]["Name"] == "py-query"
    assert c.query.explain("py-query")["Query"]["Name"] == "py-query"
    c.query.delete(made["ID"])
    assert c.query.list() == []
    c.catalog.deregister("py-q")
    assert c.event.fire("py-event", "body")
    events = eventually("the event", lambda: c.event.list("py-event")[1])
    assert events[0]["Payload"] == base64.b64encode(b"body").decode() or events[0]["Payload"] == b"body"


def agent_and_servers(c):
    assert c.agent.self()["Config"]["NodeName"] == "node1"
    assert len(c.agent.members()) == 1
    assert c.agent.metrics()["Gauges"]
    assert c.status.leader() and len(c.status.peers()) == 1
    assert len(c.operator.raft_config()["Servers"]) == 1
    assert c.connect.ca.roots()[1]["Roots"] if isinstance(c.connect.ca.roots(), tuple) else c.connect.ca.roots()["Roots"]
    assert "BEGIN CERTIFICATE" in str(c.agent.connect.ca.leaf("py-web"))
    c.kv.put("py/kept", "yes")
    archive = c.snapshot.save()
    c.kv.delete("py/kept")
    assert c.snapshot.restore(archive) is True
    eventually("what was saved", lambda: c.kv.get("py/kept")[1])


def access_control(c):
    fails(consul.ACLPermissionDenied, c.kv.put, "py/a", "b")
    root = c.acl.bootstrap()
    secret = root["SecretID"]
    fails(consul.ACLPermissionDenied, c.acl.bootstrap)
    policy = c.acl.policy.create(
        "py-app", token=secret, description="one prefix",
        rules={
            "key_prefix": {"py/": {"policy": "write"}}, "service": {"py-app": {"policy": "write"}},
        },
    )
    assert policy["ID"] in [p["ID"] for p in c.acl.policy.list(token=secret)]
    token = c.acl.token.create(token=secret, policies_id=[policy["ID"]], description="app")
    app = token["SecretID"]
    assert c.acl.token.read_self(token=app)["AccessorID"] == token["AccessorID"]
    assert c.kv.put("py/a", "b", token=app) is True
    assert c.kv.get("py/a", token=app)[1]["Value"] == b"b"
    fails(consul.ACLPermissionDenied, c.kv.put, "other", "b", token=app)
    assert c.agent.service.register("py-app", token=app) is True
    fails(consul.ACLPermissionDenied, c.agent.service.register, "py-other", token=app)
    fails(consul.ACLPermissionDenied, c.acl.token.list, token=app)
    copy = c.acl.token.clone(token["AccessorID"], token=secret, description="copy")
    assert c.acl.token.delete(token["AccessorID"], token=secret) is True
    fails(consul.ACLPermissionDenied, c.kv.put, "py/a", "c", token=app)
    assert c.kv.put("py/a", "c", token=copy["SecretID"]) is True


STORIES = [
    keys_and_values, blocking_reads, transactions, sessions_and_locks, services_and_checks,
    catalog, queries_and_events, agent_and_servers,
]

if __name__ == "__main__":
    client = consul.Consul()
    for story in [access_control] if "acl" in sys.argv else STORIES:
        begin = time.monotonic()
        story(client)
        print(f"ok {story.__name__} ({time.monotonic() - begin:.3f} s)", flush=True)
