// Uses an agent as a program written with npm's consul does: CONSUL_HTTP_ADDR names it.
"use strict";

const assert = require("node:assert/strict");
const Consul = require("consul");

const [host, port] = process.env.CONSUL_HTTP_ADDR.split(":");
const patience = 20_000;
const sleep = (time) => new Promise((done) => setTimeout(done, time));

// Waits for a condition and gives its value.
async function eventually(what, holds) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await holds();
    if (value) return value;
    assert(Date.now() < end, `not in time: ${what}`);
    await sleep(10);
  }
}

async function keysAndValues(consul) {
  assert.equal(await consul.kv.set({ key: "js/a b/ü?", value: "1", flags: 9 }), true);
  const pair = await consul.kv.get("js/a b/ü?");
  assert.deepEqual([pair.Value, pair.Flags], ["1", 9]);
  assert.equal(await consul.kv.get("js/nothing"), undefined);
  assert.equal(await consul.kv.get({ key: "js/a b/ü?", raw: true }).then(String), "1");
  const swap = (cas) => consul.kv.set({ key: pair.Key, value: "2", cas });
  assert.equal(await swap(pair.ModifyIndex), true);
  assert(!(await swap(pair.ModifyIndex)));
  const bytes = Buffer.from([0, 255]);
  await consul.kv.set("js/list/1", bytes);
  await consul.kv.set("js/list/sub/2", "two");
  assert.deepEqual((await consul.kv.get({ key: "js/list/1", buffer: true })).Value, bytes);
  const pairs = await consul.kv.get({ key: "js/list/", recurse: true });
  assert.deepEqual(pairs.map((one) => one.Key), ["js/list/1", "js/list/sub/2"]);
  const keys = await consul.kv.keys({ key: "js/list/", separator: "/" });
  assert.deepEqual(keys, ["js/list/1", "js/list/sub/"]);
  assert.equal(await consul.kv.del({ key: "js/", recurse: true }), true);
}

async function transactions(consul) {
  const Value = Buffer.from("1").toString("base64");
  const done = await consul.transaction.create([
    { KV: { Verb: "set", Key: "js/txn", Value } },
    { KV: { Verb: "get", Key: "js/txn" } },
  ]);
  assert.equal(done.Results[1].KV.Value, Value);
  const refused = { KV: { Verb: "check-not-exists", Key: "js/txn" } };
  await assert.rejects(consul.transaction.create([refused]), /conflict/);
}

async function sessionsAndLocks(consul) {
  const { ID: one } = await consul.session.create({ name: "js", ttl: "10s", lockdelay: "1ms" });
  const { ID: other } = await consul.session.create({ checks: [], lockdelay: "1ms" });
  const shown = await consul.session.get(one);
  assert.deepEqual([shown.TTL, shown.NodeChecks], ["10s", ["serfHealth"]]);
  assert.equal((await consul.session.renew(one))[0].ID, one);
  assert.equal((await consul.session.list()).length, 2);
  const lock = (acquire) => consul.kv.set({ key: "js/lock", value: "x", acquire });
  assert(await lock(one));
  assert(!(await lock(other)));
  await consul.session.destroy(one);
  await eventually("the lock after its delay", () => lock(other));
  assert.equal((await consul.kv.get("js/lock")).Session, other);
  await consul.session.destroy(other);
}

async function servicesAndChecks(consul) {
  const definition = { id: "js-web-1", name: "js-web", port: 80, tags: ["v1"], meta: { k: "v" } };
  await consul.agent.service.register({ ...definition, check: { ttl: "60s" } });
  assert.equal((await consul.agent.service.list())["js-web-1"].Meta.k, "v");
  const passing = () => consul.health.service({ service: "js-web", passing: true });
  assert.deepEqual(await passing(), []);
  await consul.agent.check.pass("service:js-web-1");
  const [entry] = await eventually("the service", async () => {
    const found = await passing();
    return found.length && found;
  });
  assert.equal(entry.Service.Port, 80);
  await consul.agent.check.warn({ id: "service:js-web-1", note: "hm" });
  await consul.agent.check.fail("service:js-web-1");
  await eventually("a failure", async () => {
    const [check] = await consul.health.checks("js-web");
    return check.Status === "critical";
  });
  await consul.agent.check.register({ name: "js-port", tcp: "127.0.0.1:1", interval: "10s" });
  assert("js-port" in (await consul.agent.check.list()));
  await consul.agent.check.deregister("js-port");
  await consul.agent.service.maintenance({ id: "js-web-1", enable: true, reason: "repairs" });
  await eventually("maintenance", async () => (await consul.health.state("critical")).length >= 2);
  await consul.agent.service.deregister("js-web-1");
}

async function catalog(consul) {
  const service = { service: "js-ext", port: 5 };
  await consul.catalog.register({ node: "js-node", address: "10.9.9.9", service });
  const [found] = await consul.catalog.service.nodes("js-ext");
  assert.deepEqual([found.Address, found.ServicePort], ["10.9.9.9", 5]);
  assert("js-ext" in (await consul.catalog.services()));
  assert((await consul.catalog.node.list()).some((node) => node.Node === "js-node"));
  assert("js-ext" in (await consul.catalog.node.services("js-node")).Services);
  await consul.catalog.deregister({ node: "js-node" });
  assert.deepEqual(await consul.catalog.datacenters(), ["dc1"]);
}

async function queriesAndEvents(consul) {
  const service = { service: "consul" };
  const { ID } = await consul.query.create({ name: "js-query", service });
  assert.equal((await consul.query.execute("js-query")).Nodes.length, 1);
  assert.equal((await consul.query.get(ID)).Name, "js-query");
  await consul.query.explain("js-query");
  await consul.query.destroy(ID);
  await consul.event.fire("js-event", Buffer.from("body"));
  const [event] = await eventually("the event", async () => {
    const found = await consul.event.list("js-event");
    return found.length && found;
  });
  assert.equal(event.Payload, "body");
}

// Everything that a watch says, until it has said what is wanted.
async function watches(consul) {
  const said = [];
  const key = consul.watch({ method: consul.kv.get, options: { key: "js/watched" } });
  key.on("change", (pair) => said.push(pair ? pair.Value : null));
  key.on("error", (error) => said.push(error));
  await eventually("the start", () => said.length === 1);
  await consul.kv.set("js/watched", "1");
  await eventually("the value", () => said.length === 2);
  await consul.kv.del("js/watched");
  await eventually("the end", () => said.length === 3);
  assert.deepEqual(said, [null, "1", null]);
  key.end();
  const counts = [];
  const options = { service: "js-watched", passing: true };
  const service = consul.watch({ method: consul.health.service, options });
  service.on("change", (entries) => counts.push(entries.length));
  await eventually("no instance", () => counts.length === 1);
  await consul.agent.service.register({ name: "js-watched" });
  await eventually("one instance", () => counts.at(-1) === 1);
  await consul.agent.service.deregister("js-watched");
  await eventually("none again", () => counts.at(-1) === 0);
  service.end();
}

async function agentAndServers(consul) {
  assert.equal((await consul.agent.self()).Config.NodeName, "node1");
  assert.equal((await consul.agent.members()).length, 1);
  assert.match(await consul.status.leader(), /^127\.0\.0\.1:/);
  assert.equal((await consul.status.peers()).length, 1);
  await consul.agent.reload();
}

async function accessControl(consul) {
  await assert.rejects(consul.kv.set("js/a", "1"), /403|ermission/);
  const { SecretID: token } = await consul.acl.bootstrap();
  assert.equal(await consul.kv.set({ key: "js/a", value: "1", token }), true);
  const root = new Consul({ host, port, defaults: { token } });
  assert.equal((await root.kv.get("js/a")).Value, "1");
  await root.agent.service.register("js-web");
  await assert.rejects(consul.agent.service.register("js-other"), /403|ermission/);
}

const stories = process.argv.includes("acl")
  ? [accessControl]
  : [
      keysAndValues, transactions, sessionsAndLocks, servicesAndChecks, catalog,
      queriesAndEvents, watches, agentAndServers,
    ];

(async () => {
  const consul = new Consul({ host, port });
  for (const story of stories) {
    const start = Date.now();
    await story(consul);
    console.log(`ok ${story.name} (${Date.now() - start} ms)`);
  }
  process.exit(0);
})();
